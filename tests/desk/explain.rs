// SPDX-License-Identifier: Apache-2.0

//! `certbound explain` says of every case what the list of cases says, and never shows a token.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot go on must stop"
)]

use std::collections::BTreeMap;

use super::case_list::{Case, CaseList};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use certbound::desk::explain::Question;
use certbound::time::UnixTime;
use serde_json::{Value, json};

/// The request as a file has it; `None` where it has bytes that JSON cannot have.
fn request(case: &Case) -> Option<String> {
    let headers = case.headers();
    let text = |value: &[u8]| String::from_utf8(value.to_vec()).ok();
    let pseudo = |name: &str| headers.iter().find(|(own, _)| own == name).and_then(|(_, value)| text(value));
    let others = headers.iter().filter(|(name, _)| name != ":method" && name != ":path" && name != ":scheme");
    // A desk has no secrets, and their names stand for them.
    let shown =
        |value: String| if value == "0p3n-s3same" { "(the value of CERTBOUND_SECRET)".to_owned() } else { value };
    let named = |(name, value): &(String, Vec<u8>)| {
        Some(json!([if name == ":authority" { "Host" } else { name }, shown(text(value)?)]))
    };
    let others: Vec<Value> = others.map(named).collect::<Option<_>>()?;
    let body = String::from_utf8(case.body().to_vec()).ok()?;
    Some(json!({ "method": pseudo(":method")?, "path": pseudo(":path")?, "headers": others, "body": body }).to_string())
}

/// The explanation; `None` where the case cannot be told on a desk.
fn explanation(list: &CaseList, case: &Case) -> Option<Value> {
    let plain = [
        "connection.sha256_peer_certificate_digest",
        "connection.peer_certificate",
        "connection.peer_certificate_valid",
    ];
    let named = case.metadata().map(|map| policy(&map));
    let der = match plain.map(|path| case.property(path)) {
        [None | Some([]), None | Some([]), _] => None,
        [Some(digest), Some(pem), _] => {
            let der = der(pem)?;
            // A host whose facts do not fit together is none on which a person sits.
            (certbound::certificate::thumbprint::Thumbprint::of_der(&der).hex().as_bytes() == digest).then_some(())?;
            Some(der)
        }
        _ => return None,
    };
    let config = &list.configurations[&case.configuration].json;
    let mut question =
        Question::new(("config.json", config), ("request.json", &request(case)?), UnixTime::from_seconds(case.now))
            .unwrap();
    if let Some(policy) = named {
        question = question.under(&policy?).ok()?;
    }
    if let Some(der) = der {
        let validated = match case.property("connection.peer_certificate_valid") {
            None => None,
            Some([word @ (0 | 1)]) => Some(*word == 1),
            Some(_) => return None,
        };
        question = question.presenting(der, validated);
    }
    if let Some(name) = case.property("connection.requested_server_name") {
        question = question.for_server(String::from_utf8(name.to_vec()).ok()?);
    }
    if let Some(response) = &case.introspection {
        question = question.with_introspection(response.clone().into_bytes()).unwrap();
    }
    let is_of_a_host = case.without_host_cryptography || case.judged_under().is_some() || !case.before().is_empty();
    if !case.verified_payloads().is_empty() || is_of_a_host {
        return None;
    }
    Some(serde_json::from_str(&question.explain().ok()?.json()).unwrap())
}

fn der(pem: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(pem).ok()?.trim();
    let body = text.strip_prefix("-----BEGIN CERTIFICATE-----")?.strip_suffix("-----END CERTIFICATE-----")?;
    STANDARD.decode(body.replace(['\n', '\r'], "")).ok()
}

/// The policy that a map of one entry names.
fn policy(map: &[u8]) -> Option<String> {
    let (lengths, texts) = map.split_at_checked(12)?;
    let name = texts.strip_prefix(b"policy\0")?.strip_suffix(b"\0")?;
    (lengths.starts_with(&[1, 0, 0, 0, 6, 0, 0, 0])).then(|| String::from_utf8(name.to_vec()).ok())?
}

