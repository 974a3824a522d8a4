//! Why the judgement of a request to an authorization server stops before it goes on.

use super::client_authentication::{UntilBody, UntilKeys};
use crate::keys::{FetchReason, KeySource};
use crate::outcome::refusal::Refusal;

/// Why it stops.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It is refused.
    Refused(Refusal),
    /// Its body is to be read.
    NeedsBody(Box<UntilBody>),
    /// Newer keys of its client are to be fetched, and it goes on with these.
    NeedsKeys {
        /// Where they are.
        source: Box<KeySource>,
        /// Why they are wanted.
        why: FetchReason,
        /// What it comes to where there are no newer ones.
        refusal: Refusal,
        /// What it comes to where nobody can look.
        unavailable: Refusal,
        /// Where it goes on.
        until: Box<UntilKeys>,
    },
}

impl<T: Into<Refusal>> From<T> for Stop {
    fn from(refusal: T) -> Self {
        Self::Refused(refusal.into())
    }
}
