//! What a request's judgement comes to next.

use crate::authorization_server::{self, ForwardAnd, ResponseReader, UntilBody, UntilKeys};
use crate::http::edit::{Edit, Served};
use crate::keys::{AskKeys, KeyRing};
use crate::outcome::decision::{Decision, Ground};
use crate::outcome::forward::Forward;
use crate::outcome::refused::Refused;
use crate::outcome::scene::Scene;
use crate::reason::Reason;
use crate::resource_server;
use crate::resource_server::introspection::AskIntrospection;
use crate::time::UnixTime;

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
        answering: Option<ResponseReader>,
    },
    /// Answer the request with this refusal; nothing of it reaches the upstream.
    Refuse(Refused),
    /// Answer the request with this document, and the status 200; nothing of it reaches the upstream.
    Serve {
        /// The document.
        served: Served,
        /// For metrics and logs.
        decision: Decision,
    },
    /// Have the request's body come in up to its limit, then [`AskBody::resume`]. Nothing of the body goes on before that.
    AskBody(AskBody),
    /// Have newer keys fetched and go on, or refuse the request.
    AskKeys {
        /// Which keys.
        question: AskKeys,
        /// Where the judgement goes on, with [`AskClientKeys::resume`]; at its beginning where there is nothing.
        client: Option<AskClientKeys>,
    },
    /// Ask the token's issuer and judge the request again from the beginning with what came of it, or refuse it.
    AskIntrospection(AskIntrospection),
}

/// The question for the body of a request, up to a limit.
#[derive(Debug)]
pub struct AskBody {
    scene: Box<Scene<'static>>,
    until: Box<UntilBody>,
}

/// The judgement of a request that waits for keys of its client. The body has been read, and nothing of it has gone on.
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

    /// The edits of headers that do not wait, to be made before these leave. They are handed over once.
    pub fn early_edits(&mut self) -> Vec<Edit> {
        self.until.early_edits()
    }

    /// Goes on with the whole body, trailers apart; `None` where it is larger than the limit, or cannot be read.
    #[must_use]
    pub fn resume(self, body: Option<&[u8]>, keys: &KeyRing, now: &dyn Fn() -> UnixTime) -> Step {
        let Self { scene, until } = self;
        Step::at_authorization_server(&scene, until.resume(body, keys, now))
    }
}

impl AskClientKeys {
    /// Goes on with the keys that are known.
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

    /// What is to be done with the response of the upstream. It is handed over once.
    pub fn take_response_reader(&mut self) -> Option<ResponseReader> {
        match self {
            Self::Forward { answering, .. } => answering.take(),
            Self::AskBody(question) => question.until.take_response_reader(),
            // Its response is our own, or an API's.
            _ => None,
        }
    }

    pub(super) fn forward(scene: &Scene<'_>, forward: Forward, answering: Option<ResponseReader>) -> Self {
        let Forward { headers, passed } = forward;
        let decision = scene.forwarded(passed, headers.forged_headers);
        Self::Forward { edits: headers.edits, decision, answering }
    }

    /// What a policy in front of an API decided.
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

    /// What a policy in front of an authorization server decided.
    pub(super) fn at_authorization_server(
        scene: &Scene<'_>,
        judged: Result<ForwardAnd, authorization_server::Stop>,
    ) -> Self {
        use authorization_server::Stop;
        match judged {
            Ok((forward, answering)) => Self::forward(scene, forward, answering),
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