/// The headers that the upstream sees.
fn upstream(case: &Case, edits: &Value) -> Vec<(String, Vec<u8>)> {
    let mut headers = case.headers();
    for edit in edits.as_array().unwrap() {
        let name = edit[0].as_str().unwrap();
        headers.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
        headers.extend(edit[1].as_str().map(|value| (name.to_owned(), value.as_bytes().to_vec())));
    }
    headers
}

#[test]
fn every_case_that_can_be_told_on_a_desk_comes_out_as_the_list_says() {
    let list = CaseList::read();
    let (mut told, mut reasons) = (0, BTreeMap::<String, usize>::new());
    for case in &list.cases {
        let Some(found) = explanation(&list, case) else { continue };
        told += 1;
        let sentence = &case.sentence;
        let steps: Vec<_> = found["steps"].as_array().unwrap().iter().map(|step| step.as_str().unwrap()).collect();
        *reasons.entry(found["reason"].as_str().unwrap().to_owned()).or_default() += 1;
        match &case.refusal {
            Some(refusal) => {
                assert_eq!(
                    (&found["decision"], &found["reason"]),
                    (&json!("refuse"), &json!(refusal.reason)),
                    "{sentence}"
                );
                assert_eq!(found["status"], json!(refusal.grpc_status.map_or(refusal.status, |_| 200)), "{sentence}");
                let names: Vec<_> = found["headers"].as_array().unwrap().iter().map(|header| &header[0]).collect();
                assert_eq!(names.contains(&&json!("www-authenticate")), refusal.challenge, "{sentence}");
                assert_eq!(found["edits"], json!([]), "{sentence}");
                assert!(
                    steps.last().unwrap().starts_with(&format!("refused: {}: ", refusal.reason)),
                    "{sentence} {steps:?}"
                );
            }
            None => {
                assert_eq!((&found["decision"], &found["status"]), (&json!("forward"), &Value::Null), "{sentence}");
                assert_eq!(found["headers"], json!([]), "{sentence}");
                if let Some(note) = &case.note {
                    assert_eq!(found["reason"], json!(note), "{sentence}");
                }
                let upstream = upstream(case, &found["edits"]);
                for (name, value) in case.forward.iter().flatten() {
                    // A desk has no secrets.
                    let value = if name == "cname-api-key" { "(the value of CERTBOUND_SECRET)" } else { value };
                    let seen: Vec<_> = upstream.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name)).collect();
                    assert!(matches!(seen.as_slice(), [(_, own)] if own == value.as_bytes()), "{sentence}: {name}");
                }
                assert!(upstream.iter().all(|(_, value)| value != list.forged.as_bytes()), "{sentence}");
                assert!(steps.last().unwrap().starts_with("forwarded"), "{sentence} {steps:?}");
            }
        }
    }
    assert!(told > 400, "{told} of {}", list.cases.len());
    assert!(reasons.len() >= 44, "{} {reasons:?}", reasons.len());
}

#[test]
fn no_explanation_shows_a_token() {
    let list = CaseList::read();
    for case in &list.cases {
        let Some(found) = explanation(&list, case) else { continue };
        let headers = case.headers();
        for (_, value) in headers.iter().filter(|(name, _)| name == "authorization" || name == ":path") {
            let value = String::from_utf8_lossy(value);
            for part in value.split([' ', ',', '.', '=']).filter(|part| part.len() > 20) {
                assert!(!found.to_string().contains(part), "{}", case.sentence);
            }
        }
    }
}

