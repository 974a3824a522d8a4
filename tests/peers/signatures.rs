// SPDX-License-Identifier: Apache-2.0

//! Signatures that are right, wrong, and at the edges of what is right (tests/peers/signatures), in the core and in the module: in
//! the host's cryptography for the RS and ES families, which here is RustCrypto's, and in the module's own for the others.
//! tests/peers/test_signatures.py has them in a real Envoy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::fake_host::{self, Module, Vm};
use certbound::desk::signature::DeskEngine;
use certbound::handover::header_cache::HeaderCache;
use certbound::jose::algorithm::Algorithm;
use certbound::keys::KeyRing;
use certbound::resource_server::token_cache::TokenCache;
use certbound::time::UnixTime;
use certbound::{Context, Policies, Step};
use serde::Deserialize;
use serde_json::{Value, json};

/// How many signatures there are at least of each algorithm, right and wrong.
const LEAST: [(usize, usize); 10] =
    [(5, 75), (1, 75), (3, 75), (8, 75), (4, 75), (4, 75), (40, 90), (40, 90), (40, 90), (30, 75)];

/// How many keys there are at least.
const LEAST_KEYS: usize = 120;

const NOW: u64 = 1_800_000_000;

/// A line of the file.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Key(Key),
    Token(Token),
    #[serde(untagged)]
    Configuration {
        resource_server: Value,
    },
}

/// A key, and whether a configuration may have it.
#[derive(Deserialize)]
struct Key {
    what: String,
    jwk: Value,
    loads: bool,
}

/// A token, with the verdict on its signature.
#[derive(Deserialize)]
struct Token {
    algorithm: String,
    what: String,
    token: String,
    /// By the standards.
    is_signature: bool,
    /// By certbound.
    forwarded: bool,
    /// Where these two differ, or another verifier differs from both.
    why: String,
}

struct Corpus {
    configuration: Vec<u8>,
    keys: Vec<Key>,
    tokens: Vec<Token>,
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target")
}

impl Corpus {
    fn read() -> Self {
        let path = target().join("signatures.ndjson");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
            panic!("{}: {error}; `make test` makes it, and so does `make signatures`", path.display())
        });
        let mut corpus = Self { configuration: Vec::new(), keys: Vec::new(), tokens: Vec::new() };
        for line in text.lines() {
            match serde_json::from_str(line).unwrap() {
                Line::Configuration { resource_server } => {
                    corpus.configuration = json!({"resource_server": resource_server}).to_string().into_bytes();
                }
                Line::Key(key) => corpus.keys.push(key),
                Line::Token(token) => corpus.tokens.push(token),
            }
        }
        corpus
    }

    /// Compares every verdict with what came; `None` is a token that was forwarded, else there is the reason.
    fn judge(&self, mut outcome: impl FnMut(&Token) -> Option<String>) {
        let wrong: Vec<_> = self
            .tokens
            .iter()
            .filter_map(|token| {
                let expected = (!token.forwarded).then_some("signature_invalid");
                let came = outcome(token);
                let Token { algorithm, what, token, why, .. } = token;
                (came.as_deref() != expected).then(|| format!("{algorithm}, {what}: {came:?} {why}\n  {token}"))
            })
            .collect();
        assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong[..wrong.len().min(20)].join("\n"));
    }
}

#[test]
fn there_are_right_and_wrong_signatures_of_every_algorithm_and_a_reason_for_every_choice() {
    let corpus = Corpus::read();
    let mut counts = BTreeMap::<&str, (usize, usize)>::new();
    for token in &corpus.tokens {
        let (right, wrong) = counts.entry(&token.algorithm).or_default();
        *(if token.is_signature { right } else { wrong }) += 1;
        assert!(token.forwarded == token.is_signature || !token.why.is_empty(), "{}", token.what);
        // Stricter than the standards it may be, and never less strict.
        assert!(token.is_signature || !token.forwarded, "{}", token.what);
    }
    for (algorithm, least) in Algorithm::ALL.iter().zip(LEAST) {
        let (right, wrong) = counts[algorithm.name()];
        assert!(right >= least.0 && wrong >= least.1, "{algorithm:?}: {right} right, {wrong} wrong");
    }
    assert!(corpus.keys.len() >= LEAST_KEYS && corpus.keys.iter().any(|key| key.loads));
}

#[test]
fn a_key_that_is_none_is_refused_in_a_configuration_and_left_out_of_a_published_set() {
    let corpus = Corpus::read();
    let load = |keys: Value| {
        let issuer = json!({"issuer": "https://as.example.com", "audiences": ["a"], "keys": keys});
        let server = json!({"issuers": [issuer], "certificate_binding": "if_present"});
        Policies::load(json!({ "resource_server": server }).to_string().as_bytes())
    };
    let fetched = load(json!({"jwks_uri": "https://as.example.com/jwks", "cluster": "as"})).unwrap();
    let source = fetched.key_sources().next().unwrap();
    let mut wrong = Vec::new();
    for Key { what, jwk, loads } in &corpus.keys {
        let set = json!({"keys": [jwk]});
        let inline = load(json!({"jwks": set})).is_ok();
        let now = UnixTime::from_seconds(NOW);
        let record = KeyRing::shared(1, now, std::time::Duration::from_secs(60), set.to_string().as_bytes());
        let mut ring = KeyRing::default();
        let published = ring.take_shared(source, &record) && ring.keys(source, now).is_some();
        if (inline, published) != (*loads, *loads) {
            wrong.push(format!("{what}: inline {inline}, published {published}, expected {loads}: {jwk}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_core_takes_the_right_signatures_and_refuses_the_others() {
    let corpus = Corpus::read();
    let policies = Policies::load(&corpus.configuration).unwrap_or_else(|error| panic!("{error}"));
    let mut tokens = TokenCache::new(policies.token_cache_size());
    corpus.judge(|token| {
        let authorization = format!("Bearer {}", token.token);
        let headers = [("authorization", authorization.as_bytes())];
        let now = UnixTime::from_seconds(NOW);
        let request = certbound::Request { headers: &headers, route_metadata: None, peer_digest: None, now };
        let (keys, header_cache) = (KeyRing::default(), &mut HeaderCache::default());
        match policies.start(&request, &mut Context::new(&DeskEngine, &keys, &mut tokens, header_cache)) {
            Step::Forward { .. } => None,
            Step::Refuse(refusal) => Some(refusal.reason().name().to_owned()),
            other => panic!("{}: {other:?}", token.what),
        }
    });
}

#[test]
fn the_module_takes_the_right_signatures_and_refuses_the_others() {
    let corpus = Corpus::read();
    let module = Module::from_file(&target().join("certbound.wasm"));
    let mut vm = Vm::start(&module, &corpus.configuration).unwrap_or_else(|refused| panic!("{:?}", refused.log));
    corpus.judge(|token| {
        let authorization = format!("Bearer {}", token.token).into_bytes();
        let exchange = vm.request(&fake_host::Request::new("GET", "/").with_header("authorization", authorization));
        match exchange.outcome {
            fake_host::Outcome::Forwarded { .. } => None,
            fake_host::Outcome::Replied { .. } => {
                let told: Value = serde_json::from_slice(&exchange.properties["certbound"]).unwrap();
                Some(told["reason"].as_str().unwrap().to_owned())
            }
            fake_host::Outcome::Waits => panic!("{}: it waits", token.what),
        }
    });
}
