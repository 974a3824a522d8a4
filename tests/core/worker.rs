// SPDX-License-Identifier: Apache-2.0

//! What a worker does beside its requests, without a host: when keys are fetched, by whom, and what is kept of them. Days pass
//! in seconds.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot go on must stop"
)]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certbound::http::call::{self, Response};
use certbound::outcome::metric::Metric;
use certbound::worker::{Outcome, Wait};
use certbound::{Reason, Step};
use serde_json::{Value, json};

use super::process::{One, Process, Published, by_jwks_uri, key, published};

const METADATA: &str = "/.well-known/openid-configuration";

/// What Keycloak and Spring say of everything.
const BLANKET: &str = "no-cache, no-store, max-age=0, must-revalidate";

#[test]
fn a_day_takes_no_more_than_two_hundred_fetches_of_a_document_however_many_workers_there_are() {
    for workers in [1, 4] {
        let process = Process::new();
        let blanket = |published: Published| Published { cache_control: Some(BLANKET.to_owned()), ..published };
        let metadata = json!({"issuer": "https://as", "jwks_uri": "https://as/jwks"}).to_string().into_bytes();
        process.publish(METADATA, blanket(Published { body: metadata, ..Published::default() }));
        process.publish("/jwks", blanket(published(&json!([key("one")]))));
        let discovery = json!({"discovery": {"cluster": "as"}});
        let workers: Vec<_> = (0..workers).map(|_| One::new(&process, &discovery)).collect();
        for _ in 0..86_400 {
            workers.iter().for_each(One::turn);
            process.pass(1000);
        }
        for path in [METADATA, "/jwks"] {
            assert!((100..=200).contains(&process.asked(path)), "{path}: {}", process.asked(path));
        }
        // Every worker has them.
        assert!(workers.iter().all(|one| one.reason("one") == Reason::SignatureInvalid));
    }
}

#[test]
fn what_a_response_says_counts_up_to_a_bound_and_from_a_minute_on() {
    for (cache_control, age, more, expected) in [
        (Some("max-age=30"), None, json!({}), 60),
        (Some("max-age=3600"), None, json!({}), 2700),
        (Some("max-age=3600"), Some("3500"), json!({}), 75),
        (Some("max-age=3600"), Some("3700"), json!({}), 60),
        (Some("max-age=3600"), None, json!({"max_age_seconds": 400}), 300),
        (None, None, json!({}), 450),
        (None, None, json!({"default_age_seconds": 100}), 75),
        (Some("no-cache"), None, json!({"default_age_seconds": 1000, "max_age_seconds": 200}), 150),
    ] {
        let process = Process::new();
        let text = |text: Option<&str>| text.map(str::to_owned);
        let response =
            Published { cache_control: text(cache_control), age: text(age), ..published(&json!([key("one")])) };
        process.publish("/jwks", response);
        let mut keys = by_jwks_uri();
        keys.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let one = One::new(&process, &keys);
        one.turn();
        assert_eq!(process.asked("/jwks"), 1);
        process.pass(expected * 1000 - 1);
        one.turn();
        assert_eq!(process.asked("/jwks"), 1, "{cache_control:?} {age:?} {more}");
        process.pass(1);
        one.turn();
        assert_eq!(process.asked("/jwks"), 2, "{cache_control:?} {age:?} {more}");
    }
}

#[test]
fn a_new_key_is_fetched_for_its_first_token_even_right_after_a_routine_fetch() {
    let process = Process::new();
    process.publish("/jwks", published(&json!([key("old")])));
    let one = One::new(&process, &by_jwks_uri());
    one.turn();
    process.pass(450_000);
    one.turn();
    assert_eq!(process.asked("/jwks"), 2, "the routine fetch");
    process.publish("/jwks", published(&json!([key("old"), key("new")])));
    assert!(one.waits("new"));
    one.turn();
    assert_eq!(process.asked("/jwks"), 3);
    let ready = one.worker.next_ready().unwrap();
    assert!(ready.context == 7 && matches!(ready.outcome, Outcome::NewerKeys));
    assert_eq!(one.reason("new"), Reason::SignatureInvalid, "the key is known");
}

