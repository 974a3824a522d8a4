// SPDX-License-Identifier: Apache-2.0

//! Signatures that are wrong, in the core: what they cost, and when newer keys are asked for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot go on must stop"
)]

use std::cell::Cell;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certbound::handover::header_cache::HeaderCache;
use certbound::jose::jwk::{Material, PublicKey};
use certbound::jose::jws::CompactJws;
use certbound::jose::signature::{SignatureEngine, Verification};
use certbound::keys::{FetchReason, KeyRing};
use certbound::resource_server::token_cache::TokenCache;
use certbound::time::UnixTime;
use certbound::{Context, Policies, Reason, Request, Step};
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::{ProjectivePoint, Scalar};
use serde_json::{Value, json};

/// For which keys are fresh.
const FIVE_MINUTES: Duration = Duration::from_secs(300);

const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "https://as.example.com";

/// Public keys of the RFCs, each by the coordinates of its point: RFC 7517 appendix A.1, RFC 7515 appendix A.3, RFC 7518
/// appendix C.
const POINTS: [(&str, &str); 4] = [
    ("MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"),
    ("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
    ("gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0", "SLW_xSffzlPWrHEVI30DHM_4egVwt3NQqeUD7nMFpps"),
    ("weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ", "e8lnCO-AlStT-NJVX-crhB7QRYhiix03illJOVAOyck"),
];

/// An engine that counts what it is asked. A key's signature is to it the first coordinate of the key's point.
#[derive(Default)]
struct Counting(Cell<usize>);

impl SignatureEngine for Counting {
    fn verify(&self, token: &CompactJws<'_>, key: &PublicKey) -> Verification {
        self.0.set(self.0.get() + 1);
        let Material::Ec { spki, .. } = key.material() else { panic!("{key:?}") };
        let point = &spki[spki.len() - 64..];
        if token.signature() == &point[..32] { Verification::Valid } else { Verification::Invalid }
    }
}

fn signature(key: usize) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(POINTS[key].0).unwrap()
}

/// What became of a request.
#[derive(Debug, PartialEq)]
enum Came {
    Forwarded,
    Refused(&'static str, u16),
    /// Newer keys were asked for; the reason is what it comes to without.
    Asked(&'static str),
}

/// One worker with one issuer, whose keys are fetched.
struct Api {
    policies: Policies,
    keys: KeyRing,
    tokens: TokenCache,
    engine: Counting,
    now: u64,
}

/// The first so many of them: `key-0`, `key-1` and so on.
fn key_set(count: usize) -> Value {
    let key = |(number, (x, y)): (usize, &(&str, &str))| json!({"kty": "EC", "crv": "P-256", "kid": format!("key-{number}"), "x": x, "y": y});
    json!({"keys": POINTS.iter().enumerate().take(count).map(key).collect::<Vec<_>>()})
}

/// Any number of them: those of the RFCs, and then multiples of the generator.
fn many_keys(count: usize) -> Value {
    let mut keys = key_set(count);
    let coordinates = |multiple: u64| {
        let point = (ProjectivePoint::GENERATOR * Scalar::from(multiple)).to_affine().to_sec1_point(false);
        [point.x(), point.y()].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate.unwrap()))
    };
    for number in POINTS.len()..count {
        let [x, y] = coordinates(number as u64);
        let key = json!({"kty": "EC", "crv": "P-256", "kid": format!("key-{number}"), "x": x, "y": y});
        keys["keys"].as_array_mut().unwrap().push(key);
    }
    keys
}

fn without_key_ids(keys: &Value) -> Value {
    let mut keys = keys.clone();
    for key in keys["keys"].as_array_mut().unwrap() {
        key.as_object_mut().unwrap().remove("kid");
    }
    keys
}

fn configuration(keys: &Value) -> Vec<u8> {
    let issuer = json!({"issuer": ISSUER, "audiences": ["https://api.example.com"], "keys": keys});
    json!({"resource_server": {"issuers": [issuer], "certificate_binding": "if_present"}}).to_string().into_bytes()
}

