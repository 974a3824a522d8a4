// SPDX-License-Identifier: Apache-2.0

//! RSASSA-PSS (RFC 8017 §8.1.2) in the three forms of JOSE (RFC 7518 §3.5). The host does not know it, and FAPI clients sign
//! with it. Nothing here is secret.

use sha2::Digest;

use super::montgomery;

/// The hash of a message or of a mask: of these parts, one after the other.
type Hash = fn(&[&[u8]]) -> Vec<u8>;

/// The last byte of an encoded message (RFC 8017 §9.1.1).
const TRAILER: u8 = 0xbc;

/// Whether the key with this modulus and the exponent 65537 made the signature, with this hash for the message and for
/// the mask, and a salt as long as the hash. The modulus is big-endian, without zeros before it.
pub(super) fn is_signature<D: Digest>(modulus: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let hash: Hash = |parts| parts.iter().fold(D::new(), |digest, part| digest.chain_update(part)).finalize().to_vec();
    let Some(zeros) = modulus.first().map(|first| first.leading_zeros()) else { return false };
    // The representative has one bit less than the modulus, so it may have one byte less (RFC 8017 §8.1.2, step 2c).
    match (opened(modulus, signature).as_deref(), zeros) {
        (Some([0, encoded @ ..]), 7) => is_encoding(encoded, 0xff, message, hash),
        (Some(encoded), 0..7) => is_encoding(encoded, 0x7f_u8.unbounded_shr(zeros), message, hash),
        _ => false,
    }
}

/// RSAVP1 (RFC 8017 §5.2.2): the signature to the 65537th power, as long as the modulus.
fn opened(modulus: &[u8], signature: &[u8]) -> Option<Vec<u8>> {
    // Numbers in as many bytes compare as their bytes do.
    (signature.len() == modulus.len() && signature < modulus).then(|| montgomery::power(signature, modulus)).flatten()
}

/// EMSA-PSS-VERIFY (RFC 8017 §9.1.2). `mask` has the bits that may be set in the first byte.
fn is_encoding(encoded: &[u8], mask: u8, message: &[u8], hash: Hash) -> bool {
    let message = hash(&[message]);
    let Some((&TRAILER, encoded)) = encoded.split_last() else { return false };
    let Some((masked, own)) = split_end(encoded, message.len()) else { return false };
    if masked.first().is_none_or(|first| first & !mask != 0) {
        return false;
    }
    let mut block = masked.to_vec();
    for (counter, part) in (0_u32..).zip(block.chunks_mut(own.len())) {
        // MGF1 (RFC 8017 §B.2.1).
        let mask = hash(&[own, &counter.to_be_bytes()]);
        part.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    }
    if let Some(first) = block.first_mut() {
        *first &= mask;
    }
    let Some((padding, salt)) = split_end(&block, message.len()) else { return false };
    let Some((1, zeros)) = padding.split_last() else { return false };
    zeros.iter().all(|byte| *byte == 0) && hash(&[&[0; 8], &message, salt]) == own
}

/// Splits off the last `length` bytes.
fn split_end(bytes: &[u8], length: usize) -> Option<(&[u8], &[u8])> {
    bytes.split_at_checked(bytes.len().checked_sub(length)?)
}

#[cfg(test)]
mod tests {
    use sha2::{Sha256, Sha512};

    use super::*;

    /// tests/cases and tests/peers/differential.py have signatures of other libraries.
    #[test]
    fn what_is_no_key_or_no_signature_verifies_nothing() {
        let odd = [&[0xff; 255][..], &[1]].concat();
        let below = [&[0xfe; 255][..], &[1]].concat();
        for modulus in [&[][..], &[0], &[1], &[3], &[0, 0xff], &[0xfe; 256], &odd, &[0xff; 64], &[1; 257]] {
            for signature in [&[][..], &[0; 256], &[0; 257], &[0xff; 256], &odd, &below, &below[1..], &[7; 64], &[2]] {
                assert!(!is_signature::<Sha256>(modulus, b"text", signature), "{modulus:?} {signature:?}");
                assert!(!is_signature::<Sha512>(modulus, b"text", signature), "{modulus:?} {signature:?}");
            }
        }
    }

    /// EMSA-PSS-ENCODE (RFC 8017 §9.1.1).
    fn encoded(message: &[u8], zeros: usize, mask: u8) -> Vec<u8> {
        let hash = |parts: &[&[u8]]| Sha256::digest(parts.concat()).to_vec();
        let salt = [7; 32];
        let own = hash(&[&[0; 8], &hash(&[message]), &salt]);
        let mut block = [&vec![0; zeros][..], &[1], &salt].concat();
        let stream = (0..8_u8).flat_map(|counter| hash(&[&own, &[0, 0, 0, counter]]));
        block.iter_mut().zip(stream).for_each(|(byte, mask)| *byte ^= mask);
        block[0] &= mask;
        [&block[..], &own, &[TRAILER]].concat()
    }

    #[test]
    fn an_encoded_message_is_one_and_with_any_bit_changed_it_is_none() {
        let hash: Hash = |parts| Sha256::digest(parts.concat()).to_vec();
        for (zeros, mask) in [(190, 0x7f), (190, 0x01), (190, 0xff), (0, 0x7f)] {
            let right = encoded(b"text", zeros, mask);
            assert!(is_encoding(&right, mask, b"text", hash) && !is_encoding(&right, mask, b"texts", hash));
            for bit in 0..right.len() * 8 {
                let mut wrong = right.clone();
                wrong[bit / 8] ^= 1 << (bit % 8);
                assert!(!is_encoding(&wrong, mask, b"text", hash), "bit {bit}");
            }
            assert!(!is_encoding(&right[1..], mask, b"text", hash));
        }
    }

    #[test]
    fn only_a_representative_in_range_is_opened() {
        for modulus in [&[0x80, 0, 0, 0, 1][..], &[0xff; 8], &[0x01, 0, 0xff]] {
            let (last, others) = modulus.split_last().unwrap();
            assert!(opened(modulus, &[others, &[last - 1]].concat()).is_some());
            assert_eq!(opened(modulus, modulus), None);
            assert_eq!(opened(modulus, &[&[0xff], &modulus[1..]].concat()), None);
            assert_eq!(opened(modulus, &[&[0], others].concat()[1..]), None);
            assert_eq!(opened(modulus, &[&[0], others, &[1]].concat()), None);
        }
    }

    #[test]
    fn the_power_is_that_of_plain_arithmetic() {
        for (modulus, signature) in [(0xffff_fffb_u32, 3_u32), (0x8000_0001, 0x7fff_ffff), (0xdead_beef, 0xcafe_f00d)] {
            let (mut power, modulus_wide) = (1_u64, u64::from(modulus));
            for _ in 0..65537 {
                power = power * u64::from(signature) % modulus_wide;
            }
            let opened = opened(&modulus.to_be_bytes(), &signature.to_be_bytes()).unwrap();
            assert_eq!(opened, u32::try_from(power).unwrap().to_be_bytes());
        }
    }
}
