// SPDX-License-Identifier: Apache-2.0

//! Finds the client that a request to the token endpoint names: in the form (RFC 6749 §2.3.1, §3.2.1), by HTTP Basic, or by an
//! assertion (RFC 7523 §2.2). The other endpoints where clients authenticate are read in the same way.
//!
//! The authorization server parses the request again, with another parser. A request that two parsers might read differently is
//! refused, so that both find the same client.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::client::is_vschar;
use crate::http::leniency;
use crate::http::request::Request;
use crate::outcome::refusal::Refusal;
use crate::reason::Reason;
use crate::text::percent;
use crate::text::{base64url, json};

const JWT_BEARER: &[u8] = b"urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The parameters that name and authenticate a client.
const PARAMETERS: [&str; 4] = ["client_id", "client_secret", "client_assertion", "client_assertion_type"];

/// What the headers say about the client and the body.
#[derive(Debug)]
pub(super) struct Head {
    body: Body,
    authorization: Authorization,
}

#[derive(Debug, PartialEq, Eq)]
enum Body {
    /// There is no `Content-Type`, so there may be no body.
    None,
    Form(Charset),
    /// It cannot be read; the sentence says why.
    Unreadable(&'static str),
}

/// How the percent-encoded bytes of a form are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Charset {
    Utf8,
    /// Another one that has ASCII in its place.
    OtherWithAscii,
}

#[derive(Debug)]
enum Authorization {
    None,
    Basic {
        client_id: String,
        /// The client identifier as a server reads it that does not decode it.
        verbatim: String,
    },
    /// Another scheme, which names no client.
    Other,
}

/// Whom a request names.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) client_id: String,
    /// Whether only an assertion names the client, which nobody has verified.
    pub(super) is_claim: bool,
    /// The client identifier that a server reads if it does not decode HTTP Basic credentials, unless it is the same.
    pub(super) verbatim: Option<String>,
    /// Whether the request has other credentials than a certificate.
    pub(super) has_credentials: bool,
}

fn malformed(detail: impl Into<String>) -> Refusal {
    Refusal::because(Reason::TokenRequestMalformed, detail)
}

fn ambiguous(detail: impl Into<String>) -> Refusal {
    Refusal::because(Reason::ClientAmbiguous, detail)
}

impl Head {
    pub(super) fn read(request: &Request<'_>) -> Result<Self, Refusal> {
        if !request.values(":method").eq([b"POST"]) {
            return Err(malformed("the method is not POST"));
        }
        let path = request.values(":path").next().unwrap_or_default();
        if let Some(query) = path.splitn(2, |byte| *byte == b'?').nth(1) {
            // Some servers take parameters from the query as well.
            if Parameters::read(query)?.0.iter().any(Option::is_some) {
                return Err(ambiguous("a parameter of client authentication stands in the query"));
            }
        }
        Ok(Self { body: body(request), authorization: Authorization::read(request)? })
    }

    /// Whether the client authenticates with `Authorization`.
    fn has_authorization(&self) -> bool {
        !matches!(self.authorization, Authorization::None)
    }

    /// Whom the request names, with this body.
    pub(super) fn named(&self, body: &[u8]) -> Result<Named, Refusal> {
        let Parameters([client_id, secret, assertion, assertion_type]) = match self.body {
            Body::None if body.is_empty() => Parameters::default(),
            Body::None => return Err(malformed("the body has no Content-Type")),
            Body::Form(Charset::OtherWithAscii) if !is_ascii_decoded(body) => {
                return Err(malformed("the charset is not UTF-8, and the form has an encoded byte that is not ASCII"));
            }
            Body::Form(_) => Parameters::read(body)?.without_empty(),
            Body::Unreadable(why) => return Err(malformed(why)),
        };
        let in_form = client_id.map(identifier).transpose()?;
        let asserted = match (assertion.as_deref(), assertion_type.as_deref()) {
            (None, None) => None,
            (Some(assertion), Some(JWT_BEARER)) => Some(subject(assertion)?),
            _ => return Err(malformed("a client assertion must be a JWT, and have the type that says so")),
        };
        let (basic, verbatim) = match &self.authorization {
            Authorization::Basic { client_id, verbatim } => (Some(client_id.clone()), Some(verbatim.clone())),
            Authorization::None | Authorization::Other => (None, None),
        };
        let is_claim = in_form.is_none() && basic.is_none();
        let has_credentials = secret.is_some() || asserted.is_some() || self.has_authorization();
        let mut named = [in_form, basic, asserted].into_iter().flatten();
        let Some(client_id) = named.next() else { return Err(Reason::ClientIdMissing.into()) };
        if named.any(|other| other != client_id) {
            return Err(ambiguous("the request names different clients"));
        }
        let verbatim = verbatim.filter(|verbatim| *verbatim != client_id);
        Ok(Named { client_id, is_claim, verbatim, has_credentials })
    }
}

