// SPDX-License-Identifier: Apache-2.0

//! A cache of verified tokens, which need no cryptography when they come again. Some refused tokens are cached apart: anybody
//! can make up any number of these, so none of them may displace a verified one.
//!
//! An entry has the claims, what depends only on them and the policy (audience and scope), and the access-log line of an
//! accepted request. Time and certificate are judged for every request. An entry also names the key that verified the token,
//! and counts only while that key is in the issuer's key set.

use std::rc::Rc;

use serde::Deserialize;

use super::prepared::Prepared;
use super::unnamed_key_checks::UnnamedKeyChecks;
use crate::collections::bounded_cache::BoundedCache;
use crate::outcome::refusal::Refusal;
use crate::time::UnixTime;

/// In bytes: what an entry takes besides the token and its claims, for the map's slot, the shared pointer and the allocator.
const OVERHEAD: usize = 256;

/// How much of a VM's memory verified tokens may take. Each worker of the proxy has a VM.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "u64")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema, serde::Serialize), schemars(!try_from, extend("anyOf" = [{ "const": 0 }, { "minimum": 65536, "maximum": 268_435_456 }])))]
pub struct TokenCacheSize(usize);

impl Default for TokenCacheSize {
    fn default() -> Self {
        Self(4 * 1024 * 1024)
    }
}

impl TryFrom<u64> for TokenCacheSize {
    type Error = &'static str;

    fn try_from(bytes: u64) -> Result<Self, Self::Error> {
        match usize::try_from(bytes) {
            Ok(bytes) if bytes == 0 || (65_536..=268_435_456).contains(&bytes) => Ok(Self(bytes)),
            _ => Err("the token cache has 65536 to 268435456 bytes, or 0: then there is none"),
        }
    }
}

/// Refused tokens get one part in so many of the memory.
const SHARE_OF_REFUSED: usize = 8;

/// The cache of one VM, for all its policies. The key is the policy with the whole token, since the entry depends on both.
#[derive(Debug)]
pub struct TokenCache {
    verified: BoundedCache<Box<[u8]>, Known>,
    refused: BoundedCache<Box<[u8]>, Known>,
    /// Limits the cost of tokens that are in neither.
    pub(super) unnamed_key_checks: UnnamedKeyChecks,
}

/// What is known of a token.
#[derive(Clone, Debug)]
pub(super) enum Known {
    /// Its claims.
    Claims(Rc<Prepared>),
    /// Why it is refused.
    Refused(Rc<Refusal>, Holds),
}

/// How long a refusal holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Holds {
    /// Refused by introspection. It holds until then.
    Until(UnixTime),
    /// The signature is invalid. It holds as long as the issuer has the keys with which it was checked.
    WithKeys {
        /// The place of the issuer in its policy.
        issuer: usize,
        /// The digest of these keys.
        keys: u64,
        /// Whether the token names one of them.
        is_named: bool,
    },
}

impl Known {
    fn size(&self) -> usize {
        match self {
            Self::Claims(claims) => claims.size(),
            Self::Refused(refusal, _) => refusal.size(),
        }
    }
}

impl TokenCache {
    /// An empty cache.
    #[must_use]
    pub fn new(size: TokenCacheSize) -> Self {
        let of_refused = size.0 / SHARE_OF_REFUSED;
        Self {
            verified: BoundedCache::new(size.0.saturating_sub(of_refused)),
            refused: BoundedCache::new(of_refused),
            unnamed_key_checks: UnnamedKeyChecks::default(),
        }
    }

    /// The token, if this policy has verified it.
    pub(super) fn verified(&mut self, policy: &str, token: &[u8]) -> Option<Rc<Prepared>> {
        match self.verified.find(policy, token)? {
            Known::Claims(claims) => Some(claims),
            Known::Refused(..) => None,
        }
    }

    /// Why this policy has refused a token, and for how long that holds.
    pub(super) fn refused(&mut self, policy: &str, token: &[u8]) -> Option<(Rc<Refusal>, Holds)> {
        match self.refused.find(policy, token)? {
            Known::Refused(refusal, holds) => Some((refusal, holds)),
            Known::Claims(_) => None,
        }
    }

