// SPDX-License-Identifier: Apache-2.0

//! A process with workers, and without a host: its clock is set by hand, and its authorization server answers when it is told to.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot go on must stop"
)]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certbound::handover::header_cache::HeaderCache;
use certbound::http::call::{Call, Response};
use certbound::http::header_map::borrowed;
use certbound::jose::signature::PortableEngine;
use certbound::keys::AskKeys;
use certbound::outcome::log::Event;
use certbound::outcome::metric::Metric;
use certbound::resource_server::token_cache::TokenCache;
use certbound::time::UnixTime;
use certbound::worker::{Outcome, Proxy, Wait, Worker};
use certbound::{Context, Environment, Policies, Reason, Request, Step};
use serde_json::{Value, json};

/// 2026-01-01, in seconds.
const START: u64 = 1_767_225_600;

/// RFC 7515, appendix A.3.1.
const PRIVATE_KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;
/// RFC 7517, appendix A.2.
const OTHER_PRIVATE_KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"}"#;

/// What the workers of one process share: data, a clock, and the authorization server.
pub(crate) struct Process {
    pub(crate) now: Cell<UnixTime>,
    pub(crate) data: RefCell<BTreeMap<String, (Vec<u8>, u32)>>,
    /// What the authorization server answers, by the path; nothing where it is away.
    pub(crate) responses: RefCell<BTreeMap<String, Published>>,
    /// The next of the numbers that no call has yet; none where there is no source of them.
    pub(crate) nonces: Cell<Option<u128>>,
    /// How often it was asked, by the path.
    pub(crate) asked: RefCell<BTreeMap<String, usize>>,
    /// How often a worker has read what they share.
    pub(crate) reads: Cell<usize>,
}

#[derive(Clone, Default)]
pub(crate) struct Published {
    pub(crate) cache_control: Option<String>,
    pub(crate) age: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Process {
    pub(crate) fn new() -> Rc<Self> {
        Rc::new(Self {
            now: Cell::new(UnixTime::from_seconds(START)),
            data: RefCell::default(),
            responses: RefCell::default(),
            nonces: Cell::new(Some(0)),
            asked: RefCell::default(),
            reads: Cell::default(),
        })
    }

    pub(crate) fn publish(&self, path: &str, published: Published) {
        self.responses.borrow_mut().insert(path.to_owned(), published);
    }

    pub(crate) fn asked(&self, path: &str) -> usize {
        self.asked.borrow().get(path).copied().unwrap_or_default()
    }

    pub(crate) fn pass(&self, milliseconds: u64) {
        self.now.set(self.now.get().saturating_add(Duration::from_millis(milliseconds)));
    }
}

/// One worker of the process, with the calls that it has made and not got answered.
pub(crate) struct One {
    pub(crate) process: Rc<Process>,
    pub(crate) policies: Policies,
    pub(crate) worker: Worker<()>,
    pub(crate) calls: RefCell<Vec<(u32, Call)>>,
    pub(crate) log: RefCell<Vec<String>>,
    pub(crate) measured: RefCell<Vec<(Metric, u64)>>,
    pub(crate) last: Cell<u32>,
}

impl Proxy for One {
    fn now(&self) -> UnixTime {
        self.process.now.get()
    }

    fn nonce(&self) -> Option<[u8; 16]> {
        let nonce = self.process.nonces.get()?;
        self.process.nonces.set(nonce.checked_add(1));
        Some(nonce.to_be_bytes())
    }

    fn dispatch(&self, call: &Call) -> Option<u32> {
        self.last.set(self.last.get() + 1);
        *self.process.asked.borrow_mut().entry(call.path.clone()).or_default() += 1;
        self.calls.borrow_mut().push((self.last.get(), call.clone()));
        Some(self.last.get())
    }

    fn shared(&self, key: &str) -> (Option<Vec<u8>>, Option<u32>) {
        self.process.reads.set(self.process.reads.get() + 1);
        match self.process.data.borrow().get(key) {
            Some((value, revision)) => (Some(value.clone()), Some(*revision)),
            None => (None, None),
        }
    }

    fn share(&self, key: &str, value: &[u8], revision: Option<u32>) -> bool {
        let mut data = self.process.data.borrow_mut();
        let old = data.get(key).map(|(_, revision)| *revision);
        if revision.is_some_and(|named| old.is_some_and(|old| old != named)) {
            return false;
        }
        data.insert(key.to_owned(), (value.to_vec(), old.unwrap_or_default() + 1));
        true
    }

    fn measure(&self, metric: Metric, value: u64) {
        assert!(value < 60_000, "no fetch takes a minute");
        self.measured.borrow_mut().push((metric, value));
    }

