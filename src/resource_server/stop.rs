// SPDX-License-Identifier: Apache-2.0

//! Why a request to an API is not forwarded, or not yet.

use super::introspection::Inquiry;
use super::issuer::Issuer;
use crate::http::edit::Served;
use crate::keys::{FetchReason, KeySource};
use crate::outcome::refusal::Refusal;

/// Why the request is not forwarded, or not yet.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It is refused.
    Refused(Refusal),
    /// The client gets this document.
    Serve(Served),
    /// The issuer's keys are not here, or the one that the token needs is not. The request is judged again with newer keys. The
    /// refusal is for the case that there are none.
    NeedsKeys(Box<KeySource>, FetchReason, Refusal),
    /// The token must be introspected. The request is judged again with the outcome. The refusal is for the case that there is
    /// none.
    NeedsIntrospection(Inquiry, Refusal),
}

impl Stop {
    pub(super) fn needs_keys(source: &KeySource, why: FetchReason, refusal: Refusal) -> Self {
        Self::NeedsKeys(Box::new(source.clone()), why, refusal)
    }

    /// Stops for a token that no known key of its issuer verifies. The right key may be new, unless the token names a known
    /// one. The cool-down limits the fetches that made-up tokens can cause.
    pub(super) fn by_keys_of(issuer: &Issuer, is_named: bool, refusal: Refusal) -> Self {
        match issuer.key_source().filter(|_| !is_named) {
            Some(source) => Self::needs_keys(source, FetchReason::UnknownKey, refusal),
            None => Self::Refused(refusal),
        }
    }

    /// The refusal, if nothing is waited for.
    pub(super) fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) | Self::NeedsKeys(_, _, refusal) | Self::NeedsIntrospection(_, refusal) => {
                Some(refusal)
            }
            Self::Serve(_) => None,
        }
    }

    /// The same with a changed refusal.
    pub(super) fn map(self, more: impl FnOnce(Refusal) -> Refusal) -> Self {
        match self {
            Self::Refused(refusal) => Self::Refused(more(refusal)),
            Self::Serve(served) => Self::Serve(served),
            Self::NeedsKeys(source, why, refusal) => Self::NeedsKeys(source, why, more(refusal)),
            Self::NeedsIntrospection(inquiry, refusal) => Self::NeedsIntrospection(inquiry, more(refusal)),
        }
    }
}

impl<T: Into<Refusal>> From<T> for Stop {
    fn from(refusal: T) -> Self {
        Self::Refused(refusal.into())
    }
}
