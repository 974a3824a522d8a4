// SPDX-License-Identifier: Apache-2.0

//! What a signed token says, for those who find out why it is refused. Nothing in it is verified.

use std::fmt;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::sentence::shown;
use crate::jose::jws::{CompactJws, seen_in_header};
use crate::reason::Reason;
use crate::text::{base64url, json};

/// The claims that are points in time (RFC 7519 §4.1, OpenID Connect Core §2).
const TIMES: &[&str] = &["exp", "nbf", "iat", "auth_time"];

/// The description of a signed token (JWS in compact form): its header and its claims, but not its signature, so that nobody can
/// use what is printed as a token. [`fmt::Display`] writes it for people and [`TokenInspection::json`] for programs. Both are safe for a
/// terminal, whatever the token contains.
#[derive(Debug)]
pub struct TokenInspection {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    /// In bytes.
    signature: usize,
    /// Why the filter reads no such token, whatever its signature is.
    refused: Option<Reason>,
    /// What it says of that besides.
    seen: Option<String>,
}

impl TokenInspection {
    /// Describes the token that is all of a file, alone or after the name of its scheme. `None` if the file is no JWS with JSON
    /// objects in it.
    #[must_use]
    pub fn of_file(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?.trim_ascii();
        let text = text.split_once(' ').map_or(text, |(_scheme, token)| token.trim_ascii());
        let [header, claims, signature] = text.split('.').collect::<Vec<_>>().try_into().ok()?;
        let refused = CompactJws::parse(text, &mut Vec::new()).err();
        let object = |part: &str| Some(Map::from(json::object(&base64url::decode(part)?)?));
        Some(Self {
            header: object(header)?,
            claims: object(claims)?,
            signature: base64url::decode(signature)?.len(),
            refused,
            seen: refused.and_then(|reason| seen_in_header(text, reason)),
        })
    }

    /// One JSON object on several lines, all in ASCII: `header`, `claims`, `signature_bytes`, `refused`, which is null where the
    /// filter reads such a token.
    #[must_use]
    pub fn json(&self) -> String {
        let value = json!({
            "header": self.header, "claims": self.claims, "signature_bytes": self.signature,
            "refused": self.refused.map(Reason::name),
        });
        let json = serde_json::to_string_pretty(&value).unwrap_or_default();
        json.lines().map(json::in_ascii).collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for TokenInspection {
    /// A line for each member.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "a signed token; nothing in it is verified")?;
        for (place, members) in [("header", &self.header), ("claims", &self.claims)] {
            for (name, value) in members {
                write!(formatter, "{place}.{}: {}", shown(name), json::in_ascii(&value.to_string()))?;
                match value.as_f64().filter(|_| TIMES.contains(&name.as_str())).and_then(date) {
                    Some(date) => writeln!(formatter, " ({date})")?,
                    None => writeln!(formatter)?,
                }
            }
        }
        writeln!(formatter, "signature: {} bytes, not shown", self.signature)?;
        let seen = self.seen.as_ref().map(|seen| format!("; {seen}")).unwrap_or_default();
        self.refused.map_or(Ok(()), |reason| writeln!(formatter, "refused in any case: {}{seen}", reason.name()))
    }
}

/// A NumericDate in RFC 3339 and UTC.
#[expect(clippy::cast_possible_truncation, reason = "a cast of a float saturates, and the crate refuses such times")]
fn date(seconds: f64) -> Option<String> {
    OffsetDateTime::from_unix_timestamp(seconds as i64).ok()?.format(&Rfc3339).ok()
}
