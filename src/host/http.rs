//! One request.

use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, LogLevel, MapType};

use super::signature::HostEngine;
use super::{facts, log};
use crate::policy::{self, Policies};
use crate::refusal::Refusal;
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
            // The host sends no request to a plugin whose configuration it saw refused.
            return fail();
        };
        let Ok(headers) = hostcalls::get_map_bytes(MapType::HttpRequestHeaders) else {
            return fail();
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
                Step::Forward(edits) if edit(MapType::HttpRequestHeaders, &edits) => return Action::Continue,
                // A header that should be gone or ours would go on as it came.
                Step::Forward(_) => return fail(),
                Step::Refuse(refusal) => return refuse(&refusal),
                Step::AskValidation(question) => question.answer(facts::peer_certificate_valid()),
                Step::AskCertificate(question) => question.answer(facts::peer_certificate().as_deref()),
            };
        }
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        match hostcalls::get_map_bytes(MapType::HttpRequestTrailers) {
            Ok(trailers) if edit(MapType::HttpRequestTrailers, &policy::cleaned(&trailers)) => Action::Continue,
            _ => Action::Pause,
        }
    }
}

/// Makes the edits, in their order; `false` where one could not be made.
fn edit(map: MapType, edits: &[Edit]) -> bool {
    let made = |edit: &Edit| hostcalls::set_map_value_bytes(map, edit.name(), edit.value().map(str::as_bytes)).is_ok();
    edits.iter().all(made)
}

/// What the host did not let us judge goes no further.
fn fail() -> Action {
    let _ = hostcalls::send_http_response(500, vec![], None);
    Action::Pause
}

fn refuse(refusal: &Refusal) -> Action {
    log(LogLevel::Info, &refusal.to_string());
    let headers = refusal.headers();
    let headers = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    // Whether or not the answer can be sent, the request goes no further.
    let _ = hostcalls::send_http_response(u32::from(refusal.status()), headers, Some(refusal.body().as_bytes()));
    Action::Pause
}
