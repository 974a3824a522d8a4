//! Keys that are fetched: when, and the record that the VMs of a process share.

use std::collections::HashSet;

use proxy_wasm::hostcalls;
use proxy_wasm::types::Action;

use super::calls::{self, Pending};
use super::vm::{Arrived, Vm};
use super::waiting::{self, Awaited, Waiting};
use super::{facts, http, log};
use crate::call::Outcome;
use crate::log::Event;
use crate::resource_server::keys::{Fetch, Fetched, KeyRing, KeySource, Next, Schedule, Wish};
use crate::step::AskKeys;

/// Clients whose keys one VM fetches, or has requests wait for, at once. Whoever names one client after the other has no
/// more than these asked.
const MOST_CLIENTS_UNDER_WAY: usize = 128;

/// Where the VMs of a process share the schedule of a source, and its keys.
fn shared_schedule(source: &KeySource) -> String {
    format!("certbound schedule {}", source.identity())
}

fn shared_keys(source: &KeySource) -> String {
    format!("certbound keys {}", source.identity())
}

/// Takes over what the process knows already. The rest is fetched with the first tick: of a VM that only tries out the
/// configuration the answers would be lost.
pub(super) fn prepare(vm: &Vm) {
    for source in vm.policies.key_sources() {
        take_shared(vm, source);
    }
}

/// Begins the fetches that are due.
pub(super) fn tend(vm: &Vm) {
    let now = facts::now_in_milliseconds();
    let of_clients = waiting::awaited_of_clients(vm);
    for source in vm.policies.key_sources().chain(of_clients.values()) {
        let (schedule, revision) = schedule(source);
        if schedule.version > vm.keys.borrow().version(source) {
            take_shared(vm, source);
        }
        let wish = waiting::wish(vm, source);
        if schedule.permits(wish, now) && share(source, &schedule.begun(source, now), revision) {
            advance(vm, source, now, Fetch::begin(source));
        }
    }
}

pub(super) fn advance(vm: &Vm, source: &KeySource, began: u64, next: Next) {
    match next {
        Next::Call(fetch, call) => match calls::dispatch(&call) {
            Some(token) => calls::expect(vm, token, Pending::Keys(fetch, began)),
            None => failed(vm, source, began, &format!("the proxy has no cluster {:?}", call.cluster)),
        },
        Next::Done(fetched) => done(vm, source, began, fetched),
        Next::Failed(why) => failed(vm, source, began, &why),
    }
}

fn done(vm: &Vm, source: &KeySource, began: u64, Fetched { document, keys, max_age }: Fetched) {
    let now = facts::now_in_milliseconds();
    vm.metrics.fetched(Outcome::Succeeded, now.saturating_sub(began));
    let (schedule, revision) = schedule(source);
    let succeeded = schedule.succeeded(max_age, now);
    // The keys stand there before the version that announces them.
    let shared = KeyRing::shared(succeeded.version, now, max_age, &document);
    let _ = hostcalls::set_shared_data(&shared_keys(source), Some(&shared), None);
    share(source, &succeeded, revision);
    vm.keys.borrow_mut().take(source, keys, succeeded.version, now, max_age);
}

fn failed(vm: &Vm, source: &KeySource, began: u64, why: &str) {
    let now = facts::now_in_milliseconds();
    vm.metrics.fetched(Outcome::Failed, now.saturating_sub(began));
    log(&Event::KeysNotFetched(source.identity(), why));
    let (schedule, revision) = schedule(source);
    share(source, &schedule.failed(now), revision);
}

/// Has a request wait for keys, or decides it at once where nothing is to be waited for.
pub(super) fn wait(vm: &Vm, context: u32, arrived: Arrived, mut question: AskKeys) -> Action {
    let arrived = arrived.with_newest_keys();
    let (source, client) = (question.source().clone(), question.take_client());
    if take_shared(vm, &source) {
        return http::decide(vm, context, arrived, client);
    }
    let now = facts::now_in_milliseconds();
    let wish = question.wish();
    if !will_come(&source, wish, now) || is_one_too_many(vm, &source) {
        return http::refuse(vm, &arrived, &question.refusal());
    }
    let version = vm.keys.borrow().version(&source);
    let deadline = now.saturating_add(source.longest_wait());
    let awaited = Awaited::Keys { source, wish, version };
    waiting::wait(vm, Waiting { context, arrived, awaited, deadline, refusal: question.refusal(), client })
}

/// Whether it is a client's keys, and those of too many others are being fetched.
fn is_one_too_many(vm: &Vm, source: &KeySource) -> bool {
    if !source.is_on_demand() {
        return false;
    }
    let mut under_way: HashSet<_> = waiting::awaited_of_clients(vm).into_iter().map(|(identity, _)| identity).collect();
    under_way.extend(vm.calls.borrow().iter().filter_map(|(_, pending)| match pending {
        Pending::Keys(fetch, _) if fetch.source().is_on_demand() => Some(fetch.source().identity()),
        Pending::Keys(..) | Pending::Introspection(..) => None,
    }));
    !under_way.contains(&source.identity()) && under_way.len() >= MOST_CLIENTS_UNDER_WAY
}

/// Whether a fetch is under way or may begin with the next tick.
pub(super) fn will_come(source: &KeySource, wish: Wish, now: u64) -> bool {
    let (schedule, _) = schedule(source);
    schedule.is_under_way(now) || schedule.permits(wish, now)
}

pub(super) fn take_shared(vm: &Vm, source: &KeySource) -> bool {
    match hostcalls::get_shared_data(&shared_keys(source)) {
        Ok((Some(shared), _)) => vm.keys.borrow_mut().take_shared(source, &shared),
        _ => false,
    }
}

/// The schedule of a source, and the revision that a change of it must name.
fn schedule(source: &KeySource) -> (Schedule, Option<u32>) {
    match hostcalls::get_shared_data(&shared_schedule(source)) {
        Ok((record, revision)) => (Schedule::read(record.as_deref()), revision),
        Err(_) => (Schedule::default(), None),
    }
}

/// Shares a changed schedule; `false` where somebody else changed it first.
fn share(source: &KeySource, schedule: &Schedule, revision: Option<u32>) -> bool {
    // No revision would change it whatever it is by now. The host lets the first writer name any.
    let revision = revision.or(Some(u32::MAX));
    hostcalls::set_shared_data(&shared_schedule(source), Some(&schedule.write()), revision).is_ok()
}