    /// Stores what this policy has found out about a token.
    pub(super) fn insert(&mut self, policy: &str, token: &str, known: Known) {
        let bytes = token.len().saturating_add(known.size()).saturating_add(OVERHEAD);
        let place = match known {
            Known::Claims(_) => &mut self.verified,
            Known::Refused(..) => &mut self.refused,
        };
        place.insert(policy, token.as_bytes().into(), known, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::Reason;

    const SIZE: u64 = 1024 * 1024;

    fn cache() -> TokenCache {
        TokenCache::new(TokenCacheSize::try_from(SIZE).unwrap())
    }

    fn claims() -> Known {
        Known::Claims(Rc::new(Prepared::example()))
    }

    fn refused(number: usize) -> (String, Known) {
        let refusal = Refusal::because(Reason::TokenInactive, "x".repeat(number % 300));
        (format!("{number:0200}"), Known::Refused(Rc::new(refusal), Holds::Until(UnixTime::MAX)))
    }

    #[expect(clippy::arithmetic_side_effects, reason = "small numbers")]
    fn held(cache: &TokenCache) -> usize {
        let entries = cache.verified.entries().chain(cache.refused.entries());
        entries.map(|(token, known)| token.len() + known.size() + OVERHEAD).sum()
    }

    #[test]
    fn a_million_tokens_take_no_more_than_the_cache_has() {
        let mut cache = cache();
        let claims = claims();
        for number in 0..1_000_000 {
            cache.insert("api", &format!("{number:0100}"), claims.clone());
            let (token, refused) = refused(number);
            cache.insert("api", &token, refused);
            if number % 250_000 == 0 {
                assert!(held(&cache) <= usize::try_from(SIZE).unwrap());
            }
        }
        assert!(held(&cache) > usize::try_from(SIZE).unwrap() / 3);
    }

    #[test]
    fn a_million_refused_tokens_leave_a_good_one_where_it_is() {
        let mut cache = cache();
        cache.insert("api", "good", claims());
        for number in 0..1_000_000 {
            let (token, refused) = refused(number);
            cache.insert("api", &token, refused);
            if number % 250_000 == 0 {
                assert!(held(&cache) <= usize::try_from(SIZE).unwrap() / 4);
            }
        }
        assert!(cache.verified("api", b"good").is_some());
        // They have their share, and the last of them are known.
        assert!(held(&cache) > usize::try_from(SIZE).unwrap() / 24);
        assert!(cache.refused("api", refused(999_999).0.as_bytes()).is_some());
        assert!(cache.refused("api", refused(0).0.as_bytes()).is_none());
    }

    #[test]
    fn a_token_that_is_refused_later_is_found_so_and_one_that_is_good_again_too() {
        let mut cache = cache();
        let (token, refused) = refused(1);
        cache.insert("api", &token, claims());
        cache.insert("api", &token, refused.clone());
        assert!(cache.verified("api", token.as_bytes()).is_some() && cache.refused("api", token.as_bytes()).is_some());
        assert!(cache.refused("other", token.as_bytes()).is_none());
    }

    #[test]
    fn a_token_that_is_used_stays_and_one_that_is_not_goes() {
        let mut cache = cache();
        cache.insert("api", "used", claims());
        cache.insert("api", "unused", claims());
        for number in 0..10_000 {
            cache.insert("api", &number.to_string(), claims());
            assert!(cache.verified("api", b"used").is_some());
        }
        assert!(cache.verified("api", b"unused").is_none());
    }

    #[test]
    fn what_one_policy_verified_is_nothing_to_another() {
        let mut cache = cache();
        cache.insert("api", "token", claims());
        assert!(cache.verified("api", b"token").is_some());
        assert!(cache.verified("other", b"token").is_none());
        assert!(cache.verified("api", b"toke").is_none());
        assert!(cache.refused("api", b"token").is_none());
    }

    #[test]
    fn a_cache_of_no_bytes_keeps_nothing() {
        let mut cache = TokenCache::new(TokenCacheSize::try_from(0).unwrap());
        cache.insert("api", "token", claims());
        cache.insert("api", "refused", refused(1).1);
        assert!(cache.verified("api", b"token").is_none() && cache.refused("api", b"refused").is_none());
        for wrong in [1, 65_535, 268_435_457] {
            assert!(TokenCacheSize::try_from(wrong).is_err());
        }
    }
}