#[test]
fn the_steps_tell_how_far_a_request_came() {
    let list = CaseList::read();
    let steps = |reason: &str| {
        let is = |case: &&Case| {
            case.configuration == "resource-server" && case.refusal.as_ref().is_some_and(|own| own.reason == reason)
        };
        let found = list.cases.iter().filter(is).find_map(|case| explanation(&list, case)).expect(reason);
        found["steps"].as_array().unwrap().iter().map(|step| step.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let signature = "its signature was verified, or its issuer says that it is active";
    let has = |reason: &str, step: &str| steps(reason).iter().any(|own| own == step);
    assert!(!has("signature_invalid", signature));
    assert!(has("token_expired", signature) && has("certificate_mismatch", signature));
    assert!(has("certificate_mismatch", "it has not expired, and is valid already"));
    assert!(!has("token_expired", "it has not expired, and is valid already"));
    assert!(steps("token_missing").iter().any(|step| step.starts_with("the policy is api (resource_server)")));
    let mismatch = steps("certificate_mismatch").pop().unwrap();
    assert!(mismatch.contains("the token is bound to "), "{mismatch}");
}

/// Which certificate counts, and why none does, is said before whose it is.
#[test]
fn the_steps_tell_whose_certificate_counts_behind_other_proxies() {
    let list = CaseList::read();
    for (sentence, expected) in [
        (
            "the element that this proxy appended about the gateway is taken away",
            Some(
                "the terminator in front proved to be itself, and names the client's certificate in x-edge-cert: x5t#S256 ",
            ),
        ),
        (
            "without a client's element there is no certificate",
            Some("the terminator in front proved to be itself, and has no client's certificate in x-edge-cert"),
        ),
        (
            "the gateway's own certificate in its header is no client's, before the element about it",
            Some("no client's certificate counts: the only certificate is a terminator's own"),
        ),
        (
            "a terminator's name on a resumed session proves nothing, and is told apart",
            Some("no client's certificate counts: the sender presented the name of the terminator in front, but "),
        ),
        (
            "another's name on a resumed session is nobody's",
            Some(
                "no client's certificate counts: the sender of the request did not prove to be the terminator in front",
            ),
        ),
        (
            "a neighbour is held to its own certificate under from_others",
            Some("the certificate of the connection counts as the client's"),
        ),
        (
            "without a source a neighbour's certificate is its own",
            Some("the certificate of the connection counts as the client's"),
        ),
        (
            "a DNS name in not_a_client counts in any case of letters",
            Some("no client's certificate counts: the only certificate has a name of not_a_client"),
        ),
        // What is malformed says so itself.
        ("a quote in a name beside a client's in X-Forwarded-Client-Cert is refused", None),
        ("nobody has no certificate under from_others", None),
    ] {
        let case = list.cases.iter().find(|case| case.sentence == sentence).expect(sentence);
        let found = explanation(&list, case).expect(sentence);
        let steps: Vec<_> = found["steps"].as_array().unwrap().iter().map(|step| step.as_str().unwrap()).collect();
        let place =
            steps.iter().position(|step| step.starts_with("the sender of the request presented ")).expect(sentence);
        let before = steps[..place].iter().copied().find(|step| step.contains("counts") || step.contains("terminator"));
        assert!(before.is_some() == expected.is_some(), "{sentence}: {steps:?}");
        assert!(before.zip(expected).is_none_or(|(own, start)| own.starts_with(start)), "{sentence}: {steps:?}");
    }
}

const API: &str = "resource_server:\n  issuers:\n  - issuer: https://as.example.com\n    audiences: [https://api.example.com]\n    keys: { jwks_uri: https://as.example.com/jwks, cluster: as }\n";

fn wrong(config: &str, request: &str) -> String {
    match Question::new(("config.yaml", config), ("request.json", request), UnixTime::EPOCH) {
        Ok(_) => panic!("{config} {request}"),
        Err(message) => message,
    }
}

#[test]
fn what_cannot_be_read_is_named_with_its_file_and_place() {
    let get = r#"{"method": "GET", "path": "/"}"#;
    assert_eq!(
        wrong("clean_onyl: {}\n", get),
        "config.yaml:1:1: error: clean_onyl: unknown key \"clean_onyl\"; did you mean \"clean_only\"?"
    );
    assert_eq!(
        wrong("static_resources: {}\n", get),
        "config.yaml: there is no configuration of certbound in this file"
    );
    assert_eq!(
        wrong("clean_only: {}\n", "{\"method\": \"GET\",\n \"paht\": \"/\"}"),
        "request.json:2:2: paht: unknown key \"paht\"; did you mean \"path\"?"
    );
    assert_eq!(wrong("clean_only: {}\n", r#"{"method": "GET"}"#), "request.json:1:1: the key \"path\" is required");
    assert_eq!(wrong("clean_only: {}\n", ""), "request.json:1:1: this is not JSON: EOF while parsing a value");
    assert!(
        wrong("clean_only: {}\n---\nclean_only: {}\n", get)
            .contains("several configurations of certbound, in lines 1 and 3")
    );
}

#[test]
fn keys_and_payloads_of_other_servers_are_files() {
    let list = CaseList::read();
    let passes = list
        .cases
        .iter()
        .find(|case| {
            case.configuration == "resource-server"
                && case.forward.is_some()
                && explanation(&list, case).is_some_and(|found| found["reason"] == "token_bound")
        })
        .unwrap();
    let inline: Value = serde_json::from_str(&list.configurations["resource-server"].json).unwrap();
    let keys = inline["policies"]["api"]["resource_server"]["issuers"][0]["keys"]["jwks"].to_string();
    let digest_der = der(passes.property("connection.peer_certificate").unwrap()).unwrap();
    let question = || {
        let question = Question::new(
            ("api.yaml", API),
            ("request.json", &request(passes).unwrap()),
            UnixTime::from_seconds(passes.now),
        )
        .unwrap();
        question.presenting(digest_der.clone(), None)
    };
    let explained = |question: Question| serde_json::from_str::<Value>(&question.explain().unwrap().json()).unwrap();
    let without = explained(question());
    assert_eq!((&without["reason"], &without["status"]), (&json!("keys_unavailable"), &json!(503)));
    assert!(without["steps"].to_string().contains("give them with --keys"), "{without}");
    assert_eq!(explained(question().with_keys(None, keys.as_bytes()).unwrap())["reason"], "token_bound");
    assert_eq!(
        explained(question().with_keys(Some("https://as.example.com"), keys.as_bytes()).unwrap())["reason"],
        "token_bound"
    );
    // Whatever verifies nothing is told, before the first step of which a key may be the reason.
    let mut more: Value = serde_json::from_str(&keys).unwrap();
    for key in [
        json!({"kty": "EC", "crv": "P-256", "kid": "short", "x": "AA", "y": "AA"}),
        json!({"kty": "EC", "use": "enc"}),
        json!({"kty": "oct", "k": "c2VjcmV0"}),
    ] {
        more["keys"].as_array_mut().unwrap().push(key);
    }
    let first = more["keys"].as_array().unwrap().len() - 3;
    let found = explained(question().with_keys(None, more.to_string().as_bytes()).unwrap());
    let place = "jwks_uri https://as.example.com/jwks through as";
    let told: Vec<_> = [
        "kid \"short\": its x has 1 byte in place of 32 (leading zeros belong to it)",
        "no kid: it is for encryption (use)",
        "no kid: it is a symmetric key, and published: whoever reads it can make tokens",
    ]
    .iter()
    .zip(first..)
    .map(|(why, number)| json!(format!("left out of {place}: keys[{number}], {why}")))
    .collect();
    assert_eq!(found["reason"], "token_bound");
    assert_eq!(found["steps"].as_array().unwrap()[2..5], told, "{found}");
    let useless = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "short", "x": "AA", "y": "AA"}]}).to_string();
    let expected = "the key set has no key that verifies tokens: 1 of 1: keys[0], kid \"short\": its x has 1 byte in place of 32 \
                    (leading zeros belong to it)";
    assert_eq!(question().with_keys(None, useless.as_bytes()).unwrap_err(), expected);
    for (issuer, document, expected) in [
        (Some("https://other"), &*keys, "no keys of https://other are fetched under this configuration"),
        (None, "{}", "the key set has no list of keys"),
        (None, "x", "the key set is not one JSON object"),
    ] {
        assert_eq!(question().with_keys(issuer, document.as_bytes()).unwrap_err(), expected);
    }
    assert_eq!(question().under("apo").unwrap_err(), "unknown policy \"apo\"; known are resource_server");
}

