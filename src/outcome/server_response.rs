//! What became of the responses of an authorization server that were read.

use crate::certificate::thumbprint::Thumbprint;
use crate::reason::Reason;

/// An access token that is not bound to the certificate of its request, or an answer that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Why.
    pub reason: Reason,
    /// The client does not get it.
    pub is_withheld: bool,
    /// The certificate that the client proved to hold.
    pub presented: Option<Thumbprint>,
}

/// What became of an issued token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Passage {
    /// The client gets it.
    Forwarded,
    /// The client gets it, and would not under `required`.
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

/// What an answer of a token endpoint has in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum IssuanceOutcome {
    /// A JWT that is bound to the certificate of its request.
    Bound,
    /// A token that is no JWT: nobody can say here whether it is bound.
    Opaque,
    /// No access token.
    NoToken,
    /// A JWT that is not bound to that certificate, for this reason.
    NotBound(Reason),
    /// It is compressed, too large, or not one JSON object, or its token is meant for a JWT and is not strictly one.
    Unreadable,
    /// It was broken off before its end, by its server, by the client, or by a proxy that keeps no more of it.
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
            Self::NotBound(reason) => reason.name(),
            Self::Unreadable => "unreadable",
            Self::Interrupted => "interrupted",
        }
    }

    /// Why a client must not get it.
    #[must_use]
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::Bound | Self::Opaque | Self::NoToken | Self::Interrupted => None,
            Self::NotBound(reason) => Some(reason),
            Self::Unreadable => Some(Reason::TokenMalformed),
        }
    }
}

/// What became of an answer to a request for metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MetadataOutcome {
    /// It was added to.
    Rewritten,
    /// It said it already.
    Unchanged,
    /// Members of it stand in `signed_metadata` too (RFC 8414 §2.1), so they were left alone.
    Signed,
    /// It is no metadata: not one JSON object with an issuer, or its members have other types.
    Malformed,
    /// Its status is not 200.
    Status,
    /// It has no body: HEAD, say.
    NoBody,
    /// It came compressed all the same.
    Encoded,
    /// Its media type is not JSON's.
    NotJson,
    /// It is too large.
    TooLarge,
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
            Self::Interrupted => "interrupted",
        }
    }
}
