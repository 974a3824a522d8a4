//! A refusal: what the client gets and what the operator reads, from one value.

use std::rc::Rc;

use crate::certificate::thumbprint::Thumbprint;
use crate::http::request::Caller;
use crate::outcome::decision::{Decision, Verdict};
use crate::outcome::identity::Identity;
use crate::outcome::lookup::Lookup;
use crate::reason::{Answer, ErrorCode, Reason};

/// Failed fetches are tried again within seconds.
const RETRY_AFTER_SECONDS: &str = "5";

/// One refused request. It owns its status, its challenge and what the log says of it.
///
/// It is one pointer: most of what may end in a refusal does not, and pays for the room in every result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(Box<Particulars>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Particulars {
    reason: Reason,
    detail: Option<String>,
    realm: Option<String>,
    scope: Option<String>,
    caller: Caller,
    policy: String,
    presented: Option<Thumbprint>,
    expected: Option<Thumbprint>,
    identity: Option<Rc<Identity>>,
    lookup: Option<Lookup>,
    metadata: Option<String>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self(Box::new(Particulars {
            reason,
            detail: None,
            realm: None,
            scope: None,
            caller: Caller::Http,
            policy: String::new(),
            presented: None,
            expected: None,
            identity: None,
            lookup: None,
            metadata: None,
        }))
    }
}

impl Refusal {
    /// A refusal with something the operator will want to know. `detail` goes to the log alone; it must hold no
    /// token, key or secret. Whatever a client chose in it is escaped when it is written.
    #[must_use]
    pub fn because(reason: Reason, detail: impl Into<String>) -> Self {
        let mut refusal = Self::from(reason);
        refusal.0.detail = Some(detail.into());
        refusal
    }

    /// The same request, refused for another reason.
    #[must_use]
    pub(crate) fn instead(&self, reason: Reason, detail: impl Into<String>) -> Self {
        let mut refusal = self.clone();
        refusal.0.reason = reason;
        refusal.0.detail = Some(detail.into());
        refusal
    }

    /// How many bytes it takes, about.
    pub(crate) fn size(&self) -> usize {
        let Particulars { detail, realm, scope, metadata, .. } = &*self.0;
        let texts = [detail, realm, metadata, scope].into_iter().flatten().map(String::len);
        let own = size_of::<Self>().saturating_add(size_of::<Particulars>());
        texts.fold(own, usize::saturating_add)
    }

    /// Names the policy that refused, and the realm of its challenges, if it is one that challenges.
    #[must_use]
    pub(crate) fn under(mut self, policy: &str, realm: Option<&str>) -> Self {
        policy.clone_into(&mut self.0.policy);
        self.0.realm = realm.map(str::to_owned);
        self
    }

    /// Names the certificate that the client proved to hold.
    #[must_use]
    pub(crate) fn presenting(mut self, presented: Option<Thumbprint>) -> Self {
        self.0.presented = presented;
        self
    }

    /// Names the certificate that the token is bound to.
    #[must_use]
    pub(crate) fn expecting(mut self, expected: Thumbprint) -> Self {
        self.0.expected = Some(expected);
        self
    }

    /// Names whom the token is about. Its signature was verified.
    #[must_use]
    pub(crate) fn about(mut self, identity: Rc<Identity>) -> Self {
        self.0.identity = Some(identity);
        self
    }

    /// Says whether the token was verified before, if it was looked up.
    #[must_use]
    pub(crate) fn looked_up(mut self, lookup: Option<Lookup>) -> Self {
        self.0.lookup = lookup;
        self
    }

    /// What counters and access logs tell of it.
    #[must_use]
    pub fn decision(&self) -> Decision {
        let Particulars { reason, policy, presented, identity, lookup, .. } = &*self.0;
        Decision::new(policy, Verdict::Refused(*reason), *presented).about(identity.clone()).looked_up(*lookup)
    }

    /// What they tell of a request that is forwarded all the same, since its policy only observes.
    #[must_use]
    pub(crate) fn observed(self) -> Decision {
        self.decision().despite(self)
    }

