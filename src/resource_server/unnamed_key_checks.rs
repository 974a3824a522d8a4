//! What tokens without `kid` may cost: such a token may be signed with any key that fits it, and whoever makes up tokens
//! would have each tried with all of them.
//!
//! Every token is tried with one key. With the others only while the worker has time for it in this second, and time is
//! spent by tokens alone that no key made: a right one costs nothing of it, however many keys it took.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use crate::jose::jwk::{Fingerprint, PublicKey};
use crate::time::UnixTime;

/// In microseconds of each second. They are spent at once, by whoever comes first, and other requests wait meanwhile: so few
/// are too little of a second to be seen in one request of a hundred (`make bench-flood`). A token may begin with the last of
/// them, and be tried with three keys more.
const MOST: u32 = 2_000;

/// Keys that made tokens are remembered: one for each issuer and algorithm would do.
const MOST_RIGHT: usize = 32;

/// How much of the second is left, and with which key to begin.
#[derive(Debug, Default)]
pub(super) struct UnnamedKeyChecks {
    /// Seconds since 1970.
    second: Cell<u64>,
    /// In microseconds.
    spent: Cell<u32>,
    /// The keys that made tokens without `kid`, the last one first. An issuer signs with one key for weeks: with that one first,
    /// its tokens pass whatever others made up.
    right: RefCell<VecDeque<Fingerprint>>,
}

impl UnnamedKeyChecks {
    /// Whether a token may be tried with more than one key.
    pub(super) fn are_permitted(&self, now: UnixTime) -> bool {
        self.second.get() != now.seconds() || self.spent.get() < MOST
    }

    /// Takes notice of a token that cost so many microseconds beyond its first key, and that no key made.
    pub(super) fn were_in_vain(&self, now: UnixTime, microseconds: u32) {
        let spent = if self.second.replace(now.seconds()) == now.seconds() { self.spent.get() } else { 0 };
        self.spent.set(spent.saturating_add(microseconds));
    }

    /// Takes notice of the key that made a token without `kid`.
    pub(super) fn found(&self, key: Fingerprint) {
        let mut right = self.right.borrow_mut();
        if right.front() != Some(&key) {
            right.retain(|other| *other != key);
            right.truncate(MOST_RIGHT.saturating_sub(1));
            right.push_front(key);
        }
    }

    /// Has the key come first that made the last token without `kid` of those that one of them made.
    pub(super) fn order(&self, candidates: &mut [&PublicKey]) {
        let right = self.right.borrow();
        let place = |own: &Fingerprint| candidates.iter().position(|key| key.fingerprint() == *own);
        if let Some(place) = right.iter().find_map(place) {
            candidates.swap(0, place);
        }
    }
}
