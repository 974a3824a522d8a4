// SPDX-License-Identifier: Apache-2.0

//! The claims of an access token that was verified.

use std::rc::Rc;
use std::time::Duration;

use super::Context;
use super::claims::Claims;
use super::issuer::Issuer;
use super::token_kind::{self, Stand};
use super::verified_payload;
use crate::jose::algorithm::Algorithm;
use crate::jose::confirmation::{Confirmation, Dpop, Unconfirmed, confirmation};
use crate::jose::jwk::Fingerprint;
use crate::outcome::identity::Identity;
use crate::outcome::refusal::Refusal;
use crate::reason::Reason;
use crate::text::json::Object;
use crate::time::UnixTime;

/// The verified claims of an access token, reduced to what policies check. Whether it is valid at the moment is judged for each
/// request.
#[derive(Debug)]
pub(super) struct AccessToken {
    /// The place of the issuer in its policy.
    issuer: usize,
    /// Whether this API is among its audiences.
    /// Whether it is for this API.
    audience: Result<(), Refusal>,
    /// NumericDates, with their fractions. An introspected token may have no `exp`.
    expires: Option<f64>,
    not_before: Option<f64>,
    issued_at: Option<f64>,
    confirmation: Result<Confirmation, Refusal>,
    identity: Rc<Identity>,
    proof: Proof,
}

