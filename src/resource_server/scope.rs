// SPDX-License-Identifier: Apache-2.0

//! The scopes that a policy requires of a token.

use serde::Deserialize;

use super::claim_path::ClaimPath;
use super::claims::{malformed, shortened};
use super::token_kind;
use crate::outcome::refusal::Refusal;
use crate::reason::Reason;
use crate::text::json::{Json, Object};

/// Each is looked for in every new token.
const MOST_CLAIMS: usize = 8;

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

/// The claims whose scopes a token has, all of them together.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Vec<ClaimPath>")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(!try_from))]
pub(super) struct ScopeClaims(
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1, max = 8), extend("uniqueItems" = true)))]
    Vec<ClaimPath>,
);

impl Default for ScopeClaims {
    fn default() -> Self {
        Self(token_kind::SCOPES.iter().map(|name| ClaimPath::named(name)).collect())
    }
}

impl TryFrom<Vec<ClaimPath>> for ScopeClaims {
    type Error = String;

    fn try_from(paths: Vec<ClaimPath>) -> Result<Self, String> {
        if !(1..=MOST_CLAIMS).contains(&paths.len()) {
            return Err(format!("scope_claims names 1 to {MOST_CLAIMS} claims"));
        }
        let mut earlier = paths.iter();
        while let Some(path) = earlier.next() {
            if earlier.as_slice().contains(path) {
                return Err(format!("{} stands twice", path.text()));
            }
        }
        Ok(Self(paths))
    }
}

impl ScopeClaims {
    /// The scopes of a token with these claims. A text has them with spaces between them (RFC 8693 §4.2, RFC 9068 §2.2.3); an
    /// item of a list is one, whatever is in it.
    ///
    /// # Errors
    /// [`Reason::ClaimMalformed`] where one of the claims is neither.
    pub(super) fn scopes<'p>(&self, payload: &'p Object<'p>) -> Result<Vec<&'p str>, Refusal> {
        let mut scopes = Vec::new();
        for path in &self.0 {
            match path.find(payload) {
                None => {}
                Some(Json::Text(text)) => scopes.extend(text.split(' ').filter(|scope| !scope.is_empty())),
                Some(Json::List(items)) => {
                    for item in items {
                        let scope = item.as_str();
                        scopes
                            .push(scope.ok_or_else(|| malformed(path.text(), "a list with an item that is no text"))?);
                    }
                }
                Some(other) => return Err(malformed(path.text(), other.kind())),
            }
        }
        Ok(scopes)
    }

    /// Whether this claim has scopes.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|path| path.is(name))
    }

    pub(super) fn paths(&self) -> &[ClaimPath] {
        &self.0
    }

    /// As the configuration has them, where they are not the usual ones.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn unusual(&self) -> Vec<String> {
        if self.0 == Self::default().0 {
            Vec::new()
        } else {
            self.0.iter().map(|path| path.text().to_owned()).collect()
        }
    }
}

/// Checks that a token with these claims has the scopes.
pub(super) fn check_scopes(required: &[Scope], claims: &ScopeClaims, payload: &Object<'_>) -> Result<(), Refusal> {
    if required.is_empty() {
        return Ok(());
    }
    let granted = claims.scopes(payload)?;
    let lacking: Vec<_> = required.iter().map(Scope::as_str).filter(|scope| !granted.contains(scope)).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    let has = if granted.is_empty() { "no scope".to_owned() } else { shortened(&granted.join(" ")) };
    let required: Vec<_> = required.iter().map(Scope::as_str).collect();
    let detail = format!("it lacks {} and has {has}", lacking.join(" "));
    Err(Refusal::because(Reason::ScopeInsufficient, detail).demanding("scope", required.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_visible_ascii_that_needs_no_escape() {
        for text in ["", "a b", "a\"", "a\\", "\u{e9}", "a\n"] {
            assert!(Scope::try_from(text.to_owned()).is_err(), "{text:?}");
        }
        assert_eq!(Scope::try_from("accounts:read#~!".to_owned()).unwrap().as_str(), "accounts:read#~!");
    }

    #[test]
    fn the_claims_of_scopes_are_told_where_they_are_not_the_usual_ones() {
        let of = |paths: &str| serde_json::from_str::<ScopeClaims>(paths).unwrap().unusual();
        assert!(ScopeClaims::default().unusual().is_empty());
        assert!(of(r#"["scope", "scp"]"#).is_empty());
        assert_eq!(of(r#"["scp", "/realm_access/roles"]"#), ["scp", "/realm_access/roles"]);
    }
}
