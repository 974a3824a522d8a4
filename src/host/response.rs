// SPDX-License-Identifier: Apache-2.0

//! A response of the upstream that is read before it is passed on.
//!
//! The host buffers the body while it comes in.

use proxy_wasm::hostcalls;
use proxy_wasm::types::{Action, BufferType, MapType};

use super::body;
use super::http::{edit, fail};
use super::vm::Vm;
use crate::authorization_server::{AtBody, AtHeaders, Report, ResponseReader};
use crate::http::header_map::Headers;
use crate::outcome::log::Event;

/// The body that a client gets in place of a response. If the headers of that have left, the host breaks the response off.
const WITHHELD: &str =
    r#"{"error":"server_error","error_description":"the response of the authorization server is withheld"}"#;

/// A response that is being read.
pub(super) struct Reading {
    policy: String,
    reader: ResponseReader,
    /// Whether its headers have come, so that its body is awaited.
    has_begun: bool,
    /// How many bytes of the body have come.
    size: usize,
}

impl Reading {
    pub(super) fn new(policy: &str, reader: ResponseReader) -> Self {
        Self { policy: policy.to_owned(), reader, has_begun: false, size: 0 }
    }

    /// Reads the headers. Returns the response if its body is awaited.
    pub(super) fn begin(mut self, vm: &Vm, headers: &Headers<'_>, end_of_stream: bool) -> (Option<Self>, Action) {
        self.has_begun = true;
        match self.reader.headers(headers, end_of_stream) {
            AtHeaders::Pass(report) => {
                if let Some(report) = report {
                    record(vm, &self.policy, report);
                }
                (None, Action::Continue)
            }
            AtHeaders::AwaitBody { edits, .. } if !edit(MapType::HttpResponseHeaders, &edits) => (None, fail()),
            AtHeaders::AwaitBody { headers_wait: true, .. } => (Some(self), Action::Pause),
            AtHeaders::AwaitBody { headers_wait: false, .. } => (Some(self), Action::Continue),
            AtHeaders::Withhold(report) => (None, withhold(vm, &self.policy, report)),
        }
    }

    /// Notes that `size` bytes of the body have come. Returns the response if it still waits.
    pub(super) fn receive(mut self, vm: &Vm, size: usize, end_of_stream: bool) -> (Option<Self>, Action) {
        self.size = size;
        if !end_of_stream && size <= self.reader.limit() {
            return (Some(self), Action::Pause);
        }
        (None, self.finish(vm))
    }

    /// Records that the response ended before its body was complete.
    pub(super) fn interrupt(self, vm: &Vm) {
        if self.has_begun {
            record(vm, &self.policy, self.reader.interrupted());
        }
    }

    /// Reads the body that has come.
    pub(super) fn finish(self, vm: &Vm) -> Action {
        let Self { policy, reader, size, .. } = self;
        let body = body::whole(BufferType::HttpResponseBody, size, reader.limit());
        match reader.body(body.as_deref().map_err(|unread| *unread)) {
            AtBody::Pass(report) => record(vm, &policy, report),
            AtBody::Replace(text, report) => {
                // If the host does not take the document, the original is passed on, and nothing is counted.
                if hostcalls::set_buffer(BufferType::HttpResponseBody, 0, size, text.as_bytes()).is_ok() {
                    record(vm, &policy, report);
                }
            }
            AtBody::Withhold(report) => return withhold(vm, &policy, report),
        }
        Action::Continue
    }
}

fn withhold(vm: &Vm, policy: &str, report: Report) -> Action {
    record(vm, policy, report);
    let headers = vec![("content-type", "application/json"), ("cache-control", "no-store")];
    // The token is not passed on, even if the response cannot be sent.
    let _ = hostcalls::send_http_response(502, headers, Some(WITHHELD.as_bytes()));
    Action::Pause
}

fn record(vm: &Vm, policy: &str, report: Report) {
    vm.metrics.count_one(policy, report.metric);
    if let Some(finding) = report.finding.filter(|finding| vm.admits_finding_to_log(policy, finding.reason)) {
        super::log(&Event::TokenNotBound(policy, &finding));
    }
}
