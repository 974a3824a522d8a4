//! The fetched keys that one VM knows.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::fetch;
use super::source::KeySource;
use crate::jose::jwk::KeySet;

/// Key sets by the identity of their source.
#[derive(Debug, Default)]
pub struct KeyRing {
    known: BTreeMap<String, Known>,
}

#[derive(Debug)]
struct Known {
    keys: Rc<KeySet>,
    version: u64,
    /// Milliseconds since 1970.
    fetched: u64,
}

impl KeyRing {
    /// The keys of a source, if they may still serve. `now` in milliseconds since 1970.
    #[must_use]
    pub fn keys(&self, source: &KeySource, now: u64) -> Option<&Rc<KeySet>> {
        let known = self.known.get(&source.identity())?;
        (now <= known.fetched.saturating_add(source.max_stale())).then_some(&known.keys)
    }

    /// The version of the keys of a source; 0 where there are none.
    #[must_use]
    pub fn version(&self, source: &KeySource) -> u64 {
        self.known.get(&source.identity()).map_or(0, |known| known.version)
    }

    /// Takes over a key set that this VM or another one fetched.
    pub fn take(&mut self, source: &KeySource, keys: KeySet, version: u64, fetched: u64) {
        self.known.insert(source.identity(), Known { keys: Rc::new(keys), version, fetched });
    }

    /// Takes over what another VM shared: a version, the time of the fetch, and the key set, as [`Self::shared`] writes
    /// it. Says whether there was anything newer than what is known here.
    pub fn take_shared(&mut self, source: &KeySource, shared: &[u8]) -> bool {
        let Some((version, rest)) = shared.split_first_chunk() else { return false };
        let Some((fetched, document)) = rest.split_first_chunk() else { return false };
        let version = u64::from_le_bytes(*version);
        if version <= self.version(source) {
            return false;
        }
        let Ok(keys) = fetch::published(document) else { return false };
        self.take(source, keys, version, u64::from_le_bytes(*fetched));
        true
    }

    /// Takes over a key set as an authorization server publishes it; `now` in milliseconds since 1970.
    ///
    /// # Errors
    /// A sentence, where it is no key set that can be used.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn take_published(&mut self, source: &KeySource, document: &[u8], now: u64) -> Result<(), String> {
        self.take(source, fetch::published(document)?, 1, now);
        Ok(())
    }

    /// What the other VMs of the process take over.
    #[must_use]
    pub fn shared(version: u64, fetched: u64, document: &[u8]) -> Vec<u8> {
        [&version.to_le_bytes(), &fetched.to_le_bytes(), document].concat()
    }
}
