// SPDX-License-Identifier: Apache-2.0

//! Requests in flight, to count or end those whose token expires before they do.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::metrics::Metrics;
use crate::certificate::thumbprint::Thumbprint;
use crate::http::request::Caller;
use crate::outcome::decision::Decision;
use crate::outcome::identity::Identity;
use crate::outcome::metric::Metric;
use crate::outcome::refused::Refused;
use crate::policy::Policies;
use crate::time::UnixTime;

/// The forwarded requests of one VM that have not ended and whose token expires. The host bounds how many there are.
#[derive(Default)]
pub(super) struct InFlight {
    /// The host numbers its contexts, so no client can make them collide.
    by_context: RefCell<HashMap<u32, Admitted, FixedState>>,
    /// When the expired ones were counted last, in whole seconds since 1970.
    counted: Cell<u64>,
    /// Those that are to be ended.
    to_end: RefCell<VecDeque<Outlived>>,
}

struct Admitted {
    policy: String,
    expires: UnixTime,
    /// To whom it is ended then, if it is.
    ends: Option<Caller>,
    presented: Option<Thumbprint>,
    /// Whom its token names; it is not kept where nothing is ended.
    identity: Option<Rc<Identity>>,
}

/// A request whose token has expired, and which is to be ended.
pub(super) struct Outlived {
    /// The host's number for it.
    pub(super) context: u32,
    policy: String,
    caller: Caller,
    presented: Option<Thumbprint>,
    identity: Option<Rc<Identity>>,
}

impl Outlived {
    /// What the client is told; `None` if its policy has no tokens.
    pub(super) fn refused(&self, policies: &Policies) -> Option<Refused> {
        policies.outlived(&self.policy, self.caller, self.presented, self.identity.clone())
    }
}

impl InFlight {
    /// Notes a request that is forwarded.
    pub(super) fn begin(&self, context: u32, decision: Decision) {
        if let Some(expires) = decision.expires() {
            let (ends, presented) = (decision.ends_at_expiry(), decision.presented());
            let identity = ends.and_then(|_| decision.identity().cloned());
            let admitted = Admitted { policy: decision.into_policy(), expires, ends, presented, identity };
            self.by_context.borrow_mut().insert(context, admitted);
        }
    }

    /// Forgets a request that has ended.
    pub(super) fn end(&self, context: u32) {
        self.by_context.borrow_mut().remove(&context);
        self.to_end.borrow_mut().retain(|outlived| outlived.context != context);
    }

    /// Counts those whose token has expired by now, each once.
    pub(super) fn count_expired(&self, metrics: &Metrics, now: UnixTime) {
        // Once a second is enough: there may be many requests, and several ticks in a second. No request begins with a token that
        // has expired.
        if self.counted.replace(now.seconds()) == now.seconds() {
            return;
        }
        let (mut by_context, mut to_end) = (self.by_context.borrow_mut(), self.to_end.borrow_mut());
        for (context, Admitted { policy, ends, presented, identity, .. }) in
            by_context.extract_if(|_, admitted| admitted.expires <= now)
        {
            metrics.count_one(&policy, Metric::OutlivedTokens);
            to_end.extend(ends.map(|caller| Outlived { context, policy, caller, presented, identity }));
        }
    }

    /// The next request to end, if there is one and `may` allows it.
    pub(super) fn next_to_end(&self, may: impl FnOnce() -> bool) -> Option<Outlived> {
        if self.to_end.borrow().is_empty() || !may() {
            return None;
        }
        self.to_end.borrow_mut().pop_front()
    }

    /// Whether requests are left to end.
    pub(super) fn has_more_to_end(&self) -> bool {
        !self.to_end.borrow().is_empty()
    }
}
