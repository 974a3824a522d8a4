// SPDX-License-Identifier: Apache-2.0

//! Limits what tokens cost that do not name one key: tokens without `kid`, those of an issuer whose keys have none, and those
//! whose `kid` several keys have. Any of the keys may have signed such a token, so a made-up one would be tried with all of
//! them.
//!
//! Every token is tried with one key. It is tried with the others only while the worker has time left for that in the present
//! second. Only tokens that no key verifies use up this time: a valid one does not, however many keys it took.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use crate::jose::jwk::{Fingerprint, PublicKey};
use crate::time::UnixTime;

/// In microseconds of each second. The first made-up tokens of a second may use them all at once, and other requests wait
/// meanwhile. It is so little that less than one request in a hundred is slower (`make bench-flood`).
const MOST: u32 = 2_000;

/// A token that begins with the last microsecond is tried with so many keys, and so is one of an issuer whose keys take long.
const FEW: usize = 4;

/// At most so many keys that verified tokens are remembered. One for each issuer and algorithm is enough.
const MOST_RIGHT: usize = 32;

/// How much of the second is used up, and which keys to try first.
#[derive(Debug, Default)]
pub(super) struct UnnamedKeyChecks {
    /// Seconds since 1970.
    second: Cell<u64>,
    /// In microseconds.
    spent: Cell<u32>,
    /// The keys that verified such tokens, the last one first. An issuer signs with one key for weeks. Tried first, it
    /// verifies the issuer's tokens even when made-up ones have used up the time.
    right: RefCell<VecDeque<Fingerprint>>,
    /// The first key for which a token had no time left. The next one goes on there, so that each of many keys has its turn.
    next: Cell<Option<Fingerprint>>,
}

impl UnnamedKeyChecks {
    /// Whether a token may be tried with one more key. It was tried with `tried`, and that cost so many microseconds after the
    /// first one.
    pub(super) fn are_permitted(&self, now: UnixTime, tried: usize, microseconds: u32) -> bool {
        let own = if tried < FEW { 0 } else { microseconds };
        tried == 0 || self.spent(now).saturating_add(own) < MOST
    }

    /// Counts a token that no key verified. It cost so many microseconds after its first key.
    pub(super) fn were_in_vain(&self, now: UnixTime, microseconds: u32) {
        self.spent.set(self.spent(now).saturating_add(microseconds));
        self.second.set(now.seconds());
    }

    /// Remembers the first key with which there was no time to try a token.
    pub(super) fn ended_before(&self, key: Fingerprint) {
        self.next.set(Some(key));
    }

    fn spent(&self, now: UnixTime) -> u32 {
        if self.second.get() == now.seconds() { self.spent.get() } else { 0 }
    }

    /// Remembers the key that verified a token which does not name one key.
    pub(super) fn found(&self, key: Fingerprint) {
        let mut right = self.right.borrow_mut();
        if right.front() != Some(&key) {
            right.retain(|other| *other != key);
            right.truncate(MOST_RIGHT.saturating_sub(1));
            right.push_front(key);
        }
    }

    /// Moves the candidate to the front that last verified such a token, and behind it those whose turn it is.
    pub(super) fn order(&self, candidates: &mut [&PublicKey]) {
        let right = self.right.borrow();
        let place = |own: &Fingerprint| candidates.iter().position(|key| key.fingerprint() == *own);
        if let Some(place) = right.iter().find_map(place) {
            candidates.swap(0, place);
        }
        if let (Some(next), Some((_, others))) = (self.next.get(), candidates.split_first_mut())
            && let Some(place) = others.iter().position(|key| key.fingerprint() == next)
        {
            others.rotate_left(place);
        }
    }
}
