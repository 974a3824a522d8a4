// SPDX-License-Identifier: Apache-2.0

//! What refusals, metrics and log lines say about a request, whatever the decision is.

use std::borrow::Cow;

use crate::certificate::thumbprint::Thumbprint;
use crate::http::auth_scheme::{AuthScheme, AuthSchemes};
use crate::http::request::Caller;
use crate::outcome::decision::{Decision, Ground, Verdict};
use crate::outcome::forward::Passed;
use crate::outcome::no_certificate::NoCertificate;
use crate::outcome::refusal::Refusal;
use crate::outcome::refused::Refused;
use crate::reason::Reason;

/// What is known about a request before its policy judges it. It completes the policy's decision. This is the only place that
/// does so, so that no refusal lacks its caller or its challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scene<'p> {
    policy: Cow<'p, str>,
    caller: Caller,
    presented: Result<Option<Thumbprint>, Reason>,
    why_none: Option<NoCertificate>,
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
    /// There is no challenge.
    #[default]
    None,
    /// With an access token.
    AccessToken(AccessTokenChallenge<'p>),
    /// With HTTP Basic, if the client used `Authorization` (RFC 6749 §5.2). The realm is the policy's name.
    Basic,
}

/// How a client is told to send an access token: a challenge for each scheme.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccessTokenChallenge<'p> {
    /// The realm, which is that of each.
    pub(crate) realm: Cow<'p, str>,
    /// The schemes that the policy accepts.
    pub(crate) schemes: AuthSchemes,
    /// The one in whose challenge an error is told.
    pub(crate) told_under: AuthScheme,
    /// The algorithms for DPoP proofs, with spaces between them (RFC 9449 §7.1).
    pub(crate) dpop_algorithms: Option<Cow<'p, str>>,
    /// Where the metadata of the API is (RFC 9728 §5.1).
    pub(crate) resource_metadata: Option<Cow<'p, str>>,
}

impl Challenge<'_> {
    fn owned(&self) -> Challenge<'static> {
        let owned = |text: &Cow<'_, str>| Cow::Owned(text.to_string());
        match self {
            Self::None => Challenge::None,
            Self::AccessToken(challenge) => Challenge::AccessToken(AccessTokenChallenge {
                realm: owned(&challenge.realm),
                dpop_algorithms: challenge.dpop_algorithms.as_ref().map(owned),
                resource_metadata: challenge.resource_metadata.as_ref().map(owned),
                schemes: challenge.schemes,
                told_under: challenge.told_under,
            }),
            Self::Basic => Challenge::Basic,
        }
    }
}

impl AccessTokenChallenge<'_> {
    /// The challenges, in the order of their schemes. `error` is what is told of an error.
    pub(super) fn of_each_scheme(&self, error: &str) -> Vec<String> {
        let parameter = |name: &str, value: &Option<Cow<'_, str>>| {
            value.as_ref().map(|value| format!(", {name}=\"{value}\"")).unwrap_or_default()
        };
        let metadata = parameter("resource_metadata", &self.resource_metadata);
        let challenge = |scheme: AuthScheme| {
            let error = if scheme == self.told_under { error } else { "" };
            let proofs = match scheme {
                AuthScheme::Dpop => parameter("algs", &self.dpop_algorithms),
                AuthScheme::Bearer | AuthScheme::MtlsPop => String::new(),
            };
            format!("{} realm=\"{}\"{error}{proofs}{metadata}", scheme.name(), self.realm)
        };
        self.schemes.iter().map(challenge).collect()
    }
}

impl<'p> Scene<'p> {
    /// A request from this caller, under the policy of this name (empty if none governs), and the certificate that the client
    /// presented; `Err` if the host's digest of that cannot be read.
    #[must_use]
    pub(crate) fn new(policy: &'p str, caller: Caller, presented: Result<Option<Thumbprint>, Reason>) -> Self {
        Self { policy: Cow::Borrowed(policy), caller, presented, why_none: None, challenge: Challenge::None }
    }

    /// The same, where a certificate is there that does not count as the client's.
    #[must_use]
    pub(crate) fn without_certificate(self, why_none: Option<NoCertificate>) -> Self {
        Self { why_none, ..self }
    }

    /// Why a certificate that is there does not count as the client's.
    pub(crate) fn why_none(&self) -> Option<NoCertificate> {
        self.why_none
    }

    /// The same, with a challenge.
    #[must_use]
    pub(crate) fn challenging(self, challenge: Challenge<'p>) -> Self {
        Self { challenge, ..self }
    }

    /// The policy's name; empty where none governs.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// The kind of client.
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
    /// [`Reason::PeerDigestMalformed`] if the host's digest of it cannot be read.
    pub(crate) fn certificate(&self) -> Result<Option<Thumbprint>, Reason> {
        self.presented
    }

    /// A copy that does not borrow from the policy.
    #[must_use]
    pub(crate) fn owned(&self) -> Box<Scene<'static>> {
        let policy = Cow::Owned(self.policy().to_owned());
        let (caller, presented, why_none) = (self.caller, self.presented, self.why_none);
        Box::new(Scene { policy, caller, presented, why_none, challenge: self.challenge.owned() })
    }

    /// Refuses the request.
    #[must_use]
    pub fn refused(&self, refusal: impl Into<Refusal>) -> Refused {
        let refusal = refusal.into();
        Refused::new(self.owned(), self.why_none.into_iter().fold(refusal, Refusal::for_want_of_certificate))
    }

    /// Forwards the request, from which so many forged headers are removed.
    #[must_use]
    pub(crate) fn forwarded(&self, passed: Passed, forged_headers: u32) -> Decision {
        Decision::forwarded(self, passed, forged_headers)
    }

    /// Answers the request with a document of the filter's own.
    #[must_use]
    pub(crate) fn served(&self, ground: Ground) -> Decision {
        Decision::new(self, Verdict::Served(ground))
    }
}
