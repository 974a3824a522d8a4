// SPDX-License-Identifier: Apache-2.0

//! The issuers whose tokens are accepted.

use std::rc::Rc;
use std::sync::Arc;

use serde::Deserialize;

use super::introspection::{Introspection, Tokens};
use super::issuer_identifier::{IssuerIdentifier, Values};
use super::token_kind;
use crate::collections::sorted_map::SortedMap;
use crate::config::secret::Environment;
#[cfg(not(target_arch = "wasm32"))]
use crate::config::shape;
use crate::jose::algorithm::Algorithm;
use crate::jose::confirmation::ConfirmationPlace;
use crate::jose::jwk::KeySet;
use crate::keys::{KeyRing, KeySource, Keys, KeysFields};
use crate::outcome::refusal::Refusal;
use crate::reason::Reason;
use crate::time::UnixTime;

/// One authorization server, and what its tokens must be like. Its keys verify only its own tokens.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Fields")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "Fields"))]
pub(super) struct Issuer {
    pub(super) identifier: IssuerIdentifier,
    pub(super) audiences: Vec<String>,
    audience: AudienceRule,
    pub(super) keys: Keys,
    pub(super) introspection: Option<Arc<Introspection>>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) token_type: TokenType,
    pub(super) max_lifetime: Option<MaxLifetime>,
    pub(super) confirmation: ConfirmationPlace,
}

/// An authorization server whose tokens are accepted.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "Issuer", transform = shape::keys_or_introspection))]
struct Fields {
    /// The token's `iss`, exactly. For a server with many tenants and one set of keys it has names of claims in braces,
    /// `https://login.microsoftonline.com/{tid}/v2.0`: with the values of these claims of the same token it must be that token's
    /// `iss`. A value is letters, digits, `-`, `.` and `_`.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1), example = &"https://as.example.com"))]
    issuer: String,
    /// The values that the claims in braces may have, by claim; default: any.
    #[serde(default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "std::collections::BTreeMap<String, Values>"))]
    issuer_claims: SortedMap<String, Values>,
    /// One of them must be in the token's `aud`.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1), inner(length(min = 1)), example = ["https://api.example.com"]))]
    audiences: Vec<String>,
    /// Whether a token may be for its own client as well, in place of one of `audiences`.
    #[serde(default)]
    audience: AudienceRule,
    /// Which keys verify its tokens, or who verified them before.
    keys: Option<KeysFields>,
    /// Where the authorization server is asked about tokens (RFC 7662): those that are no JWT, or all.
    introspection: Option<Introspection>,
    /// The algorithms with which its tokens may be signed; default: all of them. `none` and HS256 are not supported.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1), example = ["ES256", "PS256", "RS256", "EdDSA"]))]
    algorithms: Option<Vec<Algorithm>>,
    /// What the token's header must say that it is.
    #[serde(default)]
    token_type: TokenType,
    /// The longest time from `iat` to `exp`; default: any.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(example = 3600))]
    max_lifetime_seconds: Option<MaxLifetime>,
    /// Where it writes `x5t#S256`.
    #[serde(default)]
    confirmation: ConfirmationPlace,
}

/// For whom tokens may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema, serde::Serialize))]
pub(super) enum AudienceRule {
    /// For one of `audiences`.
    #[default]
    Listed,
    /// For the client to which they were issued too, whichever that is: so Gluu and Janssen write `aud`. Such a token is for every
    /// API of the issuer's (RFC 9068 §4 asks for more).
    AnyClient,
}

/// What the token's header must say that it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema, serde::Serialize))]
pub(super) enum TokenType {
    /// Nothing, or some JWT. What says in its claims that it is an ID token or another is refused all the same.
    #[default]
    #[serde(rename = "any_jwt")]
    AnyJwt,
    /// An access token of RFC 9068, so that no ID token or logout token passes for one.
    #[serde(rename = "at+jwt")]
    AccessToken,
}

