//! The registered claims of a token, whoever vouches for them.

use super::issuer::Issuer;
use crate::outcome::refusal::Refusal;
use crate::reason::Reason;
use crate::text::json::{Json, Object};

/// Times are JSON numbers up to this many seconds (the year 9999), so that no arithmetic on them can go wrong.
const LATEST: f64 = 253_402_300_799.0;

/// The registered claims (RFC 7519 §4.1), of the right types. Only the signature makes them true.
pub(super) struct Claims<'t> {
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
    /// A claim of the wrong type is not the same as none. These must be there.
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
            Some(_) => return Err(malformed("aud")),
        }
        let expires = time(payload, "exp")?;
        expires.map_or_else(|| demand("exp"), |_| Ok(()))?;
        Ok(Self {
            issuer,
            identifier,
            audience,
            expires,
            not_before: time(payload, "nbf")?,
            issued_at: time(payload, "iat")?,
        })
    }

    /// Whether they name an audience of the issuer's. Those of an introspected token need not name any.
    pub(super) fn are_for(&self, issuer: &Issuer) -> bool {
        let is_ours = |audience: &Json<'_>| audience.as_str().is_some_and(|audience| issuer.is_audience(audience));
        match self.audience {
            None => true,
            Some(Json::List(audiences)) => audiences.iter().any(is_ours),
            Some(audience) => is_ours(audience),
        }
    }

    /// From `iat` to `exp`, in seconds.
    pub(super) fn check_lifetime(&self, longest: Option<f64>) -> Result<(), Refusal> {
        let Some(longest) = longest else { return Ok(()) };
        match (self.issued_at, self.expires) {
            (None, _) => Err(missing("iat")),
            (_, None) => Err(missing("exp")),
            (Some(issued_at), Some(expires)) if expires - issued_at > longest => {
                let lifetime = expires - issued_at;
                Err(Refusal::because(Reason::TokenLifetimeTooLong, format!("{lifetime} seconds")))
            }
            (Some(_), Some(_)) => Ok(()),
        }
    }

    /// An answer of the issuer itself need not name it. Whoever vouched for these claims vouched for another one's, too.
    pub(super) fn check_issuer(&self, issuer: &Issuer) -> Result<(), Refusal> {
        match self.issuer {
            Some(own) if own != issuer.identifier() => Err(Refusal::because(Reason::IssuerNotTrusted, shortened(own))),
            Some(_) | None => Ok(()),
        }
    }
}

pub(super) fn text<'t>(payload: &'t Object<'_>, name: &'static str) -> Result<Option<&'t str>, Refusal> {
    payload.get(name).map(|value| value.as_str().ok_or_else(|| malformed(name))).transpose()
}

/// A NumericDate (RFC 7519 §2).
fn time(payload: &Object<'_>, name: &'static str) -> Result<Option<f64>, Refusal> {
    let seconds = |value: &Json<'_>| match value {
        Json::Number(value) => value.as_f64().filter(|seconds| (0.0..=LATEST).contains(seconds)),
        _ => None,
    };
    payload.get(name).map(|value| seconds(value).ok_or_else(|| malformed(name))).transpose()
}

fn missing(name: &'static str) -> Refusal {
    Refusal::because(Reason::ClaimMissing, name)
}

fn malformed(name: &'static str) -> Refusal {
    Refusal::because(Reason::ClaimMalformed, name)
}

/// A client's text for the log: its beginning.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}
