// SPDX-License-Identifier: Apache-2.0

//! What the API gets besides the request: claims of the token, and the thumbprint of the certificate.

use serde::Deserialize;
use serde_json::Value;

use super::scope::ScopeClaims;
use crate::http::edit::Edit;
use crate::http::header_name::OwnName;
use crate::outcome::identity::CLIENT_CLAIMS;
use crate::outcome::refusal::Refusal;
use crate::reason::Reason;
use crate::text::json::{self, Json, Object};

/// In bytes. Many servers accept no more than 8 KiB of headers.
const LONGEST_VALUE: usize = 4096;

/// Whether the API sees the access token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema, serde::Serialize))]
pub(super) enum ForwardToken {
    /// It does.
    #[default]
    Keep,
    /// It does not: `Authorization` is removed from every request that passes.
    Remove,
}

/// A claim that the API gets in a header of its own.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub(super) struct ForwardedClaim {
    /// The name of the claim, at the top level of the token or of the introspection response. A token without `client_id` may
    /// name its client as `azp`, `appid` or `cid`.
    claim: ClaimName,
    /// The header, which no client can set: its copies and twins are removed from every request first.
    header: OwnHeader,
    /// How the value is written.
    #[serde(default)]
    encoding: ClaimEncoding,
}

/// The name of a claim, which is not empty.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(!try_from))]
struct ClaimName(#[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1)))] String);

impl TryFrom<String> for ClaimName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        if name.is_empty() { Err("the name of the claim is empty") } else { Ok(Self(name)) }
    }
}

/// How the value of a claim is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema, serde::Serialize))]
enum ClaimEncoding {
    /// A text of visible ASCII and spaces, as it is; a list of scopes with spaces between them. A token with another value is
    /// refused.
    #[default]
    Text,
    /// Any value, as JSON in ASCII.
    Json,
}

/// The name of a header that is the proxy's own: `x-` and lower-case letters, digits and `-`. None of Envoy's.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(!try_from))]
pub(super) struct OwnHeader(
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(regex(pattern = r"^x-(?!envoy-|forwarded-|request-id$)[a-z0-9-]{1,62}$"))
    )]
    String,
);

impl TryFrom<String> for OwnHeader {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let is_right = name.strip_prefix("x-").is_some_and(|rest| {
            let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
            let envoys = rest.starts_with("envoy-") || rest.starts_with("forwarded-") || rest == "request-id";
            (1..=62).contains(&rest.len()) && rest.bytes().all(allowed) && !envoys
        });
        if is_right {
            Ok(Self(name))
        } else {
            Err(format!(
                "{name:?} is no header that can be set here: x- and lower-case letters, digits and '-', and neither \
                 x-envoy-, x-forwarded- nor x-request-id"
            ))
        }
    }
}

impl OwnHeader {
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn name(&self) -> &str {
        &self.0
    }

    pub(super) fn own_name(&self) -> OwnName {
        OwnName::Exactly(self.0.clone())
    }

    pub(super) fn set(&self, value: String) -> Edit {
        Edit::set(&*self.0, value)
    }
}

impl ForwardedClaim {
    pub(super) fn name(&self) -> &str {
        &self.claim.0
    }

    pub(super) fn header(&self) -> &OwnHeader {
        &self.header
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn sentence(&self) -> String {
        let encoding = match self.encoding {
            ClaimEncoding::Text => "as text",
            ClaimEncoding::Json => "as JSON",
        };
        format!("{} in {} {encoding}", crate::text::https_url::redacted(&self.claim.0), self.header.0)
    }

    /// The header with the claim's value, if there is such a claim.
    fn edit(&self, claims: &Object<'_>, scope_claims: &ScopeClaims) -> Result<Option<Edit>, Refusal> {
        let own = [&*self.claim.0];
        let names = if CLIENT_CLAIMS.first() == own.first() { CLIENT_CLAIMS } else { &own };
        let Some(value) = names.iter().find_map(|name| claims.get(name)) else { return Ok(None) };
        let text = match (self.encoding, value) {
            (ClaimEncoding::Text, Json::Text(text)) if is_plain(text) => text.clone().into_owned(),
            (ClaimEncoding::Text, Json::List(scopes)) if scope_claims.has(&self.claim.0) && !scopes.is_empty() => {
                let mut text = String::new();
                for scope in scopes {
                    let scope = scope.as_str().filter(|scope| is_plain(scope) && !scope.contains(' '));
                    let scope = scope.ok_or_else(|| self.refused("is no list of scopes"))?;
                    text.push_str(if text.is_empty() { "" } else { " " });
                    text.push_str(scope);
                }
                text
            }
            (ClaimEncoding::Text, _) => return Err(self.refused("is no plain text")),
            (ClaimEncoding::Json, value) => json::in_ascii(&Value::from(value.clone()).to_string()),
        };
        if text.len() > LONGEST_VALUE {
            return Err(self.refused("is too long"));
        }
        Ok(Some(self.header.set(text)))
    }

    fn refused(&self, what: &str) -> Refusal {
        Refusal::because(Reason::ClaimMalformed, format!("{} {what}, for the header {}", self.claim.0, self.header.0))
    }
}

/// The headers with the values of these claims.
pub(super) fn headers(
    forwarded: &[ForwardedClaim],
    scope_claims: &ScopeClaims,
    claims: &Object<'_>,
) -> Result<Vec<Edit>, Refusal> {
    forwarded.iter().filter_map(|claim| claim.edit(claims, scope_claims).transpose()).collect()
}

/// Whether every server reads a value as it is: visible ASCII, with spaces inside (RFC 9110 §5.5).
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value(encoding: &str, claim: Value) -> Option<String> {
        let forwarded = json!({"claim": "c", "header": "x-c", "encoding": encoding});
        let forwarded: ForwardedClaim = serde_json::from_value(forwarded).unwrap();
        let claims = json!({ "c": claim });
        let edits =
            headers(&[forwarded], &ScopeClaims::default(), &json::object(claims.to_string().as_bytes())?).ok()?;
        assert!(edits.iter().all(|edit| edit.name() == "x-c"));
        edits.first().and_then(Edit::value).map(str::to_owned)
    }

    #[test]
    fn a_plain_text_is_written_as_it_is_and_nothing_else_as_text() {
        assert_eq!(value("text", json!("client-1 (a)")).as_deref(), Some("client-1 (a)"));
        for other in [
            json!(""),
            json!(" a"),
            json!("a "),
            json!("a\r\nx-admin: 1"),
            json!("a\tb"),
            json!("caf\u{e9}"),
            json!("\u{0}"),
            json!("a".repeat(4097)),
            json!(1),
            json!(true),
            json!(null),
            json!(["a"]),
            json!({}),
        ] {
            assert_eq!(value("text", other.clone()), None, "{other}");
        }
    }

    #[test]
    fn json_is_ascii_and_comes_back_as_it_was() {
        for claim in [
            json!("a\r\nx-admin: 1"),
            json!("caf\u{e9} \u{1f600} \u{7f} \u{0}"),
            json!(["a", {"b": [1, -2.5, true, null]}]),
            json!(1_800_000_000),
            json!(""),
        ] {
            let text = value("json", claim.clone()).unwrap();
            assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{text}");
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), claim);
        }
        assert_eq!(value("json", json!("a".repeat(4096))), None);
    }
}
