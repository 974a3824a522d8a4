//! The host's counters and histograms.

use std::cell::RefCell;

use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;

use crate::call::Outcome;
use crate::decision::Decision;
use crate::metric::{Kind, Metric};
use crate::sorted_map::SortedMap;

/// The metrics that were used so far. Each is defined with its first use: most of the many pairs of a policy and a
/// reason never occur. All VMs of a proxy share a metric by its name.
#[derive(Default)]
pub(super) struct Metrics {
    by_policy: RefCell<SortedMap<String, SortedMap<Metric, u32>>>,
}

impl Metrics {
    /// Counts what a decision says: for a counter that was used before, one host call.
    pub(super) fn count(&self, decision: &Decision) {
        for (counter, amount) in decision.counts() {
            self.add(decision.policy(), counter, u64::from(amount));
        }
    }

    /// Counts forged trailers.
    pub(super) fn count_forged(&self, policy: &str, trailers: u32) {
        self.add(policy, Metric::ForgedHeadersRemoved, u64::from(trailers));
    }

    /// Counts one of these.
    pub(super) fn count_one(&self, policy: &str, metric: Metric) {
        self.add(policy, metric, 1);
    }

    /// Counts and measures a fetch of keys.
    pub(super) fn fetched(&self, outcome: Outcome, milliseconds: u64) {
        self.add("", Metric::KeyFetches(outcome), 1);
        self.add("", Metric::KeyFetchMilliseconds(outcome), milliseconds);
    }

    /// Counts and measures an introspection.
    pub(super) fn introspected(&self, outcome: Outcome, milliseconds: u64) {
        self.add("", Metric::Introspections(outcome), 1);
        self.add("", Metric::IntrospectionMilliseconds(outcome), milliseconds);
    }

    /// There is nothing to be done about a metric that the host does not take.
    fn add(&self, policy: &str, metric: Metric, value: u64) {
        let Some(id) = self.id(policy, metric) else { return };
        let _ = match metric.kind() {
            Kind::Counter => hostcalls::increment_metric(id, i64::try_from(value).unwrap_or(i64::MAX)),
            Kind::Histogram => hostcalls::record_metric(id, value),
        };
    }

    fn id(&self, policy: &str, metric: Metric) -> Option<u32> {
        let mut by_policy = self.by_policy.borrow_mut();
        if let Some(id) = by_policy.get(policy).and_then(|metrics| metrics.get(&metric)) {
            return Some(*id);
        }
        let kind = match metric.kind() {
            Kind::Counter => MetricType::Counter,
            Kind::Histogram => MetricType::Histogram,
        };
        let id = hostcalls::define_metric(kind, &metric.name(policy)).ok()?;
        match by_policy.get_mut(policy) {
            Some(metrics) => drop(metrics.insert(metric, id)),
            None => drop(by_policy.insert(policy.to_owned(), [(metric, id)].into_iter().collect())),
        }
        Some(id)
    }
}
