//! Signatures by the host's own cryptography, many times faster than inside the module.

use prost::Message;
use proxy_wasm::hostcalls;
use proxy_wasm::types::Status;

use crate::jose::algorithm::Algorithm;
use crate::jose::jwk::{Material, PublicKey};
use crate::jose::jws::CompactJws;
use crate::jose::signature::{PortableEngine, SignatureEngine, Verification, ecdsa_der};

/// Envoy's foreign function `verify_signature` for the RS and ES families; jwt-simple for what the host does not know.
pub(super) struct HostEngine;

/// `envoy.source.extensions.common.wasm.VerifySignatureArguments`.
#[derive(Clone, PartialEq, Message)]
struct Arguments {
    #[prost(string, tag = "1")]
    hash_function: String,
    /// SubjectPublicKeyInfo in DER; the field for PEM is younger.
    #[prost(bytes = "vec", tag = "2")]
    public_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    signature: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    text: Vec<u8>,
}

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
        let hash_function = match token.algorithm() {
            Algorithm::RS256 | Algorithm::ES256 => "sha256",
            Algorithm::RS384 | Algorithm::ES384 => "sha384",
            Algorithm::RS512 | Algorithm::ES512 => "sha512",
            Algorithm::PS256 | Algorithm::PS384 | Algorithm::PS512 | Algorithm::EdDSA => {
                return PortableEngine.verify(token, key);
            }
        };
        let (spki, signature) = match key.material() {
            Material::Rsa { spki, .. } => (spki, Some(token.signature().to_vec())),
            Material::Ec { curve, spki } => (spki, ecdsa_der(token.signature(), *curve)),
            Material::Ed25519(_) => return Verification::Invalid,
        };
        let Some(signature) = signature else {
            return Verification::Invalid;
        };
        let arguments = Arguments {
            hash_function: hash_function.to_owned(),
            public_key: spki.clone(),
            signature,
            text: token.signing_input().as_bytes().to_vec(),
        };
        match hostcalls::call_foreign_function("verify_signature", Some(&arguments.encode_to_vec())) {
            Ok(answer) => match Outcome::decode(answer.unwrap_or_default().as_slice()) {
                Ok(Outcome { result: true, .. }) => Verification::Valid,
                _ => Verification::Invalid,
            },
            // The host has no such function; the engine here has these algorithms where it was built with them.
            Err(Status::NotFound) => PortableEngine.verify(token, key),
            Err(_) => Verification::Invalid,
        }
    }
}
