//! Where a request was judged: what its refusal, its metrics and its log lines say of it, whatever comes of it.

use std::borrow::Cow;

use crate::certificate::thumbprint::Thumbprint;
use crate::http::request::Caller;
use crate::outcome::decision::{Decision, Ground, Verdict};
use crate::outcome::forward::Passed;
use crate::outcome::refusal::Refusal;
use crate::outcome::refused::Refused;
use crate::reason::Reason;

/// What is known of a request before its policy judges it. It completes what the policy decides: that is done in one place, so
/// that no refusal forgets its caller or its challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scene<'p> {
    policy: Cow<'p, str>,
    caller: Caller,
    presented: Result<Option<Thumbprint>, Reason>,
    pub(super) challenge: Challenge<'p>,
}

impl Default for Scene<'_> {
    /// No policy governs, and the client presented no certificate.
    fn default() -> Self {
        Self::new("", Caller::Http, Ok(None))
    }
}

/// How a client is told to authenticate (RFC 9110 §11.6.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Challenge<'p> {
    /// It is not.
    #[default]
    None,
    /// With an access token (RFC 6750 §3).
    Bearer {
        /// The realm.
        realm: Cow<'p, str>,
        /// Where the metadata of the API is (RFC 9728 §5.1).
        resource_metadata: Option<Cow<'p, str>>,
    },
    /// In the header in which it tried (RFC 6749 §5.2). The realm is the policy's name.
    Basic,
}

impl Challenge<'_> {
    fn owned(&self) -> Challenge<'static> {
        let owned = |text: &Cow<'_, str>| Cow::Owned(text.to_string());
        match self {
            Self::None => Challenge::None,
            Self::Bearer { realm, resource_metadata } => {
                Challenge::Bearer { realm: owned(realm), resource_metadata: resource_metadata.as_ref().map(owned) }
            }
            Self::Basic => Challenge::Basic,
        }
    }
}

impl<'p> Scene<'p> {
    /// A request from this caller, under the policy of this name, empty where none governs, on a connection with this
    /// certificate, unless what the host says of that cannot be read.
    #[must_use]
    pub(crate) fn new(policy: &'p str, caller: Caller, presented: Result<Option<Thumbprint>, Reason>) -> Self {
        Self { policy: Cow::Borrowed(policy), caller, presented, challenge: Challenge::None }
    }

    /// The same, whose client is told how to authenticate.
    #[must_use]
    pub(crate) fn challenging(self, challenge: Challenge<'p>) -> Self {
        Self { challenge, ..self }
    }

    /// The policy's name; empty where none governs.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// In which form the client reads a response of ours.
    pub(super) fn caller(&self) -> Caller {
        self.caller
    }

    /// The certificate that the client proved to hold.
    #[must_use]
    pub fn presented(&self) -> Option<Thumbprint> {
        self.presented.ok().flatten()
    }

    /// The same.
    ///
    /// # Errors
    /// [`Reason::PeerDigestMalformed`] where what the host says of it cannot be read.
    pub(crate) fn certificate(&self) -> Result<Option<Thumbprint>, Reason> {
        self.presented
    }

    /// The same, for what outlives the policy's turn.
    #[must_use]
    pub(crate) fn owned(&self) -> Box<Scene<'static>> {
        let policy = Cow::Owned(self.policy().to_owned());
        Box::new(Scene { policy, caller: self.caller, presented: self.presented, challenge: self.challenge.owned() })
    }

    /// The request, refused.
    #[must_use]
    pub fn refused(&self, refusal: impl Into<Refusal>) -> Refused {
        Refused::new(self.owned(), refusal.into())
    }

    /// The request, which goes on without the headers that were removed from it.
    #[must_use]
    pub(crate) fn forwarded(&self, passed: Passed, forged_headers: u32) -> Decision {
        Decision::forwarded(self, passed, forged_headers)
    }

    /// The request, which gets a document of the filter's own.
    #[must_use]
    pub(crate) fn served(&self, ground: Ground) -> Decision {
        Decision::new(self, Verdict::Served(ground))
    }
}
