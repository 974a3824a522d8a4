//! An answer of the upstream that is read before it goes on.
//!
//! While its body comes in the host keeps it: what is paused is added to what was paused before.

use proxy_wasm::hostcalls;
use proxy_wasm::types::{Action, BufferType, MapType};

use super::http::edit;
use super::vm::Vm;
use crate::authorization_server::{Answering, AtBody, AtHeaders};

/// An answer that is read.
pub(super) struct Reading {
    policy: String,
    answering: Answering,
    /// How much of the body has come.
    size: usize,
}

impl Reading {
    pub(super) fn new(policy: &str, answering: Answering) -> Self {
        Self { policy: policy.to_owned(), answering, size: 0 }
    }

    /// Takes notice of the headers. The answer itself is still there where its body is waited for; `None` inside where a
    /// header could not be edited.
    pub(super) fn begin(self, vm: &Vm, headers: &[(String, Vec<u8>)], end_of_stream: bool) -> Option<Option<Self>> {
        match self.answering.headers(headers, end_of_stream) {
            AtHeaders::Pass(metric) => {
                vm.metrics.count_one(&self.policy, metric);
                Some(None)
            }
            AtHeaders::AwaitBody(edits) => edit(MapType::HttpResponseHeaders, &edits).then_some(Some(self)),
        }
    }

    /// Takes notice of so much body. The answer itself is still there where it goes on waiting.
    pub(super) fn receive(mut self, vm: &Vm, size: usize, end_of_stream: bool) -> (Option<Self>, Action) {
        self.size = size;
        if !end_of_stream && size <= self.answering.limit() {
            return (Some(self), Action::Pause);
        }
        (None, self.finish(vm))
    }

    /// Reads the body that has come.
    pub(super) fn finish(self, vm: &Vm) -> Action {
        let Self { policy, answering, size } = self;
        let body = match size {
            0 => Some(Vec::new()),
            size if size > answering.limit() => None,
            size => hostcalls::get_buffer(BufferType::HttpResponseBody, 0, size).ok().flatten(),
        };
        match answering.body(body.filter(|body| body.len() == size).as_deref()) {
            AtBody::Pass(metric) => vm.metrics.count_one(&policy, metric),
            AtBody::Replace(text, metric) => {
                // A document that the host does not take goes on as it came.
                if hostcalls::set_buffer(BufferType::HttpResponseBody, 0, size, text.as_bytes()).is_ok() {
                    vm.metrics.count_one(&policy, metric);
                }
            }
        }
        Action::Continue
    }
}
