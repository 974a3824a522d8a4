// SPDX-License-Identifier: Apache-2.0

//! The host's counters and histograms.

use std::cell::RefCell;

use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;

use crate::collections::sorted_map::SortedMap;
use crate::outcome::decision::Decision;
use crate::outcome::metric::{Kind, Metric};

/// The metrics that were used so far. Each is defined when it is first used, since most of the many pairs of a policy and a
/// reason never occur. All VMs of a proxy share a metric by its name.
#[derive(Default)]
pub(super) struct Metrics {
    by_policy: RefCell<SortedMap<String, SortedMap<Metric, Used>>>,
}

/// A metric that is defined with the host.
struct Used {
    id: u32,
    /// Counted since the last flush. A host call for each request would cost as much as reading its token.
    pending: u64,
}

impl Metrics {
    /// Counts a decision.
    pub(super) fn count(&self, decision: &Decision) {
        for (counter, amount) in decision.counts() {
            self.add(decision.policy(), counter, u64::from(amount));
        }
    }

    /// Counts forged trailers.
    pub(super) fn count_forged(&self, policy: &str, trailers: u32) {
        self.add(policy, Metric::ForgedHeadersRemoved, u64::from(trailers));
    }

    /// Adds one to a counter.
    pub(super) fn count_one(&self, policy: &str, metric: Metric) {
        self.add(policy, metric, 1);
    }

    /// Gives the host what was counted since the last flush.
    pub(super) fn flush(&self) {
        for (_, metrics) in self.by_policy.borrow_mut().iter_mut() {
            metrics.iter_mut().for_each(|(_, used)| used.flush());
        }
    }

    /// Adds to a counter, or records a value of a histogram.
    pub(super) fn add(&self, policy: &str, metric: Metric, value: u64) {
        let mut by_policy = self.by_policy.borrow_mut();
        if let Some(used) = by_policy.get_mut(policy).and_then(|metrics| metrics.get_mut(&metric)) {
            return used.add(metric.kind(), value);
        }
        let kind = match metric.kind() {
            Kind::Counter => MetricType::Counter,
            Kind::Histogram => MetricType::Histogram,
        };
        // A failure is ignored: nothing can be done about it.
        let Ok(id) = hostcalls::define_metric(kind, &metric.name(policy)) else { return };
        let mut used = Used { id, pending: 0 };
        used.add(metric.kind(), value);
        match by_policy.get_mut(policy) {
            Some(metrics) => drop(metrics.insert(metric, used)),
            None => drop(by_policy.insert(policy.to_owned(), [(metric, used)].into_iter().collect())),
        }
    }
}

impl Used {
    fn add(&mut self, kind: Kind, value: u64) {
        match kind {
            Kind::Counter => self.pending = self.pending.saturating_add(value),
            Kind::Histogram => drop(hostcalls::record_metric(self.id, value)),
        }
    }

    fn flush(&mut self) {
        if self.pending > 0 {
            let _ = hostcalls::increment_metric(self.id, i64::try_from(self.pending).unwrap_or(i64::MAX));
            self.pending = 0;
        }
    }
}
