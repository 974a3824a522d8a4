// SPDX-License-Identifier: Apache-2.0

//! Verifies a token: its issuer, its signature, and the form of its claims.

use std::rc::Rc;
use std::sync::Arc;

use super::Context;
use super::access_token::Proof;
use super::bearer_token::BearerToken;
use super::claims::{Claims, shortened};
use super::introspection::{Inquiry, Introspected, Introspection, MissingAudience};
use super::issuer::Issuer;
use super::prepared::{Expected, Prepared};
use super::stop::Stop;
use super::token_cache::{Holds, Known};
use super::token_kind::{self, Stand};
use super::verified_payload::{self, VerifiedPayload};
use crate::http::connection::Connection;
use crate::http::request::Request;
use crate::jose::jwk::Fingerprint;
use crate::jose::jws::{self, CompactJws};
use crate::jose::signature::Verification;
use crate::keys::FetchReason;
use crate::outcome::identity::Identity;
use crate::outcome::refusal::Refusal;
use crate::reason::Reason;
use crate::text::json::Object;
use crate::time::UnixTime;

/// The claims that a token must have.
const REQUIRED: &[&str] = &["iss", "aud", "exp"];

/// Verifies a JWT by its signature, or by what the filter that verified it left in the metadata.
// Not inlined, to keep it out of the path of tokens in the cache.
#[inline(never)]
pub(super) fn verify(
    bearer_token: &BearerToken<'_>,
    issuers: &[Issuer],
    expected: Expected<'_>,
    request: &Request<'_>,
    context: &mut Context<'_>,
) -> Result<Prepared, Stop> {
    let mut room = Vec::new();
    let token = CompactJws::parse(bearer_token.text(), &mut room).map_err(|reason| unread(bearer_token, reason))?;
    // Before the signature, since the issuer's keys have to verify it.
    let claims = Claims::parse(token.payload(), REQUIRED)?;
    let (place, issuer) = issuer_of(token.payload(), issuers)?;
    issuer.check_type(token.kind())?;
    let proof = match issuer.payload_in_metadata() {
        Some(name) => {
            issuer.check_algorithm(token.algorithm())?;
            verified_payload::is_of(token.payload(), context.connection.verified_payload(name).as_deref())?;
            match claims.identifier {
                Some(identifier) if !identifier.is_empty() => Proof::Identifier(identifier.to_owned()),
                _ => Proof::Payload(token.payload().clone().into_owned()),
            }
        }
        None => match verify_signature(&token, issuer, request.now, context) {
            Ok(key) => Proof::Key(key),
            Err(stop) => {
                if let Some(refusal) = stop.refusal().filter(|refusal| refusal.reason() == Reason::SignatureInvalid)
                    && let Ok(keys) = issuer.keys(context.keys, request.now)
                {
                    let (keys, is_named) = (keys.digest(), keys.named_by(&token).is_some());
                    let holds = Holds::WithKeys { issuer: place, keys, is_named };
                    let known = Known::Refused(Rc::new(refusal.clone()), holds);
                    context.tokens.insert(expected.policy, token.text(), known);
                }
                return Err(stop);
            }
        },
    };
    // From here on the claims are verified, so a refusal may contain the token's identity.
    let form = (Stand::Token(token.kind()), Some(token.algorithm()));
    Ok(Prepared::of(&claims, (place, issuer), expected, proof, form)?)
}

/// The refusal of a token that is no JWS, or none that is read here.
// Not inlined: as above.
#[cold]
#[inline(never)]
fn unread(bearer_token: &BearerToken<'_>, reason: Reason) -> Refusal {
    if reason != Reason::TokenTooLong && jws::is_encrypted(bearer_token.text()) {
        return Refusal::because(Reason::TokenMalformed, "it is encrypted (JWE), and only introspection can judge it");
    }
    match jws::seen_in_header(bearer_token.text(), reason) {
        Some(seen) => Refusal::because(reason, seen),
        None => reason.into(),
    }
}

