// SPDX-License-Identifier: Apache-2.0

//! A request of a client, on the connection of one of two clients or of nobody. It passes only where every reader, the
//! most lenient too, sees the client in it that the connection's certificate is registered for, and no other.
//!
//! The first byte chooses the connection; then come lines: what stands behind the path's `/token`, `Authorization`,
//! `Content-Type`; then the body.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use certbound::http::header_map::borrowed;
use certbound::jose::signature::PortableEngine;
use certbound::time::UnixTime;
use certbound::{Policies, Request};
use sha2::{Digest as _, Sha256};

use super::readers;
use super::upstream::{Host, end};

/// RFC 8705 appendix A: the subject is CN=mtls.
const CERTIFICATE: &str = "MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoXDTIyMDUwMjEyMzcwOVow\
    DzENMAsGA1UEAwwEbXRsczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ/Au08/coZwxS7Lf\
    A4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwIDSQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZ\
    OVbUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=";

/// Whether other clients are refused, or forwarded.
static POLICIES: LazyLock<[Policies; 2]> = LazyLock::new(|| ["refuse", "forward"].map(policies));

fn policies(unlisted_clients: &str) -> Policies {
    let text = r#"{"authorization_server": {
        "forward_certificate": [{"dialect": "rfc9440"}],
        "client_authentication": {
            "clients": [
                {"client_id": "pki", "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_subject_dn": "CN=mtls"},
                {"client_id": "own", "token_endpoint_auth_method": "self_signed_tls_client_auth",
                    "jwks": {"keys": [{"x5c": ["CERTIFICATE"]}]}}
            ],
            "unlisted_clients": "UNLISTED", "request_body": "headers_wait"
        }
    }}"#;
    let text = text.replace("CERTIFICATE", CERTIFICATE).replace("UNLISTED", unlisted_clients);
    Policies::load(text.as_bytes()).unwrap()
}

pub fn check(input: &[u8]) {
    let Some((connection, rest)) = input.split_first() else { return };
    let mut parts = rest.splitn(4, |byte| *byte == b'\n');
    let mut part = || parts.next().unwrap_or_default();
    let (behind, authorization, content_type, body) = (part(), part(), part(), part());
    let mut headers =
        vec![(":method".to_owned(), b"POST".to_vec()), (":path".to_owned(), [b"/token", behind].concat())];
    for (name, value) in [("authorization", authorization), ("content-type", content_type)] {
        if !value.is_empty() {
            headers.push((name.to_owned(), value.to_vec()));
        }
    }
    let pem = format!("-----BEGIN CERTIFICATE-----\n{CERTIFICATE}\n-----END CERTIFICATE-----\n");
    let digest: String =
        Sha256::digest(STANDARD.decode(CERTIFICATE).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect();
    let presents = connection % 3 > 0;
    let validated = connection % 3 == 2;
    let request = Request {
        headers: &borrowed(&headers),
        route_metadata: None,
        peer_digest: presents.then_some(digest.as_bytes()),
        now: UnixTime::EPOCH,
    };
    let host = Host { validated: Some(validated), certificate: Some(pem.as_bytes()), body: Some(body) };
    let [refusing, forwarding] = &*POLICIES;
    let seen = || readings(behind.splitn(2, |byte| *byte == b'?').nth(1).unwrap_or_default()).chain(readings(body));
    if end(forwarding, &request, &PortableEngine, host).is_ok() {
        for client in seen().chain(user(authorization)).filter(|client| client != b"own" && client != b"pki") {
            let taken = taken_for(&client);
            assert!(!taken.iter().any(|client| client == "own" || client == "pki"), "a server takes it for {taken:?}");
        }
    }
    if end(refusing, &request, &PortableEngine, host).is_err() {
        return;
    }
    assert!(presents);
    assert!(authorization.is_empty(), "a client of a certificate passes with other credentials");
    let mut count = 0;
    for client in seen().filter(|client| !client.is_empty()) {
        assert!(
            client == b"own" || (client == b"pki" && validated),
            "somebody sees {:?}",
            client.escape_ascii().to_string()
        );
        count += 1;
    }
    assert_eq!(count, 1, "the client is named {count} times");
}

/// The user of HTTP Basic, as it stands there and decoded.
fn user(authorization: &[u8]) -> Vec<Vec<u8>> {
    let decoded = authorization.get(6..).and_then(|credentials| STANDARD.decode(credentials.trim_ascii()).ok());
    let user = decoded.and_then(|credentials| Some(credentials.split(|byte| *byte == b':').next()?.to_vec()));
    user.into_iter().flat_map(|user| [readers::lenient(&user), user]).collect()
}

/// What servers may take a client's identifier for that pass over case and white space, and decode it up to two times more.
fn taken_for(client: &[u8]) -> Vec<String> {
    let once = readers::lenient(client);
    let twice = readers::lenient(&once);
    let folded = |text: &[u8]| String::from_utf8_lossy(text).trim().to_lowercase();
    [client, &once, &twice].map(folded).into()
}

/// Every value that some server takes for `client_id`, decoded as leniently as it gets.
fn readings(form: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    form.split(|byte| matches!(byte, b'&' | b';')).filter_map(|pair| {
        let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let is_read = readers::names(&pair[..end]).iter().any(|name| name == "client_id");
        is_read.then(|| readers::lenient(pair.get(end + 1..).unwrap_or_default()))
    })
}
