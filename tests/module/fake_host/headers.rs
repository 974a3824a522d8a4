// SPDX-License-Identifier: Apache-2.0

//! Header maps as Envoy keeps them, and the bytes in which they cross into the module and back.

use super::world::{Played, failure};
use super::{Header, length};

/// Request headers of which Envoy keeps one: a repeated one is appended to the first, with a comma, both when it arrives
/// and when a filter adds it. All others (`client-cert`, `cookie`, `forwarded`, ...) stay separate entries.
const KEPT_ONCE: [&str; 14] = [
    "accept",
    "accept-encoding",
    "authorization",
    "cache-control",
    "content-type",
    "grpc-timeout",
    "origin",
    "referer",
    "user-agent",
    "via",
    "x-forwarded-client-cert",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-request-id",
];

/// The headers of one request. Names are lower-case.
#[derive(Default)]
pub(super) struct HeaderMap {
    entries: Vec<Header>,
}

impl HeaderMap {
    /// The headers of a response.
    pub(super) fn of_response(sent: &[Header]) -> HeaderMap {
        let entries = sent.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
        HeaderMap { entries }
    }

    /// The headers of a request as they come to the first filter, or why Envoy answers such a request itself.
    pub(super) fn arriving(sent: &[Header]) -> Played<HeaderMap> {
        let mut map = HeaderMap::default();
        for (name, value) in sent {
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            check_name(&name)?;
            check_value(&name, value)?;
            if name == "host" {
                return Err(failure("Envoy turns `host` into `:authority`: name that"));
            }
            map.add(name.as_bytes(), value);
        }
        for pseudo in [":method", ":path", ":authority"] {
            let count = map.entries.iter().filter(|(name, _)| name == pseudo.as_bytes()).count();
            if count != 1 {
                return Err(failure(format!("it has {count} headers `{pseudo}`")));
            }
        }
        Ok(map)
    }

    pub(super) fn entries(&self) -> &[Header] {
        &self.entries
    }

    /// Envoy's `Grpc::Common::isGrpcRequestHeaders`.
    pub(super) fn is_grpc(&self) -> bool {
        let kind = self.first("content-type").unwrap_or_default();
        kind == b"application/grpc" || kind.starts_with(b"application/grpc+")
    }

    /// The value of the first header of this name.
    pub(super) fn first(&self, name: &str) -> Option<&[u8]> {
        let name = if name == "host" { ":authority" } else { name };
        self.entries.iter().find(|(entry, _)| entry == name.as_bytes()).map(|(_, value)| value.as_slice())
    }

    pub(super) fn add(&mut self, name: &[u8], value: &[u8]) {
        let kept_once = KEPT_ONCE.iter().any(|kept| kept.as_bytes() == name);
        match self.entries.iter_mut().find(|(entry, _)| entry == name) {
            Some((_, present)) if kept_once => append(present, value),
            _ => self.entries.push((name.to_vec(), value.to_vec())),
        }
    }

    /// Removes every header of this name and adds one, which thereby is the last of all.
    pub(super) fn replace(&mut self, name: &[u8], value: &[u8]) {
        self.remove(name);
        self.add(name, value);
    }

    pub(super) fn remove(&mut self, name: &[u8]) {
        self.entries.retain(|(entry, _)| entry != name);
    }
}

/// `HeaderMapImpl::appendToHeader`.
fn append(present: &mut Vec<u8>, value: &[u8]) {
    if value.is_empty() {
        return;
    }
    if !present.is_empty() {
        present.push(b',');
    }
    present.extend_from_slice(value);
}

/// Envoy would lower-case a name, and send one that is no token as it is. A filter that relies on either has a bug.
pub(super) fn check_name(name: &str) -> Played<()> {
    let token = name.strip_prefix(':').unwrap_or(name);
    let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !token.is_empty() && token.bytes().all(valid) {
        Ok(())
    } else {
        Err(failure(format!("{name:?} is no lower-case name of a header")))
    }
}

/// Envoy would accept such a value from a filter: on a request it answers 503 later, on a response it sends the line
/// break to the client, who then reads a header that somebody else wrote.
pub(super) fn check_value(name: &str, value: &[u8]) -> Played<()> {
    if value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        Err(failure(format!(
            "the value of the header {name:?} has CR, LF or NUL in it: {:?}",
            String::from_utf8_lossy(value)
        )))
    } else {
        Ok(())
    }
}

/// Routing depends on these headers: this filter has no business with them, by either of the host's names.
pub(super) fn check_not_pseudo(name: &str) -> Played<()> {
    if name.starts_with(':') || name == "host" {
        Err(failure(format!("the module edited the header {name:?}")))
    } else {
        Ok(())
    }
}

pub(super) fn check_response(headers: &[Header]) -> Played<()> {
    for (name, value) in headers {
        let name = String::from_utf8_lossy(name);
        check_name(&name)?;
        check_not_pseudo(&name)?;
        check_value(&name, value)?;
    }
    Ok(())
}

/// A list of headers for messages.
pub(super) fn readable(headers: &[Header]) -> Vec<String> {
    headers
        .iter()
        .map(|(name, value)| {
            let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
            format!("{name}: {value}")
        })
        .collect()
}

/// The ABI's bytes for a list of pairs: their number, all lengths, then every name and value with a NUL behind it.
pub(super) fn encode(pairs: &[Header]) -> Vec<u8> {
    let mut bytes = length(pairs).to_le_bytes().to_vec();
    for (name, value) in pairs {
        bytes.extend_from_slice(&length(name).to_le_bytes());
        bytes.extend_from_slice(&length(value).to_le_bytes());
    }
    for (name, value) in pairs {
        bytes.extend_from_slice(name);
        bytes.push(0);
        bytes.extend_from_slice(value);
        bytes.push(0);
    }
    bytes
}

/// The list of pairs in such bytes, which have to be exact to the last one.
pub(super) fn decode(bytes: &[u8]) -> Played<Vec<Header>> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    decode_pairs(bytes).ok_or_else(|| failure("the module sent a malformed list of headers"))
}

fn decode_pairs(mut bytes: &[u8]) -> Option<Vec<Header>> {
    let count = take_word(&mut bytes)?;
    let mut sizes = Vec::new();
    for _ in 0..count {
        sizes.push((take_word(&mut bytes)?, take_word(&mut bytes)?));
    }
    let mut pairs = Vec::new();
    for (name, value) in sizes {
        pairs.push((take_text(&mut bytes, name)?, take_text(&mut bytes, value)?));
    }
    bytes.is_empty().then_some(pairs)
}

fn take_word(bytes: &mut &[u8]) -> Option<usize> {
    let (word, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    usize::try_from(u32::from_le_bytes(*word)).ok()
}

fn take_text(bytes: &mut &[u8], size: usize) -> Option<Vec<u8>> {
    let (text, rest) = bytes.split_at_checked(size)?;
    *bytes = rest.strip_prefix(&[0])?;
    Some(text.to_vec())
}
