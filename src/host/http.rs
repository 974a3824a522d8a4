// SPDX-License-Identifier: Apache-2.0

//! One request.

use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, GrpcStatusCode, MapType};

use super::body::{self, Awaiting};
use super::response::Reading;
use super::vm::{AUTHORIZATION, Parked, PendingRequest, Vm};
use super::{abi, facts, log, proxy};
use crate::handover::response::response_edits;
use crate::http::body::Unread;
use crate::http::edit::{Edit, Served};
use crate::http::header_map::HeaderMap;
use crate::keys::AskKeys;
use crate::outcome::decision::Decision;
use crate::outcome::log::{Circumstances, Event};
use crate::outcome::refused::{GrpcStatus, Refused};
use crate::policy::step::{AskClientKeys, Step};
use crate::resource_server::introspection::AskIntrospection;
use crate::worker::{Outcome, Wait};

/// The property that access logs print: `%FILTER_STATE(wasm.certbound:PLAIN)%`.
const FILTER_STATE: &str = "certbound";

/// The property with the credentials that were removed from a request. An internal redirect has it judged again, and a token
/// is needed for that. No access log of ours prints it.
const REMOVED_AUTHORIZATION: &str = "certbound_authorization";

pub(super) struct Http {
    context: u32,
    vm: Option<Rc<Vm>>,
    /// The name of the policy that governs the request, for its trailers; empty if none governs, or if the headers are all of it.
    policy: String,
    /// Whether the headers of the response are edited.
    edits_response: bool,
    awaiting: Option<Awaiting>,
    /// The response, if it is read.
    reading: Option<Reading>,
    /// Set once the request was refused: the rest of its body and its trailers are dropped.
    refused: bool,
    /// Set once the response was withheld: the rest of it is dropped.
    withheld: bool,
}

impl Http {
    pub(super) fn new(context: u32, vm: Option<Rc<Vm>>) -> Self {
        Self {
            context,
            vm,
            policy: String::new(),
            edits_response: false,
            awaiting: None,
            reading: None,
            refused: false,
            withheld: false,
        }
    }

    fn withhold(&self) -> Action {
        if self.withheld { Action::Pause } else { Action::Continue }
    }

    /// Pauses a request that waits or was refused, so that nothing of it is forwarded.
    fn hold(&self) -> Action {
        let waits = self.refused || self.vm.as_ref().is_some_and(|vm| vm.worker.waits(self.context));
        if waits { Action::Pause } else { Action::Continue }
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        if let Some(vm) = &self.vm {
            vm.worker.forget(self.context);
            vm.in_flight.end(self.context);
            if let Some(reading) = self.reading.take() {
                reading.interrupt(vm);
            }
        }
    }
}

impl Context for Http {}

impl HttpContext for Http {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        // The host sends no requests to a plugin whose configuration was refused. A request whose headers cannot be read can be
        // neither judged nor cleaned.
        let Some(vm) = &self.vm else { return fail() };
        let Some(pending) = PendingRequest::read(&vm.policies) else { return fail() };
        let Some(mut step) = vm.judge(&pending) else { return fail() };
        if !end_of_stream {
            step.policy().clone_into(&mut self.policy);
        }
        self.edits_response = vm.policies.edits_responses(step.policy());
        self.reading = step.take_response_reader().map(|reader| Reading::new(step.policy(), reader));
        match step {
            Step::AskBody(question) if end_of_stream => body::judge(vm, self.context, pending, question, Ok(&[])),
            Step::AskBody(question) => {
                let (awaiting, action) = Awaiting::begin(pending, question);
                self.refused = awaiting.is_none();
                self.awaiting = awaiting;
                action
            }
            step => carry_out(vm, self.context, pending, step),
        }
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let (Some(vm), Some(awaiting)) = (&self.vm, self.awaiting.take()) else { return self.hold() };
        let (awaiting, action) = awaiting.receive(vm, self.context, size, end_of_stream);
        self.refused = awaiting.is_none() && action == Action::Pause && !vm.worker.waits(self.context);
        self.awaiting = awaiting;
        action
    }

    fn on_http_response_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let reading = self.reading.take();
        if !self.edits_response && reading.is_none() {
            return Action::Continue;
        }
        let map = abi::header_map(MapType::HttpResponseHeaders);
        let Some(headers) = map.as_ref().and_then(HeaderMap::headers) else { return fail() };
        if self.edits_response && !edit(MapType::HttpResponseHeaders, &response_edits(&headers)) {
            return fail();
        }
        let (Some(vm), Some(reading)) = (&self.vm, reading) else { return Action::Continue };
        let (reading, action) = reading.begin(vm, &headers, end_of_stream);
        self.withheld = reading.is_none() && action == Action::Pause;
        self.reading = reading;
        action
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let (Some(vm), Some(reading)) = (&self.vm, self.reading.take()) else { return self.withhold() };
        let (reading, action) = reading.receive(vm, size, end_of_stream);
        self.withheld = reading.is_none() && action == Action::Pause;
        self.reading = reading;
        action
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        let (Some(vm), Some(reading)) = (&self.vm, self.reading.take()) else { return self.withhold() };
        let action = reading.finish(vm);
        self.withheld = action == Action::Pause;
        action
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        let Some(vm) = &self.vm else { return Action::Pause };
        if self.refused {
            return Action::Pause;
        }
        // Clean the trailers before the body is judged: a request that has to wait after that is resumed without coming here
        // again.
        let map = abi::header_map(MapType::HttpRequestTrailers);
        let Some(trailers) = map.as_ref().and_then(HeaderMap::headers) else { return Action::Pause };
        let cleaned = vm.policies.cleaned(&trailers);
        if !edit(MapType::HttpRequestTrailers, &cleaned.edits) {
            return Action::Pause;
        }
        if cleaned.forged_headers > 0 {
            vm.metrics.count_forged(&self.policy, cleaned.forged_headers);
        }
        match self.awaiting.take() {
            Some(awaiting) => awaiting.judge(vm, self.context),
            None => self.hold(),
        }
    }
}

