// SPDX-License-Identifier: Apache-2.0

//! Protected resource metadata (RFC 9728) in the core: what is served, to which request, and what challenges say of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]

use certbound::handover::header_cache::HeaderCache;
use certbound::jose::signature::PortableEngine;
use certbound::keys::KeyRing;
use certbound::resource_server::token_cache::TokenCache;
use certbound::time::UnixTime;
use certbound::{Context, Policies, Request, Step};
use serde_json::{Value, json};

fn policies(resource: &str, more: Value) -> Policies {
    let mut server = json!({
        "issuers": [
            {"issuer": "https://as.example.com", "audiences": ["api"], "keys": {"jwks_uri": "https://as.example.com/jwks", "cluster": "as"}},
            {"issuer": "https://{tenant}.example.com/", "audiences": ["api"],
             "keys": {"jwks_uri": "https://as.example.com/jwks", "cluster": "as"}},
            {"issuer": "no URL", "audiences": ["api"], "keys": {"jwks_uri": "https://as.example.com/jwks", "cluster": "as"}},
        ],
        "protected_resource_metadata": {"resource": resource},
    });
    server.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Policies::load(json!({ "resource_server": server }).to_string().as_bytes()).unwrap()
}

/// The document; the challenges where the request is refused.
fn ask(policies: &Policies, method: &str, authority: &str, path: &str) -> Result<Value, Vec<String>> {
    let headers =
        [(":method", method), (":authority", authority), (":path", path)].map(|(name, value)| (name, value.as_bytes()));
    let request = Request { headers: &headers, route_metadata: None, peer_digest: None, now: UnixTime::EPOCH };
    let (keys, mut tokens) = (KeyRing::default(), TokenCache::new(policies.token_cache_size()));
    let header_cache = &mut HeaderCache::default();
    let context = &mut Context::new(&PortableEngine, &keys, &mut tokens, header_cache);
    match policies.start(&request, context) {
        Step::Serve { served, decision } => {
            assert!(decision.line().starts_with(r#"{"verdict":"served","reason":"protected_resource_metadata""#));
            assert!(served.headers.contains(&("content-type", "application/json")));
            Ok(serde_json::from_str(&served.body).unwrap())
        }
        Step::Refuse(refusal) => Err(refusal.challenges()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_document_is_at_the_url_that_its_resource_makes_and_nowhere_else() {
    // RFC 9728 §3.1: the well-known part stands between the host and the path.
    for (resource, authority, path) in [
        ("https://api.example.com", "api.example.com", "/.well-known/oauth-protected-resource"),
        ("https://api.example.com/", "API.example.com.", "/.well-known/oauth-protected-resource"),
        ("https://api.example.com:8443", "api.example.com:8443", "/.well-known/oauth-protected-resource"),
        ("https://api.example.com/v1", "api.example.com", "/.well-known/oauth-protected-resource/v1"),
        ("https://api.example.com/v1/", "api.example.com", "/.well-known/oauth-protected-resource/v1/"),
    ] {
        let policies = policies(resource, json!({}));
        for method in ["GET", "HEAD"] {
            let document = ask(&policies, method, authority, path).unwrap();
            assert_eq!(
                document,
                json!({
                    "resource": resource, "authorization_servers": ["https://as.example.com"],
                    "bearer_methods_supported": ["header"], "tls_client_certificate_bound_access_tokens": true,
                })
            );
        }
        for (method, authority, path) in [
            ("POST", authority, path.to_owned()),
            ("OPTIONS", authority, path.to_owned()),
            ("GET", "evil.example.com", path.to_owned()),
            ("GET", authority, format!("{path}/x")),
            ("GET", authority, format!("{path}?x")),
            ("GET", authority, format!("/x{path}")),
            ("GET", authority, path.to_uppercase()),
            ("GET", authority, "/".to_owned()),
            ("GET", authority, "/.well-known/oauth-protected-resource/../x".to_owned()),
        ] {
            assert!(ask(&policies, method, authority, &path).is_err(), "{method} {authority} {path}");
        }
    }
}

#[test]
fn challenges_say_where_it_is() {
    let without = r#"Bearer realm="api""#;
    let challenges = ask(&policies("https://api.example.com/v1", json!({})), "GET", "x", "/").unwrap_err();
    let url = "https://api.example.com/.well-known/oauth-protected-resource/v1";
    assert_eq!(challenges, [format!(r#"{without}, resource_metadata="{url}""#)]);
    // RFC 9728 §5.1: whatever the scheme, and whatever else is told.
    let everything = json!({
        "schemes": ["mtls_pop", "Bearer"], "dpop": "verified_upstream", "dpop_algorithms": ["ES256", "EdDSA"],
    });
    let policies = policies("https://api.example.com", everything);
    let url = "https://api.example.com/.well-known/oauth-protected-resource";
    let error = r#"error="invalid_request", error_description="an access token must not stand in the query""#;
    let expected = [
        format!(r#"DPoP realm="api", algs="ES256 EdDSA", resource_metadata="{url}""#),
        format!(r#"Bearer realm="api", {error}, resource_metadata="{url}""#),
        format!(r#"mtls_pop realm="api", resource_metadata="{url}""#),
    ];
    assert_eq!(ask(&policies, "GET", "x", "/?access_token=x").unwrap_err(), expected);
}

#[test]
fn schemes_and_the_algorithms_of_proofs_are_named() {
    let document = |more: Value| {
        let policies = policies("https://api.example.com", more);
        ask(&policies, "GET", "api.example.com", "/.well-known/oauth-protected-resource").unwrap()
    };
    let found = document(json!({"schemes": ["mtls_pop"]}));
    assert_eq!(
        (&found["bearer_methods_supported"], found.get("dpop_signing_alg_values_supported")),
        (&json!([]), None)
    );
    let found = document(json!({"dpop": "verified_upstream", "dpop_algorithms": ["ES256", "Ed25519"]}));
    assert_eq!(found["bearer_methods_supported"], json!(["header"]));
    assert_eq!(found["dpop_signing_alg_values_supported"], json!(["ES256", "Ed25519"]));
}

#[test]
fn scopes_that_are_required_are_named() {
    let policies = policies("https://api.example.com", json!({"required_scopes": ["accounts", "payments"]}));
    let document = ask(&policies, "GET", "api.example.com", "/.well-known/oauth-protected-resource").unwrap();
    assert_eq!(document["scopes_supported"], json!(["accounts", "payments"]));
}
