// SPDX-License-Identifier: Apache-2.0

//! Fetches keys when they are due or needed, and shares them with the other workers of the process.

use std::time::Duration;

use super::{Awaited, Outcome, Pending, Proxy, Wait, Waiting, Worker};
use crate::http::call;
use crate::keys::{
    AskKeys, Fetch, FetchReason, Fetched, KeyRing, KeySource, Known, Next, Published, Schedule, SourceId,
};
use crate::outcome::log::Event;
use crate::outcome::metric::Metric;
use crate::text::hexadecimal;
use crate::time::{UnixTime, milliseconds};

/// Clients whose keys one worker fetches, or has requests wait for, at once. It bounds the calls that requests for ever other
/// clients can cause.
const MOST_CLIENTS_UNDER_WAY: usize = 128;

/// The version of the shared records' format. It must change with every change of their content: two versions of this filter
/// may share a process, and with Istio all plugins share one namespace of keys.
const FORMAT: u32 = 2;

/// A fetch under way.
pub(super) struct Attempt<'s> {
    pub(super) source: &'s KeySource,
    pub(super) began: UnixTime,
    /// As [`Schedule::lease`].
    pub(super) lease: UnixTime,
}

/// The name under which the workers of a process share the keys of a source.
fn shared_keys(source: &KeySource) -> String {
    format!("certbound/{FORMAT}/{}", hexadecimal::encoded(source.id().bytes()))
}

/// The name under which they share when these are fetched.
fn shared_schedule(source: &KeySource) -> String {
    format!("{}/schedule", shared_keys(source))
}

/// The schedule of a source, and the revision to pass when it is changed.
pub(super) fn schedule(proxy: &dyn Proxy, source: &KeySource) -> (Schedule, Option<u32>) {
    let (record, revision) = proxy.shared(&shared_schedule(source));
    (Schedule::read(record.as_deref()), revision)
}

/// Shares a changed schedule; `false` if another worker changed it first.
fn share(proxy: &dyn Proxy, source: &KeySource, schedule: &Schedule, revision: Option<u32>) -> bool {
    // Without a revision the host overwrites whatever is there. The first writer may pass any revision.
    proxy.share(&shared_schedule(source), &schedule.write(), revision.or(Some(u32::MAX)))
}

