//! A token that was verified: its signature, its issuer and the form of its claims; then its audience and time.

use std::rc::Rc;

use serde_json::{Map, Value};

use super::bearer_token::BearerToken;
use super::confirmation::{Confirmation, confirmation};
use super::identity::Identity;
use super::issuer::Issuer;
use super::keys::{KeyRing, KeySource};
use super::verified_payload::VerifiedPayload;
use super::{Dpop, Means};
#[cfg(test)]
use crate::jose::algorithm::Algorithm;
use crate::jose::jwk::Fingerprint;
use crate::jose::jws::CompactJws;
use crate::jose::signature::Verification;
use crate::reason::Reason;
use crate::refusal::Refusal;
use crate::request::Request;

/// Of a token that was verified elsewhere: no key has this fingerprint, so such a token is never taken from the cache.
const NO_KEY: Fingerprint = [0; 32];

/// Times are JSON numbers up to this many seconds (the year 9999), so that no arithmetic on them can go wrong.
const LATEST: f64 = 253_402_300_799.0;

/// The claims of an access token that a trusted issuer signed. Whether it is for this API, and still good, depends on
/// the moment, and is judged each time.
#[derive(Debug)]
pub struct AccessToken {
    /// The place of the issuer in its policy.
    issuer: usize,
    audiences: Vec<String>,
    /// NumericDates, with their fractions.
    expires: f64,
    not_before: Option<f64>,
    issued_at: Option<f64>,
    confirmation: Result<Confirmation, Refusal>,
    scope: Result<Option<String>, Refusal>,
    identity: Rc<Identity>,
    key: Fingerprint,
}

/// Why there is no access token.
#[derive(Debug)]
pub(crate) enum Unverified<'i> {
    /// There never will be.
    Refused(Refusal),
    /// The issuer's keys are not here, or not the one that the token names; the refusal is what it comes to if no newer
    /// ones can be had.
    NeedsKeys(&'i KeySource, Refusal),
}

impl Unverified<'_> {
    /// The same with a refusal that says more.
    pub(super) fn map(self, more: impl FnOnce(Refusal) -> Refusal) -> Self {
        match self {
            Self::Refused(refusal) => Self::Refused(more(refusal)),
            Self::NeedsKeys(source, refusal) => Self::NeedsKeys(source, more(refusal)),
        }
    }
}

impl<T: Into<Refusal>> From<T> for Unverified<'_> {
    fn from(refusal: T) -> Self {
        Self::Refused(refusal.into())
    }
}

