//! Whether a signature is right. The engine is a value that is passed in: the host's, or the one here.

use std::convert::Infallible;

#[cfg(any(feature = "portable_crypto", not(target_arch = "wasm32")))]
use jwt_simple::algorithms::{
    ECDSAP256PublicKeyLike, ECDSAP384PublicKeyLike, ES256PublicKey, ES384PublicKey, RS256PublicKey, RS384PublicKey,
    RS512PublicKey,
};
use jwt_simple::algorithms::{EdDSAPublicKeyLike, PS256PublicKey, PS384PublicKey, PS512PublicKey, RSAPublicKeyLike};
use jwt_simple::claims::NoCustomClaims;
use jwt_simple::common::VerificationOptions;
use jwt_simple::prelude::UnixTimeStamp;

use super::algorithm::Algorithm;
use super::jwk::{Curve, Material, PublicKey};
use super::jws::{self, CompactJws};

/// Verifies signatures.
pub trait SignatureEngine {
    /// Whether this key made the token's signature with the token's algorithm. The key fits the algorithm.
    fn verify(&self, token: &CompactJws<'_>, key: &PublicKey) -> Verification;
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

/// jwt-simple: PS256, PS384, PS512 and EdDSA everywhere; RS256, RS384, RS512, ES256 and ES384 where the feature
/// `portable_crypto` is on or there is no host at all. ES512 it does not know.
#[derive(Clone, Copy, Debug)]
pub struct PortableEngine;

impl SignatureEngine for PortableEngine {
    fn verify(&self, token: &CompactJws<'_>, key: &PublicKey) -> Verification {
        macro_rules! with {
            ($key:expr) => {
                $key.is_ok_and(|key| key.verify_token::<NoCustomClaims>(token.text(), Some(signature_only())).is_ok())
            };
        }
        let verified = match (token.algorithm(), key.material()) {
            (Algorithm::PS256, Material::Rsa { spki }) => with!(PS256PublicKey::from_der(spki)),
            (Algorithm::PS384, Material::Rsa { spki }) => with!(PS384PublicKey::from_der(spki)),
            (Algorithm::PS512, Material::Rsa { spki }) => with!(PS512PublicKey::from_der(spki)),
            (Algorithm::EdDSA, Material::Ed25519(key)) => with!(Ok::<_, Infallible>(key)),
            #[cfg(any(feature = "portable_crypto", not(target_arch = "wasm32")))]
            (Algorithm::RS256, Material::Rsa { spki }) => with!(RS256PublicKey::from_der(spki)),
            #[cfg(any(feature = "portable_crypto", not(target_arch = "wasm32")))]
            (Algorithm::RS384, Material::Rsa { spki }) => with!(RS384PublicKey::from_der(spki)),
            #[cfg(any(feature = "portable_crypto", not(target_arch = "wasm32")))]
            (Algorithm::RS512, Material::Rsa { spki }) => with!(RS512PublicKey::from_der(spki)),
            #[cfg(any(feature = "portable_crypto", not(target_arch = "wasm32")))]
            (Algorithm::ES256, Material::Ec { spki, .. }) => with!(ES256PublicKey::from_der(spki)),
            #[cfg(any(feature = "portable_crypto", not(target_arch = "wasm32")))]
            (Algorithm::ES384, Material::Ec { spki, .. }) => with!(ES384PublicKey::from_der(spki)),
            _ => return Verification::Unavailable,
        };
        if verified { Verification::Valid } else { Verification::Invalid }
    }
}

/// jwt-simple judges claims as well; ours are judged elsewhere, with our clock. At its time 0 no token has expired.
fn signature_only() -> VerificationOptions {
    VerificationOptions {
        accept_future: true,
        artificial_time: Some(UnixTimeStamp::from_secs(0)),
        time_tolerance: None,
        max_header_length: Some(jws::LONGEST),
        ..VerificationOptions::default()
    }
}

/// An ECDSA signature as most libraries want it: from r and s side by side (RFC 7518 §3.4) to an ASN.1
/// `SEQUENCE { INTEGER, INTEGER }`. `None` where it is not exactly as long as two coordinates of the curve.
#[must_use]
pub fn ecdsa_der(signature: &[u8], curve: Curve) -> Option<Vec<u8>> {
    let (r, s) = signature.split_at_checked(curve.coordinate_length())?;
    if s.len() != r.len() {
        return None;
    }
    let mut content = Vec::with_capacity(signature.len().saturating_add(6));
    for integer in [r, s] {
        let digits = integer.iter().position(|byte| *byte != 0).map_or(Some(&[0][..]), |start| integer.get(start..))?;
        // An INTEGER is signed: a leading one bit would make it negative.
        let zero = digits.first().is_some_and(|byte| byte & 0x80 != 0);
        let length = u8::try_from(digits.len().saturating_add(usize::from(zero))).ok()?;
        content.extend([0x02, length]);
        content.extend(zero.then_some(0));
        content.extend(digits);
    }
    let length = u8::try_from(content.len()).ok()?;
    let mut der = vec![0x30];
    // X.690 §10.1: the shortest form of the length, which two numbers of P-521 do not fit.
    der.extend((length > 0x7f).then_some(0x81));
    der.push(length);
    der.append(&mut content);
    Some(der)
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
            // 521 bits: the first byte of each half is 0 or 1.
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