impl<R> Worker<R> {
    /// Takes over the keys that the process shares already. The rest is fetched at the first tick, not here: some workers exist
    /// only to validate the configuration, and their responses would be lost.
    pub fn take_shared_keys<'s>(&self, proxy: &dyn Proxy, sources: impl Iterator<Item = &'s KeySource>) {
        for source in sources {
            self.take_shared(proxy, source);
        }
    }

    /// Takes over newer keys of a source that another worker has fetched. Returns whether there were any.
    pub(super) fn take_shared(&self, proxy: &dyn Proxy, source: &KeySource) -> bool {
        let (shared, _) = proxy.shared(&shared_keys(source));
        shared.is_some_and(|shared| self.keys.borrow_mut().take_shared(source, &shared))
    }

    /// Has a request wait for keys.
    pub fn wait_for_keys(&self, proxy: &dyn Proxy, context: u32, request: R, question: AskKeys) -> Wait<R> {
        let (source, why) = (question.source().clone(), question.why());
        if self.take_shared(proxy, &source) {
            return Wait::No(request, Outcome::SharedKeys);
        }
        let now = proxy.now();
        let (schedule, _) = schedule(proxy, &source);
        let will_come = schedule.is_under_way(now) || schedule.permits(&source, why, now);
        let cannot_fetch = schedule.is_paused(now) || self.is_full() || self.is_one_too_many(&source);
        if cannot_fetch {
            return Wait::No(request, Outcome::InVain(question.unavailable()));
        }
        if !will_come {
            return Wait::No(request, Outcome::InVain(question.refused()));
        }
        let version = self.keys.borrow().version(&source);
        let deadline = now.saturating_add(source.longest_wait());
        let awaited = Awaited::Keys { source, why, version };
        self.hold(Waiting { context, request, awaited, deadline, refused: question.unavailable() })
    }

    /// Begins the fetches that are due or that requests wait for, with at most `calls` calls.
    pub(super) fn tend_keys<'s>(
        &self,
        proxy: &dyn Proxy,
        sources: impl Iterator<Item = &'s KeySource> + Clone,
        calls: usize,
    ) {
        let now = proxy.now();
        self.extend_leases(proxy, now);
        let reasons = self.reasons();
        let routine = sources.clone().map(|source| (source, FetchReason::Routine));
        let mut left = calls;
        for (source, why) in routine.chain(reasons.iter().map(|(source, why)| (source, *why))) {
            let (schedule, revision) = schedule(proxy, source);
            let is_newer = schedule.version > self.keys.borrow().version(source);
            // The schedule announces newer keys, and their record cannot be read: fetch them again.
            let is_lost = is_newer && !self.take_shared(proxy, source);
            let why = if is_lost { FetchReason::UnknownKey } else { why };
            if !schedule.permits(source, why, now) {
                continue;
            }
            let Some(fewer) = left.checked_sub(1) else { return };
            let begun = schedule.begun(source, why, now);
            if share(proxy, source, &begun, revision) {
                left = fewer;
                // The configuration's source has the longest timeout of all policies that share it.
                let own = sources.clone().find(|own| own.id() == source.id()).unwrap_or(source);
                let attempt = Attempt { source, began: now, lease: begun.lease() };
                self.advance(proxy, attempt, Fetch::begin(own));
            }
        }
    }

    /// The sources that requests wait for, and why. A source with two sets of limits is there twice.
    fn reasons(&self) -> Vec<(KeySource, FetchReason)> {
        let mut reasons: Vec<(KeySource, FetchReason)> = Vec::new();
        for waiting in self.waiting.borrow().iter() {
            if let Awaited::Keys { source, why, .. } = &waiting.awaited
                && !reasons.iter().any(|(own, other)| own == source && other == why)
            {
                reasons.push((source.clone(), *why));
            }
        }
        reasons
    }

    /// Extends the leases of the fetches that this worker makes.
    fn extend_leases(&self, proxy: &dyn Proxy, now: UnixTime) {
        for (_, pending) in self.calls.borrow_mut().iter_mut() {
            let Pending::Keys { fetch, lease, .. } = pending else { continue };
            let (schedule, revision) = schedule(proxy, fetch.source());
            if let Some(extended) = schedule.extended(*lease, now)
                && share(proxy, fetch.source(), &extended, revision)
            {
                *lease = extended.lease();
            }
        }
    }

    /// Gives up the fetches that this worker makes, so that others can make them: its configuration ends, and the responses would
    /// be lost.
    pub fn end(&self, proxy: &dyn Proxy) {
        for (_, pending) in self.calls.take() {
            let Pending::Keys { fetch, lease, .. } = pending else { continue };
            let (schedule, revision) = schedule(proxy, fetch.source());
            if let Some(given_up) = schedule.given_up(lease) {
                share(proxy, fetch.source(), &given_up, revision);
            }
        }
    }

    pub(super) fn advance(&self, proxy: &dyn Proxy, attempt: Attempt<'_>, next: Next) {
        let Attempt { source, began, lease } = attempt;
        match next {
            Next::Call(fetch, call) => match proxy.dispatch(&call) {
                Some(token) => self.calls.borrow_mut().push((token, Pending::Keys { fetch, began, lease })),
                None => Self::failed(proxy, source, began, &format!("the proxy has no cluster {:?}", call.cluster)),
            },
            Next::Done(fetched) => self.fetched(proxy, source, began, fetched),
            Next::Failed(why) => Self::failed(proxy, source, began, &why),
        }
    }

    fn fetched(&self, proxy: &dyn Proxy, source: &KeySource, began: UnixTime, fetched: Fetched) {
        let Fetched { document, keys, lifetime, pause } = fetched;
        let now = proxy.now();
        Self::measured(proxy, call::Outcome::Succeeded, now.saturating_since(began));
        let (schedule, revision) = schedule(proxy, source);
        let succeeded = schedule.succeeded(pause, now);
        // Share the keys first, then the version that announces them.
        let shared = KeyRing::shared(succeeded.version, now, lifetime, &document);
        proxy.share(&shared_keys(source), &shared, None);
        share(proxy, source, &succeeded, revision);
        self.log_left_out(proxy, source, &keys);
        let known = Known { published: keys, version: succeeded.version, fetched: now, lifetime };
        self.keys.borrow_mut().take(source, known);
    }

    /// Logs which keys of a fetched set cannot be used. The worker that fetched it does so, and only where these are others than
    /// before: every worker knows the set before, whoever fetched it.
    fn log_left_out(&self, proxy: &dyn Proxy, source: &KeySource, published: &Published) {
        let left_out = published.left_out();
        if left_out.has_faults() && !self.keys.borrow().leaves_out_as(source, published) {
            proxy.log(&Event::KeysLeftOut(source.place(), left_out));
        }
    }

    fn failed(proxy: &dyn Proxy, source: &KeySource, began: UnixTime, why: &str) {
        let now = proxy.now();
        Self::measured(proxy, call::Outcome::Failed, now.saturating_since(began));
        proxy.log(&Event::KeysNotFetched(source.place(), why));
        let (schedule, revision) = schedule(proxy, source);
        share(proxy, source, &schedule.failed(now), revision);
    }

    fn measured(proxy: &dyn Proxy, outcome: call::Outcome, took: Duration) {
        proxy.measure(Metric::KeyFetches(outcome), 1);
        proxy.measure(Metric::KeyFetchMilliseconds(outcome), milliseconds(took));
    }

    /// Whether these are a client's keys, and those of too many other clients are being fetched.
    fn is_one_too_many(&self, source: &KeySource) -> bool {
        if !source.is_on_demand() {
            return false;
        }
        let (waiting, calls) = (self.waiting.borrow(), self.calls.borrow());
        let awaited = waiting.iter().filter_map(|waiting| match &waiting.awaited {
            Awaited::Keys { source, .. } => Some(source),
            Awaited::Introspection(_) => None,
        });
        let fetched = calls.iter().filter_map(|(_, pending)| match pending {
            Pending::Keys { fetch, .. } => Some(fetch.source()),
            Pending::Introspection { .. } => None,
        });
        let mut under_way: Vec<&SourceId> = Vec::new();
        for own in awaited.chain(fetched).filter(|own| own.is_on_demand()) {
            if !under_way.contains(&own.id()) {
                under_way.push(own.id());
            }
        }
        !under_way.contains(&source.id()) && under_way.len() >= MOST_CLIENTS_UNDER_WAY
    }
}
