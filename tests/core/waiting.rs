// SPDX-License-Identifier: Apache-2.0

//! Requests that wait in a worker: how many may, for how long, how many are let go at once, and how often the host ticks.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot go on must stop"
)]

use std::time::Duration;

use certbound::handover::header_cache::HeaderCache;
use certbound::http::call::Response;
use certbound::http::connection::GivenConnection;
use certbound::jose::signature::PortableEngine;
use certbound::keys::{AskKeys, KeyRing};
use certbound::resource_server::token_cache::TokenCache;
use certbound::worker::{FIRST_TICK, MOST_ENDED, MOST_WAITING, Outcome, Ready, Wait};
use certbound::{Context, Reason, Request, Step};
use serde_json::{Value, json};

use super::process::{One, Process, by_jwks_uri, key, published};

const AT_ONCE: Duration = Duration::from_millis(1);
const BUSY: Duration = Duration::from_millis(10);
const IDLE: Duration = Duration::from_millis(100);

/// A policy whose tokens are all introspected; its calls time out after five seconds.
fn introspecting() -> Value {
    let introspection = json!({
        "endpoint": "https://as/introspect", "cluster": "as", "tokens": "all", "endpoint_auth_method": "none",
        "timeout_seconds": 5,
    });
    json!({"resource_server": {"issuers": [{"issuer": "https://as", "audiences": ["api"], "introspection": introspection}]}})
}

/// Has the request of this number wait for what the authorization server says of the token of this name.
fn wait(one: &One, number: u32, token: &str) -> Wait<()> {
    let Step::AskIntrospection(question) = one.start(None, Some(token)) else { panic!("{token}") };
    one.worker.wait_for_introspection(one, number, (), question)
}

/// The numbers of the requests that are let go now.
fn let_go(one: &One) -> Vec<u32> {
    std::iter::from_fn(|| one.worker.next_ready()).map(|ready| ready.context).collect()
}

/// The first request that becomes ready as time passes, and the milliseconds that it took.
fn ready_in_time(one: &One) -> (Ready<()>, u64) {
    let mut waited = 0;
    loop {
        one.tick();
        if let Some(ready) = one.worker.next_ready() {
            return (ready, waited);
        }
        one.process.pass(500);
        waited += 500;
        assert!(waited < 60_000);
    }
}

#[test]
fn requests_are_let_go_in_their_order_and_so_many_in_a_tick() {
    let process = Process::new();
    process.publish("/introspect", published(&json!([])));
    let one = One::with(&process, &introspecting());
    let count = u32::try_from(3 * MOST_ENDED + 1).unwrap();
    for number in 0..count {
        assert!(matches!(wait(&one, number, "one"), Wait::Waits));
    }
    one.turn();
    assert_eq!(process.asked("/introspect"), 1, "they share a call");
    let mut expected = 0..count;
    for _ in 0..4 {
        let now: Vec<u32> = expected.by_ref().take(MOST_ENDED).collect();
        assert_eq!(let_go(&one), now);
        assert_eq!(one.worker.may_end_one(), now.len() < MOST_ENDED);
        one.tick();
    }
    assert!(let_go(&one).is_empty());
}

#[test]
fn a_request_that_the_host_ends_by_itself_counts_as_one_of_those_of_a_tick() {
    let one = One::with(&Process::new(), &introspecting());
    for _ in 0..2 {
        let ended = (0..2 * MOST_ENDED).filter(|_| one.worker.may_end_one()).count();
        assert_eq!(ended, MOST_ENDED);
        one.tick();
    }
}

