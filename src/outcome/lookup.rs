//! Whether a token was verified before.

/// Whether a token was verified before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lookup {
    /// It was, and its key is still the issuer's.
    Hit,
    /// It was verified now, or could not be.
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
