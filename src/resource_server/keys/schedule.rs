//! When an issuer's keys are fetched, agreed between all VMs of a process.
//!
//! Every worker of a proxy has a VM of its own, and each would fetch. They share one small record for each source:
//! whoever changes it first fetches, and the others read what it brought.

use super::source::KeySource;

/// Failures are followed by a fetch after 1, 2, 4, ... seconds, up to this many.
const LONGEST_PAUSE: u64 = 30_000;

/// The shared record of one source. Times are milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// Grows with every key set that was fetched; 0 before the first.
    pub version: u64,
    /// From then on a fetch is due.
    due: u64,
    /// From then on an unknown key may cause a fetch.
    may_hurry: u64,
    /// Until then a fetch is under way, unless its VM died.
    under_way: u64,
    failures: u64,
}

/// Why somebody wants a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Keys should be fresh.
    Routine,
    /// A token names a key that nobody knows, or names none and no key that is known made its signature.
    UnknownKey,
}

const LENGTH: usize = 40;

impl Schedule {
    /// Reads the shared record; there is none before the first fetch. Anything else is as good as none.
    #[must_use]
    pub fn read(record: Option<&[u8]>) -> Self {
        let Some((numbers, [])) = record.map(|record| record.as_chunks::<8>()) else { return Self::default() };
        let [version, due, may_hurry, under_way, failures] = numbers else { return Self::default() };
        let number = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
        Self {
            version: number(version),
            due: number(due),
            may_hurry: number(may_hurry),
            under_way: number(under_way),
            failures: number(failures),
        }
    }

    /// The record to share.
    #[must_use]
    pub fn write(&self) -> Vec<u8> {
        let mut record = Vec::with_capacity(LENGTH);
        for number in [self.version, self.due, self.may_hurry, self.under_way, self.failures] {
            record.extend(number.to_le_bytes());
        }
        record
    }

    /// Whether a fetch is under way somewhere in this process.
    #[must_use]
    pub fn is_under_way(&self, now: u64) -> bool {
        now < self.under_way
    }

    /// Whether a fetch may begin now.
    #[must_use]
    pub fn permits(&self, wish: Wish, now: u64) -> bool {
        let from = match wish {
            Wish::Routine => self.due,
            Wish::UnknownKey => self.may_hurry.min(self.due),
        };
        !self.is_under_way(now) && now >= from
    }

    /// The record of whoever begins a fetch: it counts only for the one who shares it first.
    #[must_use]
    pub fn begun(self, source: &KeySource, now: u64) -> Self {
        Self {
            under_way: now.saturating_add(source.longest_fetch()),
            may_hurry: now.saturating_add(source.cool_down()),
            ..self
        }
    }

    /// The record after a good fetch. The next one is due after three quarters of the time for which the keys are
    /// fresh, so that no request waits for it.
    #[must_use]
    pub fn succeeded(self, max_age: u64, now: u64) -> Self {
        let fresh = max_age.saturating_mul(750);
        Self {
            version: self.version.saturating_add(1),
            due: now.saturating_add(fresh),
            under_way: 0,
            failures: 0,
            ..self
        }
    }

    /// The record after a fetch that failed.
    #[must_use]
    pub fn failed(self, now: u64) -> Self {
        let pause = 1000_u64.checked_shl(u32::try_from(self.failures).unwrap_or(u32::MAX)).unwrap_or(LONGEST_PAUSE);
        Self {
            due: now.saturating_add(pause.clamp(1000, LONGEST_PAUSE)),
            under_way: 0,
            failures: self.failures.saturating_add(1).min(10),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> KeySource {
        let fields = r#"{"jwks_uri": "https://as/jwks", "cluster": "as"}"#;
        match serde_json::from_str::<super::super::KeysFields>(fields).unwrap().of_issuer("https://as").unwrap() {
            super::super::Keys::Fetched(source) => source,
            _ => panic!("these are fetched"),
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_anything_else_is_none() {
        let schedule = Schedule { version: 1, due: 2, may_hurry: 3, under_way: 4, failures: 5 };
        assert_eq!(Schedule::read(Some(&schedule.write())), schedule);
        for wrong in [None, Some(&b""[..]), Some(&[0; 39]), Some(&[0; 41]), Some(&[0; 48])] {
            assert_eq!(Schedule::read(wrong), Schedule::default());
        }
    }

    #[test]
    fn one_fetch_at_a_time_and_a_dead_vm_does_not_stop_them_for_ever() {
        let begun = Schedule::default().begun(&source(), 1_000);
        for wish in [Wish::Routine, Wish::UnknownKey] {
            assert!(Schedule::default().permits(wish, 1_000));
            assert!(!begun.permits(wish, 1_001));
            assert!(begun.permits(wish, 1_000 + source().longest_fetch()));
        }
    }

    #[test]
    fn unknown_keys_cause_one_fetch_in_a_cool_down() {
        let now = 1_000_000;
        let fetched = Schedule::default().begun(&source(), now).succeeded(300, now + 50);
        assert!(!fetched.permits(Wish::UnknownKey, now + 29_999));
        assert!(fetched.permits(Wish::UnknownKey, now + 30_000));
        assert!(!fetched.permits(Wish::Routine, now + 30_000));
    }

    #[test]
    fn a_fetch_is_due_before_the_keys_are_no_longer_fresh() {
        let fetched = Schedule::default().succeeded(300, 0);
        assert!(!fetched.permits(Wish::Routine, 224_999));
        assert!(fetched.permits(Wish::Routine, 225_000));
    }

    #[test]
    fn failures_are_followed_by_longer_and_longer_pauses() {
        let mut schedule = Schedule::default();
        let mut pauses = Vec::new();
        for _ in 0..8 {
            schedule = schedule.failed(0);
            pauses.push(schedule.due / 1000);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(schedule.succeeded(300, 0).failed(0).due, 1000);
    }
}