/// Decides the requests that are ready, as many as the worker allows now, and returns to the root context.
pub(super) fn decide_ready(vm: &Vm, root: u32) {
    while let Some(ready) = vm.worker.next_ready() {
        let _ = hostcalls::set_effective_context(ready.context);
        if decide(vm, ready.context, ready.request, ready.outcome) == Action::Continue {
            let _ = hostcalls::resume_http_request();
        }
    }
    let _ = hostcalls::set_effective_context(root);
}

/// Decides the request of the current context with the outcome of its wait.
fn decide(vm: &Vm, context: u32, Parked { pending, client }: Parked, outcome: Outcome) -> Action {
    let pending = match outcome {
        Outcome::InVain(refused) => return refuse(vm, &pending, &refused),
        Outcome::Introspected(introspected) => pending.with_introspection(introspected),
        Outcome::NewerKeys => pending.with_newest_keys(),
        Outcome::SharedKeys => pending,
    };
    let step = match client {
        Some(client) => Some(client.resume(&vm.worker.keys(), facts::now())),
        None => vm.judge(&pending),
    };
    match step {
        Some(step) => carry_out(vm, context, pending, step),
        None => fail(),
    }
}

/// Has the request of the current context wait for keys, or decides it if it need not or may not wait.
fn wait_for_keys(
    vm: &Vm,
    context: u32,
    pending: PendingRequest,
    question: AskKeys,
    client: Option<AskClientKeys>,
) -> Action {
    let parked = Parked { pending: pending.waiting_under(question.policy()), client };
    wait(vm, context, vm.worker.wait_for_keys(&vm.proxy(), context, parked, question))
}

/// The same for the introspection response about its token.
fn wait_for_introspection(vm: &Vm, context: u32, pending: PendingRequest, question: AskIntrospection) -> Action {
    let parked = Parked { pending: pending.waiting_under(question.policy()), client: None };
    wait(vm, context, vm.worker.wait_for_introspection(&vm.proxy(), context, parked, question))
}

fn wait(vm: &Vm, context: u32, wait: Wait<Parked>) -> Action {
    match wait {
        Wait::Waits => {
            proxy::tick_after(vm.worker.sooner_tick());
            Action::Pause
        }
        Wait::No(parked, outcome) => decide(vm, context, parked, outcome),
    }
}

pub(super) fn carry_out(vm: &Vm, context: u32, pending: PendingRequest, step: Step) -> Action {
    match step {
        Step::Forward { edits, decision, .. } => {
            let action = forward(vm, &pending, &edits, &decision);
            vm.in_flight.begin(context, decision);
            action
        }
        Step::Refuse(refused) => refuse(vm, &pending, &refused),
        Step::Serve { served, decision } => serve(vm, &served, &decision),
        // A policy asks for the body before anything that is waited for. If it asks later, the body cannot be read any more, so
        // the request is refused.
        Step::AskBody(question) => body::judge(vm, context, pending, question, Err(Unread::NotGiven)),
        // A request waits at most once for keys, and once for introspection.
        Step::AskKeys { question, .. } if pending.has_newest_keys => refuse(vm, &pending, &question.refused()),
        Step::AskKeys { question, client } => wait_for_keys(vm, context, pending, question, client),
        Step::AskIntrospection(question) if pending.is_introspected() => refuse(vm, &pending, &question.refused()),
        Step::AskIntrospection(question) => wait_for_introspection(vm, context, pending, question),
    }
}

