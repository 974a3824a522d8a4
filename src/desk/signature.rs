// SPDX-License-Identifier: Apache-2.0

//! Signatures as the proxy verifies them.

use p521::ecdsa::signature::Verifier;
use p521::ecdsa::{Signature, VerifyingKey};

use crate::jose::algorithm::Algorithm;
use crate::jose::jwk::{Material, PublicKey};
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
        // The uncompressed point is at the end of the SubjectPublicKeyInfo (RFC 5480 §2).
        let key = spki.last_chunk::<133>().and_then(|point| VerifyingKey::from_sec1_bytes(point).ok());
        let signature = Signature::from_slice(token.signature()).ok();
        let valid = key
            .zip(signature)
            .is_some_and(|(key, signature)| key.verify(token.signing_input().as_bytes(), &signature).is_ok());
        if valid { Verification::Valid } else { Verification::Invalid }
    }
}
