//! A signed token in compact form (RFC 7515 §7.1), taken apart and not yet believed.

use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::{base64url, json};
use crate::reason::Reason;

/// In bytes. Envoy's own limit for all headers together is 60 KiB; tokens in the field have 1 to 4 KB.
const LONGEST: usize = 16 * 1024;

/// Header parameters that bring or name a key of the token's own choice, or ask for an extension.
const REFUSED_PARAMETERS: &[&str] = &["crit", "jwk", "jku", "x5u"];

/// A JWT of no other purpose (RFC 8725 §3.11), or an access token (RFC 9068 §2.1): a logout token, say, has a type of its
/// own, and must not pass for one.
const JWT_TYPES: [&str; 3] = ["jwt", "at+jwt", "application/at+jwt"];

/// A token whose syntax is right. Nothing in it has been verified.
#[derive(Debug)]
pub struct CompactJws<'a> {
    text: &'a str,
    kind: Option<String>,
    algorithm: Algorithm,
    key_id: Option<String>,
    payload: Map<String, Value>,
    signing_input: &'a str,
    signature: Vec<u8>,
}

impl<'a> CompactJws<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// [`Reason::TokenTooLong`], [`Reason::TokenMalformed`], [`Reason::TokenTypeUnsupported`],
    /// [`Reason::TokenHeaderUnsupported`], [`Reason::AlgorithmNotAllowed`].
    pub fn parse(text: &'a str) -> Result<Self, Reason> {
        Self::parse_as(text, &JWT_TYPES)
    }

    /// Takes a token apart that is of one of these types, in any case, or says none.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub(crate) fn parse_as(text: &'a str, types: &[&str]) -> Result<Self, Reason> {
        if text.len() > LONGEST {
            return Err(Reason::TokenTooLong);
        }
        let (signing_input, signature) = text.rsplit_once('.').ok_or(Reason::TokenMalformed)?;
        // A third dot (an encrypted token has four) would stand in one of the parts, where base64url has none.
        let (header, payload) = signing_input.split_once('.').ok_or(Reason::TokenMalformed)?;
        let header = object(header)?;
        if header.keys().any(|name| REFUSED_PARAMETERS.contains(&name.as_str())) {
            return Err(Reason::TokenHeaderUnsupported);
        }
        let kind = match header.get("typ") {
            None => None,
            Some(Value::String(kind)) if types.iter().any(|known| kind.eq_ignore_ascii_case(known)) => {
                Some(kind.clone())
            }
            Some(_) => return Err(Reason::TokenTypeUnsupported),
        };
        let algorithm = match header.get("alg") {
            Some(Value::String(name)) => Algorithm::from_name(name).ok_or(Reason::AlgorithmNotAllowed)?,
            _ => return Err(Reason::TokenMalformed),
        };
        let key_id = parameter(&header, "kid")?.map(str::to_owned);
        let payload = object(payload)?;
        let signature = base64url::decode(signature).ok_or(Reason::TokenMalformed)?;
        Ok(Self { text, kind, algorithm, key_id, payload, signing_input, signature })
    }

    /// The whole token.
    #[must_use]
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// What the token says that it is (`typ`).
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }

    /// The algorithm that the token claims to be signed with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key that the token claims to be signed with.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// The claims. They are true only once the signature is verified.
    pub(crate) fn payload(&self) -> &Map<String, Value> {
        &self.payload
    }

    /// Whether the token claims to be from this issuer.
    pub(crate) fn is_from(&self, issuer: &str) -> bool {
        self.payload.get("iss").and_then(Value::as_str) == Some(issuer)
    }

    /// What the signature is over.
    #[must_use]
    pub fn signing_input(&self) -> &'a str {
        self.signing_input
    }

    /// The signature's bytes; r and s side by side for ECDSA (RFC 7518 §3.4).
    #[must_use]
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

fn object(part: &str) -> Result<Map<String, Value>, Reason> {
    base64url::decode(part).and_then(|bytes| json::object(&bytes)).ok_or(Reason::TokenMalformed)
}

fn parameter<'h>(header: &'h Map<String, Value>, name: &str) -> Result<Option<&'h str>, Reason> {
    header.get(name).map(|value| value.as_str().ok_or(Reason::TokenMalformed)).transpose()
}

/// Whether a text is meant for a JWT (RFC 7519 §3), right or wrong: what stands before its first dot is a JSON object.
pub(crate) fn is_meant_for_jwt(text: &str) -> bool {
    text.split_once('.').is_some_and(|(header, _)| object(header).is_ok())
}