fn body(request: &Request<'_>) -> Body {
    let is_encoded = request.values("content-encoding").any(|coding| !coding.eq_ignore_ascii_case(b"identity"));
    if is_encoded {
        return Body::Unreadable("the body has a content coding");
    }
    let mut types = request.values("content-type");
    match (types.next(), types.next()) {
        (None, _) => Body::None,
        (Some(content_type), None) => form(content_type),
        _ => Body::Unreadable(NO_FORM),
    }
}

const NO_FORM: &str = "the body is not application/x-www-form-urlencoded";

/// The media type of a form, alone or with a charset that has ASCII in its place. It has no such parameter (WHATWG URL §5), but
/// clients write one.
fn form(content_type: &[u8]) -> Body {
    let mut parts = content_type.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    if !parts.next().is_some_and(|name| name.eq_ignore_ascii_case(b"application/x-www-form-urlencoded")) {
        return Body::Unreadable(NO_FORM);
    }
    let known = match (parts.next(), parts.next()) {
        (None, _) => Some(Charset::Utf8),
        (Some(parameter), None) => charset(parameter),
        _ => None,
    };
    known.map_or(
        Body::Unreadable("the form has another charset than utf-8, us-ascii, iso-8859-N or windows-125N"),
        Body::Form,
    )
}

/// The charset that `charset=NAME` says, quoted or not, if bytes below 128 are ASCII in it.
fn charset(parameter: &[u8]) -> Option<Charset> {
    let parameter = parameter.to_ascii_lowercase();
    let value = parameter.strip_prefix(b"charset=")?;
    let name = value.strip_prefix(b"\"").map_or(Some(value), |value| value.strip_suffix(b"\""))?;
    if name == b"utf-8" {
        return Some(Charset::Utf8);
    }
    let number = name.strip_prefix(b"iso-8859-").or_else(|| name.strip_prefix(b"windows-125"));
    let is_numbered =
        number.is_some_and(|number| matches!(number.len(), 1 | 2) && number.iter().all(u8::is_ascii_digit));
    (name == b"us-ascii" || is_numbered).then_some(Charset::OtherWithAscii)
}

/// Whether a form is ASCII when it is decoded, so that it says the same in every charset.
fn is_ascii_decoded(form: &[u8]) -> bool {
    percent::decoded(form).is_some_and(|decoded| decoded.is_ascii())
}

impl Authorization {
    fn read(request: &Request<'_>) -> Result<Self, Refusal> {
        let mut values = request.values("authorization");
        let (Some(value), None) = (values.next(), values.next()) else {
            let is_there = request.values("authorization").next().is_some();
            return if is_there { Err(ambiguous("there are several Authorization headers")) } else { Ok(Self::None) };
        };
        let wrong = || malformed("the HTTP Basic credentials are malformed");
        let end = value.iter().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(value.len());
        let (scheme, credentials) = value.split_at_checked(end).ok_or_else(wrong)?;
        if !scheme.eq_ignore_ascii_case(b"basic") {
            return if holds_basic(value) {
                Err(ambiguous("HTTP Basic credentials may stand behind others in one Authorization header"))
            } else {
                Ok(Self::Other)
            };
        }
        // Exactly a space: some servers also accept a tab, or any character.
        let credentials = credentials.strip_prefix(b" ").ok_or_else(wrong)?;
        let credentials = STANDARD.decode(credentials.trim_ascii()).map_err(|_| wrong())?;
        let end = credentials.iter().position(|byte| *byte == b':').ok_or_else(wrong)?;
        let user = credentials.get(..end).filter(|user| !user.is_empty()).ok_or_else(wrong)?;
        let client_id = identifier(form_decoded(user).ok_or_else(wrong)?)?;
        Ok(Self::Basic { client_id, verbatim: identifier(user.to_vec())? })
    }
}

/// Whether HTTP Basic credentials may follow those of another scheme, or an empty value: Envoy joins repeated values with a comma
/// before any filter sees them.
fn holds_basic(value: &[u8]) -> bool {
    let mut parts = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let is_basic = |part: &[u8]| {
        let end = part.iter().position(|byte| !byte.is_ascii_alphanumeric());
        end.and_then(|end| part.get(..end)).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic"))
    };
    parts.next().is_none_or(<[u8]>::is_empty) || parts.any(is_basic)
}

/// The values of `PARAMETERS`.
#[derive(Default)]
struct Parameters([Option<Vec<u8>>; 4]);

impl Parameters {
    /// A parameter without a value is an omitted one (RFC 6749 §3.2).
    fn without_empty(self) -> Self {
        Self(self.0.map(|value| value.filter(|value| !value.is_empty())))
    }