#[test]
fn unknown_keys_cause_three_fetches_and_then_one_in_a_cool_down() {
    let process = Process::new();
    process.publish("/jwks", published(&json!([key("one")])));
    let one = One::new(&process, &by_jwks_uri());
    one.turn();
    let mut fetched_at = Vec::new();
    for second in 0..100 {
        let before = process.asked("/jwks");
        if one.waits("unheard of") {
            one.turn();
            assert!(one.worker.next_ready().is_some());
        } else {
            let question = one.ask(Some("unheard of")).unwrap();
            let Wait::No((), outcome) = one.worker.wait_for_keys(&one, 7, (), question) else { panic!("{second}") };
            assert!(matches!(outcome, Outcome::InVain(refusal) if refusal.reason() == Reason::KeyUnknown));
        }
        if process.asked("/jwks") > before {
            fetched_at.push(second);
        }
        process.pass(1000);
    }
    assert_eq!(fetched_at, [0, 1, 2, 30, 60, 90]);
}

#[test]
fn a_fetch_that_fails_ends_the_waiting_and_is_not_repeated_at_once() {
    let process = Process::new();
    process.publish("/jwks", published(&json!([key("one")])));
    let one = One::new(&process, &by_jwks_uri());
    one.turn();
    process.responses.borrow_mut().clear();
    let unavailable = |outcome: &Outcome| match outcome {
        Outcome::InVain(refusal) => refusal.reason() == Reason::KeysUnavailable,
        _ => false,
    };
    assert!(one.waits("unheard of"));
    one.turn();
    assert!(unavailable(&one.worker.next_ready().unwrap().outcome), "nobody knows whether the issuer has this key");
    let question = one.ask(Some("unheard of")).unwrap();
    let Wait::No((), outcome) = one.worker.wait_for_keys(&one, 7, (), question) else {
        panic!("nothing is fetched for a second")
    };
    assert!(unavailable(&outcome));
    one.turn();
    assert_eq!(process.asked("/jwks"), 2);
    assert_eq!(one.reason("one"), Reason::SignatureInvalid, "the keys that are known serve on");
}

#[test]
fn one_response_serves_no_question_of_another_client() {
    let process = Process::new();
    let asking = |more: Value| {
        let mut introspection = json!({
            "endpoint": "https://as/introspect", "cluster": "as", "tokens": "all", "endpoint_auth_method": "none",
        });
        introspection.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        // What signed answers are verified with.
        let keys = (more["answer"] == "jwt").then(|| json!({"jwks": {"keys": [key("one")]}}));
        json!({"resource_server": {"issuers": [
            {"issuer": "https://as", "audiences": ["api"], "keys": keys, "introspection": introspection},
        ]}})
    };
    let with_secret = |method: &str, variable: &str| {
        let secret = json!({"environment": variable});
        asking(json!({"client_id": "one", "endpoint_auth_method": method, "client_secret": secret}))
    };
    let with_key = |variable: &str, key_id: &str| {
        asking(json!({
            "client_id": "one", "endpoint_auth_method": "private_key_jwt", "client_key": {"environment": variable},
            "client_key_id": key_id,
        }))
    };
    let policies = json!({"policies": {
        "one": asking(json!({"client_id": "one"})),
        "again": asking(json!({"client_id": "one", "cache_seconds": 0})),
        "patient": asking(json!({"client_id": "one", "timeout_seconds": 9})),
        "other": asking(json!({"client_id": "other"})),
        "nobody": asking(json!({})),
        "elsewhere": asking(json!({"client_id": "one", "cluster": "elsewhere"})),
        "endpoint": asking(json!({"client_id": "one", "endpoint": "https://as/introspect?tenant=2"})),
        "signed": asking(json!({"client_id": "one", "answer": "jwt"})),
        "basic": with_secret("client_secret_basic", "SECRET"),
        "post": with_secret("client_secret_post", "SECRET"),
        "secret": with_secret("client_secret_post", "OTHER_SECRET"),
        "key": with_key("KEY", "a"),
        "other-key": with_key("OTHER_KEY", "a"),
        "other-name": with_key("KEY", "b"),
    }, "default_policy": "one"});
    let one = One::with(&process, &policies);
    let others = ["other", "nobody", "elsewhere", "patient", "endpoint", "signed", "basic", "post", "secret"];
    let others = [&others[..], &["key", "other-key", "other-name"]].concat();
    for (number, policy) in ["one", "again"].into_iter().chain(others.iter().copied()).enumerate() {
        let Step::AskIntrospection(question) = one.start(Some(policy), None) else { panic!("{policy}") };
        let context = u32::try_from(number).unwrap();
        assert!(matches!(one.worker.wait_for_introspection(&one, context, (), question), Wait::Waits));
    }
    for _ in 0..4 {
        one.tick();
    }
    let asked = process.asked("/introspect") + process.asked("/introspect?tenant=2");
    assert_eq!(asked, others.len() + 1, "two ask the same");
    let first = one.calls.borrow_mut().remove(0).0;
    let body = br#"{"active": false}"#;
    one.worker.receive(&one, first, &Response { status: Some(200), body, ..Response::default() });
    let ready: Vec<_> = std::iter::from_fn(|| one.worker.next_ready()).map(|ready| ready.context).collect();
    assert_eq!(ready, [0, 1]);
}

