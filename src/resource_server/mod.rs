//! The policy in front of an API: an access token is worth nothing without the certificate that it is bound to
//! (RFC 8705 §3).
//!
//! A type proves each check: [`BearerToken`] is syntax alone, only verification makes an [`AccessToken`] of it, and
//! only the comparison with the connection's certificate makes an [`Admitted`] of that.

pub mod access_token;
pub mod bearer_token;
pub mod confirmation;
mod issuer;
pub mod keys;
pub mod token_cache;

use std::rc::Rc;

use serde::Deserialize;

use crate::certificate::thumbprint::Thumbprint;
use crate::jose::signature::SignatureEngine;
use crate::reason::Reason;
use crate::refusal::Refusal;
use crate::request::Request;
use access_token::{AccessToken, Unverified};
use bearer_token::BearerToken;
use issuer::Issuer;
use keys::{KeyRing, KeySource};
use token_cache::TokenCache;

/// What a judgement may use and does not own: the values of one VM at one moment.
pub struct Means<'m> {
    /// Verifies signatures.
    pub engine: &'m dyn SignatureEngine,
    /// The keys that were fetched so far.
    pub keys: &'m KeyRing,
    /// The tokens that were verified so far.
    pub tokens: &'m mut TokenCache,
}

/// What an access token must be to pass.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Fields")]
pub struct ResourceServer {
    issuers: Vec<Issuer>,
    certificate_binding: CertificateBinding,
    leeway: Leeway,
    realm: Realm,
}

/// The configuration's own spelling.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    issuers: Vec<Issuer>,
    #[serde(default)]
    certificate_binding: CertificateBinding,
    #[serde(default)]
    leeway_seconds: Leeway,
    realm: Option<Realm>,
}

/// What becomes of a token that is bound to nothing. A token that is bound is always held to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateBinding {
    /// It is refused.
    #[default]
    Required,
    /// It passes as a bearer token: for the time of a migration.
    IfPresent,
}

/// How far the clocks of the issuer and of this proxy may differ: 0 to 60 seconds, 10 unless told.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "u64")]
struct Leeway(u64);

/// The protection space of the challenges (RFC 9110 §11.5), in the characters of a quoted string that need no escape.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
struct Realm(String);

impl Default for Leeway {
    fn default() -> Self {
        Self(10)
    }
}

impl TryFrom<u64> for Leeway {
    type Error = &'static str;

    fn try_from(seconds: u64) -> Result<Self, Self::Error> {
        if seconds <= 60 { Ok(Self(seconds)) } else { Err("the leeway is 60 seconds at most") }
    }
}

impl TryFrom<String> for Realm {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let allowed = |byte: u8| matches!(byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        if !text.is_empty() && text.bytes().all(allowed) {
            Ok(Self(text))
        } else {
            Err("a realm is visible ASCII text without '\"' and '\\'")
        }
    }
}

impl TryFrom<Fields> for ResourceServer {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let Fields { issuers, certificate_binding, leeway_seconds, realm } = fields;
        for (position, issuer) in issuers.iter().enumerate() {
            if issuers.iter().take(position).any(|earlier| earlier.identifier() == issuer.identifier()) {
                return Err(format!("the issuer {:?} stands here twice", issuer.identifier()));
            }
        }
        let Some(first) = issuers.first() else {
            return Err("issuers is empty, so every token would be refused".to_owned());
        };
        // The audience is the API's own name, which is what a realm is.
        let realm = realm.or_else(|| Realm::try_from(first.first_audience().to_owned()).ok());
        let realm = realm.ok_or("the first audience cannot stand in a challenge; give a `realm`")?;
        Ok(Self { issuers, certificate_binding, leeway: leeway_seconds, realm })
    }
}

/// A request that may pass.
#[derive(Debug)]
pub enum Admitted {
    /// Its token is bound to the certificate of the connection that it came on.
    Bound(Rc<AccessToken>, Thumbprint),
    /// Its token is bound to nothing, and the policy lets such tokens pass.
    Unbound(Rc<AccessToken>),
}

impl ResourceServer {
    /// The realm of the challenges.
    pub(crate) fn realm(&self) -> &str {
        &self.realm.0
    }

    /// Where this policy's keys are fetched.
    pub(crate) fn key_sources(&self) -> impl Iterator<Item = &KeySource> {
        self.issuers.iter().filter_map(Issuer::key_source)
    }

    /// Judges the request's access token.
    pub(crate) fn admit<'p>(
        &'p self,
        policy: &str,
        request: &Request<'_>,
        means: &mut Means<'_>,
    ) -> Result<Admitted, Unverified<'p>> {
        let bearer_token = BearerToken::of(request)?;
        let now = request.now;
        let known = means.tokens.find(policy, bearer_token.text());
        let access_token = match known.filter(|known| known.is_current(&self.issuers, now, means.keys)) {
            Some(known) => known,
            None => {
                let verified = Rc::new(AccessToken::verify(&bearer_token, &self.issuers, now, means)?);
                means.tokens.insert(policy, bearer_token.text(), Rc::clone(&verified));
                verified
            }
        };
        access_token.judge(&self.issuers, self.leeway.0, now)?;
        Ok(self.bind(access_token, request.presented()?)?)
    }

    fn bind(&self, access_token: Rc<AccessToken>, presented: Option<Thumbprint>) -> Result<Admitted, Refusal> {
        match (access_token.confirmation(), presented) {
            (Some(confirmed), Some(presented)) if confirmed == presented => {
                Ok(Admitted::Bound(access_token, presented))
            }
            (Some(confirmed), Some(presented)) => Err(Refusal::because(
                Reason::CertificateMismatch,
                format!("the token is bound to {confirmed}, presented was {presented}"),
            )),
            (Some(confirmed), None) => {
                Err(Refusal::because(Reason::CertificateNotPresented, format!("the token is bound to {confirmed}")))
            }
            (None, _) => match self.certificate_binding {
                CertificateBinding::Required => Err(Reason::ConfirmationMissing.into()),
                CertificateBinding::IfPresent => Ok(Admitted::Unbound(access_token)),
            },
        }
    }
}
