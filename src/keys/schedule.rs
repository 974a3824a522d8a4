// SPDX-License-Identifier: Apache-2.0

//! When keys are fetched, as the VMs of a process agree on it.
//!
//! Every worker of a proxy has a VM of its own, and each would fetch. So they share one small record for each source: the VM that
//! changes it first fetches, and the others take over its keys. The fetching VM extends its lease again and again, so that
//! nothing waits for a VM that is gone.
//!
//! The clock may be set back. So a time in the record is ignored if it lies further ahead than a VM can have set it.

use std::time::Duration;

use crate::keys::source::KeySource;
use crate::time::{UnixTime, milliseconds};

/// In milliseconds. After a failure the next fetch is 1 second later, then 2, 4, ... up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A fetch whose lease was not extended for so long counts as lost.
const LEASE: Duration = Duration::from_secs(1);

/// When half of it is over it is extended.
const HALF_A_LEASE: Duration = Duration::from_millis(500);

/// Unknown keys may cause so many fetches in a row. After each cool-down they may cause one more.
const BURST: u64 = 3;

/// The shared record of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// Grows with every key set that was fetched; 0 before the first. It is the time of the last good fetch in milliseconds since
    /// 1970, or more where clocks went back.
    pub version: u64,
    /// When the next fetch is due.
    due: UnixTime,
    /// Fetches that unknown keys have caused, less one for each cool-down since.
    hurried: u64,
    /// When the present cool-down began.
    cooling_since: UnixTime,
    /// A fetch is under way until then.
    lease: UnixTime,
    /// Fetches that have failed since the last success.
    failures: u64,
    /// Nothing is fetched until then, since the last fetch failed.
    paused: UnixTime,
}

/// Why keys are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchReason {
    /// It is time for fresh keys, or there are none yet.
    Routine,
    /// A token names an unknown key, or names none and no known key verifies it.
    UnknownKey,
}

impl Schedule {
    /// Reads the shared record. Without one, or with one that cannot be read, nothing was fetched yet.
    #[must_use]
    pub fn read(record: Option<&[u8]>) -> Self {
        let Some((numbers, [])) = record.map(|record| record.as_chunks::<8>()) else { return Self::default() };
        let Ok(numbers) = <[[u8; 8]; 7]>::try_from(numbers) else { return Self::default() };
        let [version, due, hurried, cooling_since, lease, failures, paused] = numbers.map(u64::from_le_bytes);
        let [due, cooling_since, lease, paused] = [due, cooling_since, lease, paused].map(UnixTime::from_milliseconds);
        Self { version, due, hurried, cooling_since, lease, failures, paused }
    }

    /// The record to share.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let Self { version, hurried, failures, .. } = *self;
        let times = [self.due, self.cooling_since, self.lease, self.paused];
        let [due, cooling_since, lease, paused] = times.map(UnixTime::milliseconds);
        [version, due, hurried, cooling_since, lease, failures, paused].map(u64::to_le_bytes).concat()
    }

    /// Whether a fetch is under way somewhere in this process.
    #[must_use]
    pub fn is_under_way(&self, now: UnixTime) -> bool {
        is_within(now, self.lease, LEASE)
    }

    /// Whether nothing is fetched for now, since the last fetch failed.
    #[must_use]
    pub fn is_paused(&self, now: UnixTime) -> bool {
        is_within(now, self.paused, LONGEST_PAUSE) && !self.is_under_way(now)
    }

    /// Whether a fetch is due under this source's limits. The last one may have been made under wider limits.
    fn is_due(&self, source: &KeySource, now: UnixTime) -> bool {
        let last = UnixTime::from_milliseconds(self.version);
        let due = self.due.min(last.saturating_add(source.longest_pause()));
        // A version may be a few milliseconds ahead of its time.
        !is_within(now, due, source.longest_pause().saturating_add(LEASE))
    }

    /// Whether a fetch may begin now.
    #[must_use]
    pub fn permits(&self, source: &KeySource, why: FetchReason, now: UnixTime) -> bool {
        let may_hurry = why == FetchReason::UnknownKey && self.hurried(source, now).0 < BURST;
        !self.is_under_way(now) && !self.is_paused(now) && (self.is_due(source, now) || may_hurry)
    }

    /// How many of the fetches that unknown keys caused still count under this source's cool-down, and when the present cool-down
    /// began.
    fn hurried(&self, source: &KeySource, now: UnixTime) -> (u64, UnixTime) {
        let (elapsed, cool_down) = (now.saturating_since(self.cooling_since), source.cool_down());
        let cooled = milliseconds(elapsed).checked_div(milliseconds(cool_down)).unwrap_or(u64::MAX);
        match self.hurried.saturating_sub(cooled) {
            0 => (0, now),
            left => {
                let cooled_for = cool_down.saturating_mul(u32::try_from(cooled).unwrap_or(u32::MAX));
                (left, self.cooling_since.saturating_add(cooled_for))
            }
        }
    }

    /// The record of a VM that begins a fetch. The VM may fetch only if it is the first to share the changed record.
    #[must_use]
    pub fn begun(self, source: &KeySource, why: FetchReason, now: UnixTime) -> Self {
        let begun = Self { lease: now.saturating_add(LEASE), ..self };
        // A fetch that is due anyway does not count as caused by a token.
        if why == FetchReason::Routine || self.is_due(source, now) {
            return begun;
        }
        let (hurried, cooling_since) = self.hurried(source, now);
        Self { hurried: hurried.saturating_add(1), cooling_since, ..begun }
    }

    /// When the fetch under way counts as lost, unless its VM extends the lease.
    #[must_use]
    pub fn lease(&self) -> UnixTime {
        self.lease
    }

    /// The record of a VM that still fetches, once half of its lease is over; `None` if it is too early, or if another VM has
    /// begun a fetch.
    #[must_use]
    pub fn extended(self, lease: UnixTime, now: UnixTime) -> Option<Self> {
        let is_time = now.saturating_add(HALF_A_LEASE) >= lease;
        (is_time && self.lease == lease).then(|| Self { lease: now.saturating_add(LEASE), ..self })
    }

    /// The record of a VM that gives its fetch up.
    #[must_use]
    pub fn given_up(self, lease: UnixTime) -> Option<Self> {
        (self.lease == lease).then_some(Self { lease: UnixTime::EPOCH, ..self })
    }

    /// The record after a fetch that succeeded. The next one is due after `pause`.
    #[must_use]
    pub fn succeeded(self, pause: Duration, now: UnixTime) -> Self {
        Self {
            // Greater than every version before, even if the record was lost.
            version: now.milliseconds().max(self.version.saturating_add(1)),
            due: now.saturating_add(pause),
            lease: UnixTime::EPOCH,
            failures: 0,
            paused: UnixTime::EPOCH,
            ..self
        }
    }

    /// The record after a fetch that failed. It does not change when the next one is due.
    #[must_use]
    pub fn failed(self, now: UnixTime) -> Self {
        let doubled = u32::try_from(self.failures).ok().and_then(|failures| 1_u32.checked_shl(failures));
        let pause = doubled.map_or(LONGEST_PAUSE, |seconds| Duration::from_secs(seconds.into()));
        Self {
            paused: now.saturating_add(pause.clamp(Duration::from_secs(1), LONGEST_PAUSE)),
            lease: UnixTime::EPOCH,
            failures: self.failures.saturating_add(1).min(10),
            ..self
        }
    }
}

