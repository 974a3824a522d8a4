// SPDX-License-Identifier: Apache-2.0

//! Why a request to an authorization server is not forwarded, or not yet.

use super::client_authentication::{UntilBody, UntilKeys};
use crate::keys::{FetchReason, KeySource};
use crate::outcome::refusal::Refusal;

/// Why the request is not forwarded, or not yet.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It is refused.
    Refused(Refusal),
    /// Its body must be read first.
    NeedsBody(Box<UntilBody>),
    /// Newer keys of its client must be fetched first. The judgement continues with these.
    NeedsKeys {
        /// Where they are published.
        source: Box<KeySource>,
        /// Why they are needed.
        why: FetchReason,
        /// The refusal, if there are no newer keys.
        refusal: Refusal,
        /// The refusal, if they cannot be fetched now.
        unavailable: Refusal,
        /// Where the judgement continues.
        until: Box<UntilKeys>,
    },
}

impl<T: Into<Refusal>> From<T> for Stop {
    fn from(refusal: T) -> Self {
        Self::Refused(refusal.into())
    }
}
