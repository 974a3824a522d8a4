//! Requests in flight, to count those whose token expires before they end.

use std::cell::{Cell, RefCell};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::metrics::Metrics;
use crate::outcome::decision::Decision;
use crate::outcome::metric::Metric;
use crate::time::UnixTime;

/// The forwarded requests of one VM that have not ended and whose token expires. The host bounds how many there are.
#[derive(Default)]
pub(super) struct InFlight {
    /// The host numbers its contexts, so no client can make them collide.
    by_context: RefCell<HashMap<u32, Admitted, FixedState>>,
    /// When the expired ones were counted last, in seconds since 1970.
    counted: Cell<u64>,
}

struct Admitted {
    policy: String,
    expires: UnixTime,
}

impl InFlight {
    /// Notes a request that is forwarded.
    pub(super) fn begin(&self, context: u32, decision: Decision) {
        if let Some(expires) = decision.expires() {
            let admitted = Admitted { policy: decision.into_policy(), expires };
            self.by_context.borrow_mut().insert(context, admitted);
        }
    }

    /// Forgets a request that has ended.
    pub(super) fn end(&self, context: u32) {
        self.by_context.borrow_mut().remove(&context);
    }

    /// Counts those whose token has expired by now, each once.
    pub(super) fn count_expired(&self, metrics: &Metrics, now: UnixTime) {
        // Once a second is enough: there may be many requests, and several ticks in a second. No request begins with a token that
        // has expired.
        if self.counted.replace(now.seconds()) == now.seconds() {
            return;
        }
        let mut by_context = self.by_context.borrow_mut();
        for (_, outlived) in by_context.extract_if(|_, admitted| admitted.expires <= now) {
            metrics.count_one(&outlived.policy, Metric::OutlivedTokens);
        }
    }
}
