//! Keys that are fetched: the calls, the record that the VMs of a process share, and the requests that wait.
//!
//! Calls are made from the root context alone: an answer to the call of a request's context is lost with the request.

use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{Action, BufferType, MapType};

use super::http::{forward, refuse};
use super::vm::{Arrived, Judged, Vm, Waiting};
use super::{body, facts, log};
use crate::call::{Answer, Call};
use crate::log::Event;
use crate::resource_server::keys::{Fetch, FetchOutcome, Fetched, KeyRing, KeySource, Next, Schedule, Wish};
use crate::step::AskKeys;

/// Requests that wait for keys in one VM; one more is refused.
const MOST_WAITING: usize = 1024;

/// While nothing is missed.
const IDLE: Duration = Duration::from_secs(1);

/// While a request waits: another VM may bring what it waits for.
const BUSY: Duration = Duration::from_millis(10);

/// A body that is larger is not read; the core draws its own line far below.
const LARGEST_BODY: usize = 1024 * 1024;

/// Where the VMs of a process share the schedule of a source, and its keys.
fn shared_schedule(source: &KeySource) -> String {
    format!("certbound schedule {}", source.identity())
}

fn shared_keys(source: &KeySource) -> String {
    format!("certbound keys {}", source.identity())
}

/// Takes over what the process knows already, and has the rest fetched.
pub(super) fn prepare(vm: &Vm) {
    let mut remote = false;
    for source in vm.policies.key_sources() {
        take_shared(vm, source);
        remote = true;
    }
    if remote {
        // Not here: of a VM that only tries out the configuration the answers would be lost.
        tick_every(BUSY);
    }
}

/// Begins the fetches that are due.
pub(super) fn tend(vm: &Vm) {
    let now = facts::now_in_milliseconds();
    let mut wishes = vm.wishes.take();
    for source in vm.policies.key_sources() {
        let (schedule, revision) = schedule(source);
        if schedule.version > vm.keys.borrow().version(source) {
            take_shared(vm, source);
        }
        let wish = if wishes.remove(&source.identity()) { Wish::UnknownKey } else { Wish::Routine };
        if schedule.permits(wish, now) && share(source, &schedule.begun(source, now), revision) {
            advance(vm, source, now, Fetch::begin(source));
        }
    }
}

/// Goes on with a fetch whose answer came.
pub(super) fn receive(vm: &Vm, token: u32, headers: usize, body_size: usize) {
    let Some((fetch, began)) = vm.fetches.borrow_mut().remove(&token) else { return };
    let source = fetch.source().clone();
    // Without headers there was no answer, and nothing to read.
    let header = |name| {
        let value = || hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, name).ok().flatten();
        if headers == 0 { None } else { value() }
    };
    let status = header(":status").and_then(|status| std::str::from_utf8(&status).ok()?.parse().ok());
    let cache_control = header("cache-control");
    let body = match body_size {
        1..=LARGEST_BODY => hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, body_size).ok().flatten(),
        _ => None,
    };
    let body = body.unwrap_or_default();
    advance(
        vm,
        &source,
        began,
        fetch.receive(&Answer { status, cache_control: cache_control.as_deref(), body: &body }),
    );
}

fn advance(vm: &Vm, source: &KeySource, began: u64, next: Next) {
    match next {
        Next::Call(fetch, call) => match dispatch(&call) {
            Some(token) => drop(vm.fetches.borrow_mut().insert(token, (fetch, began))),
            None => failed(vm, source, began, &format!("the proxy has no cluster {:?}", call.cluster)),
        },
        Next::Done(fetched) => done(vm, source, began, fetched),
        Next::Failed(why) => failed(vm, source, began, &why),
    }
}

fn done(vm: &Vm, source: &KeySource, began: u64, Fetched { document, keys, max_age }: Fetched) {
    let now = facts::now_in_milliseconds();
    vm.metrics.fetched(FetchOutcome::Succeeded, now.saturating_sub(began));
    let (schedule, revision) = schedule(source);
    let succeeded = schedule.succeeded(max_age, now);
    // The keys stand there before the version that announces them.
    let shared = KeyRing::shared(succeeded.version, now, &document);
    let _ = hostcalls::set_shared_data(&shared_keys(source), Some(&shared), None);
    share(source, &succeeded, revision);
    vm.keys.borrow_mut().take(source, keys, succeeded.version, now);
}

