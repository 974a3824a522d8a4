// SPDX-License-Identifier: Apache-2.0

//! Limits how many refusals get a line in the log. The others are counted, so that a flood does not fill the log and no refusal
//! is missing from it.

use std::time::Duration;

use serde::Deserialize;

use crate::collections::sorted_map::SortedMap;
use crate::outcome::log::NotLogged;
use crate::reason::Reason;
use crate::time::UnixTime;

/// Each policy and reason has its own interval, which begins with a refusal.
const INTERVAL: Duration = Duration::from_secs(60);

/// How many lines one policy and reason get in a minute, in each VM: 1 to 10000; default: 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "u64")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema, serde::Serialize), schemars(!try_from))]
pub struct LinesPerMinute(#[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1, max = 10_000)))] u64);

impl Default for LinesPerMinute {
    fn default() -> Self {
        Self(10)
    }
}

impl TryFrom<u64> for LinesPerMinute {
    type Error = &'static str;

    fn try_from(lines: u64) -> Result<Self, Self::Error> {
        if (1..=10_000).contains(&lines) { Ok(Self(lines)) } else { Err("there are 1 to 10000 lines in a minute") }
    }
}

/// How many refusals of the last minute were written and how many were not, for each policy and reason.
#[derive(Debug)]
pub struct RefusalLog {
    limit: LinesPerMinute,
    /// By policy and reason.
    intervals: SortedMap<(String, Reason), Interval>,
    /// When the first interval with unwritten refusals ends; [`UnixTime::MAX`] if there is none.
    due: UnixTime,
    /// When [`Self::overdue`] was called last.
    asked: UnixTime,
}

#[derive(Debug)]
struct Interval {
    began: UnixTime,
    written: u64,
    not_written: u64,
}

impl Interval {
    /// An interval is over, too, if the clock was set back.
    fn is_over(&self, now: UnixTime) -> bool {
        now < self.began || now.saturating_since(self.began) >= INTERVAL
    }
}

impl RefusalLog {
    /// A log without refusals.
    #[must_use]
    pub fn new(limit: LinesPerMinute) -> Self {
        Self { limit, intervals: SortedMap::default(), due: UnixTime::MAX, asked: UnixTime::EPOCH }
    }

    /// Whether this refusal gets a line; otherwise it is counted. Call [`Self::overdue`] first.
    #[must_use]
    pub fn admits(&mut self, policy: &str, reason: Reason, now: UnixTime) -> bool {
        let key = (policy.to_owned(), reason);
        if self.intervals.get(&key).is_none_or(|interval| interval.is_over(now) && interval.not_written == 0) {
            self.intervals.insert(key.clone(), Interval { began: now, written: 0, not_written: 0 });
        }
        let Some(interval) = self.intervals.get_mut(&key) else { return true };
        if interval.written < self.limit.0 {
            interval.written = interval.written.saturating_add(1);
            return true;
        }
        interval.not_written = interval.not_written.saturating_add(1);
        self.due = self.due.min(interval.began.saturating_add(INTERVAL));
        false
    }

    /// The unwritten refusals of the intervals that are over; each is returned once. Call it at every request: usually it costs
    /// two comparisons.
    #[must_use]
    pub fn overdue(&mut self, now: UnixTime) -> Vec<NotLogged> {
        let set_back = now < self.asked;
        self.asked = now;
        if now < self.due && !set_back {
            return Vec::new();
        }
        self.due = UnixTime::MAX;
        let mut found = Vec::new();
        self.intervals.retain(|(policy, reason), interval| {
            if interval.not_written == 0 {
                return true;
            }
            let over = interval.is_over(now);
            if over {
                found.push(NotLogged { policy: policy.clone(), reason: *reason, count: interval.not_written });
            } else {
                self.due = self.due.min(interval.began.saturating_add(INTERVAL));
            }
            !over
        });
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Reason = Reason::CertificateMismatch;
    const B: Reason = Reason::TokenMissing;

    fn log(lines: u64) -> RefusalLog {
        RefusalLog::new(LinesPerMinute::try_from(lines).unwrap())
    }

    fn at(second: u64) -> UnixTime {
        UnixTime::from_seconds(second)
    }

    fn not_logged(policy: &str, reason: Reason, count: u64) -> NotLogged {
        NotLogged { policy: policy.to_owned(), reason, count }
    }

    /// How many of these refusals are written.
    fn written(log: &mut RefusalLog, policy: &str, reason: Reason, second: u64, count: usize) -> usize {
        (0..count).filter(|_| log.admits(policy, reason, at(second))).count()
    }

    #[test]
    fn a_flood_gets_its_lines_and_its_rest_is_told_when_the_minute_is_over() {
        let mut log = log(10);
        assert_eq!(written(&mut log, "api", A, 1000, 1000), 10);
        assert_eq!(log.overdue(at(1059)), []);
        assert_eq!(log.overdue(at(1060)), [not_logged("api", A, 990)]);
        assert_eq!(log.overdue(at(1060)), []);
        assert_eq!(written(&mut log, "api", A, 1060, 11), 10);
        assert_eq!(log.overdue(at(5000)), [not_logged("api", A, 1)]);
    }

    #[test]
    fn the_first_of_each_policy_and_reason_is_always_written() {
        let mut log = log(1);
        for policy in ["", "a", "b"] {
            for reason in Reason::ALL {
                assert!(log.admits(policy, *reason, at(7)) && !log.admits(policy, *reason, at(7)), "{policy} {reason}");
            }
        }
        let told = log.overdue(at(67));
        assert_eq!(told.len(), 3 * Reason::ALL.len());
        assert!(told.iter().all(|not_logged| not_logged.count == 1));
    }

    #[test]
    fn each_interval_ends_in_its_own_time() {
        let mut log = log(1);
        assert_eq!(written(&mut log, "api", A, 0, 3), 1);
        assert_eq!(written(&mut log, "api", B, 30, 4), 1);
        assert_eq!(log.overdue(at(60)), [not_logged("api", A, 2)]);
        assert_eq!(log.overdue(at(89)), []);
        assert_eq!(log.overdue(at(90)), [not_logged("api", B, 3)]);
    }

    #[test]
    fn what_was_written_in_full_has_nothing_to_tell() {
        let mut log = log(2);
        for minute in 0..5 {
            assert_eq!(written(&mut log, "api", A, minute * 60, 2), 2);
            assert_eq!(log.overdue(at(minute * 60 + 60)), []);
        }
    }

    #[test]
    fn no_refusal_is_lost_whatever_the_clock_does() {
        let mut log = log(3);
        let (mut written, mut told) = (0_u64, 0);
        for now in [100, 100, 100, 100, 50, 50, 0, 200, 200, u64::MAX, u64::MAX, u64::MAX, u64::MAX, u64::MAX, 10, 400]
        {
            told += log.overdue(at(now)).iter().map(|not_logged| not_logged.count).sum::<u64>();
            written += u64::from(log.admits("api", A, at(now)));
        }
        told += log.overdue(at(460)).iter().map(|not_logged| not_logged.count).sum::<u64>();
        assert_eq!(written + told, 16);
    }

    #[test]
    fn a_limit_is_1_to_10000() {
        for (lines, right) in [(0, false), (1, true), (10_000, true), (10_001, false)] {
            assert_eq!(LinesPerMinute::try_from(lines).is_ok(), right, "{lines}");
        }
    }
}