    /// Reads a form (WHATWG URL §5.1), or a query as servers read one.
    fn read(form: &[u8]) -> Result<Self, Refusal> {
        // Some servers take a semicolon for `&`, skip a byte order mark, or stop at a line end. Clients encode these characters.
        if form.iter().any(|byte| *byte == b';' || !is_vschar(*byte)) {
            return Err(malformed("there is a semicolon, a control character or a byte that is not ASCII in the form"));
        }
        let mut found = Self::default();
        for pair in form.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let (name, value) = pair.split_at_checked(end).unwrap_or_default();
            let decoded = form_decoded(name).ok_or_else(|| malformed("the form is not well encoded"))?;
            let Some((position, known)) =
                PARAMETERS.iter().enumerate().find(|(_, known)| leniency::is_parameter(name, known))
            else {
                continue;
            };
            if decoded != known.as_bytes() {
                return Err(ambiguous(
                    "a parameter of client authentication has a name that servers may read differently",
                ));
            }
            let value = form_decoded(value.get(1..).unwrap_or_default());
            let value = value.ok_or_else(|| malformed("the form is not well encoded"))?;
            if let Some(place) = found.0.get_mut(position)
                && place.replace(value).is_some()
            {
                return Err(ambiguous("a parameter of client authentication is repeated"));
            }
        }
        Ok(found)
    }
}

/// Decodes a form: `+` is a space, `%` with two hexadecimal digits any byte. `None` if the digits are missing.
fn form_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let spaced: Vec<_> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    percent::decoded(&spaced)
}

/// A client's identifier (RFC 6749 appendix A.1).
fn identifier(bytes: Vec<u8>) -> Result<String, Refusal> {
    let text = Some(bytes)
        .filter(|bytes| bytes.iter().copied().all(is_vschar))
        .and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| malformed("the client identifier has a character that none has"))
}

/// The client that an assertion names (RFC 7523 §3). It is not verified here: the authorization server does that.
fn subject(assertion: &[u8]) -> Result<String, Refusal> {
    let wrong = || malformed("the client assertion is not a JWT with the client in iss and sub");
    let mut parts = assertion.split(|byte| *byte == b'.');
    let (Some(_), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(wrong());
    };
    let payload = base64url::decode(payload).ok_or_else(wrong)?;
    let claims = json::object(&payload).ok_or_else(wrong)?;
    let claim = |name: &str| claims.get(name).and_then(|value| value.as_str()).ok_or_else(wrong);
    let (issuer, subject) = (claim("iss")?, claim("sub")?);
    if issuer == subject {
        identifier(subject.as_bytes().to_vec())
    } else {
        Err(ambiguous("iss and sub of the client assertion differ"))
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    const FORM: &[u8] = b"application/x-www-form-urlencoded";

    #[test]
    fn a_charset_counts_if_it_has_ascii_in_its_place() {
        use Charset::{OtherWithAscii, Utf8};
        for (parameter, known) in [
            ("charset=utf-8", Some(Utf8)),
            ("charset=\"UTF-8\"", Some(Utf8)),
            ("charset=us-ascii", Some(OtherWithAscii)),
            ("charset=iso-8859-1", Some(OtherWithAscii)),
            ("charset=iso-8859-15", Some(OtherWithAscii)),
            ("charset=windows-1252", Some(OtherWithAscii)),
            ("charset=iso-8859-", None),
            ("charset=iso-8859-x", None),
            ("charset=iso-8859-8-i", None),
            ("charset=iso-8859-123", None),
            ("charset=utf-16", None),
            ("charset=\"utf-8", None),
            ("utf-8", None),
        ] {
            assert_eq!(charset(parameter.as_bytes()), known, "{parameter}");
        }
    }

    /// Such a client is not logged.
    #[test]
    fn a_client_that_an_assertion_alone_names_is_a_claim_that_nobody_verified() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"iss":"one","sub":"one"}"#);
        let assertion = format!("client_assertion=e30.{claims}.c2ln&client_assertion_type={}", "JWT_BEARER");
        let assertion = assertion.replace("JWT_BEARER", str::from_utf8(JWT_BEARER).unwrap());
        let basic = || Authorization::Basic { client_id: "one".to_owned(), verbatim: "one".to_owned() };
        let in_form = format!("{assertion}&client_id=one");
        for (body, authorization, is_claim) in [
            (&*assertion, Authorization::None, true),
            (&*in_form, Authorization::None, false),
            (&*assertion, basic(), false),
            (&*in_form, basic(), false),
            ("client_id=one", Authorization::None, false),
        ] {
            let named = Head { body: form(FORM), authorization }.named(body.as_bytes()).unwrap();
            assert_eq!((named.client_id.as_str(), named.is_claim), ("one", is_claim), "{body}");
        }
    }
}