/// The token of a request from which the filter that verified it has removed it, by the payload in the metadata. `None` if
/// there is no payload.
// Not inlined: as above.
#[inline(never)]
pub(super) fn verified_before(
    issuers: &[Issuer],
    expected: Expected<'_>,
    connection: &dyn Connection,
) -> Result<Option<Prepared>, Refusal> {
    let left = issuers.iter().enumerate().find_map(|place| {
        let payload = connection.verified_payload(place.1.payload_in_metadata()?)?;
        Some((place, payload))
    });
    let Some(((place, issuer), payload)) = left else { return Ok(None) };
    let unreadable = || Refusal::because(Reason::TokenNotVerified, "the payload in the metadata cannot be read");
    let of_issuer: Vec<_> = issuer.identifier.claims().collect();
    let payload =
        VerifiedPayload::read(&payload).and_then(|payload| payload.claims(expected.scope_claims.paths(), &of_issuer));
    let payload = payload.ok_or_else(unreadable)?;
    let claims = claims_of(&payload, REQUIRED, issuer, false)?;
    issuer.check_unseen_type().map_err(|refusal| about(refusal, &payload))?;
    // The metadata does not say the algorithm. The payload in the proof is empty, since the token is never looked up in the
    // cache.
    let proof = Proof::Payload(Object::default());
    let form = (Stand::Payload, None);
    Prepared::of(&claims, (place, issuer), expected, proof, form).map(Some)
}

/// An issuer whose server is asked about a token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'p> {
    /// The issuer's place in its policy.
    pub(super) place: usize,
    pub(super) issuer: &'p Issuer,
    pub(super) source: &'p Arc<Introspection>,
}

/// The token by its introspection, if there was one.
// Not inlined: as above.
#[inline(never)]
pub(super) fn by_introspection(
    bearer_token: &BearerToken<'_>,
    asked: Asked<'_>,
    expected: Expected<'_>,
    now: UnixTime,
    context: &mut Context<'_>,
) -> Result<Prepared, Stop> {
    let inquiry = Inquiry::about(asked.source, bearer_token.text())?;
    let Some(introspected) = context.introspected.filter(|introspected| *introspected.inquiry() == inquiry) else {
        let refusal = Refusal::because(Reason::IntrospectionUnavailable, inquiry.place());
        return Err(Stop::NeedsIntrospection(inquiry, refusal));
    };
    let verified = described(introspected, asked, expected, now, context);
    if let Err(Stop::Refused(refusal)) = &verified
        && refusal.reason() != Reason::IntrospectionUnavailable
    {
        let until = now.saturating_add(asked.source.longest_refusal());
        let known = Known::Refused(Rc::new(refusal.clone()), Holds::Until(until));
        context.tokens.insert(expected.policy, bearer_token.text(), known);
    }
    verified
}

/// A token that is active by the response of its server (RFC 7662 §2.2).
fn described(
    introspected: &Introspected,
    Asked { place, issuer, source }: Asked<'_>,
    expected: Expected<'_>,
    now: UnixTime,
    context: &Context<'_>,
) -> Result<Prepared, Stop> {
    let verified = |jwt: &CompactJws<'_>| {
        let verified = verify_signature(jwt, issuer, now, context).map(drop);
        // An invalid signature of the response is not the token's fault.
        verified.map_err(|stop: Stop| {
            stop.map(|refusal| {
                let seen = refusal.detail().map(|detail| format!(", {detail}")).unwrap_or_default();
                introspected.unavailable(&format!("the response: {}{seen}", refusal.reason()))
            })
        })
    };
    let payload = introspected.claims(issuer.identifier(), verified)?;
    let required: &[&str] = match source.missing_audience() {
        MissingAudience::Required => &["aud"],
        MissingAudience::IfPresent => &[],
    };
    let claims = claims_of(&payload, required, issuer, true)?;
    let proof = Proof::Introspection(now.saturating_add(source.longest_kept()));
    let form = (Stand::Response(source.token_types()), None);
    Ok(Prepared::of(&claims, (place, issuer), expected, proof, form)?)
}