/// What verifies the claims.
#[derive(Debug)]
pub(super) enum Proof {
    /// A signature with this key.
    Key(Fingerprint),
    /// An introspection response, which is kept until then.
    Introspection(UnixTime),
    /// Another filter. For each request it must have verified a token with this `jti`.
    Identifier(String),
    /// Another filter, if the token has no `jti`. For each request it must have verified exactly this payload.
    Payload(Object<'static>),
}

impl AccessToken {
    /// The token with these claims, which `proof` verifies. `place` is the issuer's place in its policy.
    ///
    /// # Errors
    /// The refusal, if it is not an access token, or lives longer than its issuer's tokens may.
    pub(super) fn of(
        claims: &Claims<'_>,
        (place, issuer): (usize, &Issuer),
        dpop: Dpop,
        proof: Proof,
        (stand, algorithm): (Stand<'_>, Option<Algorithm>),
    ) -> Result<Self, Refusal> {
        let payload = claims.payload;
        let issuer_identifier = claims.issuer.map(|own| issuer.identifier.of_token(own));
        let identity = Rc::new(Identity::of(algorithm, issuer_identifier, payload));
        token_kind::check(payload, stand)
            .and_then(|()| claims.check_lifetime(issuer.longest_lifetime()))
            .map_err(|refusal| refusal.about(Rc::clone(&identity)))?;
        let confirmation = confirmation(payload, issuer.confirmation, dpop)
            .map_err(|Unconfirmed { reason, detail }| Refusal::because(reason, detail));
        Ok(Self {
            issuer: place,
            audience: claims.check_audience(issuer),
            expires: claims.expires,
            not_before: claims.not_before,
            issued_at: claims.issued_at,
            confirmation,
            identity,
            proof,
        })
    }

    /// Whether the claims are still verified: the issuer still has the key, the introspection is still kept, or the other
    /// filter has verified the token of this request, too.
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

    /// Judges the audience and the time: before `exp`, and not before `nbf` (RFC 7519 §4.1.4, §4.1.5), both with the leeway.
    /// `iat` is treated like `nbf`, since a token cannot be used before it is issued.
    #[expect(clippy::cast_precision_loss, reason = "seconds up to the year 9999 are exact in an f64")]
    pub(super) fn judge(&self, leeway: Duration, now: UnixTime) -> Result<(), Refusal> {
        if let Err(mismatch) = &self.audience {
            return Err(mismatch.clone());
        }
        let (now, leeway) = (now.seconds() as f64, leeway.as_secs_f64());
        if let Some(expires) = self.expires.filter(|expires| now >= expires + leeway) {
            let detail = format!("exp was {} seconds ago, and the leeway is {leeway}", (now - expires).trunc());
            return Err(Refusal::because(Reason::TokenExpired, detail));
        }
        for (name, time) in [("nbf", self.not_before), ("iat", self.issued_at)] {
            if let Some(time) = time.filter(|time| now < time - leeway) {
                let detail = format!("{name} is in {} seconds, and the leeway is {leeway}", (time - now).trunc());
                return Err(Refusal::because(Reason::TokenNotYetValid, detail));
            }
        }
        Ok(())
    }

    /// The first second at which [`Self::judge`] finds the token expired; `None` if it does not expire.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "beyond its range it is the end of it")]
    pub(super) fn expired_from(&self, leeway: Duration) -> Option<UnixTime> {
        self.expires.map(|expires| UnixTime::from_seconds((expires + leeway.as_secs_f64()).ceil() as u64))
    }

    /// What the token is bound to.
    ///
    /// # Errors
    /// As [`confirmation`]. A token with such an error must not be forwarded, unless the policy only observes.
    pub(super) fn confirmation(&self) -> Result<Confirmation, Refusal> {
        self.confirmation.clone()
    }

    /// Its client and its subject.
    pub(super) fn identity(&self) -> &Rc<Identity> {
        &self.identity
    }

    #[cfg(test)]
    pub(super) fn example() -> Self {
        Self {
            issuer: 0,
            audience: Ok(()),
            expires: None,
            not_before: None,
            issued_at: None,
            confirmation: Err(Reason::ConfirmationMalformed.into()),
            identity: Rc::new(Identity::of(Some(Algorithm::ES256), None, &Object::default())),
            proof: Proof::Payload(Object::default()),
        }
    }

    /// Its approximate size in bytes.
    pub(super) fn size(&self) -> usize {
        let proof = match &self.proof {
            Proof::Payload(payload) => payload.size(),
            Proof::Identifier(identifier) => identifier.len(),
            Proof::Key(_) | Proof::Introspection(_) => 0,
        };
        let refusals = self.confirmation.as_ref().err().into_iter().chain(self.audience.as_ref().err());
        let refusals = refusals.map(Refusal::size).fold(0, usize::saturating_add);
        // It is shared, unless a claim completed it.
        let issuer = self.identity.issuer().map_or(0, str::len);
        let own = [size_of::<Self>(), refusals, proof, issuer, self.identity.size()];
        own.into_iter().fold(0, usize::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expiring(at: f64) -> AccessToken {
        AccessToken { expires: Some(at), ..AccessToken::example() }
    }

    #[test]
    fn a_token_is_expired_from_the_first_whole_second_behind_exp_and_the_leeway() {
        let leeway = Duration::from_secs(30);
        for (expires, first) in [(1000.0, 1030), (1000.25, 1031)] {
            let (token, first) = (expiring(expires), UnixTime::from_seconds(first));
            assert_eq!(token.expired_from(leeway), Some(first));
            assert_eq!(token.judge(leeway, first).unwrap_err().reason(), Reason::TokenExpired);
            assert!(token.judge(leeway, UnixTime::from_seconds(first.seconds().saturating_sub(1))).is_ok());
        }
        assert_eq!(AccessToken::example().expired_from(leeway), None);
    }

    #[test]
    fn the_operator_is_told_how_far_a_time_is_from_now() {
        let (leeway, now) = (Duration::from_secs(30), UnixTime::from_seconds(1000));
        let detail = |token: AccessToken| token.judge(leeway, now).unwrap_err().detail().map(str::to_owned);
        let told = |text: &str| Some(text.to_owned());
        assert_eq!(detail(expiring(958.5)), told("exp was 41 seconds ago, and the leeway is 30"));
        let early = AccessToken { not_before: Some(1041.5), ..AccessToken::example() };
        assert_eq!(detail(early), told("nbf is in 41 seconds, and the leeway is 30"));
    }

    #[test]
    fn the_size_of_a_token_counts_its_texts() {
        let long = "x".repeat(10_000);
        let of_payload = format!(r#"{{"claim":"{long}"}}"#);
        let payload = crate::text::json::object(of_payload.as_bytes()).unwrap().into_owned();
        let refused = || Err(Refusal::because(Reason::AudienceMismatch, long.clone()));
        let identity = Rc::new(Identity::of_client(long.clone()));
        let none = AccessToken { proof: Proof::Introspection(UnixTime::MAX), ..AccessToken::example() };
        assert!((size_of::<AccessToken>()..5_000).contains(&none.size()), "{}", none.size());
        for token in [
            AccessToken { proof: Proof::Payload(payload), ..AccessToken::example() },
            AccessToken { proof: Proof::Identifier(long.clone()), ..AccessToken::example() },
            AccessToken { audience: refused(), ..AccessToken::example() },
            AccessToken { confirmation: refused().map(|()| Confirmation::default()), ..AccessToken::example() },
            AccessToken { identity, ..AccessToken::example() },
        ] {
            assert!((10_000..15_000).contains(&token.size()), "{}", token.size());
        }
    }
}
