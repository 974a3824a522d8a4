//! When keys are fetched, as the VMs of a process agree on it.
//!
//! Every worker of a proxy has a VM of its own, and each would fetch. So they share one small record for each source: the VM that
//! changes it first fetches, and the others take over its keys. The fetching VM extends its lease again and again, so that
//! nothing waits for a VM that is gone.

use crate::keys::source::KeySource;

/// In milliseconds. After a failure the next fetch is 1 second later, then 2, 4, ... up to this.
const LONGEST_PAUSE: u64 = 30_000;

/// In milliseconds. A fetch whose lease was not extended for so long counts as lost.
const LEASE: u64 = 1000;

/// Unknown keys may cause so many fetches in a row. After each cool-down they may cause one more.
const BURST: u64 = 3;

/// The shared record of one source. Times are milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// Grows with every key set that was fetched; 0 before the first.
    pub version: u64,
    /// When the next fetch is due.
    due: u64,
    /// Fetches that unknown keys have caused, less one for each cool-down since.
    hurried: u64,
    /// When the present cool-down began.
    cooling_since: u64,
    /// A fetch is under way until then.
    lease: u64,
    /// Fetches that have failed since the last success.
    failures: u64,
    /// Nothing is fetched until then, since the last fetch failed.
    paused: u64,
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
        Self { version, due, hurried, cooling_since, lease, failures, paused }
    }

    /// The record to share.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let Self { version, due, hurried, cooling_since, lease, failures, paused } = *self;
        [version, due, hurried, cooling_since, lease, failures, paused].map(u64::to_le_bytes).concat()
    }

    /// Whether a fetch is under way somewhere in this process.
    #[must_use]
    pub fn is_under_way(&self, now: u64) -> bool {
        now < self.lease
    }

    /// Whether nothing is fetched for now, since the last fetch failed.
    #[must_use]
    pub fn is_paused(&self, now: u64) -> bool {
        now < self.paused && !self.is_under_way(now)
    }

    /// Whether a fetch is due under this source's limits. The last one may have been made under wider limits.
    fn is_due(&self, source: &KeySource, now: u64) -> bool {
        // The version is the time of the last good fetch.
        now >= self.due.min(self.version.saturating_add(source.longest_pause()))
    }

    /// Whether a fetch may begin now.
    #[must_use]
    pub fn permits(&self, source: &KeySource, why: FetchReason, now: u64) -> bool {
        let may_hurry = why == FetchReason::UnknownKey && self.hurried(source, now).0 < BURST;
        !self.is_under_way(now) && now >= self.paused && (self.is_due(source, now) || may_hurry)
    }

    /// How many of the fetches that unknown keys caused still count under this source's cool-down, and when the present cool-down
    /// began.
    fn hurried(&self, source: &KeySource, now: u64) -> (u64, u64) {
        let elapsed = now.saturating_sub(self.cooling_since);
        let cooled = elapsed.checked_div(source.cool_down()).unwrap_or(u64::MAX);
        match self.hurried.saturating_sub(cooled) {
            0 => (0, now),
            left => (left, self.cooling_since.saturating_add(cooled.saturating_mul(source.cool_down()))),
        }
    }

    /// The record of a VM that begins a fetch. The VM may fetch only if it is the first to share the changed record.
    #[must_use]
    pub fn begun(self, source: &KeySource, why: FetchReason, now: u64) -> Self {
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
    pub fn lease(&self) -> u64 {
        self.lease
    }

    /// The record of a VM that still fetches, once half of its lease is over; `None` if it is too early, or if another VM has
    /// begun a fetch.
    #[must_use]
    pub fn extended(self, lease: u64, now: u64) -> Option<Self> {
        let is_time = now.saturating_add(LEASE / 2) >= lease;
        (is_time && self.lease == lease).then(|| Self { lease: now.saturating_add(LEASE), ..self })
    }

    /// The record of a VM that gives its fetch up.
    #[must_use]
    pub fn given_up(self, lease: u64) -> Option<Self> {
        (self.lease == lease).then_some(Self { lease: 0, ..self })
    }

    /// The record after a fetch that succeeded. The next one is due after `pause` milliseconds.
    #[must_use]
    pub fn succeeded(self, pause: u64, now: u64) -> Self {
        Self {
            // Greater than every version before, even if the record was lost.
            version: now.max(self.version.saturating_add(1)),
            due: now.saturating_add(pause),
            lease: 0,
            failures: 0,
            paused: 0,
            ..self
        }
    }

    /// The record after a fetch that failed. It does not change when the next one is due.
    #[must_use]
    pub fn failed(self, now: u64) -> Self {
        let pause = 1000_u64.checked_shl(u32::try_from(self.failures).unwrap_or(u32::MAX)).unwrap_or(LONGEST_PAUSE);
        Self {
            paused: now.saturating_add(pause.clamp(1000, LONGEST_PAUSE)),
            lease: 0,
            failures: self.failures.saturating_add(1).min(10),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_cool_down(seconds: u64) -> KeySource {
        let fields = format!(r#"{{"jwks_uri": "https://as/jwks", "cluster": "as", "cool_down_seconds": {seconds}}}"#);
        match serde_json::from_str::<crate::keys::KeysFields>(&fields).unwrap().of_issuer("https://as").unwrap() {
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

    #[test]
    fn a_record_is_read_as_it_was_written_and_anything_else_is_none() {
        let schedule = Schedule { version: 1, due: 2, hurried: 3, cooling_since: 4, lease: 5, failures: 6, paused: 7 };
        assert_eq!(shared(schedule), schedule);
        for wrong in [None, Some(&b""[..]), Some(&[0; 55]), Some(&[0; 57]), Some(&[0; 48])] {
            assert_eq!(Schedule::read(wrong), Schedule::default());
        }
    }

    /// Another version of certbound in the same process reads what this one writes: whoever changes these bytes changes
    /// the format's number in `worker::keys`.
    #[test]
    fn the_bytes_of_a_record_are_those_of_this_format() {
        let schedule = Schedule { version: 1, due: 2, hurried: 3, cooling_since: 4, lease: 5, failures: 6, paused: 7 };
        assert_eq!(schedule.write(), [1_u64, 2, 3, 4, 5, 6, 7].map(u64::to_le_bytes).concat());
    }

    #[test]
    fn one_fetch_at_a_time_and_a_vm_that_is_gone_stops_none() {
        let source = source();
        for why in [FetchReason::Routine, FetchReason::UnknownKey] {
            assert!(Schedule::default().permits(&source, why, 1_000));
            let begun = shared(Schedule::default().begun(&source, why, 1_000));
            assert!(!begun.permits(&source, why, 1_001) && begun.is_under_way(1_999));
            assert!(begun.permits(&source, why, 2_000));
        }
    }

    #[test]
    fn who_still_fetches_says_so_before_its_lease_ends_and_nobody_else_does() {
        let begun = Schedule::default().begun(&source(), FetchReason::Routine, 1_000);
        assert_eq!(begun.extended(begun.lease(), 1_499), None);
        let extended = begun.extended(begun.lease(), 1_500).unwrap();
        assert!(extended.is_under_way(2_499));
        assert_eq!(extended.extended(begun.lease(), 2_000), None, "another VM has begun");
        assert_eq!(extended.given_up(begun.lease()), None);
        assert!(!extended.given_up(extended.lease()).unwrap().is_under_way(1_501));
    }

    #[test]
    fn unknown_keys_cause_three_fetches_at_once_and_one_in_a_cool_down() {
        let source = source();
        let mut schedule = Schedule::default().begun(&source, FetchReason::Routine, 0).succeeded(86_400_000, 0);
        let mut fetched = Vec::new();
        for second in 0..150 {
            let now = second * 1000;
            if schedule.permits(&source, FetchReason::UnknownKey, now) {
                fetched.push(second);
                schedule = shared(schedule.begun(&source, FetchReason::UnknownKey, now)).succeeded(86_400_000, now);
            }
        }
        assert_eq!(fetched, [0, 1, 2, 30, 60, 90, 120]);
    }

    #[test]
    fn a_routine_fetch_starts_no_cool_down() {
        let source = source();
        let mut schedule = Schedule::default();
        for fetch in 0..10 {
            let now = fetch * 60_000;
            assert!(schedule.permits(&source, FetchReason::Routine, now));
            schedule = shared(schedule.begun(&source, FetchReason::Routine, now)).succeeded(60_000, now);
            assert_eq!(schedule.hurried, 0);
            assert!(schedule.permits(&source, FetchReason::UnknownKey, now + 1));
        }
        // A fetch that is due costs no token's share, whoever waits for it.
        assert_eq!(schedule.begun(&source, FetchReason::UnknownKey, 600_000).hurried, 0);
    }

    #[test]
    fn of_two_cool_downs_the_shorter_one_counts() {
        let (long, short) = (with_cool_down(3600), with_cool_down(1));
        let mut schedule = Schedule::default().succeeded(86_400_000, 0);
        for _ in 0..3 {
            schedule = shared(schedule.begun(&long, FetchReason::UnknownKey, 0)).succeeded(86_400_000, 0);
        }
        assert!(!schedule.permits(&long, FetchReason::UnknownKey, 1_000));
        assert!(schedule.permits(&short, FetchReason::UnknownKey, 1_000));
    }

    #[test]
    fn failures_are_followed_by_longer_and_longer_pauses() {
        let mut schedule = Schedule::default();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let now = schedule.paused;
            schedule = schedule.failed(now);
            pauses.push((schedule.paused - now) / 1000);
            for why in [FetchReason::Routine, FetchReason::UnknownKey] {
                assert!(!schedule.permits(&source(), why, schedule.paused - 1));
                assert!(schedule.permits(&source(), why, schedule.paused));
            }
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
        let now = schedule.paused;
        assert_eq!(schedule.succeeded(0, now).failed(now).paused, now + 1000);
    }

    #[test]
    fn a_fetch_that_a_token_caused_and_that_failed_changes_nothing_of_what_is_due() {
        let fetched = Schedule::default().succeeded(450_000, 0);
        let failed = fetched.begun(&source(), FetchReason::UnknownKey, 1_000).failed(2_000);
        assert_eq!(failed.due, 450_000);
        assert!(!failed.permits(&source(), FetchReason::Routine, 449_999));
    }
}
