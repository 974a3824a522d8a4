//! One fetch of an issuer's keys: one call, or two where a metadata document says where the keys are.

use std::rc::Rc;

use serde_json::Map;

use super::key_ring::Published;
use super::source::KeySource;
use crate::authorization_server::client::key_set::certificates;
use crate::call::{Answer, Call};
use crate::certificate::thumbprint::Thumbprint;
use crate::jose::json::{self, Json};
use crate::jose::jwk::KeySet;

/// Key sets in the field have up to a few dozen keys.
const LARGEST_BODY: usize = 256 * 1024;

/// Where an answer does not say how long it is fresh.
pub(super) const DEFAULT_MAX_AGE: u64 = 300;

/// A fetch that waits for an answer.
#[derive(Debug)]
pub struct Fetch {
    source: KeySource,
    awaits: Document,
}

#[derive(Debug)]
enum Document {
    Metadata,
    KeySet,
}

/// What a fetch comes to next.
#[derive(Debug)]
pub enum Next {
    /// Make this call, and bring its answer to this fetch.
    Call(Fetch, Box<Call>),
    /// The keys are here.
    Done(Fetched),
    /// There are none, for this reason, which an operator reads.
    Failed(String),
}

/// Keys that were fetched.
#[derive(Debug)]
pub struct Fetched {
    /// What the other VMs get: the key set as it came, or the thumbprints of a client's certificates.
    pub document: Vec<u8>,
    /// The same, read.
    pub keys: Published,
    /// For how many seconds the authorization server calls it fresh: 10 to 86,400.
    pub max_age: u64,
}

impl Fetch {
    /// Begins a fetch.
    #[must_use]
    pub fn begin(source: &KeySource) -> Next {
        let awaits = if source.expected_issuer().is_some() { Document::Metadata } else { Document::KeySet };
        Next::Call(Self { source: source.clone(), awaits }, Box::new(source.first_call()))
    }

    /// Where the keys come from.
    #[must_use]
    pub fn source(&self) -> &KeySource {
        &self.source
    }

    /// Goes on with the answer to the last call.
    #[must_use]
    pub fn receive(self, answer: &Answer<'_>) -> Next {
        let body = match answer.content(LARGEST_BODY) {
            Ok(body) => body,
            Err(why) => return Next::Failed(why),
        };
        match self.awaits {
            Document::Metadata => self.read_metadata(body),
            Document::KeySet => match fetched(&self.source, body) {
                Ok((document, keys)) => {
                    let max_age = answer.cache_control.and_then(max_age).unwrap_or(DEFAULT_MAX_AGE);
                    Next::Done(Fetched { document, keys, max_age: max_age.clamp(10, 86_400) })
                }
                Err(why) => Next::Failed(why),
            },
        }
    }

    /// OpenID Connect Discovery 1.0 §4.3, RFC 8414 §3.3: the document must name the very issuer.
    fn read_metadata(self, body: &[u8]) -> Next {
        let Some(metadata) = json::object(body) else {
            return Next::Failed("the metadata document is not one JSON object".to_owned());
        };
        if metadata.get("issuer").and_then(Json::as_str) != self.source.expected_issuer() {
            return Next::Failed("the metadata document names another issuer".to_owned());
        }
        let jwks_uri = metadata.get("jwks_uri").and_then(Json::as_str);
        match jwks_uri.and_then(|uri| self.source.call_for_key_set(uri)) {
            Some(call) => Next::Call(Self { awaits: Document::KeySet, ..self }, Box::new(call)),
            None => Next::Failed(
                "the metadata document's jwks_uri is not https at the issuer's origin or at a listed one".to_owned(),
            ),
        }
    }
}

/// Reads a key set, and what of it is shared.
pub(super) fn fetched(source: &KeySource, body: &[u8]) -> Result<(Vec<u8>, Published), String> {
    if source.is_on_demand() {
        let document = json::object(body).ok_or("the key set is not one JSON object")?;
        let certificates = certificates(Map::from(document))?;
        let thumbprints = certificates.iter().flat_map(Thumbprint::bytes).collect();
        Ok((thumbprints, Published::Certificates(certificates)))
    } else {
        Ok((body.to_vec(), Published::Keys(Rc::new(published(body)?))))
    }
}

/// Reads what [`fetched`] shares.
pub(super) fn shared(source: &KeySource, document: &[u8]) -> Option<Published> {
    if source.is_on_demand() {
        let (thumbprints, rest) = document.as_chunks();
        rest.is_empty().then(|| Published::Certificates(thumbprints.iter().copied().map(Thumbprint::from).collect()))
    } else {
        published(document).ok().map(|keys| Published::Keys(Rc::new(keys)))
    }
}

/// Reads a key set that an authorization server publishes.
fn published(body: &[u8]) -> Result<KeySet, String> {
    let document = json::object(body).ok_or("the key set is not one JSON object")?;
    KeySet::published(Map::from(document))
}

/// RFC 9111 §5.2.2.1; `no-store` and `no-cache` say that it is not fresh at all.
fn max_age(cache_control: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(cache_control).ok()?;
    let mut directives = text.split(',').map(str::trim);
    directives.find_map(|directive| {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        match name.to_ascii_lowercase().as_str() {
            "max-age" => value.trim_matches('"').parse().ok(),
            "no-store" | "no-cache" => Some(0),
            _ => None,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freshness_is_read_from_cache_control() {
        for (text, expected) in [
            ("max-age=60", Some(60)),
            ("public, Max-Age=\"60\"", Some(60)),
            ("no-store", Some(0)),
            ("private", None),
            ("max-age=x", None),
            ("max-age=-1", None),
            ("s-maxage=5, max-age=7", Some(7)),
        ] {
            assert_eq!(max_age(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(max_age(b"\xff"), None);
    }
}
