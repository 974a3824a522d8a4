//! A refusal: what the client gets and what the operator reads, from one value.

use std::fmt;

use crate::reason::{Answer, ErrorCode, Reason};
use crate::request::Caller;

/// Failed fetches are tried again within seconds.
const RETRY_AFTER_SECONDS: &str = "5";

/// One refused request. It owns its status, its challenge and its log sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    reason: Reason,
    detail: Option<String>,
    policy: String,
    realm: Option<String>,
    scope: Option<String>,
    caller: Caller,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, detail: None, policy: String::new(), realm: None, scope: None, caller: Caller::Http }
    }
}

impl Refusal {
    /// A refusal with something the operator will want to know. `detail` goes to the log alone; it must hold no
    /// token, key or secret. Whatever a client chose in it is escaped when it is written.
    #[must_use]
    pub fn because(reason: Reason, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..Self::from(reason) }
    }

    /// Names the policy that refused, and the realm of its challenges, if it is one that challenges.
    #[must_use]
    pub(crate) fn under(self, policy: &str, realm: Option<&str>) -> Self {
        Self { policy: policy.to_owned(), realm: realm.map(str::to_owned), ..self }
    }

    /// Names the scopes that the request needs, for the challenge of [`Reason::ScopeInsufficient`].
    #[must_use]
    pub(crate) fn demanding(self, scope: String) -> Self {
        Self { scope: Some(scope), ..self }
    }

    /// Says in which form the client reads the answer.
    #[must_use]
    pub(crate) fn to(self, caller: Caller) -> Self {
        Self { caller, ..self }
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self.reason.answer() {
            Answer::Client(ErrorCode::InvalidRequest) => 400,
            Answer::Client(ErrorCode::InvalidToken) | Answer::Challenge => 401,
            Answer::Client(ErrorCode::InsufficientScope) => 403,
            Answer::Misdirected => 421,
            Answer::Operator => 500,
            Answer::Later => 503,
        }
    }

    /// The gRPC status, where the caller speaks gRPC: it sees no HTTP status but 200.
    #[must_use]
    pub fn grpc_status(&self) -> Option<GrpcStatus> {
        (self.caller == Caller::Grpc).then(|| match self.reason.answer() {
            Answer::Client(ErrorCode::InvalidRequest) => GrpcStatus::InvalidArgument,
            Answer::Client(ErrorCode::InvalidToken) | Answer::Challenge => GrpcStatus::Unauthenticated,
            Answer::Client(ErrorCode::InsufficientScope) => GrpcStatus::PermissionDenied,
            // It may try again on a connection of its own, which is what 421 says.
            Answer::Misdirected | Answer::Later => GrpcStatus::Unavailable,
            Answer::Operator => GrpcStatus::Internal,
        })
    }

    /// The value of `WWW-Authenticate` (RFC 6750 §3). Nothing in it comes from the request.
    #[must_use]
    pub fn challenge(&self) -> Option<String> {
        let realm = self.realm.as_deref()?;
        match self.reason.answer() {
            Answer::Challenge => Some(format!("Bearer realm=\"{realm}\"")),
            Answer::Client(code) => {
                let scope = self.scope.as_ref().map(|scope| format!(", scope=\"{scope}\"")).unwrap_or_default();
                Some(format!(
                    "Bearer realm=\"{realm}\", error=\"{}\", error_description=\"{}\"{scope}",
                    code.name(),
                    self.reason.description()
                ))
            }
            Answer::Misdirected | Answer::Operator | Answer::Later => None,
        }
    }

    /// The log sentence of a request that was forwarded all the same, since its policy only observes.
    #[must_use]
    pub fn observed(&self) -> String {
        format!("would have {self}")
    }

    /// The response headers besides the status.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = match self.caller {
            Caller::Http => {
                vec![("content-type", "application/json".to_owned()), ("cache-control", "no-store".to_owned())]
            }
            Caller::Grpc => vec![("grpc-message", self.reason.description().to_owned())],
        };
        if self.reason.answer() == Answer::Later {
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
        let description = self.reason.description();
        match self.reason.answer() {
            Answer::Challenge | Answer::Misdirected => format!("{{\"error_description\":\"{description}\"}}"),
            Answer::Client(code) => {
                format!("{{\"error\":\"{}\",\"error_description\":\"{description}\"}}", code.name())
            }
            Answer::Operator => format!("{{\"error\":\"server_error\",\"error_description\":\"{description}\"}}"),
            Answer::Later => {
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
    /// The proxy cannot decide.
    Internal = 13,
    /// Not on this connection.
    Unavailable = 14,
    /// No token, or none that is any good.
    Unauthenticated = 16,
}

impl fmt::Display for Refusal {
    /// The log sentence. A client's text in it is escaped, so that it cannot forge a line.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "refused: reason={}", self.reason)?;
        if !self.policy.is_empty() {
            write!(formatter, " policy={}", self.policy)?;
        }
        match &self.detail {
            Some(detail) => write!(formatter, " detail=\"{}\"", detail.escape_default()),
            None => Ok(()),
        }
    }
}