impl AccessToken {
    /// The one way to an access token.
    pub(super) fn verify<'i>(
        bearer_token: &BearerToken<'_>,
        issuers: &'i [Issuer],
        dpop: Dpop,
        request: &Request<'_>,
        means: &Means<'_>,
    ) -> Result<Self, Unverified<'i>> {
        let token = CompactJws::parse(bearer_token.text())?;
        // Before the signature: the issuer among them says whose key it has to be.
        let claims = Claims::parse(token.payload())?;
        let (place, issuer) = issuer_of(&claims, issuers)?;
        issuer.check_type(token.kind())?;
        let key = match issuer.payload_in_metadata() {
            Some(name) => {
                issuer.check_algorithm(token.algorithm())?;
                was_verified(token.payload(), request.verified_payload(name))?;
                NO_KEY
            }
            None => verify_signature(&token, issuer, request.now, means)?,
        };
        // From here on the claims are the issuer's word, and a refusal may name whom they are about.
        let identity = Identity::of(Some(token.algorithm()), token.payload());
        Ok(Self::of(&claims, token.payload(), (place, issuer), dpop, key, identity)?)
    }

    /// The token of a request that has none any more, because the filter that verified it removed it: what it left of
    /// the token is judged. `None` where it left nothing.
    pub(super) fn verified_before(
        issuers: &[Issuer],
        dpop: Dpop,
        request: &Request<'_>,
    ) -> Result<Option<Self>, Refusal> {
        let left = issuers.iter().enumerate().find_map(|place| {
            let payload = request.verified_payload(place.1.payload_in_metadata()?)?;
            Some((place, payload))
        });
        let Some(((place, issuer), payload)) = left else { return Ok(None) };
        let unreadable = || Refusal::because(Reason::TokenNotVerified, "the payload in the metadata cannot be read");
        let payload = VerifiedPayload::read(payload).and_then(|payload| payload.claims()).ok_or_else(unreadable)?;
        let claims = Claims::parse(&payload)?;
        if claims.issuer != issuer.identifier() {
            return Err(Refusal::because(Reason::IssuerNotTrusted, shortened(claims.issuer)));
        }
        // Which algorithm the token was signed with is not among what was left of it.
        Self::of(&claims, &payload, (place, issuer), dpop, NO_KEY, Identity::of(None, &payload)).map(Some)
    }

    fn of(
        claims: &Claims<'_>,
        payload: &Map<String, Value>,
        (place, issuer): (usize, &Issuer),
        dpop: Dpop,
        key: Fingerprint,
        identity: Identity,
    ) -> Result<Self, Refusal> {
        let identity = Rc::new(identity);
        claims.check_lifetime(issuer.longest_lifetime()).map_err(|refusal| refusal.about(Rc::clone(&identity)))?;
        let confirmation = confirmation(payload, issuer.confirmation, dpop).map_err(|reason| match reason {
            Reason::ConfirmationAtTopLevel => Refusal::because(
                reason,
                "this issuer writes x5t#S256 at the top level: configure it with `confirmation: top_level`",
            ),
            other => other.into(),
        });
        Ok(Self {
            issuer: place,
            audiences: claims.audiences.iter().map(|audience| (*audience).to_owned()).collect(),
            expires: claims.expires,
            not_before: claims.not_before,
            issued_at: claims.issued_at,
            confirmation,
            scope: text(payload, "scope").map(|scope| scope.map(str::to_owned)),
            identity,
            key,
        })
    }

    /// Whether the issuer still has the key that verified the token.
    pub(super) fn is_current(&self, issuers: &[Issuer], now: u64, ring: &KeyRing) -> bool {
        let keys = issuers.get(self.issuer).and_then(|issuer| issuer.keys(ring, now).ok());
        keys.is_some_and(|keys| keys.has(&self.key))
    }

    /// Judges what depends on the moment: the audience, and the time (RFC 7519 §4.1.4 and §4.1.5: before `exp`, not
    /// before `nbf`, both with the leeway). A token cannot have come before it was issued either, so `iat` is held to
    /// like `nbf`.
    #[expect(clippy::cast_precision_loss, reason = "seconds up to the year 9999 are exact in an f64")]
    pub(super) fn judge(&self, issuers: &[Issuer], leeway: u64, now: u64) -> Result<(), Reason> {
        let (now, leeway) = (now as f64, leeway as f64);
        let is_ours =
            issuers.get(self.issuer).is_some_and(|issuer| self.audiences.iter().any(|own| issuer.is_audience(own)));
        if !is_ours {
            Err(Reason::AudienceMismatch)
        } else if now >= self.expires + leeway {
            Err(Reason::TokenExpired)
        } else if [self.not_before, self.issued_at].iter().flatten().any(|time| now < time - leeway) {
            Err(Reason::TokenNotYetValid)
        } else {
            Ok(())
        }
    }

    /// What the token is bound to.
    ///
    /// # Errors
    /// As [`confirmation`]: whoever passes such a token on must have looked at this.
    pub fn confirmation(&self) -> Result<Confirmation, Refusal> {
        self.confirmation.clone()
    }

    /// The token's scopes: one string with spaces between them (RFC 8693 §4.2, RFC 9068 §2.2.3).
    pub(super) fn scopes(&self) -> Result<Vec<&str>, Refusal> {
        match &self.scope {
            Ok(scope) => Ok(scope.as_deref().map(|scope| scope.split(' ').collect()).unwrap_or_default()),
            Err(refusal) => Err(refusal.clone()),
        }
    }

    /// Whom it names.
    pub(super) fn identity(&self) -> Rc<Identity> {
        Rc::clone(&self.identity)
    }

    #[cfg(test)]
    pub(super) fn example() -> Self {
        Self {
            issuer: 0,
            audiences: vec!["https://api.example.com".to_owned()],
            expires: 0.0,
            not_before: None,
            issued_at: None,
            confirmation: Err(Reason::ConfirmationMalformed.into()),
            scope: Ok(None),
            identity: Rc::new(Identity::of(Some(Algorithm::ES256), &Map::new())),
            key: [0; 32],
        }
    }

    /// How many bytes it takes, about.
    pub(super) fn size(&self) -> usize {
        let audiences = self.audiences.iter().map(|audience| audience.len().saturating_add(size_of::<String>()));
        let scope = self.scope.as_ref().ok().and_then(Option::as_ref).map_or(0, String::len);
        let own = size_of::<Self>().saturating_add(scope).saturating_add(self.identity.size());
        audiences.fold(own, usize::saturating_add)
    }
}

