// SPDX-License-Identifier: Apache-2.0

//! The steps of judging a request.

use crate::authorization_server::{self, ForwardAnd, ResponseReader, UntilBody, UntilKeys};
use crate::http::body::Unread;
use crate::http::edit::{Edit, Served};
use crate::jose::signature::SignatureEngine;
use crate::keys::{AskKeys, KeyRing};
use crate::outcome::decision::{Decision, Ground};
use crate::outcome::forward::Forward;
use crate::outcome::refused::Refused;
use crate::outcome::scene::Scene;
use crate::reason::Reason;
use crate::resource_server;
use crate::resource_server::introspection::AskIntrospection;
use crate::time::UnixTime;

/// The next step of one request: its end, or something that must be waited for. What the host knows at once is not a step, but is
/// asked of a [`Connection`](crate::http::connection::Connection).
#[derive(Debug)]
pub enum Step {
    /// Forward the request.
    Forward {
        /// The edits to make first, in this order.
        edits: Vec<Edit>,
        /// For metrics and logs.
        decision: Decision,
        /// What to do with the response to it, if anything.
        response_reader: Option<ResponseReader>,
    },
    /// Answer the request with this refusal; nothing of it reaches the upstream.
    Refuse(Refused),
    /// Answer the request with this document and the status 200; nothing of it reaches the upstream.
    Serve {
        /// The document.
        served: Served,
        /// For metrics and logs.
        decision: Decision,
    },
    /// Buffer the request's body up to its limit, then call [`AskBody::resume`]. Forward nothing of the body before that.
    AskBody(AskBody),
    /// Wait for newer keys and continue, or refuse the request.
    AskKeys {
        /// Which keys.
        question: AskKeys,
        /// The judgement to continue, with [`AskClientKeys::resume`]; without one, judge the request again from the beginning.
        client: Option<AskClientKeys>,
    },
    /// Introspect the token and judge the request again from the beginning with the outcome, or refuse it.
    AskIntrospection(AskIntrospection),
}

/// The question for the body of a request, up to a limit.
#[derive(Debug)]
pub struct AskBody {
    scene: Box<Scene<'static>>,
    until: Box<UntilBody>,
}

/// The judgement of a request that waits for keys of its client. The body was read, and nothing of it was forwarded.
#[derive(Debug)]
pub struct AskClientKeys {
    scene: Box<Scene<'static>>,
    until: Box<UntilKeys>,
}

impl AskBody {
    /// The name of the policy that asks.
    #[must_use]
    pub fn policy(&self) -> &str {
        self.scene.policy()
    }

    /// Whether the headers must wait for the body.
    #[must_use]
    pub fn headers_wait(&self) -> bool {
        self.until.headers_wait()
    }

    /// How large the body may be, in bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.until.limit()
    }

    /// The edits to make before headers leave that do not wait. Returned once.
    pub fn early_edits(&mut self) -> Vec<Edit> {
        self.until.early_edits()
    }

    /// Continues with the whole body, without trailers.
    #[must_use]
    pub fn resume(
        self,
        body: Result<&[u8], Unread>,
        keys: &KeyRing,
        engine: &dyn SignatureEngine,
        now: &dyn Fn() -> UnixTime,
    ) -> Step {
        let Self { scene, until } = self;
        Step::at_authorization_server(&scene, until.resume(body, (keys, engine), now))
    }
}

impl AskClientKeys {
    /// Continues with the known keys.
    #[must_use]
    pub fn resume(self, keys: &KeyRing, now: UnixTime) -> Step {
        let Self { scene, until } = self;
        Step::at_authorization_server(&scene, until.resume(keys, now))
    }
}

impl Step {
    /// The name of the policy that judged; empty where none governs.
    #[must_use]
    pub fn policy(&self) -> &str {
        match self {
            Self::Forward { decision, .. } | Self::Serve { decision, .. } => decision.policy(),
            Self::Refuse(refused) => refused.policy(),
            Self::AskBody(question) => question.policy(),
            Self::AskKeys { question, .. } => question.policy(),
            Self::AskIntrospection(question) => question.policy(),
        }
    }

    /// What to do with the response of the upstream. Returned once.
    pub fn take_response_reader(&mut self) -> Option<ResponseReader> {
        match self {
            Self::Forward { response_reader, .. } => response_reader.take(),
            Self::AskBody(question) => question.until.take_response_reader(),
            // The other responses are the filter's own, or an API's.
            _ => None,
        }
    }

    pub(super) fn forward(scene: &Scene<'_>, forward: Forward, response_reader: Option<ResponseReader>) -> Self {
        let Forward { headers, passed } = forward;
        let decision = scene.forwarded(passed, headers.forged_headers);
        Self::Forward { edits: headers.edits, decision, response_reader }
    }

    /// The step that follows from the decision of a policy in front of an API.
    pub(super) fn at_resource_server(scene: &Scene<'_>, stop: resource_server::Stop) -> Self {
        use resource_server::Stop;
        match stop {
            Stop::Refused(refusal) => Self::Refuse(scene.refused(refusal)),
            Stop::Serve(served) => Self::Serve { served, decision: scene.served(Ground::ProtectedResourceMetadata) },
            Stop::NeedsKeys(source, why, refusal) => {
                let unavailable = refusal.instead(Reason::KeysUnavailable, source.place());
                let (refused, unavailable) = (scene.refused(refusal), scene.refused(unavailable));
                Self::AskKeys { question: AskKeys { source: *source, why, refused, unavailable }, client: None }
            }
            Stop::NeedsIntrospection(inquiry, refusal) => {
                Self::AskIntrospection(AskIntrospection { inquiry, refused: scene.refused(refusal) })
            }
        }
    }

    /// The step that follows from the decision of a policy in front of an authorization server.
    pub(super) fn at_authorization_server(
        scene: &Scene<'_>,
        judged: Result<ForwardAnd, authorization_server::Stop>,
    ) -> Self {
        use authorization_server::Stop;
        match judged {
            Ok((forward, response_reader)) => Self::forward(scene, forward, response_reader),
            Err(Stop::Refused(refusal)) => Self::Refuse(scene.refused(refusal)),
            Err(Stop::NeedsBody(until)) => Self::AskBody(AskBody { scene: scene.owned(), until }),
            Err(Stop::NeedsKeys { source, why, refusal, unavailable, until }) => {
                let (refused, unavailable) = (scene.refused(refusal), scene.refused(unavailable));
                let question = AskKeys { source: *source, why, refused, unavailable };
                Self::AskKeys { question, client: Some(AskClientKeys { scene: scene.owned(), until }) }
            }
        }
    }
}
