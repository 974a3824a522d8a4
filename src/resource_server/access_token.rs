//! A token that was verified: its signature, its issuer and the form of its claims; then its audience and time.

use std::rc::Rc;

use super::bearer_token::BearerToken;
use super::forwarding::{self, ForwardedClaim};
use super::introspection::{Inquiry, Introspected, Introspection, MissingAudience};
use super::issuer::Issuer;
use super::token_cache::{Holds, Known};
use super::token_kind::{self, Stand};
use super::verified_payload::VerifiedPayload;
use super::{Means, Scope};
use crate::http::connection::Connection;
use crate::http::edit::Edit;
use crate::http::request::Request;
use crate::jose::algorithm::Algorithm;
use crate::jose::confirmation::Dpop;
use crate::jose::confirmation::{Confirmation, confirmation};
use crate::jose::jwk::Fingerprint;
use crate::jose::jws::CompactJws;
use crate::jose::signature::Verification;
use crate::keys::{KeySource, Wish};
use crate::outcome::decision::{Decision, Ground, Verdict};
use crate::outcome::identity::Identity;
use crate::outcome::refusal::Refusal;
use crate::reason::Reason;
use crate::text::json::{Json, Object};

/// What a token must say that was verified here.
const REQUIRED: &[&str] = &["iss", "aud", "exp"];

/// Times are JSON numbers up to this many seconds (the year 9999), so that no arithmetic on them can go wrong.
const LATEST: f64 = 253_402_300_799.0;

/// The claims of an access token that a trusted issuer signed, as a policy has to do with them. Whether it is still good
/// depends on the moment, and is judged each time.
#[derive(Debug)]
pub struct AccessToken {
    /// The place of the issuer in its policy.
    issuer: usize,
    /// Whether this API is among its audiences.
    is_for_this_api: bool,
    /// NumericDates, with their fractions; an introspected token need not expire.
    expires: Option<f64>,
    not_before: Option<f64>,
    issued_at: Option<f64>,
    confirmation: Result<Confirmation, Refusal>,
    /// Whether it has the scopes that the policy requires.
    scope: Result<(), Refusal>,
    /// The headers that the API gets, with claims of this token.
    forwarded: Result<Vec<Edit>, Refusal>,
    identity: Rc<Identity>,
    /// What access logs print where it passes since it is bound to the certificate: of a token that comes again that is
    /// the same again.
    line_of_bound: Option<Rc<str>>,
    proof: Proof,
}

/// What a policy has of its own to expect of a token and to do with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'p> {
    /// Its name.
    pub(super) policy: &'p str,
    pub(super) dpop: Dpop,
    pub(super) required_scopes: &'p [Scope],
    pub(super) forwarded_claims: &'p [ForwardedClaim],
}

/// What makes the claims true.
#[derive(Debug)]
enum Proof {
    /// A signature with this key.
    Key(Fingerprint),
    /// The issuer's word, which is believed until then: seconds since 1970.
    Introspection(u64),
    /// Another filter, which is asked anew each time: it has to have verified the token with this `jti`.
    Identifier(String),
    /// Another filter again, where the token has none: it has to have verified this very payload.
    Payload(Object<'static>),
}

/// Why there is no access token.
#[derive(Debug)]
pub(crate) enum Unverified<'i> {
    /// There never will be.
    Refused(Refusal),
    /// The issuer's keys are not here, or not the one that the token names; the refusal is what it comes to if no newer
    /// ones can be had.
    NeedsKeys(&'i KeySource, Wish, Refusal),
    /// The issuer must say what the token is good for; the refusal is what it comes to if it does not.
    NeedsIntrospection(Inquiry, Refusal),
}

impl<'i> Unverified<'i> {
    /// What it comes to that no key made which the issuer is known to have. The right one may be new, unless the token names one
    /// of those. Whoever makes up such tokens causes one fetch in a cool-down.
    pub(super) fn by_keys_of(issuer: &'i Issuer, is_named: bool, refusal: Refusal) -> Self {
        match issuer.key_source().filter(|_| !is_named) {
            Some(source) => Self::NeedsKeys(source, Wish::UnknownKey, refusal),
            None => Self::Refused(refusal),
        }
    }

