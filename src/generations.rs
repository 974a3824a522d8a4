//! A bounded cache that forgets what is not used.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::LazyLock;

use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;

/// What nobody outside knows: keys that all fall on one place of a map would make every look-up slow.
static SEED: LazyLock<SharedSeed> = LazyLock::new(|| SharedSeed::from_u64(RandomState::new().hash_one(0_u8)));

/// Keys are as long as tokens: std's own hash takes several times as long.
type Map<K, V> = HashMap<K, V, SeedableRandomState>;

fn map<K, V>() -> Map<K, V> {
    HashMap::with_hasher(SeedableRandomState::with_seed(RandomState::new().hash_one(0_u8), &SEED))
}

/// What is known under each policy, by a key, in no more than so many bytes.
///
/// Two generations: what is used moves to the young one; when that is full it becomes the old one, and the old one is
/// forgotten whole. So what is used stays, at the cost of two look-ups and no list.
#[derive(Debug)]
pub(crate) struct Generations<K, V> {
    /// The most bytes of one generation.
    half: usize,
    young: Generation<K, V>,
    old: Generation<K, V>,
}

#[derive(Debug)]
struct Generation<K, V> {
    bytes: usize,
    policies: Map<String, Map<K, Entry<V>>>,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    bytes: usize,
}

impl<K, V> Default for Generation<K, V> {
    fn default() -> Self {
        Self { bytes: 0, policies: map() }
    }
}

impl<K: Eq + Hash, V: Clone> Generations<K, V> {
    /// An empty cache.
    pub(crate) fn new(most_bytes: usize) -> Self {
        Self { half: most_bytes / 2, young: Generation::default(), old: Generation::default() }
    }

    /// What is kept for this policy under this key.
    pub(crate) fn find<Q>(&mut self, policy: &str, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if let Some(found) = self.young.policies.get(policy).and_then(|entries| entries.get(key)) {
            return Some(found.value.clone());
        }
        let (key, found) = self.old.policies.get_mut(policy)?.remove_entry(key)?;
        let value = found.value.clone();
        self.keep(policy, key, found);
        Some(value)
    }

    /// Keeps a value that takes so many bytes, in place of what was kept. One that takes more than a generation has is
    /// not kept.
    pub(crate) fn insert(&mut self, policy: &str, key: K, value: V, bytes: usize) {
        self.keep(policy, key, Entry { value, bytes });
    }

    fn keep(&mut self, policy: &str, key: K, entry: Entry<V>) {
        let bytes = entry.bytes;
        if bytes > self.half {
            return;
        }
        if self.young.bytes.saturating_add(bytes) > self.half {
            self.old = std::mem::take(&mut self.young);
        }
        let replaced = match self.young.policies.get_mut(policy) {
            Some(entries) => entries.insert(key, entry),
            None => {
                let mut entries = map();
                entries.insert(key, entry);
                self.young.policies.insert(policy.to_owned(), entries);
                None
            }
        };
        let freed = replaced.map_or(0, |replaced| replaced.bytes);
        self.young.bytes = self.young.bytes.saturating_add(bytes).saturating_sub(freed);
    }

    /// What is kept, after a check that each generation knows its bytes.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&K, &V)> {
        for generation in [&self.young, &self.old] {
            let bytes: usize = generation.policies.values().flatten().map(|(_, entry)| entry.bytes).sum();
            assert!(bytes <= generation.bytes && generation.bytes <= self.half);
        }
        let entries =
            [&self.young, &self.old].into_iter().flat_map(|generation| generation.policies.values().flatten());
        entries.map(|(key, entry)| (key, &entry.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let mut cache = Generations::new(1000);
        cache.insert("a", u32::MAX, "used", 10);
        cache.insert("a", u32::MAX - 1, "unused", 10);
        for number in 0..1000 {
            cache.insert("a", number, "other", 10);
            assert_eq!(cache.find("a", &u32::MAX), Some("used"), "{number}");
            assert!(cache.entries().count() <= 100);
        }
        assert_eq!(cache.find("a", &(u32::MAX - 1)), None);
        assert!(cache.entries().count() > 50);
    }

    #[test]
    fn what_is_kept_for_one_policy_is_nothing_to_another() {
        let mut cache = Generations::new(1000);
        cache.insert("a", 1, "one", 10);
        assert_eq!((cache.find("a", &1), cache.find("b", &1), cache.find("a", &2)), (Some("one"), None, None));
    }

    #[test]
    fn the_same_again_takes_the_place_of_the_first() {
        let mut cache = Generations::new(1000);
        cache.insert("a", 0, "kept", 10);
        for _ in 0..1000 {
            cache.insert("a", 1, "one", 100);
        }
        assert_eq!(cache.entries().count(), 2);
        assert_eq!(cache.young.bytes, 110);
    }

    #[test]
    fn what_takes_more_than_a_generation_is_not_kept_and_displaces_nothing() {
        let mut cache = Generations::new(1000);
        cache.insert("a", 0, "kept", 500);
        cache.insert("a", 1, "large", 501);
        assert_eq!((cache.find("a", &0), cache.find("a", &1)), (Some("kept"), None));
    }
}