fn failed(vm: &Vm, source: &KeySource, began: u64, why: &str) {
    let now = facts::now_in_milliseconds();
    vm.metrics.fetched(FetchOutcome::Failed, now.saturating_sub(began));
    log(&Event::KeysNotFetched(source.identity(), why));
    let (schedule, revision) = schedule(source);
    share(source, &schedule.failed(now), revision);
}

/// Has a request wait for keys, or decides it at once where nothing is to be waited for.
pub(super) fn wait(vm: &Vm, context: u32, arrived: Arrived, question: AskKeys) -> Action {
    let source = question.source().clone();
    if take_shared(vm, &source) {
        return match vm.judge(&arrived) {
            Judged::Forward { edits, decision } => forward(vm, &arrived, &edits, &decision),
            Judged::Refuse(refusal) => refuse(vm, &arrived, &refusal),
            Judged::NeedsKeys(question) => refuse(vm, &arrived, &question.refusal()),
            Judged::NeedsBody(question) => body::judge(vm, &arrived, *question, None),
        };
    }
    let now = facts::now_in_milliseconds();
    let (schedule, _) = schedule(&source);
    let wish = question.wish();
    let will_come = schedule.is_under_way(now) || schedule.permits(wish, now);
    if !will_come || vm.waiting.borrow().len() >= MOST_WAITING {
        return refuse(vm, &arrived, &question.refusal());
    }
    if wish == Wish::UnknownKey {
        vm.wishes.borrow_mut().insert(source.identity());
    }
    let version = vm.keys.borrow().version(&source);
    let deadline = now.saturating_add(source.longest_wait());
    vm.waiting.borrow_mut().push(Waiting { context, arrived, source, version, deadline, refusal: question.refusal() });
    tick_every(BUSY);
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

/// Decides the requests for which newer keys have come, or will not come any more.
pub(super) fn resume_waiting(vm: &Vm, root: u32) {
    let now = facts::now_in_milliseconds();
    let mut still_waiting = Vec::new();
    for waiting in vm.waiting.take() {
        let newer = vm.keys.borrow().version(&waiting.source) > waiting.version;
        let wished = vm.wishes.borrow().contains(&waiting.source.identity());
        let will_come = now < waiting.deadline && (wished || schedule(&waiting.source).0.is_under_way(now));
        if !newer && will_come {
            still_waiting.push(waiting);
            continue;
        }
        let _ = hostcalls::set_effective_context(waiting.context);
        let judged = if newer { vm.judge(&waiting.arrived) } else { Judged::Refuse(waiting.refusal) };
        match judged {
            Judged::Forward { edits, decision } => {
                if forward(vm, &waiting.arrived, &edits, &decision) == Action::Continue {
                    let _ = hostcalls::resume_http_request();
                }
            }
            Judged::Refuse(refusal) => drop(refuse(vm, &waiting.arrived, &refusal)),
            Judged::NeedsKeys(question) => drop(refuse(vm, &waiting.arrived, &question.refusal())),
            // No policy asks for both; without its body the request is refused.
            Judged::NeedsBody(question) => drop(body::judge(vm, &waiting.arrived, *question, None)),
        }
    }
    let _ = hostcalls::set_effective_context(root);
    tick_every(if still_waiting.is_empty() { IDLE } else { BUSY });
    vm.waiting.borrow_mut().append(&mut still_waiting);
}

fn take_shared(vm: &Vm, source: &KeySource) -> bool {
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

fn dispatch(call: &Call) -> Option<u32> {
    let headers = vec![
        (":method", "GET"),
        (":path", call.path.as_str()),
        (":authority", call.authority.as_str()),
        ("accept", "application/json"),
    ];
    hostcalls::dispatch_http_call(&call.cluster, headers, None, vec![], call.timeout).ok()
}

fn tick_every(period: Duration) {
    let _ = hostcalls::set_tick_period(period);
}
