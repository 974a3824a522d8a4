// SPDX-License-Identifier: Apache-2.0

//! A bounded cache that forgets what is not used.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;

use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;
use hashbrown::hash_table::{self as table, HashTable};

use crate::collections::sorted_map::SortedMap;

/// A secret of this VM. Without it a client could choose keys that all collide, which would make every look-up slow.
static SEED: LazyLock<SharedSeed> = LazyLock::new(|| SharedSeed::from_u64(RandomState::new().hash_one(0_u8)));

/// Values by policy and key, in at most so many bytes.
///
/// There are two generations. An entry that is used moves to the young one. When that is full it becomes the old one, and the
/// former old one is forgotten. So entries in use stay, and the cost is two look-ups instead of a list.
#[derive(Debug)]
pub(crate) struct BoundedCache<K, V> {
    /// The most bytes of one generation.
    half: usize,
    /// Keys are as long as tokens, and std's own hash takes several times as long.
    hasher: SeedableRandomState,
    young: Generation<K, V>,
    old: Generation<K, V>,
}

#[derive(Debug)]
struct Generation<K, V> {
    bytes: usize,
    policies: SortedMap<String, HashTable<Entry<K, V>>>,
}

#[derive(Debug)]
struct Entry<K, V> {
    /// It is kept so that a table that grows need not read every key again.
    hash: u64,
    key: K,
    value: V,
    bytes: usize,
}

impl<K, V> Default for Generation<K, V> {
    fn default() -> Self {
        Self { bytes: 0, policies: SortedMap::default() }
    }
}

impl<K: AsRef<[u8]>, V: Clone> BoundedCache<K, V> {
    /// An empty cache.
    pub(crate) fn new(most_bytes: usize) -> Self {
        let hasher = SeedableRandomState::with_seed(RandomState::new().hash_one(0_u8), &SEED);
        Self { half: most_bytes / 2, hasher, young: Generation::default(), old: Generation::default() }
    }

    /// The value for this policy and key.
    pub(crate) fn find(&mut self, policy: &str, key: &[u8]) -> Option<V> {
        // The old generation is filled only from the young one, so nothing is kept at all.
        if self.young.bytes == 0 {
            return None;
        }
        let hash = self.hasher.hash_one(key);
        let is_it = |entry: &Entry<K, V>| are_equal(entry.key.as_ref(), key);
        if let Some(found) = self.young.policies.get(policy).and_then(|entries| entries.find(hash, is_it)) {
            return Some(found.value.clone());
        }
        let (found, _) = self.old.policies.get_mut(policy)?.find_entry(hash, is_it).ok()?.remove();
        let value = found.value.clone();
        self.keep(policy, found);
        Some(value)
    }

    /// Keeps a value that takes so many bytes, and drops the one before. A value larger than a generation is not kept.
    pub(crate) fn insert(&mut self, policy: &str, key: K, value: V, bytes: usize) {
        let hash = self.hasher.hash_one(key.as_ref());
        self.keep(policy, Entry { hash, key, value, bytes });
    }

    fn keep(&mut self, policy: &str, entry: Entry<K, V>) {
        let bytes = entry.bytes;
        if bytes > self.half {
            return;
        }
        if self.young.bytes.saturating_add(bytes) > self.half {
            self.old = std::mem::take(&mut self.young);
        }
        if self.young.policies.get(policy).is_none() {
            self.young.policies.insert(policy.to_owned(), HashTable::new());
        }
        let Some(entries) = self.young.policies.get_mut(policy) else { return };
        let is_it = |other: &Entry<K, V>| are_equal(other.key.as_ref(), entry.key.as_ref());
        let place = entries.entry(entry.hash, is_it, |other| other.hash);
        let freed = match place {
            table::Entry::Occupied(mut place) => std::mem::replace(place.get_mut(), entry).bytes,
            table::Entry::Vacant(place) => {
                place.insert(entry);
                0
            }
        };
        self.young.bytes = self.young.bytes.saturating_add(bytes).saturating_sub(freed);
    }

    /// How many entries there are, after a check that each generation knows its bytes.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&K, &V)> {
        for generation in [&self.young, &self.old] {
            let bytes: usize = generation.policies.values().flatten().map(|entry| entry.bytes).sum();
            assert!(bytes <= generation.bytes && generation.bytes <= self.half);
        }
        let entries =
            [&self.young, &self.old].into_iter().flat_map(|generation| generation.policies.values().flatten());
        entries.map(|entry| (&entry.key, &entry.value))
    }
}

/// On this target std compares byte by byte, and tokens are long.
fn are_equal(one: &[u8], other: &[u8]) -> bool {
    let ((one, one_rest), (other, other_rest)) = (one.as_chunks::<8>(), other.as_chunks::<8>());
    let is_same = |(one, other): (&[u8; 8], &[u8; 8])| u64::from_le_bytes(*one) == u64::from_le_bytes(*other);
    one.len() == other.len() && one_rest == other_rest && one.iter().zip(other).all(is_same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let mut cache = BoundedCache::new(1000);
        cache.insert("a", "used".to_owned(), 1, 10);
        cache.insert("a", "unused".to_owned(), 2, 10);
        for number in 0..1000 {
            cache.insert("a", number.to_string(), 3, 10);
            assert_eq!(cache.find("a", b"used"), Some(1), "{number}");
            assert!(cache.entries().count() <= 100);
        }
        assert_eq!(cache.find("a", b"unused"), None);
        assert!(cache.entries().count() > 50);
    }

    #[test]
    fn what_is_kept_for_one_policy_is_nothing_to_another() {
        let mut cache = BoundedCache::new(1000);
        cache.insert("a", "one", 1, 10);
        assert_eq!((cache.find("a", b"one"), cache.find("b", b"one"), cache.find("a", b"two")), (Some(1), None, None));
    }

    #[test]
    fn the_same_again_takes_the_place_of_the_first() {
        let mut cache = BoundedCache::new(1000);
        cache.insert("a", "kept", 0, 10);
        for _ in 0..1000 {
            cache.insert("a", "one", 1, 100);
        }
        assert_eq!(cache.entries().count(), 2);
        assert_eq!(cache.young.bytes, 110);
    }

    #[test]
    fn what_takes_more_than_a_generation_is_not_kept_and_displaces_nothing() {
        let mut cache = BoundedCache::new(1000);
        cache.insert("a", "kept", 0, 500);
        cache.insert("a", "large", 1, 501);
        assert_eq!((cache.find("a", b"kept"), cache.find("a", b"large")), (Some(0), None));
    }

    #[test]
    fn keys_are_equal_where_every_byte_is() {
        let whole = [7_u8; 21];
        assert!(are_equal(&whole, &whole) && are_equal(b"", b""));
        for place in 0..whole.len() {
            let mut other = whole;
            other[place] = 8;
            assert!(!are_equal(&whole, &other) && !are_equal(&whole, &whole[..place]), "{place}");
        }
    }
}