    fn refusal(&self) -> &Refusal {
        let (Self::Refused(refusal) | Self::NeedsKeys(_, _, refusal) | Self::NeedsIntrospection(_, refusal)) = self;
        refusal
    }

    /// The same with a refusal that says more.
    pub(super) fn map(self, more: impl FnOnce(Refusal) -> Refusal) -> Self {
        match self {
            Self::Refused(refusal) => Self::Refused(more(refusal)),
            Self::NeedsKeys(source, wish, refusal) => Self::NeedsKeys(source, wish, more(refusal)),
            Self::NeedsIntrospection(inquiry, refusal) => Self::NeedsIntrospection(inquiry, more(refusal)),
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
    // Apart from the path of a token that was seen before.
    #[inline(never)]
    pub(super) fn verify<'i>(
        bearer_token: &BearerToken<'_>,
        issuers: &'i [Issuer],
        expected: Expected<'_>,
        request: &Request<'_>,
        means: &mut Means<'_>,
    ) -> Result<Self, Unverified<'i>> {
        let mut room = Vec::new();
        let token = CompactJws::parse(bearer_token.text(), &mut room)?;
        // Before the signature: the issuer among them says whose key it has to be.
        let claims = Claims::parse(token.payload(), REQUIRED)?;
        let (place, issuer) = issuer_of(&claims, issuers)?;
        issuer.check_type(token.kind())?;
        let proof = match issuer.payload_in_metadata() {
            Some(name) => {
                issuer.check_algorithm(token.algorithm())?;
                was_verified(token.payload(), means.connection.verified_payload(name).as_deref())?;
                match claims.identifier {
                    Some(identifier) if !identifier.is_empty() => Proof::Identifier(identifier.to_owned()),
                    _ => Proof::Payload(token.payload().clone().into_owned()),
                }
            }
            None => match verify_signature(&token, issuer, request.now, means) {
                Ok(key) => Proof::Key(key),
                Err(unverified) => {
                    if unverified.refusal().reason() == Reason::SignatureInvalid
                        && let Ok(keys) = issuer.keys(means.keys, request.now)
                    {
                        let (keys, is_named) = (keys.digest(), token.key_id().is_some());
                        let holds = Holds::WithKeys { issuer: place, keys, is_named };
                        let known = Known::Refused(Rc::new(unverified.refusal().clone()), holds);
                        means.tokens.insert(expected.policy, token.text(), known);
                    }
                    return Err(unverified);
                }
            },
        };
        // From here on the claims are the issuer's word, and a refusal may name whom they are about.
        let form = (Stand::Token(token.kind()), Some(token.algorithm()));
        Ok(Self::of(&claims, token.payload(), (place, issuer), expected, proof, form)?)
    }

    /// The token of a request that has none any more, because the filter that verified it removed it: what it left of
    /// the token is judged. `None` where it left nothing.
    // As above.
    #[inline(never)]
    pub(super) fn verified_before(
        issuers: &[Issuer],
        expected: Expected<'_>,
        connection: &dyn Connection,
    ) -> Result<Option<Self>, Refusal> {
        let left = issuers.iter().enumerate().find_map(|place| {
            let payload = connection.verified_payload(place.1.payload_in_metadata()?)?;
            Some((place, payload))
        });
        let Some(((place, issuer), payload)) = left else { return Ok(None) };
        let unreadable = || Refusal::because(Reason::TokenNotVerified, "the payload in the metadata cannot be read");
        let payload = VerifiedPayload::read(&payload).and_then(|payload| payload.claims()).ok_or_else(unreadable)?;
        let claims = Claims::parse(&payload, REQUIRED)?;
        claims.check_issuer(issuer)?;
        issuer.check_unseen_type()?;
        // Which algorithm the token was signed with is not among what was left of it.
        // No token will be asked about: there is none to look it up by.
        let proof = Proof::Payload(Object::default());
        Self::of(&claims, &payload, (place, issuer), expected, proof, (Stand::Payload, None)).map(Some)
    }

