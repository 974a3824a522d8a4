//! Requests that wait: for keys, or for what the issuer says of their token.

use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::types::Action;

use super::vm::{Arrived, Vm};
use super::{facts, http, keys};
use crate::authorization_server::AskClientKeys;
use crate::refusal::Refusal;
use crate::resource_server::introspection::{Inquiry, Introspected};
use crate::resource_server::keys::{KeySource, Wish};
use crate::sorted_map::SortedMap;

/// While a call is to be made, which only the root context may make.
const AT_ONCE: Duration = Duration::from_millis(1);

/// Requests that wait in one VM; one more is refused.
const MOST_WAITING: usize = 1024;

/// While nobody waits: with a tick the counters are told. Envoy itself wakes its workers as often.
const IDLE: Duration = Duration::from_millis(100);

/// While a request waits: another VM may bring what it waits for.
const BUSY: Duration = Duration::from_millis(10);

/// A request that waits.
pub(super) struct Waiting {
    pub(super) context: u32,
    pub(super) arrived: Arrived,
    pub(super) awaited: Awaited,
    /// Milliseconds since 1970.
    pub(super) deadline: u64,
    /// What it comes to if it waits in vain.
    pub(super) refusal: Refusal,
    /// Where its judgement goes on, if not at the beginning.
    pub(super) client: Option<Box<AskClientKeys>>,
}

/// What a request waits for.
pub(super) enum Awaited {
    /// Keys that are newer than this version, which did not help.
    Keys {
        source: KeySource,
        wish: Wish,
        version: u64,
    },
    Introspection(Inquiry),
}

/// Holds a request back, or refuses it where too many wait.
pub(super) fn wait(vm: &Vm, waiting: Waiting) -> Action {
    if vm.waiting.borrow().len() >= MOST_WAITING {
        return http::refuse(vm, &waiting.arrived, &waiting.refusal);
    }
    vm.waiting.borrow_mut().push(waiting);
    tick(vm);
    Action::Pause
}

/// Whether a request waits.
pub(super) fn waits(vm: &Vm, context: u32) -> bool {
    vm.waiting.borrow().iter().any(|waiting| waiting.context == context)
}

/// Forgets a request that has ended.
pub(super) fn forget(vm: &Vm, context: u32) {
    vm.waiting.borrow_mut().retain(|waiting| waiting.context != context);
}

/// The sources of clients' keys that requests wait for, each once.
pub(super) fn awaited_of_clients(vm: &Vm) -> SortedMap<String, KeySource> {
    let waiting = vm.waiting.borrow();
    let sources = waiting.iter().filter_map(|waiting| match &waiting.awaited {
        Awaited::Keys { source, .. } if source.is_on_demand() => Some((source.identity(), source.clone())),
        _ => None,
    });
    sources.collect()
}

/// Why those who wait for the keys of this source do.
pub(super) fn wish(vm: &Vm, wanted: &KeySource) -> Wish {
    let unknown = |waiting: &Waiting| match &waiting.awaited {
        Awaited::Keys { source, wish: Wish::UnknownKey, .. } => source.identity() == wanted.identity(),
        _ => false,
    };
    if vm.waiting.borrow().iter().any(unknown) { Wish::UnknownKey } else { Wish::Routine }
}

/// Decides the requests for which newer keys have come, and those that wait in vain.
pub(super) fn resume(vm: &Vm, root: u32) {
    let now = facts::now_in_milliseconds();
    let (mut in_vain, mut with_keys, mut still_waiting) = (Vec::new(), Vec::new(), Vec::new());
    for waiting in vm.waiting.take() {
        let is_late = now >= waiting.deadline;
        match &waiting.awaited {
            Awaited::Keys { source, version, .. } if vm.keys.borrow().version(source) > *version => {
                with_keys.push(waiting);
            }
            // A fetch that may begin has not failed: it begins with the next tick. One that has ended since the beginning
            // of this tick may have brought them to another VM.
            Awaited::Keys { source, wish, .. } if is_late || !keys::will_come(source, *wish, now) => {
                if keys::take_shared(vm, source) {
                    with_keys.push(waiting)
                } else {
                    in_vain.push(waiting)
                }
            }
            Awaited::Introspection(_) if is_late => in_vain.push(waiting),
            _ => still_waiting.push(waiting),
        }
    }
    vm.waiting.borrow_mut().append(&mut still_waiting);
    for waiting in in_vain {
        let _ = hostcalls::set_effective_context(waiting.context);
        let _ = http::refuse(vm, &waiting.arrived, &waiting.refusal);
    }
    for Waiting { context, arrived, client, .. } in with_keys {
        go_on(vm, context, arrived, client);
    }
    back_to(vm, root);
}

/// Decides the requests that wait for this answer.
pub(super) fn answer(vm: &Vm, root: u32, introspected: &Rc<Introspected>) {
    let is_awaited = |waiting: &mut Waiting| match &waiting.awaited {
        Awaited::Introspection(inquiry) => inquiry == introspected.inquiry(),
        Awaited::Keys { .. } => false,
    };
    let awaiting: Vec<_> = vm.waiting.borrow_mut().extract_if(.., is_awaited).collect();
    for Waiting { context, arrived, .. } in awaiting {
        go_on(vm, context, arrived.with_answer(Rc::clone(introspected)), None);
    }
    back_to(vm, root);
}

fn go_on(vm: &Vm, context: u32, arrived: Arrived, client: Option<Box<AskClientKeys>>) {
    let _ = hostcalls::set_effective_context(context);
    if http::decide(vm, context, arrived, client) == Action::Continue {
        let _ = hostcalls::resume_http_request();
    }
}

fn back_to(vm: &Vm, root: u32) {
    let _ = hostcalls::set_effective_context(root);
    tick(vm);
}

/// Has the next tick come when there is something to do.
fn tick(vm: &Vm) {
    let period = if !vm.inquiries.borrow().is_empty() {
        AT_ONCE
    } else if !vm.waiting.borrow().is_empty() {
        BUSY
    } else {
        IDLE
    };
    let _ = hostcalls::set_tick_period(period);
}

/// Has the first tick come soon.
pub(super) fn tick_soon() {
    let _ = hostcalls::set_tick_period(BUSY);
}
