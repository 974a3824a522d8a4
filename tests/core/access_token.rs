// SPDX-License-Identifier: Apache-2.0

//! What is known of a request that was judged by its token, beside the verdict: when the token expires, whether it was seen
//! before, and what the operator reads.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certbound::handover::header_cache::HeaderCache;
use certbound::http::connection::GivenConnection;
use certbound::jose::jwk::PublicKey;
use certbound::jose::jws::CompactJws;
use certbound::jose::signature::{SignatureEngine, Verification};
use certbound::keys::KeyRing;
use certbound::outcome::metric::Metric;
use certbound::resource_server::token_cache::TokenCache;
use certbound::time::UnixTime;
use certbound::{Context, Decision, Policies, Refused, Request, Step};
use serde_json::{Value, json};

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://as.example.com";
/// The SHA-256 of the certificate, and the same as `x5t#S256`.
const DIGEST: &str = "6f070ad1eb1cdc0082dc3076639fe5112b1713ca3d96d734e4ef3d8dd37e760d";
const THUMBPRINT: &str = "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg0";

/// An engine that takes every signature for right.
struct Trusting;

impl SignatureEngine for Trusting {
    fn verify(&self, _: &CompactJws<'_>, _: &PublicKey) -> Verification {
        Verification::Valid
    }
}

struct Api {
    policies: Policies,
    tokens: TokenCache,
}

impl Api {
    /// The resource server and its issuer have these keys besides the usual ones.
    fn new(more: Value, of_issuer: Value) -> Self {
        // RFC 7517 appendix A.1.
        let key = json!({"kty": "EC", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
            "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"});
        let mut issuer = json!({"issuer": ISSUER, "audiences": ["api"], "keys": {"jwks": {"keys": [key]}}});
        issuer.as_object_mut().unwrap().extend(of_issuer.as_object().unwrap().clone());
        let mut server = json!({"issuers": [issuer], "leeway_seconds": 30});
        server.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let policies = Policies::load(json!({"resource_server": server}).to_string().as_bytes()).unwrap();
        let tokens = TokenCache::new(policies.token_cache_size());
        Self { policies, tokens }
    }

    /// On a connection on which another filter left this payload.
    fn ask(&mut self, claims: &Value, payload: Option<&Value>) -> Result<Decision, Refused> {
        let token = [json!({"alg": "ES256"}).to_string(), claims.to_string(), "signature".to_owned()];
        let token = token.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        let authorization = format!("Bearer {token}");
        let headers = [("authorization", authorization.as_bytes())];
        let now = UnixTime::from_seconds(NOW);
        let request = Request { headers: &headers, route_metadata: None, peer_digest: Some(DIGEST.as_bytes()), now };
        let payloads = payload.map(|payload| ("access_token".to_owned(), encoded(payload)));
        let connection = &GivenConnection { verified_payloads: payloads.into_iter().collect(), ..Default::default() };
        let (keys, header_cache) = (KeyRing::default(), &mut HeaderCache::default());
        let context = Context::new(&Trusting, &keys, &mut self.tokens, header_cache);
        match self.policies.start(&request, &mut Context { connection, ..context }) {
            Step::Forward { decision, .. } => Ok(decision),
            Step::Refuse(refused) => Err(refused),
            other => panic!("{other:?}"),
        }
    }
}

/// A value as Envoy hands it to a module. A map is its count, its lengths, then every name and value with a NUL behind it.
fn encoded(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.clone().into_bytes(),
        Value::Number(number) => number.as_f64().unwrap().to_le_bytes().to_vec(),
        Value::Object(members) => {
            let members = members.iter().flat_map(|(name, value)| [name.clone().into_bytes(), encoded(value)]);
            let members: Vec<_> = members.collect();
            let length = |length: usize| u32::try_from(length).unwrap().to_le_bytes().to_vec();
            let lengths = members.iter().map(|member| length(member.len()));
            let ended = members.iter().map(|member| [member, &b"\0"[..]].concat());
            std::iter::once(length(members.len() / 2)).chain(lengths).chain(ended).flatten().collect()
        }
        other => panic!("{other}"),
    }
}