impl Api {
    /// With so many keys, which were fetched.
    fn new(keys: usize) -> Self {
        let policies = Policies::load(&configuration(&json!({"jwks_uri": format!("{ISSUER}/jwks"), "cluster": "as"})));
        let mut api = Self::with(policies.unwrap());
        api.fetch(1, keys);
        api
    }

    fn having(keys: &Value) -> Self {
        let mut api = Self::new(0);
        api.publish(2, keys);
        api
    }

    fn with(policies: Policies) -> Self {
        let tokens = TokenCache::new(policies.token_cache_size());
        Self { policies, keys: KeyRing::default(), tokens, engine: Counting::default(), now: NOW }
    }

    fn fetch(&mut self, version: u64, keys: usize) {
        self.publish(version, &key_set(keys));
    }

    /// Has fetched this key set.
    fn publish(&mut self, version: u64, keys: &Value) {
        let source = self.policies.key_sources().next().unwrap();
        let now = UnixTime::from_seconds(self.now);
        let shared = KeyRing::shared(version, now, FIVE_MINUTES, keys.to_string().as_bytes());
        assert!(self.keys.take_shared(source, &shared));
    }

    /// What the engine takes for a signature by this key of a set.
    fn signature(&self, keys: &Value, key: usize) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(keys["keys"][key]["x"].as_str().unwrap()).unwrap()
    }

    fn ask(&mut self, token: &str) -> Came {
        let authorization = format!("Bearer {token}");
        let headers = [("authorization", authorization.as_bytes())];
        let request = Request {
            headers: &headers,
            route_metadata: None,
            peer_digest: None,
            now: UnixTime::from_seconds(self.now),
        };
        let header_cache = &mut HeaderCache::default();
        match self.policies.start(&request, &mut Context::new(&self.engine, &self.keys, &mut self.tokens, header_cache))
        {
            Step::Forward { .. } => Came::Forwarded,
            Step::Refuse(refusal) => Came::Refused(refusal.reason().name(), refusal.status()),
            Step::AskKeys { question, .. } => {
                let why = question.why();
                let reason = question.refused().reason();
                let expected =
                    if reason == Reason::KeysUnavailable { FetchReason::Routine } else { FetchReason::UnknownKey };
                assert_eq!(why, expected);
                Came::Asked(reason.name())
            }
            other => panic!("{other:?}"),
        }
    }

    /// What the operator is told of a token that is refused, beside the reason.
    fn detail(&mut self, token: &str) -> String {
        let authorization = format!("Bearer {token}");
        let headers = [("authorization", authorization.as_bytes())];
        let now = UnixTime::from_seconds(self.now);
        let request = Request { headers: &headers, route_metadata: None, peer_digest: None, now };
        let header_cache = &mut HeaderCache::default();
        let context = &mut Context::new(&self.engine, &self.keys, &mut self.tokens, header_cache);
        let refused = match self.policies.start(&request, context) {
            Step::Refuse(refused) => refused,
            Step::AskKeys { question, .. } => question.refused(),
            other => panic!("{other:?}"),
        };
        refused.detail().unwrap_or_default().to_owned()
    }

    /// The same, and how many signatures were verified for it.
    fn cost(&mut self, token: &str) -> (Came, usize) {
        let before = self.engine.0.get();
        (self.ask(token), self.engine.0.get() - before)
    }

    /// What so many made-up tokens of one second came to, none like another, and how many signatures were verified for them.
    fn flood(&mut self, count: usize) -> (Vec<Came>, usize) {
        let before = self.engine.0.get();
        self.now += 1;
        let now = usize::try_from(self.now).unwrap();
        let came =
            (0..count).map(|number| self.ask(&token(json!({"alg": "ES256"}), now * 1_000_000 + number, b"wrong")));
        (came.collect(), self.engine.0.get() - before)
    }
}

