// SPDX-License-Identifier: Apache-2.0

//! Depth 1 of the one list of cases: the core, as values in and a step out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]

use std::collections::BTreeSet;

use super::case_list::{Case, CaseList, Outcome};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certbound::certificate::signed::Signed;
use certbound::desk::signature::DeskEngine;
use certbound::handover::header_cache::HeaderCache;
use certbound::http::connection::GivenConnection;
use certbound::http::header_map::borrowed;
use certbound::jose::algorithm::Algorithm;
use certbound::jose::jwk::{Material, PublicKey};
use certbound::jose::jws::CompactJws;
use certbound::jose::signature::{PortableEngine, SignatureEngine, Verification};
use certbound::keys::KeyRing;
use certbound::outcome::log::{Circumstances, Event};
use certbound::policy::run::{End, Given, run as run_to_its_end};
use certbound::resource_server::introspection::Introspected;
use certbound::resource_server::token_cache::TokenCache;
use certbound::time::UnixTime;
use certbound::{Context, Environment, Policies, Reason, Refused, Request, Step};
use serde_json::Value;

/// A host without `verify_signature`, where only what is built into the module can be verified.
struct WithoutHost;

impl SignatureEngine for WithoutHost {
    fn verify(&self, token: &CompactJws<'_>, key: &PublicKey) -> Verification {
        match token.algorithm() {
            Algorithm::PS256 | Algorithm::PS384 | Algorithm::PS512 | Algorithm::EdDSA => {
                PortableEngine.verify(token, key)
            }
            _ => Verification::Unavailable,
        }
    }

    fn verify_certificate(&self, algorithm: Algorithm, signed: &Signed<'_>, key: &Material) -> Verification {
        match key {
            Material::Ed25519(_) => PortableEngine.verify_certificate(algorithm, signed, key),
            Material::Rsa { .. } | Material::Ec { .. } => Verification::Unavailable,
        }
    }
}

/// The engine of the library, and ES512, which a host has and the library has not.
struct WithEs512;

impl SignatureEngine for WithEs512 {
    fn verify(&self, token: &CompactJws<'_>, key: &PublicKey) -> Verification {
        use p521::ecdsa::signature::Verifier;
        let (Algorithm::ES512, Material::Ec { spki, .. }) = (token.algorithm(), key.material()) else {
            return PortableEngine.verify(token, key);
        };
        // The point stands at the end of the SubjectPublicKeyInfo (RFC 5480 §2), uncompressed.
        let point = spki.last_chunk::<133>().unwrap();
        let valid = p521::ecdsa::VerifyingKey::from_sec1_bytes(point).is_ok_and(|key| {
            p521::ecdsa::Signature::from_slice(token.signature())
                .is_ok_and(|signature| key.verify(token.signing_input().as_bytes(), &signature).is_ok())
        });
        if valid { Verification::Valid } else { Verification::Invalid }
    }

    fn verify_certificate(&self, algorithm: Algorithm, signed: &Signed<'_>, key: &Material) -> Verification {
        DeskEngine.verify_certificate(algorithm, signed, key)
    }
}

/// As tests/cases has it.
const ENVIRONMENT: Environment<'_> =
    Environment::Variables(&|name| (name == "CERTBOUND_SECRET").then(|| "0p3n-s3same".to_owned()));

/// How a request goes on, with what would have refused it under a policy that only observes; or the refusal.
type Ended = Result<(Vec<(String, Vec<u8>)>, Option<Refused>), Refused>;

fn run(policies: &Policies, case: &Case) -> Outcome {
    match end(policies, case) {
        Ok((headers, note)) => {
            Outcome::Forwarded { headers, note: note.map(|refusal| refusal.reason().name().to_owned()) }
        }
        Err(refusal) => refused(&refusal),
    }
}

