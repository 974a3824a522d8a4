//! The scopes that a policy requires of a token.

use serde::Deserialize;

use super::claims;
use crate::outcome::refusal::Refusal;
use crate::reason::Reason;
use crate::text::json::Object;

/// A scope that tokens must have (RFC 6749 §3.3), whose characters need no escape in a challenge.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(!try_from))]
pub(super) struct Scope(#[cfg_attr(not(target_arch = "wasm32"), schemars(regex(pattern = r"^[!#-\[\]-~]+$")))] String);

impl TryFrom<String> for Scope {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let allowed = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        if !text.is_empty() && text.bytes().all(allowed) {
            Ok(Self(text))
        } else {
            Err("a scope is visible ASCII text without ' ', '\"' and '\\'".to_owned())
        }
    }
}

impl Scope {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// A token's scopes are one string with spaces between them (RFC 8693 §4.2, RFC 9068 §2.2.3).
pub(super) fn check_scopes(required: &[Scope], payload: &Object<'_>) -> Result<(), Refusal> {
    if required.is_empty() {
        return Ok(());
    }
    let granted = claims::text(payload, "scope")?.unwrap_or_default();
    let required: Vec<_> = required.iter().map(|scope| scope.as_str()).collect();
    if required.iter().all(|scope| granted.split(' ').any(|granted| granted == *scope)) {
        Ok(())
    } else {
        Err(Refusal::from(Reason::ScopeInsufficient).demanding("scope", required.join(" ")))
    }
}