/// The issuer that the token claims to be from: its keys decide whether it is.
fn issuer_of<'i>(claims: &Claims<'_>, issuers: &'i [Issuer]) -> Result<(usize, &'i Issuer), Refusal> {
    issuers
        .iter()
        .enumerate()
        .find(|(_, issuer)| issuer.identifier() == claims.issuer)
        .ok_or_else(|| Refusal::because(Reason::IssuerNotTrusted, shortened(claims.issuer)))
}

/// Whether another filter verified a token with this very payload.
fn was_verified(payload: &Map<String, Value>, verified: Option<&[u8]>) -> Result<(), Refusal> {
    let refused = |why| Err(Refusal::because(Reason::TokenNotVerified, why));
    match verified.map(VerifiedPayload::read) {
        None => refused("there is no payload in the metadata"),
        Some(None) => refused("the payload in the metadata cannot be read"),
        Some(Some(verified)) if verified.is(payload) => Ok(()),
        Some(Some(_)) => refused("the payload in the metadata is another token's"),
    }
}

/// The key that made the signature.
fn verify_signature<'i>(
    token: &CompactJws<'_>,
    issuer: &'i Issuer,
    now: u64,
    means: &Means<'_>,
) -> Result<Fingerprint, Unverified<'i>> {
    let algorithm = token.algorithm();
    issuer.check_algorithm(algorithm)?;
    let keys = issuer.keys(means.keys, now).map_err(|source| match source {
        Some(source) => Unverified::NeedsKeys(source, Refusal::because(Reason::KeysUnavailable, source.identity())),
        None => Unverified::from(Reason::TokenNotVerified),
    })?;
    let mut answer = Reason::KeyUnknown;
    for key in keys.candidates(algorithm, token.key_id()) {
        match means.engine.verify(token, key) {
            Verification::Valid => return Ok(key.fingerprint()),
            Verification::Invalid => answer = Reason::SignatureInvalid,
            Verification::Unavailable => {
                return Err(Refusal::because(Reason::SignatureEngineUnavailable, algorithm.name()).into());
            }
        }
    }
    let key_id = token.key_id().map_or_else(|| "no kid".to_owned(), |key_id| format!("kid {}", shortened(key_id)));
    let refusal = Refusal::because(answer, format!("{}, {key_id}", algorithm.name()));
    // Only a key id that nobody knows hints at new keys: whoever can make a wrong signature must not cause a fetch.
    match (answer, token.key_id(), issuer.key_source()) {
        (Reason::KeyUnknown, Some(_), Some(source)) => Err(Unverified::NeedsKeys(source, refusal)),
        _ => Err(refusal.into()),
    }
}

/// The registered claims (RFC 7519 §4.1), of the right types. Only the signature makes them true.
struct Claims<'t> {
    issuer: &'t str,
    audiences: Vec<&'t str>,
    /// NumericDates, with their fractions.
    expires: f64,
    not_before: Option<f64>,
    issued_at: Option<f64>,
}

impl<'t> Claims<'t> {
    /// A claim of the wrong type is not the same as none.
    fn parse(payload: &'t Map<String, Value>) -> Result<Self, Refusal> {
        for name in ["sub", "jti"] {
            text(payload, name)?;
        }
        Ok(Self {
            issuer: text(payload, "iss")?.ok_or_else(|| missing("iss"))?,
            audiences: audiences(payload)?,
            expires: time(payload, "exp")?.ok_or_else(|| missing("exp"))?,
            not_before: time(payload, "nbf")?,
            issued_at: time(payload, "iat")?,
        })
    }

    /// From `iat` to `exp`, in seconds.
    fn check_lifetime(&self, longest: Option<f64>) -> Result<(), Refusal> {
        match (longest, self.issued_at) {
            (None, _) => Ok(()),
            (Some(_), None) => Err(missing("iat")),
            (Some(longest), Some(issued_at)) if self.expires - issued_at > longest => {
                let lifetime = self.expires - issued_at;
                Err(Refusal::because(Reason::TokenLifetimeTooLong, format!("{lifetime} seconds")))
            }
            (Some(_), Some(_)) => Ok(()),
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
