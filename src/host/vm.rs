//! What one VM knows between requests.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use proxy_wasm::types::MapType;

use super::facts::CurrentConnection;
use super::in_flight::InFlight;
use super::metrics::Metrics;
use super::proxy::Host;
use super::signature::HostEngine;
use super::{abi, facts, log};
use crate::handover::header_cache::HeaderCache;
use crate::http::header_map::{HeaderMap, Headers};
use crate::outcome::decision;
use crate::outcome::log::{Circumstances, Event};
use crate::outcome::refusal_log::RefusalLog;
use crate::policy::step::{AskClientKeys, Step};
use crate::policy::{self, Policies};
use crate::resource_server::Context;
use crate::resource_server::introspection::Introspected;
use crate::resource_server::token_cache::TokenCache;
use crate::time::UnixTime;
use crate::worker::Worker;
use crate::{Reason, Refused, Request};

/// The state of one plugin configuration in one VM. A VM has one thread.
pub(super) struct Vm {
    pub(super) policies: Policies,
    pub(super) worker: Worker<Parked>,
    tokens: RefCell<TokenCache>,
    header_cache: RefCell<HeaderCache>,
    pub(super) in_flight: InFlight,
    pub(super) metrics: Metrics,
    refusals: RefCell<RefusalLog>,
    /// When a request was judged last.
    now: Cell<UnixTime>,
}

/// A request as it arrived, and what it has waited for.
pub(super) struct PendingRequest {
    headers: HeaderMap,
    route_metadata: Option<Vec<u8>>,
    peer_digest: Option<Vec<u8>>,
    /// The name of the policy under which it waits.
    waits_under: Option<String>,
    /// What came of the question about its token.
    introspected: Option<Rc<Introspected>>,
    /// Whether it has the newest keys that it can wait for.
    pub(super) has_newest_keys: bool,
}

/// A request that waits.
pub(super) struct Parked {
    pub(super) pending: PendingRequest,
    /// Where its judgement goes on, if not at the beginning.
    pub(super) client: Option<AskClientKeys>,
}

impl Vm {
    pub(super) fn new(policies: Policies) -> Self {
        let tokens = RefCell::new(TokenCache::new(policies.token_cache_size()));
        let refusals = RefCell::new(RefusalLog::new(policies.refusal_lines_per_minute()));
        Self {
            policies,
            worker: Worker::default(),
            tokens,
            header_cache: RefCell::default(),
            in_flight: InFlight::default(),
            metrics: Metrics::default(),
            refusals,
            now: Cell::default(),
        }
    }

    /// What its worker asks of the proxy.
    pub(super) fn proxy(&self) -> Host<'_> {
        Host(&self.metrics)
    }

    /// Asks the core; `None` where the headers cannot be read.
    pub(super) fn judge(&self, pending: &PendingRequest) -> Option<Step> {
        let headers = pending.headers.headers()?;
        let request = pending.request(&headers, facts::now());
        self.now.set(request.now);
        self.tell_overdue(request.now);
        let (keys, mut tokens) = (self.worker.keys(), self.tokens.borrow_mut());
        let told_before = request.may_be_redirected().then(facts::told_before).flatten();
        let judged_under = told_before.and_then(|line| decision::policy_of(&line));
        let context = &mut Context {
            engine: &HostEngine,
            connection: &CurrentConnection,
            keys: &keys,
            tokens: &mut tokens,
            header_cache: &mut self.header_cache.borrow_mut(),
            introspected: pending.introspected.as_deref(),
            judged_under: judged_under.as_deref(),
        };
        match &pending.waits_under {
            // It goes on where it left off.
            Some(policy) => self.policies.start_under(policy, &request, context),
            None => Some(self.policies.start(&request, context)),
        }
    }
}

impl Vm {
    /// Writes how many refusals of the minutes that are over were not written.
    pub(super) fn tell_overdue(&self, now: UnixTime) {
        for not_logged in self.refusals.borrow_mut().overdue(now) {
            log(&Event::RefusalsNotLogged(&not_logged));
        }
    }

    /// Whether a finding in an answer is to be written.
    pub(super) fn admits_finding_to_log(&self, policy: &str, reason: Reason) -> bool {
        self.refusals.borrow_mut().admits(policy, reason, self.now.get())
    }

    /// Whether a refusal of the request that was judged last is to be written.
    pub(super) fn admits_to_log(&self, refused: &Refused) -> bool {
        self.refusals.borrow_mut().admits(refused.policy(), refused.reason(), self.now.get())
    }
}

impl PendingRequest {
    fn request<'a>(&'a self, headers: &'a Headers<'a>, now: UnixTime) -> Request<'a> {
        Request {
            headers,
            route_metadata: self.route_metadata.as_deref(),
            peer_digest: self.peer_digest.as_deref(),
            now,
        }
    }

    /// What the log says of the request, which took this route.
    pub(super) fn circumstances<'a>(&'a self, route: Option<&'a [u8]>) -> Circumstances<'a> {
        let headers = self.headers.headers().unwrap_or_default();
        let request_id = headers.into_iter().find(|(name, _)| *name == "x-request-id");
        Circumstances { route, request_id: request_id.map(|(_, value)| value) }
    }

    /// Reads the request of the current context; `None` where its headers cannot be read.
    pub(super) fn read(policies: &Policies) -> Option<Self> {
        Some(Self {
            headers: abi::header_map(MapType::HttpRequestHeaders)?,
            route_metadata: policies.reads_metadata().then(facts::metadata).and_then(policy::nearest),
            peer_digest: facts::peer_digest(),
            waits_under: None,
            introspected: None,
            has_newest_keys: false,
        })
    }

    /// The same, which waits under the policy of this name.
    pub(super) fn waiting_under(self, policy: &str) -> Self {
        Self { waits_under: Some(policy.to_owned()), ..self }
    }

    /// The same with what its token's issuer says.
    pub(super) fn with_answer(self, introspected: Rc<Introspected>) -> Self {
        Self { introspected: Some(introspected), ..self }
    }

    /// Whether its token was asked about.
    pub(super) fn is_introspected(&self) -> bool {
        self.introspected.is_some()
    }

    /// The same with the newest keys that it can wait for.
    pub(super) fn with_newest_keys(self) -> Self {
        Self { has_newest_keys: true, ..self }
    }
}