    /// A token that its issuer says is active (RFC 7662 §2.2).
    pub(super) fn introspected<'i>(
        introspected: &Introspected,
        (place, issuer): (usize, &'i Issuer),
        source: &Introspection,
        expected: Expected<'_>,
        request: &Request<'_>,
        means: &Means<'_>,
    ) -> Result<Self, Unverified<'i>> {
        let verified = |jwt: &CompactJws<'_>| {
            let verified = verify_signature(jwt, issuer, request.now, means).map(drop);
            // Whatever is wrong with the answer, it says nothing against the token.
            verified.map_err(|unverified: Unverified<'i>| {
                unverified.map(|refusal| introspected.unavailable(&format!("the answer: {}", refusal.reason())))
            })
        };
        let payload = introspected.claims(issuer.identifier(), verified)?;
        let required: &[&str] = match source.missing_audience() {
            MissingAudience::Required => &["aud"],
            MissingAudience::IfPresent => &[],
        };
        let claims = Claims::parse(&payload, required)?;
        claims.check_issuer(issuer)?;
        // Of an ID token or a refresh token some servers say no more than this.
        if claims.audience.is_none() && !token_kind::has(&payload, "token_type") {
            return Err(Refusal::because(Reason::ClaimMissing, "aud, where there is no token_type").into());
        }
        let proof = Proof::Introspection(request.now.saturating_add(source.longest_kept()));
        let form = (Stand::Answer(source.token_types()), None);
        Ok(Self::of(&claims, &payload, (place, issuer), expected, proof, form)?)
    }

    fn of(
        claims: &Claims<'_>,
        payload: &Object<'_>,
        (place, issuer): (usize, &Issuer),
        expected: Expected<'_>,
        proof: Proof,
        (stand, algorithm): (Stand<'_>, Option<Algorithm>),
    ) -> Result<Self, Refusal> {
        let issuer_identifier = claims.issuer.map(|_| issuer.shared_identifier());
        let identity = Rc::new(Identity::of(algorithm, issuer_identifier, payload));
        token_kind::check(payload, stand)
            .and_then(|()| claims.check_lifetime(issuer.longest_lifetime()))
            .map_err(|refusal| refusal.about(Rc::clone(&identity)))?;
        let confirmation = confirmation(payload, issuer.confirmation, expected.dpop).map_err(|reason| match reason {
            Reason::ConfirmationAtTopLevel => Refusal::because(
                reason,
                "this issuer writes x5t#S256 at the top level: configure it with `confirmation: top_level`",
            ),
            other => other.into(),
        });
        let bound_to = confirmation.as_ref().ok().and_then(|confirmation| confirmation.certificate);
        let line_of_bound = bound_to.map(|certificate| {
            let decision = Decision::new(expected.policy, Verdict::Forwarded(Ground::TokenBound), Some(certificate));
            decision.about(Some(Rc::clone(&identity))).line().into()
        });
        Ok(Self {
            issuer: place,
            is_for_this_api: claims.are_for(issuer),
            expires: claims.expires,
            not_before: claims.not_before,
            issued_at: claims.issued_at,
            confirmation,
            scope: check_scopes(expected.required_scopes, payload),
            forwarded: forwarding::headers(expected.forwarded_claims, payload),
            identity,
            line_of_bound,
            proof,
        })
    }

    /// Whether what made the claims true still does: the issuer still has the key, or said so not long ago, or the other
    /// filter says so of this request too.
    pub(super) fn is_current(&self, issuers: &[Issuer], now: u64, means: &Means<'_>) -> bool {
        let Some(issuer) = issuers.get(self.issuer) else { return false };
        let name = issuer.payload_in_metadata().unwrap_or_default();
        match &self.proof {
            Proof::Key(key) => issuer.keys(means.keys, now).is_ok_and(|keys| keys.has(key)),
            Proof::Introspection(until) => now < *until,
            Proof::Identifier(own) => {
                means.connection.verified_claim(name, "jti").is_some_and(|jti| jti == own.as_bytes())
            }
            Proof::Payload(own) => was_verified(own, means.connection.verified_payload(name).as_deref()).is_ok(),
        }
    }

    /// Judges the audience, and what depends on the moment: the time (RFC 7519 §4.1.4 and §4.1.5: before `exp`, not
    /// before `nbf`, both with the leeway). A token cannot have come before it was issued either, so `iat` is held to
    /// like `nbf`.
    #[expect(clippy::cast_precision_loss, reason = "seconds up to the year 9999 are exact in an f64")]
    pub(super) fn judge(&self, leeway: u64, now: u64) -> Result<(), Reason> {
        let (now, leeway) = (now as f64, leeway as f64);
        if !self.is_for_this_api {
            Err(Reason::AudienceMismatch)
        } else if self.expires.is_some_and(|expires| now >= expires + leeway) {
            Err(Reason::TokenExpired)
        } else if [self.not_before, self.issued_at].iter().flatten().any(|time| now < time - leeway) {
            Err(Reason::TokenNotYetValid)
        } else {
            Ok(())
        }
    }

    /// The first second, since 1970, at which [`Self::judge`] says that it has expired; `None` where it never does.
    #[expect(clippy::cast_precision_loss, reason = "as in `judge`")]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "beyond its range it is the end of it")]
    pub(super) fn expired_from(&self, leeway: u64) -> Option<u64> {
        self.expires.map(|expires| (expires + leeway as f64).ceil() as u64)
    }

    /// What the token is bound to.
    ///
    /// # Errors
    /// As [`confirmation`]: whoever passes such a token on must have looked at this.
    pub fn confirmation(&self) -> Result<Confirmation, Refusal> {
        self.confirmation.clone()
    }

    /// Whether it has the scopes that the policy requires.
    pub(super) fn check_scopes(&self) -> Result<(), Refusal> {
        self.scope.clone()
    }

    /// The headers that the API gets, with claims of this token.
    pub(super) fn forwarded(&self) -> Result<&[Edit], Refusal> {
        self.forwarded.as_deref().map_err(Clone::clone)
    }

    /// What access logs print of a request that passes since this token is bound to its certificate; `None` where the
    /// token is not.
    pub(super) fn line_of_bound(&self) -> Option<Rc<str>> {
        self.line_of_bound.clone()
    }

    /// Whom it names.
    pub(super) fn identity(&self) -> Rc<Identity> {
        Rc::clone(&self.identity)
    }

    #[cfg(test)]
    pub(super) fn example() -> Self {
        Self {
            issuer: 0,
            is_for_this_api: true,
            expires: None,
            not_before: None,
            issued_at: None,
            confirmation: Err(Reason::ConfirmationMalformed.into()),
            scope: Ok(()),
            forwarded: Ok(Vec::new()),
            identity: Rc::new(Identity::of(Some(Algorithm::ES256), None, &Object::default())),
            line_of_bound: None,
            proof: Proof::Payload(Object::default()),
        }
    }

    /// How many bytes it takes, about.
    pub(super) fn size(&self) -> usize {
        let forwarded = self.forwarded.iter().flatten().map(Edit::size).fold(0, usize::saturating_add);
        let proof = match &self.proof {
            Proof::Payload(payload) => payload.size(),
            Proof::Identifier(identifier) => identifier.len(),
            Proof::Key(_) | Proof::Introspection(_) => 0,
        };
        let refusals = [self.confirmation.as_ref().err(), self.scope.as_ref().err(), self.forwarded.as_ref().err()];
        let refusals = refusals.into_iter().flatten().map(Refusal::size).fold(0, usize::saturating_add);
        let line = self.line_of_bound.as_ref().map_or(0, |line| line.len());
        let own = [size_of::<Self>(), refusals, forwarded, proof, self.identity.size(), line];
        own.into_iter().fold(0, usize::saturating_add)
    }
}