/// A token with this `jti`.
fn token(header: Value, number: usize, signature: &[u8]) -> String {
    let claims = json!({"iss": ISSUER, "aud": "https://api.example.com", "exp": NOW + 600, "jti": number.to_string()});
    [header.to_string().as_bytes(), claims.to_string().as_bytes(), signature]
        .map(|part| URL_SAFE_NO_PAD.encode(part))
        .join(".")
}

#[test]
fn a_token_without_a_key_id_that_no_key_verifies_asks_for_newer_keys() {
    let mut api = Api::new(2);
    assert_eq!(api.ask(&token(json!({"alg": "ES256"}), 1, &signature(1))), Came::Forwarded);
    assert_eq!(api.ask(&token(json!({"alg": "ES256"}), 1, b"wrong")), Came::Asked("signature_invalid"));
    // No key fits it.
    assert_eq!(api.ask(&token(json!({"alg": "ES384"}), 1, b"wrong")), Came::Asked("key_unknown"));
    assert_eq!(api.ask(&token(json!({"alg": "ES256", "kid": "other"}), 1, &signature(0))), Came::Asked("key_unknown"));
}

#[test]
fn a_wrong_signature_by_the_key_that_the_token_names_asks_for_none() {
    let mut api = Api::new(2);
    let wrong = token(json!({"alg": "ES256", "kid": "key-1"}), 1, b"wrong");
    assert_eq!(api.ask(&wrong), Came::Refused("signature_invalid", 401));
    let mut inline = Api::with(Policies::load(&configuration(&json!({"jwks": key_set(1)}))).unwrap());
    assert_eq!(inline.ask(&token(json!({"alg": "ES256"}), 1, b"wrong")), Came::Refused("signature_invalid", 401));
}

/// Whoever names no key in the key set means nothing by a name in a token.
#[test]
fn a_token_with_a_key_id_is_tried_with_the_keys_of_a_set_in_which_no_key_has_one() {
    let mut api = Api::having(&without_key_ids(&many_keys(4)));
    let by = |key_id: &str, number, signature: &[u8]| token(json!({"alg": "ES256", "kid": key_id}), number, signature);
    assert_eq!(api.cost(&by("any", 1, &signature(2))), (Came::Forwarded, 3));
    assert_eq!(api.cost(&by("other", 2, &signature(2))), (Came::Forwarded, 1));
    // The right key may be new, as for a token without a key id, and what was found out holds.
    assert_eq!(api.cost(&by("any", 3, b"wrong")), (Came::Asked("signature_invalid"), 4));
    assert_eq!(api.cost(&by("any", 3, b"wrong")), (Came::Asked("signature_invalid"), 0));
    assert_eq!(api.ask(&token(json!({"alg": "ES384", "kid": "any"}), 4, b"wrong")), Came::Asked("key_unknown"));
    // It costs a flood no less than tokens without one do.
    let came: Vec<_> = (5..200).map(|number| api.ask(&by("any", number, b"wrong"))).collect();
    assert!(came.last() == Some(&EXHAUSTED), "{came:?}");
}

/// Where one key has a name, names mean something.
#[test]
fn a_token_with_a_key_id_of_no_key_is_refused_where_any_key_of_the_set_has_one() {
    let named = json!({"kty": "EC", "crv": "P-256", "kid": "key-0", "x": POINTS[0].0, "y": POINTS[0].1});
    for named in [named.clone(), json!({"kty": "oct", "kid": "0"}), json!({"kty": "RSA", "use": "enc", "kid": "0"})] {
        let mut keys = without_key_ids(&many_keys(4));
        keys["keys"][0] = named.clone();
        let mut api = Api::having(&keys);
        let by = |header: Value| token(header, 1, &signature(2));
        assert_eq!(api.ask(&by(json!({"alg": "ES256", "kid": "other"}))), Came::Asked("key_unknown"), "{named}");
        assert_eq!(api.ask(&by(json!({"alg": "ES256"}))), Came::Forwarded, "{named}");
    }
}

