//! What one VM knows between requests.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use super::metrics::Metrics;
use super::signature::HostEngine;
use super::{facts, http, log};
use crate::authorization_server::AskBody;
use crate::decision::Decision;
use crate::log::{Circumstances, Event};
use crate::policy::{self, Policies};
use crate::refusal_log::RefusalLog;
use crate::resource_server::Means;
use crate::resource_server::keys::{Fetch, KeyRing, KeySource};
use crate::resource_server::token_cache::TokenCache;
use crate::step::{AskKeys, Edit, Step};
use crate::{Refusal, Request};

/// The state of one plugin configuration in one VM. A VM has one thread.
pub(super) struct Vm {
    pub(super) policies: Policies,
    pub(super) keys: RefCell<KeyRing>,
    tokens: RefCell<TokenCache>,
    /// By the host's token of the call; with when they began, in milliseconds since 1970.
    pub(super) fetches: RefCell<BTreeMap<u32, (Fetch, u64)>>,
    /// The identities of the sources whose keys a request misses.
    pub(super) wishes: RefCell<BTreeSet<String>>,
    pub(super) waiting: RefCell<Vec<Waiting>>,
    pub(super) metrics: Metrics,
    refusals: RefCell<RefusalLog>,
    /// When a request was judged last, in seconds since 1970.
    now: Cell<u64>,
}

/// A request as it arrived.
pub(super) struct Arrived {
    headers: Vec<(String, Vec<u8>)>,
    route_metadata: Option<Vec<u8>>,
    peer_digest: Option<Vec<u8>>,
    verified_payloads: Vec<(String, Vec<u8>)>,
}

/// A request that waits for keys.
pub(super) struct Waiting {
    pub(super) context: u32,
    pub(super) arrived: Arrived,
    pub(super) source: KeySource,
    /// The version of the keys that did not help.
    pub(super) version: u64,
    /// Milliseconds since 1970.
    pub(super) deadline: u64,
    pub(super) refusal: Refusal,
}

/// What became of a request.
pub(super) enum Judged {
    Forward { edits: Vec<Edit>, decision: Decision },
    Refuse(Refusal),
    NeedsKeys(AskKeys),
    NeedsBody(Box<AskBody>),
}

impl Judged {
    /// The name of the policy that judged; empty where none governs.
    pub(super) fn policy(&self) -> &str {
        match self {
            Self::Forward { decision, .. } => decision.policy(),
            Self::Refuse(refusal) => refusal.policy(),
            Self::NeedsKeys(question) => question.policy(),
            Self::NeedsBody(question) => question.policy(),
        }
    }
}

impl Vm {
    pub(super) fn new(policies: Policies) -> Self {
        let tokens = RefCell::new(TokenCache::new(policies.token_cache_size()));
        let refusals = RefCell::new(RefusalLog::new(policies.refusal_lines_per_minute()));
        Self {
            policies,
            tokens,
            keys: RefCell::default(),
            fetches: RefCell::default(),
            wishes: RefCell::default(),
            waiting: RefCell::default(),
            metrics: Metrics::default(),
            refusals,
            now: Cell::default(),
        }
    }

    /// Asks the core, and answers the questions that it has for the host.
    pub(super) fn judge(&self, arrived: &Arrived) -> Judged {
        let request = Request {
            headers: &arrived.headers,
            route_metadata: arrived.route_metadata.as_deref(),
            peer_digest: arrived.peer_digest.as_deref(),
            verified_payloads: &arrived.verified_payloads,
            now: facts::now_in_milliseconds() / 1000,
        };
        self.now.set(request.now);
        self.tell_overdue(request.now);
        let (keys, mut tokens) = (self.keys.borrow(), self.tokens.borrow_mut());
        let mut step =
            self.policies.start(&request, &mut Means { engine: &HostEngine, keys: &keys, tokens: &mut tokens });
        loop {
            step = match step {
                Step::Forward { edits, decision } => return Judged::Forward { edits, decision },
                Step::Refuse(refusal) => return Judged::Refuse(refusal),
                Step::AskKeys(question) => return Judged::NeedsKeys(question),
                Step::AskBody(question) => return Judged::NeedsBody(question),
                Step::AskValidation(question) => question.answer(facts::peer_certificate_valid()),
                Step::AskServerName(question) => question.answer(facts::requested_server_name().as_deref()),
                Step::AskCertificate(question) => question.answer(facts::peer_certificate().as_deref()),
            };
        }
    }
}

impl Vm {
    /// Writes how many refusals of the minutes that are over were not written.
    pub(super) fn tell_overdue(&self, now: u64) {
        for not_logged in self.refusals.borrow_mut().overdue(now) {
            log(&Event::RefusalsNotLogged(&not_logged));
        }
    }

    /// Whether a refusal of the request that was judged last is to be written.
    pub(super) fn admits_to_log(&self, refusal: &Refusal) -> bool {
        self.refusals.borrow_mut().admits(refusal.policy(), refusal.reason(), self.now.get())
    }
}

impl Arrived {
    /// What the log says of the request, which took this route.
    pub(super) fn circumstances<'a>(&'a self, route: Option<&'a [u8]>) -> Circumstances<'a> {
        let request_id = self.headers.iter().find(|(name, _)| name == "x-request-id");
        Circumstances { route, request_id: request_id.map(|(_, value)| value.as_slice()) }
    }

    /// Reads the request of the current context; `None` where its headers cannot be read.
    pub(super) fn read(policies: &Policies) -> Option<Self> {
        let payload = |name: &String| Some((name.clone(), facts::verified_payload(name)?));
        Some(Self {
            headers: http::request_headers()?,
            route_metadata: policy::nearest(facts::metadata()),
            peer_digest: facts::peer_digest(),
            verified_payloads: policies.payloads_in_metadata().iter().filter_map(payload).collect(),
        })
    }
}
