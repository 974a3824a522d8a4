//! Whether a signature is right. The engine is a value that is passed in: the host's, or the one here.

use ed25519_compact::Signature;
#[cfg(any(feature = "portable_crypto", not(target_arch = "wasm32")))]
use jwt_simple::algorithms::{ECDSAP256PublicKeyLike, ES256PublicKey, RS256PublicKey};
use jwt_simple::algorithms::{EdDSAPublicKeyLike, RSAPublicKeyLike};
#[cfg(any(feature = "portable_crypto", not(target_arch = "wasm32")))]
use p256::ecdsa::signature::Verifier as _;
use superboring::pkey::PKey;
use superboring::sign::Verifier;

use super::algorithm::Algorithm;
use super::jwk::{Material, PublicKey};
use super::jws::CompactJws;

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

/// What jwt-simple verifies with, without its own judgement of the token: PS256 and EdDSA everywhere; RS256 and ES256
/// where the feature `portable_crypto` is on or there is no host at all.
#[derive(Clone, Copy, Debug)]
pub struct PortableEngine;

impl SignatureEngine for PortableEngine {
    fn verify(&self, token: &CompactJws<'_>, key: &PublicKey) -> Verification {
        let (message, signature) = (token.signing_input().as_bytes(), token.signature());
        let verified = match (token.algorithm(), key.material()) {
            (Algorithm::PS256, Material::Rsa { pss, .. }) => rsa(pss.as_ref(), message, signature),
            (Algorithm::EdDSA, Material::Ed25519(key)) => Signature::from_slice(signature)
                .and_then(|signature| key.public_key().as_ref().verify(message, &signature))
                .is_ok(),
            #[cfg(any(feature = "portable_crypto", not(target_arch = "wasm32")))]
            (Algorithm::RS256, Material::Rsa { spki, .. }) => {
                RS256PublicKey::from_der(spki).is_ok_and(|key| rsa(&key, message, signature))
            }
            #[cfg(any(feature = "portable_crypto", not(target_arch = "wasm32")))]
            (Algorithm::ES256, Material::P256 { spki }) => ES256PublicKey::from_der(spki).is_ok_and(|key| {
                p256::ecdsa::Signature::from_slice(signature)
                    .is_ok_and(|signature| key.public_key().as_ref().verify(message, &signature).is_ok())
            }),
            _ => return Verification::Unavailable,
        };
        if verified { Verification::Valid } else { Verification::Invalid }
    }
}

/// jwt-simple's own way with RSA, and nothing but the signature: its `verify_token` reads headers and claims as well,
/// and refuses some that are none of its business here.
fn rsa<K: RSAPublicKeyLike>(key: &K, message: &[u8], signature: &[u8]) -> bool {
    let verified = || {
        let public_key = PKey::from_rsa(key.public_key().as_ref().clone())?;
        let mut verifier = Verifier::new(K::hash(), &public_key)?;
        verifier.set_rsa_padding(key.padding_scheme())?;
        verifier.update(message)?;
        verifier.verify(signature)
    };
    verified().unwrap_or(false)
}

/// An ECDSA signature as most libraries want it: from r and s side by side (RFC 7518 §3.4) to an ASN.1
/// `SEQUENCE { INTEGER, INTEGER }`. `None` where it is not 64 bytes long.
#[must_use]
pub fn ecdsa_p256_der(signature: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = signature.split_first_chunk::<32>().filter(|(_, s)| s.len() == 32)?;
    let mut content = Vec::with_capacity(70);
    for integer in [r.as_slice(), s] {
        let start = integer.iter().position(|byte| *byte != 0).unwrap_or(31);
        let digits = integer.get(start..)?;
        // An INTEGER is signed: a leading one bit would make it negative.
        let zero = digits.first().is_some_and(|byte| byte & 0x80 != 0);
        let length = u8::try_from(digits.len().saturating_add(usize::from(zero))).ok()?;
        content.extend([0x02, length]);
        content.extend(zero.then_some(0));
        content.extend(digits);
    }
    let mut der = vec![0x30, u8::try_from(content.len()).ok()?];
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
        let der = ecdsa_p256_der(&signature).unwrap();
        assert_eq!(der[..6], [0x30, 38, 0x02, 1, 1, 0x02]);
        assert_eq!(der[6..9], [33, 0, 0x80]);
        assert_eq!(ecdsa_p256_der(&[0; 64]).unwrap(), [0x30, 6, 2, 1, 0, 2, 1, 0]);
    }

    #[test]
    fn a_signature_of_another_length_is_none() {
        for length in [0, 1, 32, 63, 65, 96, 1000] {
            assert_eq!(ecdsa_p256_der(&vec![1; length]), None, "{length}");
        }
    }
}