/// The longest time from `iat` to `exp`: 1 second to 1 year.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "u64")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(!try_from))]
pub(super) struct MaxLifetime(
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1, max = 31_536_000)))] pub(super) u32,
);

impl TryFrom<u64> for MaxLifetime {
    type Error = &'static str;

    fn try_from(seconds: u64) -> Result<Self, Self::Error> {
        match u32::try_from(seconds) {
            Ok(seconds @ 1..=31_536_000) => Ok(Self(seconds)),
            _ => Err("the longest lifetime is 1 to 31536000 seconds (a year)"),
        }
    }
}

impl TryFrom<Fields> for Issuer {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let Fields { issuer: identifier, issuer_claims, audiences, audience, keys, introspection, algorithms, .. } =
            fields;
        let (token_type, max_lifetime, confirmation) =
            (fields.token_type, fields.max_lifetime_seconds, fields.confirmation);
        if identifier.is_empty() {
            return Err("the issuer is empty".to_owned());
        }
        let identifier = IssuerIdentifier::read(&identifier, &issuer_claims)?;
        if audiences.is_empty() || audiences.iter().any(String::is_empty) {
            return Err("audiences needs at least one, and none of them empty: a token for another API is refused by \
                        its audience"
                .to_owned());
        }
        let keys = match keys {
            Some(keys) => keys.of_issuer(Some(identifier.as_str()).filter(|_| !identifier.is_template()))?,
            None => Keys::None,
        };
        let needless = (algorithms.is_some() || token_type == TokenType::AccessToken) && matches!(keys, Keys::None);
        if identifier.is_template() && introspection.is_some() {
            return Err(
                "an introspection endpoint is that of one issuer, and an issuer with claims in braces is many: leave \
                        `introspection` out"
                    .to_owned(),
            );
        }
        check_ways(&keys, introspection.as_ref(), needless)?;
        if token_type == TokenType::AccessToken
            && introspection.as_ref().is_some_and(|source| source.tokens() == Tokens::All)
        {
            return Err(
                "with introspection of `tokens: all` no token's own header is looked at: leave `token_type` out"
                    .to_owned(),
            );
        }
        let algorithms = algorithms.unwrap_or_else(|| Algorithm::ALL.to_vec());
        if algorithms.is_empty() {
            return Err("algorithms is empty, so every token would be refused".to_owned());
        }
        if let Keys::Inline(keys) = &keys
            && !algorithms.iter().any(|algorithm| keys.serves(*algorithm))
        {
            return Err(
                "none of the keys can be used with any of the algorithms, so every token would be refused".to_owned()
            );
        }
        let introspection = introspection.map(|mut introspection| {
            introspection.of_issuer(identifier.as_str());
            Arc::new(introspection)
        });
        Ok(Self {
            identifier,
            audiences,
            audience,
            keys,
            introspection,
            algorithms,
            token_type,
            max_lifetime,
            confirmation,
        })
    }
}

/// Refuses settings that have no effect, and an issuer whose tokens would have two ways to be judged, or none.
fn check_ways(keys: &Keys, introspection: Option<&Introspection>, needless: bool) -> Result<(), &'static str> {
    let wrong = match introspection.map(|source| (source.tokens(), source.client_of_jwt(), keys)) {
        None if matches!(keys, Keys::None) => "an issuer needs `keys`, or `introspection`, or both",
        Some((Tokens::Opaque, _, Keys::None)) => {
            "introspection of opaque tokens alone needs `keys` for JWTs; without keys say `tokens: all`"
        }
        Some((_, Some(_), Keys::None | Keys::VerifiedBefore(_))) => {
            "introspection with `answer: jwt` needs `keys`, with which the responses are verified"
        }
        Some((Tokens::All, None, Keys::Inline(_) | Keys::Fetched(_) | Keys::VerifiedBefore(_))) => {
            "with introspection of `tokens: all` the keys would verify nothing: leave `keys` out"
        }
        _ if needless => "`algorithms` and `token_type` are for tokens that are verified with `keys`",
        _ => return Ok(()),
    };
    Err(wrong)
}

