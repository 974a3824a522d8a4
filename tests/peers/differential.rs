// SPDX-License-Identifier: Apache-2.0

//! Tens of thousands of requests (tests/peers/differential.py) against an oracle that shares nothing with this code
//! (tests/peers/oracle.py): what it refuses is refused, and what it accepts is accepted but for the named strictnesses.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::fake_host::{Module, Vm};
use certbound::handover::header_cache::HeaderCache;
use certbound::http::header_map::borrowed;
use certbound::jose::signature::PortableEngine;
use certbound::keys::KeyRing;
use certbound::resource_server::token_cache::TokenCache;
use certbound::time::UnixTime;
use certbound::{Context, Policies, Step};
use serde::Deserialize;

/// How many requests there have to be, and how many of them the module judges in the fake host.
const LEAST: usize = 20_000;
const LEAST_IN_MODULE: usize = 2_000;

/// One request in this many goes through the module: an interpreter is slow.
const MODULE_EVERY: usize = 10;

/// The first line: what all requests share.
#[derive(Deserialize)]
struct Setting {
    seed: String,
    /// Seconds since 1970.
    now: u64,
    /// The plugin configuration, as JSON text.
    configuration: String,
    strictnesses: BTreeMap<String, Strictness>,
}

/// A refusal that no RFC demands.
#[derive(Deserialize)]
struct Strictness {
    why: String,
    reasons: Vec<String>,
}

/// One request and the oracle's verdict. Bytes stand as the characters of the same number.
#[derive(Deserialize)]
struct Case {
    kind: String,
    policy: String,
    authorization: Vec<String>,
    digest: Option<String>,
    accepted: bool,
    why: String,
    strictnesses: Vec<String>,
}

/// `None` where the request is forwarded, else the reason.
type Outcome = Option<String>;

struct Suite {
    setting: Setting,
    cases: Vec<Case>,
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target")
}

fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(character).unwrap()).collect()
}

impl Suite {
    fn read() -> Self {
        let path = target().join("differential.ndjson");
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
            panic!("{}: {error}; `make test` makes it, and so does `make differential`", path.display())
        });
        let mut lines = text.lines();
        let setting = serde_json::from_str(lines.next().unwrap()).unwrap();
        Self { setting, cases: lines.map(|line| serde_json::from_str(line).unwrap()).collect() }
    }

    /// Where the outcome and the verdict differ, if they do.
    fn judge(&self, case: &Case, outcome: &Outcome) -> Result<(), String> {
        match (case.accepted, outcome) {
            (false, Some(_)) => Ok(()),
            (false, None) => Err(format!("ACCEPTED, and the oracle refuses: {}", case.why)),
            (true, None) if case.strictnesses.is_empty() => Ok(()),
            (true, None) => Err(format!("ACCEPTED, in spite of the strictness {:?}", case.strictnesses)),
            (true, Some(reason)) => {
                let meant =
                    case.strictnesses.iter().any(|name| self.setting.strictnesses[name].reasons.contains(reason));
                let why = format!("refused ({reason}), and the oracle accepts; strictnesses: {:?}", case.strictnesses);
                if meant { Ok(()) } else { Err(why) }
            }
        }
    }

    /// Counts of what came out, on the test's error output whether or not it passes; then fails if anything differs.
    fn report(&self, depth: &str, outcomes: &[(&Case, Outcome)]) {
        let mut kinds: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
        let mut strictnesses: BTreeMap<&str, usize> = BTreeMap::new();
        let mut wrong = Vec::new();
        for (case, outcome) in outcomes {
            let column = match (case.accepted, outcome) {
                (_, None) => 0,
                (false, Some(_)) => 1,
                (true, Some(_)) => 2,
            };
            kinds.entry(&case.kind).or_default()[column] += 1;
            if column == 2 {
                for name in &case.strictnesses {
                    *strictnesses.entry(name).or_default() += 1;
                }
            }
            if let Err(why) = self.judge(case, outcome) {
                wrong.push(format!(
                    "{} {}: {why}\n  authorization {:?}\n  digest {:?}",
                    case.kind, case.policy, case.authorization, case.digest
                ));
            }
        }
        let total = |column: usize| kinds.values().map(|counts| counts[column]).sum::<usize>();
        let mut text = format!("\n{depth}: {} requests, seed {}\n", outcomes.len(), self.setting.seed);
        writeln!(text, "{:>28} {:>8} {:>8} {:>8}", "", "accepted", "refused", "strict").unwrap();
        for (kind, [accepted, refused, strict]) in &kinds {
            writeln!(text, "{kind:>28} {accepted:>8} {refused:>8} {strict:>8}").unwrap();
        }
        writeln!(text, "{:>28} {:>8} {:>8} {:>8}", "in all", total(0), total(1), total(2)).unwrap();
        for (name, count) in &strictnesses {
            writeln!(text, "{name:>28} {count:>8}  {}", self.setting.strictnesses[*name].why).unwrap();
        }
        // Not by a macro that the test runner would swallow.
        std::io::stderr().write_all(text.as_bytes()).unwrap();

        assert!(
            wrong.is_empty(),
            "{} differences, the first of them:\n{}",
            wrong.len(),
            wrong[..wrong.len().min(20)].join("\n")
        );
        // Whoever refuses everything, or refuses by strictness alone, has not been tested.
        assert!(total(0) * 100 >= outcomes.len() * 15, "only {} requests were accepted", total(0));
    }
}