/// The modulus of RFC 7517 appendix A.1.
const N: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

/// A modulus of two primes of the form k * M + (65537^a mod M), M being the product of the first 126 primes: those of the library
/// that "The Return of Coppersmith's Attack" (Nemec and others, 2017) breaks. The primes were made at random for this test.
const ROCA: &str = "vJYqZcgRZWL2t1vPnErzD1xnLij16vzradiG9_0ytOvH5nEOaUTD2ppxNi77xhaL7nay4scgoowXuhJ2Fr8d-ZaC45pf3dok3dNJafFSsu8iP07S_UhcK6QwFfcAKsFIEV9Med85R7EgiiJfHEllmVNHa1431Jx9lA6cJzo0kfDfC1gdEDLx6hvsjhrCg3rPQd3aYXJgqXelgGWKLWCjcH7IzbotjDJKyAtmp-SRAhDm3Cwgz4_1Wv0NiqmQEpnmUzV_Ht0dPp_alXs37U4LiwZiEt9pF_aPKGB_DIulG3DY4VcnRY91l92XRNGlGVzGs-VVIL018COgbaOmHJ7tOQ";

/// A key that cannot be used, with the key id `it`, and what is said of it.
fn unusable_keys() -> Vec<(Value, &'static str)> {
    let ec = |more: Value| {
        let mut key = key("it");
        for (name, value) in more.as_object().unwrap() {
            key[name] = value.clone();
        }
        key
    };
    let rsa = |n: &str, e: &str| json!({"kty": "RSA", "kid": "it", "n": n, "e": e});
    let short =
        URL_SAFE_NO_PAD.encode(&URL_SAFE_NO_PAD.decode("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0").unwrap()[1..]);
    let of_length = |length: usize, last: u8| URL_SAFE_NO_PAD.encode([vec![0xff; length - 1], vec![last]].concat());
    vec![
        // As Authlib writes one of 128.
        (ec(json!({"y": short})), "its y has 31 bytes in place of 32 (leading zeros belong to it)"),
        (ec(json!({"y": format!("{}AA", "A".repeat(42))})), "its y has 33 bytes in place of 32"),
        (
            ec(json!({"x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU="})),
            "its x is padded base64url (RFC 7515 has no padding)",
        ),
        (rsa(&N.replace('_', "/"), "AQAB"), "its n is base64, and not base64url"),
        (rsa("!", "AQAB"), "its n is not base64url"),
        (ec(json!({"x": null})), "its x is missing"),
        (ec(json!({"x": "A".repeat(43), "y": "A".repeat(43)})), "it is no point of P-256"),
        (rsa(N, "Aw"), "its exponent is 3, and not 65537"),
        (rsa(N, "AAEAAAAAAAAAAAE"), "its exponent is not 65537"),
        (rsa(&of_length(128, 0xff), "AQAB"), "its modulus has 1024 bits, and not 2048 to 4096"),
        (rsa(&of_length(513, 0xff), "AQAB"), "its modulus has 4104 bits, and not 2048 to 4096"),
        (rsa(ROCA, "AQAB"), "its modulus can be factored (ROCA, CVE-2017-15361)"),
        (
            json!({"kty": "OKP", "crv": "Ed25519", "kid": "it", "x": "A".repeat(43)}),
            "it is no Ed25519 key that can be trusted",
        ),
        (ec(json!({"key_ops": []})), "its key_ops are empty"),
        (ec(json!({"key_ops": ["sign"]})), "its key_ops lack \"verify\""),
        (ec(json!({"key_ops": "verify"})), "key_ops: expected a list, found a string"),
        (ec(json!({"use": "signature"})), "its use \"signature\" is unknown"),
        (ec(json!({"alg": "ES256K"})), "its alg \"ES256K\" is unknown here"),
        (ec(json!({"alg": "ES384"})), "its alg ES384 is for another type of key"),
        (ec(json!({"crv": "secp256k1"})), "its type \"EC\" \"secp256k1\" is unknown here"),
        (json!({"kty": "AKP", "kid": "it"}), "its type \"AKP\" is unknown here"),
        (json!({"kty": "EC", "kid": "it"}), "its crv is missing"),
        (json!({"kid": "it"}), "the key \"kty\" is required"),
        (ec(json!({"d": "c2VjcmV0"})), "it is a private key, and published: whoever reads it can make tokens"),
        (
            json!({"kty": "oct", "kid": "it", "k": "c2VjcmV0"}),
            "it is a symmetric key, and published: whoever reads it can make tokens",
        ),
    ]
}