#[test]
fn a_token_without_a_key_id_is_tried_with_every_key_that_fits() {
    for count in [5, 20] {
        let mut api = Api::having(&many_keys(count));
        let (last, wrong) = (api.signature(&many_keys(count), count - 1), b"wrong");
        assert_eq!(api.cost(&token(json!({"alg": "ES256"}), 1, &last)), (Came::Forwarded, count));
        assert_eq!(api.cost(&token(json!({"alg": "ES256"}), 2, &last)), (Came::Forwarded, 1));
        let came = api.cost(&token(json!({"alg": "ES256"}), 3, wrong));
        assert_eq!(came, (Came::Asked("signature_invalid"), count));
    }
}

/// The 2 milliseconds of a second are over after 23 keys of 90 microseconds beyond the first.
#[test]
fn of_more_keys_than_a_second_has_time_for_each_has_its_turn() {
    let keys = many_keys(60);
    let mut api = Api::having(&keys);
    let header = || json!({"alg": "ES256"});
    // No token is said to be wrong that was not tried with all of them.
    let wrong = token(header(), 1, b"wrong");
    assert_eq!(api.cost(&wrong), (EXHAUSTED, 24));
    assert_eq!(api.cost(&wrong), (EXHAUSTED, 1));
    let right = token(header(), 2, &api.signature(&keys, 50));
    let mut came = Vec::new();
    for _ in 0..3 {
        api.now += 1;
        came.push(api.cost(&right));
    }
    // 24 to 46, and then 47 to 50; the next time it is the first.
    assert_eq!(came, [(EXHAUSTED, 24), (Came::Forwarded, 5), (Came::Forwarded, 0)], "{came:?}");
    assert_eq!(api.cost(&token(header(), 3, &api.signature(&keys, 50))), (Came::Forwarded, 1));
}

/// Keys of one name are as good as keys without.
#[test]
fn a_token_that_names_several_keys_is_tried_with_each_of_them_and_costs_no_more_than_one_that_names_none() {
    let mut keys = many_keys(6);
    for key in keys["keys"].as_array_mut().unwrap() {
        key["kid"] = "same".into();
    }
    let mut api = Api::having(&keys);
    let header = || json!({"alg": "ES256", "kid": "same"});
    assert_eq!(api.cost(&token(header(), 1, &api.signature(&keys, 5))), (Came::Forwarded, 6));
    assert_eq!(api.cost(&token(header(), 2, &api.signature(&keys, 5))), (Came::Forwarded, 1));
    assert_eq!(api.cost(&token(header(), 3, b"wrong")), (Came::Refused("signature_invalid", 401), 6));
    let came: Vec<_> = (4..200).map(|number| api.ask(&token(header(), number, b"wrong"))).collect();
    assert!(came.last() == Some(&EXHAUSTED), "{came:?}");
}

const EXHAUSTED: Came = Came::Refused("signature_checks_exhausted", 503);

#[test]
fn a_wrong_signature_that_comes_again_costs_no_cryptography_until_there_are_other_keys() {
    let mut api = Api::new(4);
    let named = token(json!({"alg": "ES256", "kid": "key-1"}), 1, b"wrong");
    let unnamed = token(json!({"alg": "ES256"}), 1, b"wrong");
    for (token, refused, cost) in [
        (named, Came::Refused("signature_invalid", 401), 1),
        // It still asks for newer keys, which nobody waits for within a cool-down.
        (unnamed, Came::Asked("signature_invalid"), 4),
    ] {
        assert_eq!(api.cost(&token), (refused, cost));
        for _ in 0..3 {
            api.now += 1;
            let (again, cost) = api.cost(&token);
            assert!(matches!(again, Came::Refused("signature_invalid", 401) | Came::Asked("signature_invalid")));
            assert_eq!(cost, 0);
        }
    }
    // That the same keys were fetched again changes nothing.
    api.fetch(2, 4);
    assert_eq!(api.cost(&token(json!({"alg": "ES256", "kid": "key-1"}), 1, b"wrong")).1, 0);
    // The key that a token names may have another value, and one that names none may be by a new key.
    api.fetch(3, 3);
    assert_eq!(api.cost(&token(json!({"alg": "ES256", "kid": "key-1"}), 1, b"wrong")).1, 1);
    assert_eq!(api.cost(&token(json!({"alg": "ES256"}), 1, b"wrong")).1, 3);
    // Without keys that may serve nothing is known of a signature.
    api.now += 86_400 * 2;
    assert_eq!(api.cost(&token(json!({"alg": "ES256"}), 1, b"wrong")), (Came::Asked("keys_unavailable"), 0));
}

