//! Signatures by ES256 (RFC 7518 §3.4), with the arithmetic of p256. This is a crate of its own because generic code is compiled as
//! the crate is that uses it: certbound for speed, which a few signatures in a second do not need, and this for size. p256's own
//! signatures, with the generic crates for them and a table of multiples, are 10 kB larger; the tests of
//! certbound's src/jose/signing_key.rs hold that these are the same.

use std::fmt;

use p256::elliptic_curve::ops::{Invert as _, Reduce};
use p256::elliptic_curve::point::AffineCoordinates as _;
use p256::elliptic_curve::{Field as _, PrimeField as _};
use p256::{AffinePoint, FieldBytes, NonZeroScalar, ProjectivePoint, Scalar, SecretKey};
use sha2::{Digest, Sha256};

/// id-ecPublicKey on secp256r1 (RFC 5480 §2.1.1), as the algorithm of a private key.
const P256: &[u8] = &[
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
    0x01, 0x07,
];

/// A private key on P-256.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateKey(SecretKey);

impl fmt::Debug for PrivateKey {
    /// Without the key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PrivateKey")
    }
}

impl PrivateKey {
    /// The key in a PrivateKeyInfo (RFC 5958 §2, RFC 5915 §3); `None` where it is none of this curve's.
    #[must_use]
    pub fn of_pkcs8(der: &[u8]) -> Option<Self> {
        // With a public key in it it is longer than 127 bytes.
        let ([0x30, 0x81, length, info @ ..] | [0x30, length @ 0..=0x7f, info @ ..]) = der else { return None };
        let [2, 1, 0 | 1, info @ ..] = info.get(..usize::from(*length)).filter(|own| own.len() == info.len())? else {
            return None;
        };
        match info.strip_prefix(P256)? {
            [4, _, 0x30, _, 2, 1, 1, 4, 32, rest @ ..] => Self::of_scalar(rest.get(..32)?),
            _ => None,
        }
    }

    /// The key with this scalar, in 32 bytes; `None` where it is none of the curve's.
    #[inline(never)]
    #[must_use]
    pub fn of_scalar(scalar: &[u8]) -> Option<Self> {
        // `from_slice` takes less than 32 bytes too.
        let scalar: [u8; 32] = scalar.try_into().ok()?;
        SecretKey::from_bytes(&scalar.into()).ok().map(Self)
    }

    /// Whether these are the coordinates of its public key.
    #[inline(never)]
    #[must_use]
    pub fn has_point(&self, x: &[u8], y: &[u8]) -> bool {
        let point = multiplied(&self.0.to_nonzero_scalar());
        point.x().as_slice() == x && point.y().as_slice() == y
    }

    /// A deterministic signature (RFC 6979 §3.2): its two numbers, one behind the other. Hash, key and order of the curve have 256
    /// bits each, which makes this short.
    #[inline(never)]
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let own = self.0.to_nonzero_scalar();
        let digest = reduced(&sha256(message, &[]).into());
        let (scalar, octets) = (own.to_repr(), digest.to_repr());
        let (mut key, mut value) = ([0; 32], [1; 32]);
        for step in [0, 1] {
            key = hmac(&key, &[&value, &[step], &scalar, &octets]);
            value = hmac(&key, &[&value]);
        }
        loop {
            value = hmac(&key, &[&value]);
            if let Some(signature) = signed(&own, &digest, value) {
                return signature;
            }
            key = hmac(&key, &[&value, &[0]]);
            value = hmac(&key, &[&value]);
        }
    }
}

/// The signature of a digest with this nonce; `None` where another nonce must be tried, which in practice is never.
fn signed(own: &NonZeroScalar, digest: &Scalar, nonce: [u8; 32]) -> Option<[u8; 64]> {
    let nonce = NonZeroScalar::from_repr(nonce.into()).into_option()?;
    let r = reduced(&multiplied(&nonce).x());
    let s = *nonce.invert() * (*digest + r * **own);
    let mut signature = [0; 64];
    let (first, second) = signature.split_at_mut(32);
    first.copy_from_slice(&r.to_repr());
    second.copy_from_slice(&s.to_repr());
    (!bool::from(r.is_zero() | s.is_zero())).then_some(signature)
}

/// RFC 2104, with a key that is shorter than a block.
fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let padded = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    sha256(&padded(0x5c), &[&sha256(&padded(0x36), parts)])
}

#[inline(never)]
fn sha256(first: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    parts.iter().fold(Sha256::new_with_prefix(first), |digest, part| digest.chain_update(part)).finalize().into()
}

#[inline(never)]
fn reduced(bytes: &FieldBytes) -> Scalar {
    <Scalar as Reduce<FieldBytes>>::reduce(bytes)
}

/// The generator so many times, in a time that does not depend on the scalar.
#[inline(never)]
fn multiplied(scalar: &NonZeroScalar) -> AffinePoint {
    (ProjectivePoint::GENERATOR * **scalar).to_affine()
}