/// The issuer that the token claims to be from: its keys decide whether it is. Another one is not told, since nobody has
/// verified that claim.
fn issuer_of<'i>(claims: &Claims<'_>, issuers: &'i [Issuer]) -> Result<(usize, &'i Issuer), Reason> {
    issuers
        .iter()
        .enumerate()
        .find(|(_, issuer)| claims.issuer == Some(issuer.identifier()))
        .ok_or(Reason::IssuerNotTrusted)
}

/// Whether another filter verified a token with this very payload.
fn was_verified(payload: &Object<'_>, verified: Option<&[u8]>) -> Result<(), Refusal> {
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
        Some(source) => {
            Unverified::NeedsKeys(source, Wish::Routine, Refusal::because(Reason::KeysUnavailable, source.place()))
        }
        None => Unverified::from(Reason::TokenNotVerified),
    })?;
    let (is_named, further_checks) = (token.key_id().is_some(), &means.tokens.further_checks);
    let mut candidates: Vec<_> = keys.candidates(algorithm, token.key_id()).collect();
    if !is_named {
        further_checks.order(&mut candidates);
    }
    let mut spent = 0_u32;
    for (place, key) in candidates.iter().enumerate() {
        if place > 0 && !is_named {
            if !further_checks.are_permitted(now) {
                return Err(Refusal::because(Reason::SignatureChecksExhausted, algorithm.name()).into());
            }
            spent = spent.saturating_add(key.cost(algorithm));
        }
        match means.engine.verify(token, key) {
            Verification::Valid => {
                if !is_named {
                    further_checks.found(key.fingerprint());
                }
                return Ok(key.fingerprint());
            }
            Verification::Invalid => {}
            Verification::Unavailable => {
                return Err(Refusal::because(Reason::SignatureEngineUnavailable, algorithm.name()).into());
            }
        }
    }
    further_checks.were_in_vain(now, spent);
    let answer = if candidates.is_empty() { Reason::KeyUnknown } else { Reason::SignatureInvalid };
    let key_id = token.key_id().map_or_else(|| "no kid".to_owned(), |key_id| format!("kid {}", shortened(key_id)));
    let refusal = Refusal::because(answer, format!("{}, {key_id}", algorithm.name()));
    Err(Unverified::by_keys_of(issuer, is_named && !candidates.is_empty(), refusal))
}

