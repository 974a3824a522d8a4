// SPDX-License-Identifier: Apache-2.0

//! RSA moduli that can be factored: ROCA (CVE-2017-15361).
//!
//! A library of smart cards and TPMs made its primes as `k * M + (65537^a mod M)`, where M is the product of the first 39
//! primes or more. So its moduli are powers of 65537 modulo M ("The Return of Coppersmith's Attack", Nemec, Sys, Svenda,
//! Klinec, Matyas, 2017). They are found here by that property. By chance one modulus in 2^154 has it.

use std::num::NonZeroU32;

/// The first primes without 2, which says nothing.
const PRIMES: [u32; 38] = [
    3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109,
    113, 127, 131, 137, 139, 149, 151, 157, 163, 167,
];

const GENERATOR: u32 = 65537;

/// Whether a modulus, in big-endian order, has that property.
pub(super) fn is_marked(modulus: &[u8]) -> bool {
    let mut exponents: Vec<Exponent> = Vec::with_capacity(PRIMES.len());
    for prime in PRIMES.into_iter().filter_map(NonZeroU32::new) {
        let remainder = modulus.iter().fold(0, |rest: u32, byte| ((rest << 8) | u32::from(*byte)) % prime);
        match Exponent::of(remainder, prime) {
            // One exponent serves all primes if it serves any two (the Chinese remainder theorem).
            Some(exponent) if exponents.iter().all(|other| exponent.agrees_with(other)) => exponents.push(exponent),
            _ => return false,
        }
    }
    true
}

/// The exponents with which the generator's power is a certain number modulo a prime: all that leave `rest` when divided by
/// `order`.
struct Exponent {
    rest: u32,
    order: NonZeroU32,
}

impl Exponent {
    fn of(number: u32, prime: NonZeroU32) -> Option<Self> {
        let (mut power, mut rest) = (1, None);
        for order in (1..prime.get()).filter_map(NonZeroU32::new) {
            if power == number {
                rest = Some(order.get().saturating_sub(1));
            }
            power = power.saturating_mul(GENERATOR) % prime;
            if power == 1 {
                return rest.map(|rest| Self { rest, order });
            }
        }
        None
    }

    fn agrees_with(&self, other: &Self) -> bool {
        let (mut divisor, mut rest) = (self.order, other.order.get());
        while let Some(next) = NonZeroU32::new(rest) {
            (divisor, rest) = (next, divisor.get() % next);
        }
        self.rest % divisor == other.rest % divisor
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use rsa::BigUint;

    use super::*;

    /// Of two primes of that form, with the M of keys of 2048 bits, the product of the first 126 primes. They were made at random
    /// for this test.
    const MARKED: &str = "vJYqZcgRZWL2t1vPnErzD1xnLij16vzradiG9_0ytOvH5nEOaUTD2ppxNi77xhaL7nay4scgoowXuhJ2Fr8d-ZaC45pf3dok3dNJafFSsu8iP07S_UhcK6QwFfcAKsFIEV9Med85R7EgiiJfHEllmVNHa1431Jx9lA6cJzo0kfDfC1gdEDLx6hvsjhrCg3rPQd3aYXJgqXelgGWKLWCjcH7IzbotjDJKyAtmp-SRAhDm3Cwgz4_1Wv0NiqmQEpnmUzV_Ht0dPp_alXs37U4LiwZiEt9pF_aPKGB_DIulG3DY4VcnRY91l92XRNGlGVzGs-VVIL018COgbaOmHJ7tOQ";

    fn number() -> BigUint {
        BigUint::from_bytes_be(&URL_SAFE_NO_PAD.decode(MARKED).unwrap())
    }

    fn is(number: &BigUint) -> bool {
        is_marked(&number.to_bytes_be())
    }

    #[test]
    fn a_modulus_that_the_library_made_is_marked_and_those_beside_it_are_not() {
        let number = number();
        assert!(is(&number));
        let two = BigUint::from(2_u32);
        for shift in 0..2047 {
            assert!(!is(&(&number + (&two << shift))), "{shift}");
        }
    }

    /// As every power of the generator is, whatever its exponent.
    #[test]
    fn what_is_a_power_of_65537_modulo_all_these_primes_is_marked() {
        let product = PRIMES.iter().fold(BigUint::from(1_u32), |product, prime| product * prime);
        let generator = BigUint::from(GENERATOR);
        for exponent in (0..3000_u32).map(|number| BigUint::from(number) * BigUint::from(0x9e37_79b9_7f4a_7c15_u64)) {
            let power = generator.modpow(&exponent, &product);
            assert!(is(&power) && is(&(power + &product)), "{exponent}");
        }
    }

    /// The remainders alone are those of one modulus in 2^28. Modulo 167, 65537 has as many powers as there are remainders.
    #[test]
    fn what_is_a_power_modulo_each_of_the_primes_and_with_no_common_exponent_is_not_marked() {
        let product = PRIMES.iter().fold(BigUint::from(1_u32), |product, prime| product * prime);
        let (others, number) = (product / 167_u32, number());
        let moved: Vec<_> = (1..167_u32).map(|times| &number + &others * times).collect();
        let remains = moved.iter().filter(|moved| {
            PRIMES.iter().all(|prime| {
                let remainder = (*moved % *prime).to_bytes_be().first().copied().unwrap_or_default().into();
                Exponent::of(remainder, NonZeroU32::new(*prime).unwrap()).is_some()
            })
        });
        assert_eq!(remains.count(), 165);
        // Only exponents of the same parity agree with the others.
        assert_eq!(moved.iter().filter(|moved| is(moved)).count(), 82);
    }

    #[test]
    fn numbers_of_no_kind_are_not_marked() {
        for bytes in [&[][..], &[0], &[0; 256], &[2], &[0xff; 256], &[0xaa; 512]] {
            assert!(!is_marked(bytes), "{bytes:02x?}");
        }
        // That is the power with the exponent 0.
        assert!(is_marked(&[1]));
    }
}
