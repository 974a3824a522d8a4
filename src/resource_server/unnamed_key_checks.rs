//! Limits what tokens without `kid` cost. Any key that fits the algorithm may have signed such a token, so a made-up one would
//! be tried with all of them.
//!
//! Every token is tried with one key. It is tried with the others only while the worker has time left for that in the present
//! second. Only tokens that no key verifies use up this time: a valid one does not, however many keys it took.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use crate::jose::jwk::{Fingerprint, PublicKey};
use crate::time::UnixTime;

/// In microseconds of each second. The first made-up tokens of a second may use them all at once, and other requests wait
/// meanwhile. It is so little that less than one request in a hundred is slower (`make bench-flood`). A token that begins with
/// the last microsecond may still be tried with three more keys.
const MOST: u32 = 2_000;

/// At most so many keys that verified tokens are remembered. One for each issuer and algorithm is enough.
const MOST_RIGHT: usize = 32;

/// How much of the second is used up, and which keys to try first.
#[derive(Debug, Default)]
pub(super) struct UnnamedKeyChecks {
    /// Seconds since 1970.
    second: Cell<u64>,
    /// In microseconds.
    spent: Cell<u32>,
    /// The keys that verified tokens without `kid`, the last one first. An issuer signs with one key for weeks. Tried first, it
    /// verifies the issuer's tokens even when made-up ones have used up the time.
    right: RefCell<VecDeque<Fingerprint>>,
}

impl UnnamedKeyChecks {
    /// Whether a token may be tried with more than one key.
    pub(super) fn are_permitted(&self, now: UnixTime) -> bool {
        self.second.get() != now.seconds() || self.spent.get() < MOST
    }

    /// Counts a token that no key verified. It cost so many microseconds after its first key.
    pub(super) fn were_in_vain(&self, now: UnixTime, microseconds: u32) {
        let spent = if self.second.replace(now.seconds()) == now.seconds() { self.spent.get() } else { 0 };
        self.spent.set(spent.saturating_add(microseconds));
    }

    /// Remembers the key that verified a token without `kid`.
    pub(super) fn found(&self, key: Fingerprint) {
        let mut right = self.right.borrow_mut();
        if right.front() != Some(&key) {
            right.retain(|other| *other != key);
            right.truncate(MOST_RIGHT.saturating_sub(1));
            right.push_front(key);
        }
    }

    /// Moves the candidate to the front that last verified a token without `kid`.
    pub(super) fn order(&self, candidates: &mut [&PublicKey]) {
        let right = self.right.borrow();
        let place = |own: &Fingerprint| candidates.iter().position(|key| key.fingerprint() == *own);
        if let Some(place) = right.iter().find_map(place) {
            candidates.swap(0, place);
        }
    }
}
