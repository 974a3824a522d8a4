//! One request.

use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, GrpcStatusCode, LogLevel, MapType};

use super::signature::HostEngine;
use super::{facts, log};
use crate::policy::Policies;
use crate::refusal::{GrpcStatus, Refusal};
use crate::request::Request;
use crate::step::{Edit, Step};

pub(super) struct Http {
    policies: Option<Rc<Policies>>,
}

impl Http {
    pub(super) fn new(policies: Option<Rc<Policies>>) -> Self {
        Self { policies }
    }
}

impl Context for Http {}

impl HttpContext for Http {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let Some(policies) = &self.policies else {
            // The host sends no request to a plugin whose configuration it saw refused; if one does, it stays here.
            return Action::Pause;
        };
        let Ok(headers) = hostcalls::get_map_bytes(MapType::HttpRequestHeaders) else {
            // Without them nothing can be judged or cleaned.
            return Action::Pause;
        };
        let route_metadata = facts::route_metadata();
        let peer_digest = facts::peer_digest();
        let request = Request {
            headers: &headers,
            route_metadata: route_metadata.as_deref(),
            peer_digest: peer_digest.as_deref(),
            now: facts::now(),
        };
        let mut step = policies.start(&request, &HostEngine);
        loop {
            step = match step {
                Step::Forward { edits, note } => return forward(&edits, note.as_ref()),
                Step::Refuse(refusal) => return refuse(&refusal),
                Step::AskValidation(question) => question.answer(facts::peer_certificate_valid()),
                Step::AskCertificate(question) => question.answer(facts::peer_certificate().as_deref()),
                Step::AskServerName(question) => question.answer(facts::requested_server_name().as_deref()),
            };
        }
    }
}

fn forward(edits: &[Edit], note: Option<&Refusal>) -> Action {
    if let Some(note) = note {
        log(LogLevel::Info, &note.observed());
    }
    for edit in edits {
        let value = edit.value().map(str::as_bytes);
        if hostcalls::set_map_value_bytes(MapType::HttpRequestHeaders, edit.name(), value).is_err() {
            // A header that should be gone or ours would go on as it came.
            return Action::Pause;
        }
    }
    Action::Continue
}

fn refuse(refusal: &Refusal) -> Action {
    log(LogLevel::Info, &refusal.to_string());
    let headers = refusal.headers();
    // Whether or not the answer can be sent, the request goes no further.
    let _ = match refusal.grpc_status() {
        Some(status) => {
            let metadata = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
            hostcalls::send_grpc_response(grpc_code(status), None, metadata)
        }
        None => {
            let headers = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            hostcalls::send_http_response(u32::from(refusal.status()), headers, Some(refusal.body().as_bytes()))
        }
    };
    Action::Pause
}

/// The host's word for a status.
fn grpc_code(status: GrpcStatus) -> GrpcStatusCode {
    match status {
        GrpcStatus::InvalidArgument => GrpcStatusCode::InvalidArgument,
        GrpcStatus::PermissionDenied => GrpcStatusCode::PermissionDenied,
        GrpcStatus::Internal => GrpcStatusCode::Internal,
        GrpcStatus::Unavailable => GrpcStatusCode::Unavailable,
        GrpcStatus::Unauthenticated => GrpcStatusCode::Unauthenticated,
    }
}