#[test]
fn a_wrong_signature_by_keys_of_the_configuration_is_remembered_as_well() {
    let mut api = Api::with(Policies::load(&configuration(&json!({"jwks": key_set(4)}))).unwrap());
    for cost in [4, 0, 0] {
        let refused = Came::Refused("signature_invalid", 401);
        assert_eq!(api.cost(&token(json!({"alg": "ES256"}), 1, b"wrong")), (refused, cost));
    }
}

#[test]
fn what_is_remembered_of_one_token_is_nothing_to_another() {
    let mut api = Api::new(4);
    let header = json!({"alg": "ES256", "kid": "key-0"});
    assert_eq!(api.ask(&token(header.clone(), 1, b"wrong")), Came::Refused("signature_invalid", 401));
    assert_eq!(api.ask(&token(header.clone(), 1, &signature(0))), Came::Forwarded);
    assert_eq!(api.cost(&token(header, 2, b"wrong")), (Came::Refused("signature_invalid", 401), 1));
}

#[test]
fn a_flood_of_tokens_without_a_key_id_is_tried_with_one_key_each_once_the_second_is_used_up() {
    let mut api = Api::new(4);
    for _ in 0..3 {
        let (came, cost) = api.flood(1000);
        let further = cost - 1000;
        // 2 milliseconds of 90 microseconds each, and what the last token was begun with.
        assert!((20..=25).contains(&further), "{further}");
        let tried = came.iter().take_while(|came| **came == Came::Asked("signature_invalid")).count();
        assert_eq!(tried, further / 3);
        assert!(came[tried..].iter().all(|came| *came == EXHAUSTED), "{came:?}");
    }
}

#[test]
fn a_token_that_names_its_key_never_waits_for_the_next_second_and_one_that_fits_one_key_neither() {
    let mut api = Api::new(4);
    api.flood(1000);
    let named = |number, made: &[u8]| token(json!({"alg": "ES256", "kid": "key-3"}), number, made);
    assert_eq!(api.cost(&named(1, &signature(3))), (Came::Forwarded, 1));
    assert_eq!(api.cost(&named(2, b"wrong")), (Came::Refused("signature_invalid", 401), 1));
    let mut one = Api::new(1);
    assert!(one.flood(1000).0.iter().all(|came| *came == Came::Asked("signature_invalid")));
}

#[test]
fn what_was_not_tried_is_no_refusal_that_is_remembered() {
    let mut api = Api::new(4);
    api.flood(1000);
    let (good, bad) = (token(json!({"alg": "ES256"}), 1, &signature(2)), token(json!({"alg": "ES256"}), 2, b"wrong"));
    assert_eq!(api.cost(&good), (EXHAUSTED, 1));
    assert_eq!(api.cost(&bad), (EXHAUSTED, 1));
    api.now += 1;
    assert_eq!(api.cost(&bad), (Came::Asked("signature_invalid"), 4));
    assert_eq!(api.cost(&good), (Came::Forwarded, 3));
}

#[test]
fn a_right_signature_costs_nothing_of_what_wrong_ones_may() {
    let mut api = Api::new(4);
    for number in 0..1000 {
        // The keys take turns, so that the one before is never the right one.
        let made = signature(3 - number % 4);
        assert_eq!(api.ask(&token(json!({"alg": "ES256"}), number, &made)), Came::Forwarded, "{number}");
    }
    assert_eq!(api.cost(&token(json!({"alg": "ES256"}), 1000, b"wrong")), (Came::Asked("signature_invalid"), 4));
}

