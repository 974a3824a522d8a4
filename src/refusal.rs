//! A refusal: what the client gets and what the operator reads, from one value.

use std::fmt;

use crate::reason::{Answer, ErrorCode, Reason};

/// Failed fetches are tried again within seconds.
const RETRY_AFTER_SECONDS: &str = "5";

/// One refused request. It owns its status, its challenge and its log sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    reason: Reason,
    detail: Option<String>,
    policy: String,
    realm: Option<String>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self { reason, detail: None, policy: String::new(), realm: None }
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
            Answer::Operator => 500,
            Answer::Later => 503,
        }
    }

    /// The value of `WWW-Authenticate` (RFC 6750 §3). Nothing in it comes from the request.
    #[must_use]
    pub fn challenge(&self) -> Option<String> {
        let realm = self.realm.as_deref()?;
        match self.reason.answer() {
            Answer::Challenge => Some(format!("Bearer realm=\"{realm}\"")),
            Answer::Client(code) => Some(format!(
                "Bearer realm=\"{realm}\", error=\"{}\", error_description=\"{}\"",
                code.name(),
                self.reason.description()
            )),
            Answer::Operator | Answer::Later => None,
        }
    }

    /// The response headers besides the status.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers =
            vec![("content-type", "application/json".to_owned()), ("cache-control", "no-store".to_owned())];
        if self.reason.answer() == Answer::Later {
            headers.push(("retry-after", RETRY_AFTER_SECONDS.to_owned()));
        }
        if let Some(challenge) = self.challenge() {
            headers.push(("www-authenticate", challenge));
        }
        headers
    }

    /// The response body: a small JSON object.
    #[must_use]
    pub fn body(&self) -> String {
        let description = self.reason.description();
        match self.reason.answer() {
            Answer::Challenge => format!("{{\"error_description\":\"{description}\"}}"),
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