/// Whether this time is still to come, and no later than `longest` from now.
fn is_within(now: UnixTime, time: UnixTime, longest: Duration) -> bool {
    now < time && time <= now.saturating_add(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A_DAY: Duration = Duration::from_secs(86_400);

    fn at(milliseconds: u64) -> UnixTime {
        UnixTime::from_milliseconds(milliseconds)
    }

    fn with_cool_down(seconds: u64) -> KeySource {
        let fields = format!(r#"{{"jwks_uri": "https://as/jwks", "cluster": "as", "cool_down_seconds": {seconds}}}"#);
        match serde_json::from_str::<crate::keys::KeysFields>(&fields).unwrap().of_issuer(Some("https://as")).unwrap() {
            crate::keys::Keys::Fetched(source) => source,
            _ => panic!("these are fetched"),
        }
    }

    fn source() -> KeySource {
        with_cool_down(30)
    }

    /// As another VM makes of the record what this one wrote.
    fn shared(schedule: Schedule) -> Schedule {
        Schedule::read(Some(&schedule.write()))
    }

    /// A record whose numbers tell its members apart.
    fn numbered() -> Schedule {
        let (due, cooling_since, lease, paused) = (at(2), at(4), at(5), at(7));
        Schedule { version: 1, due, hurried: 3, cooling_since, lease, failures: 6, paused }
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_anything_else_is_none() {
        let schedule = numbered();
        assert_eq!(shared(schedule), schedule);
        for wrong in [None, Some(&b""[..]), Some(&[0; 55]), Some(&[0; 57]), Some(&[0; 48])] {
            assert_eq!(Schedule::read(wrong), Schedule::default());
        }
    }

    /// Another version of certbound in the same process reads what this one writes: whoever changes these bytes changes
    /// the format's number in `worker::keys`.
    #[test]
    fn the_bytes_of_a_record_are_those_of_this_format() {
        let schedule = numbered();
        assert_eq!(schedule.write(), [1_u64, 2, 3, 4, 5, 6, 7].map(u64::to_le_bytes).concat());
    }

    #[test]
    fn one_fetch_at_a_time_and_a_vm_that_is_gone_stops_none() {
        let source = source();
        for why in [FetchReason::Routine, FetchReason::UnknownKey] {
            assert!(Schedule::default().permits(&source, why, at(1_000)));
            let begun = shared(Schedule::default().begun(&source, why, at(1_000)));
            assert!(!begun.permits(&source, why, at(1_001)) && begun.is_under_way(at(1_999)));
            assert!(begun.permits(&source, why, at(2_000)));
        }
    }

    #[test]
    fn who_still_fetches_says_so_before_its_lease_ends_and_nobody_else_does() {
        let begun = Schedule::default().begun(&source(), FetchReason::Routine, at(1_000));
        assert_eq!(begun.extended(begun.lease(), at(1_499)), None);
        let extended = begun.extended(begun.lease(), at(1_500)).unwrap();
        assert!(extended.is_under_way(at(2_499)));
        assert_eq!(extended.extended(begun.lease(), at(2_000)), None, "another VM has begun");
        assert_eq!(extended.given_up(begun.lease()), None);
        assert!(!extended.given_up(extended.lease()).unwrap().is_under_way(at(1_501)));
    }

    #[test]
    fn unknown_keys_cause_three_fetches_at_once_and_one_in_a_cool_down() {
        let source = source();
        let mut schedule = Schedule::default().begun(&source, FetchReason::Routine, at(0)).succeeded(A_DAY, at(0));
        let mut fetched = Vec::new();
        for second in 0..150 {
            let now = UnixTime::from_seconds(second);
            if schedule.permits(&source, FetchReason::UnknownKey, now) {
                fetched.push(second);
                schedule = shared(schedule.begun(&source, FetchReason::UnknownKey, now)).succeeded(A_DAY, now);
            }
        }
        assert_eq!(fetched, [0, 1, 2, 30, 60, 90, 120]);
    }

    #[test]
    fn a_routine_fetch_starts_no_cool_down() {
        let source = source();
        let mut schedule = Schedule::default();
        for fetch in 0..10 {
            let now = UnixTime::from_seconds(fetch * 60);
            assert!(schedule.permits(&source, FetchReason::Routine, now));
            schedule =
                shared(schedule.begun(&source, FetchReason::Routine, now)).succeeded(Duration::from_secs(60), now);
            assert_eq!(schedule.hurried, 0);
            assert!(schedule.permits(&source, FetchReason::UnknownKey, now.saturating_add(Duration::from_millis(1))));
        }
        // A fetch that is due costs no token's share, whoever waits for it.
        assert_eq!(schedule.begun(&source, FetchReason::UnknownKey, at(600_000)).hurried, 0);
    }

    #[test]
    fn of_two_cool_downs_the_shorter_one_counts() {
        let (long, short) = (with_cool_down(3600), with_cool_down(1));
        let mut schedule = Schedule::default().succeeded(A_DAY, at(0));
        for _ in 0..3 {
            schedule = shared(schedule.begun(&long, FetchReason::UnknownKey, at(0))).succeeded(A_DAY, at(0));
        }
        assert!(!schedule.permits(&long, FetchReason::UnknownKey, at(1_000)));
        assert!(schedule.permits(&short, FetchReason::UnknownKey, at(1_000)));
    }

    #[test]
    fn a_clock_that_is_set_back_holds_up_no_fetch() {
        let (source, now) = (source(), UnixTime::from_seconds(1_000_000));
        let back = UnixTime::from_seconds(1_000_000 - 86_400);
        let fetched =
            Schedule::default().begun(&source, FetchReason::Routine, now).succeeded(Duration::from_secs(450), now);
        for (name, schedule) in [
            ("under way", Schedule::default().begun(&source, FetchReason::Routine, now)),
            ("failed", Schedule::default().failed(now)),
            ("fetched", fetched),
        ] {
            for why in [FetchReason::Routine, FetchReason::UnknownKey] {
                assert!(shared(schedule).permits(&source, why, back), "{name} {why:?}");
            }
            assert!(!schedule.is_under_way(back) && !schedule.is_paused(back), "{name}");
        }
        // What was fetched since then is due as always.
        let fetched = fetched.begun(&source, FetchReason::Routine, back).succeeded(Duration::from_secs(450), back);
        assert!(!fetched.permits(&source, FetchReason::Routine, at(back.milliseconds() + 449_999)));
        assert!(fetched.permits(&source, FetchReason::Routine, at(back.milliseconds() + 450_000)));
    }

    #[test]
    fn failures_are_followed_by_longer_and_longer_pauses() {
        let mut schedule = Schedule::default();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let now = schedule.paused;
            schedule = schedule.failed(now);
            pauses.push(schedule.paused.saturating_since(now).as_secs());
            for why in [FetchReason::Routine, FetchReason::UnknownKey] {
                assert!(!schedule.permits(&source(), why, at(schedule.paused.milliseconds() - 1)));
                assert!(schedule.permits(&source(), why, schedule.paused));
            }
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
        let now = schedule.paused;
        assert_eq!(
            schedule.succeeded(Duration::ZERO, now).failed(now).paused,
            now.saturating_add(Duration::from_secs(1))
        );
    }

    #[test]
    fn a_fetch_that_a_token_caused_and_that_failed_changes_nothing_of_what_is_due() {
        let fetched = Schedule::default().succeeded(Duration::from_secs(450), at(0));
        let failed = fetched.begun(&source(), FetchReason::UnknownKey, at(1_000)).failed(at(2_000));
        assert_eq!(failed.due, at(450_000));
        assert!(!failed.permits(&source(), FetchReason::Routine, at(449_999)));
    }
}
