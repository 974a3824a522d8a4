//! One request from its beginning to its end where everything is at hand: what a host waits for is given, or missing.

use crate::authorization_server::ResponseReader;
use crate::http::call::Response;
use crate::http::edit::{Edit, Served};
use crate::keys::KeyRing;
use crate::outcome::decision::Decision;
use crate::outcome::refused::Refused;
use crate::policy::step::Step;
use crate::resource_server::introspection::Introspected;
use crate::time::UnixTime;

/// What is at hand of what a policy may ask for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Given<'g> {
    /// The whole body of the request; `None` where it is larger than the policy's limit, or cannot be read.
    pub body: Option<&'g [u8]>,
    /// The body of the authorization server's response about the token (RFC 7662 §2.2), whose status is 200; `None` where
    /// nobody asks it.
    pub introspection: Option<&'g [u8]>,
    /// What time it is.
    pub now: UnixTime,
}

/// What was asked for, and given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The body of the request.
    Body,
    /// What an authorization server says of the token: where.
    Introspection(String),
}

/// What was asked for, and not given: where it would be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Keys, of an issuer or of a client.
    Keys(String),
    /// What an authorization server says of the token.
    Introspection(String),
}

/// The end of a request.
#[derive(Debug)]
pub enum End {
    /// It goes on, as [`Step::Forward`] says.
    Forward(Vec<Edit>, Decision, Option<ResponseReader>),
    /// It is refused, perhaps because something is missing.
    Refuse(Refused, Option<Missing>),
    /// The client gets this document.
    Serve(Served, Decision),
}

/// Runs a request to its end. `start` gives its first step, with what an authorization server says of its token once it was
/// asked; `keys` are all the keys that can be had. What is told is what was asked for on the way.
pub fn run(
    mut start: impl FnMut(Option<&Introspected>) -> Step,
    keys: &KeyRing,
    given: Given<'_>,
) -> (Vec<Asked>, End) {
    let mut asked = Vec::new();
    let mut step = start(None);
    let end = loop {
        step = match step {
            Step::Forward { edits, decision, answering } => break End::Forward(edits, decision, answering),
            Step::Refuse(refused) => break End::Refuse(refused, None),
            Step::Serve { served, decision } => break End::Serve(served, decision),
            Step::AskBody(question) => {
                asked.push(Asked::Body);
                question.resume(given.body, keys, &|| given.now)
            }
            Step::AskKeys { question, .. } => {
                let missing = Missing::Keys(question.source().place());
                break End::Refuse(question.refused(), Some(missing));
            }
            Step::AskIntrospection(question) => {
                let place = question.inquiry().place();
                // Nothing is asked for twice.
                let is_asked = asked.iter().any(|asked| matches!(asked, Asked::Introspection(_)));
                let Some(body) = given.introspection.filter(|_| !is_asked) else {
                    break End::Refuse(question.refused(), Some(Missing::Introspection(place)));
                };
                let answer = Response { status: Some(200), body, ..Response::default() };
                asked.push(Asked::Introspection(place));
                start(Some(&question.inquiry().clone().receive(&answer)))
            }
        };
    };
    (asked, end)
}
