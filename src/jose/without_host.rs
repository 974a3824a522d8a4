// SPDX-License-Identifier: Apache-2.0

//! RS256, RS384, RS512, ES256 and ES384 by jwt-simple, if there is no host or the host has no cryptography. Only its primitives
//! are used: its own checks of a token refuse some for reasons that are not the signature's.

use jwt_simple::algorithms::{
    ECDSAP256PublicKeyLike, ECDSAP384PublicKeyLike, ES256PublicKey, ES384PublicKey, RS256PublicKey, RS384PublicKey,
    RS512PublicKey, RSAPublicKeyLike,
};
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use superboring::{pkey::PKey, sign::Verifier};

use super::algorithm::Algorithm;
use super::jwk::{Curve, EXPONENT, Material};

/// Whether the key made the signature; `None` if the algorithm is another one.
pub(super) fn is_signature(algorithm: Algorithm, key: &Material, message: &[u8], signature: &[u8]) -> Option<bool> {
    macro_rules! rsa {
        ($key:ty, $modulus:expr) => {
            <$key>::from_components($modulus, EXPONENT).is_ok_and(|key| rsa(&key, message, signature))
        };
    }
    macro_rules! ecdsa {
        ($key:ty, $spki:expr, $signature:ty) => {
            <$key>::from_der($spki).is_ok_and(|key| {
                <$signature>::from_slice(signature)
                    .is_ok_and(|signature| key.public_key().as_ref().verify(message, &signature).is_ok())
            })
        };
    }
    Some(match (algorithm, key) {
        (Algorithm::RS256, Material::Rsa { modulus, .. }) => rsa!(RS256PublicKey, modulus),
        (Algorithm::RS384, Material::Rsa { modulus, .. }) => rsa!(RS384PublicKey, modulus),
        (Algorithm::RS512, Material::Rsa { modulus, .. }) => rsa!(RS512PublicKey, modulus),
        (Algorithm::ES256, Material::Ec { spki, .. }) => ecdsa!(ES256PublicKey, spki, p256::ecdsa::Signature),
        (Algorithm::ES384, Material::Ec { spki, .. }) => ecdsa!(ES384PublicKey, spki, p384::ecdsa::Signature),
        _ => return None,
    })
}

/// The same for a certificate, whose ECDSA signature is in DER, with any hash.
pub(super) fn is_certificate_signature(
    algorithm: Algorithm,
    key: &Material,
    message: &[u8],
    signature: &[u8],
) -> Option<bool> {
    let hash = match algorithm {
        Algorithm::ES256 => Sha256::digest(message).to_vec(),
        Algorithm::ES384 => Sha384::digest(message).to_vec(),
        Algorithm::ES512 => Sha512::digest(message).to_vec(),
        _ => return is_signature(algorithm, key, message, signature),
    };
    macro_rules! ecdsa {
        ($key:ty, $spki:expr, $signature:ty) => {
            <$key>::from_der($spki).is_ok_and(|key| {
                <$signature>::from_der(signature)
                    .is_ok_and(|signature| key.public_key().as_ref().verify_prehash(&hash, &signature).is_ok())
            })
        };
    }
    match key {
        Material::Ec { curve: Curve::P256, spki } => Some(ecdsa!(ES256PublicKey, spki, p256::ecdsa::Signature)),
        Material::Ec { curve: Curve::P384, spki } => Some(ecdsa!(ES384PublicKey, spki, p384::ecdsa::Signature)),
        _ => None,
    }
}

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
