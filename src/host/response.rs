//! An answer of the upstream that is read before it goes on.
//!
//! While its body comes in the host keeps it: what is paused is added to what was paused before.

use proxy_wasm::hostcalls;
use proxy_wasm::types::{Action, BufferType, MapType};

use super::body;
use super::http::{edit, fail};
use super::vm::Vm;
use crate::authorization_server::{AtBody, AtHeaders, ResponseReader, Told};
use crate::http::header_map::Headers;
use crate::outcome::log::Event;

/// What a client gets in place of an answer; where the headers of that have left, the host breaks it off.
const WITHHELD: &str =
    r#"{"error":"server_error","error_description":"the answer of the authorization server is withheld"}"#;

/// An answer that is read.
pub(super) struct Reading {
    policy: String,
    answering: ResponseReader,
    /// Whether its body is waited for.
    has_begun: bool,
    /// How much of the body has come.
    size: usize,
}

impl Reading {
    pub(super) fn new(policy: &str, answering: ResponseReader) -> Self {
        Self { policy: policy.to_owned(), answering, has_begun: false, size: 0 }
    }

    /// Takes notice of the headers. The answer itself is still there where its body is waited for.
    pub(super) fn begin(mut self, vm: &Vm, headers: &Headers<'_>, end_of_stream: bool) -> (Option<Self>, Action) {
        self.has_begun = true;
        match self.answering.headers(headers, end_of_stream) {
            AtHeaders::Pass(told) => {
                if let Some(told) = told {
                    tell(vm, &self.policy, told);
                }
                (None, Action::Continue)
            }
            AtHeaders::AwaitBody { edits, .. } if !edit(MapType::HttpResponseHeaders, &edits) => (None, fail()),
            AtHeaders::AwaitBody { headers_wait: true, .. } => (Some(self), Action::Pause),
            AtHeaders::AwaitBody { headers_wait: false, .. } => (Some(self), Action::Continue),
            AtHeaders::Withhold(told) => (None, withhold(vm, &self.policy, told)),
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

    /// Takes notice that there will be no more of it.
    pub(super) fn interrupt(self, vm: &Vm) {
        if self.has_begun {
            tell(vm, &self.policy, self.answering.interrupted());
        }
    }

    /// Reads the body that has come.
    pub(super) fn finish(self, vm: &Vm) -> Action {
        let Self { policy, answering, size, .. } = self;
        let body = body::whole(BufferType::HttpResponseBody, size, answering.limit());
        match answering.body(body.as_deref()) {
            AtBody::Pass(told) => tell(vm, &policy, told),
            AtBody::Replace(text, told) => {
                // A document that the host does not take goes on as it came.
                if hostcalls::set_buffer(BufferType::HttpResponseBody, 0, size, text.as_bytes()).is_ok() {
                    tell(vm, &policy, told);
                }
            }
            AtBody::Withhold(told) => return withhold(vm, &policy, told),
        }
        Action::Continue
    }
}

fn withhold(vm: &Vm, policy: &str, told: Told) -> Action {
    tell(vm, policy, told);
    let headers = vec![("content-type", "application/json"), ("cache-control", "no-store")];
    // Whether or not the answer can be sent, the token goes no further.
    let _ = hostcalls::send_http_response(502, headers, Some(WITHHELD.as_bytes()));
    Action::Pause
}

fn tell(vm: &Vm, policy: &str, told: Told) {
    vm.metrics.count_one(policy, told.metric);
    if let Some(finding) = told.finding.filter(|finding| vm.admits_finding_to_log(policy, finding.reason)) {
        super::log(&Event::TokenNotBound(policy, &finding));
    }
}