#[test]
fn the_certificates_that_a_client_publishes_are_a_file_too() {
    let config = "authorization_server:
  forward_certificate: [ { dialect: rfc9440 } ]
  client_authentication:
    clients: [ { client_id: a, token_endpoint_auth_method: self_signed_tls_client_auth, jwks_uri: https://a/jwks } ]
    client_keys: { https://a: client }
    unlisted_clients: refuse
    request_body: headers_wait
";
    let request = r#"{"method": "POST", "path": "/token", "headers": [["content-type", "application/x-www-form-urlencoded"]], "body": "client_id=a"}"#;
    // RFC 8705 appendix A.
    let certificate = "MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwIDSQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOVbUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=";
    let der = STANDARD.decode(certificate).unwrap();
    let question = || {
        Question::new(("as.yaml", config), ("request.json", request), UnixTime::from_seconds(1000))
            .unwrap()
            .presenting(der.clone(), Some(false))
    };
    let explained = |question: Question| serde_json::from_str::<Value>(&question.explain().unwrap().json()).unwrap();
    let without = explained(question());
    assert_eq!((&without["reason"], &without["status"]), (&json!("client_keys_unavailable"), &json!(503)));
    assert!(without["steps"].to_string().contains("give them with --keys"), "{without}");
    let own = json!({"keys": [{"kty": "EC", "x5c": [certificate]}]}).to_string();
    for client in [None, Some("a")] {
        let found = explained(question().with_keys(client, own.as_bytes()).unwrap());
        assert_eq!(found["reason"], "client_authenticated");
    }
    let withdrawn = explained(question().with_keys(None, b"{\"keys\": []}").unwrap());
    assert_eq!(withdrawn["reason"], "client_certificate_mismatch");
    let broken = question().with_keys(None, b"{\"keys\": [{\"x5c\": [\"AAAA\"]}]}").unwrap_err();
    assert_eq!(
        broken,
        "the key set has no certificate of a client: 1 of 1: keys[0], no kid: x5c holds certificates in base64"
    );
}

#[test]
fn a_payload_that_jwt_authn_verified_is_a_file_too() {
    let config = API.replace(
        "{ jwks_uri: https://as.example.com/jwks, cluster: as }",
        "{ verified_by: jwt_authn, payload_in_metadata: verified }",
    );
    let question = || {
        Question::new(
            ("api.yaml", &config),
            ("request.json", r#"{"method": "GET", "path": "/"}"#),
            UnixTime::from_seconds(1000),
        )
        .unwrap()
        .presenting(b"certificate".to_vec(), None)
    };
    let thumbprint = certbound::certificate::thumbprint::Thumbprint::of_der(b"certificate").to_string();
    let payload = json!({"iss": "https://as.example.com", "aud": ["https://api.example.com"], "exp": 2000, "cnf": {"x5t#S256": thumbprint}});
    let reason = |payload: &Value| {
        let question = question().with_verified_payload("verified", payload.to_string().as_bytes()).unwrap();
        serde_json::from_str::<Value>(&question.explain().unwrap().json()).unwrap()["reason"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(reason(&payload), "token_bound");
    let mut other = payload.clone();
    other["cnf"]["x5t#S256"] = json!("A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0");
    assert_eq!(reason(&other), "certificate_mismatch");
    other = payload.clone();
    other["name"] = Value::Null;
    assert_eq!(reason(&other), "token_not_verified");
    assert_eq!(
        question().with_verified_payload("verifed", b"{}").unwrap_err(),
        "unknown name of a payload \"verifed\"; did you mean \"verified\"?"
    );
    assert_eq!(question().with_verified_payload("verified", b"[]").unwrap_err(), "a payload is a JSON object");
}

#[test]
fn what_the_proxy_alone_knows_must_be_said() {
    let config = "authorization_server: { forward_certificate: [ { dialect: rfc9440 } ] }\n";
    let question = |validated| {
        let question = Question::new(
            ("as.yaml", config),
            ("request.json", r#"{"method": "POST", "path": "/token", "headers": [["Client-Cert", "x"]]}"#),
            UnixTime::EPOCH,
        )
        .unwrap();
        question.presenting(vec![0x30, 0x03, 1, 2, 3], validated).explain()
    };
    assert!(question(None).unwrap_err().contains("say --validated true or false"));
    let found = |validated| serde_json::from_str::<Value>(&question(Some(validated)).unwrap().json()).unwrap();
    assert_eq!(found(true)["edits"], json!([["client-cert", null], ["client-cert", ":MAMBAgM=:"]]));
    assert_eq!(found(false)["edits"], json!([["client-cert", null]]));
    assert_eq!(found(false)["reason"], "certificate_not_validated");
}

#[test]
fn an_authorization_servers_response_is_a_file_too_and_shows_no_token() {
    let config = "authorization_server:
  forward_certificate: [ { dialect: rfc9440 } ]
  client_certificate: validated_by_listener
  metadata: { client_authentication_methods: [ tls_client_auth ] }
  issued_tokens: { certificate_binding: required, token_endpoints: [ /token ] }
";
    let explained = |request: Value, response: Option<Value>| {
        let request = request.to_string();
        let mut question =
            Question::new(("as.yaml", config), ("request.json", &request), UnixTime::from_seconds(1000)).unwrap();
        if let Some(response) = response {
            question = question.with_response(("answer.json", &response.to_string())).unwrap();
        }
        let explanation = question.explain().unwrap();
        (serde_json::from_str::<Value>(&explanation.json()).unwrap(), explanation.to_string())
    };
    let token = json!({"method": "POST", "path": "/token"});
    let (without, _) = explained(token.clone(), None);
    assert_eq!(without.get("answer"), None);
    assert!(without["steps"].to_string().contains("give it with --answer"), "{without}");
    // {"alg":"ES256"} and {"sub":"a"}.
    let secret = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl";
    let unbound = json!({"status": 200, "headers": [["Vary", "Client-Cert"]], "body": json!({"access_token": secret}).to_string()});
    let (found, text) = explained(token.clone(), Some(unbound));
    assert_eq!(
        found["answer"],
        json!({"becomes": "withhold", "outcome": "confirmation_missing", "edits": [["vary", "*"]], "body": null})
    );
    assert!(text.contains("the response is withheld: "), "{text}");
    assert!(!text.contains(secret) && !found.to_string().contains(secret));
    let (found, _) = explained(token, Some(json!({"status": 400, "body": "{\"error\":\"invalid_client\"}"})));
    assert_eq!((&found["answer"]["becomes"], &found["answer"]["outcome"]), (&json!("forward"), &Value::Null));

    let metadata = json!({"method": "GET", "path": "/.well-known/openid-configuration"});
    let document = json!({"issuer": "https://as.example.com"}).to_string();
    let response = json!({"status": 200, "headers": [["Content-Type", "application/json"]], "body": document});
    let (found, text) = explained(metadata, Some(response));
    assert_eq!((&found["answer"]["becomes"], &found["answer"]["outcome"]), (&json!("replace"), &json!("rewritten")));
    let body: Value = serde_json::from_str(found["answer"]["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["tls_client_certificate_bound_access_tokens"], json!(true));
    assert!(text.contains(found["answer"]["body"].as_str().unwrap()), "{text}");

    let other =
        Question::new(("as.yaml", config), ("request.json", r#"{"method": "GET", "path": "/"}"#), UnixTime::EPOCH)
            .unwrap();
    assert_eq!(
        other.with_response(("answer.json", "{\"staus\": 200}")).unwrap_err(),
        "answer.json:1:2: staus: unknown key \"staus\"; did you mean \"status\"?"
    );
}
