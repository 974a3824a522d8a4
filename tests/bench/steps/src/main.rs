// SPDX-License-Identifier: Apache-2.0

//! `make bench-steps`: what the core's steps take, natively. It shows where time goes; what a request costs a proxy is what
//! `make bench` measures, in the proxy.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot go on must stop"
)]

#[path = "../../../cases/case_list.rs"]
mod case_list;

use case_list::{Case, CaseList};
use certbound::authorization_server::client::subject::Subject;
use certbound::certificate::Certificate;
use certbound::certificate::names::Names;
use certbound::certificate::registered_name::NameMatching;
use certbound::certificate::thumbprint::Thumbprint;
use certbound::handover::encoding::Encoding;
use certbound::handover::forwarding_headers::is_forwarding_header;
use certbound::handover::header_cache::HeaderCache;
use certbound::http::connection::GivenConnection;
use certbound::http::header_map::borrowed;
use certbound::jose::jwk::PublicKey;
use certbound::jose::jws::CompactJws;
use certbound::jose::signature::{PortableEngine, SignatureEngine, Verification};
use certbound::keys::KeyRing;
use certbound::resource_server::token_cache::TokenCache;
use certbound::time::UnixTime;
use certbound::{Context, Policies, Request, Step};
use divan::{Bencher, black_box};

/// `make cases` writes them.
const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../target/cases.json");
const ALGORITHMS: [&str; 4] = ["ES256", "RS256", "PS256", "EdDSA"];

fn main() {
    divan::main();
}

/// All but the signature.
struct Believing;

impl SignatureEngine for Believing {
    fn verify(&self, _: &CompactJws<'_>, _: &PublicKey) -> Verification {
        Verification::Valid
    }
}

/// A request that passes, and the policies that judge it.
struct Judged {
    policies: Policies,
    headers: Vec<(String, Vec<u8>)>,
    metadata: Option<Vec<u8>>,
    digest: Vec<u8>,
    connection: GivenConnection,
    now: u64,
}

/// What is kept from request to request.
struct Kept {
    tokens: TokenCache,
    header_cache: HeaderCache,
}

impl Judged {
    fn of(sentence: &str) -> Self {
        let list: CaseList = serde_json::from_slice(&std::fs::read(CASES).expect(CASES)).unwrap();
        let case: &Case = list.case(sentence);
        let policies = Policies::load(&list.configurations[&case.configuration].protobuf).unwrap();
        Self {
            headers: case.headers(),
            metadata: case.metadata(),
            digest: case.property("connection.sha256_peer_certificate_digest").unwrap().to_vec(),
            connection: case.connection(),
            now: case.now,
            policies,
        }
    }

    fn nothing_kept(&self) -> Kept {
        Kept { tokens: TokenCache::new(self.policies.token_cache_size()), header_cache: HeaderCache::default() }
    }

    /// Judges it. A benchmark of what is refused would measure something else.
    fn judge(&self, kept: &mut Kept, engine: &dyn SignatureEngine) {
        let request = Request {
            headers: &borrowed(&self.headers),
            route_metadata: self.metadata.as_deref(),
            peer_digest: Some(&self.digest),
            now: UnixTime::from_seconds(self.now),
        };
        let keys = KeyRing::default();
        let context = &mut Context {
            connection: &self.connection,
            ..Context::new(engine, &keys, &mut kept.tokens, &mut kept.header_cache)
        };
        match self.policies.start(&request, context) {
            step @ Step::Forward { .. } => drop(black_box(step)),
            other => panic!("{other:?}"),
        }
    }

    fn token(&self) -> &str {
        let (_, value) = self.headers.iter().find(|(name, _)| name == "authorization").unwrap();
        std::str::from_utf8(value).unwrap().strip_prefix("Bearer ").unwrap()
    }
}

fn token_of(algorithm: &str) -> Judged {
    Judged::of(&format!("a token signed with {algorithm} passes"))
}

