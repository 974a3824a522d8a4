// SPDX-License-Identifier: Apache-2.0

//! Requests that wait, in the built module: for keys, for a client's keys, for what an authorization server says of a token.
//! However many wait, the host never has to run many callbacks of the module inside one another (the fake host counts them),
//! and each gets its response.

#![allow(clippy::arithmetic_side_effects, reason = "a test that cannot go on must stop")]

use std::collections::BTreeMap;
use std::time::Duration;

use crate::case_list::target;
use crate::fake_host::{Cluster, Header, Host, Module, Outcome, Request, START_OF_2026, Shared, Vm};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// As many as may wait in one VM.
const CROWD: usize = 1024;

/// The client's certificate, by its SHA-256.
const DIGEST: [u8; 32] = [0x1f; 32];

fn module() -> Module {
    Module::from_file(&target().join("certbound.wasm"))
}

fn host() -> Host {
    Host::default().with_cluster("as", Cluster::Waits)
}

fn start(host: Host, configuration: &Value) -> Vm {
    host.start(&module(), configuration.to_string().as_bytes()).unwrap_or_else(|refused| panic!("{:?}", refused.log))
}

fn api(more: &Value) -> Value {
    let mut issuer = json!({"issuer": "https://as", "audiences": ["api"]});
    issuer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"resource_server": {"issuers": [issuer]}})
}

fn with_fetched_keys(more: &Value) -> Value {
    let mut keys = json!({"jwks_uri": "https://as/jwks", "cluster": "as"});
    keys.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    api(&json!({ "keys": keys }))
}

fn with_introspection() -> Value {
    api(&json!({"introspection": {
        "endpoint": "https://as/introspect", "cluster": "as", "endpoint_auth_method": "none", "tokens": "all",
    }}))
}

/// So many clients, each with a `jwks_uri` of its own.
fn with_client_keys(count: usize) -> Value {
    let client = |number| {
        json!({
            "client_id": format!("client-{number}"), "token_endpoint_auth_method": "self_signed_tls_client_auth",
            "jwks_uri": format!("https://client/jwks/{number}"),
        })
    };
    json!({"authorization_server": {
        "forward_certificate": [{"dialect": "rfc9440"}],
        "client_authentication": {
            "clients": (0..count).map(client).collect::<Vec<_>>(),
            "client_keys": {"https://client": "as"},
            "unlisted_clients": "refuse",
            "request_body": "headers_wait",
        },
    }})
}

/// A token that nobody signed: whether it is any good is not what is tested here.
fn token(jti: usize) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({"alg": "ES256", "kid": "1"}));
    let claims = json!({"iss": "https://as", "aud": "api", "exp": 2_000_000_000, "jti": jti.to_string()});
    format!("{header}.{}.{}", part(claims), URL_SAFE_NO_PAD.encode([1; 64]))
}

fn with_token(jti: usize) -> Request {
    Request::new("GET", "/")
        .with_property(&["connection", "sha256_peer_certificate_digest"], "1f".repeat(32))
        .with_header("authorization", format!("Bearer {}", token(jti)))
}

/// RFC 8705 appendix A.
const CERTIFICATE: &str = "MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwIDSQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOVbUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=";

fn of_a_client(number: usize) -> Request {
    let body = format!("grant_type=client_credentials&client_id=client-{number}").into_bytes();
    let digest = "0380ed2f626650c840b2f263e6d2b29fae12ab39ae5db32b25ad27efad72e6fd";
    let pem = format!("-----BEGIN CERTIFICATE-----\n{CERTIFICATE}\n-----END CERTIFICATE-----\n");
    Request { end_of_stream: false, body, ..Request::new("POST", "/token") }
        .with_property(&["connection", "sha256_peer_certificate_digest"], digest)
        .with_property(&["connection", "peer_certificate"], pem)
        .with_property(&["connection", "peer_certificate_valid"], [0])
        .with_header("content-type", "application/x-www-form-urlencoded")
}

fn ok() -> Vec<Header> {
    vec![(b":status".to_vec(), b"200".to_vec())]
}

/// A key set whose one key has this id; it is no key that signed anything.
fn key_set(kid: &str) -> Vec<u8> {
    let x = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    let y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
    json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y}]}).to_string().into_bytes()
}