#[test]
fn ticks_come_at_once_while_something_is_queued_often_while_a_request_waits_and_else_seldom() {
    let process = Process::new();
    process.publish("/introspect", published(&json!([])));
    let one = One::with(&process, &introspecting());
    assert_eq!(FIRST_TICK, BUSY);
    assert_eq!(one.worker.sooner_tick(), None, "nothing waits");
    one.tick();
    assert_eq!((one.worker.next_tick(false), one.worker.next_tick(false)), (Some(IDLE), None));
    assert!(matches!(wait(&one, 1, "one"), Wait::Waits));
    // The call is queued.
    assert_eq!((one.worker.sooner_tick(), one.worker.sooner_tick()), (Some(AT_ONCE), None));
    one.tick();
    // The call is made, and the request waits.
    assert_eq!(one.worker.sooner_tick(), None, "no longer period is set between ticks");
    assert_eq!((one.worker.next_tick(false), one.worker.next_tick(false)), (Some(BUSY), None));
    one.answer();
    // The request is ready.
    assert_eq!((one.worker.sooner_tick(), one.worker.sooner_tick()), (Some(AT_ONCE), None));
    assert_eq!(let_go(&one), [1]);
    one.tick();
    assert_eq!(one.worker.next_tick(true), None, "the host has more to end");
    assert_eq!(one.worker.next_tick(false), Some(IDLE));
    assert_eq!(one.worker.next_tick(true), Some(AT_ONCE));
}

#[test]
fn a_request_waits_until_it_is_let_go_or_forgotten() {
    let process = Process::new();
    process.publish("/introspect", published(&json!([])));
    let one = One::with(&process, &introspecting());
    for number in [1, 2, 3] {
        assert!(matches!(wait(&one, number, "one"), Wait::Waits));
    }
    let waiting = || [1, 2, 3, 4].map(|number| one.worker.waits(number));
    assert_eq!(waiting(), [true, true, true, false]);
    one.worker.forget(2);
    assert_eq!(waiting(), [true, false, true, false]);
    one.turn();
    assert_eq!(waiting(), [true, false, true, false], "those that are ready are not decided yet");
    one.worker.forget(1);
    assert_eq!(let_go(&one), [3]);
    assert_eq!(waiting(), [false; 4]);
}

#[test]
fn one_request_more_than_may_wait_is_refused_whether_the_others_wait_or_are_ready() {
    let process = Process::new();
    process.publish("/introspect", published(&json!([])));
    let one = One::with(&process, &introspecting());
    let most = u32::try_from(MOST_WAITING).unwrap();
    for number in 0..most {
        assert!(matches!(wait(&one, number, if number % 2 == 0 { "one" } else { "other" }), Wait::Waits));
    }
    let refused = || match wait(&one, most, "one") {
        Wait::No((), Outcome::InVain(refused)) => refused.reason(),
        wait => panic!("{wait:?}"),
    };
    assert_eq!(refused(), Reason::IntrospectionUnavailable);
    one.tick();
    // One of both calls is answered, so that half of them are ready.
    let (token, _) = one.calls.borrow_mut().pop().unwrap();
    one.worker.receive(&one, token, &Response::default());
    assert_eq!(refused(), Reason::IntrospectionUnavailable);
    assert_eq!(let_go(&one).len(), MOST_ENDED);
    assert!(matches!(wait(&one, most, "one"), Wait::Waits));
}

#[test]
fn one_token_more_than_may_be_asked_about_is_not_asked_about() {
    let one = One::with(&Process::new(), &introspecting());
    for number in 0..128 {
        assert!(matches!(wait(&one, number, &number.to_string()), Wait::Waits));
        if number == 64 {
            // Some are called about, and the others are queued.
            one.tick();
        }
    }
    let Wait::No((), Outcome::Introspected(introspected)) = wait(&one, 128, "128") else { panic!() };
    assert_eq!(introspected.outcome().name(), "failed");
    assert!(matches!(wait(&one, 128, "0"), Wait::Waits), "it shares the call of the first");
    assert!(matches!(wait(&one, 129, "127"), Wait::Waits), "it shares the call of the last");
}

#[test]
fn a_request_waits_in_vain_after_the_timeout_of_its_call_and_not_before() {
    let process = Process::new();
    let one = One::with(&process, &introspecting());
    assert!(matches!(wait(&one, 1, "one"), Wait::Waits));
    let (refused, waited) = ready_in_time(&one);
    assert!(waited > 5_000, "{waited}");
    assert!(
        matches!(refused.outcome, Outcome::InVain(refused) if refused.reason() == Reason::IntrospectionUnavailable)
    );
    one.answer();
    assert!(one.worker.next_ready().is_none(), "the late response is nobody's");
}

