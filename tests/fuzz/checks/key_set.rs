// SPDX-License-Identifier: Apache-2.0

//! A JWK Set, as a configuration brings it: no private key is taken, some key can be used, and nobody can sign for it
//! without a private key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certbound::jose::signature::PortableEngine;
use certbound::time::UnixTime;
use certbound::{Policies, Request};
use serde_json::Value;
use serde_json::value::RawValue;

use super::json;
use super::upstream::{Host, end};

/// Signatures that some verifier of the past took from anybody: zeros, ones, and the neutral element.
const FORGERIES: &[&[u8]] = &[&[], &[0; 64], &[1; 64], &NEUTRAL, &[0; 256], &RSA_ONE];
const NEUTRAL: [u8; 64] = with_one_at(0);
const RSA_ONE: [u8; 256] = with_one_at(255);

const fn with_one_at<const LENGTH: usize>(index: usize) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[index] = 1;
    bytes
}

pub fn check(input: &[u8]) {
    // Anything else than one value would be more of the configuration than its key set.
    let Ok(set) = serde_json::from_slice::<&RawValue>(input) else {
        return;
    };
    let configuration = format!(
        r#"{{"resource_server": {{"certificate_binding": "if_present", "issuers": [
            {{"issuer": "one", "audiences": ["api"], "keys": {{"jwks": {set}}}}}
        ]}}}}"#
    );
    let Ok(policies) = Policies::load(configuration.as_bytes()) else {
        return;
    };
    let set = json::unambiguous(input).expect("an ambiguous key set was taken");
    assert!(json::depth(&set) < json::TOO_DEEP);
    let keys = set["keys"].as_array().unwrap();
    assert!(keys.iter().all(|key| !is_private(key)), "a private key was taken");
    assert!(keys.iter().any(is_usable), "no key can be used: {set}");

    for algorithm in ["RS256", "PS512", "ES256", "ES384", "EdDSA"] {
        let header = format!(r#"{{"alg":"{algorithm}"}}"#);
        let payload = r#"{"iss":"one","aud":"api","exp":1000}"#;
        let signed = [header.as_str(), payload].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        for forgery in FORGERIES {
            let token = format!("Bearer {signed}.{}", URL_SAFE_NO_PAD.encode(forgery));
            let headers = [("authorization", token.as_bytes())];
            let request = Request { headers: &headers, route_metadata: None, peer_digest: None, now: UnixTime::EPOCH };
            let end = end(&policies, &request, &PortableEngine, Host::default());
            assert!(end.is_err(), "{algorithm} {forgery:?} {set}");
        }
    }
}

/// RFC 7518 §6.2.2, §6.3.2, §6.4.1.
pub fn is_private(key: &Value) -> bool {
    ["d", "k"].iter().any(|member| key.get(member).is_some_and(|value| !value.is_null()))
}

pub fn is_usable(key: &Value) -> bool {
    let size = |member: &str| {
        let bytes = key[member].as_str().and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).unwrap_or_default();
        bytes.iter().skip_while(|byte| **byte == 0).count()
    };
    match (key["kty"].as_str(), key["crv"].as_str()) {
        (Some("RSA"), _) => (256..=512).contains(&size("n")) && size("e") == 3,
        (Some("EC"), Some("P-256")) => size("x") <= 32 && size("y") <= 32,
        (Some("EC"), Some("P-384")) => size("x") <= 48 && size("y") <= 48,
        (Some("EC"), Some("P-521")) => size("x") <= 66 && size("y") <= 66,
        (Some("OKP"), Some("Ed25519")) => size("x") <= 32,
        _ => false,
    }
}
