// SPDX-License-Identifier: Apache-2.0

//! The outcomes of reading an authorization server's responses.

use std::rc::Rc;

use crate::certificate::thumbprint::Thumbprint;
use crate::outcome::identity::Identity;
use crate::reason::Reason;

/// A token response with an access token that is not bound to the certificate of its request, or one that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Why.
    pub reason: Reason,
    /// Whether the client does not get it.
    pub is_withheld: bool,
    /// The certificate that the client proved to hold.
    pub presented: Option<Thumbprint>,
    /// The certificate that the token is bound to.
    pub expected: Option<Thumbprint>,
    /// What was seen, in words of our own; empty if the reason says it all.
    pub detail: &'static str,
    /// Whom the token names; `None` if it cannot be read.
    pub identity: Option<Rc<Identity>>,
}

/// What a token response contains, with what the log says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) outcome: IssuanceOutcome,
    /// The certificate that the token is bound to, if that is another one than was presented.
    pub(crate) expected: Option<Thumbprint>,
    /// As [`Finding::detail`].
    pub(crate) detail: &'static str,
    /// Whom the token names, if it is not bound.
    pub(crate) identity: Option<Rc<Identity>>,
}

impl Judged {
    pub(crate) fn unreadable(detail: &'static str) -> Self {
        Self { outcome: IssuanceOutcome::Unreadable, expected: None, detail, identity: None }
    }
}

impl From<IssuanceOutcome> for Judged {
    fn from(outcome: IssuanceOutcome) -> Self {
        Self { outcome, expected: None, detail: "", identity: None }
    }
}

/// Whether an issued token reaches the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Passage {
    /// The client gets it.
    Forwarded,
    /// The client gets it, but would not under `required`.
    Observed,
    /// The client does not get it.
    Withheld,
}

impl Passage {
    /// The name in counters: `snake_case`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Observed => "observed",
            Self::Withheld => "withheld",
        }
    }
}

/// What a token response contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IssuanceOutcome {
    /// A JWT that is bound to the certificate of its request.
    Bound,
    /// A token that is not a JWT: whether it is bound cannot be seen.
    Opaque,
    /// No access token.
    NoToken,
    /// A JWT that is not bound, of a client whose tokens need not be.
    UnboundClient,
    /// A JWT that is not bound to that certificate, for this reason.
    NotBound(Reason),
    /// It is compressed, too large, or not one JSON object; or its token looks like a JWT and is not strictly one.
    Unreadable,
    /// The server, the client or a proxy broke it off before its end.
    Interrupted,
}

impl IssuanceOutcome {
    /// The name in counters and logs: `snake_case`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bound => "bound",
            Self::Opaque => "opaque",
            Self::NoToken => "no_token",
            Self::UnboundClient => "unbound_client",
            Self::NotBound(reason) => reason.name(),
            Self::Unreadable => "unreadable",
            Self::Interrupted => "interrupted",
        }
    }

    /// Why a client must not get it under `required`.
    #[must_use]
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::Bound | Self::UnboundClient | Self::Opaque | Self::NoToken | Self::Interrupted => None,
            Self::NotBound(reason) => Some(reason),
            Self::Unreadable => Some(Reason::TokenMalformed),
        }
    }
}

/// The outcome of a response to a request for metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetadataOutcome {
    /// Members were added.
    Rewritten,
    /// It had all the members already.
    Unchanged,
    /// Some members are in `signed_metadata` too (RFC 8414 §2.1), so they were not changed.
    Signed,
    /// It is not metadata: not one JSON object with an issuer, or its members have other types.
    Malformed,
    /// Its status is not 200.
    Status,
    /// It has no body, as after HEAD.
    NoBody,
    /// It is compressed.
    Encoded,
    /// Its media type is not JSON's.
    NotJson,
    /// It is too large.
    TooLarge,
    /// The proxy did not give all of it.
    NotGiven,
    /// It was broken off before its end.
    Interrupted,
}

impl MetadataOutcome {
    /// Every outcome there is.
    pub const ALL: &[Self] = &[
        Self::Rewritten,
        Self::Unchanged,
        Self::Signed,
        Self::Malformed,
        Self::Status,
        Self::NoBody,
        Self::Encoded,
        Self::NotJson,
        Self::TooLarge,
        Self::NotGiven,
        Self::Interrupted,
    ];

    /// The name in counters: `snake_case`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rewritten => "rewritten",
            Self::Unchanged => "unchanged",
            Self::Signed => "signed",
            Self::Malformed => "malformed",
            Self::Status => "status",
            Self::NoBody => "no_body",
            Self::Encoded => "encoded",
            Self::NotJson => "not_json",
            Self::TooLarge => "too_large",
            Self::NotGiven => "not_given",
            Self::Interrupted => "interrupted",
        }
    }
}
