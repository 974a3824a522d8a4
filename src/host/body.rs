// SPDX-License-Identifier: Apache-2.0

//! A request whose body must be judged before it is forwarded.
//!
//! The host buffers the body while it comes in, and forwards none of it. The same holds while the request waits for its client's
//! keys: the host has the body, and only what was read from it is kept here.

use proxy_wasm::hostcalls;
use proxy_wasm::types::{Action, BufferType, MapType};

use super::facts;
use super::http::{carry_out, edit, fail};
use super::signature::HostEngine;
use super::vm::{PendingRequest, Vm};
use crate::http::body::Unread;
use crate::policy::step::AskBody;

/// A request whose body is awaited.
pub(super) struct Awaiting {
    pending: PendingRequest,
    question: AskBody,
    /// How many bytes of the body have come.
    size: usize,
}

impl Awaiting {
    /// Decides whether the headers of a request wait for its body. Returns the request unless it has failed.
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

    /// Notes that `size` bytes of the body have come. Returns the request if it still waits.
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
        judge(vm, context, pending, question, body.as_deref().map_err(|unread| *unread))
    }
}

/// The body of `size` bytes, if it is not larger than the limit, and the host gives all of it.
pub(super) fn whole(buffer: BufferType, size: usize, limit: usize) -> Result<Vec<u8>, Unread> {
    let body = match size {
        0 => Some(Vec::new()),
        size if size > limit => return Err(Unread::TooLarge),
        size => hostcalls::get_buffer(buffer, 0, size).ok().flatten(),
    };
    body.filter(|body| body.len() == size).ok_or(Unread::NotGiven)
}

/// Judges a request with its whole body.
pub(super) fn judge(
    vm: &Vm,
    context: u32,
    pending: PendingRequest,
    question: AskBody,
    body: Result<&[u8], Unread>,
) -> Action {
    let step = question.resume(body, &vm.worker.keys(), &HostEngine, &facts::now);
    carry_out(vm, context, pending, step)
}
