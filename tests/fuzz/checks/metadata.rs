// SPDX-License-Identifier: Apache-2.0

//! An authorization server's metadata: what was there is there, and what is added is added once.

use certbound::authorization_server::{AtBody, AtHeaders};
use certbound::time::UnixTime;
use certbound::{Policies, Request};
use serde_json::Value;

use super::{json, upstream};

const CONFIGURATION: &str = r#"{"authorization_server": {"forward_certificate": [{"dialect": "rfc9440"}], "metadata": {
    "client_authentication_methods": ["tls_client_auth"], "certificate_bound_access_tokens": "stated",
    "mtls_endpoint_aliases": [{"endpoint": "token_endpoint", "base_url": "https://mtls.example.com"}]}}}"#;

const ADDED: [&str; 5] = [
    "token_endpoint_auth_methods_supported",
    "revocation_endpoint_auth_methods_supported",
    "introspection_endpoint_auth_methods_supported",
    "tls_client_certificate_bound_access_tokens",
    "mtls_endpoint_aliases",
];

pub fn check(input: &[u8]) {
    let policies = Policies::load(CONFIGURATION.as_bytes()).unwrap();
    let headers = [(":method", "GET"), (":path", "/.well-known/openid-configuration")];
    let headers = headers.map(|(name, value)| (name, value.as_bytes()));
    let request = Request { headers: &headers, route_metadata: None, peer_digest: None, now: UnixTime::EPOCH };
    let response_reader = upstream::response_reader(&policies, &request).expect("it is metadata");
    let status = [(":status", &b"200"[..]), ("etag", input)];
    assert!(matches!(response_reader.headers(&status, false), AtHeaders::Pass(Some(_))), "it has no media type");
    let AtBody::Replace(text, _) = response_reader.body(Ok(input)) else { return };
    assert!(matches!(response_reader.body(Ok(text.as_bytes())), AtBody::Pass(_)), "it is not idempotent: {text}");
    let members = |text: &[u8]| match serde_json::from_slice(text) {
        Ok(Value::Object(members)) => Some(members),
        _ => None,
    };
    // Numbers too large for the library, and nesting too deep, are none of the filter's business.
    let (Some(before), Some(after)) = (members(input), members(text.as_bytes())) else { return };
    assert!(before.contains_key("issuer"));
    for (name, value) in &before {
        assert!(ADDED.contains(&name.as_str()) || after.get(name) == Some(value), "{name} was changed");
    }
    assert!(after.keys().all(|name| before.contains_key(name) || ADDED.contains(&name.as_str())));
    if json::unambiguous(input).is_some() {
        assert!(json::unambiguous(text.as_bytes()).is_some(), "it is ambiguous now: {text}");
    }
}
