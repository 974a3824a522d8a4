//! The question for newer keys.

use super::{KeySource, Wish};
use crate::outcome::refused::Refused;

/// The question for keys of a source that are newer than those which the judgement was given.
#[derive(Debug)]
pub struct AskKeys {
    pub(crate) source: KeySource,
    pub(crate) wish: Wish,
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
    pub fn wish(&self) -> Wish {
        self.wish
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
