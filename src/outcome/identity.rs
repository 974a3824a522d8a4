// SPDX-License-Identifier: Apache-2.0

//! The client and the subject of a verified token, for logs and counters. No decision depends on them.

use std::rc::Rc;
use std::sync::Arc;

use crate::jose::algorithm::Algorithm;
use crate::text::json::{Json, Object};

/// The claims that name the client to which a token was issued, in the order in which they count: RFC 9068 §2.2, OpenID Connect
/// Core 1.0 §2, Microsoft Entra's version 1 tokens, and Okta.
pub(crate) const CLIENT_CLAIMS: &[&str] = &["client_id", "azp", "appid", "cid"];

/// The client to which a token with these claims was issued.
pub(crate) fn client<'c>(claims: &'c Object<'_>) -> Option<&'c str> {
    CLIENT_CLAIMS.iter().find_map(|name| claims.get(name)?.as_str())
}

/// What a token says about itself. It is made only once the signature is verified, since before that it is an attacker's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    algorithm: Option<Algorithm>,
    issuer: Option<Arc<str>>,
    client: Option<String>,
    subject: Option<String>,
}

impl Identity {
    /// Reads the claims of a token of this issuer's, whose signature was verified with this algorithm.
    pub(crate) fn of(algorithm: Option<Algorithm>, issuer: Option<Arc<str>>, claims: &Object<'_>) -> Self {
        let text = |name: &str| claims.get(name).and_then(Json::as_str).map(str::to_owned);
        Self { algorithm, issuer, client: client(claims).map(str::to_owned), subject: text("sub") }
    }

    /// Reads the claims of a token whose signature is not verified here: its own server sent it, or described it, or another filter
    /// verified it.
    #[cold]
    #[inline(never)]
    pub(crate) fn vouched_for(claims: &Object<'_>) -> Rc<Self> {
        Rc::new(Self::of(None, claims.get("iss").and_then(Json::as_str).map(Arc::from), claims))
    }

    /// The identity of a client that authenticated without a token.
    pub(crate) fn of_client(client_id: String) -> Self {
        Self { algorithm: None, issuer: None, client: Some(client_id), subject: None }
    }

    /// Its approximate size in bytes, without the issuer's name, which is shared.
    pub(crate) fn size(&self) -> usize {
        let texts = [&self.client, &self.subject].into_iter().flatten().map(String::len);
        texts.fold(size_of::<Self>(), usize::saturating_add)
    }

    /// The algorithm of the signature; `None` if another filter verified the token, whose payload does not say it.
    #[must_use]
    pub fn algorithm(&self) -> Option<Algorithm> {
        self.algorithm
    }

    /// `iss`.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// The first of `client_id`, `azp`, `appid` and `cid`.
    #[must_use]
    pub fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    /// `sub`.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }
}