    /// The name of the policy that refused; empty where none governs.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.0.policy
    }

    /// The certificate that the client proved to hold.
    #[must_use]
    pub fn presented(&self) -> Option<Thumbprint> {
        self.0.presented
    }

    /// The certificate that the token is bound to.
    #[must_use]
    pub fn expected(&self) -> Option<Thumbprint> {
        self.0.expected
    }

    /// Whom the token names, its signature being right.
    #[must_use]
    pub fn identity(&self) -> Option<&Identity> {
        self.0.identity.as_deref()
    }

    /// What else the operator will want to know. It may hold a client's text.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// Names the scopes that the request needs, for the challenge of [`Reason::ScopeInsufficient`].
    #[must_use]
    pub(crate) fn demanding(mut self, scope: String) -> Self {
        self.0.scope = Some(scope);
        self
    }

    /// Says where the metadata of the API is, for the challenge (RFC 9728 §5.1).
    #[must_use]
    pub(crate) fn described_at(mut self, metadata: Option<String>) -> Self {
        self.0.metadata = metadata;
        self
    }

    /// Says in which form the client reads the answer.
    #[must_use]
    pub(crate) fn to(mut self, caller: Caller) -> Self {
        self.0.caller = caller;
        self
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self.0.reason.answer() {
            Answer::Client(ErrorCode::InvalidRequest) => 400,
            // RFC 6749 §5.2.
            Answer::Client(ErrorCode::InvalidClient) => {
                if self.0.realm.is_some() {
                    401
                } else {
                    400
                }
            }
            Answer::Client(ErrorCode::InvalidToken) | Answer::Challenge => 401,
            Answer::Client(ErrorCode::InsufficientScope) => 403,
            Answer::Unknown => 404,
            Answer::Misdirected => 421,
            Answer::TooLarge => 431,
            Answer::Operator => 500,
            Answer::Later => 503,
        }
    }

    /// The gRPC status, where the caller speaks gRPC: it sees no HTTP status but 200.
    #[must_use]
    pub fn grpc_status(&self) -> Option<GrpcStatus> {
        (self.0.caller == Caller::Grpc).then(|| match self.0.reason.answer() {
            Answer::Client(ErrorCode::InvalidRequest) | Answer::TooLarge => GrpcStatus::InvalidArgument,
            Answer::Client(ErrorCode::InvalidToken | ErrorCode::InvalidClient) | Answer::Challenge => {
                GrpcStatus::Unauthenticated
            }
            Answer::Client(ErrorCode::InsufficientScope) => GrpcStatus::PermissionDenied,
            // It may try again on a connection of its own, which is what 421 says.
            Answer::Misdirected | Answer::Later => GrpcStatus::Unavailable,
            // What gRPC makes of a 404.
            Answer::Unknown => GrpcStatus::Unimplemented,
            Answer::Operator => GrpcStatus::Internal,
        })
    }

    /// The value of `WWW-Authenticate` (RFC 6750 §3). Nothing in it comes from the request.
    #[must_use]
    pub fn challenge(&self) -> Option<String> {
        let realm = self.0.realm.as_deref()?;
        let metadata = self.0.metadata.as_ref().map(|url| format!(", resource_metadata=\"{url}\"")).unwrap_or_default();
        match self.0.reason.answer() {
            Answer::Challenge => Some(format!("Bearer realm=\"{realm}\"{metadata}")),
            Answer::Client(ErrorCode::InvalidClient) => Some(format!("Basic realm=\"{realm}\"")),
            Answer::Client(code) => {
                let scope = self.0.scope.as_ref().map(|scope| format!(", scope=\"{scope}\"")).unwrap_or_default();
                Some(format!(
                    "Bearer realm=\"{realm}\", error=\"{}\", error_description=\"{}\"{scope}{metadata}",
                    code.name(),
                    self.0.reason.description()
                ))
            }
            Answer::Unknown | Answer::Misdirected | Answer::TooLarge | Answer::Operator | Answer::Later => None,
        }
    }

    /// The response headers besides the status.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = match self.0.caller {
            Caller::Http => {
                vec![("content-type", "application/json".to_owned()), ("cache-control", "no-store".to_owned())]
            }
            Caller::Grpc => vec![("grpc-message", self.0.reason.description().to_owned())],
        };
        if self.0.reason.answer() == Answer::Later {
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
        let description = self.0.reason.description();
        match self.0.reason.answer() {
            Answer::Challenge | Answer::Unknown | Answer::Misdirected => {
                format!("{{\"error_description\":\"{description}\"}}")
            }
            Answer::Client(code) => {
                format!("{{\"error\":\"{}\",\"error_description\":\"{description}\"}}", code.name())
            }
            Answer::TooLarge => format!("{{\"error\":\"invalid_request\",\"error_description\":\"{description}\"}}"),
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
    /// The proxy serves no such call.
    Unimplemented = 12,
    /// The proxy cannot decide.
    Internal = 13,
    /// Not on this connection.
    Unavailable = 14,
    /// No token, or none that is any good.
    Unauthenticated = 16,
}
