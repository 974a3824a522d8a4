// SPDX-License-Identifier: Apache-2.0

//! How the user must have been authenticated for a token to pass (RFC 9470): in one of some ways, and not too long ago.

use std::time::Duration;

use serde::Deserialize;

use super::claims::{self, shortened};
use crate::outcome::refusal::Refusal;
use crate::reason::Reason;
use crate::text::json::Object;
use crate::time::UnixTime;

/// What a policy requires of the user's authentication.
#[derive(Debug)]
pub(super) struct RequiredAuthentication {
    /// The classes that are good enough, in the order in which clients are told them; any, if there is none.
    pub(super) classes: Vec<ContextClass>,
    pub(super) max_age: Option<MaxAuthAge>,
}

/// An authentication context class (OpenID Connect Core 1.0 §2), in characters that need no escape in a challenge.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(!try_from))]
pub(super) struct ContextClass(
    #[cfg_attr(not(target_arch = "wasm32"), schemars(regex(pattern = r"^[!#-\[\]-~]+$")))] String,
);

/// The longest time since the user was authenticated: 1 second to 1 year.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "u64")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(!try_from))]
pub(super) struct MaxAuthAge(
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1, max = 31_536_000)))] pub(super) u32,
);

/// What a verified token says of the user's authentication, as far as a policy asks.
#[derive(Debug)]
pub(super) struct UserAuthentication {
    /// Whether its class is good enough; otherwise what is wrong with it.
    class: Result<(), String>,
    /// `auth_time`, with its fraction.
    time: Option<f64>,
}

impl TryFrom<String> for ContextClass {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let allowed = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        if !text.is_empty() && text.bytes().all(allowed) {
            Ok(Self(text))
        } else {
            Err("an acr is visible ASCII text without ' ', '\"' and '\\'")
        }
    }
}

impl ContextClass {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<u64> for MaxAuthAge {
    type Error = &'static str;

    fn try_from(seconds: u64) -> Result<Self, Self::Error> {
        match u32::try_from(seconds) {
            Ok(seconds @ 1..=31_536_000) => Ok(Self(seconds)),
            _ => Err("the longest time since the user's authentication is 1 to 31536000 seconds (a year)"),
        }
    }
}

impl RequiredAuthentication {
    /// Reads the claims that are asked for. What is not asked for may have any type.
    ///
    /// # Errors
    /// [`Reason::ClaimMalformed`].
    pub(super) fn read(&self, payload: &Object<'_>) -> Result<UserAuthentication, Refusal> {
        let class = if self.classes.is_empty() {
            Ok(())
        } else {
            match claims::text(payload, "acr")? {
                Some(own) if self.classes.iter().any(|class| class.0 == own) => Ok(()),
                Some(own) => Err(format!("acr is {}", shortened(own))),
                None => Err("it has no acr".to_owned()),
            }
        };
        let time = if self.max_age.is_some() { claims::time(payload, "auth_time")? } else { None };
        Ok(UserAuthentication { class, time })
    }

    /// Judges the class, and the time since then: at most the age, with the leeway. An authentication that is still to come is
    /// none.
    #[expect(clippy::cast_precision_loss, reason = "seconds up to the year 9999 are exact in an f64")]
    pub(super) fn judge(&self, found: &UserAuthentication, leeway: Duration, now: UnixTime) -> Result<(), Refusal> {
        if let Err(detail) = &found.class {
            return Err(self.refusal(detail.clone()));
        }
        let Some(MaxAuthAge(max_age)) = self.max_age else { return Ok(()) };
        let Some(time) = found.time else { return Err(self.refusal("it has no auth_time".to_owned())) };
        let (elapsed, leeway) = (now.seconds() as f64 - time, leeway.as_secs_f64());
        if elapsed > f64::from(max_age) + leeway {
            Err(self.refusal(format!("auth_time was {} seconds ago, and the leeway is {leeway}", elapsed.trunc())))
        } else if elapsed < -leeway {
            Err(self.refusal(format!("auth_time is in {} seconds, and the leeway is {leeway}", (-elapsed).trunc())))
        } else {
            Ok(())
        }
    }

    /// Whether it requires nothing.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn is_none(&self) -> bool {
        self.classes.is_empty() && self.max_age.is_none()
    }

    fn refusal(&self, detail: String) -> Refusal {
        let classes: Vec<_> = self.classes.iter().map(ContextClass::as_str).collect();
        let classes = (!classes.is_empty()).then(|| ("acr_values", classes.join(" ")));
        let max_age = self.max_age.map(|max_age| ("max_age", max_age.0.to_string()));
        let refusal = Refusal::because(Reason::UserAuthenticationInsufficient, detail);
        classes.into_iter().chain(max_age).fold(refusal, |refusal, (name, value)| refusal.demanding(name, value))
    }
}

impl UserAuthentication {
    #[cfg(test)]
    pub(super) fn example() -> Self {
        Self { class: Ok(()), time: None }
    }

    /// Its approximate size in bytes, without its own fields.
    pub(super) fn size(&self) -> usize {
        self.class.as_ref().err().map_or(0, String::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_visible_ascii_that_needs_no_escape() {
        for text in ["", "a b", "a\"", "a\\", "\u{e9}", "a\n"] {
            assert!(ContextClass::try_from(text.to_owned()).is_err(), "{text:?}");
        }
        assert_eq!(ContextClass::try_from("urn:a#~!".to_owned()).unwrap().as_str(), "urn:a#~!");
    }

    #[test]
    fn the_size_counts_what_is_wrong_with_the_class() {
        assert_eq!(UserAuthentication::example().size(), 0);
        let class = Err("it has no acr".to_owned());
        assert_eq!(UserAuthentication { class, time: None }.size(), 13);
    }

    #[test]
    fn a_class_or_an_age_is_a_requirement() {
        let class = || ContextClass::try_from("a".to_owned()).unwrap();
        let age = || Some(MaxAuthAge(1));
        for (classes, max_age, is_none) in
            [(vec![], None, true), (vec![class()], None, false), (vec![], age(), false), (vec![class()], age(), false)]
        {
            assert_eq!(RequiredAuthentication { classes, max_age }.is_none(), is_none);
        }
    }
}
