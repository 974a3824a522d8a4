// SPDX-License-Identifier: Apache-2.0

//! Signed access tokens (RFC 7515, RFC 8705 §3.1).

use std::cell::Cell;
use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding,
    RsaKeyPair,
};
use serde_json::{Map, Value, json};

use crate::Failure;
use crate::plan::{Key, Plan};

pub struct Minter {
    signers: BTreeMap<String, Signer>,
    random: SystemRandom,
    /// The next `jti`: no two tokens of a run are the same.
    next: Cell<u64>,
}

struct Signer {
    header: String,
    pair: Pair,
}

enum Pair {
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Minter {
    pub fn new(plan: &Plan) -> Result<Self, Failure> {
        let random = SystemRandom::new();
        let signers = plan.keys.iter().map(|(name, key)| Ok((name.clone(), Signer::new(key, &random)?)));
        Ok(Self { signers: signers.collect::<Result<_, Failure>>()?, random, next: Cell::new(plan.seed << 32) })
    }

    /// A new token, bound to a certificate.
    pub fn mint(&self, key: &str, claims: &Map<String, Value>, thumbprint: &str) -> Result<String, Failure> {
        let signer = self.signers.get(key).ok_or_else(|| format!("the plan has no key {key}"))?;
        self.next.set(self.next.get() + 1);
        let mut claims = claims.clone();
        claims.insert("jti".into(), format!("{:016x}", self.next.get()).into());
        claims.insert("cnf".into(), json!({ "x5t#S256": thumbprint }));
        let signed = format!("{}.{}", signer.header, URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims)?));
        let signature = signer.pair.sign(signed.as_bytes(), &self.random)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl Signer {
    fn new(key: &Key, random: &SystemRandom) -> Result<Self, Failure> {
        let pem = std::fs::read_to_string(&key.path)?;
        let der = STANDARD.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>())?;
        let wrong = |error: ring::error::KeyRejected| format!("{}: {error}", key.path.display());
        let pair = match key.algorithm.as_str() {
            "RS256" => Pair::Rsa(RsaKeyPair::from_pkcs8(&der).map_err(wrong)?, &RSA_PKCS1_SHA256),
            "PS256" => Pair::Rsa(RsaKeyPair::from_pkcs8(&der).map_err(wrong)?, &RSA_PSS_SHA256),
            "ES256" => {
                Pair::Ecdsa(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, random).map_err(wrong)?)
            }
            "EdDSA" => Pair::Ed25519(Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(wrong)?),
            other => return Err(format!("tokens are not signed with {other}").into()),
        };
        let header = serde_json::to_vec(&json!({ "alg": key.algorithm, "kid": key.kid, "typ": "at+jwt" }))?;
        Ok(Self { header: URL_SAFE_NO_PAD.encode(header), pair })
    }
}

impl Pair {
    fn sign(&self, message: &[u8], random: &SystemRandom) -> Result<Vec<u8>, Failure> {
        let failed = |_| "a token could not be signed";
        Ok(match self {
            Self::Rsa(pair, padding) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(*padding, random, message, &mut signature).map_err(failed)?;
                signature
            }
            Self::Ecdsa(pair) => pair.sign(random, message).map_err(failed)?.as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        })
    }
}