/// Has so many requests wait.
fn crowd(vm: &mut Vm, request: impl Fn(usize) -> Request) -> Vec<u32> {
    let begin = |number| {
        let (context, outcome) = vm.begin(&request(number));
        assert_eq!(outcome, Outcome::Waits, "{number}");
        context
    };
    (0..CROWD).map(begin).collect()
}

/// How they ended, by their status, or 0 for those that went on. None is left, and each ticks the module no more than it
/// must.
fn ended(vm: &mut Vm, crowd: &[u32]) -> BTreeMap<u32, usize> {
    let mut counts = BTreeMap::new();
    for context in crowd {
        let status = match vm.ended(*context) {
            Some(Outcome::Forwarded { .. }) => 0,
            Some(Outcome::Replied { status, .. }) => status,
            other => panic!("{context}: {other:?}"),
        };
        *counts.entry(status).or_default() += 1;
        vm.end(*context);
    }
    counts
}

/// In how much time a whole crowd is answered.
const TIME: Duration = Duration::from_millis(200);

#[test]
fn a_crowd_that_waits_for_the_first_keys_is_answered_when_they_come_and_when_they_do_not() {
    for (headers, body, expected) in [
        (ok(), key_set("1"), 401),
        (ok(), b"<html>".to_vec(), 503),
        (vec![(b":status".to_vec(), b"500".to_vec())], Vec::new(), 503),
        (Vec::new(), Vec::new(), 503),
    ] {
        let mut vm = start(host(), &with_fetched_keys(&json!({})));
        let waiting = crowd(&mut vm, with_token);
        // One more has no place.
        let (late, outcome) = vm.begin(&with_token(CROWD));
        let Outcome::Replied { status: 503, .. } = outcome else { panic!("{outcome:?}") };
        vm.end(late);
        vm.tick(START_OF_2026);
        let [call] = vm.dispatched().try_into().unwrap();
        vm.answer(call.token, &headers, &body);
        vm.pass(TIME);
        assert_eq!(ended(&mut vm, &waiting), BTreeMap::from([(expected, CROWD)]));
    }
}

#[test]
fn a_crowd_that_waits_for_keys_in_vain_is_refused_in_its_time() {
    let mut vm = start(host(), &with_fetched_keys(&json!({"timeout_seconds": 1})));
    let waiting = crowd(&mut vm, with_token);
    vm.pass(Duration::from_secs(3) + TIME);
    assert_eq!(ended(&mut vm, &waiting), BTreeMap::from([(503, CROWD)]));
}

#[test]
fn a_crowd_is_refused_where_no_call_can_be_made() {
    for host in [Host::default(), Host::default().with_cluster("as", Cluster::WithoutHosts)] {
        let mut vm = start(host, &with_fetched_keys(&json!({})));
        let waiting = crowd(&mut vm, with_token);
        vm.pass(TIME);
        assert_eq!(ended(&mut vm, &waiting), BTreeMap::from([(503, CROWD)]));
    }
}

fn active(bound: bool) -> Vec<u8> {
    let mut answer = json!({"active": true, "aud": "api", "token_type": "Bearer"});
    if bound {
        answer["cnf"] = json!({"x5t#S256": URL_SAFE_NO_PAD.encode(DIGEST)});
    }
    answer.to_string().into_bytes()
}