#[divan::bench(args = ALGORITHMS)]
fn token_is_parsed(bencher: Bencher<'_, '_>, algorithm: &str) {
    let judged = token_of(algorithm);
    bencher.bench(|| CompactJws::parse(black_box(judged.token()), &mut Vec::new()).is_ok());
}

#[divan::bench]
fn request_with_a_token_seen_before_is_judged(bencher: Bencher<'_, '_>) {
    let judged = token_of("RS256");
    let mut kept = judged.nothing_kept();
    judged.judge(&mut kept, &PortableEngine);
    // A token that is not found would be refused by this one.
    bencher.bench_local(|| judged.judge(&mut kept, &Doubting));
}

/// Nothing.
struct Doubting;

impl SignatureEngine for Doubting {
    fn verify(&self, _: &CompactJws<'_>, _: &PublicKey) -> Verification {
        Verification::Invalid
    }
}

#[divan::bench]
fn request_with_a_new_token_is_judged_less_its_signature(bencher: Bencher<'_, '_>) {
    let judged = token_of("RS256");
    bencher.with_inputs(|| judged.nothing_kept()).bench_local_refs(|kept| judged.judge(kept, &Believing));
}

#[divan::bench(args = ALGORITHMS)]
fn request_with_a_new_token_is_judged(bencher: Bencher<'_, '_>, algorithm: &str) {
    let judged = token_of(algorithm);
    bencher.with_inputs(|| judged.nothing_kept()).bench_local_refs(|kept| judged.judge(kept, &PortableEngine));
}

#[divan::bench]
fn certificate_is_handed_over(bencher: Bencher<'_, '_>) {
    let judged = Judged::of(HANDED_OVER);
    let mut kept = judged.nothing_kept();
    bencher.bench_local(|| judged.judge(&mut kept, &Doubting));
}

const HANDED_OVER: &str = "a validated certificate is handed over in every dialect";

fn der() -> Vec<u8> {
    let judged = Judged::of(HANDED_OVER);
    let thumbprint = Thumbprint::from_hex(&judged.digest).unwrap();
    Certificate::of_connection(judged.connection.certificate.as_deref().unwrap(), &thumbprint).unwrap().der().to_vec()
}

#[divan::bench]
fn certificate_is_read_and_compared_with_its_digest(bencher: Bencher<'_, '_>) {
    let judged = Judged::of(HANDED_OVER);
    let thumbprint = Thumbprint::from_hex(&judged.digest).unwrap();
    bencher.bench(|| {
        Certificate::of_connection(black_box(judged.connection.certificate.as_deref().unwrap()), &thumbprint).is_ok()
    });
}

const ENCODINGS: [Encoding; 8] = [
    Encoding::PemUrl,
    Encoding::PemApache,
    Encoding::PemNginxEscaped,
    Encoding::DerBase64,
    Encoding::SfBinary,
    Encoding::Xfcc,
    Encoding::Sha256Hex,
    Encoding::X5tS256,
];

#[divan::bench(args = ENCODINGS.map(Encoding::name))]
fn certificate_is_encoded(bencher: Bencher<'_, '_>, name: &str) {
    let encoding = ENCODINGS.into_iter().find(|encoding| encoding.name() == name).unwrap();
    let der = der();
    bencher.bench(|| encoding.encode(black_box(&der)));
}

#[divan::bench]
fn names_of_a_certificate_are_read(bencher: Bencher<'_, '_>) {
    let certificate = Certificate::on_the_desk(der());
    bencher.bench(|| Names::of(black_box(&certificate)).is_some());
}

#[divan::bench]
fn distinguished_name_is_matched(bencher: Bencher<'_, '_>) {
    let names = Names::of(&Certificate::on_the_desk(der())).unwrap();
    let registered = Subject::distinguished_name("CN=client-1, O=Example Bank, C=NL", NameMatching::default()).unwrap();
    assert!(registered.is_in(&names));
    bencher.bench(|| black_box(&registered).is_in(&names));
}

#[divan::bench(args = ["authorization", "x-request-id", "x-forwarded-for", "x-forwarded-client-cert"])]
fn header_name_is_looked_at(name: &str) -> bool {
    is_forwarding_header(black_box(name))
}
