//! Whose tokens are believed.

use serde::Deserialize;

use super::confirmation::ConfirmationPlace;
use crate::jose::algorithm::Algorithm;
use crate::jose::jwk::KeySet;

/// One authorization server and what its tokens must be like. Its keys serve its own tokens alone.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Fields")]
pub(super) struct Issuer {
    identifier: String,
    audiences: Vec<String>,
    keys: KeySet,
    algorithms: Vec<Algorithm>,
    pub(super) confirmation: ConfirmationPlace,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    issuer: String,
    audiences: Vec<String>,
    keys: Keys,
    algorithms: Option<Vec<Algorithm>>,
    #[serde(default)]
    confirmation: ConfirmationPlace,
}

/// Where the keys come from.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    jwks: KeySet,
}

impl TryFrom<Fields> for Issuer {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let Fields { issuer: identifier, audiences, keys: Keys { jwks: keys }, algorithms, confirmation } = fields;
        if identifier.is_empty() {
            return Err("the issuer is empty".to_owned());
        }
        if audiences.is_empty() || audiences.iter().any(String::is_empty) {
            return Err("audiences needs at least one, and none of them empty: a token for another API is refused by \
                        its audience"
                .to_owned());
        }
        let algorithms = algorithms.unwrap_or_else(|| Algorithm::ALL.to_vec());
        if !algorithms.iter().any(|algorithm| keys.serves(*algorithm)) {
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

    pub(super) fn keys(&self) -> &KeySet {
        &self.keys
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
