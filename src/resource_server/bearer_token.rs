// SPDX-License-Identifier: Apache-2.0

//! Reads the token from the `Authorization` header (RFC 6750 §2.1), and from nowhere else.

use crate::http::auth_scheme::{AuthScheme, AuthSchemes};
use crate::http::leniency;
use crate::http::request::Request;
use crate::reason::Reason;

/// The bytes in the place of the token. They are enough to find a token in the cache; any other token must be
/// [checked](Self::check) first.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    bytes: &'a [u8],
    scheme: AuthScheme,
}

/// A token whose characters are right. Nothing else of it was checked.
#[derive(Debug)]
pub struct BearerToken<'a> {
    text: &'a str,
}

impl<'a> Credentials<'a> {
    /// Reads those of the only access token in the request, under one of these schemes.
    ///
    /// # Errors
    /// [`Reason::TokenMissing`], [`Reason::SchemeUnsupported`], [`Reason::AuthorizationRepeated`],
    /// [`Reason::AuthorizationMalformed`].
    pub(super) fn of(request: &Request<'a>, accepted: AuthSchemes) -> Result<Self, Reason> {
        let mut values = request.values("authorization");
        let value = values.next().ok_or(Reason::TokenMissing)?;
        if values.next().is_some() {
            return Err(Reason::AuthorizationRepeated);
        }
        let scheme = accepted.of_credentials(value).ok_or_else(|| unsupported_scheme(value, accepted))?;
        let credentials = value.get(scheme.name().len()..).unwrap_or_default();
        let spaces = credentials.iter().take_while(|byte| **byte == b' ').count();
        Ok(Self { bytes: credentials.split_at_checked(spaces).unwrap_or_default().1, scheme })
    }

    /// The scheme that they came under.
    #[must_use]
    pub fn scheme(self) -> AuthScheme {
        self.scheme
    }

    /// The bytes. They must not be logged.
    pub(crate) fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The token, if the characters are right.
    ///
    /// # Errors
    /// [`Reason::AuthorizationRepeated`], [`Reason::AuthorizationMalformed`].
    pub fn check(self) -> Result<BearerToken<'a>, Reason> {
        let text = std::str::from_utf8(self.bytes).map_err(|_| Reason::AuthorizationMalformed)?;
        if is_b64token(text) {
            Ok(BearerToken { text })
        } else if text.contains(',') {
            // Envoy may have joined two headers with a comma.
            Err(Reason::AuthorizationRepeated)
        } else {
            Err(Reason::AuthorizationMalformed)
        }
    }
}

impl<'a> BearerToken<'a> {
    /// The token itself. It must not be logged.
    pub(crate) fn text(&self) -> &'a str {
        self.text
    }
}

/// The reason to refuse a value of another scheme.
#[cold]
fn unsupported_scheme(value: &[u8], accepted: AuthSchemes) -> Reason {
    match std::str::from_utf8(value) {
        Err(_) => Reason::AuthorizationMalformed,
        Ok(value) if holds_another(value, accepted) => Reason::AuthorizationRepeated,
        Ok(_) => Reason::SchemeUnsupported,
    }
}

/// Whether a token follows credentials of another scheme: Envoy joins repeated values with a comma before any filter sees
/// them.
fn holds_another(value: &str, accepted: AuthSchemes) -> bool {
    let is_token = |part: &str| {
        let part = part.trim_start();
        part.contains(' ') && accepted.of_credentials(part.as_bytes()).is_some()
    };
    value.split(',').skip(1).any(is_token)
}

/// Whether the query has a parameter `access_token` (RFC 6750 §2.3) for any server: between `&` or `;`, and under every name
/// that some server takes for it.
pub(super) fn stands_in_query(request: &Request<'_>) -> bool {
    let query = request
        .values(":path")
        .find_map(|path| path.iter().position(|byte| *byte == b'?').map(|at| path.split_at(at).1));
    query.is_some_and(|query| {
        query.split(|byte| matches!(byte, b'?' | b'&' | b';')).any(|parameter| {
            let name = parameter.split(|byte| *byte == b'=').next().unwrap_or_default();
            leniency::is_parameter(name, "access_token")
        })
    })
}

/// RFC 6750 §2.1: `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="`.
fn is_b64token(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    !body.is_empty() && body.bytes().all(|byte| IN_B64TOKEN.get(usize::from(byte)) == Some(&true))
}

/// A table, since every byte of every new token is looked up.
#[expect(clippy::indexing_slicing, reason = "it is computed when this is compiled")]
const IN_B64TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixTime;

    #[test]
    fn a_token_follows_credentials_of_another_scheme_only_under_a_scheme_that_is_accepted() {
        let accepted = AuthSchemes { dpop: false, bearer: true, mtls_pop: false };
        for (value, reason) in [
            ("Basic eDp5, Bearer a", Reason::AuthorizationRepeated),
            ("Basic eDp5,bearer a", Reason::AuthorizationRepeated),
            (r#"Digest username="a", realm="b c""#, Reason::SchemeUnsupported),
            ("Basic eDp5, DPoP a", Reason::SchemeUnsupported),
            // There is no token behind it.
            ("Basic eDp5, Bearer", Reason::SchemeUnsupported),
        ] {
            assert_eq!(unsupported_scheme(value.as_bytes(), accepted), reason, "{value}");
        }
    }

    #[test]
    fn a_token_in_the_path_before_the_query_stands_in_no_query() {
        for (path, stands) in [
            ("/accounts?access_token=a", true),
            ("/accounts?a=b&access_token=a", true),
            ("/accounts;access_token=a", false),
            ("/accounts&access_token=a?a=b", false),
            ("access_token=a", false),
        ] {
            let headers = [(":path", path.as_bytes())];
            let now = UnixTime::from_seconds(0);
            let request = Request { headers: &headers, route_metadata: None, peer_digest: None, now };
            assert_eq!(stands_in_query(&request), stands, "{path}");
        }
    }
}
