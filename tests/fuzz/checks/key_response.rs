// SPDX-License-Identifier: Apache-2.0

//! An authorization server's response to a call for its keys: keys come of it only where it is one unambiguous key set,
//! and a metadata document sends us nowhere but to the issuer itself. Of a client's response come certificates that stand in
//! it, and no key that is private.

use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use certbound::Policies;
use certbound::http::call::Response;
use certbound::keys::{Fetch, KeyRing, KeySource, Next};
use certbound::time::UnixTime;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{json, key_set};

const ISSUER: &str = "https://as.example";

static SOURCES: LazyLock<Vec<KeySource>> = LazyLock::new(|| {
    let text = format!(
        r#"{{"resource_server": {{"issuers": [
            {{"issuer": "{ISSUER}", "audiences": ["api"], "keys": {{"discovery": {{"cluster": "as"}}}}}},
            {{"issuer": "two", "audiences": ["api"], "keys": {{"jwks_uri": "{ISSUER}/jwks", "cluster": "as"}}}}
        ]}}}}"#
    );
    Policies::load(text.as_bytes()).unwrap().key_sources().cloned().collect()
});

static CLIENT: LazyLock<KeySource> = LazyLock::new(|| {
    let text = r#"{"authorization_server": {
        "forward_certificate": [{"dialect": "rfc9440"}],
        "client_authentication": {
            "clients": [{"client_id": "one", "token_endpoint_auth_method": "self_signed_tls_client_auth",
                "jwks_uri": "https://client.example/jwks"}],
            "client_keys": {"https://client.example": "client"},
            "unlisted_clients": "refuse", "request_body": "headers_wait"
        }
    }}"#;
    Policies::load(text.as_bytes()).unwrap().client_key_sources().next().unwrap().clone()
});

/// RFC 7517 §4.2, §4.3 and RFC 7518 §4.1: whether a key says that it is for something else.
fn is_of_others(key: &Value) -> bool {
    let algorithm = key["alg"].as_str().unwrap_or_default();
    let encrypts =
        ["RSA", "ECDH", "A1", "A2", "PBES2", "dir", "Ed25519ph"].iter().any(|other| algorithm.starts_with(other));
    !key["use"].is_null()
        || !key["key_ops"].is_null()
        || encrypts
        || matches!(key["crv"].as_str(), Some("X25519" | "X448"))
}

fn check_client(response: &Response<'_>) {
    let Next::Call(fetch, call) = Fetch::begin(&CLIENT) else { panic!("a fetch begins with a call") };
    assert_eq!((call.cluster.as_str(), call.authority.as_str()), ("client", "client.example"));
    match fetch.receive(response) {
        Next::Failed(why) => assert!(!why.is_empty()),
        Next::Call(_, second) => panic!("a client has no metadata: {second:?}"),
        Next::Done(fetched) => {
            let set = json::unambiguous(response.body).expect("an ambiguous key set is taken");
            let keys = set["keys"].as_array().unwrap().iter();
            let public = keys.filter(|key| key["d"].is_null() && key["k"].is_null());
            let first = public.filter_map(|key| STANDARD.decode(key["x5c"][0].as_str()?).ok());
            let there: Vec<_> = first.map(|der| Sha256::digest(der).to_vec()).collect();
            assert_eq!(fetched.document.len() % 32, 0);
            let names_none = |key: &Value| key["x5c"].as_array().is_none_or(Vec::is_empty);
            // What was left out comes first, by a digest.
            let (_, certificates) = fetched.document.split_at(32);
            assert!(!certificates.is_empty() || set["keys"].as_array().unwrap().iter().all(names_none));
            assert!(certificates.chunks(32).all(|thumbprint| there.iter().any(|own| own == thumbprint)));
            let mut ring = KeyRing::default();
            assert!(
                ring.take_shared(&CLIENT, &KeyRing::shared(1, UnixTime::EPOCH, fetched.lifetime, &fetched.document))
            );
            let serves = |after| ring.certificates(&CLIENT, UnixTime::since_epoch(after)).is_some();
            assert!(serves(fetched.lifetime) && !serves(fetched.lifetime + Duration::from_millis(1)));
        }
    }
}

/// The first line of the input is `Cache-Control` and `Age`, the rest is the body.
pub fn check(input: &[u8]) {
    let mut lines = input.splitn(2, |byte| *byte == b'\n');
    let (head, body) = (lines.next(), lines.next().unwrap_or_default());
    let response = &Response { status: Some(200), cache_control: head, age: head, location: None, body, unread: None };
    check_client(response);
    assert_eq!(SOURCES.len(), 2);
    for source in SOURCES.iter() {
        let Next::Call(fetch, first) = Fetch::begin(source) else { panic!("a fetch begins with a call") };
        assert_eq!((first.cluster.as_str(), first.authority.as_str()), ("as", "as.example"));
        match fetch.receive(response) {
            Next::Failed(why) => assert!(!why.is_empty()),
            Next::Call(_, second) => {
                let metadata = json::unambiguous(body).expect("ambiguous metadata is believed");
                assert_eq!(metadata["issuer"], ISSUER);
                let uri = metadata["jwks_uri"].as_str().unwrap();
                assert!(uri.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://")), "{uri}");
                // RFC 6454 §4: the same origin, whatever the case and with the default port or without.
                let host = second.authority.to_ascii_lowercase();
                assert!(second.cluster == "as" && matches!(host.as_str(), "as.example" | "as.example:443"), "{uri}");
                let visible = second.path.bytes().all(|byte| matches!(byte, b'!'..=b'~'));
                assert!(visible && second.path.starts_with('/') && uri.ends_with(second.path.trim_start_matches('/')));
            }
            Next::Done(fetched) => {
                assert_eq!(fetched.document, body);
                assert!(fetched.lifetime <= Duration::from_secs(86_400));
                let set = json::unambiguous(body).expect("an ambiguous key set is taken");
                assert!(json::depth(&set) < json::TOO_DEEP);
                let keys = set["keys"].as_array().unwrap();
                assert!(
                    keys.iter().all(is_of_others) || keys.iter().any(key_set::is_usable),
                    "no key can be used: {set}"
                );
                let left_out = fetched.keys.left_out();
                let told = left_out.to_string();
                assert!(told.len() < 3000 && told.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{told}");
                let is_faulty = |key: &Value| !is_of_others(key) && !key_set::is_usable(key);
                assert!(left_out.has_faults() || !keys.iter().any(is_faulty), "nothing is said of a key: {set}");
                assert!(!keys.iter().any(key_set::is_private) || told.contains("and published"), "{told}: {set}");
            }
        }
    }
}
