// SPDX-License-Identifier: Apache-2.0

//! What the keys of a key set are, for those who verify tokens with them.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

use super::sentence::counted;
use crate::jose::algorithm::Algorithm;
use crate::jose::jwk::{KeySet, PublicKey};
use crate::jose::left_out::{KeyId, LeftOutKey, Why};
use crate::keys::client_key_set;
use crate::text::json;
use crate::text::quoted::Briefly;

/// The description of a key set. [`fmt::Display`] writes it for people and [`KeySetInspection::json`] for programs. Both are
/// safe for a terminal, whatever the keys contain, and neither shows anything of a secret key.
#[derive(Debug, Serialize)]
pub struct KeySetInspection {
    keys: Vec<InspectedKey>,
    /// What a filter that fetches this set would say about the whole set.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

/// One key.
#[derive(Debug, Serialize)]
struct InspectedKey {
    /// What the key says of itself; `kid` as it is written.
    kid: Value,
    kty: Option<String>,
    crv: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    /// The length of a usable RSA key's modulus, in bits.
    bits: Option<usize>,
    /// The signatures that it verifies; none if it is left out.
    verifies: Vec<&'static str>,
    /// Why it is left out, if it is.
    left_out: Option<String>,
    /// Whether that is a fault. Otherwise the key has another purpose.
    fault: bool,
    /// Of a key with `x5c`: the SHA-256 of the certificate with which a client may authenticate (RFC 8705 §2.2), in base64url.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
    /// Why its `x5c` serves no client, if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    no_certificate: Option<String>,
}

impl KeySetInspection {
    /// Describes the JSON Web Key Set, or the one JSON Web Key, in a file. `None` if the file is something else.
    ///
    /// # Errors
    /// What is wrong with the set, for a sentence that begins with its name and "is".
    #[must_use]
    pub fn of_file(bytes: &[u8]) -> Option<Result<Self, String>> {
        let value: Value = serde_json::from_slice(bytes.trim_ascii()).ok()?;
        let is_key = value.get("kty").is_some();
        if !is_key && value.get("keys").is_none() {
            return None;
        }
        let Some(document) = json::object(bytes) else {
            return Some(Err(not_read("a name is there twice in an object, or it is nested too deeply")));
        };
        let document = Map::from(document);
        let set = match is_key {
            true => [("keys".to_owned(), Value::Array(vec![Value::Object(document)]))].into_iter().collect(),
            false => document,
        };
        Some(Self::of_set(set).map_err(|error| not_read(&error)))
    }

    fn of_set(set: Map<String, Value>) -> Result<Self, String> {
        let members = set.get("keys").and_then(Value::as_array).cloned().unwrap_or_default();
        let note = KeySet::published(set.clone()).map_or(
            Some("no key of this set verifies tokens: a filter that fetches it keeps the set before"),
            |taken| taken.is_empty().then_some("this set has no key that verifies tokens: all are withdrawn"),
        );
        let keys = KeySet::each(set)?.into_iter().zip(&members).map(|(key, members)| InspectedKey::of(&key, members));
        Ok(Self { keys: keys.collect(), note })
    }

    /// One JSON object on several lines, all in ASCII.
    #[must_use]
    pub fn json(&self) -> String {
        let json = serde_json::to_string_pretty(self).unwrap_or_default();
        json.lines().map(json::in_ascii).collect::<Vec<_>>().join("\n")
    }
}

fn not_read(why: &str) -> String {
    format!("a JSON Web Key Set that is not read: {why}")
}

impl InspectedKey {
    fn of(key: &Result<PublicKey, LeftOutKey>, members: &Value) -> Self {
        let text = |name: &str| members.get(name).and_then(Value::as_str).map(str::to_owned);
        let [kty, crv, alg, usage] = ["kty", "crv", "alg", "use"].map(text);
        let kid = members.get("kid").cloned().unwrap_or_default();
        let (verifies, bits) = match key {
            Ok(key) => {
                let algorithms = Algorithm::ALL.iter().filter(|algorithm| key.fits(**algorithm));
                (algorithms.map(|algorithm| algorithm.name()).collect(), key.bits())
            }
            Err(_) => (Vec::new(), None),
        };
        let left_out = key.as_ref().err().map(|left_out| left_out.why.to_string());
        let fault = key.as_ref().is_err_and(|left_out| !matches!(left_out.why, Why::ForAnotherUse(_)));
        let has_chain = members.get("x5c").is_some_and(|chain| !chain.is_null());
        let own = if has_chain { client_key_set::certificate_of(members.clone()) } else { Ok(None) };
        let certificate = own.as_ref().ok().copied().flatten().map(|own| own.to_string());
        let no_certificate = own.err();
        Self { kid, kty, crv, alg, usage, bits, verifies, left_out, fault, certificate, no_certificate }
    }
}

impl fmt::Display for KeySetInspection {
    /// A line for each key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, key) in self.keys.iter().enumerate() {
            writeln!(formatter, "keys[{place}]: {key}")?;
        }
        let usable = self.keys.iter().filter(|key| key.left_out.is_none()).count();
        let left_out = self.keys.len().saturating_sub(usable);
        write!(formatter, "{} for tokens, {left_out} left out", counted(usable, "key"))?;
        match self.keys.iter().filter(|key| key.fault).count() {
            _ if left_out == 0 => writeln!(formatter)?,
            0 => writeln!(formatter, ", none of them for a fault")?,
            faults => writeln!(formatter, ", {faults} of them for a fault")?,
        }
        self.note.map_or(Ok(()), |note| writeln!(formatter, "note: {note}"))
    }
}

impl fmt::Display for InspectedKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        KeyId::from(&self.kid).fmt(formatter)?;
        for (name, said) in [("kty", &self.kty), ("crv", &self.crv), ("alg", &self.alg), ("use", &self.usage)] {
            said.as_ref().map_or(Ok(()), |said| write!(formatter, ", {name} {}", Briefly(said)))?;
        }
        self.bits.map_or(Ok(()), |bits| write!(formatter, ", {bits} bits"))?;
        match &self.left_out {
            Some(why) if self.fault => write!(formatter, ": left out: {why}"),
            Some(why) => write!(formatter, ": for something else: {why}"),
            None => write!(formatter, ": verifies {}", self.verifies.join(", ")),
        }?;
        match (&self.certificate, &self.no_certificate) {
            (Some(own), _) => write!(formatter, "; of a client, its certificate is {own}"),
            (None, Some(why)) => write!(formatter, "; of a client, it is left out: {why}"),
            (None, None) => Ok(()),
        }
    }
}