#[test]
fn a_crowd_that_outlives_its_token_is_ended_a_few_at_a_time_or_counted_alone() {
    for (at_expiry, expected) in [("end", Some(401)), ("count", None)] {
        let mut configuration = with_introspection();
        configuration["resource_server"]["at_expiry"] = at_expiry.into();
        let mut vm = start(host(), &configuration);
        let waiting = crowd(&mut vm, |_| with_token(0));
        vm.tick(START_OF_2026);
        let [call] = vm.dispatched().try_into().unwrap();
        let mut answer: Value = serde_json::from_slice(&active(true)).unwrap();
        answer["exp"] = (START_OF_2026.as_secs() + 5).into();
        (answer["sub"], answer["azp"]) = ("alice".into(), "app".into());
        vm.answer(call.token, &ok(), answer.to_string().as_bytes());
        vm.pass(TIME);
        for context in &waiting {
            let Some(Outcome::Forwarded { .. }) = vm.ended(*context) else { panic!("{context} was not forwarded") };
        }
        // The leeway is ten seconds. One ends by itself in time.
        vm.pass(Duration::from_secs(14));
        assert!(waiting.iter().all(|context| vm.ended(*context).is_none()), "none is ended early");
        vm.end(waiting[0]);
        vm.log();
        vm.pass(Duration::from_secs(2));
        let lines = vm.log();
        assert_eq!(lines.is_empty(), expected.is_none(), "{lines:?}");
        let names = |line: &str| line.contains(" client_id=\"app\" subject=\"alice\" issuer=");
        assert!(lines.iter().all(|line| names(&line.text)), "{lines:?}");
        let counter = "certbound_outlived_tokens_total_.=.policy.=.resource_server;.;";
        assert_eq!(vm.counters().get(counter), Some(&(CROWD as u64 - 1)));
        for context in &waiting[1..] {
            let status = match vm.ended(*context) {
                None => None,
                Some(Outcome::Replied { status, .. }) => Some(status),
                other => panic!("{other:?}"),
            };
            assert_eq!(status, expected, "{context}");
            vm.end(*context);
        }
    }
}

#[test]
fn a_crowd_with_one_token_is_answered_with_the_one_response_about_it_and_may_be_resumed_into_one() {
    for (is_bound, is_answered_at_once, expected) in [(true, false, 0), (true, true, 0), (false, false, 401)] {
        let mut vm = start(host(), &with_introspection());
        let waiting = crowd(&mut vm, |_| Request { is_answered_at_once, ..with_token(0) });
        vm.tick(START_OF_2026);
        let [call] = vm.dispatched().try_into().unwrap();
        vm.answer(call.token, &ok(), &active(is_bound));
        vm.pass(TIME);
        assert_eq!(ended(&mut vm, &waiting), BTreeMap::from([(expected, CROWD)]));
    }
}

#[test]
fn a_crowd_with_many_tokens_is_asked_about_in_turns_and_no_more_than_128_at_once() {
    for cluster in [Cluster::Waits, Cluster::WithoutHosts] {
        let mut vm = start(Host::default().with_cluster("as", cluster), &with_introspection());
        let begin = |number| vm.begin(&with_token(number));
        let begun: Vec<_> = (0..CROWD).map(begin).collect();
        let (waiting, refused): (Vec<_>, Vec<_>) =
            begun.into_iter().partition(|(_, outcome)| *outcome == Outcome::Waits);
        assert_eq!((waiting.len(), refused.len()), (128, CROWD - 128));
        let waiting: Vec<_> = waiting.into_iter().map(|(context, _)| context).collect();
        vm.pass(TIME);
        for call in vm.dispatched() {
            vm.answer(call.token, &ok(), &active(true));
        }
        vm.pass(TIME);
        let expected = if cluster == Cluster::Waits { 0 } else { 503 };
        assert_eq!(ended(&mut vm, &waiting), BTreeMap::from([(expected, 128)]));
    }
}

#[test]
fn a_crowd_of_one_client_is_answered_when_its_certificates_come_and_when_they_do_not() {
    let own = json!({"keys": [{"x5c": [CERTIFICATE]}]}).to_string().into_bytes();
    let withdrawn = br#"{"keys": []}"#.to_vec();
    for (headers, body, expected) in [(ok(), own, 0), (ok(), withdrawn, 400), (Vec::new(), Vec::new(), 503)] {
        let mut vm = start(host(), &with_client_keys(1));
        let waiting = crowd(&mut vm, |_| of_a_client(0));
        vm.tick(START_OF_2026);
        let [call] = vm.dispatched().try_into().unwrap();
        vm.answer(call.token, &headers, &body);
        vm.pass(TIME);
        assert_eq!(ended(&mut vm, &waiting), BTreeMap::from([(expected, CROWD)]));
    }
}

