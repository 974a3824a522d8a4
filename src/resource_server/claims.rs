// SPDX-License-Identifier: Apache-2.0

//! The registered claims of a token, from whatever source.

use std::slice;

use super::issuer::Issuer;
use crate::outcome::identity;
use crate::outcome::refusal::Refusal;
use crate::reason::Reason;
use crate::text::json::{Json, Object};

/// The latest time, in seconds since 1970 (the year 9999). It bounds the arithmetic on times.
const LATEST: f64 = 253_402_300_799.0;

/// The registered claims (RFC 7519 §4.1), with the right types. They are not verified.
pub(super) struct Claims<'t> {
    /// All claims.
    pub(super) payload: &'t Object<'t>,
    pub(super) issuer: Option<&'t str>,
    /// `jti`.
    pub(super) identifier: Option<&'t str>,
    /// One text, or a list of texts (RFC 7519 §4.1.3).
    pub(super) audience: Option<&'t Json<'t>>,
    /// NumericDates, with their fractions.
    pub(super) expires: Option<f64>,
    pub(super) not_before: Option<f64>,
    pub(super) issued_at: Option<f64>,
}

impl<'t> Claims<'t> {
    /// Reads the claims. `required` are those that must be there. A claim of the wrong type is an error, and does not count as
    /// absent.
    pub(super) fn parse(payload: &'t Object<'t>, required: &[&'static str]) -> Result<Self, Refusal> {
        let demand = |name| if required.contains(&name) { Err(missing(name)) } else { Ok(()) };
        text(payload, "sub")?;
        let identifier = text(payload, "jti")?;
        let issuer = text(payload, "iss")?;
        issuer.map_or_else(|| demand("iss"), |_| Ok(()))?;
        let audience = payload.get("aud");
        match audience {
            None => demand("aud")?,
            Some(Json::Text(_)) => {}
            Some(Json::List(audiences)) if audiences.iter().all(|audience| audience.as_str().is_some()) => {}
            Some(Json::List(_)) => return Err(malformed("aud", "a list with an item that is no text")),
            Some(other) => return Err(malformed("aud", other.kind())),
        }
        let expires = time(payload, "exp")?;
        expires.map_or_else(|| demand("exp"), |_| Ok(()))?;
        Ok(Self {
            payload,
            issuer,
            identifier,
            audience,
            expires,
            not_before: time(payload, "nbf")?,
            issued_at: time(payload, "iat")?,
        })
    }

    /// Checks that one of the audiences is the policy's for this issuer, or the client to which the token was issued, if that is
    /// enough. The claims of an introspected token may have none.
    pub(super) fn check_audience(&self, issuer: &Issuer) -> Result<(), Refusal> {
        let audiences: &[Json<'_>] = match self.audience {
            None => return Ok(()),
            Some(Json::List(audiences)) => audiences,
            Some(audience) => slice::from_ref(audience),
        };
        let client = if issuer.takes_tokens_for_clients() { identity::client(self.payload) } else { None };
        let is_ours = |audience: &str| issuer.is_audience(audience) || Some(audience) == client;
        if audiences.iter().filter_map(Json::as_str).any(is_ours) {
            return Ok(());
        }
        let named: Vec<_> = audiences.iter().filter_map(Json::as_str).collect();
        let named = if named.is_empty() { "nobody".to_owned() } else { shortened(&named.join(", ")) };
        Err(Refusal::because(Reason::AudienceMismatch, format!("it is for {named}, expected {}", issuer.audiences())))
    }

    /// Checks the time from `iat` to `exp`; `longest` is in seconds.
    pub(super) fn check_lifetime(&self, longest: Option<f64>) -> Result<(), Refusal> {
        let Some(longest) = longest else { return Ok(()) };
        match (self.issued_at, self.expires) {
            (None, _) => Err(missing("iat, for max_lifetime_seconds")),
            (_, None) => Err(missing("exp, for max_lifetime_seconds")),
            (Some(issued_at), Some(expires)) if expires - issued_at > longest => {
                let lifetime = expires - issued_at;
                Err(Refusal::because(Reason::TokenLifetimeTooLong, format!("{lifetime} seconds, at most {longest}")))
            }
            (Some(_), Some(_)) => Ok(()),
        }
    }

    /// Refuses claims with another issuer. An introspection response need not name its issuer. A server, or a filter, may also
    /// vouch for the tokens of other issuers.
    pub(super) fn check_issuer(&self, issuer: &Issuer) -> Result<(), Refusal> {
        match self.issuer {
            Some(own) if !issuer.identifier.is_of(self.payload) => {
                let detail = format!("it is from {}, expected {}", shortened(own), issuer.identifier());
                Err(Refusal::because(Reason::IssuerNotTrusted, detail))
            }
            Some(_) | None => Ok(()),
        }
    }
}

pub(super) fn text<'t>(payload: &'t Object<'_>, name: &'static str) -> Result<Option<&'t str>, Refusal> {
    payload.get(name).map(|value| value.as_str().ok_or_else(|| malformed(name, value.kind()))).transpose()
}

/// A NumericDate (RFC 7519 §2).
pub(super) fn time(payload: &Object<'_>, name: &'static str) -> Result<Option<f64>, Refusal> {
    let seconds = |value: &Json<'_>| match value {
        Json::Number(value) => value.as_f64().filter(|seconds| (0.0..=LATEST).contains(seconds)),
        _ => None,
    };
    let seen = |value: &Json<'_>| match value {
        Json::Number(_) => "a number of seconds that is out of bounds",
        other => other.kind(),
    };
    payload.get(name).map(|value| seconds(value).ok_or_else(|| malformed(name, seen(value)))).transpose()
}

fn missing(name: &'static str) -> Refusal {
    Refusal::because(Reason::ClaimMissing, name)
}

/// The claim with what it is, in words of our own.
pub(super) fn malformed(name: &str, seen: &str) -> Refusal {
    Refusal::because(Reason::ClaimMalformed, format!("{name} is {seen}"))
}

/// The beginning of a client's text, for the log.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}
