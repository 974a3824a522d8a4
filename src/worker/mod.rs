//! What a worker of the proxy does beside its requests: it has some of them wait, makes the calls that they wait for, and
//! keeps the keys that were fetched.
//!
//! The host is behind the small trait [`Proxy`], so that all of it runs, and is tested, without one.
//!
//! **A crowd must not stop the worker.** What a callback of the host answers or resumes for other requests than its own is
//! carried out when the callback ends, one inside the other: each may enter the module again, at whose end the next one is
//! carried out. So is a call that fails at once. A few hundred of them use up the stack. Whatever comes at once here is put
//! into a queue, and between two ticks no more than [`MOST_ENDED`] and [`MOST_CALLS`] leave it.

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
use crate::resource_server::introspection::{Inquiry, Introspected};
use crate::time::UnixTime;

/// Requests that are answered or resumed between two ticks.
pub const MOST_ENDED: usize = 16;

/// Calls that are made in one tick.
pub const MOST_CALLS: usize = 8;

/// Requests that wait in one worker; one more is refused.
pub const MOST_WAITING: usize = 1024;

/// While something is left to do at once.
const AT_ONCE: Duration = Duration::from_millis(1);

/// While a request waits: another worker may bring what it waits for.
const BUSY: Duration = Duration::from_millis(10);

/// While nobody waits: with a tick the counters are told. Envoy itself wakes its workers as often.
const IDLE: Duration = Duration::from_millis(100);

/// After which the host has the first tick come: with it the first keys are fetched.
pub const FIRST_TICK: Duration = BUSY;

/// What a worker asks of its host.
pub trait Proxy {
    /// What time it is.
    fn now(&self) -> UnixTime;

    /// Makes a call to another server, and tells it from others; `None` where the host knows no such cluster.
    fn dispatch(&self, call: &Call) -> Option<u32>;

    /// What the workers of the process share under a key, and the revision of that.
    fn shared(&self, key: &str) -> (Option<Vec<u8>>, Option<u32>);

    /// Shares a value, in place of the revision that is named or of whatever is there. Whether it did: somebody else may
    /// have changed it first.
    fn share(&self, key: &str, value: &[u8], revision: Option<u32>) -> bool;

    /// Counts, or measures.
    fn measure(&self, metric: Metric, value: u64);

    /// Writes to the log.
    fn log(&self, event: &Event<'_>);
}

/// The state of one worker. `R` is what its host keeps of a request that waits.
#[derive(Debug)]
pub struct Worker<R> {
    keys: RefCell<KeyRing>,
    /// By the host's token of the call.
    calls: RefCell<Vec<(u32, Pending)>>,
    /// The questions that are still to be asked.
    inquiries: RefCell<VecDeque<Inquiry>>,
    waiting: RefCell<Vec<Waiting<R>>>,
    /// Requests that wait no more, in the order in which what they waited for came.
    ready: RefCell<VecDeque<Ready<R>>>,
    /// How many of these may still go before the next tick.
    may_end: Cell<usize>,
    /// After how long a tick comes.
    period: Cell<Duration>,
}

/// What waits for the answer to a call.
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
    /// What it comes to if what it waits for does not come.
    refused: Refused,
}

#[derive(Debug)]
enum Awaited {
    /// Keys that are newer than this version, which did not help.
    Keys {
        source: KeySource,
        why: FetchReason,
        version: u64,
    },
    Introspection(Inquiry),
}

/// How a request's waiting ends by itself.
enum End {
    NewerKeys,
    InVain,
}

/// A request that waits no more.
#[derive(Debug)]
pub struct Ready<R> {
    /// The host's number for it.
    pub context: u32,
    /// What the host kept of it.
    pub request: R,
    /// What came of its waiting.
    pub outcome: Outcome,
}

/// What came of a request's waiting.
#[derive(Debug)]
pub enum Outcome {
    /// It waited, and newer keys are here: it is to be judged with them.
    NewerKeys,
    /// Another worker had fetched newer keys before: it is to be judged with them, and may wait yet.
    SharedKeys,
    /// It is to be judged with this.
    Introspected(Rc<Introspected>),
    /// Nothing: it is to be refused.
    InVain(Refused),
}

/// Whether a request waits.
#[derive(Debug)]
pub enum Wait<R> {
    /// It does, until [`Worker::next_ready`] hands it back.
    Waits,
    /// It need not, or may not.
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

    /// Does what is due. To be called with every tick; `sources` are those of the configuration.
    pub fn tick<'s>(&self, proxy: &dyn Proxy, sources: impl Iterator<Item = &'s KeySource> + Clone) {
        self.may_end.set(MOST_ENDED);
        // Whoever makes up tokens has questions queue for ever: half of the calls are kept for keys.
        let kept = MOST_CALLS / 2;
        let left = self.ask(proxy, MOST_CALLS.saturating_sub(kept));
        self.tend_keys(proxy, sources, left.saturating_add(kept));
        self.settle(proxy);
    }

    /// Takes the answer to a call.
    pub fn receive(&self, proxy: &dyn Proxy, token: u32, answer: &Response<'_>) {
        let pending = self.calls.borrow_mut().extract_if(.., |(own, _)| *own == token).next();
        match pending {
            None => return,
            Some((_, Pending::Keys { fetch, began, lease })) => {
                let source = fetch.source().clone();
                self.advance(proxy, &source, began, lease, fetch.receive(answer));
            }
            Some((_, Pending::Introspection { inquiry, began })) => {
                self.introspected(proxy, inquiry.receive(answer), began);
            }
        }
        self.settle(proxy);
    }

    /// A request that waits no more and is to be decided now, if there is one: the host calls this until there is none.
    pub fn next_ready(&self) -> Option<Ready<R>> {
        let left = self.may_end.get().checked_sub(1)?;
        let ready = self.ready.borrow_mut().pop_front()?;
        self.may_end.set(left);
        Some(ready)
    }

    /// After how long ticks are to come from now on, where that is sooner than they do. Whoever sets a timer has it begin anew:
    /// a stream of requests that set one each would have none come.
    pub fn sooner_tick(&self) -> Option<Duration> {
        let wanted = self.wanted_period();
        (wanted < self.period.get()).then(|| self.period.set(wanted)).map(|()| wanted)
    }

    /// The same at the end of a tick, where they may come later too.
    pub fn next_tick(&self) -> Option<Duration> {
        let wanted = self.wanted_period();
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

    /// Whether a request waits.
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

    /// Ends the waiting of those for whom newer keys have come, and of those who wait in vain.
    fn settle(&self, proxy: &dyn Proxy) {
        if self.waiting.borrow().is_empty() {
            return;
        }
        let now = proxy.now();
        // Hundreds may wait for one source.
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
                    // A fetch that may begin has not failed: it begins with a tick. One that has ended may have brought
                    // them to another worker.
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
