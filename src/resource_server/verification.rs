//! The ways to a verified token: its signature, its issuer and the form of its claims.

use std::rc::Rc;

use super::Context;
use super::access_token::Proof;
use super::bearer_token::BearerToken;
use super::claims::{Claims, shortened};
use super::introspection::{Introspected, Introspection, MissingAudience};
use super::issuer::Issuer;
use super::prepared::{Expected, Prepared};
use super::stop::Stop;
use super::token_cache::{Holds, Known};
use super::token_kind::{self, Stand};
use super::verified_payload::{self, VerifiedPayload};
use crate::http::connection::Connection;
use crate::http::request::Request;
use crate::jose::jwk::Fingerprint;
use crate::jose::jws::CompactJws;
use crate::jose::signature::Verification;
use crate::keys::FetchReason;
use crate::outcome::refusal::Refusal;
use crate::reason::Reason;
use crate::text::json::Object;
use crate::time::UnixTime;

/// What a token must say that was verified here.
const REQUIRED: &[&str] = &["iss", "aud", "exp"];

/// A JWT, by its signature or by the word of the filter that verified it.
// Apart from the path of a token that was seen before.
#[inline(never)]
pub(super) fn verify(
    bearer_token: &BearerToken<'_>,
    issuers: &[Issuer],
    expected: Expected<'_>,
    request: &Request<'_>,
    context: &mut Context<'_>,
) -> Result<Prepared, Stop> {
    let mut room = Vec::new();
    let token = CompactJws::parse(bearer_token.text(), &mut room)?;
    // Before the signature: the issuer among them says whose key it has to be.
    let claims = Claims::parse(token.payload(), REQUIRED)?;
    let (place, issuer) = issuer_of(&claims, issuers)?;
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
                    let (keys, is_named) = (keys.digest(), token.key_id().is_some());
                    let holds = Holds::WithKeys { issuer: place, keys, is_named };
                    let known = Known::Refused(Rc::new(refusal.clone()), holds);
                    context.tokens.insert(expected.policy, token.text(), known);
                }
                return Err(stop);
            }
        },
    };
    // From here on the claims are the issuer's word, and a refusal may name whom they are about.
    let form = (Stand::Token(token.kind()), Some(token.algorithm()));
    Ok(Prepared::of(&claims, token.payload(), (place, issuer), expected, proof, form)?)
}

/// The token of a request that has none any more, because the filter that verified it removed it: what it left of
/// the token is judged. `None` where it left nothing.
// As above.
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
    let payload = VerifiedPayload::read(&payload).and_then(|payload| payload.claims()).ok_or_else(unreadable)?;
    let claims = Claims::parse(&payload, REQUIRED)?;
    claims.check_issuer(issuer)?;
    issuer.check_unseen_type()?;
    // Which algorithm the token was signed with is not among what was left of it.
    // No token will be asked about: there is none to look it up by.
    let proof = Proof::Payload(Object::default());
    let form = (Stand::Payload, None);
    Prepared::of(&claims, &payload, (place, issuer), expected, proof, form).map(Some)
}

/// A token that its issuer says is active (RFC 7662 §2.2).
pub(super) fn introspected(
    introspected: &Introspected,
    (place, issuer): (usize, &Issuer),
    source: &Introspection,
    expected: Expected<'_>,
    request: &Request<'_>,
    context: &Context<'_>,
) -> Result<Prepared, Stop> {
    let verified = |jwt: &CompactJws<'_>| {
        let verified = verify_signature(jwt, issuer, request.now, context).map(drop);
        // Whatever is wrong with the answer, it says nothing against the token.
        verified.map_err(|stop: Stop| {
            stop.map(|refusal| introspected.unavailable(&format!("the answer: {}", refusal.reason())))
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
    Ok(Prepared::of(&claims, &payload, (place, issuer), expected, proof, form)?)
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

/// The key that made the signature.
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
    let (is_named, unnamed_key_checks) = (token.key_id().is_some(), &context.tokens.unnamed_key_checks);
    let mut candidates: Vec<_> = keys.candidates(algorithm, token.key_id()).collect();
    if !is_named {
        unnamed_key_checks.order(&mut candidates);
    }
    let mut spent = 0_u32;
    for (place, key) in candidates.iter().enumerate() {
        if place > 0 && !is_named {
            if !unnamed_key_checks.are_permitted(now) {
                return Err(Refusal::because(Reason::SignatureChecksExhausted, algorithm.name()).into());
            }
            spent = spent.saturating_add(key.cost(algorithm));
        }
        match context.engine.verify(token, key) {
            Verification::Valid => {
                if !is_named {
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
    let answer = if candidates.is_empty() { Reason::KeyUnknown } else { Reason::SignatureInvalid };
    let key_id = token.key_id().map_or_else(|| "no kid".to_owned(), |key_id| format!("kid {}", shortened(key_id)));
    let refusal = Refusal::because(answer, format!("{}, {key_id}", algorithm.name()));
    Err(Stop::by_keys_of(issuer, is_named && !candidates.is_empty(), refusal))
}
