//! The fetched keys that one VM knows.

use std::rc::Rc;

use super::fetch;
use super::source::KeySource;
use crate::certificate::thumbprint::Thumbprint;
use crate::jose::jwk::KeySet;
use crate::sorted_map::SortedMap;

/// Key sets by the identity of their source: as many as the configuration names, each bounded.
#[derive(Debug, Default)]
pub struct KeyRing {
    known: SortedMap<String, Known>,
}

/// What was published somewhere.
#[derive(Debug)]
pub enum Published {
    /// By an issuer: what verifies its tokens.
    Keys(Rc<KeySet>),
    /// By a client: what it may present.
    Certificates(Vec<Thumbprint>),
}

#[derive(Debug)]
struct Known {
    published: Published,
    version: u64,
    /// Milliseconds since 1970.
    fetched: u64,
    /// In seconds.
    max_age: u64,
}

impl KeyRing {
    /// The keys of an issuer, if they may still serve. `now` in milliseconds since 1970.
    #[must_use]
    pub fn keys(&self, source: &KeySource, now: u64) -> Option<&Rc<KeySet>> {
        match self.published(source, now)? {
            Published::Keys(keys) => Some(keys),
            Published::Certificates(_) => None,
        }
    }

    /// The certificates of a client, if they may still serve. `now` in milliseconds since 1970.
    #[must_use]
    pub fn certificates(&self, source: &KeySource, now: u64) -> Option<&[Thumbprint]> {
        match self.published(source, now)? {
            Published::Certificates(certificates) => Some(certificates),
            Published::Keys(_) => None,
        }
    }

    fn published(&self, source: &KeySource, now: u64) -> Option<&Published> {
        let known = self.known.get(&source.identity())?;
        (now <= known.fetched.saturating_add(source.serves_for(known.max_age))).then_some(&known.published)
    }

    /// The version of the keys of a source; 0 where there are none.
    #[must_use]
    pub fn version(&self, source: &KeySource) -> u64 {
        self.known.get(&source.identity()).map_or(0, |known| known.version)
    }

    /// Takes over what this VM or another one fetched, and for how many seconds it was called fresh.
    pub fn take(&mut self, source: &KeySource, published: Published, version: u64, fetched: u64, max_age: u64) {
        self.known.insert(source.identity(), Known { published, version, fetched, max_age });
    }

    /// Takes over what another VM shared, as [`Self::shared`] writes it. Says whether there was anything newer than what
    /// is known here.
    pub fn take_shared(&mut self, source: &KeySource, shared: &[u8]) -> bool {
        let Some((numbers, document)) = shared.split_first_chunk::<24>() else { return false };
        let (&[version, fetched, max_age], []) = numbers.as_chunks::<8>() else { return false };
        let version = u64::from_le_bytes(version);
        if version <= self.version(source) {
            return false;
        }
        let Some(published) = fetch::shared(source, document) else { return false };
        self.take(source, published, version, u64::from_le_bytes(fetched), u64::from_le_bytes(max_age));
        true
    }

    /// Takes over a key set as it is published; `now` in milliseconds since 1970.
    ///
    /// # Errors
    /// A sentence, where it is no key set that can be used.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn take_published(&mut self, source: &KeySource, document: &[u8], now: u64) -> Result<(), String> {
        let (_, published) = fetch::fetched(source, document)?;
        self.take(source, published, 1, now, fetch::DEFAULT_MAX_AGE);
        Ok(())
    }

    /// What the other VMs of the process take over: the version, the time of the fetch, for how many seconds it is fresh,
    /// and the document.
    #[must_use]
    pub fn shared(version: u64, fetched: u64, max_age: u64, document: &[u8]) -> Vec<u8> {
        [&version.to_le_bytes(), &fetched.to_le_bytes(), &max_age.to_le_bytes(), document].concat()
    }
}