#[test]
fn of_each_key_that_is_left_out_of_a_fetched_set_the_log_says_why_in_one_line() {
    for (unusable, why) in unusable_keys() {
        let process = Process::new();
        process.publish("/jwks", published(&json!([key("good"), unusable])));
        let one = One::new(&process, &by_jwks_uri());
        one.turn();
        let line = format!("keys left out: jwks_uri https://as/jwks through as: 1 of 2: keys[1], kid \"it\": {why}");
        assert_eq!(*one.log.borrow(), [line], "{unusable}");
        assert!(one.log.borrow()[0].len() < 250);
        // The operator of an API has only the refusal at hand.
        let refused = one.ask(Some("it")).unwrap().refused();
        let expected = format!("ES256, kid it, keys[1] is left out: {why}");
        assert_eq!((refused.reason(), refused.detail()), (Reason::KeyUnknown, Some(&*expected)));
        // In vain it is fetched alone: then it is the reason why the keys before stay.
        process.publish("/jwks", published(&json!([unusable])));
        process.pass(450_000);
        one.turn();
        let line = format!(
            "keys not fetched: jwks_uri https://as/jwks through as: the key set has no key that verifies tokens: 1 of 1: keys[0], kid \"it\": {why}"
        );
        assert_eq!(*one.log.borrow().last().unwrap(), line);
        assert_eq!(one.reason("good"), Reason::SignatureInvalid);
    }
}

#[test]
fn a_key_id_that_is_a_number_and_a_key_that_is_none_are_left_out_and_said() {
    let process = Process::new();
    let mut numeric = key("it");
    numeric["kid"] = 7.into();
    process.publish(
        "/jwks",
        published(&json!([numeric, key("good"), "key", null, {"kty": "EC", "crv": "P-256", "x": "AA"}])),
    );
    let one = One::new(&process, &by_jwks_uri());
    one.turn();
    let expected = "keys left out: jwks_uri https://as/jwks through as: 4 of 5: keys[0], kid 7: kid: expected a string, found a number; \
                    keys[2], no kid: expected a map, found a string; keys[3], no kid: expected a map, found null; and 1 more";
    assert_eq!(*one.log.borrow(), [expected]);
    // A token's own is a text.
    let refused = one.ask(Some("7")).unwrap().refused();
    assert_eq!(refused.detail(), Some("ES256, kid 7, keys[0] is left out: kid: expected a string, found a number"));
}

