// SPDX-License-Identifier: Apache-2.0

//! A refused request: the response to the client, and what the operator reads.

use std::ops::Deref;

use crate::certificate::thumbprint::Thumbprint;
use crate::http::request::Caller;
use crate::outcome::decision::{Decision, Verdict};
use crate::outcome::refusal::Refusal;
use crate::outcome::scene::{Challenge, Scene};
use crate::reason::{ErrorCode, Fault};

/// A failed fetch is repeated within seconds.
const RETRY_AFTER_SECONDS: &str = "5";

/// One refused request, and [why](Refusal) it is refused. Status, challenge and log line are derived from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    scene: Box<Scene<'static>>,
    refusal: Refusal,
}

impl Deref for Refused {
    type Target = Refusal;

    fn deref(&self) -> &Refusal {
        &self.refusal
    }
}

impl Refused {
    pub(super) fn new(scene: Box<Scene<'static>>, refusal: Refusal) -> Self {
        Self { scene, refusal }
    }

    /// The name of the policy that refused; empty where none governs.
    #[must_use]
    pub fn policy(&self) -> &str {
        self.scene.policy()
    }

    /// The certificate that the client proved to hold.
    #[must_use]
    pub fn presented(&self) -> Option<Thumbprint> {
        self.scene.presented()
    }

    /// The decision, for counters and access logs.
    #[must_use]
    pub fn decision(&self) -> Decision {
        let decision = Decision::new(&self.scene, Verdict::Refused(self.reason()));
        decision.about(self.identity().cloned()).looked_up(self.refusal.lookup())
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self.reason().fault() {
            Fault::Client(ErrorCode::InvalidRequest) => 400,
            // RFC 6749 §5.2.
            Fault::Client(ErrorCode::InvalidClient) => {
                if matches!(self.scene.challenge, Challenge::Basic) {
                    401
                } else {
                    400
                }
            }
            Fault::Client(ErrorCode::InvalidToken | ErrorCode::InsufficientUserAuthentication) | Fault::Challenge => {
                401
            }
            Fault::Client(ErrorCode::InsufficientScope) => 403,
            Fault::Unknown => 404,
            Fault::Misdirected => 421,
            Fault::TooEarly => 425,
            Fault::TooLarge => 431,
            Fault::Operator => 500,
            Fault::Later => 503,
        }
    }

    /// The gRPC status, if the caller speaks gRPC; the HTTP status is 200 then.
    #[must_use]
    pub fn grpc_status(&self) -> Option<GrpcStatus> {
        (self.scene.caller() == Caller::Grpc).then(|| match self.reason().fault() {
            Fault::Client(ErrorCode::InvalidRequest) | Fault::TooLarge => GrpcStatus::InvalidArgument,
            Fault::Client(
                ErrorCode::InvalidToken | ErrorCode::InvalidClient | ErrorCode::InsufficientUserAuthentication,
            )
            | Fault::Challenge => GrpcStatus::Unauthenticated,
            Fault::Client(ErrorCode::InsufficientScope) => GrpcStatus::PermissionDenied,
            // As 421 and 425 say, the client may try again on another connection, or later on this one.
            Fault::Misdirected | Fault::TooEarly | Fault::Later => GrpcStatus::Unavailable,
            // As gRPC maps 404.
            Fault::Unknown => GrpcStatus::Unimplemented,
            Fault::Operator => GrpcStatus::Internal,
        })
    }

    /// The values of `WWW-Authenticate` (RFC 9110 §11.6.1), each for a line of its own: in one line commas would
    /// part challenges and their parameters alike. Nothing in them comes from the request.
    #[must_use]
    pub fn challenges(&self) -> Vec<String> {
        let fault = self.reason().fault();
        match (&self.scene.challenge, fault) {
            (Challenge::Basic, Fault::Client(ErrorCode::InvalidClient)) => {
                vec![format!("Basic realm=\"{}\"", self.policy())]
            }
            (Challenge::AccessToken(challenge), Fault::Challenge) => challenge.of_each_scheme(""),
            (Challenge::AccessToken(challenge), Fault::Client(code)) => challenge.of_each_scheme(&self.error(code)),
            _ => Vec::new(),
        }
    }

    /// What a challenge tells of the error (RFC 6750 §3).
    fn error(&self, code: ErrorCode) -> String {
        let demands: String = self.refusal.demands().map(|(name, value)| format!(", {name}=\"{value}\"")).collect();
        format!(", error=\"{}\", error_description=\"{}\"{demands}", code.name(), self.reason().description())
    }

    /// The response headers besides the status.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = match self.scene.caller() {
            Caller::Http => {
                vec![("content-type", "application/json".to_owned()), ("cache-control", "no-store".to_owned())]
            }
            Caller::Grpc => vec![("grpc-message", self.reason().description().to_owned())],
        };
        if self.reason().fault() == Fault::Later {
            headers.push(("retry-after", RETRY_AFTER_SECONDS.to_owned()));
        }
        headers.extend(self.challenges().into_iter().map(|challenge| ("www-authenticate", challenge)));
        headers
    }

    /// The response body: a small JSON object. gRPC has none.
    #[must_use]
    pub fn body(&self) -> String {
        let description = self.reason().description();
        match self.reason().fault() {
            Fault::Challenge | Fault::Unknown | Fault::Misdirected | Fault::TooEarly => {
                format!("{{\"error_description\":\"{description}\"}}")
            }
            Fault::Client(code) => {
                format!("{{\"error\":\"{}\",\"error_description\":\"{description}\"}}", code.name())
            }
            Fault::TooLarge => format!("{{\"error\":\"invalid_request\",\"error_description\":\"{description}\"}}"),
            Fault::Operator => format!("{{\"error\":\"server_error\",\"error_description\":\"{description}\"}}"),
            Fault::Later => {
                format!("{{\"error\":\"temporarily_unavailable\",\"error_description\":\"{description}\"}}")
            }
        }
    }
}

/// A status of gRPC, with its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrpcStatus {
    /// The request is malformed.
    InvalidArgument = 3,
    /// The token is good for other calls.
    PermissionDenied = 7,
    /// The proxy serves no such call.
    Unimplemented = 12,
    /// The proxy cannot decide.
    Internal = 13,
    /// The client may try again, later or on another connection.
    Unavailable = 14,
    /// There is no token, or it is not valid.
    Unauthenticated = 16,
}
