// SPDX-License-Identifier: Apache-2.0

//! The question for newer keys.

use super::{FetchReason, KeySource};
use crate::outcome::refused::Refused;

/// Asks for newer keys of a source than the request was judged with.
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

    /// Why they are needed.
    #[must_use]
    pub fn why(&self) -> FetchReason {
        self.why
    }

    /// The name of the policy that asks.
    #[must_use]
    pub fn policy(&self) -> &str {
        self.refused.policy()
    }

    /// The refusal, if newer keys cannot be fetched now.
    #[must_use]
    pub fn unavailable(self) -> Refused {
        self.unavailable
    }

    /// The refusal, if there are no newer keys, or the request cannot be decided with them either.
    #[must_use]
    pub fn refused(self) -> Refused {
        self.refused
    }
}
