//! Requests that go on with a token: which of them outlive it.

use std::cell::{Cell, RefCell};

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::metrics::Metrics;
use crate::outcome::decision::Decision;
use crate::outcome::metric::Metric;
use crate::time::UnixTime;

/// The requests of one VM that the host has not ended, whose token expires. There are no more than the host has open.
#[derive(Default)]
pub(super) struct InFlight {
    /// The host numbers its contexts, so nobody can have them fall on one place.
    by_context: RefCell<HashMap<u32, Admitted, FixedState>>,
    /// The second, since 1970, at which they were looked through last.
    counted: Cell<u64>,
}

struct Admitted {
    policy: String,
    expires: UnixTime,
}

impl InFlight {
    /// Takes notice of a request that goes on.
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
        // There may be many, and several ticks in a second. None begins with a token that has expired already.
        if self.counted.replace(now.seconds()) == now.seconds() {
            return;
        }
        let mut by_context = self.by_context.borrow_mut();
        for (_, outlived) in by_context.extract_if(|_, admitted| admitted.expires <= now) {
            metrics.count_one(&outlived.policy, Metric::OutlivedTokens);
        }
    }
}
