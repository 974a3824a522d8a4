// SPDX-License-Identifier: Apache-2.0

//! Verifies signatures with the host's own cryptography, which is many times faster than the module's.

use std::borrow::Cow;

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use proxy_wasm::hostcalls;
use proxy_wasm::types::Status;

use crate::certificate::signed::Signed;
use crate::jose::algorithm::Algorithm;
use crate::jose::jwk::{Material, PublicKey};
use crate::jose::jws::CompactJws;
use crate::jose::signature::{PortableEngine, SignatureEngine, Verification, ecdsa_der};

/// Envoy's foreign function `verify_signature` for the RS and ES families, and the module's own engine for the other algorithms.
pub(super) struct HostEngine;

/// `envoy.source.extensions.common.wasm.VerifySignatureResult`.
#[derive(Clone, PartialEq, Message)]
struct Outcome {
    #[prost(bool, tag = "1")]
    result: bool,
    #[prost(string, tag = "2")]
    error: String,
}

impl SignatureEngine for HostEngine {
    fn verify(&self, token: &CompactJws<'_>, key: &PublicKey) -> Verification {
        let signature = match key.material() {
            Material::Ec { curve, .. } => ecdsa_der(token.signature(), *curve).map(Cow::Owned),
            Material::Rsa { .. } | Material::Ed25519(_) => Some(Cow::Borrowed(token.signature())),
        };
        let Some(signature) = signature else {
            return Verification::Invalid;
        };
        let verified = verified(token.algorithm(), key.material(), &signature, token.signing_input().as_bytes());
        verified.unwrap_or_else(|| PortableEngine.verify(token, key))
    }

    fn verify_certificate(&self, algorithm: Algorithm, signed: &Signed<'_>, key: &Material) -> Verification {
        let verified = verified(algorithm, key, signed.signature, signed.message);
        verified.unwrap_or_else(|| PortableEngine.verify_certificate(algorithm, signed, key))
    }
}

/// What the host says of a signature, of ECDSA in DER; `None` if it does not know the algorithm, or has no such function: the
/// module's own engine may have been built with it.
fn verified(algorithm: Algorithm, key: &Material, signature: &[u8], message: &[u8]) -> Option<Verification> {
    let hash_function = match algorithm {
        Algorithm::RS256 | Algorithm::ES256 => "sha256",
        Algorithm::RS384 | Algorithm::ES384 => "sha384",
        Algorithm::RS512 | Algorithm::ES512 => "sha512",
        Algorithm::PS256 | Algorithm::PS384 | Algorithm::PS512 | Algorithm::EdDSA => return None,
    };
    let (Material::Rsa { spki, .. } | Material::Ec { spki, .. }) = key else { return Some(Verification::Invalid) };
    let arguments = arguments([hash_function.as_bytes(), spki, signature, message]);
    match hostcalls::call_foreign_function("verify_signature", Some(&arguments)) {
        Ok(outcome) => match Outcome::decode(outcome.unwrap_or_default().as_slice()) {
            Ok(Outcome { result: true, .. }) => Some(Verification::Valid),
            _ => Some(Verification::Invalid),
        },
        Err(Status::NotFound) => None,
        Err(_) => Some(Verification::Invalid),
    }
}

/// `envoy.source.extensions.common.wasm.VerifySignatureArguments`: the hash function, the key as SubjectPublicKeyInfo in DER
/// (older Envoys have no field for PEM), the signature, and the signed text.
fn arguments(fields: [&[u8]; 4]) -> Vec<u8> {
    // A field has one byte for its tag, and at most five for its length.
    let mut written = Vec::with_capacity(fields.iter().map(|field| field.len().saturating_add(6)).sum());
    for (tag, field) in (1..).zip(fields) {
        encode_key(tag, WireType::LengthDelimited, &mut written);
        encode_varint(field.len() as u64, &mut written);
        written.extend_from_slice(field);
    }
    written
}