fn end(policies: &Policies, case: &Case) -> Ended {
    let (headers, metadata) = (case.headers(), case.metadata());
    let borrowed_headers = borrowed(&headers);
    let request = Request {
        headers: &borrowed_headers,
        route_metadata: metadata.as_deref(),
        peer_digest: case.property("connection.sha256_peer_certificate_digest"),
        now: UnixTime::from_seconds(case.now),
    };
    let now = request.now;
    let engine: &dyn SignatureEngine = if case.without_host_cryptography { &WithoutHost } else { &WithEs512 };
    let (keys, mut tokens) = (KeyRing::default(), TokenCache::new(policies.token_cache_size()));
    let (connection, mut header_cache) = (&case.connection(), HeaderCache::default());
    for headers in case.before() {
        let before = Request { headers: &borrowed(&headers), ..request };
        let _ = policies.start(&before, &mut Context::new(engine, &keys, &mut tokens, &mut header_cache));
    }
    let judged_under = case.judged_under();
    let judged_under = judged_under.as_deref();
    // The response is given once, and after that the request must do with what is kept of it.
    let introspection = case.introspection.as_deref().map(str::as_bytes);
    let start = |introspected: Option<&Introspected>| {
        let new = Context::new(engine, &keys, &mut tokens, &mut header_cache);
        policies.start(&request, &mut Context { introspected, connection, judged_under, ..new })
    };
    let _ = run_to_its_end(start, (&keys, engine), Given { body: Some(case.body()), introspection, now });
    let context =
        &mut Context { connection, judged_under, ..Context::new(engine, &keys, &mut tokens, &mut header_cache) };
    // A token seen before must come to the same as one that is new, but for being counted so.
    let first = policies.start(&request, context);
    let second = policies.start(&request, context);
    let counted_alike = |step: &Step| format!("{step:?}").replace("Some(Hit)", "Some(Miss)");
    assert_eq!(counted_alike(&first), counted_alike(&second), "{}", case.sentence);
    let mut begun = Some(second);
    let start = |_: Option<&Introspected>| begun.take().expect("nothing is asked twice");
    let given = Given { body: Some(case.body()), introspection: None, now };
    match run_to_its_end(start, (&keys, engine), given).1 {
        End::Forward(edits, decision, _) => {
            let mut upstream = headers.clone();
            for edit in edits {
                upstream.retain(|(name, _)| !name.eq_ignore_ascii_case(edit.name()));
                upstream.extend(edit.value().map(|value| (edit.name().to_owned(), value.as_bytes().to_vec())));
            }
            Ok((upstream, decision.would_have_refused().cloned()))
        }
        End::Refuse(refused, _) => Err(refused),
        End::Serve(served, _) => panic!("{}: {served:?}", case.sentence),
    }
}

fn refused(refusal: &Refused) -> Outcome {
    Outcome::Refused {
        reason: refusal.reason().name().to_owned(),
        status: refusal.status(),
        grpc_status: refusal.grpc_status().map(|status| status as u32),
        challenges: refusal.challenges(),
        body: refusal.body().into_bytes(),
    }
}

