// SPDX-License-Identifier: Apache-2.0

//! The fetched keys that one VM knows.

use std::rc::Rc;
use std::time::Duration;

use crate::certificate::thumbprint::Thumbprint;
use crate::collections::sorted_map::SortedMap;
use crate::jose::jwk::KeySet;
use crate::jose::left_out::LeftOut;
use crate::keys::client_key_set::ClientKeys;
use crate::keys::fetch;
#[cfg(not(target_arch = "wasm32"))]
use crate::keys::freshness::Freshness;
use crate::keys::source::{KeySource, SourceId};
use crate::time::UnixTime;

/// Key sets by their source. The configuration bounds how many there are, and each set is bounded.
#[derive(Debug, Default)]
pub struct KeyRing {
    known: SortedMap<SourceId, Known>,
}

/// What a source publishes.
#[derive(Debug)]
pub enum Published {
    /// An issuer's keys, which verify its tokens.
    Keys(Rc<KeySet>),
    /// A client's certificates, which it may present.
    Certificates(ClientKeys),
}

impl Published {
    /// Whether all of it was withdrawn.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Keys(keys) => keys.is_empty(),
            Self::Certificates(keys) => keys.certificates.is_empty(),
        }
    }
}

impl Published {
    /// The keys of the set that cannot be used.
    #[must_use]
    pub fn left_out(&self) -> &LeftOut {
        match self {
            Self::Keys(keys) => keys.left_out(),
            Self::Certificates(keys) => &keys.left_out,
        }
    }

    /// Whether the same keys are left out of both, for the same reasons.
    fn leaves_out_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Keys(keys), Self::Keys(others)) => keys.left_out().is_as(others.left_out()),
            (Self::Certificates(keys), Self::Certificates(others)) => keys.leave_out_as(others),
            _ => false,
        }
    }
}

/// What is known of a source.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) published: Published,
    pub(crate) version: u64,
    /// When it was fetched.
    pub(crate) fetched: UnixTime,
    /// How long it was called fresh then.
    pub(crate) lifetime: Duration,
}

impl KeyRing {
    /// The keys of an issuer, if they may still serve.
    #[must_use]
    pub fn keys(&self, source: &KeySource, now: UnixTime) -> Option<&Rc<KeySet>> {
        match self.published(source, now)? {
            Published::Keys(keys) => Some(keys),
            Published::Certificates(_) => None,
        }
    }

    /// The certificates of a client, if they may still serve.
    #[must_use]
    pub fn certificates(&self, source: &KeySource, now: UnixTime) -> Option<&[Thumbprint]> {
        match self.published(source, now)? {
            Published::Certificates(keys) => Some(&keys.certificates),
            Published::Keys(_) => None,
        }
    }

    fn published(&self, source: &KeySource, now: UnixTime) -> Option<&Published> {
        let known = self.known.get(source.id())?;
        (now <= known.fetched.saturating_add(source.serves_for(known.lifetime))).then_some(&known.published)
    }

    /// The version of the keys of a source; 0 where there are none.
    #[must_use]
    pub fn version(&self, source: &KeySource) -> u64 {
        self.known.get(source.id()).map_or(0, |known| known.version)
    }

    /// The keys that were left out of the set that is known of a source, be it too old to serve.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn left_out(&self, source: &KeySource) -> Option<&LeftOut> {
        Some(self.known.get(source.id())?.published.left_out())
    }

    /// Whether the same keys were left out of the set that is known of a source as of this one, for the same reasons.
    pub(crate) fn leaves_out_as(&self, source: &KeySource, published: &Published) -> bool {
        self.known.get(source.id()).is_some_and(|known| known.published.leaves_out_as(published))
    }

    /// Takes over what this VM or another one fetched.
    pub(crate) fn take(&mut self, source: &KeySource, known: Known) {
        self.known.insert(*source.id(), known);
    }

    /// Stores what another VM shared, in the form of [`Self::shared`], if it is newer than what is known here. Returns whether
    /// it was.
    pub fn take_shared(&mut self, source: &KeySource, shared: &[u8]) -> bool {
        let Some((numbers, document)) = shared.split_first_chunk::<24>() else { return false };
        let (&[version, fetched, lifetime], []) = numbers.as_chunks::<8>() else { return false };
        let version = u64::from_le_bytes(version);
        if version <= self.version(source) {
            return false;
        }
        let Some(published) = fetch::shared(source, document) else { return false };
        let fetched = UnixTime::from_milliseconds(u64::from_le_bytes(fetched));
        let lifetime = Duration::from_secs(u64::from_le_bytes(lifetime));
        self.take(source, Known { published, version, fetched, lifetime });
        true
    }

    /// Takes over a key set as it is published;
    ///
    /// # Errors
    /// A sentence, if it is not a usable key set.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn take_published(&mut self, source: &KeySource, document: &[u8], now: UnixTime) -> Result<(), String> {
        let (_, published) = fetch::fetched(source, document)?;
        let lifetime = source.lifetime(Freshness::Unsaid);
        self.take(source, Known { published, version: 1, fetched: now, lifetime });
        Ok(())
    }

    /// What the other VMs of the process take over: the version, the time of the fetch in milliseconds, for how many seconds
    /// it is fresh, and the document.
    #[must_use]
    pub fn shared(version: u64, fetched: UnixTime, lifetime: Duration, document: &[u8]) -> Vec<u8> {
        let numbers = [version, fetched.milliseconds(), lifetime.as_secs()].map(u64::to_le_bytes);
        [numbers.as_flattened(), document].concat()
    }
}
