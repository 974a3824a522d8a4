// SPDX-License-Identifier: Apache-2.0

//! One fetch of keys: one call, or two if a metadata document says where the keys are.

use std::rc::Rc;
use std::time::Duration;

use serde_json::Map;

use crate::http::call::{Call, Response};
use crate::jose::jwk::KeySet;
use crate::keys::client_key_set::{self, ClientKeys};
use crate::keys::freshness::Freshness;
use crate::keys::key_ring::Published;
use crate::keys::source::KeySource;
use crate::text::https_url::redacted;
use crate::text::json::{self, Json};
use crate::text::quoted::Quoted;

/// In bytes. Usual key sets have up to a few dozen keys.
const LARGEST_BODY: usize = 256 * 1024;

/// A fetch that waits for a response.
#[derive(Debug)]
pub struct Fetch {
    source: KeySource,
    awaits: Document,
}

#[derive(Debug)]
enum Document {
    Metadata,
    /// How long the metadata document is fresh, if one was read first.
    KeySet(Option<Duration>),
}

/// What a fetch does next.
#[derive(Debug)]
pub enum Next {
    /// Make this call, and give its response to this fetch.
    Call(Fetch, Box<Call>),
    /// The keys are here.
    Done(Fetched),
    /// The fetch has failed; the sentence is for the operator.
    Failed(String),
}

/// Keys that were fetched.
#[derive(Debug)]
pub struct Fetched {
    /// What is shared with the other VMs: the key set as it came, or the thumbprints of a client's certificates.
    pub document: Vec<u8>,
    /// The same, parsed.
    pub keys: Published,
    /// How long they are fresh.
    pub lifetime: Duration,
    /// After how long they are to be fetched again.
    pub pause: Duration,
}

impl Fetch {
    /// Begins a fetch.
    #[must_use]
    pub fn begin(source: &KeySource) -> Next {
        let awaits = if source.expected_issuer().is_some() { Document::Metadata } else { Document::KeySet(None) };
        Next::Call(Self { source: source.clone(), awaits }, Box::new(source.first_call()))
    }

    /// Where the keys come from.
    #[must_use]
    pub fn source(&self) -> &KeySource {
        &self.source
    }

    /// Continues with the response to the last call.
    #[must_use]
    pub fn receive(self, response: &Response<'_>) -> Next {
        let body = match response.content(LARGEST_BODY) {
            Ok(body) => body,
            Err(why) => return Next::Failed(why),
        };
        let lifetime = self.source.lifetime(Freshness::of(response.cache_control, response.age));
        match self.awaits {
            Document::Metadata => self.read_metadata(body, lifetime),
            Document::KeySet(of_metadata) => match fetched(&self.source, body) {
                Ok((document, keys)) => {
                    let lifetime = lifetime.min(of_metadata.unwrap_or(Duration::MAX));
                    let pause = self.source.pause(lifetime, keys.is_empty());
                    Next::Done(Fetched { document, keys, lifetime, pause })
                }
                Err(why) => Next::Failed(why),
            },
        }
    }

    /// OpenID Connect Discovery 1.0 §4.3, RFC 8414 §3.3: the document must name the very issuer.
    fn read_metadata(self, body: &[u8], lifetime: Duration) -> Next {
        let Some(metadata) = json::object(body) else {
            return Next::Failed("the metadata document is not one JSON object".to_owned());
        };
        let (issuer, expected) = (metadata.get("issuer").and_then(Json::as_str), self.source.expected_issuer());
        if issuer != expected {
            let named = issuer
                .map_or_else(|| "no issuer".to_owned(), |issuer| format!("the issuer {}", Quoted(&redacted(issuer))));
            let expected = redacted(expected.unwrap_or_default());
            let expected = Quoted(&expected);
            return Next::Failed(format!("the metadata document names {named} and not {expected}"));
        }
        let jwks_uri = metadata.get("jwks_uri").and_then(Json::as_str);
        match jwks_uri.and_then(|uri| self.source.call_for_key_set(uri)) {
            Some(call) => Next::Call(Self { awaits: Document::KeySet(Some(lifetime)), ..self }, Box::new(call)),
            None => {
                let named = jwks_uri.map_or_else(|| "none".to_owned(), |uri| Quoted(&redacted(uri)).to_string());
                Next::Failed(format!(
                    "the metadata document's jwks_uri is {named}: it must be https at the issuer's origin, or at one that \
                     `discovery.origins` lists"
                ))
            }
        }
    }
}

/// Parses a key set. The bytes are what is shared with the other VMs.
pub(crate) fn fetched(source: &KeySource, body: &[u8]) -> Result<(Vec<u8>, Published), String> {
    if source.is_on_demand() {
        let document = json::object(body).ok_or("the key set is not one JSON object")?;
        let keys = client_key_set::published(Map::from(document))?;
        Ok((keys.shared(), Published::Certificates(keys)))
    } else {
        Ok((body.to_vec(), Published::Keys(Rc::new(published(body)?))))
    }
}

/// Parses the bytes that [`fetched`] returned.
pub(crate) fn shared(source: &KeySource, document: &[u8]) -> Option<Published> {
    if source.is_on_demand() {
        ClientKeys::take_shared(document).map(Published::Certificates)
    } else {
        published(document).ok().map(|keys| Published::Keys(Rc::new(keys)))
    }
}

/// Parses a key set that an authorization server publishes.
fn published(body: &[u8]) -> Result<KeySet, String> {
    let document = json::object(body).ok_or("the key set is not one JSON object")?;
    KeySet::published(Map::from(document))
}
