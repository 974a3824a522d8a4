// SPDX-License-Identifier: Apache-2.0

//! An authorization server's response about a token: a request passes only where it is one unambiguous object that says
//! `active: true` and has the confirmation of the connection's certificate.

use std::sync::LazyLock;

use certbound::handover::header_cache::HeaderCache;
use certbound::http::call::Response;
use certbound::jose::signature::PortableEngine;
use certbound::keys::KeyRing;
use certbound::resource_server::introspection::Introspected;
use certbound::resource_server::token_cache::TokenCache;
use certbound::time::UnixTime;
use certbound::{Context, Policies, Reason, Request, Step};
use serde_json::Value;

use super::{json, token_kind};

const NOW: u64 = 1_493_724_000;
/// That of RFC 8705 §3.1 in its one canonical spelling; the RFC writes another last character.
const THUMBPRINT: &str = "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg0";

static POLICIES: LazyLock<Policies> = LazyLock::new(|| {
    let text = r#"{"resource_server": {"issuers": [{"issuer": "https://server.example.com", "audiences": ["api"],
        "introspection": {"endpoint": "https://server.example.com/introspect", "cluster": "as", "tokens": "all",
                          "endpoint_auth_method": "none", "audience": "if_present"}}]}}"#;
    Policies::load(text.as_bytes()).unwrap()
});

fn judge(tokens: &mut TokenCache, introspected: Option<&Introspected>) -> Step {
    let headers = [("authorization", &b"Bearer opaque"[..])];
    let digest = "6f070ad1eb1cdc0082dc3076639fe5112b1713ca3d96d734e4ef3d8dd37e760d";
    let request = Request {
        headers: &headers,
        route_metadata: None,
        peer_digest: Some(digest.as_bytes()),
        now: UnixTime::from_seconds(NOW),
    };
    let keys = KeyRing::default();
    let header_cache = &mut HeaderCache::default();
    POLICIES
        .start(&request, &mut Context { introspected, ..Context::new(&PortableEngine, &keys, tokens, header_cache) })
}

pub fn check(input: &[u8]) {
    let mut tokens = TokenCache::new(POLICIES.token_cache_size());
    let Step::AskIntrospection(question) = judge(&mut tokens, None) else { panic!("the issuer is not asked") };
    let introspected =
        question.inquiry().clone().receive(&Response { status: Some(200), body: input, ..Response::default() });
    match judge(&mut tokens, Some(&introspected)) {
        Step::Forward { .. } => {
            let mut response =
                json::without_nulls(json::unambiguous(input).expect("an ambiguous response is believed"));
            if response["aud"].as_array().is_some_and(Vec::is_empty) {
                response.as_object_mut().unwrap().remove("aud");
            }
            assert!(json::depth(&response) < json::TOO_DEEP);
            assert_eq!(response["active"], true);
            assert_eq!(response["cnf"]["x5t#S256"], THUMBPRINT);
            assert!(response.get("iss").is_none_or(|issuer| issuer == "https://server.example.com"), "{response}");
            assert!(
                response.get("exp").is_none_or(|expires| expires.as_f64().unwrap() > 1_493_723_000.0),
                "{response}"
            );
            let is_ours = |audience: &Value| audience == "api";
            let ours =
                response.get("aud").is_none_or(|aud| is_ours(aud) || aud.as_array().unwrap().iter().any(is_ours));
            assert!(ours, "{response}");
            assert!(!token_kind::is_another(&response, false), "{response}");
            let kind = &response["token_type"];
            let known = ["bearer", "dpop", "mtls_pop", "access_token"].map(Value::from);
            let kind = kind.as_str().map_or_else(|| kind.clone(), |kind| kind.to_ascii_lowercase().into());
            assert!(known.contains(&kind) || (kind.is_null() && response.get("aud").is_some()), "{response}");
        }
        Step::Refuse(refusal) if refusal.reason() == Reason::TokenInactive => {
            assert_eq!(json::unambiguous(input).expect("an ambiguous response is believed")["active"], false);
        }
        Step::Refuse(refusal) => match refusal.status() {
            401 => assert_eq!(json::unambiguous(input).expect("not understood, and held against it")["active"], true),
            status => assert_eq!((status, refusal.reason()), (503, Reason::IntrospectionUnavailable)),
        },
        other => panic!("a response leads to {other:?}"),
    }
}