fn claims() -> Value {
    json!({"iss": ISSUER, "aud": "api", "exp": NOW + 600, "client_id": "one", "cnf": {"x5t#S256": THUMBPRINT}})
}

/// Whether the token was in the cache.
fn is_hit(decision: &Decision) -> bool {
    decision
        .counts()
        .any(|(metric, _)| matches!(metric, Metric::Decisions(..) if format!("{metric:?}").contains("Hit")))
}

#[test]
fn a_forwarded_request_says_when_its_token_expires_and_whether_it_ends_then() {
    for (more, ends) in
        [(json!({}), false), (json!({"at_expiry": "count"}), false), (json!({"at_expiry": "end"}), true)]
    {
        let decision = Api::new(more, json!({})).ask(&claims(), None).unwrap();
        assert_eq!(decision.expires(), Some(UnixTime::from_seconds(NOW + 630)));
        assert_eq!(decision.ends_at_expiry().is_some(), ends);
    }
}

#[test]
fn the_access_log_line_of_a_bound_token_is_the_same_each_time_and_written_once() {
    let mut api = Api::new(json!({}), json!({}));
    for hit in [false, true] {
        let decision = api.ask(&claims(), None).unwrap();
        assert_eq!(is_hit(&decision), hit);
        assert!(matches!(decision.line(), Cow::Borrowed(_)));
        let line: Value = serde_json::from_str(&decision.line()).unwrap();
        assert_eq!((&line["reason"], &line["thumbprint"]), (&json!("token_bound"), &json!(THUMBPRINT)));
    }
}

#[test]
fn a_token_that_another_filter_verified_is_known_again_by_its_jti_and_only_where_that_was_verified_too() {
    let mut api =
        Api::new(json!({}), json!({"keys": {"verified_by": "jwt_authn", "payload_in_metadata": "access_token"}}));
    let with = |jti: &str| {
        let mut claims = claims();
        claims["jti"] = json!(jti);
        claims
    };
    for hit in [false, true, true] {
        assert_eq!(is_hit(&api.ask(&with("1"), Some(&with("1"))).unwrap()), hit);
    }
    // Nothing else of the payload is compared again.
    assert!(is_hit(&api.ask(&with("1"), Some(&json!({"jti": "1"}))).unwrap()));
    for payload in [Some(with("2")), None] {
        let refused = api.ask(&with("1"), payload.as_ref()).unwrap_err();
        assert_eq!(refused.reason().name(), "token_not_verified");
    }
}

#[test]
fn a_token_with_an_empty_jti_is_known_again_by_its_whole_payload() {
    let mut api =
        Api::new(json!({}), json!({"keys": {"verified_by": "jwt_authn", "payload_in_metadata": "access_token"}}));
    let with = |jti: &str, subject: &str| {
        let mut claims = claims();
        (claims["jti"], claims["sub"]) = (json!(jti), json!(subject));
        claims
    };
    for hit in [false, true] {
        assert_eq!(is_hit(&api.ask(&with("", "one"), Some(&with("", "one"))).unwrap()), hit);
    }
    let refused = api.ask(&with("", "one"), Some(&with("", "other"))).unwrap_err();
    assert_eq!(refused.reason().name(), "token_not_verified");
}

#[test]
fn of_a_token_that_lives_too_long_the_operator_is_told_how_long() {
    let mut claims = claims();
    claims["iat"] = json!(NOW - 20);
    let refused = Api::new(json!({}), json!({"max_lifetime_seconds": 600})).ask(&claims, None).unwrap_err();
    assert_eq!(
        (refused.reason().name(), refused.detail()),
        ("token_lifetime_too_long", Some("620 seconds, at most 600"))
    );
}