/// Forwards the request of the current context, after these edits.
fn forward(vm: &Vm, pending: &PendingRequest, edits: &[Edit], decision: &Decision) -> Action {
    if edits.iter().any(|edit| edit.name() == AUTHORIZATION && edit.value().is_none())
        && let Some(credentials) = pending.authorization()
    {
        abi::set_property(REMOVED_AUTHORIZATION, &credentials);
    }
    // If an edit fails, a header that must be removed or replaced would reach the upstream as the client sent it.
    if !edit(MapType::HttpRequestHeaders, edits) {
        return fail();
    }
    if let Some(refusal) = decision.would_have_refused().filter(|refusal| vm.admits_to_log(refusal)) {
        let route = facts::route_name();
        log(&Event::WouldHaveRefused(refusal, pending.circumstances(route.as_deref())));
    }
    record(vm, decision);
    Action::Continue
}

/// Ends requests in flight whose token has expired, as many as may be answered in one tick, and returns to the root context.
pub(super) fn end_outlived(vm: &Vm, root: u32) {
    while let Some(outlived) = vm.in_flight.next_to_end(|| vm.worker.may_end_one()) {
        let Some(refused) = outlived.refused(&vm.policies) else { continue };
        let _ = hostcalls::set_effective_context(outlived.context);
        if vm.admits_to_log(&refused) {
            // The host does not show a request's headers any more; the access log has its id.
            let route = facts::route_name();
            log(&Event::Refused(&refused, Circumstances { route: route.as_deref(), request_id: None }));
        }
        // It was counted as forwarded, and as one that outlived its token.
        abi::set_property(FILTER_STATE, refused.decision().line().as_bytes());
        // The host resets the stream if its response has begun.
        send(&refused);
    }
    let _ = hostcalls::set_effective_context(root);
}

/// Answers the request of the current context with a refusal.
fn refuse(vm: &Vm, pending: &PendingRequest, refused: &Refused) -> Action {
    if vm.admits_to_log(refused) {
        let route = facts::route_name();
        log(&Event::Refused(refused, pending.circumstances(route.as_deref())));
    }
    record(vm, &refused.decision());
    send(refused);
    Action::Pause
}

fn send(refused: &Refused) {
    let headers = refused.headers();
    // The request is not forwarded, even if the response cannot be sent.
    let _ = match refused.grpc_status() {
        Some(status) => {
            let metadata = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
            hostcalls::send_grpc_response(grpc_code(status), None, metadata)
        }
        None => {
            let headers = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            hostcalls::send_http_response(u32::from(refused.status()), headers, Some(refused.body().as_bytes()))
        }
    };
}

/// Answers the request of the current context with a document.
fn serve(vm: &Vm, served: &Served, decision: &Decision) -> Action {
    record(vm, decision);
    // As in `refuse`.
    let _ = hostcalls::send_http_response(200, served.headers.clone(), Some(served.body.as_bytes()));
    Action::Pause
}

/// Counts a decision, and writes its line for the access log: one host call.
fn record(vm: &Vm, decision: &Decision) {
    vm.metrics.count(decision);
    abi::set_property(FILTER_STATE, decision.line().as_bytes());
}

/// Makes the edits in their order; `false` if one fails.
pub(super) fn edit(map: MapType, edits: &[Edit]) -> bool {
    let made = |edit: &Edit| hostcalls::set_map_value_bytes(map, edit.name(), edit.value().map(str::as_bytes)).is_ok();
    edits.iter().all(made)
}

/// Answers a message that cannot be judged with 500, and forwards nothing of it.
pub(super) fn fail() -> Action {
    let _ = hostcalls::send_http_response(500, vec![], None);
    Action::Pause
}

/// The host's name of a status.
fn grpc_code(status: GrpcStatus) -> GrpcStatusCode {
    match status {
        GrpcStatus::InvalidArgument => GrpcStatusCode::InvalidArgument,
        GrpcStatus::PermissionDenied => GrpcStatusCode::PermissionDenied,
        GrpcStatus::Unimplemented => GrpcStatusCode::Unimplemented,
        GrpcStatus::Internal => GrpcStatusCode::Internal,
        GrpcStatus::Unavailable => GrpcStatusCode::Unavailable,
        GrpcStatus::Unauthenticated => GrpcStatusCode::Unauthenticated,
    }
}
