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
            Fault::Client(ErrorCode::InvalidToken) | Fault::Challenge => 401,
            Fault::Client(ErrorCode::InsufficientScope) => 403,
            Fault::Unknown => 404,
            Fault::Misdirected => 421,
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
            Fault::Client(ErrorCode::InvalidToken | ErrorCode::InvalidClient) | Fault::Challenge => {
                GrpcStatus::Unauthenticated
            }
            Fault::Client(ErrorCode::InsufficientScope) => GrpcStatus::PermissionDenied,
            // As 421 says, the client may try again on another connection.
            Fault::Misdirected | Fault::Later => GrpcStatus::Unavailable,
            // As gRPC maps 404.
            Fault::Unknown => GrpcStatus::Unimplemented,
            Fault::Operator => GrpcStatus::Internal,
        })
    }

    /// The value of `WWW-Authenticate` (RFC 6750 §3). Nothing in it comes from the request.
    #[must_use]
    pub fn challenge(&self) -> Option<String> {
        let fault = self.reason().fault();
        let (realm, resource_metadata) = match (&self.scene.challenge, fault) {
            (Challenge::Basic, Fault::Client(ErrorCode::InvalidClient)) => {
                return Some(format!("Basic realm=\"{}\"", self.policy()));
            }
            (Challenge::Bearer { realm, resource_metadata }, _) => (realm, resource_metadata),
            (Challenge::None | Challenge::Basic, _) => return None,
        };
        let parameter = |name, value: &str| format!(", {name}=\"{value}\"");
        let metadata = resource_metadata.as_ref().map(|url| parameter("resource_metadata", url)).unwrap_or_default();
        match fault {
            Fault::Challenge => Some(format!("Bearer realm=\"{realm}\"{metadata}")),
            Fault::Client(code) => {
                let scope = self.refusal.scope().map(|scope| parameter("scope", scope)).unwrap_or_default();
                Some(format!(
                    "Bearer realm=\"{realm}\", error=\"{}\", error_description=\"{}\"{scope}{metadata}",
                    code.name(),
                    self.reason().description()
                ))
            }
            Fault::Unknown | Fault::Misdirected | Fault::TooLarge | Fault::Operator | Fault::Later => None,
        }
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
        if let Some(challenge) = self.challenge() {
            headers.push(("www-authenticate", challenge));
        }
        headers
    }

    /// The response body: a small JSON object. gRPC has none.
    #[must_use]
    pub fn body(&self) -> String {
        let description = self.reason().description();
        match self.reason().fault() {
            Fault::Challenge | Fault::Unknown | Fault::Misdirected => {
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
