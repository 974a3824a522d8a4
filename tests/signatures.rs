//! Signatures that are wrong, in the core: what they cost, and when newer keys are asked for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot go on must stop"
)]

use std::cell::Cell;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certbound::authorization_server::HandedOver;
use certbound::jose::jwk::PublicKey;
use certbound::jose::jws::CompactJws;
use certbound::jose::signature::{SignatureEngine, Verification};
use certbound::resource_server::keys::{KeyRing, Wish};
use certbound::resource_server::token_cache::TokenCache;
use certbound::{Means, Policies, Request, Step};
use serde_json::{Value, json};

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://as.example.com";

/// What a right signature is to [`Counting`].
const RIGHT: &[u8] = b"right";

/// An engine that counts what it is asked.
#[derive(Default)]
struct Counting(Cell<usize>);

impl SignatureEngine for Counting {
    fn verify(&self, token: &CompactJws<'_>, _: &PublicKey) -> Verification {
        self.0.set(self.0.get() + 1);
        if token.signature() == RIGHT { Verification::Valid } else { Verification::Invalid }
    }
}

/// What became of a request.
#[derive(Debug, PartialEq)]
enum Came {
    Forwarded,
    Refused(&'static str, u16),
    /// Newer keys were asked for; the reason is what it comes to without.
    Asked(&'static str),
}

/// One worker with one issuer, whose keys are fetched.
struct Api {
    policies: Policies,
    keys: KeyRing,
    tokens: TokenCache,
    engine: Counting,
    now: u64,
}

/// As many keys that fit one algorithm: one key under several ids.
fn key_set(count: usize) -> Value {
    // RFC 7517 appendix A.1.
    let key = |number: usize| {
        json!({"kty": "EC", "crv": "P-256", "kid": format!("key-{number}"),
            "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"})
    };
    json!({"keys": (0..count).map(key).collect::<Vec<_>>()})
}

fn configuration(keys: &Value) -> Vec<u8> {
    let issuer = json!({"issuer": ISSUER, "audiences": ["https://api.example.com"], "keys": keys});
    json!({"resource_server": {"issuers": [issuer], "certificate_binding": "if_present"}}).to_string().into_bytes()
}

impl Api {
    /// With so many keys, which were fetched.
    fn new(keys: usize) -> Self {
        let policies = Policies::load(&configuration(&json!({"jwks_uri": format!("{ISSUER}/jwks"), "cluster": "as"})));
        let mut api = Self::with(policies.unwrap());
        api.fetch(1, keys);
        api
    }

    fn with(policies: Policies) -> Self {
        let tokens = TokenCache::new(policies.token_cache_size());
        Self { policies, keys: KeyRing::default(), tokens, engine: Counting::default(), now: NOW }
    }

    fn fetch(&mut self, version: u64, keys: usize) {
        let source = self.policies.key_sources().next().unwrap();
        let shared = KeyRing::shared(version, self.now * 1000, 300, key_set(keys).to_string().as_bytes());
        assert!(self.keys.take_shared(source, &shared));
    }

    fn ask(&mut self, token: &str) -> Came {
        let authorization = format!("Bearer {token}");
        let headers = [("authorization", authorization.as_bytes())];
        let request = Request { headers: &headers, route_metadata: None, peer_digest: None, now: self.now };
        let handed_over = &mut HandedOver::default();
        match self.policies.start(&request, &mut Means::new(&self.engine, &self.keys, &mut self.tokens, handed_over)) {
            Step::Forward { .. } => Came::Forwarded,
            Step::Refuse(refusal) => Came::Refused(refusal.reason().name(), refusal.status()),
            Step::AskKeys(question) => {
                assert_eq!(question.wish(), Wish::UnknownKey);
                Came::Asked(question.refusal().reason().name())
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A token with this `jti`.
fn token(header: Value, number: usize, signature: &[u8]) -> String {
    let claims = json!({"iss": ISSUER, "aud": "https://api.example.com", "exp": NOW + 600, "jti": number.to_string()});
    [header.to_string().as_bytes(), claims.to_string().as_bytes(), signature]
        .map(|part| URL_SAFE_NO_PAD.encode(part))
        .join(".")
}

#[test]
fn a_token_without_a_key_id_that_no_key_verifies_asks_for_newer_keys() {
    let mut api = Api::new(2);
    assert_eq!(api.ask(&token(json!({"alg": "ES256"}), 1, RIGHT)), Came::Forwarded);
    assert_eq!(api.ask(&token(json!({"alg": "ES256"}), 1, b"wrong")), Came::Asked("signature_invalid"));
    // No key fits it.
    assert_eq!(api.ask(&token(json!({"alg": "ES384"}), 1, b"wrong")), Came::Asked("key_unknown"));
    assert_eq!(api.ask(&token(json!({"alg": "ES256", "kid": "other"}), 1, RIGHT)), Came::Asked("key_unknown"));
}

#[test]
fn a_wrong_signature_by_the_key_that_the_token_names_asks_for_none() {
    let mut api = Api::new(2);
    let wrong = token(json!({"alg": "ES256", "kid": "key-1"}), 1, b"wrong");
    assert_eq!(api.ask(&wrong), Came::Refused("signature_invalid", 401));
    let mut inline = Api::with(Policies::load(&configuration(&json!({"jwks": key_set(1)}))).unwrap());
    assert_eq!(inline.ask(&token(json!({"alg": "ES256"}), 1, b"wrong")), Came::Refused("signature_invalid", 401));
}
