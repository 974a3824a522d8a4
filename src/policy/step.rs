//! What a request's judgement comes to next.

use crate::authorization_server::{self, Answering, AskBody, AskClientKeys};
use crate::http::edit::{Edit, Served};
use crate::keys::AskKeys;
use crate::outcome::decision::Decision;
use crate::outcome::forward::Forward;
use crate::outcome::refusal::Refusal;
use crate::resource_server;
use crate::resource_server::introspection::AskIntrospection;

/// The next step of one request: its end, or what must be waited for. What the host knows at once is no step: see
/// [`Connection`](crate::http::connection::Connection).
#[derive(Debug)]
pub enum Step {
    /// Send the request on.
    Forward {
        /// After these edits, in this order.
        edits: Vec<Edit>,
        /// For metrics and logs.
        decision: Decision,
        /// What is to be done with the response to it, if anything.
        answering: Option<Answering>,
    },
    /// Answer the request with this refusal; nothing of it reaches the upstream.
    Refuse(Refusal),
    /// Answer the request with this document, and the status 200; nothing of it reaches the upstream.
    Serve {
        /// The document.
        served: Served,
        /// For metrics and logs.
        decision: Decision,
    },
    /// Have the request's body come in up to its limit, then [`AskBody::resume`]. Nothing of the body goes on before that.
    AskBody(Box<AskBody>),
    /// Have newer keys fetched and go on, or refuse the request.
    AskKeys {
        /// Which keys.
        question: AskKeys,
        /// Where the judgement goes on, with [`AskClientKeys::resume`]; at its beginning where there is nothing.
        client: Option<Box<AskClientKeys>>,
    },
    /// Ask the token's issuer and judge the request again from the beginning with what came of it, or refuse it.
    AskIntrospection(AskIntrospection),
}

impl Step {
    /// The name of the policy that judged; empty where none governs.
    #[must_use]
    pub fn policy(&self) -> &str {
        match self {
            Self::Forward { decision, .. } | Self::Serve { decision, .. } => decision.policy(),
            Self::Refuse(refusal) => refusal.policy(),
            Self::AskBody(question) => question.policy(),
            Self::AskKeys { question, .. } => question.policy(),
            Self::AskIntrospection(question) => question.policy(),
        }
    }

    /// What is to be done with the response of the upstream. It is handed over once.
    pub fn take_answering(&mut self) -> Option<Answering> {
        match self {
            Self::Forward { answering, .. } => answering.take(),
            Self::AskBody(question) => question.take_answering(),
            // Its response is our own, or an API's.
            _ => None,
        }
    }
}

impl From<resource_server::Step> for Step {
    fn from(step: resource_server::Step) -> Self {
        match step {
            resource_server::Step::Forward(Forward { edits, decision }) => {
                Self::Forward { edits, decision, answering: None }
            }
            resource_server::Step::Refuse(refusal) => Self::Refuse(refusal),
            resource_server::Step::Serve(served, decision) => Self::Serve { served, decision },
            resource_server::Step::AskKeys(question) => Self::AskKeys { question, client: None },
            resource_server::Step::AskIntrospection(question) => Self::AskIntrospection(question),
        }
    }
}

impl From<authorization_server::Step> for Step {
    fn from(step: authorization_server::Step) -> Self {
        match step {
            authorization_server::Step::Forward(Forward { edits, decision }, answering) => {
                Self::Forward { edits, decision, answering }
            }
            authorization_server::Step::Refuse(refusal) => Self::Refuse(refusal),
            authorization_server::Step::AskBody(question) => Self::AskBody(question),
            authorization_server::Step::AskKeys(question, client) => Self::AskKeys { question, client: Some(client) },
        }
    }
}
