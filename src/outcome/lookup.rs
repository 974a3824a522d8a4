// SPDX-License-Identifier: Apache-2.0

//! Whether a token was in the cache.

/// Whether a token was in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lookup {
    /// It was, and what verified it is still valid.
    Hit,
    /// It was not: it was verified now, or refused.
    Miss,
}

impl Lookup {
    /// The name in counters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
        }
    }
}