#[test]
fn every_case_of_the_list_comes_out_as_it_says() {
    let list = CaseList::read();
    let mut wrong = Vec::new();
    for (name, configuration) in &list.configurations {
        for bytes in [configuration.json.as_bytes(), &configuration.protobuf] {
            let policies = Policies::load_with(bytes, ENVIRONMENT).unwrap_or_else(|error| panic!("{name}: {error}"));
            for case in list.cases.iter().filter(|case| case.configuration == *name) {
                if let Err(why) = case.judge(&run(&policies, case), &list.forged) {
                    wrong.push(format!("{}: {why}", case.sentence));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_reason_is_reached_by_a_case_and_every_case_names_a_reason() {
    let list = CaseList::read();
    let reached: BTreeSet<_> =
        list.cases.iter().filter_map(|case| case.refusal.as_ref()).map(|refusal| refusal.reason.as_str()).collect();
    let known: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
    assert_eq!(reached, known);
}

/// What stands around the sentence in a challenge, each case compares.
#[test]
fn a_refused_client_is_told_the_sentence_of_the_reason_and_nothing_of_its_request() {
    let list = CaseList::read();
    let mut told = 0;
    for (name, configuration) in &list.configurations {
        let policies = Policies::load_with(&configuration.protobuf, ENVIRONMENT).unwrap();
        for case in list.cases.iter().filter(|case| case.configuration == *name) {
            let Err(refusal) = end(&policies, case) else { continue };
            let sentence = refusal.reason().description();
            let body: serde_json::Map<String, Value> = serde_json::from_str(&refusal.body()).unwrap();
            assert!(body.keys().all(|name| matches!(&**name, "error" | "error_description")), "{}", case.sentence);
            assert_eq!(body["error_description"], sentence, "{}", case.sentence);
            for (name, value) in refusal.headers() {
                let said = match name {
                    "content-type" => value == "application/json",
                    "cache-control" => value == "no-store",
                    "retry-after" => value == "5",
                    "grpc-message" => value == sentence,
                    "www-authenticate" => match value.split_once("error_description=\"") {
                        Some((_, rest)) => rest.split('"').next() == Some(sentence),
                        None => true,
                    },
                    _ => false,
                };
                assert!(said, "{}: {name}: {value}", case.sentence);
            }
            told += 1;
        }
    }
    assert!(told > 1000, "{told}");
}

/// A session that is resumed no longer counts as validated, and the headers for its certificate are kept.
#[test]
fn headers_that_were_written_for_a_validated_certificate_are_not_handed_over_once_it_is_not() {
    let list = CaseList::read();
    let case = list.case("a validated certificate is handed over in every dialect");
    let policies = Policies::load(&list.configurations[&case.configuration].protobuf).unwrap();
    let (headers, metadata) = (case.headers(), case.metadata());
    let request = Request {
        headers: &borrowed(&headers),
        route_metadata: metadata.as_deref(),
        peer_digest: case.property("connection.sha256_peer_certificate_digest"),
        now: UnixTime::from_seconds(case.now),
    };
    let (keys, mut tokens) = (KeyRing::default(), TokenCache::new(policies.token_cache_size()));
    let mut header_cache = HeaderCache::default();
    let handed_over = |is_chain_validated| {
        let connection = &GivenConnection { is_chain_validated, ..case.connection() };
        let new = Context::new(&PortableEngine, &keys, &mut tokens, &mut header_cache);
        match policies.start(&request, &mut Context { connection, ..new }) {
            Step::Forward { edits, .. } => edits.iter().filter(|edit| edit.value().is_some()).count(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!([Some(true), Some(false), Some(true)].map(handed_over), [2, 0, 2]);
}

#[test]
fn a_token_of_a_tenant_is_logged_with_its_own_issuer() {
    let list = CaseList::read();
    let policies = Policies::load(&list.configurations["variants"].protobuf).unwrap();
    let refusal = end(&policies, list.case("a token of a tenant on another certificate is refused")).unwrap_err();
    let issuer = refusal.identity().and_then(|identity| identity.issuer());
    assert_eq!(issuer, Some("https://login.example.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0"));
}

#[test]
fn no_refusal_tells_the_log_a_token() {
    let list = CaseList::read();
    let mut lines = 0;
    for name in ["resource-server", "variants"] {
        let policies = Policies::load(&list.configurations[name].protobuf).unwrap();
        for case in list.cases.iter().filter(|case| case.configuration == name) {
            let (headers, metadata) = (case.headers(), case.metadata());
            let request = Request {
                headers: &borrowed(&headers),
                route_metadata: metadata.as_deref(),
                peer_digest: case.property("connection.sha256_peer_certificate_digest"),
                now: UnixTime::from_seconds(case.now),
            };
            let (keys, mut tokens) = (KeyRing::default(), TokenCache::new(policies.token_cache_size()));
            let header_cache = &mut HeaderCache::default();
            let connection = &case.connection();
            let context = &mut Context { connection, ..Context::new(&WithEs512, &keys, &mut tokens, header_cache) };
            let circumstances = Circumstances { route: Some(b"\xff\n\""), request_id: request.request_id() };
            let line = match policies.start(&request, context) {
                Step::Refuse(refusal) => Event::Refused(&refusal, circumstances).to_string(),
                Step::Forward { decision, .. } => match decision.would_have_refused() {
                    Some(refusal) => Event::WouldHaveRefused(refusal, circumstances).to_string(),
                    None => continue,
                },
                _ => continue,
            };
            lines += 1;
            assert!(line.bytes().all(|byte| matches!(byte, 0x20..=0x7e)), "{line}");
            for (_, value) in headers.iter().filter(|(name, _)| name == "authorization" || name == ":path") {
                let value = String::from_utf8_lossy(value);
                for part in value.split([' ', ',', '.', '=']).filter(|part| part.len() > 20) {
                    assert!(!line.contains(part), "{line}");
                }
            }
        }
    }
    assert!(lines > 200, "{lines}");
}

/// The texts in a claim.
fn texts(claim: &Value) -> Vec<&str> {
    match claim {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(members) => members.values().flat_map(texts).collect(),
        _ => Vec::new(),
    }
}

/// The claims of every JWT in some bytes: access tokens and client assertions.
fn claims(bytes: &[u8]) -> Vec<Value> {
    let is_of_jwt = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let words = bytes.split(|byte| !is_of_jwt(byte)).map(|word| word.split(|byte| *byte == b'.').nth(1));
    let claims = words.flatten().filter_map(|payload| URL_SAFE_NO_PAD.decode(payload).ok());
    claims.filter_map(|claims| serde_json::from_slice(&claims).ok()).filter(Value::is_object).collect()
}

/// docs/metrics-and-logs.md: "A claim is logged only once its signature was verified, or once its issuer or `jwt_authn`
/// vouched for it." What stands in the configuration as well is the operator's own.
#[test]
fn no_refusal_tells_the_log_a_claim_that_nobody_verified() {
    let list = CaseList::read();
    let mut seen = BTreeSet::new();
    for (name, configuration) in &list.configurations {
        let policies = Policies::load_with(&configuration.protobuf, ENVIRONMENT).unwrap();
        let vouched = |case: &&Case| case.introspection.is_some() || !case.verified_payloads().is_empty();
        for case in list.cases.iter().filter(|case| case.configuration == *name && !vouched(case)) {
            let Err(refusal) = end(&policies, case) else { continue };
            let line = Event::Refused(&refusal, Circumstances { route: None, request_id: None }).to_string();
            // Which certificate was presented, the connection says.
            let presented = refusal.presented().map(|own| format!("presented={own}")).unwrap_or_default();
            let line = line.replace(&presented, "");
            if refusal.identity().is_some() {
                continue;
            }
            let (headers, body) = (case.headers(), case.body());
            for claims in headers.iter().map(|(_, value)| value.as_slice()).chain([body]).flat_map(claims) {
                seen.insert(refusal.reason());
                for text in texts(&claims).iter().filter(|text| text.len() > 2 && !configuration.json.contains(**text))
                {
                    assert!(!line.contains(text), "{}: {text} in {line}", case.sentence);
                }
            }
        }
    }
    for reason in [Reason::IssuerNotTrusted, Reason::SignatureInvalid, Reason::TokenNotVerified, Reason::ClientUnknown]
    {
        assert!(seen.contains(&reason), "{seen:?}");
    }
}