#[test]
fn keys_that_are_for_something_else_are_no_line_in_the_log() {
    let process = Process::new();
    let of_others = json!([
        key("good"),
        {"kty": "RSA", "use": "enc", "n": N, "e": "AQAB"},
        {"kty": "RSA", "alg": "RSA-OAEP-256", "n": N, "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "key_ops": ["deriveBits"]},
        {"kty": "OKP", "crv": "X25519", "x": "AA"},
        {"kty": "OKP", "crv": "Ed25519", "alg": "Ed25519ph", "x": "AA"},
    ]);
    process.publish("/jwks", published(&of_others));
    let one = One::new(&process, &by_jwks_uri());
    one.turn();
    assert_eq!(*one.log.borrow(), [""; 0]);
    assert_eq!(one.reason("good"), Reason::SignatureInvalid);
}

#[test]
fn a_process_writes_one_line_for_what_is_left_out_until_that_changes() {
    let process = Process::new();
    let exponent = |kid: &str| json!({"kty": "RSA", "kid": kid, "n": N, "e": "Aw"});
    let workers: Vec<_> = (0..4).map(|_| One::new(&process, &by_jwks_uri())).collect();
    let lines = || -> Vec<String> { workers.iter().flat_map(|one| one.log.take()).collect() };
    let hours = |hours: u64| {
        for _ in 0..hours * 3600 {
            workers.iter().for_each(One::turn);
            process.pass(1000);
        }
    };
    process.publish("/jwks", published(&json!([key("good"), exponent("a"), exponent("b")])));
    hours(2);
    let of_two = lines();
    assert!(process.asked("/jwks") > 10 && of_two.len() == 1 && of_two[0].contains("2 of 3"), "{of_two:?}");
    // In another order they are the same.
    process.publish("/jwks", published(&json!([exponent("b"), key("good"), exponent("a"), key("new")])));
    hours(2);
    assert_eq!(lines(), [""; 0]);
    process.publish("/jwks", published(&json!([key("good"), exponent("b")])));
    hours(2);
    let of_one = lines();
    assert!(of_one.len() == 1 && of_one[0].contains("1 of 2"), "{of_one:?}");
    // Neither a set without fault nor a configuration that is loaded anew has anything to say.
    process.publish("/jwks", published(&json!([key("good")])));
    hours(1);
    let anew = One::new(&process, &by_jwks_uri());
    anew.turn();
    assert_eq!((lines(), anew.log.take()), (vec![], vec![]));
}

/// Whoever publishes keys writes no more into the log than this, and no line of its own.
#[test]
fn a_line_about_keys_is_bounded_and_has_nothing_of_a_key_in_it() {
    let text = "\r\nrefused: reason=none \u{1b}[31m\"\u{202e}\u{1f600}".repeat(10);
    let secret = "c2VjcmV0IHBhcnQgb2YgYSBrZXk";
    let mut keys = vec![key("good")];
    for _ in 0..90 {
        keys.push(json!({"kty": text, "crv": text, "kid": text}));
        keys.push(json!({"kty": "EC", "crv": "P-256", "kid": text, "alg": text, "x": text, "y": text}));
    }
    keys.truncate(99);
    keys.push(json!({"kty": "RSA", "kid": "last", "n": secret, "e": secret, "d": secret, "p": secret}));
    let process = Process::new();
    process.publish("/jwks", published(&keys.into()));
    let one = One::new(&process, &by_jwks_uri());
    one.turn();
    let log = one.log.take();
    let [line] = &*log else { panic!("{log:?}") };
    assert!(line.len() < 3000 && line.bytes().all(|byte| (0x20..=0x7e).contains(&byte)), "{} {line}", line.len());
    assert!(!line.contains(secret) && line.ends_with("; and 96 more"), "{line}");
    // What is most urgent comes first.
    assert!(line.contains("99 of 100: keys[99], kid \"last\": it is a private key"), "{line}");
    let detail = one.ask(Some(&text)).unwrap().refused().detail().unwrap().len();
    assert!(detail < 1500, "{detail}");
}

#[test]
fn of_an_unknown_key_the_operator_is_told_that_keys_of_the_set_have_no_kid() {
    let process = Process::new();
    let mut unnamed = key("");
    unnamed.as_object_mut().unwrap().remove("kid");
    process.publish("/jwks", published(&json!([key("one"), unnamed, unnamed])));
    let one = One::new(&process, &by_jwks_uri());
    one.turn();
    let detail = |kid| one.ask(kid).unwrap().refused().detail().unwrap().to_owned();
    assert_eq!(detail(Some("other")), "ES256, a kid that no key of the set has, 2 keys of the set have no kid");
    process
        .publish("/jwks", published(&json!([{"kty": "RSA", "n": N, "e": "AQAB"}, {"kty": "RSA", "n": N, "e": "Aw"}])));
    process.pass(450_000);
    one.turn();
    assert_eq!(detail(Some("other")), "ES256, a kid that no key of the set has, 1 key of the set is left out");
    assert_eq!(detail(None), "ES256, no kid, 1 key of the set is left out");
}

#[test]
fn withdrawn_keys_are_withdrawn_and_looked_for_again_within_a_minute() {
    for withdrawn in [json!([]), json!([{"kty": "EC", "use": "enc"}, {"kty": "RSA", "key_ops": ["encrypt"]}])] {
        let process = Process::new();
        process.publish("/jwks", published(&json!([key("one")])));
        let one = One::new(&process, &by_jwks_uri());
        one.turn();
        assert_eq!(one.reason("one"), Reason::SignatureInvalid);
        let hour = Some("max-age=3600".to_owned());
        process.publish("/jwks", Published { cache_control: hour, ..published(&withdrawn) });
        process.pass(450_000);
        one.turn();
        assert_eq!(one.reason("one"), Reason::KeyUnknown, "{withdrawn}");
        process.publish("/jwks", published(&json!([key("one")])));
        process.pass(60_000);
        one.turn();
        assert_eq!(one.reason("one"), Reason::SignatureInvalid);
    }
}

#[test]
fn a_set_with_a_key_that_cannot_be_read_withdraws_none() {
    for unreadable in [
        json!([{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]),
        json!([{"kty": "unheard of"}]),
        json!([{"kty": "EC", "use": "enc"}, {"kty": "RSA", "n": "AA", "e": "AQAB"}]),
        json!([1]),
        json!("keys"),
        // More than an authorization server has use for.
        json!(vec![key("another"); 101]),
    ] {
        let process = Process::new();
        process.publish("/jwks", published(&json!([key("one")])));
        let one = One::new(&process, &by_jwks_uri());
        one.turn();
        process.publish("/jwks", published(&unreadable));
        process.pass(450_000);
        one.turn();
        assert_eq!(one.reason("one"), Reason::SignatureInvalid, "{unreadable}");
        assert!(one.log.borrow().last().unwrap().contains("keys not fetched"), "{unreadable}");
    }
}

#[test]
fn a_fetch_of_a_configuration_that_ends_is_made_by_the_next_one_at_once() {
    let process = Process::new();
    process.publish("/jwks", published(&json!([key("one")])));
    let old = One::new(&process, &by_jwks_uri());
    old.tick();
    let new = One::new(&process, &by_jwks_uri());
    new.tick();
    assert_eq!(process.asked("/jwks"), 1, "the first one fetches for both");
    old.worker.end(&old);
    new.turn();
    assert_eq!(process.asked("/jwks"), 2);
    assert_eq!(new.reason("one"), Reason::SignatureInvalid);
}

#[test]
fn a_fetch_of_a_worker_that_is_gone_without_a_word_is_made_by_another_one_in_a_second() {
    let process = Process::new();
    process.publish("/jwks", published(&json!([key("one")])));
    let gone = One::new(&process, &by_jwks_uri());
    gone.tick();
    drop(gone);
    let other = One::new(&process, &by_jwks_uri());
    assert!(other.waits("one"));
    for _ in 0..9 {
        process.pass(100);
        other.turn();
    }
    assert_eq!(process.asked("/jwks"), 1);
    process.pass(100);
    other.turn();
    assert_eq!(process.asked("/jwks"), 2);
}

#[test]
fn a_fetch_that_takes_long_is_made_once_while_its_worker_lives() {
    let process = Process::new();
    process.publish("/jwks", published(&json!([key("one")])));
    let workers: Vec<_> = (0..4).map(|_| One::new(&process, &by_jwks_uri())).collect();
    for _ in 0..40 {
        workers.iter().for_each(One::tick);
        process.pass(100);
    }
    assert_eq!(process.asked("/jwks"), 1);
    workers.iter().for_each(One::answer);
    workers.iter().for_each(One::tick);
    assert!(workers.iter().all(|one| one.reason("one") == Reason::SignatureInvalid));
}

#[test]
fn shared_records_name_their_form_and_the_digest_of_what_is_asked() {
    let process = Process::new();
    process.publish("/jwks", published(&json!([key("one")])));
    One::new(&process, &by_jwks_uri()).turn();
    let data = process.data.borrow();
    let names: Vec<_> = data.keys().map(String::as_str).collect();
    let [keys, schedule] = names.as_slice() else { panic!("{names:?}") };
    let digest = keys.strip_prefix("certbound/2/").unwrap();
    assert!(digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(*schedule, format!("{keys}/schedule"));
}

#[test]
fn keys_that_cannot_be_read_are_fetched_again() {
    let process = Process::new();
    process.publish("/jwks", published(&json!([key("one")])));
    One::new(&process, &by_jwks_uri()).turn();
    for (name, (value, revision)) in process.data.borrow_mut().iter_mut() {
        if !name.ends_with("/schedule") {
            *value = b"what another program wrote".to_vec();
            *revision += 1;
        }
    }
    let other = One::new(&process, &by_jwks_uri());
    other.turn();
    assert_eq!(process.asked("/jwks"), 2);
    assert_eq!(other.reason("one"), Reason::SignatureInvalid);
    other.turn();
    assert_eq!(process.asked("/jwks"), 2);
}

#[test]
fn a_schedule_that_is_lost_hides_no_newer_keys() {
    let process = Process::new();
    process.publish("/jwks", published(&json!([key("old")])));
    let workers = [One::new(&process, &by_jwks_uri()), One::new(&process, &by_jwks_uri())];
    workers.iter().for_each(One::turn);
    process.data.borrow_mut().retain(|name, _| !name.ends_with("/schedule"));
    process.publish("/jwks", published(&json!([key("new")])));
    process.pass(1);
    workers.iter().for_each(One::turn);
    workers.iter().for_each(One::turn);
    for one in &workers {
        assert_eq!((one.reason("new"), one.reason("old")), (Reason::SignatureInvalid, Reason::KeyUnknown));
    }
}

#[test]
fn what_one_discovery_found_is_nothing_to_another_that_forbids_it() {
    let process = Process::new();
    let metadata = json!({"issuer": "https://as", "jwks_uri": "https://keys/jwks"}).to_string().into_bytes();
    process.publish(METADATA, Published { body: metadata, ..Published::default() });
    process.publish("/jwks", published(&json!([key("one")])));
    let origins = |origins: Value| json!({"discovery": {"cluster": "as", "origins": origins}});
    let one = One::new(&process, &origins(json!({"https://keys": "keys"})));
    one.turn();
    assert_eq!(one.reason("one"), Reason::SignatureInvalid);
    let strict = One::new(&process, &origins(json!({})));
    strict.turn();
    assert_eq!(strict.reason("one"), Reason::KeysUnavailable);
    assert!(
        strict.log.borrow()[0]
            .contains("it must be https at the issuer's origin, or at one that `discovery.origins` lists")
    );
}

#[test]
fn keys_are_fetched_again_before_they_serve_no_more() {
    for (max_stale, cache_control) in [(60, None), (300, None), (3600, Some("max-age=86400"))] {
        let process = Process::new();
        let cache_control = cache_control.map(str::to_owned);
        process.publish("/jwks", Published { cache_control, ..published(&json!([key("one")])) });
        let keys = json!({"jwks_uri": "https://as/jwks", "cluster": "as", "max_stale_seconds": max_stale});
        let one = One::new(&process, &keys);
        for second in 0..3 * max_stale {
            one.turn();
            assert_eq!(one.reason("one"), Reason::SignatureInvalid, "{max_stale} {second}");
            process.pass(1000);
        }
        assert!(process.asked("/jwks") <= 5, "{max_stale}: {}", process.asked("/jwks"));
    }
}

#[test]
fn of_several_policies_with_one_source_the_strictest_limits_and_the_longest_timeout_count() {
    let policy = |more: Value| {
        let mut keys = by_jwks_uri();
        keys.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"resource_server": {"issuers": [{"issuer": "https://as", "audiences": ["api"], "keys": keys}]}})
    };
    for (cache_control, strict) in [
        (Some("max-age=86400"), json!({"max_age_seconds": 60, "timeout_seconds": 30})),
        (None, json!({"default_age_seconds": 60, "timeout_seconds": 30})),
        (None, json!({"max_stale_seconds": 80, "timeout_seconds": 30})),
    ] {
        let process = Process::new();
        let cache_control = cache_control.map(str::to_owned);
        process.publish("/jwks", Published { cache_control, ..published(&json!([key("one")])) });
        let policies = json!({"a": policy(json!({"timeout_seconds": 1})), "b": policy(strict.clone())});
        let one = One::with(&process, &json!({"policies": policies, "default_policy": "a"}));
        one.tick();
        assert_eq!(one.calls.borrow()[0].1.timeout.as_secs(), 30);
        one.answer();
        process.pass(59_999);
        one.turn();
        assert_eq!(process.asked("/jwks"), 1, "{strict}");
        process.pass(1);
        one.turn();
        assert_eq!(process.asked("/jwks"), 2, "{strict}");
    }
}

#[test]
fn a_new_configuration_with_a_shorter_age_does_not_wait_for_what_the_old_one_agreed() {
    let process = Process::new();
    let cache_control = Some("max-age=86400".to_owned());
    process.publish("/jwks", Published { cache_control, ..published(&json!([key("one")])) });
    let old = One::new(&process, &by_jwks_uri());
    old.turn();
    let mut keys = by_jwks_uri();
    keys["max_age_seconds"] = 60.into();
    let new = One::new(&process, &keys);
    new.turn();
    assert_eq!(process.asked("/jwks"), 1);
    process.pass(60_000);
    old.turn();
    assert_eq!(process.asked("/jwks"), 1);
    new.turn();
    assert_eq!(process.asked("/jwks"), 2);
}

#[test]
fn without_a_source_of_chance_nothing_is_signed_and_the_request_is_refused() {
    let process = Process::new();
    let introspection = json!({
        "endpoint": "https://as/introspect", "cluster": "as", "tokens": "all", "client_id": "one",
        "endpoint_auth_method": "private_key_jwt", "client_key": {"environment": "KEY"},
    });
    let issuer = json!({"issuer": "https://as", "audiences": ["api"], "introspection": introspection});
    let one = One::with(&process, &json!({"resource_server": {"issuers": [issuer]}}));
    for nonce in [Some(7), None] {
        process.nonces.set(nonce);
        let Step::AskIntrospection(question) = one.start(None, None) else { panic!() };
        assert!(matches!(one.worker.wait_for_introspection(&one, 1, (), question), Wait::Waits));
        one.tick();
        assert_eq!(process.asked("/introspect"), 1);
        let ready = one.worker.next_ready();
        match nonce {
            Some(_) => {
                assert!(ready.is_none());
                let first = one.calls.borrow_mut().remove(0).0;
                one.worker.receive(&one, first, &Response::default());
                assert!(one.worker.next_ready().is_some());
            }
            None => {
                let Outcome::Introspected(introspected) = ready.unwrap().outcome else { panic!() };
                assert_eq!(introspected.outcome().name(), "failed");
            }
        }
    }
}

#[test]
fn questions_about_tokens_leave_calls_for_keys() {
    let process = Process::new();
    let introspection = json!({
        "endpoint": "https://as/introspect", "cluster": "as", "tokens": "all", "endpoint_auth_method": "none",
    });
    let issuer = json!({"issuer": "https://as", "audiences": ["api"], "introspection": introspection});
    let opaque = json!({"resource_server": {"issuers": [issuer]}});
    let signed = json!({"resource_server": {"issuers": [{"issuer": "https://as", "audiences": ["api"], "keys": by_jwks_uri()}]}});
    let one =
        One::with(&process, &json!({"policies": {"opaque": opaque, "signed": signed}, "default_policy": "opaque"}));
    for number in 0..100 {
        let Step::AskIntrospection(question) = one.start(None, Some(&number.to_string())) else { panic!("{number}") };
        assert!(matches!(one.worker.wait_for_introspection(&one, number, (), question), Wait::Waits));
    }
    one.tick();
    assert_eq!((process.asked("/introspect"), process.asked("/jwks")), (4, 1));
}

#[test]
fn keys_that_another_worker_fetched_before_end_no_waiting() {
    let process = Process::new();
    process.publish("/jwks", published(&json!([key("one")])));
    let [one, other] = [One::new(&process, &by_jwks_uri()), One::new(&process, &by_jwks_uri())];
    one.turn();
    let wait = |kid: &str| other.worker.wait_for_keys(&other, 7, (), other.ask(Some(kid)).unwrap());
    assert!(matches!(wait("two"), Wait::No((), Outcome::SharedKeys)), "those are judged with first");
    assert!(matches!(wait("two"), Wait::Waits), "and then there is a fetch");
}

#[test]
fn a_worker_that_starts_has_the_keys_that_another_one_fetched() {
    let process = Process::new();
    process.publish("/jwks", published(&json!([key("one")])));
    One::new(&process, &by_jwks_uri()).turn();
    let other = One::new(&process, &by_jwks_uri());
    assert_eq!(other.reason("one"), Reason::SignatureInvalid, "the key is known before the first tick");
}

#[test]
fn a_fetch_is_counted_and_measured_by_how_it_ends() {
    for (answer, outcome) in [(true, call::Outcome::Succeeded), (false, call::Outcome::Failed)] {
        let process = Process::new();
        if answer {
            process.publish("/jwks", published(&json!([key("one")])));
        }
        let one = One::new(&process, &by_jwks_uri());
        one.tick();
        process.pass(250);
        one.answer();
        let expected = [(Metric::KeyFetches(outcome), 1), (Metric::KeyFetchMilliseconds(outcome), 250)];
        assert_eq!(*one.measured.borrow(), expected);
    }
}
