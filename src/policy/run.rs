// SPDX-License-Identifier: Apache-2.0

//! Runs one request from its first step to its end, without waiting: what a host would wait for is given or missing.

use crate::authorization_server::ResponseReader;
use crate::http::body::Unread;
use crate::http::call::Response;
use crate::http::edit::{Edit, Served};
use crate::jose::signature::SignatureEngine;
use crate::keys::KeyRing;
use crate::outcome::decision::Decision;
use crate::outcome::refused::Refused;
use crate::policy::step::Step;
use crate::resource_server::introspection::Introspected;
use crate::time::UnixTime;

/// What is given of what a policy may ask for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given<'g> {
    /// The whole body of the request; `None` if it is larger than the policy's limit.
    pub body: Option<&'g [u8]>,
    /// The body of the introspection response (RFC 7662 §2.2) with the status 200; `None` if there is none.
    pub introspection: Option<&'g [u8]>,
    /// What time it is.
    pub now: UnixTime,
}

/// What was asked for, and given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The body of the request.
    Body,
    /// The introspection of the token: where.
    Introspection(String),
}

/// What was asked for, and not given: where it would be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Keys, of an issuer or of a client.
    Keys(String),
    /// The introspection of the token.
    Introspection(String),
}

/// The end of a request.
#[derive(Debug)]
pub enum End {
    /// It is forwarded, as in [`Step::Forward`].
    Forward(Vec<Edit>, Decision, Option<ResponseReader>),
    /// It is refused, perhaps because something is missing.
    Refuse(Refused, Option<Missing>),
    /// The client gets this document.
    Serve(Served, Decision),
}

/// Runs a request to its end. `start` returns its first step, given the introspection of its token once there is one. `keys` are
/// all the keys that exist, and `engine` verifies signatures. Returns what was asked for on the way, and the end.
pub fn run(
    mut start: impl FnMut(Option<&Introspected>) -> Step,
    (keys, engine): (&KeyRing, &dyn SignatureEngine),
    given: Given<'_>,
) -> (Vec<Asked>, End) {
    let mut asked = Vec::new();
    let mut step = start(None);
    let end = loop {
        step = match step {
            Step::Forward { edits, decision, response_reader } => break End::Forward(edits, decision, response_reader),
            Step::Refuse(refused) => break End::Refuse(refused, None),
            Step::Serve { served, decision } => break End::Serve(served, decision),
            Step::AskBody(question) => {
                asked.push(Asked::Body);
                question.resume(given.body.ok_or(Unread::TooLarge), keys, engine, &|| given.now)
            }
            Step::AskKeys { question, .. } => {
                let missing = Missing::Keys(question.source().place());
                break End::Refuse(question.refused(), Some(missing));
            }
            Step::AskIntrospection(question) => {
                let place = question.inquiry().place();
                // A token is introspected at most once.
                let is_asked = asked.iter().any(|asked| matches!(asked, Asked::Introspection(_)));
                let Some(body) = given.introspection.filter(|_| !is_asked) else {
                    break End::Refuse(question.refused(), Some(Missing::Introspection(place)));
                };
                let response = Response { status: Some(200), body, ..Response::default() };
                asked.push(Asked::Introspection(place));
                start(Some(&question.inquiry().clone().receive(&response)))
            }
        };
    };
    (asked, end)
}
