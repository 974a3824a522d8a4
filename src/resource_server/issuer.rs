//! Whose tokens are believed.

use std::rc::Rc;

use serde::Deserialize;

use super::confirmation::ConfirmationPlace;
use super::keys::{KeyRing, KeySource, Keys, KeysFields};
use crate::jose::algorithm::Algorithm;
use crate::jose::jwk::KeySet;

/// One authorization server and what its tokens must be like. Its keys serve its own tokens alone.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Fields")]
pub(super) struct Issuer {
    identifier: String,
    audiences: Vec<String>,
    keys: Keys,
    algorithms: Vec<Algorithm>,
    pub(super) confirmation: ConfirmationPlace,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    issuer: String,
    audiences: Vec<String>,
    keys: KeysFields,
    algorithms: Option<Vec<Algorithm>>,
    #[serde(default)]
    confirmation: ConfirmationPlace,
}

impl TryFrom<Fields> for Issuer {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let Fields { issuer: identifier, audiences, keys, algorithms, confirmation } = fields;
        if identifier.is_empty() {
            return Err("the issuer is empty".to_owned());
        }
        if audiences.is_empty() || audiences.iter().any(String::is_empty) {
            return Err("audiences needs at least one, and none of them empty: a token for another API is refused by \
                        its audience"
                .to_owned());
        }
        let algorithms = algorithms.unwrap_or_else(|| Algorithm::ALL.to_vec());
        let keys = keys.of_issuer(&identifier)?;
        if let Keys::Inline(keys) = &keys
            && !algorithms.iter().any(|algorithm| keys.serves(*algorithm))
        {
            return Err(
                "none of the keys can be used with any of the algorithms, so every token would be refused".to_owned()
            );
        }
        Ok(Self { identifier, audiences, keys, algorithms, confirmation })
    }
}

impl Issuer {
    pub(super) fn identifier(&self) -> &str {
        &self.identifier
    }

    /// The keys as they are known now; the source of those that are not.
    pub(super) fn keys<'i: 'k, 'k>(&'i self, ring: &'k KeyRing, now: u64) -> Result<&'k KeySet, &'i KeySource> {
        match &self.keys {
            Keys::Inline(keys) => Ok(keys),
            Keys::Fetched(source) => ring.keys(source, now.saturating_mul(1000)).map(Rc::as_ref).ok_or(source),
        }
    }

    /// Where the keys are fetched, if they are.
    pub(super) fn key_source(&self) -> Option<&KeySource> {
        match &self.keys {
            Keys::Inline(_) => None,
            Keys::Fetched(source) => Some(source),
        }
    }

    pub(super) fn first_audience(&self) -> &str {
        self.audiences.first().map(String::as_str).unwrap_or_default()
    }

    pub(super) fn is_audience(&self, audience: &str) -> bool {
        self.audiences.iter().any(|own| own == audience)
    }

    pub(super) fn may_use(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }
}
