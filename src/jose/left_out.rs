// SPDX-License-Identifier: Apache-2.0

//! The keys of a key set that are not used here, and why.

use std::fmt;

use serde_json::Value;

use crate::text::quoted::Briefly;

/// The most keys that one line of the log names.
const MOST_TOLD: usize = 3;

/// The keys of a key set that verify no tokens here. Shown, they are only those with a fault, in one bounded line of ASCII.
#[derive(Clone, Debug, Default)]
pub struct LeftOut {
    keys: Vec<LeftOutKey>,
    /// How many keys the set has in all.
    of: usize,
}

/// A key that verifies no tokens here. Shown, it is bounded, and contains nothing of the key itself.
#[derive(Clone, Debug)]
pub(crate) struct LeftOutKey {
    /// Its place in the set, from 0.
    pub(crate) place: usize,
    pub(crate) key_id: KeyId,
    pub(crate) why: Why,
}

/// What a key has as its `kid`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyId {
    None,
    Text(String),
    /// A number, as it is written, or another value that is no text; empty if it is not known which.
    Other(String),
}

/// Why a key verifies no tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It says that it has another purpose, which is no fault.
    ForAnotherUse(String),
    /// It is broken, or of a kind that is not known here.
    Unusable(String),
    /// It is not public: whoever reads the set can make tokens.
    Secret(&'static str),
}

impl LeftOut {
    pub(crate) fn new(keys: Vec<LeftOutKey>, of: usize) -> Self {
        Self { keys, of }
    }

    /// Whether any of them has a fault. Another purpose is none.
    #[must_use]
    pub fn has_faults(&self) -> bool {
        self.faults().next().is_some()
    }

    /// Those with a fault. The secret ones come first, since they are the most urgent.
    fn faults(&self) -> impl Iterator<Item = &LeftOutKey> {
        let is_secret = |key: &&LeftOutKey| matches!(key.why, Why::Secret(_));
        let unusable = self.keys.iter().filter(|key| matches!(key.why, Why::Unusable(_)));
        self.keys.iter().filter(is_secret).chain(unusable)
    }

    pub(super) fn count_of_faults(&self) -> usize {
        self.faults().count()
    }

    /// Whether the same keys are left out for the same reasons, in any order: a server may change the order.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        let in_both = |key: &LeftOutKey| other.faults().any(|own| own.key_id == key.key_id && own.why == key.why);
        self.count_of_faults() == other.count_of_faults() && self.faults().all(in_both)
    }

    /// The key that a token names by its `kid`.
    pub(super) fn of_key_id(&self, key_id: &str) -> Option<&LeftOutKey> {
        self.keys.iter().find(|key| match &key.key_id {
            KeyId::Text(own) | KeyId::Other(own) => own == key_id,
            KeyId::None => false,
        })
    }

    pub(super) fn has_key_ids(&self) -> bool {
        self.keys.iter().any(|key| key.key_id != KeyId::None)
    }

    /// All of them, in the order of the set.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &LeftOutKey> {
        self.keys.iter()
    }
}

impl From<&Value> for KeyId {
    fn from(kid: &Value) -> Self {
        match kid {
            Value::Null => Self::None,
            Value::String(text) => Self::Text(text.clone()),
            other => Self::Other(other.to_string()),
        }
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.count_of_faults();
        write!(formatter, "{count} of {}", self.of)?;
        for (place, key) in self.faults().take(MOST_TOLD).enumerate() {
            write!(formatter, "{} {key}", if place == 0 { ":" } else { ";" })?;
        }
        match count.saturating_sub(MOST_TOLD) {
            0 => Ok(()),
            more => write!(formatter, "; and {more} more"),
        }
    }
}

impl fmt::Display for LeftOutKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "keys[{}], {}: {}", self.place, self.key_id, self.why)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => formatter.write_str("no kid"),
            Self::Text(text) => write!(formatter, "kid {}", Briefly(text)),
            Self::Other(json) if json.bytes().all(|byte| byte.is_ascii_graphic()) && (1..=20).contains(&json.len()) => {
                write!(formatter, "kid {json}")
            }
            Self::Other(_) => formatter.write_str("a kid that is no text"),
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForAnotherUse(why) | Self::Unusable(why) => formatter.write_str(why),
            Self::Secret(kind) => {
                write!(formatter, "it is a {kind} key, and published: whoever reads it can make tokens")
            }
        }
    }
}