#[test]
fn a_request_that_waits_for_keys_is_refused_after_their_timeout() {
    let process = Process::new();
    process.publish("/jwks", published(&json!([key("one")])));
    let one = One::new(&process, &by_jwks_uri());
    one.turn();
    assert!(one.waits("two"));
    one.tick();
    assert!(one.worker.next_ready().is_none());
    let (refused, waited) = ready_in_time(&one);
    assert!(waited > 5_000, "{waited}");
    assert!(matches!(refused.outcome, Outcome::InVain(refused) if refused.reason() == Reason::KeysUnavailable));
}

#[test]
fn a_response_to_no_call_changes_nothing() {
    let process = Process::new();
    let one = One::with(&process, &introspecting());
    assert!(matches!(wait(&one, 1, "one"), Wait::Waits));
    one.tick();
    one.worker.receive(&one, 999, &Response::default());
    assert!(one.worker.waits(1) && one.worker.next_ready().is_none());
    let (token, _) = one.calls.borrow_mut().pop().unwrap();
    one.worker.receive(&one, token, &Response::default());
    assert_eq!(let_go(&one), [1]);
}

#[test]
fn of_two_key_sets_the_one_that_fails_ends_the_waiting_for_it_alone() {
    let policy = |uri: &str| {
        let keys = json!({"jwks_uri": uri, "cluster": "as"});
        json!({"resource_server": {"issuers": [{"issuer": "https://as", "audiences": ["api"], "keys": keys}]}})
    };
    let policies = json!({"a": policy("https://as/a"), "b": policy("https://as/b")});
    let one = One::with(&Process::new(), &json!({"policies": policies, "default_policy": "a"}));
    for (number, name) in [(1, "a"), (2, "b"), (3, "a"), (4, "b")] {
        let Step::AskKeys { question, .. } = one.start(Some(name), Some("one")) else { panic!("{name}") };
        assert!(matches!(one.worker.wait_for_keys(&one, number, (), question), Wait::Waits));
    }
    one.tick();
    let place = one.calls.borrow().iter().position(|(_, call)| call.path == "/b").unwrap();
    let (token, _) = one.calls.borrow_mut().remove(place);
    one.worker.receive(&one, token, &Response::default());
    assert_eq!(let_go(&one), [2, 4]);
    assert_eq!([1, 3].map(|number| one.worker.waits(number)), [true, true]);
}

/// RFC 8705 appendix A.
const CERTIFICATE: &str = "MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwIDSQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOVbUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=";

/// A server so many of whose clients publish their certificates, each at a place of its own.
fn with_clients(count: usize) -> Value {
    let client = |number| {
        json!({
            "client_id": format!("client-{number}"), "token_endpoint_auth_method": "self_signed_tls_client_auth",
            "jwks_uri": format!("https://client/{number}"),
        })
    };
    json!({"authorization_server": {
        "forward_certificate": [{"dialect": "rfc9440"}],
        "client_authentication": {
            "clients": (0..count).map(client).collect::<Vec<_>>(), "client_keys": {"https://client": "client"},
            "unlisted_clients": "refuse", "request_body": "headers_wait",
        },
    }})
}

