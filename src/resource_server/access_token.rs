//! The claims of an access token that was verified.

use std::rc::Rc;
use std::time::Duration;

use super::Context;
use super::claims::Claims;
use super::issuer::Issuer;
use super::token_kind::{self, Stand};
use super::verified_payload;
use crate::jose::algorithm::Algorithm;
use crate::jose::confirmation::{Confirmation, Dpop, confirmation};
use crate::jose::jwk::Fingerprint;
use crate::outcome::identity::Identity;
use crate::outcome::refusal::Refusal;
use crate::reason::Reason;
use crate::text::json::Object;
use crate::time::UnixTime;

/// The claims of an access token that a trusted issuer vouches for, reduced to what policies check. Whether it is still good
/// depends on the moment, and is judged each time.
#[derive(Debug)]
pub(super) struct AccessToken {
    /// The place of the issuer in its policy.
    issuer: usize,
    /// Whether this API is among its audiences.
    is_for_this_api: bool,
    /// NumericDates, with their fractions; an introspected token need not expire.
    expires: Option<f64>,
    not_before: Option<f64>,
    issued_at: Option<f64>,
    confirmation: Result<Confirmation, Refusal>,
    identity: Rc<Identity>,
    proof: Proof,
}

/// What makes the claims true.
#[derive(Debug)]
pub(super) enum Proof {
    /// A signature with this key.
    Key(Fingerprint),
    /// The issuer's word, which is believed until then.
    Introspection(UnixTime),
    /// Another filter, which is asked anew each time: it has to have verified the token with this `jti`.
    Identifier(String),
    /// Another filter again, where the token has none: it has to have verified this very payload.
    Payload(Object<'static>),
}

impl AccessToken {
    /// The claims of this payload, which the proof makes true, from the issuer at this place of its policy.
    ///
    /// # Errors
    /// Where it is no access token, or lives longer than its issuer's may.
    pub(super) fn of(
        claims: &Claims<'_>,
        payload: &Object<'_>,
        (place, issuer): (usize, &Issuer),
        dpop: Dpop,
        proof: Proof,
        (stand, algorithm): (Stand<'_>, Option<Algorithm>),
    ) -> Result<Self, Refusal> {
        let issuer_identifier = claims.issuer.map(|_| issuer.shared_identifier());
        let identity = Rc::new(Identity::of(algorithm, issuer_identifier, payload));
        token_kind::check(payload, stand)
            .and_then(|()| claims.check_lifetime(issuer.longest_lifetime()))
            .map_err(|refusal| refusal.about(Rc::clone(&identity)))?;
        let confirmation = confirmation(payload, issuer.confirmation, dpop).map_err(|reason| match reason {
            Reason::ConfirmationAtTopLevel => Refusal::because(
                reason,
                "this issuer writes x5t#S256 at the top level: configure it with `confirmation: top_level`",
            ),
            other => other.into(),
        });
        Ok(Self {
            issuer: place,
            is_for_this_api: claims.are_for(issuer),
            expires: claims.expires,
            not_before: claims.not_before,
            issued_at: claims.issued_at,
            confirmation,
            identity,
            proof,
        })
    }

    /// Whether what made the claims true still does: the issuer still has the key, or said so not long ago, or the other
    /// filter says so of this request too.
    pub(super) fn is_current(&self, issuers: &[Issuer], now: UnixTime, context: &Context<'_>) -> bool {
        let Some(issuer) = issuers.get(self.issuer) else { return false };
        let name = issuer.payload_in_metadata().unwrap_or_default();
        match &self.proof {
            Proof::Key(key) => issuer.keys(context.keys, now).is_ok_and(|keys| keys.has(key)),
            Proof::Introspection(until) => now < *until,
            Proof::Identifier(own) => {
                context.connection.verified_claim(name, "jti").is_some_and(|jti| jti == own.as_bytes())
            }
            Proof::Payload(own) => {
                verified_payload::is_of(own, context.connection.verified_payload(name).as_deref()).is_ok()
            }
        }
    }

    /// Judges the audience, and what depends on the moment: the time (RFC 7519 §4.1.4 and §4.1.5: before `exp`, not
    /// before `nbf`, both with the leeway). A token cannot have come before it was issued either, so `iat` is held to
    /// like `nbf`.
    #[expect(clippy::cast_precision_loss, reason = "seconds up to the year 9999 are exact in an f64")]
    pub(super) fn judge(&self, leeway: Duration, now: UnixTime) -> Result<(), Reason> {
        let (now, leeway) = (now.seconds() as f64, leeway.as_secs_f64());
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

    /// The first second at which [`Self::judge`] says that it has expired; `None` where it never does.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "beyond its range it is the end of it")]
    pub(super) fn expired_from(&self, leeway: Duration) -> Option<UnixTime> {
        self.expires.map(|expires| UnixTime::from_seconds((expires + leeway.as_secs_f64()).ceil() as u64))
    }

    /// What the token is bound to.
    ///
    /// # Errors
    /// As [`confirmation`]: whoever passes such a token on must have looked at this.
    pub(super) fn confirmation(&self) -> Result<Confirmation, Refusal> {
        self.confirmation.clone()
    }

    /// Whom it names.
    pub(super) fn identity(&self) -> &Rc<Identity> {
        &self.identity
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
            identity: Rc::new(Identity::of(Some(Algorithm::ES256), None, &Object::default())),
            proof: Proof::Payload(Object::default()),
        }
    }

    /// How many bytes it takes, about.
    pub(super) fn size(&self) -> usize {
        let proof = match &self.proof {
            Proof::Payload(payload) => payload.size(),
            Proof::Identifier(identifier) => identifier.len(),
            Proof::Key(_) | Proof::Introspection(_) => 0,
        };
        let refusal = self.confirmation.as_ref().err().map_or(0, Refusal::size);
        let own = [size_of::<Self>(), refusal, proof, self.identity.size()];
        own.into_iter().fold(0, usize::saturating_add)
    }
}
