// SPDX-License-Identifier: Apache-2.0

//! Points in time. Lengths of time are [`Duration`]s, so that seconds and milliseconds cannot be taken for each other.

use std::time::Duration;

/// A point in time, to the millisecond, since 1970-01-01T00:00:00Z without leap seconds: as a `NumericDate` counts
/// (RFC 7519 §2). Nothing here wraps: what would lie beyond the end of time is [`Self::MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime {
    milliseconds: u64,
}

impl UnixTime {
    /// The beginning of 1970.
    pub const EPOCH: Self = Self { milliseconds: 0 };

    /// The end of time.
    pub const MAX: Self = Self { milliseconds: u64::MAX };

    /// So many seconds after 1970 began.
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Self {
        Self { milliseconds: seconds.saturating_mul(1000) }
    }

    /// So many milliseconds after 1970 began.
    #[must_use]
    pub const fn from_milliseconds(milliseconds: u64) -> Self {
        Self { milliseconds }
    }

    /// So long after 1970 began.
    #[must_use]
    pub fn since_epoch(elapsed: Duration) -> Self {
        Self::EPOCH.saturating_add(elapsed)
    }

    /// Whole seconds since 1970 began.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.milliseconds / 1000
    }

    /// Whole milliseconds since 1970 began.
    #[must_use]
    pub const fn milliseconds(self) -> u64 {
        self.milliseconds
    }

    /// The time so much later.
    #[must_use]
    pub fn saturating_add(self, length: Duration) -> Self {
        Self { milliseconds: self.milliseconds.saturating_add(milliseconds(length)) }
    }

    /// How long ago an earlier time was; nothing where it was later.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.milliseconds.saturating_sub(earlier.milliseconds))
    }
}

/// Whole milliseconds.
#[must_use]
pub fn milliseconds(length: Duration) -> u64 {
    length.as_secs().saturating_mul(1000).saturating_add(length.subsec_millis().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_one_number_in_either_unit() {
        let time = UnixTime::from_milliseconds(1_700_000_000_999);
        assert_eq!((time.seconds(), time.milliseconds()), (1_700_000_000, 1_700_000_000_999));
        assert_eq!(UnixTime::from_seconds(1_700_000_000).milliseconds(), 1_700_000_000_000);
        assert_eq!(UnixTime::since_epoch(Duration::from_micros(1_999_999)).milliseconds(), 1999);
    }

    #[test]
    fn nothing_lies_beyond_the_end_of_time() {
        let millisecond = Duration::from_millis(1);
        assert_eq!(UnixTime::from_seconds(u64::MAX), UnixTime::MAX);
        assert_eq!(UnixTime::MAX.saturating_add(millisecond), UnixTime::MAX);
        assert_eq!(UnixTime::EPOCH.saturating_add(Duration::MAX), UnixTime::MAX);
        assert_eq!(UnixTime::EPOCH.saturating_since(UnixTime::MAX), Duration::ZERO);
        assert_eq!(UnixTime::MAX.saturating_since(UnixTime::EPOCH), Duration::from_millis(u64::MAX));
    }
}