#[test]
fn whoever_names_one_client_after_the_other_has_the_certificates_of_no_more_than_128_fetched_at_once() {
    let mut vm = start(host(), &with_client_keys(200));
    let begun: Vec<_> = (0..200).map(|number| vm.begin(&of_a_client(number))).collect();
    let (waiting, refused) = begun.split_at(128);
    assert!(waiting.iter().all(|(_, outcome)| *outcome == Outcome::Waits));
    assert!(refused.iter().all(|(_, outcome)| matches!(outcome, Outcome::Replied { status: 503, .. })));
    // Whose certificates are asked for already is not one too many.
    let (again, outcome) = vm.begin(&of_a_client(0));
    assert_eq!(outcome, Outcome::Waits);
    let own = json!({"keys": [{"x5c": [CERTIFICATE]}]}).to_string().into_bytes();
    let mut asked = 0;
    for _ in 0..100 {
        vm.pass(Duration::from_millis(10));
        for call in vm.dispatched() {
            asked += 1;
            vm.answer(call.token, &ok(), &own);
        }
    }
    vm.pass(TIME);
    assert_eq!(asked, 128);
    let waiting: Vec<_> = waiting.iter().map(|(context, _)| *context).chain([again]).collect();
    assert_eq!(ended(&mut vm, &waiting), BTreeMap::from([(0, 129)]));
    let (after, outcome) = vm.begin(&of_a_client(199));
    assert_eq!(outcome, Outcome::Waits, "there is room again");
    vm.end(after);
}

#[test]
fn a_request_whose_client_goes_away_while_it_waits_is_forgotten() {
    let mut vm = start(host(), &with_fetched_keys(&json!({})));
    let mut waiting = crowd(&mut vm, with_token);
    vm.tick(START_OF_2026);
    for context in waiting.split_off(CROWD / 2) {
        vm.end(context);
    }
    let [call] = vm.dispatched().try_into().unwrap();
    vm.answer(call.token, &ok(), &key_set("1"));
    // Some have their response in their turn, and others go before theirs.
    for context in waiting.split_off(CROWD / 4) {
        vm.end(context);
    }
    vm.pass(TIME);
    assert_eq!(ended(&mut vm, &waiting), BTreeMap::from([(401, CROWD / 4)]));
}

#[test]
fn who_comes_while_others_wait_does_not_make_them_wait_longer() {
    let mut vm = start(host(), &with_introspection());
    let mut waiting = Vec::new();
    for number in 0..200 {
        let request = Request { now: vm.now() + Duration::from_micros(500), ..with_token(number) };
        let (context, outcome) = vm.begin(&request);
        assert_eq!(outcome, Outcome::Waits);
        waiting.push(context);
        vm.pass(Duration::ZERO);
        for call in vm.dispatched() {
            vm.answer(call.token, &ok(), &active(true));
        }
        // Half a millisecond lies between two of them, and each waits for two ticks of one millisecond at most.
        if number >= 8 {
            assert!(matches!(vm.ended(waiting[number - 8]), Some(Outcome::Forwarded { .. })), "{number}");
            vm.end(waiting[number - 8]);
        }
    }
}

#[test]
fn a_lone_request_waits_no_longer_than_for_its_response() {
    let mut vm = start(host(), &with_introspection());
    let (context, outcome) = vm.begin(&with_token(0));
    assert_eq!(outcome, Outcome::Waits);
    vm.pass(Duration::from_millis(1));
    let [call] = vm.dispatched().try_into().unwrap();
    vm.answer(call.token, &ok(), &active(true));
    assert!(matches!(vm.ended(context), Some(Outcome::Forwarded { .. })));
    vm.end(context);
}

/// A worker that comes to know what another one fetched before has not waited for anything yet.
#[test]
fn keys_that_another_worker_fetched_before_do_not_stand_for_the_fetch_that_a_request_needs() {
    let shared = Shared::default();
    let configuration = with_fetched_keys(&json!({}));
    let [mut one, mut other] = [(); 2].map(|()| start(Host { shared: shared.clone(), ..host() }, &configuration));
    one.pass(Duration::from_millis(10));
    let [call] = one.dispatched().try_into().unwrap();
    one.answer(call.token, &ok(), &key_set("of another token"));
    // The other one has had no tick.
    let request = with_token(0);
    let (context, outcome) = other.begin(&request);
    assert_eq!(outcome, Outcome::Waits);
    other.pass(Duration::from_millis(10));
    let [call] = other.dispatched().try_into().unwrap();
    other.answer(call.token, &ok(), &key_set("1"));
    // The right key, and no signature of it: with the one before it would be another reason.
    assert!(matches!(other.ended(context), Some(Outcome::Replied { status: 401, .. })));
    other.end(context);
}
