//! A request whose body must be judged before it goes on.
//!
//! While it comes in the host keeps it: what is paused is added to what was paused before, and none of it leaves. So it is
//! while a request waits for its client's keys, its body having been read: what was read is kept, and not the body.

use proxy_wasm::hostcalls;
use proxy_wasm::types::{Action, BufferType, MapType};

use super::facts;
use super::http::{carry_out, edit, fail};
use super::vm::{PendingRequest, Vm};
use crate::policy::step::AskBody;

/// A request at whose body we wait.
pub(super) struct Awaiting {
    pending: PendingRequest,
    question: AskBody,
    /// How much of the body has come.
    size: usize,
}

impl Awaiting {
    /// What becomes of the headers of a request with a body, and the request itself, where it is not at its end.
    pub(super) fn begin(pending: PendingRequest, mut question: AskBody) -> (Option<Self>, Action) {
        let action = if question.headers_wait() {
            Action::Pause
        } else if edit(MapType::HttpRequestHeaders, &question.early_edits()) {
            Action::Continue
        } else {
            return (None, fail());
        };
        (Some(Self { pending, question, size: 0 }), action)
    }

    /// Takes notice of so much body. The request itself is still there where it goes on waiting.
    pub(super) fn receive(mut self, vm: &Vm, context: u32, size: usize, end_of_stream: bool) -> (Option<Self>, Action) {
        self.size = size;
        if !end_of_stream && size <= self.question.limit() {
            return (Some(self), Action::Pause);
        }
        (None, self.judge(vm, context))
    }

    /// Judges the request with the body that has come.
    pub(super) fn judge(self, vm: &Vm, context: u32) -> Action {
        let Self { pending, question, size } = self;
        let body = whole(BufferType::HttpRequestBody, size, question.limit());
        judge(vm, context, pending, question, body.as_deref())
    }
}

/// The body of so many bytes that has come; `None` where it is larger than the limit, or not to be had whole.
pub(super) fn whole(buffer: BufferType, size: usize, limit: usize) -> Option<Vec<u8>> {
    let body = match size {
        0 => Some(Vec::new()),
        size if size > limit => None,
        size => hostcalls::get_buffer(buffer, 0, size).ok().flatten(),
    };
    body.filter(|body| body.len() == size)
}

/// Judges a request with its whole body; `None` where that is not to be had.
pub(super) fn judge(vm: &Vm, context: u32, pending: PendingRequest, question: AskBody, body: Option<&[u8]>) -> Action {
    let step = question.resume(body, &vm.worker.keys(), &facts::now);
    carry_out(vm, context, pending, step)
}