impl Issuer {
    /// Reads the credentials from the environment.
    pub(super) fn resolve(&mut self, environment: Environment<'_>) -> Result<(), String> {
        // It is not shared before the configuration is loaded, so `get_mut` succeeds.
        let introspection = self.introspection.as_mut().and_then(Arc::get_mut);
        introspection.map_or(Ok(()), |introspection| introspection.resolve(environment))
    }

    /// Its identifier, as the configuration has it.
    pub(super) fn identifier(&self) -> &str {
        self.identifier.as_str()
    }

    /// The keys that are known now; otherwise `Err` with their source, if they are fetched.
    pub(super) fn keys<'i: 'k, 'k>(
        &'i self,
        ring: &'k KeyRing,
        now: UnixTime,
    ) -> Result<&'k KeySet, Option<&'i KeySource>> {
        match &self.keys {
            Keys::Inline(keys) => Ok(keys),
            Keys::Fetched(source) => ring.keys(source, now).map(Rc::as_ref).ok_or(Some(source)),
            Keys::VerifiedBefore(_) | Keys::None => Err(None),
        }
    }

    /// The name under which another filter leaves the payload of a verified token, if one verifies this issuer's tokens.
    pub(super) fn payload_in_metadata(&self) -> Option<&str> {
        match &self.keys {
            Keys::VerifiedBefore(name) => Some(name),
            Keys::Inline(_) | Keys::Fetched(_) | Keys::None => None,
        }
    }

    /// Where the keys are fetched, if they are.
    pub(super) fn key_source(&self) -> Option<&KeySource> {
        match &self.keys {
            Keys::Inline(_) | Keys::VerifiedBefore(_) | Keys::None => None,
            Keys::Fetched(source) => Some(source),
        }
    }

    pub(super) fn first_audience(&self) -> &str {
        self.audiences.first().map(String::as_str).unwrap_or_default()
    }

    /// Whether a token may be for its own client.
    pub(super) fn takes_tokens_for_clients(&self) -> bool {
        self.audience == AudienceRule::AnyClient
    }

    /// The audiences, for people.
    pub(super) fn audiences(&self) -> String {
        self.audiences.join(", ")
    }

    pub(super) fn is_audience(&self, audience: &str) -> bool {
        self.audiences.iter().any(|own| own == audience)
    }

    /// RFC 9068 §4: `at+jwt` or `application/at+jwt`. `kind` is in lower case.
    pub(super) fn check_type(&self, kind: Option<&'static str>) -> Result<(), Refusal> {
        match self.token_type {
            TokenType::AccessToken if !token_kind::is_access_token(kind) => {
                let detail = format!("the header's typ is {}, expected at+jwt", kind.unwrap_or("not there"));
                Err(Refusal::because(Reason::TokenTypeUnsupported, detail))
            }
            TokenType::AccessToken | TokenType::AnyJwt => Ok(()),
        }
    }

    /// The same for a token whose header cannot be seen any more.
    pub(super) fn check_unseen_type(&self) -> Result<(), Refusal> {
        self.check_type(None).map_err(|refusal| {
            Refusal::because(refusal.reason(), "jwt_authn removed the token, so its header cannot be seen")
        })
    }

    /// In seconds.
    pub(super) fn longest_lifetime(&self) -> Option<f64> {
        self.max_lifetime.map(|longest| f64::from(longest.0))
    }

    pub(super) fn check_algorithm(&self, algorithm: Algorithm) -> Result<(), Refusal> {
        if self.algorithms.contains(&algorithm) {
            Ok(())
        } else {
            let allowed: Vec<_> = self.algorithms.iter().map(|own| own.name()).collect();
            let detail = format!("{}, allowed are {}", algorithm.name(), allowed.join(", "));
            Err(Refusal::because(Reason::AlgorithmNotAllowed, detail))
        }
    }
}
