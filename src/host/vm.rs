// SPDX-License-Identifier: Apache-2.0

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

/// The header that a policy may remove (`forward_token: remove`).
pub(super) const AUTHORIZATION: &str = "authorization";

/// The state of one plugin configuration in one VM, which has one thread.
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

/// A request as it arrived, and what it has got by waiting.
pub(super) struct PendingRequest {
    headers: HeaderMap,
    route_metadata: Option<Vec<u8>>,
    peer_digest: Option<Vec<u8>>,
    /// The name of the policy that judges it again after a wait.
    waits_under: Option<String>,
    /// The introspection of its token, if that was made.
    introspected: Option<Rc<Introspected>>,
    /// Whether it has waited for keys: it must not wait for them again.
    pub(super) has_newest_keys: bool,
}

/// A request that waits.
pub(super) struct Parked {
    pub(super) pending: PendingRequest,
    /// Where its judgement continues, if not at the beginning.
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

    /// The proxy, for the worker.
    pub(super) fn proxy(&self) -> Host<'_> {
        Host(&self.metrics)
    }

    /// Has the core judge a request; `None` if its headers cannot be read.
    pub(super) fn judge(&self, pending: &PendingRequest) -> Option<Step> {
        let (mut headers, now) = (pending.headers.headers()?, facts::now());
        let may_be_redirected = pending.request(&headers, now).may_be_redirected();
        let is_without = || headers.iter().all(|(name, _)| *name != AUTHORIZATION);
        let removed = (may_be_redirected && is_without()).then(facts::authorization_before_redirect).flatten();
        headers.extend(removed.iter().map(|value| (AUTHORIZATION, value.as_slice())));
        let request = pending.request(&headers, now);
        self.now.set(request.now);
        self.log_overdue(request.now);
        let (keys, mut tokens) = (self.worker.keys(), self.tokens.borrow_mut());
        let line = may_be_redirected.then(facts::line_before_redirect).flatten();
        let judged_under = line.and_then(|line| decision::policy_of(&line));
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
            // After a wait the same policy judges it again.
            Some(policy) => self.policies.start_under(policy, &request, context),
            None => Some(self.policies.start(&request, context)),
        }
    }
}

impl Vm {
    /// Logs, for every minute that has ended, how many refusals got no line of their own.
    pub(super) fn log_overdue(&self, now: UnixTime) {
        for not_logged in self.refusals.borrow_mut().overdue(now) {
            log(&Event::RefusalsNotLogged(&not_logged));
        }
    }

    /// Whether a finding in a response gets a line in the log.
    pub(super) fn admits_finding_to_log(&self, policy: &str, reason: Reason) -> bool {
        self.refusals.borrow_mut().admits(policy, reason, self.now.get())
    }

    /// Whether a refusal of the request that was judged last gets a line in the log.
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

    /// The credentials with which it came.
    pub(super) fn authorization(&self) -> Option<Vec<u8>> {
        let headers = self.headers.headers()?;
        headers.into_iter().find_map(|(name, value)| (name == AUTHORIZATION).then(|| value.to_vec()))
    }

    /// What the log says about the request besides its refusal; `route` is the name of its route.
    pub(super) fn circumstances<'a>(&'a self, route: Option<&'a [u8]>) -> Circumstances<'a> {
        let headers = self.headers.headers().unwrap_or_default();
        let request_id = headers.into_iter().find(|(name, _)| *name == "x-request-id");
        Circumstances { route, request_id: request_id.map(|(_, value)| value) }
    }

    /// Reads the request of the current context; `None` if its headers cannot be read.
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

    /// The same, to be judged again under the policy of this name.
    pub(super) fn waiting_under(self, policy: &str) -> Self {
        Self { waits_under: Some(policy.to_owned()), ..self }
    }

    /// The same with the introspection of its token.
    pub(super) fn with_introspection(self, introspected: Rc<Introspected>) -> Self {
        Self { introspected: Some(introspected), ..self }
    }

    /// Whether its token was introspected.
    pub(super) fn is_introspected(&self) -> bool {
        self.introspected.is_some()
    }

    /// The same, after its wait for keys.
    pub(super) fn with_newest_keys(self) -> Self {
        Self { has_newest_keys: true, ..self }
    }
}