    fn log(&self, event: &Event<'_>) {
        self.log.borrow_mut().push(event.to_string());
    }
}

impl One {
    pub(crate) fn new(process: &Rc<Process>, keys: &Value) -> Self {
        let issuer = json!({"issuer": "https://as", "audiences": ["api"], "keys": keys});
        Self::with(process, &json!({"resource_server": {"issuers": [issuer]}}))
    }

    pub(crate) fn with(process: &Rc<Process>, configuration: &Value) -> Self {
        let environment = Environment::Variables(&|name| {
            Some(match name {
                "KEY" => PRIVATE_KEY.to_owned(),
                "OTHER_KEY" => OTHER_PRIVATE_KEY.to_owned(),
                other => format!("the value of {other}"),
            })
        });
        let policies = Policies::load_with(configuration.to_string().as_bytes(), environment).unwrap();
        let one = Self {
            process: Rc::clone(process),
            policies,
            worker: Worker::default(),
            calls: RefCell::default(),
            log: RefCell::default(),
            measured: RefCell::default(),
            last: Cell::default(),
        };
        one.worker.take_shared_keys(&one, one.policies.key_sources());
        one
    }

    pub(crate) fn tick(&self) {
        self.worker.tick(self, self.policies.key_sources());
    }

    /// Has the authorization server answer what it was asked.
    pub(crate) fn answer(&self) {
        loop {
            let Some((token, call)) = self.calls.borrow_mut().pop() else { return };
            let found = self.process.responses.borrow().get(&call.path).cloned();
            match found {
                None => self.worker.receive(self, token, &Response::default()),
                Some(Published { cache_control, age, body }) => {
                    let response = Response {
                        status: Some(200),
                        cache_control: cache_control.as_deref().map(str::as_bytes),
                        age: age.as_deref().map(str::as_bytes),
                        location: None,
                        body: &body,
                        unread: None,
                    };
                    self.worker.receive(self, token, &response);
                }
            }
        }
    }

    /// A tick and the responses that come at once.
    pub(crate) fn turn(&self) {
        self.tick();
        self.answer();
    }

    /// The first step of a request with a token of this key id, under this policy or the default one.
    pub(crate) fn start(&self, policy: Option<&str>, kid: Option<&str>) -> Step {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let mut header = json!({"alg": "ES256"});
        if let Some(kid) = kid {
            header["kid"] = kid.into();
        }
        let claims = json!({"iss": "https://as", "aud": "api", "exp": 2_000_000_000});
        let token = format!("Bearer {}.{}.{}", part(header), part(claims), URL_SAFE_NO_PAD.encode([1; 64]));
        let headers = [("authorization".to_owned(), token.into_bytes())];
        let now = self.process.now.get();
        let request = Request { headers: &borrowed(&headers), route_metadata: None, peer_digest: None, now };
        let keys = self.worker.keys();
        let mut tokens = TokenCache::new(self.policies.token_cache_size());
        let header_cache = &mut HeaderCache::default();
        let context = &mut Context::new(&PortableEngine, &keys, &mut tokens, header_cache);
        match policy {
            Some(policy) => self.policies.start_under(policy, &request, context).unwrap(),
            None => self.policies.start(&request, context),
        }
    }

    /// What becomes of a token with this key id; `Ok` where it needs newer keys.
    pub(crate) fn ask(&self, kid: Option<&str>) -> Result<AskKeys, Reason> {
        match self.start(None, kid) {
            Step::AskKeys { question, .. } => Ok(question),
            Step::Refuse(refusal) => Err(refusal.reason()),
            step => panic!("{step:?}"),
        }
    }

    /// Whether a token with this key id is one that the keys at hand cannot verify and that waits for others.
    pub(crate) fn waits(&self, kid: &str) -> bool {
        match self.worker.wait_for_keys(self, 7, (), self.ask(Some(kid)).unwrap()) {
            Wait::Waits => true,
            Wait::No((), Outcome::InVain(_)) => false,
            Wait::No((), outcome) => panic!("{outcome:?}"),
        }
    }

    /// Which reason the refusal of a token has that comes now and waits for nothing.
    pub(crate) fn reason(&self, kid: &str) -> Reason {
        self.ask(Some(kid)).map_or_else(|reason| reason, |question| question.refused().reason())
    }
}

pub(crate) fn key(kid: &str) -> Value {
    let x = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    let y = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
    json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y})
}

pub(crate) fn published(keys: &Value) -> Published {
    Published { body: json!({ "keys": keys }).to_string().into_bytes(), ..Published::default() }
}

pub(crate) fn by_jwks_uri() -> Value {
    json!({"jwks_uri": "https://as/jwks", "cluster": "as"})
}
