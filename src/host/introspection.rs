//! Tokens that are introspected: one call for all requests of one VM that wait for the same answer.

use std::rc::Rc;

use proxy_wasm::types::Action;

use super::calls::{self, Pending};
use super::vm::{Arrived, Vm};
use super::waiting::{self, Awaited, Waiting};
use super::{facts, http};
use crate::resource_server::introspection::{Inquiry, Introspected};
use crate::step::AskIntrospection;

/// Calls under way in one VM: whoever sends tokens of his own making has no more than these asked at once.
const MOST_UNDER_WAY: usize = 128;

/// Has a request wait for the answer about its token, or refuses it where too many are asked about.
pub(super) fn wait(vm: &Vm, context: u32, arrived: Arrived, question: AskIntrospection) -> Action {
    let inquiry = question.inquiry().clone();
    if !is_under_way(vm, &inquiry) {
        if under_way(vm) >= MOST_UNDER_WAY {
            let failed = inquiry.fail("too many tokens are being asked about".to_owned());
            return http::decide(vm, context, arrived.with_answer(Rc::new(failed)), None);
        }
        vm.inquiries.borrow_mut().push(inquiry.clone());
    }
    let deadline = facts::now_in_milliseconds().saturating_add(inquiry.longest_wait());
    let awaited = Awaited::Introspection(inquiry);
    waiting::wait(vm, Waiting { context, arrived, awaited, deadline, refusal: question.refusal(), client: None })
}

/// Makes the calls that requests wait for.
pub(super) fn tend(vm: &Vm, root: u32) {
    let now = facts::now_in_milliseconds();
    for inquiry in vm.inquiries.take() {
        let call = inquiry.call();
        match calls::dispatch(&call) {
            Some(token) => calls::expect(vm, token, Pending::Introspection(inquiry, now)),
            None => done(vm, root, inquiry.fail(format!("the proxy has no cluster {:?}", call.cluster)), now),
        }
    }
}

fn is_under_way(vm: &Vm, inquiry: &Inquiry) -> bool {
    let is_called = |pending: &Pending| matches!(pending, Pending::Introspection(other, _) if other == inquiry);
    vm.inquiries.borrow().contains(inquiry) || vm.calls.borrow().iter().any(|(_, pending)| is_called(pending))
}

fn under_way(vm: &Vm) -> usize {
    let is_introspection = |(_, pending): &&(u32, Pending)| matches!(pending, Pending::Introspection(..));
    let called = vm.calls.borrow().iter().filter(is_introspection).count();
    called.saturating_add(vm.inquiries.borrow().len())
}

/// Decides every request that waits for this answer.
pub(super) fn done(vm: &Vm, root: u32, introspected: Introspected, began: u64) {
    let took = facts::now_in_milliseconds().saturating_sub(began);
    vm.metrics.introspected(introspected.outcome(), took);
    waiting::answer(vm, root, &Rc::new(introspected));
}
