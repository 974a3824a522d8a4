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
        let issuer = issuer_of(&token, issuers)?;
        verify_signature(&token, issuer, engine)?;

        let claims = token.into_payload();
        check_audience(&claims, issuer)?;
        check_time(&claims, leeway, now)?;
        for name in ["sub", "jti"] {
            optional_text(&claims, name)?;
        }
        let confirmation = confirmation(&claims, issuer.confirmation).map_err(|reason| match reason {
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
fn issuer_of<'i>(token: &CompactJws<'_>, issuers: &'i [Issuer]) -> Result<&'i Issuer, Refusal> {
    match token.unverified_payload().get("iss") {
        None => Err(Refusal::because(Reason::ClaimMissing, "iss")),
        Some(Value::String(claimed)) => issuers
            .iter()
            .find(|issuer| issuer.identifier() == claimed)
            .ok_or_else(|| Refusal::because(Reason::IssuerNotTrusted, shortened(claimed))),
        Some(_) => Err(Refusal::because(Reason::ClaimMalformed, "iss")),
    }
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

/// RFC 7519 §4.1.3: one string, or a list of them.
fn check_audience(claims: &Map<String, Value>, issuer: &Issuer) -> Result<(), Refusal> {
    let malformed = || Refusal::because(Reason::ClaimMalformed, "aud");
    let is_ours = match claims.get("aud") {
        None => return Err(Refusal::because(Reason::ClaimMissing, "aud")),
        Some(Value::String(audience)) => issuer.is_audience(audience),
        Some(Value::Array(audiences)) => {
            let audiences: Option<Vec<_>> = audiences.iter().map(Value::as_str).collect();
            audiences.ok_or_else(malformed)?.into_iter().any(|audience| issuer.is_audience(audience))
        }
        Some(_) => return Err(malformed()),
    };
    if is_ours { Ok(()) } else { Err(Reason::AudienceMismatch.into()) }
}

/// RFC 7519 §4.1.4 and §4.1.5: before `exp`, not before `nbf`, both with the leeway.
#[expect(clippy::cast_precision_loss, reason = "seconds up to the year 9999 are exact in an f64")]
fn check_time(claims: &Map<String, Value>, leeway: u64, now: u64) -> Result<(), Refusal> {
    let (now, leeway) = (now as f64, leeway as f64);
    let expires = time(claims, "exp")?.ok_or_else(|| Refusal::because(Reason::ClaimMissing, "exp"))?;
    if now >= expires + leeway {
        return Err(Reason::TokenExpired.into());
    }
    if time(claims, "nbf")?.is_some_and(|not_before| now < not_before - leeway) {
        return Err(Reason::TokenNotYetValid.into());
    }
    time(claims, "iat")?;
    Ok(())
}

/// A NumericDate (RFC 7519 §2). One of the wrong type is not the same as none.
fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<f64>, Refusal> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            Some(seconds) if (0.0..=LATEST).contains(&seconds) => Ok(Some(seconds)),
            _ => Err(Refusal::because(Reason::ClaimMalformed, name)),
        },
    }
}

fn optional_text(claims: &Map<String, Value>, name: &'static str) -> Result<(), Refusal> {
    match claims.get(name) {
        None | Some(Value::String(_)) => Ok(()),
        Some(_) => Err(Refusal::because(Reason::ClaimMalformed, name)),
    }
}

/// A client's text for the log: its beginning.
fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}
