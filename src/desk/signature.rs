// SPDX-License-Identifier: Apache-2.0

//! Signatures as the proxy verifies them.

use p521::ecdsa::signature::hazmat::PrehashVerifier as _;
use p521::ecdsa::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

use crate::certificate::signed::Signed;
use crate::jose::algorithm::Algorithm;
use crate::jose::jwk::{Curve, Material, PublicKey};
use crate::jose::jws::CompactJws;
use crate::jose::signature::{PortableEngine, SignatureEngine, Verification};

/// Every algorithm that Envoy's `verify_signature` or the module verifies.
#[derive(Clone, Copy, Debug)]
pub struct DeskEngine;

impl SignatureEngine for DeskEngine {
    fn verify(&self, token: &CompactJws<'_>, key: &PublicKey) -> Verification {
        let (Algorithm::ES512, Material::Ec { spki, .. }) = (token.algorithm(), key.material()) else {
            return PortableEngine.verify(token, key);
        };
        let hash = Sha512::digest(token.signing_input());
        on_p521(spki, &hash, Signature::from_slice(token.signature()).ok()).into()
    }

    fn verify_certificate(&self, algorithm: Algorithm, signed: &Signed<'_>, key: &Material) -> Verification {
        let Material::Ec { curve: Curve::P521, spki } = key else {
            return PortableEngine.verify_certificate(algorithm, signed, key);
        };
        let hash = match algorithm {
            Algorithm::ES256 => Sha256::digest(signed.message).to_vec(),
            Algorithm::ES384 => Sha384::digest(signed.message).to_vec(),
            _ => Sha512::digest(signed.message).to_vec(),
        };
        on_p521(spki, &hash, Signature::from_der(signed.signature).ok()).into()
    }
}

/// Whether the key made this signature of a message with this hash.
fn on_p521(spki: &[u8], hash: &[u8], signature: Option<Signature>) -> Option<bool> {
    // The uncompressed point is at the end of the SubjectPublicKeyInfo (RFC 5480 §2).
    let key = spki.last_chunk::<133>().and_then(|point| VerifyingKey::from_sec1_bytes(point).ok());
    Some(key.zip(signature).is_some_and(|(key, signature)| key.verify_prehash(hash, &signature).is_ok()))
}
