// SPDX-License-Identifier: Apache-2.0

//! A signed token in compact form (RFC 7515 §7.1), parsed and not yet verified.

use std::cell::RefCell;
use std::rc::Rc;

use super::algorithm::Algorithm;
use crate::reason::Reason;
use crate::text::base64url;
use crate::text::json::{self, Json, Object};

/// The longest token, in bytes. Envoy's own limit for all headers together is 60 KiB; tokens in the field have 1 to 4 KB.
const LONGEST: usize = 16 * 1024;

/// Header parameters by which a token would choose its own key, or demand an extension.
const REFUSED_PARAMETERS: &[&str] = &["crit", "jwk", "jku", "x5u"];

/// The types that are read: a JWT of no other purpose (RFC 8725 §3.11), and an access token (RFC 9068 §2.1). A logout token,
/// for example, has a type of its own and must not pass for one. Each type has two spellings (RFC 7515 §4.1.9).
const JWT_TYPES: &[&str] = &["jwt", "application/jwt", "at+jwt", "application/at+jwt"];

/// A token with the right syntax. Nothing in it is verified.
#[derive(Debug)]
pub struct CompactJws<'a> {
    text: &'a str,
    header: Rc<Header>,
    payload: Object<'a>,
    signing_input: &'a str,
    signature: Vec<u8>,
}

/// The members of the protected header (RFC 7515 §4) that are looked at.
#[derive(Debug)]
struct Header {
    kind: Option<&'static str>,
    algorithm: Algorithm,
    key_id: Option<String>,
}

/// The text of a header, and what was read from it.
struct Known {
    text: String,
    types: &'static [&'static str],
    header: Rc<Header>,
}

thread_local! {
    /// The header that was read last. All tokens of one key have the same.
    static LAST: RefCell<Option<Known>> = const { RefCell::new(None) };
}

impl Header {
    fn read(text: &str, types: &'static [&'static str]) -> Result<Rc<Self>, Reason> {
        let is_last = |known: &&Known| known.text == text && known.types == types;
        let known = LAST.with_borrow(|last| last.as_ref().filter(is_last).map(|known| Rc::clone(&known.header)));
        if let Some(header) = known {
            return Ok(header);
        }
        let header = Rc::new(Self::parse(text, types)?);
        LAST.set(Some(Known { text: text.to_owned(), types, header: Rc::clone(&header) }));
        Ok(header)
    }

    fn parse(text: &str, types: &'static [&'static str]) -> Result<Self, Reason> {
        let header = base64url::decode(text).ok_or(Reason::TokenMalformed)?;
        let header = json::object(&header).ok_or(Reason::TokenMalformed)?;
        if header.iter().any(|(name, _)| REFUSED_PARAMETERS.contains(&name)) {
            return Err(Reason::TokenHeaderUnsupported);
        }
        let known = |kind: &str| types.iter().find(|known| kind.eq_ignore_ascii_case(known)).copied();
        let kind = match header.get("typ") {
            None => None,
            Some(kind) => Some(kind.as_str().and_then(known).ok_or(Reason::TokenTypeUnsupported)?),
        };
        let algorithm = header.get("alg").and_then(Json::as_str).ok_or(Reason::TokenMalformed)?;
        let algorithm = Algorithm::from_name(algorithm).ok_or(Reason::AlgorithmNotAllowed)?;
        let key_id = header.get("kid").map(|key_id| key_id.as_str().ok_or(Reason::TokenMalformed)).transpose()?;
        Ok(Self { kind, algorithm, key_id: key_id.map(str::to_owned) })
    }
}

impl<'a> CompactJws<'a> {
    /// Parses a token; `room` is where its payload is decoded.
    ///
    /// # Errors
    /// [`Reason::TokenTooLong`], [`Reason::TokenMalformed`], [`Reason::TokenTypeUnsupported`],
    /// [`Reason::TokenHeaderUnsupported`], [`Reason::AlgorithmNotAllowed`].
    pub fn parse(text: &'a str, room: &'a mut Vec<u8>) -> Result<Self, Reason> {
        Self::parse_as(text, room, JWT_TYPES)
    }

    /// Parses a token that is of one of these types, in any case, or names none.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub(crate) fn parse_as(
        text: &'a str,
        room: &'a mut Vec<u8>,
        types: &'static [&'static str],
    ) -> Result<Self, Reason> {
        if text.len() > LONGEST {
            return Err(Reason::TokenTooLong);
        }
        let (signing_input, signature) = text.rsplit_once('.').ok_or(Reason::TokenMalformed)?;
        // A third dot (an encrypted token has four) would be inside a part, and base64url has no dot.
        let (header, payload) = signing_input.split_once('.').ok_or(Reason::TokenMalformed)?;
        let header = Header::read(header, types)?;
        *room = base64url::decode(payload).ok_or(Reason::TokenMalformed)?;
        let payload = json::object(room).ok_or(Reason::TokenMalformed)?.without_nulls();
        let signature = base64url::decode(signature).ok_or(Reason::TokenMalformed)?;
        Ok(Self { text, header, payload, signing_input, signature })
    }

    /// The whole token.
    #[must_use]
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The type that the token claims (`typ`), in lower case.
    #[must_use]
    pub fn kind(&self) -> Option<&'static str> {
        self.header.kind
    }

    /// The algorithm that the token claims to be signed with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.header.algorithm
    }

    /// The key that the token claims to be signed with.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.header.key_id.as_deref()
    }

    /// The claims that are not null. Only a verified signature makes them true.
    pub(crate) fn payload(&self) -> &Object<'a> {
        &self.payload
    }

    /// The bytes that are signed.
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