/// The registered claims (RFC 7519 §4.1), of the right types. Only the signature makes them true.
struct Claims<'t> {
    issuer: Option<&'t str>,
    /// `jti`.
    identifier: Option<&'t str>,
    /// One text, or a list of texts (RFC 7519 §4.1.3).
    audience: Option<&'t Json<'t>>,
    /// NumericDates, with their fractions.
    expires: Option<f64>,
    not_before: Option<f64>,
    issued_at: Option<f64>,
}

impl<'t> Claims<'t> {
    /// A claim of the wrong type is not the same as none. These must be there.
    fn parse(payload: &'t Object<'t>, required: &[&'static str]) -> Result<Self, Refusal> {
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
    fn are_for(&self, issuer: &Issuer) -> bool {
        let is_ours = |audience: &Json<'_>| audience.as_str().is_some_and(|audience| issuer.is_audience(audience));
        match self.audience {
            None => true,
            Some(Json::List(audiences)) => audiences.iter().any(is_ours),
            Some(audience) => is_ours(audience),
        }
    }

    /// From `iat` to `exp`, in seconds.
    fn check_lifetime(&self, longest: Option<f64>) -> Result<(), Refusal> {
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
    fn check_issuer(&self, issuer: &Issuer) -> Result<(), Refusal> {
        match self.issuer {
            Some(own) if own != issuer.identifier() => Err(Refusal::because(Reason::IssuerNotTrusted, shortened(own))),
            Some(_) | None => Ok(()),
        }
    }
}

fn text<'t>(payload: &'t Object<'_>, name: &'static str) -> Result<Option<&'t str>, Refusal> {
    payload.get(name).map(|value| value.as_str().ok_or_else(|| malformed(name))).transpose()
}

/// A token's scopes are one string with spaces between them (RFC 8693 §4.2, RFC 9068 §2.2.3).
fn check_scopes(required: &[Scope], payload: &Object<'_>) -> Result<(), Refusal> {
    if required.is_empty() {
        return Ok(());
    }
    let granted = text(payload, "scope")?.unwrap_or_default();
    let required: Vec<_> = required.iter().map(|scope| scope.0.as_str()).collect();
    if required.iter().all(|scope| granted.split(' ').any(|granted| granted == *scope)) {
        Ok(())
    } else {
        Err(Refusal::from(Reason::ScopeInsufficient).demanding(required.join(" ")))
    }
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
fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}