#[test]
fn the_key_that_verified_a_token_without_a_key_id_last_is_the_first_that_the_next_one_is_tried_with() {
    let mut api = Api::new(4);
    let by = |key: usize, number| token(json!({"alg": "ES256"}), number, &signature(key));
    assert_eq!(api.cost(&by(2, 1)), (Came::Forwarded, 3));
    assert_eq!(api.cost(&by(2, 2)), (Came::Forwarded, 1));
    api.flood(1000);
    // So whoever makes up tokens locks nobody out whose issuer signs with one key.
    assert_eq!(api.cost(&by(2, 3)), (Came::Forwarded, 1));
    assert_eq!(api.cost(&by(1, 4)), (EXHAUSTED, 1));
}

/// Issuers without `kid` stand beside each other: what the last token of one was made with says nothing of another's.
#[test]
fn the_key_that_made_an_issuers_last_token_is_tried_first_whoever_came_between() {
    let mut api = Api::new(4);
    let header = || json!({"alg": "ES256"});
    assert_eq!(api.cost(&token(header(), 1, &signature(3))), (Came::Forwarded, 4));
    // As another issuer's, which has the first two keys.
    api.fetch(2, 2);
    assert_eq!(api.cost(&token(header(), 2, &signature(1))), (Came::Forwarded, 2));
    let mut keys = key_set(4);
    keys["keys"].as_array_mut().unwrap().remove(1);
    let source = api.policies.key_sources().next().unwrap();
    assert!(api.keys.take_shared(
        source,
        &KeyRing::shared(3, UnixTime::from_seconds(api.now), FIVE_MINUTES, keys.to_string().as_bytes())
    ));
    assert_eq!(api.cost(&token(header(), 3, &signature(3))), (Came::Forwarded, 1));
}

#[test]
fn what_is_wrong_with_a_header_is_told_in_words_of_our_own() {
    let mut api = Api::new(1);
    for (header, reason, detail) in [
        (json!({"alg": "HS512"}), "algorithm_not_allowed", "HS512 is not supported"),
        (json!({"alg": "none"}), "algorithm_not_allowed", "none is not supported"),
        (json!({"alg": "ES256K"}), "algorithm_not_allowed", "ES256K is not supported"),
        (json!({"alg": "</script>"}), "algorithm_not_allowed", "the algorithm is not supported"),
        (json!({"alg": "ES256", "jku": "https://evil"}), "token_header_unsupported", "the header has jku"),
        (json!({"alg": "ES256", "crit": ["x"]}), "token_header_unsupported", "the header has crit"),
        (json!({"alg": "ES256", "typ": "<b>"}), "token_type_unsupported", "the header's typ is neither JWT nor at+jwt"),
        (json!({"typ": "JWT"}), "token_malformed", ""),
    ] {
        let token = format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(header.to_string()));
        assert_eq!(api.ask(&token), Came::Refused(reason, 401), "{header}");
        assert_eq!(api.detail(&token), detail, "{header}");
    }
}

#[test]
fn of_a_token_that_is_malformed_because_it_is_encrypted_the_operator_is_told_so() {
    let mut api = Api::new(1);
    let of = |header: &str| format!("{}.AAAA.AAAA.AAAA.AAAA", URL_SAFE_NO_PAD.encode(header));
    let encrypted = of(r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#);
    assert_eq!(api.ask(&encrypted), Came::Refused("token_malformed", 401));
    assert_eq!(api.detail(&encrypted), "it is encrypted (JWE), and only introspection can judge it");
    assert_eq!(api.detail(&of(r#"{"alg":"ES256"}"#)), "");
    // It is too long whatever else it is.
    let long = format!("{encrypted}{}", "AAAA".repeat(4096));
    assert_eq!(api.ask(&long), Came::Refused("token_too_long", 401));
}
