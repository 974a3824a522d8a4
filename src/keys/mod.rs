// SPDX-License-Identifier: Apache-2.0

//! The public keys of an issuer: from the configuration, or fetched from the authorization server.
//!
//! A request whose key is not here waits for it or is refused. The keys fetched last stay in use while the authorization server
//! is unavailable, and only a valid key set replaces them.

mod ask;
pub(crate) mod client_key_set;
mod fetch;
mod freshness;
mod key_ring;
mod schedule;
mod source;

pub use ask::AskKeys;
pub use fetch::{Fetch, Fetched, Next};
pub(crate) use key_ring::Known;
pub use key_ring::{KeyRing, Published};
pub use schedule::{FetchReason, Schedule};
pub(crate) use source::{ClusterName, HttpUri};
pub use source::{KeySource, SourceId};

use serde::Deserialize;

use crate::config::seconds::{CoolDown, DefaultAge, MaxAge, MaxStale, Timeout};
#[cfg(not(target_arch = "wasm32"))]
use crate::config::shape;
use crate::jose::jwk::KeySet;

/// Where the keys of an issuer come from.
#[derive(Debug)]
pub(crate) enum Keys {
    /// From the configuration itself.
    Inline(KeySet),
    /// From the authorization server.
    Fetched(KeySource),
    /// There are none: another filter verified the token, and wrote its payload into metadata under this name.
    VerifiedBefore(String),
    /// There are none: every token is introspected.
    None,
}

/// Which filter verified the token.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
enum Verifier {
    /// Envoy's own.
    JwtAuthn,
}

/// Where the keys come from: exactly one of `jwks`, `jwks_uri` with `cluster`, `discovery`, and `verified_by` with
/// `payload_in_metadata`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "Keys", transform = shape::one_way_to_keys))]
pub(crate) struct KeysFields {
    /// The keys themselves: the JWK Set (RFC 7517 §5) that the authorization server publishes.
    jwks: Option<KeySet>,
    /// Where the JWK Set is fetched: needs `cluster`.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(example = &"https://as.example.com/jwks"))]
    jwks_uri: Option<HttpUri>,
    /// The Envoy cluster through which `jwks_uri` is fetched; it alone decides where that leads and whether over TLS.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(example = &"authorization-server"))]
    cluster: Option<ClusterName>,
    /// The issuer's metadata document says where the JWK Set is.
    discovery: Option<source::Discovery>,
    /// Another filter before this one verified the token: needs `payload_in_metadata`.
    verified_by: Option<Verifier>,
    /// The name under which that filter leaves the token's payload.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(example = &"verified"))]
    payload_in_metadata: Option<String>,
    /// The time after which an unknown key may cause one more fetch, in the whole process. Three may come in a row.
    #[serde(default)]
    cool_down_seconds: CoolDown,
    /// How long keys are fresh where `Cache-Control` says `no-cache`, `no-store`, `max-age=0`, or nothing.
    #[serde(default)]
    default_age_seconds: DefaultAge,
    /// How long keys are fresh at most, whatever `Cache-Control` says.
    #[serde(default)]
    max_age_seconds: MaxAge,
    /// How long known keys stay in use while none can be fetched.
    #[serde(default)]
    max_stale_seconds: MaxStale,
    /// How long to wait for each response of the authorization server.
    #[serde(default)]
    timeout_seconds: Timeout,
}

impl KeysFields {
    /// The keys of the issuer that has this identifier; `None` for one that has many.
    pub(crate) fn of_issuer(self, issuer: Option<&str>) -> Result<Keys, String> {
        let limits = source::Limits {
            cool_down: self.cool_down_seconds,
            default_age: self.default_age_seconds,
            max_age: self.max_age_seconds,
            max_stale: self.max_stale_seconds,
            timeout: self.timeout_seconds,
        };
        match (self.jwks, self.jwks_uri, self.cluster, self.discovery, self.verified_by, self.payload_in_metadata) {
            (Some(jwks), None, None, None, None, None) => Ok(Keys::Inline(jwks)),
            (None, Some(uri), Some(cluster), None, None, None) => {
                Ok(Keys::Fetched(KeySource::jwks_uri(uri, cluster, limits)))
            }
            (None, Some(_), None, None, None, None) => {
                Err("jwks_uri needs `cluster`, the name of the Envoy cluster through which it is fetched".to_owned())
            }
            (None, None, None, Some(discovery), None, None) => {
                let issuer = issuer.ok_or(
                    "discovery reads the document of one issuer, and an issuer with claims in braces is many: say \
                     `jwks_uri` or `jwks`",
                )?;
                KeySource::discovery(issuer, discovery, limits).map(Keys::Fetched)
            }
            (None, None, None, None, Some(Verifier::JwtAuthn), Some(name)) if !name.is_empty() => {
                Ok(Keys::VerifiedBefore(name))
            }
            (None, None, None, None, Some(Verifier::JwtAuthn), _) => {
                Err("verified_by needs `payload_in_metadata`, the name that jwt_authn's provider has there".to_owned())
            }
            _ => Err("keys has exactly one of `jwks`, `jwks_uri` with `cluster`, `discovery`, and `verified_by` with \
                      `payload_in_metadata`"
                .to_owned()),
        }
    }
}