/// What is to be fetched for a request of the client of this number.
fn question_of_client(one: &One, number: u32) -> AskKeys {
    let headers: [(&str, &[u8]); 3] =
        [(":method", b"POST"), (":path", b"/token"), ("content-type", b"application/x-www-form-urlencoded")];
    let digest = b"0380ed2f626650c840b2f263e6d2b29fae12ab39ae5db32b25ad27efad72e6fd";
    let now = one.process.now.get();
    let request = Request { headers: &headers, route_metadata: None, peer_digest: Some(digest), now };
    let pem = format!("-----BEGIN CERTIFICATE-----\n{CERTIFICATE}\n-----END CERTIFICATE-----\n");
    let connection = &GivenConnection {
        certificate: Some(pem.into_bytes()),
        is_chain_validated: Some(false),
        ..GivenConnection::default()
    };
    let (keys, mut tokens) = (KeyRing::default(), TokenCache::new(one.policies.token_cache_size()));
    let header_cache = &mut HeaderCache::default();
    let context = Context::new(&PortableEngine, &keys, &mut tokens, header_cache);
    let step = one.policies.start(&request, &mut Context { connection, ..context });
    let Step::AskBody(question) = step else { panic!("{step:?}") };
    let body = format!("client_id=client-{number}");
    match question.resume(Ok(body.as_bytes()), &keys, &PortableEngine, &|| now) {
        Step::AskKeys { question, .. } => question,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_worker_fetches_the_keys_of_128_clients_at_once_and_has_others_wait_for_the_same() {
    let process = Process::new();
    let one = One::with(&process, &with_clients(129));
    let wait = |context, client| one.worker.wait_for_keys(&one, context, (), question_of_client(&one, client));
    let refused = |wait: Wait<()>| match wait {
        Wait::No((), Outcome::InVain(refused)) => refused.reason(),
        wait => panic!("{wait:?}"),
    };
    for client in 0..127 {
        assert!(matches!(wait(client, client), Wait::Waits), "{client}");
    }
    // Some are called for, and still count once.
    one.tick();
    assert!(matches!(wait(127, 127), Wait::Waits));
    assert_eq!(refused(wait(128, 128)), Reason::ClientKeysUnavailable);
    assert!(matches!(wait(128, 0), Wait::Waits), "it shares the call of the first");
    // A fetch that ends makes room for another client's.
    one.answer();
    assert!(!let_go(&one).is_empty());
    assert!(matches!(wait(129, 128), Wait::Waits));
}

/// A policy for each path, whose keys are fetched there.
fn apis(paths: &[&str]) -> Value {
    let policy = |path: &str| {
        let keys = json!({"jwks_uri": format!("https://as/{path}"), "cluster": "as"});
        json!({"resource_server": {"issuers": [{"issuer": "https://as", "audiences": ["api"], "keys": keys}]}})
    };
    let policies = paths.iter().map(|path| ((*path).to_owned(), policy(path))).collect::<serde_json::Map<_, _>>();
    json!({"policies": policies, "default_policy": paths[0]})
}

#[test]
fn each_of_several_key_sets_is_fetched_from_its_own_place_and_again_for_an_unknown_key() {
    let (process, paths) = (Process::new(), ["a", "b", "c"]);
    for path in paths {
        process.publish(&format!("/{path}"), published(&json!([key("one")])));
    }
    let one = One::with(&process, &apis(&paths));
    let asked = || paths.map(|path| process.asked(&format!("/{path}")));
    one.turn();
    assert_eq!(asked(), [1, 1, 1]);
    for (number, path) in [(1, "a"), (2, "b"), (3, "b")] {
        let Step::AskKeys { question, .. } = one.start(Some(path), Some("two")) else { panic!("{path}") };
        assert!(matches!(one.worker.wait_for_keys(&one, number, (), question), Wait::Waits));
    }
    one.turn();
    assert_eq!(asked(), [2, 2, 1]);
}

#[test]
fn a_tick_reads_what_is_shared_as_often_for_a_hundred_requests_that_wait_as_for_one() {
    let reads = |waiting: u32| {
        let process = Process::new();
        process.publish("/jwks", published(&json!([key("one")])));
        let one = One::new(&process, &by_jwks_uri());
        one.turn();
        for number in 0..waiting {
            let question = one.ask(Some("two")).unwrap();
            assert!(matches!(one.worker.wait_for_keys(&one, number, (), question), Wait::Waits));
        }
        let before = process.reads.get();
        one.tick();
        process.reads.get() - before
    };
    assert_eq!(reads(100), reads(1));
}
