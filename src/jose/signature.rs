// SPDX-License-Identifier: Apache-2.0

//! Whether a signature is right. The engine is passed in: it is the host's or the one here.

use ed25519_compact::Signature;
use jwt_simple::algorithms::EdDSAPublicKeyLike;
use sha2::{Sha256, Sha384, Sha512};

use super::algorithm::Algorithm;
use super::der;
use super::jwk::{Curve, Material, PublicKey};
use super::jws::CompactJws;
use super::rsa_pss;
#[cfg(any(feature = "portable_crypto", not(target_arch = "wasm32")))]
use super::without_host;
use crate::certificate::signed::Signed;

/// Verifies signatures.
pub trait SignatureEngine {
    /// Whether this key made the token's signature with the token's algorithm. The caller has checked that the key fits the
    /// algorithm.
    fn verify(&self, token: &CompactJws<'_>, key: &PublicKey) -> Verification;

    /// Whether this key made the certificate's signature with this algorithm. An ECDSA signature is in DER, and its hash may be any
    /// with any curve. The caller has checked that the type of the key fits. An engine that verifies only tokens is
    /// [`Verification::Unavailable`].
    fn verify_certificate(&self, _algorithm: Algorithm, _signed: &Signed<'_>, _key: &Material) -> Verification {
        Verification::Unavailable
    }
}

/// What an engine says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verification {
    /// The signature is right.
    Valid,
    /// It is not.
    Invalid,
    /// This engine does not know the algorithm.
    Unavailable,
}

/// The engine that needs no host: PS256, PS384, PS512 and EdDSA everywhere; RS256, RS384, RS512, ES256 and ES384 with the
/// feature `portable_crypto`, or if there is no host at all. It does not know ES512.
#[derive(Clone, Copy, Debug)]
pub struct PortableEngine;

impl SignatureEngine for PortableEngine {
    fn verify(&self, token: &CompactJws<'_>, key: &PublicKey) -> Verification {
        let (message, signature) = (token.signing_input().as_bytes(), token.signature());
        let verified = verified(token.algorithm(), key.material(), message, signature);
        #[cfg(any(feature = "portable_crypto", not(target_arch = "wasm32")))]
        let verified =
            verified.or_else(|| without_host::is_signature(token.algorithm(), key.material(), message, signature));
        verified.into()
    }

    fn verify_certificate(&self, algorithm: Algorithm, signed: &Signed<'_>, key: &Material) -> Verification {
        let Signed { message, signature, .. } = *signed;
        let verified = verified(algorithm, key, message, signature);
        #[cfg(any(feature = "portable_crypto", not(target_arch = "wasm32")))]
        let verified = verified.or_else(|| without_host::is_certificate_signature(algorithm, key, message, signature));
        verified.into()
    }
}

impl From<Option<bool>> for Verification {
    /// Whether a signature is right, if that is known.
    fn from(verified: Option<bool>) -> Self {
        match verified {
            Some(true) => Self::Valid,
            Some(false) => Self::Invalid,
            None => Self::Unavailable,
        }
    }
}

/// Whether the key made the signature; `None` if the algorithm is one of the host's.
fn verified(algorithm: Algorithm, key: &Material, message: &[u8], signature: &[u8]) -> Option<bool> {
    Some(match (algorithm, key) {
        (Algorithm::PS256, Material::Rsa { modulus, .. }) => {
            rsa_pss::is_signature::<Sha256>(modulus, message, signature)
        }
        (Algorithm::PS384, Material::Rsa { modulus, .. }) => {
            rsa_pss::is_signature::<Sha384>(modulus, message, signature)
        }
        (Algorithm::PS512, Material::Rsa { modulus, .. }) => {
            rsa_pss::is_signature::<Sha512>(modulus, message, signature)
        }
        (Algorithm::EdDSA, Material::Ed25519(key)) => Signature::from_slice(signature)
            .and_then(|signature| key.public_key().as_ref().verify(message, &signature))
            .is_ok(),
        _ => return None,
    })
}

/// An ECDSA signature as most libraries want it: from r and s side by side (RFC 7518 §3.4) to an ASN.1 `SEQUENCE { INTEGER,
/// INTEGER }`. `None` if it is not exactly as long as two coordinates of the curve.
#[must_use]
pub fn ecdsa_der(signature: &[u8], curve: Curve) -> Option<Vec<u8>> {
    let (r, s) = signature.split_at_checked(curve.coordinate_length())?;
    (s.len() == r.len()).then(|| der::pair(r, s))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_and_s_become_the_shortest_asn1_integers() {
        let mut signature = [0_u8; 64];
        signature[31] = 1;
        signature[32] = 0x80;
        let der = ecdsa_der(&signature, Curve::P256).unwrap();
        assert_eq!(der[..6], [0x30, 38, 0x02, 1, 1, 0x02]);
        assert_eq!(der[6..9], [33, 0, 0x80]);
        assert_eq!(ecdsa_der(&[0; 64], Curve::P256).unwrap(), [0x30, 6, 2, 1, 0, 2, 1, 0]);
    }

    #[test]
    fn the_der_of_every_curve_is_what_another_library_reads() {
        for fill in [0x01, 0x7f] {
            let p256 = p256::ecdsa::Signature::from_slice(&[fill; 64]).unwrap();
            assert_eq!(ecdsa_der(&[fill; 64], Curve::P256).unwrap(), p256.to_der().as_bytes());
            let p384 = p384::ecdsa::Signature::from_slice(&[fill; 96]).unwrap();
            assert_eq!(ecdsa_der(&[fill; 96], Curve::P384).unwrap(), p384.to_der().as_bytes());
            let mut bytes = [fill; 132];
            // The curve has 521 bits: the first byte of each half is 0 or 1.
            (bytes[0], bytes[66]) = (1, 0);
            let p521 = p521::ecdsa::Signature::from_slice(&bytes).unwrap();
            assert_eq!(ecdsa_der(&bytes, Curve::P521).unwrap(), p521.to_der().as_bytes());
        }
    }

    #[test]
    fn a_signature_of_another_length_is_none() {
        for (curve, right) in [(Curve::P256, 64), (Curve::P384, 96), (Curve::P521, 132)] {
            for length in [0, 1, 32, 63, 64, 65, 95, 96, 97, 131, 132, 133, 1000] {
                assert_eq!(ecdsa_der(&vec![1; length], curve).is_some(), length == right, "{curve:?} {length}");
            }
        }
    }
}
