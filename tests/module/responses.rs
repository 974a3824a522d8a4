// SPDX-License-Identifier: Apache-2.0

//! Answers that the module reads and changes on their way to the client.

use crate::case_list::CaseList;
use crate::fake_host::{Received, Request, Vm};
use crate::run::{module, request, start, text};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

#[test]
fn the_response_of_a_server_that_gets_client_cert_varies_with_everything() {
    let list = CaseList::read();
    let answered = |sentence: &str| {
        let case = list.case(sentence);
        let mut vm = start(&module(), &list.configurations[&case.configuration].protobuf, None);
        let request =
            request(case).with_response_header("vary", "accept, Client-Cert").with_response_header("client-cert", "x");
        let exchange = vm.request_and_response(&request);
        let calls = exchange.calls.into_iter().filter(|call| call.contains(" response")).collect::<Vec<_>>();
        let Some(Received::Response { headers, .. }) = exchange.received else { panic!("{:?}", exchange.received) };
        let headers = headers
            .into_iter()
            .map(|(name, value)| (String::from_utf8(name).unwrap(), String::from_utf8(value).unwrap()));
        (calls, headers.collect::<Vec<_>>())
    };
    let edits = [
        "proxy_get_header_map_pairs response",
        "proxy_remove_header_map_value response client-cert",
        "proxy_replace_header_map_value response vary",
    ];
    for sentence in
        ["a validated certificate is handed over in every dialect", "no header is written without a client certificate"]
    {
        let (calls, headers) = answered(sentence);
        assert_eq!(calls, edits);
        assert_eq!(headers, [("vary".to_owned(), "*".to_owned())]);
    }
    // No call for any other policy.
    for sentence in [
        "a request without a token passes an open route, which removes forged headers",
        "a self-signed certificate is handed over under client_certificate: presented",
    ] {
        assert!(answered(sentence).0.is_empty());
    }
}

/// In front of an authorization server whose responses are read.
fn reading(response_headers: &str) -> Vm {
    let configuration = serde_json::json!({"authorization_server": {
        "forward_certificate": [{"dialect": "rfc9440"}],
        "metadata": {
            "client_authentication_methods": ["tls_client_auth"],
            "mtls_endpoint_aliases": [{"endpoint": "token_endpoint", "base_url": "https://mtls.example.com"}],
        },
        "issued_tokens": {
            "certificate_binding": "required", "token_endpoints": ["/token"], "response_headers": response_headers,
        },
    }});
    start(&module(), configuration.to_string().as_bytes(), None)
}

/// A response of a token endpoint with a JWT that has these claims.
fn issued(claims: &serde_json::Value) -> Request {
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = format!("{}.{}.AA", part(&serde_json::json!({"alg": "ES256"})), part(claims));
    Request::new("POST", "/token")
        .with_property(&["connection", "sha256_peer_certificate_digest"], "1f".repeat(32))
        .with_property(&["connection", "peer_certificate_valid"], [0])
        .with_response_header(":status", "200")
        .with_response_header("content-type", "application/json")
        .with_response_body(serde_json::json!({"access_token": token, "token_type": "Bearer"}).to_string())
}

#[test]
fn a_token_that_is_not_bound_to_the_certificate_of_its_request_does_not_leave_the_module() {
    let bound = serde_json::json!({"cnf": {"x5t#S256": URL_SAFE_NO_PAD.encode([0x1f; 32])}});
    for (response_headers, is_late) in [("wait", false), ("leave", true)] {
        let mut vm = reading(response_headers);
        let request = issued(&bound);
        match vm.request_and_response(&request).received {
            Some(Received::Response { body, .. }) => assert_eq!(body, request.response_body),
            other => panic!("{other:?}"),
        }
        let unbound =
            vm.request_and_response(&issued(&serde_json::json!({"sub": "a", "azp": "app", "iss": "https://as"})));
        let told = "withheld reason=confirmation_missing policy=authorization_server presented=";
        let who = "expected=- client_id=\"app\" subject=\"a\" issuer=\"https://as\" detail=-";
        let [line] = unbound.log.as_slice() else { panic!("{:?}", unbound.log) };
        assert!(line.text.contains(told) && line.text.ends_with(who), "{}", line.text);
        match unbound.received {
            Some(Received::BrokenOff { body, .. }) if is_late => assert!(body.is_empty()),
            Some(Received::Replied { status: 502, body, .. }) if !is_late => {
                assert!(text(&body).contains("server_error"));
            }
            other => panic!("{other:?}"),
        }
        let mut counted = |verdict: &str, outcome: &str| {
            let labels = format!("verdict.=.{verdict};.;_.=.outcome.=.{outcome};.;");
            vm.counters()[&format!("certbound_issued_tokens_total_.=.policy.=.authorization_server;.;_.=.{labels}")]
        };
        assert_eq!((counted("forwarded", "bound"), counted("withheld", "confirmation_missing")), (1, 1));
    }
}

#[test]
fn a_response_that_is_too_large_is_told_as_that() {
    let mut response = issued(&serde_json::json!({}));
    response.response_body.resize(131_073, b' ');
    let exchange = reading("wait").request_and_response(&response);
    let [line] = exchange.log.as_slice() else { panic!("{:?}", exchange.log) };
    let told = "expected=- client_id=- subject=- issuer=- detail=\"the response is larger than 131072 bytes\"";
    assert!(line.text.ends_with(told), "{}", line.text);
}

#[test]
fn metadata_leaves_the_module_with_what_is_added_and_with_no_length_that_is_wrong() {
    let metadata = r#"{"issuer":"https://as.example.com","token_endpoint":"https://as.example.com/token"}"#;
    let request = Request::new("GET", "/.well-known/openid-configuration")
        .with_response_header(":status", "200")
        .with_response_header("content-type", "application/json")
        .with_response_header("content-length", metadata.len().to_string())
        .with_response_header("etag", "\"1\"")
        .with_response_body(metadata);
    let Some(Received::Response { headers, body }) = reading("leave").request_and_response(&request).received else {
        panic!("it does not pass")
    };
    let found: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(found["mtls_endpoint_aliases"]["token_endpoint"], "https://mtls.example.com/token");
    assert_eq!(found["issuer"], "https://as.example.com");
    let value = |wanted: &str| headers.iter().find(|(name, _)| text(name) == wanted).map(|(_, value)| text(value));
    assert_eq!(value("content-length"), None);
    assert!(value("etag").is_some_and(|etag| etag.starts_with("W/") && etag != "W/\"1\""));
}
