//! The question for newer keys.

use super::{FetchReason, KeySource};
use crate::outcome::refused::Refused;

/// The question for keys of a source that are newer than those which the judgement was given.
#[derive(Debug)]
pub struct AskKeys {
    pub(crate) source: KeySource,
    pub(crate) why: FetchReason,
    pub(crate) refused: Refused,
    pub(crate) unavailable: Refused,
}

impl AskKeys {
    /// Where the keys come from.
    #[must_use]
    pub fn source(&self) -> &KeySource {
        &self.source
    }

    /// Why they are wanted.
    #[must_use]
    pub fn why(&self) -> FetchReason {
        self.why
    }

    /// The name of the policy that asks.
    #[must_use]
    pub fn policy(&self) -> &str {
        self.refused.policy()
    }

    /// What the request comes to where nobody can look whether there are newer keys.
    #[must_use]
    pub fn unavailable(self) -> Refused {
        self.unavailable
    }

    /// What the request comes to where there are no newer keys, or these do not help either.
    #[must_use]
    pub fn refused(self) -> Refused {
        self.refused
    }
}
