//! The token as it came in the request (RFC 6750 §2.1): in the `Authorization` header and nowhere else.

use crate::reason::Reason;
use crate::request::Request;

/// A token of which only the syntax of its carriage is known.
#[derive(Debug)]
pub struct BearerToken<'a>(&'a str);

impl<'a> BearerToken<'a> {
    /// Takes the one bearer token out of the request.
    ///
    /// # Errors
    /// [`Reason::TokenMissing`], [`Reason::SchemeUnsupported`], [`Reason::AuthorizationRepeated`],
    /// [`Reason::AuthorizationMalformed`].
    pub fn of(request: &Request<'a>) -> Result<Self, Reason> {
        let mut values = request.values("authorization");
        let value = values.next().ok_or(Reason::TokenMissing)?;
        if values.next().is_some() {
            return Err(Reason::AuthorizationRepeated);
        }
        let value = std::str::from_utf8(value).map_err(|_| Reason::AuthorizationMalformed)?;
        let (scheme, credentials) = value.split_once(' ').unwrap_or((value, ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Reason::SchemeUnsupported);
        }
        let token = credentials.trim_start_matches(' ');
        // Envoy joins repeated values with a comma before any filter sees them.
        if token.contains(',') {
            return Err(Reason::AuthorizationRepeated);
        }
        if is_b64token(token) { Ok(Self(token)) } else { Err(Reason::AuthorizationMalformed) }
    }

    /// The token itself. It must not be logged.
    pub(crate) fn text(&self) -> &'a str {
        self.0
    }
}

/// RFC 6750 §2.1: `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`.
fn is_b64token(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
    !body.is_empty() && body.bytes().all(allowed)
}
