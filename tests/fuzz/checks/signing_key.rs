// SPDX-License-Identifier: Apache-2.0

//! The operator's private key, with which this proxy signs: whatever is taken signs as the key that another reader finds in the text, and
//! what is refused is refused without a word of it.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use certbound::handover::header_cache::HeaderCache;
use certbound::jose::signature::PortableEngine;
use certbound::keys::KeyRing;
use certbound::resource_server::token_cache::TokenCache;
use certbound::time::UnixTime;
use certbound::{Context, Environment, Policies, Request, Step};
use jwt_simple::algorithms::{ECDSAP256PublicKeyLike, ES256KeyPair};
use jwt_simple::prelude::NoCustomClaims;
use serde_json::Value;

const CONFIGURATION: &str = r#"{"resource_server": {"issuers": [{"issuer": "https://as.example", "audiences": ["api"],
    "introspection": {"endpoint": "https://as.example/introspect", "cluster": "as",
        "tokens": "all", "endpoint_auth_method": "private_key_jwt", "client_id": "api", "client_key": {"environment": "KEY"}}}]}}"#;

pub fn check(input: &[u8]) {
    // The environment has nothing but text.
    let Ok(text) = std::str::from_utf8(input) else { return };
    let variable = |_: &str| Some(text.to_owned());
    let policies = match Policies::load_with(CONFIGURATION.as_bytes(), Environment::Variables(&variable)) {
        Ok(policies) => policies,
        Err(error) => {
            let message = error.to_string();
            let told = message.strip_prefix("resource_server: the environment variable KEY ").unwrap_or_default();
            let told = told.strip_suffix(" (line 1, column 2)").unwrap_or_default();
            assert!(SENTENCES.contains(&told), "{message}");
            return;
        }
    };
    let assertion = assertion(&policies);
    let parts: Vec<_> = assertion.split('.').collect();
    let [header, claims, _] = parts[..] else { panic!("{assertion}") };
    let [header, claims] = [header, claims]
        .map(|part| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() });
    assert_eq!((&header["alg"], &header["typ"]), (&"ES256".into(), &"JWT".into()));
    assert_eq!(
        (&claims["iss"], &claims["sub"], &claims["aud"]),
        (&"api".into(), &"api".into(), &"https://as.example".into())
    );
    let (key, key_id) = key_in(text).unwrap_or_else(|| panic!("another reader finds no key in {text:?}"));
    assert_eq!(header.get("kid"), key_id.as_ref());
    let verified = key.public_key().verify_token::<NoCustomClaims>(&assertion, Some(at_any_time()));
    assert!(verified.is_ok(), "{text:?}: {verified:?}");
    let shown = format!("{policies:?}");
    assert!(!shown.contains(&URL_SAFE_NO_PAD.encode(key.to_bytes())), "the key is shown");
}

/// What is said of a key, which is nothing of its text.
const SENTENCES: [&str; 5] = [
    "is no private key on P-256, as PEM of PKCS #8 or as a JWK: ES256 needs one, and no other algorithm signs here",
    "is a JWK whose `d` is not the private key of `x` and `y`",
    "is an encrypted key, or one in the form of SEC 1: `openssl pkcs8 -topk8 -nocrypt` makes PKCS #8 of both",
    "has more than 4096 characters",
    "is not set, or empty: vm_config.environment_variables.host_env_keys names those that the proxy hands over",
];

fn at_any_time() -> jwt_simple::common::VerificationOptions {
    let now = Some(jwt_simple::prelude::UnixTimeStamp::from_secs(1_000));
    jwt_simple::common::VerificationOptions { artificial_time: now, ..Default::default() }
}

/// What the proxy would authenticate with.
fn assertion(policies: &Policies) -> String {
    let headers = [("authorization", &b"Bearer opaque"[..])];
    let request = Request {
        headers: &headers,
        route_metadata: None,
        peer_digest: Some(DIGEST),
        now: UnixTime::from_seconds(1_000),
    };
    let (keys, mut tokens, mut header_cache) =
        (KeyRing::default(), TokenCache::new(policies.token_cache_size()), HeaderCache::default());
    let context = &mut Context::new(&PortableEngine, &keys, &mut tokens, &mut header_cache);
    let Step::AskIntrospection(question) = policies.start(&request, context) else { panic!("nobody is asked") };
    let call = question.inquiry().call(UnixTime::from_seconds(1_000), &|| Some([7; 16])).unwrap();
    let body = String::from_utf8(call.body).unwrap();
    body.split('&').find_map(|pair| pair.strip_prefix("client_assertion=")).unwrap().to_owned()
}

const DIGEST: &[u8] = b"0380ed2f626650c840b2f263e6d2b29fae12ab39ae5db32b25ad27efad72e6fd";

/// The key in the text, and its name.
fn key_in(text: &str) -> Option<(ES256KeyPair, Option<Value>)> {
    let text = text.trim();
    if text.starts_with('{') {
        let jwk: Value = serde_json::from_str(text).ok()?;
        let member = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str()?).ok();
        let key = ES256KeyPair::from_bytes(&member("d")?).ok()?;
        // SEC 1 §2.3.3.
        let point = key.public_key().public_key().to_bytes_uncompressed();
        assert_eq!(point[1..], [member("x")?, member("y")?].concat(), "the public key is another one");
        return Some((key, jwk.get("kid").filter(|kid| kid.is_string()).cloned()));
    }
    let base64 = text.strip_prefix("-----BEGIN PRIVATE KEY-----")?.strip_suffix("-----END PRIVATE KEY-----")?;
    let der = STANDARD.decode(base64.split_ascii_whitespace().collect::<String>()).ok()?;
    // RFC 5915 §3: the first OCTET STRING of 32 bytes is the number.
    let start = der.windows(5).position(|part| part == [2, 1, 1, 4, 32])? + 5;
    Some((ES256KeyPair::from_bytes(der.get(start..start + 32)?).ok()?, None))
}