/// Algorithms of JWS that are not known here (RFC 7518 §3.1, RFC 8812 §3.2, RFC 9864 §2.2).
const OTHER_ALGORITHMS: &[&str] = &["none", "HS256", "HS384", "HS512", "ES256K", "Ed448"];

/// Why the header of a token is refused for this reason, in words of our own.
pub(crate) fn seen_in_header(text: &str, reason: Reason) -> Option<String> {
    let header = base64url::decode(text.split('.').next()?)?;
    let header = json::object(&header)?;
    let is_algorithm = |name: &&&str| header.get("alg").and_then(Json::as_str) == Some(**name);
    match reason {
        Reason::TokenHeaderUnsupported => {
            let refused = REFUSED_PARAMETERS.iter().find(|name| header.get(name).is_some())?;
            Some(format!("the header has {refused}"))
        }
        Reason::AlgorithmNotAllowed => {
            let known = OTHER_ALGORITHMS.iter().find(is_algorithm).copied().unwrap_or("the algorithm");
            Some(format!("{known} is not supported"))
        }
        Reason::TokenTypeUnsupported => Some("the header's typ is neither JWT nor at+jwt".to_owned()),
        _ => None,
    }
}

/// Whether a text is an encrypted token in compact form (RFC 7516 §7.1, §9): five parts, and a header with `enc`. Without the
/// key to decrypt it such a token is opaque. It is read as strictly as a signed one.
pub(crate) fn is_encrypted(text: &str) -> bool {
    let [header, rest @ ..] = &*text.splitn(6, '.').collect::<Vec<_>>() else { return false };
    let has_enc = |header: &[u8]| json::object(header).is_some_and(|own| matches!(own.get("enc"), Some(Json::Text(_))));
    rest.len() == 4
        && base64url::decode(header).is_some_and(|header| has_enc(&header))
        && rest.iter().all(|part| base64url::decode(part).is_some())
}

/// Whether a text is meant as a JWT (RFC 7519 §3), right or wrong. It is if some reader, however lenient, decodes the part
/// before the first dot to a text that begins like a JSON object, at most after white space and a byte order mark. Such a token
/// is read strictly or not at all. If it were taken for opaque, a server that reads it less strictly could accept it.
///
/// The decoded part must be text to its end, since one in 256 random values begins with that character.
pub(crate) fn is_meant_for_jwt(text: &str) -> bool {
    let header = text.split_once('.').map(|(header, _)| base64url::leniently_decoded(header)).unwrap_or_default();
    let is_blank = |byte: &&u8| byte.is_ascii_whitespace() || matches!(byte, 0xef | 0xbb | 0xbf);
    // `error_len` is `None` if the text ends within a character.
    let is_text =
        |header: &[u8]| std::str::from_utf8(header).map_or_else(|error| error.error_len().is_none(), |_| true);
    header.iter().find(|byte| !is_blank(byte)) == Some(&b'{') && is_text(&header)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn parsed(text: &str, types: &'static [&'static str]) -> Result<(), Reason> {
        CompactJws::parse_as(text, &mut Vec::new(), types).map(drop)
    }

    #[test]
    fn a_header_that_is_right_for_one_kind_of_tokens_is_read_anew_for_another() {
        let encoded = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let token = format!("{}.{}.AAAA", encoded(r#"{"alg":"ES256","typ":"at+jwt"}"#), encoded("{}"));
        for _ in 0..2 {
            assert_eq!(parsed(&token, JWT_TYPES), Ok(()));
            assert_eq!(parsed(&token, &["token-introspection+jwt"]), Err(Reason::TokenTypeUnsupported));
        }
    }

    #[test]
    fn a_token_may_have_16_kib_and_no_byte_more() {
        let of_length = |length: usize| {
            let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#);
            let signature = "A".repeat(length.saturating_sub(header.len()).saturating_sub("..e30".len()));
            format!("{header}.e30.{signature}")
        };
        assert_eq!(parsed(&of_length(16_384), JWT_TYPES), Ok(()));
        assert_eq!(parsed(&of_length(16_385), JWT_TYPES), Err(Reason::TokenTooLong));
    }
}
