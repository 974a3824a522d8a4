// SPDX-License-Identifier: Apache-2.0

//! Clients that authenticate by their certificate, in the core: what becomes of a request before its body is there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]

use certbound::handover::header_cache::HeaderCache;
use certbound::http::connection::GivenConnection;
use certbound::jose::signature::PortableEngine;
use certbound::keys::KeyRing;
use certbound::policy::step::AskBody;
use certbound::resource_server::token_cache::TokenCache;
use certbound::time::UnixTime;
use certbound::{Context, Policies, Request, Step};
use serde_json::{Value, json};

/// A client that authenticates by a name, and one that publishes its certificates.
const BY_NAME: &str = "tls_client_auth";
const SELF_SIGNED: &str = "self_signed_tls_client_auth";

/// A server with one client of this method, and these keys of `client_authentication` besides the usual ones.
fn server(method: &str, more: &Value) -> Policies {
    let mut client = json!({"client_id": "one", "token_endpoint_auth_method": method});
    match method {
        BY_NAME => client["tls_client_auth_san_dns"] = json!("client.example.org"),
        SELF_SIGNED => client["jwks_uri"] = json!("https://client.example.org/jwks"),
        _ => {}
    }
    let mut clients = json!({
        "clients": [client], "unlisted_clients": "refuse", "client_keys": {"https://client.example.org": "client"},
    });
    clients.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let server = json!({
        "forward_certificate": [{"dialect": "rfc9440"}], "client_authentication": clients,
        "issued_tokens": {"certificate_binding": "required", "token_endpoints": ["/token"]},
    });
    Policies::load(json!({"authorization_server": server}).to_string().as_bytes()).unwrap()
}

/// The first step of a token request on this connection.
fn start(policies: &Policies, connection: &GivenConnection) -> Step {
    start_with(policies, connection, &"1f".repeat(32))
}

/// The same, with a certificate of this SHA-256.
fn start_with(policies: &Policies, connection: &GivenConnection, digest: &str) -> Step {
    let headers: [(&str, &[u8]); 4] = [
        (":method", b"POST"),
        (":path", b"/token"),
        ("content-type", b"application/x-www-form-urlencoded"),
        ("client-cert", b"forged"),
    ];
    let now = UnixTime::from_seconds(1_800_000_000);
    let request = Request { headers: &headers, route_metadata: None, peer_digest: Some(digest.as_bytes()), now };
    let (keys, mut tokens) = (KeyRing::default(), TokenCache::new(policies.token_cache_size()));
    let header_cache = &mut HeaderCache::default();
    let context = Context::new(&PortableEngine, &keys, &mut tokens, header_cache);
    policies.start(&request, &mut Context { connection, ..context })
}

/// A certificate that was presented and not validated, which this host does not hand over.
fn presented() -> GivenConnection {
    GivenConnection { is_chain_validated: Some(false), ..GivenConnection::default() }
}

fn question(step: Step) -> AskBody {
    match step {
        Step::AskBody(question) => question,
        other => panic!("{other:?}"),
    }
}

#[test]
fn headers_wait_for_the_body_where_the_configuration_says_so() {
    for (more, wait) in [
        (json!({}), false),
        (json!({"request_body": "headers_leave"}), false),
        (json!({"request_body": "headers_wait"}), true),
    ] {
        assert_eq!(question(start(&server(BY_NAME, &more), &presented())).headers_wait(), wait, "{more}");
    }
}

#[test]
fn what_a_client_forged_is_removed_before_headers_leave_that_do_not_wait() {
    let mut question = question(start(&server(BY_NAME, &json!({})), &presented()));
    let edits = question.early_edits();
    assert!(edits.iter().any(|edit| edit.name() == "client-cert" && edit.value().is_none()), "{edits:?}");
    assert!(question.early_edits().is_empty(), "they are made once");
}

#[test]
fn the_response_to_a_request_whose_body_is_awaited_is_read_once() {
    let mut step = start(&server(BY_NAME, &json!({})), &presented());
    assert!(matches!(step, Step::AskBody(_)));
    assert!(step.take_response_reader().is_some());
    assert!(step.take_response_reader().is_none());
}

/// It is needed only where a client may have registered it.
#[test]
fn a_certificate_that_is_not_validated_is_asked_for_where_a_client_may_be_registered_with_it_and_only_there() {
    for method in [BY_NAME, "none"] {
        question(start(&server(method, &json!({})), &presented()));
    }
    match start(&server(SELF_SIGNED, &json!({"request_body": "headers_wait"})), &presented()) {
        Step::Refuse(refused) => assert_eq!(refused.reason().name(), "certificate_unavailable"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_body_may_be_as_large_as_the_configuration_says() {
    assert_eq!(question(start(&server(BY_NAME, &json!({})), &presented())).limit(), 65_536);
    let more = json!({"largest_body_bytes": 1024});
    assert_eq!(question(start(&server(BY_NAME, &more), &presented())).limit(), 1024);
}

/// RFC 8705 appendix A.
const CERTIFICATE: &str = "MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwIDSQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOVbUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=";

#[test]
fn the_access_log_names_the_client_that_has_authenticated() {
    let key = json!({
        "kty": "EC", "crv": "P-256", "x": "1yfLHCpXqFjxCeHHHMVDTcLscpb07KUxudBmOMn8C7Q",
        "y": "8_coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8", "x5c": [CERTIFICATE],
    });
    let client = json!({"client_id": "one", "token_endpoint_auth_method": SELF_SIGNED, "jwks": {"keys": [key]}});
    let policies = server("none", &json!({"clients": [client], "request_body": "headers_wait"}));
    let pem = format!("-----BEGIN CERTIFICATE-----\n{CERTIFICATE}\n-----END CERTIFICATE-----\n");
    let connection = GivenConnection { certificate: Some(pem.into_bytes()), ..presented() };
    let digest = "0380ed2f626650c840b2f263e6d2b29fae12ab39ae5db32b25ad27efad72e6fd";
    let question = question(start_with(&policies, &connection, digest));
    let now = UnixTime::from_seconds(1_800_000_000);
    match question.resume(Ok(b"client_id=one"), &KeyRing::default(), &PortableEngine, &|| now) {
        Step::Forward { decision, .. } => {
            let line: Value = serde_json::from_str(&decision.line()).unwrap();
            assert_eq!((&line["reason"], &line["client"]), (&json!("client_authenticated"), &json!("one")));
        }
        other => panic!("{other:?}"),
    }
}