/// A route's metadata as the host hands it over: a map with the one entry.
fn route_metadata(policy: &str) -> Vec<u8> {
    let length = |text: &str| u32::try_from(text.len()).unwrap().to_le_bytes();
    [&1_u32.to_le_bytes()[..], &length("policy"), &length(policy), b"policy\0", policy.as_bytes(), b"\0"].concat()
}

/// Whether the others before it left no time for a token without a key id: all of them come in one second. A worker that has
/// just begun judges it.
fn is_used_up(outcome: &Outcome) -> bool {
    outcome.as_deref() == Some("signature_checks_exhausted")
}

/// The cache of verified tokens is kept from request to request: a mutated token must not pass for the one it was.
fn in_core(policies: &Policies, tokens: &mut TokenCache, case: &Case, now: u64) -> Outcome {
    let headers: Vec<_> = case.authorization.iter().map(|value| ("authorization".to_owned(), bytes(value))).collect();
    let metadata = route_metadata(&case.policy);
    let digest = case.digest.as_deref().map(bytes);
    let request = certbound::Request {
        headers: &borrowed(&headers),
        route_metadata: Some(&metadata),
        peer_digest: digest.as_deref(),
        now: UnixTime::from_seconds(now),
    };
    let (keys, header_cache) = (KeyRing::default(), &mut HeaderCache::default());
    let context = &mut Context::new(&PortableEngine, &keys, tokens, header_cache);
    match policies.start(&request, context) {
        Step::Forward { .. } => None,
        Step::Refuse(refusal) => Some(refusal.reason().name().to_owned()),
        other => panic!("an API's request asks {other:?}"),
    }
}

#[test]
fn the_core_accepts_and_refuses_what_the_oracle_does() {
    let suite = Suite::read();
    assert!(suite.cases.len() >= LEAST);
    let policies = Policies::load(suite.setting.configuration.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    let mut tokens = TokenCache::new(policies.token_cache_size());
    let mut outcome = |case| {
        let mut came = in_core(&policies, &mut tokens, case, suite.setting.now);
        if is_used_up(&came) {
            tokens = TokenCache::new(policies.token_cache_size());
            came = in_core(&policies, &mut tokens, case, suite.setting.now);
        }
        (case, came)
    };
    let outcomes: Vec<_> = suite.cases.iter().map(&mut outcome).collect();
    suite.report("the core", &outcomes);
    for name in suite.setting.strictnesses.keys() {
        assert!(
            outcomes.iter().any(|(case, outcome)| outcome.is_some() && case.strictnesses == [name.as_str()]),
            "no request is refused for the strictness {name} alone"
        );
    }
}

/// Whether such a request can come to a filter: Envoy refuses other bytes, trims values, and joins several values of
/// this header, of which an empty one leaves no trace.
fn arrives(case: &Case) -> bool {
    let alone = case.authorization.len() == 1;
    case.authorization.iter().all(|value| {
        (alone || !value.is_empty())
            && value.trim_matches([' ', '\t']) == value
            && value.chars().all(|character| matches!(character, '\t' | ' '..='~' | '\u{80}'..='\u{ff}'))
    })
}

fn in_module(vm: &mut Vm, case: &Case, now: u64) -> Outcome {
    let mut request = crate::fake_host::Request::new("GET", "/")
        .with_property(&["xds", "route_metadata", "filter_metadata", "certbound"], route_metadata(&case.policy));
    request.now = Duration::from_secs(now);
    for value in &case.authorization {
        request = request.with_header("authorization", bytes(value));
    }
    if let Some(digest) = &case.digest {
        request = request.with_property(&["connection", "sha256_peer_certificate_digest"], bytes(digest));
    }
    let exchange = vm.request(&request);
    match exchange.outcome {
        crate::fake_host::Outcome::Forwarded { .. } => None,
        crate::fake_host::Outcome::Replied { .. } => {
            // Not from the log, where not every refusal has a line.
            let told: serde_json::Value = serde_json::from_slice(&exchange.properties["certbound"]).unwrap();
            assert_eq!(told["verdict"], "refused");
            Some(told["reason"].as_str().unwrap().to_owned())
        }
        crate::fake_host::Outcome::Waits => panic!("it waits, and nothing here has to be waited for"),
    }
}

#[test]
fn the_module_accepts_and_refuses_what_the_oracle_does() {
    let suite = Suite::read();
    let module = Module::from_file(&target().join("certbound.wasm"));
    let start = || {
        Vm::start(&module, suite.setting.configuration.as_bytes()).unwrap_or_else(|refused| panic!("{:?}", refused.log))
    };
    let mut vm = start();
    let mut outcome = |case| {
        let mut came = in_module(&mut vm, case, suite.setting.now);
        if is_used_up(&came) {
            vm = start();
            came = in_module(&mut vm, case, suite.setting.now);
        }
        (case, came)
    };
    let arriving = suite.cases.iter().filter(|case| arrives(case));
    let outcomes: Vec<_> = arriving.step_by(MODULE_EVERY).map(&mut outcome).collect();
    assert!(outcomes.len() >= LEAST_IN_MODULE);
    suite.report("the module", &outcomes);
}
