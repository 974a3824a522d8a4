// SPDX-License-Identifier: Apache-2.0

//! The issuers of the checks, and signatures that a fuzzer can make. Nothing here is a secret: the public keys are the
//! RFCs' own examples, and the only private key is made anew by each process.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certbound::jose::jwk::{Material, PublicKey};
use certbound::jose::jws::CompactJws;
use certbound::jose::signature::{SignatureEngine, Verification};
use jwt_simple::algorithms::{Ed25519KeyPair, EdDSAKeyPairLike};
use sha2::{Digest, Sha256};

pub const ISSUERS: [&str; 2] = ["https://one.example", "https://two.example"];
pub const AUDIENCE: &str = "https://api.example";

/// RFC 7517 Appendix A.1.
const EC_ONE: &str = r#""crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM""#;
const RSA: &str = r#""e": "AQAB", "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw""#;
/// RFC 7515 Appendix A.3.1.
const EC_TWO: &str = r#""crv": "P-256", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0""#;

static ED25519: LazyLock<Ed25519KeyPair> = LazyLock::new(Ed25519KeyPair::generate);

/// One signer of the checks.
#[derive(Debug, PartialEq, Eq)]
pub struct Key {
    /// The place of its issuer in [`ISSUERS`].
    pub issuer: usize,
    pub key_id: &'static str,
    pub algorithm: &'static str,
    mark: Mark,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    Rsa,
    /// The last byte of the point.
    P256(u8),
    Ed25519,
}

/// The first key of the second issuer has the key id of the first issuer's.
pub const KEYS: &[Key] = &[
    Key { issuer: 0, key_id: "1", algorithm: "ES256", mark: Mark::P256(0x23) },
    Key { issuer: 0, key_id: "2", algorithm: "RS256", mark: Mark::Rsa },
    Key { issuer: 0, key_id: "2", algorithm: "PS256", mark: Mark::Rsa },
    Key { issuer: 0, key_id: "3", algorithm: "EdDSA", mark: Mark::Ed25519 },
    Key { issuer: 1, key_id: "1", algorithm: "ES256", mark: Mark::P256(0xad) },
];

impl Key {
    /// The one right signature of this key in the world of [`Marks`]; of Ed25519 it is a real one.
    pub fn sign(&self, signing_input: &str) -> Vec<u8> {
        sign(self.mark, self.algorithm, signing_input)
    }

    pub fn is_ed25519(&self) -> bool {
        self.mark == Mark::Ed25519
    }
}

/// An engine to which a hash of the signed text and of the key's mark is a signature.
#[derive(Debug)]
pub struct Marks;

impl SignatureEngine for Marks {
    fn verify(&self, token: &CompactJws<'_>, key: &PublicKey) -> Verification {
        let mark = match key.material() {
            Material::Rsa { .. } => Mark::Rsa,
            Material::Ec { spki, .. } => Mark::P256(*spki.last().unwrap()),
            _ => Mark::Ed25519,
        };
        let right = sign(mark, token.algorithm().name(), token.signing_input()) == token.signature();
        if right { Verification::Valid } else { Verification::Invalid }
    }
}

fn sign(mark: Mark, algorithm: &str, signing_input: &str) -> Vec<u8> {
    match mark {
        Mark::Ed25519 => ED25519.key_pair().as_ref().sk.sign(signing_input, None).to_vec(),
        other => Sha256::digest(format!("{other:?} {algorithm} {signing_input}")).to_vec(),
    }
}

/// A resource server's policy with all of these keys.
pub fn resource_server(certificate_binding: &str, confirmation: &str) -> String {
    let ed25519 = URL_SAFE_NO_PAD.encode(ED25519.public_key().to_bytes());
    let [one, two] = ISSUERS;
    format!(
        r#"{{"resource_server": {{"certificate_binding": "{certificate_binding}", "issuers": [
            {{"issuer": "{one}", "audiences": ["{AUDIENCE}"], "confirmation": "{confirmation}", "keys": {{"jwks": {{"keys": [
                {{"kty": "EC", "kid": "1", {EC_ONE}}},
                {{"kty": "RSA", "kid": "2", {RSA}}},
                {{"kty": "OKP", "kid": "3", "crv": "Ed25519", "x": "{ed25519}"}}
            ]}}}}}},
            {{"issuer": "{two}", "audiences": ["{AUDIENCE}"], "confirmation": "{confirmation}", "keys": {{"jwks": {{"keys": [
                {{"kty": "EC", "kid": "1", {EC_TWO}}}
            ]}}}}}}
        ]}}}}"#
    )
}
