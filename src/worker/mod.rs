// SPDX-License-Identifier: Apache-2.0

//! What a worker does between requests: it has requests wait, makes the calls that they wait for, and keeps the fetched keys.
//!
//! The host is behind the small trait [`Proxy`], so that all of this can be tested without one.
//!
//! **A crowd must not stop the worker.** When a callback answers or resumes other requests than its own, the host carries that
//! out at the end of the callback. Each may enter the module again, and the next one is carried out at the end of that: they
//! are nested, and a few hundred of them use up the stack. The same holds for calls that fail at once. So everything is
//! queued here: at most [`MOST_ENDED`] requests and [`MOST_CALLS`] calls leave the queues between two ticks.

mod introspection;
mod keys;

use std::cell::{Cell, Ref, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use crate::http::call::{Call, Response};
use crate::keys::{Fetch, FetchReason, KeyRing, KeySource, Schedule, SourceId};
use crate::outcome::log::Event;
use crate::outcome::metric::Metric;
use crate::outcome::refused::Refused;
use crate::resource_server::introspection::{Inquiry, Introspected, Nonce};
use crate::time::UnixTime;

/// At most so many waiting requests are answered or resumed between two ticks.
pub const MOST_ENDED: usize = 16;

/// At most so many calls are made in one tick.
pub const MOST_CALLS: usize = 8;

/// At most so many requests wait in one worker; one more is refused.
pub const MOST_WAITING: usize = 1024;

/// The period of ticks while requests or calls are queued.
const AT_ONCE: Duration = Duration::from_millis(1);

/// The period of ticks while a request waits: another worker may share what it waits for.
const BUSY: Duration = Duration::from_millis(10);

/// The period of ticks otherwise: they write the counters. Envoy itself wakes its workers as often.
const IDLE: Duration = Duration::from_millis(100);

/// The time until the first tick, which fetches the first keys.
pub const FIRST_TICK: Duration = BUSY;

/// What a worker needs of its host.
pub trait Proxy {
    /// What time it is.
    fn now(&self) -> UnixTime;

    /// Sixteen bytes of chance, as no call had before; `None` if the host has none.
    fn nonce(&self) -> Option<Nonce>;

    /// Makes a call to another server. Returns the host's token of the call; `None` if the host has no such cluster.
    fn dispatch(&self, call: &Call) -> Option<u32>;

    /// The value that the workers of the process share under a key, and its revision.
    fn shared(&self, key: &str) -> (Option<Vec<u8>>, Option<u32>);

    /// Shares a value in place of this revision, or of any if none is given. Returns whether it did: another worker may have
    /// changed it first.
    fn share(&self, key: &str, value: &[u8], revision: Option<u32>) -> bool;

    /// Adds to a counter, or records a value of a histogram.
    fn measure(&self, metric: Metric, value: u64);

    /// Writes a line to the log.
    fn log(&self, event: &Event<'_>);
}

/// The state of one worker. `R` is what its host keeps of a request that waits.
#[derive(Debug)]
pub struct Worker<R> {
    keys: RefCell<KeyRing>,
    /// By the host's token of the call.
    calls: RefCell<Vec<(u32, Pending)>>,
    /// The introspections whose calls are still to be made.
    inquiries: RefCell<VecDeque<Inquiry>>,
    waiting: RefCell<Vec<Waiting<R>>>,
    /// The requests that can be decided now, in the order in which they became ready.
    ready: RefCell<VecDeque<Ready<R>>>,
    /// How many of these may still be decided before the next tick.
    may_end: Cell<usize>,
    /// The period of ticks.
    period: Cell<Duration>,
}

/// What waits for the response to a call.
#[derive(Debug)]
enum Pending {
    Keys {
        fetch: Fetch,
        began: UnixTime,
        /// As [`Schedule::lease`].
        lease: UnixTime,
    },
    Introspection {
        inquiry: Inquiry,
        began: UnixTime,
    },
}

#[derive(Debug)]
struct Waiting<R> {
    context: u32,
    request: R,
    awaited: Awaited,
    deadline: UnixTime,
    /// The refusal, if it waits in vain.
    refused: Refused,
}

#[derive(Debug)]
enum Awaited {
    /// Keys newer than this version, with which the request could not be decided.
    Keys {
        source: KeySource,
        why: FetchReason,
        version: u64,
    },
    Introspection(Inquiry),
}

/// How a request's waiting ends without a response of its own.
enum End {
    NewerKeys,
    InVain,
}

/// A request that can be decided now.
#[derive(Debug)]
pub struct Ready<R> {
    /// The host's number for it.
    pub context: u32,
    /// What the host keeps of it while it waits.
    pub request: R,
    /// What came of its waiting.
    pub outcome: Outcome,
}

/// What came of a request's waiting.
#[derive(Debug)]
pub enum Outcome {
    /// It waited, and newer keys are here: judge it with these.
    NewerKeys,
    /// It did not wait, since another worker had shared newer keys: judge it with these. It may still have to wait.
    SharedKeys,
    /// Judge it with this introspection response, or without one.
    Introspected(Rc<Introspected>),
    /// Nothing came: refuse it.
    InVain(Refused),
}

/// Whether a request waits.
#[derive(Debug)]
pub enum Wait<R> {
    /// It does, until [`Worker::next_ready`] returns it.
    Waits,
    /// It need not wait, or may not: decide it with this outcome.
    No(R, Outcome),
}

impl<R> Default for Worker<R> {
    fn default() -> Self {
        Self {
            keys: RefCell::default(),
            calls: RefCell::default(),
            inquiries: RefCell::default(),
            waiting: RefCell::default(),
            ready: RefCell::default(),
            may_end: Cell::new(MOST_ENDED),
            period: Cell::new(FIRST_TICK),
        }
    }
}

impl<R> Worker<R> {
    /// The keys that were fetched so far.
    #[must_use]
    pub fn keys(&self) -> Ref<'_, KeyRing> {
        self.keys.borrow()
    }

    /// Does what is due. The host calls it at every tick; `sources` are the configuration's.
    pub fn tick<'s>(&self, proxy: &dyn Proxy, sources: impl Iterator<Item = &'s KeySource> + Clone) {
        self.may_end.set(MOST_ENDED);
        // A client can keep the queue of introspections full with made-up tokens, so half of the calls are kept for keys.
        let kept = MOST_CALLS / 2;
        let left = self.ask(proxy, MOST_CALLS.saturating_sub(kept));
        self.tend_keys(proxy, sources, left.saturating_add(kept));
        self.settle(proxy);
    }

    /// Takes the response to a call.
    pub fn receive(&self, proxy: &dyn Proxy, token: u32, response: &Response<'_>) {
        let pending = self.calls.borrow_mut().extract_if(.., |(own, _)| *own == token).next();
        match pending {
            None => return,
            Some((_, Pending::Keys { fetch, began, lease })) => {
                let source = fetch.source().clone();
                let attempt = keys::Attempt { source: &source, began, lease };
                self.advance(proxy, attempt, fetch.receive(response));
            }
            Some((_, Pending::Introspection { inquiry, began })) => {
                self.introspected(proxy, inquiry.receive(response), began);
            }
        }
        self.settle(proxy);
    }

    /// The next request that can be decided now. The host calls this until it returns `None`.
    pub fn next_ready(&self) -> Option<Ready<R>> {
        if self.ready.borrow().is_empty() || !self.may_end_one() {
            return None;
        }
        self.ready.borrow_mut().pop_front()
    }

    /// Whether one more request may be answered or resumed before the next tick. If so, it counts as one of [`MOST_ENDED`].
    #[must_use]
    pub fn may_end_one(&self) -> bool {
        let left = self.may_end.get().checked_sub(1);
        left.map(|left| self.may_end.set(left)).is_some()
    }

    /// The new period of ticks, if it is shorter than the present one; otherwise the host must not set it. Setting a period
    /// restarts the host's timer, so a stream of requests that each set it would keep ticks from coming.
    pub fn sooner_tick(&self) -> Option<Duration> {
        let wanted = self.wanted_period();
        (wanted < self.period.get()).then(|| self.period.set(wanted)).map(|()| wanted)
    }

    /// The new period of ticks after a tick, if it changes; it may be longer, too. `has_more` if the host has more requests to
    /// end than it was allowed to.
    pub fn next_tick(&self, has_more: bool) -> Option<Duration> {
        let wanted = if has_more { AT_ONCE } else { self.wanted_period() };
        (wanted != self.period.replace(wanted)).then_some(wanted)
    }

    fn wanted_period(&self) -> Duration {
        if !self.ready.borrow().is_empty() || !self.inquiries.borrow().is_empty() {
            AT_ONCE
        } else if !self.waiting.borrow().is_empty() {
            BUSY
        } else {
            IDLE
        }
    }

    /// Whether a request waits, or is ready and not decided yet.
    #[must_use]
    pub fn waits(&self, context: u32) -> bool {
        self.waiting.borrow().iter().any(|waiting| waiting.context == context)
            || self.ready.borrow().iter().any(|ready| ready.context == context)
    }

    /// Forgets a request that has ended.
    pub fn forget(&self, context: u32) {
        self.waiting.borrow_mut().retain(|waiting| waiting.context != context);
        self.ready.borrow_mut().retain(|ready| ready.context != context);
    }

    /// Whether so many requests wait that one more is refused.
    fn is_full(&self) -> bool {
        self.waiting.borrow().len().saturating_add(self.ready.borrow().len()) >= MOST_WAITING
    }

    fn hold(&self, waiting: Waiting<R>) -> Wait<R> {
        self.waiting.borrow_mut().push(waiting);
        Wait::Waits
    }

    /// Makes those requests ready for which newer keys have come, and those that wait in vain.
    fn settle(&self, proxy: &dyn Proxy) {
        if self.waiting.borrow().is_empty() {
            return;
        }
        let now = proxy.now();
        // Read each schedule once: hundreds may wait for one source.
        let mut schedules: Vec<(SourceId, Schedule)> = Vec::new();
        let mut ends = |Waiting { awaited, deadline, .. }: &Waiting<R>| {
            let is_late = now >= *deadline;
            match awaited {
                Awaited::Introspection(_) => is_late.then_some(End::InVain),
                Awaited::Keys { source, version, .. } if self.keys.borrow().version(source) > *version => {
                    Some(End::NewerKeys)
                }
                Awaited::Keys { source, why, .. } => {
                    let known = schedules.iter().find(|(id, _)| id == source.id()).map(|(_, schedule)| *schedule);
                    let schedule = known.unwrap_or_else(|| {
                        let (schedule, _) = keys::schedule(proxy, source);
                        schedules.push((*source.id(), schedule));
                        schedule
                    });
                    // A fetch that may begin has not failed: the next tick begins it. After one that has ended, another worker
                    // may have shared newer keys.
                    let will_come = schedule.is_under_way(now) || schedule.permits(source, *why, now);
                    let is_over = is_late || !will_come;
                    is_over.then(|| if self.take_shared(proxy, source) { End::NewerKeys } else { End::InVain })
                }
            }
        };
        let (mut still_waiting, mut ready) = (Vec::new(), self.ready.borrow_mut());
        for waiting in self.waiting.take() {
            let Some(end) = ends(&waiting) else {
                still_waiting.push(waiting);
                continue;
            };
            let Waiting { context, request, refused, .. } = waiting;
            let outcome = match end {
                End::NewerKeys => Outcome::NewerKeys,
                End::InVain => Outcome::InVain(refused),
            };
            ready.push_back(Ready { context, request, outcome });
        }
        self.waiting.replace(still_waiting);
    }
}
