//! A token that was verified: signature, issuer, audience, time and the form of its confirmation.

use serde_json::{Map, Value};

use super::bearer_token::BearerToken;
use super::confirmation::confirmation;
use super::issuer::Issuer;
use crate::certificate::thumbprint::Thumbprint;
use crate::jose::jws::CompactJws;
use crate::jose::signature::{SignatureEngine, Verification};
use crate::reason::Reason;
use crate::refusal::Refusal;

/// Times are JSON numbers up to this many seconds (the year 9999), so that no arithmetic on them can go wrong.
const LATEST: f64 = 253_402_300_799.0;

/// An access token of a trusted issuer, for this API, at this time.
#[derive(Debug)]
pub struct AccessToken {
    confirmation: Option<Thumbprint>,
}

impl AccessToken {
    /// The one way to an access token.
    pub(super) fn verify(
        bearer_token: &BearerToken<'_>,
        issuers: &[Issuer],
        leeway: u64,
        now: u64,
        engine: &dyn SignatureEngine,
    ) -> Result<Self, Refusal> {
        let token = CompactJws::parse(bearer_token.text())?;
        // Before the signature: the issuer among them says whose key it has to be.
        let claims = Claims::parse(token.payload())?;
        let issuer = issuer_of(&claims, issuers)?;
        verify_signature(&token, issuer, engine)?;
        if !claims.audiences.iter().any(|audience| issuer.is_audience(audience)) {
            return Err(Reason::AudienceMismatch.into());
        }
        claims.check_time(leeway, now)?;
        let confirmation = confirmation(token.payload(), issuer.confirmation).map_err(|reason| match reason {
            Reason::ConfirmationAtTopLevel => Refusal::because(
                reason,
                "this issuer writes x5t#S256 at the top level: configure it with `confirmation: top_level`",
            ),
            other => other.into(),
        })?;
        Ok(Self { confirmation })
    }

    /// The certificate that the token is bound to, if it is bound.
    #[must_use]
    pub fn confirmation(&self) -> Option<Thumbprint> {
        self.confirmation
    }
}

/// The issuer that the token claims to be from: its keys decide whether it is.
fn issuer_of<'i>(claims: &Claims<'_>, issuers: &'i [Issuer]) -> Result<&'i Issuer, Refusal> {
    issuers
        .iter()
        .find(|issuer| issuer.identifier() == claims.issuer)
        .ok_or_else(|| Refusal::because(Reason::IssuerNotTrusted, shortened(claims.issuer)))
}

fn verify_signature(token: &CompactJws<'_>, issuer: &Issuer, engine: &dyn SignatureEngine) -> Result<(), Refusal> {
    let algorithm = token.algorithm();
    if !issuer.may_use(algorithm) {
        return Err(Refusal::because(Reason::AlgorithmNotAllowed, algorithm.name()));
    }
    let mut answer = Reason::KeyUnknown;
    for key in issuer.keys().candidates(algorithm, token.key_id()) {
        match engine.verify(token, key) {
            Verification::Valid => return Ok(()),
            Verification::Invalid => answer = Reason::SignatureInvalid,
            Verification::Unavailable => {
                return Err(Refusal::because(Reason::SignatureEngineUnavailable, algorithm.name()));
            }
        }
    }
    let key_id = token.key_id().map_or_else(|| "no kid".to_owned(), |key_id| format!("kid {}", shortened(key_id)));
    Err(Refusal::because(answer, format!("{}, {key_id}", algorithm.name())))
}

/// The registered claims (RFC 7519 §4.1), of the right types. Only the signature makes them true.
struct Claims<'t> {
    issuer: &'t str,
    audiences: Vec<&'t str>,
    /// NumericDates, with their fractions.
    expires: f64,
    not_before: Option<f64>,
}

impl<'t> Claims<'t> {
    /// A claim of the wrong type is not the same as none.
    fn parse(payload: &'t Map<String, Value>) -> Result<Self, Refusal> {
        for name in ["sub", "jti"] {
            text(payload, name)?;
        }
        time(payload, "iat")?;
        Ok(Self {
            issuer: text(payload, "iss")?.ok_or_else(|| missing("iss"))?,
            audiences: audiences(payload)?,
            expires: time(payload, "exp")?.ok_or_else(|| missing("exp"))?,
            not_before: time(payload, "nbf")?,
        })
    }

    /// RFC 7519 §4.1.4 and §4.1.5: before `exp`, not before `nbf`, both with the leeway.
    #[expect(clippy::cast_precision_loss, reason = "seconds up to the year 9999 are exact in an f64")]
    fn check_time(&self, leeway: u64, now: u64) -> Result<(), Reason> {
        let (now, leeway) = (now as f64, leeway as f64);
        if now >= self.expires + leeway {
            Err(Reason::TokenExpired)
        } else if self.not_before.is_some_and(|not_before| now < not_before - leeway) {
            Err(Reason::TokenNotYetValid)
        } else {
            Ok(())
        }
    }
}

fn text<'t>(payload: &'t Map<String, Value>, name: &'static str) -> Result<Option<&'t str>, Refusal> {
    payload.get(name).map(|value| value.as_str().ok_or_else(|| malformed(name))).transpose()
}

/// RFC 7519 §4.1.3: one string, or a list of them.
fn audiences(payload: &Map<String, Value>) -> Result<Vec<&str>, Refusal> {
    match payload.get("aud") {
        None => Err(missing("aud")),
        Some(Value::String(audience)) => Ok(vec![audience]),
        Some(Value::Array(audiences)) => {
            audiences.iter().map(|audience| audience.as_str().ok_or_else(|| malformed("aud"))).collect()
        }
        Some(_) => Err(malformed("aud")),
    }
}

/// A NumericDate (RFC 7519 §2).
fn time(payload: &Map<String, Value>, name: &'static str) -> Result<Option<f64>, Refusal> {
    let seconds = |value: &Value| value.as_f64().filter(|seconds| (0.0..=LATEST).contains(seconds));
    payload.get(name).map(|value| seconds(value).ok_or_else(|| malformed(name))).transpose()
}

fn missing(name: &'static str) -> Refusal {
    Refusal::because(Reason::ClaimMissing, name)
}

fn malformed(name: &'static str) -> Refusal {
    Refusal::because(Reason::ClaimMalformed, name)
}

/// A client's text for the log: its beginning.
fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}