/// The claims that another has vouched for: the issuer's server in its response, or a filter.
// Not inlined, since it stands twice.
#[inline(never)]
fn claims_of<'c>(
    payload: &'c Object<'c>,
    required: &[&'static str],
    issuer: &Issuer,
    is_response: bool,
) -> Result<Claims<'c>, Refusal> {
    let read = || {
        let claims = Claims::parse(payload, required)?;
        claims.check_issuer(issuer)?;
        // Some servers describe an ID token or a refresh token in this way, too.
        if is_response && claims.audience.is_none() && !token_kind::has(payload, "token_type") {
            return Err(Refusal::because(Reason::ClaimMissing, "aud, where there is no token_type"));
        }
        Ok(claims)
    };
    read().map_err(|refusal| about(refusal, payload))
}

/// The same refusal with whom the claims name, which another has vouched for: the authorization server, or a filter.
#[cold]
#[inline(never)]
fn about(refusal: Refusal, claims: &Object<'_>) -> Refusal {
    refusal.about(Identity::vouched_for(claims))
}

/// The issuer that the token names. Its keys decide later whether it is. An unknown issuer is not logged, since nobody has
/// verified the claim.
fn issuer_of<'i>(payload: &Object<'_>, issuers: &'i [Issuer]) -> Result<(usize, &'i Issuer), Reason> {
    issuers.iter().enumerate().find(|(_, issuer)| issuer.identifier.is_of(payload)).ok_or(Reason::IssuerNotTrusted)
}

/// Verifies the signature, and returns the key that made it.
fn verify_signature(
    token: &CompactJws<'_>,
    issuer: &Issuer,
    now: UnixTime,
    context: &Context<'_>,
) -> Result<Fingerprint, Stop> {
    let algorithm = token.algorithm();
    issuer.check_algorithm(algorithm)?;
    let keys = issuer.keys(context.keys, now).map_err(|source| match source {
        Some(source) => {
            Stop::needs_keys(source, FetchReason::Routine, Refusal::because(Reason::KeysUnavailable, source.place()))
        }
        None => Stop::from(Reason::TokenNotVerified),
    })?;
    let (named, unnamed_key_checks) = (keys.named_by(token), &context.tokens.unnamed_key_checks);
    let mut candidates: Vec<_> = keys.candidates(algorithm, named).collect();
    let names_one = named.is_some() && candidates.len() <= 1;
    if !names_one {
        unnamed_key_checks.order(&mut candidates);
    }
    let mut spent = 0_u32;
    for (place, key) in candidates.iter().enumerate() {
        if !unnamed_key_checks.are_permitted(now, place, spent) {
            unnamed_key_checks.were_in_vain(now, spent);
            unnamed_key_checks.ended_before(key.fingerprint());
            return Err(Refusal::because(Reason::SignatureChecksExhausted, algorithm.name()).into());
        }
        if place > 0 {
            spent = spent.saturating_add(key.cost(algorithm));
        }
        match context.engine.verify(token, key) {
            Verification::Valid => {
                if !names_one {
                    unnamed_key_checks.found(key.fingerprint());
                }
                return Ok(key.fingerprint());
            }
            Verification::Invalid => {}
            Verification::Unavailable => {
                return Err(Refusal::because(Reason::SignatureEngineUnavailable, algorithm.name()).into());
            }
        }
    }
    unnamed_key_checks.were_in_vain(now, spent);
    let reason = if candidates.is_empty() { Reason::KeyUnknown } else { Reason::SignatureInvalid };
    // What nobody verified is told only where the set says it too.
    let key_id = match token.key_id() {
        None => "no kid".to_owned(),
        Some(key_id) if keys.has_key_id(key_id) => format!("kid {}", shortened(key_id)),
        Some(_) => "a kid that no key of the set has".to_owned(),
    };
    let told =
        if reason == Reason::SignatureInvalid && names_one { String::new() } else { keys.told_of(token.key_id()) };
    let refusal = Refusal::because(reason, format!("{}, {key_id}{told}", algorithm.name()));
    Err(Stop::by_keys_of(issuer, named.is_some() && !candidates.is_empty(), refusal))
}
