// SPDX-License-Identifier: Apache-2.0

//! The introspection endpoint of an issuer, and the credentials for it.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error as _, IntoDeserializer};
use serde::{Deserialize, Deserializer};

use super::client_assertion::{ASSERTION_TYPE, ClientAssertion, Nonce};
use crate::config::seconds::{CacheSeconds, Timeout};
use crate::config::secret::{Environment, Secret};
#[cfg(not(target_arch = "wasm32"))]
use crate::config::shape;
use crate::http::call::Call;
use crate::keys::{ClusterName, HttpUri};
use crate::text::percent;
use crate::time::UnixTime;

/// An introspection endpoint, and how it is called.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Fields")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "Fields"))]
pub struct Introspection {
    endpoint: HttpUri,
    cluster: ClusterName,
    authentication: Authentication,
    client_id: Option<String>,
    tokens: Tokens,
    missing_audience: MissingAudience,
    token_types: Vec<String>,
    response_form: ResponseForm,
    cache: CacheSeconds,
    timeout: Timeout,
}

/// How this proxy authenticates.
#[derive(Debug, PartialEq, Eq)]
enum Authentication {
    Basic { client_id: String, secret: Secret },
    Post { secret: Secret },
    PrivateKeyJwt(Box<ClientAssertion>),
    Bearer { token: Secret },
    None,
}

/// Token introspection (RFC 7662) through one of Envoy's clusters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "Introspection", transform = shape::introspection_credentials))]
struct Fields {
    /// The `introspection_endpoint` of the authorization server (RFC 8414).
    endpoint: HttpUri,
    /// The Envoy cluster through which it is called; it alone decides where that leads and whether over TLS.
    cluster: ClusterName,
    /// How this proxy authenticates there.
    #[serde(deserialize_with = "method")]
    endpoint_auth_method: AuthMethod,
    /// Which client of the authorization server this proxy is. With `none` it is sent all the same, as a server that
    /// knows the proxy by its certificate needs it (RFC 8705 §2).
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1)))]
    client_id: Option<String>,
    /// The client secret.
    client_secret: Option<Secret>,
    /// The private key with which `private_key_jwt` signs: PEM of PKCS #8, or a JWK, of P-256 (ES256).
    client_key: Option<Secret>,
    /// The `kid` of its signatures; default: that of the JWK, or none.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1)))]
    client_key_id: Option<String>,
    /// The token with which `bearer` authenticates.
    bearer_token: Option<Secret>,
    /// Which tokens are introspected.
    #[serde(default)]
    tokens: Tokens,
    /// Whether the response must have `aud`.
    #[serde(default)]
    audience: MissingAudience,
    /// What the response's `token_type` may be besides `Bearer`, `DPoP`, `mtls_pop` and `access_token`, in any case: for a server
    /// that has words of its own for its access tokens.
    #[serde(default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(inner(length(min = 1))))]
    token_types: Vec<String>,
    /// The form of the response.
    #[serde(default)]
    answer: ResponseForm,
    /// How long the claims of an active token are kept; 0 asks each time. A refusal is kept for 5 seconds at most.
    #[serde(default)]
    cache_seconds: CacheSeconds,
    /// How long to wait for each response of the authorization server.
    #[serde(default)]
    timeout_seconds: Timeout,
}

/// How this proxy authenticates (RFC 7662 §2.1).
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "EndpointAuthMethod"))]
enum AuthMethod {
    /// Client id and secret in `Authorization`, form-encoded (RFC 6749 §2.3.1).
    ClientSecretBasic,
    /// Client id and secret in the body.
    ClientSecretPost,
    /// A JWT that is signed with `client_key` for each call (RFC 7523 §2.2). Its audience is the issuer.
    PrivateKeyJwt,
    /// A token of this proxy's own (RFC 6750).
    Bearer,
    /// Nothing is sent: the cluster has a client certificate, or a `credential_injector`.
    None,
}

/// Which tokens are introspected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(schemars::JsonSchema, serde::Serialize),
    schemars(rename = "IntrospectedTokens")
)]
pub(in crate::resource_server) enum Tokens {
    /// Those that are no JWT; JWTs are verified with `keys`.
    #[default]
    Opaque,
    /// All but JWTs of the policy's other issuers.
    All,
}

/// What becomes of a response without `aud`, which RFC 7662 does not require.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(schemars::JsonSchema, serde::Serialize),
    schemars(rename = "IntrospectedAudience")
)]
pub(in crate::resource_server) enum MissingAudience {
    /// The token is refused.
    #[default]
    Required,
    /// The token counts as one for this API: the operator knows that the authorization server serves no other. A response
    /// without `token_type` as well is refused, since it may be about an ID token.
    IfPresent,
}

/// The form of the introspection response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(schemars::JsonSchema, serde::Serialize),
    schemars(rename = "IntrospectionAnswer")
)]
pub(in crate::resource_server) enum ResponseForm {
    /// JSON (RFC 7662 §2.2).
    #[default]
    Json,
    /// A JWT (RFC 9701), signed with the issuer's keys and for this proxy's `client_id`.
    Jwt,
}

/// A client whose token becomes active a moment late must not be refused for long.
const LONGEST_REFUSAL: Duration = Duration::from_secs(5);

/// What is configured elsewhere has a word of its own.
fn method<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AuthMethod, D::Error> {
    let name = String::deserialize(deserializer)?;
    if matches!(name.as_str(), "tls_client_auth" | "self_signed_tls_client_auth") {
        return Err(D::Error::custom(format!(
            "{name} is configured in the cluster: give it a transport_socket with the client certificate \
             (UpstreamTlsContext, tls_certificates), and say `none` here, with `client_id`"
        )));
    }
    AuthMethod::deserialize(name.into_deserializer())
}

impl TryFrom<Fields> for Introspection {
    type Error = &'static str;

    fn try_from(fields: Fields) -> Result<Self, Self::Error> {
        let client_id = fields.client_id;
        if client_id.as_deref() == Some("") {
            return Err("client_id is empty");
        }
        if fields.client_key_id.as_deref() == Some("") {
            return Err("client_key_id is empty");
        }
        if fields.client_key_id.is_some() && fields.client_key.is_none() {
            return Err("`client_key_id` names a `client_key`");
        }
        let credentials = (fields.client_secret, fields.client_key, fields.bearer_token);
        let authentication = match (fields.endpoint_auth_method, client_id.clone(), credentials) {
            (AuthMethod::ClientSecretBasic, Some(client_id), (Some(secret), None, None)) => {
                Authentication::Basic { client_id, secret }
            }
            (AuthMethod::ClientSecretPost, Some(_), (Some(secret), None, None)) => Authentication::Post { secret },
            (AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost, ..) => {
                return Err(
                    "a client secret needs `client_id` and `client_secret`, and no `client_key` or `bearer_token`",
                );
            }
            (AuthMethod::PrivateKeyJwt, Some(client_id), (None, Some(key), None)) => {
                Authentication::PrivateKeyJwt(Box::new(ClientAssertion::new(client_id, key, fields.client_key_id)))
            }
            (AuthMethod::PrivateKeyJwt, ..) => {
                return Err(
                    "private_key_jwt needs `client_id` and `client_key`, and no `client_secret` or `bearer_token`",
                );
            }
            (AuthMethod::Bearer, _, (None, None, Some(token))) => Authentication::Bearer { token },
            (AuthMethod::Bearer, ..) => {
                return Err("bearer needs `bearer_token`, and no `client_secret` or `client_key`");
            }
            (AuthMethod::None, _, (None, None, None)) => Authentication::None,
            (AuthMethod::None, ..) => {
                return Err(
                    "with endpoint_auth_method: none there is no `client_secret`, `client_key` or `bearer_token`",
                );
            }
        };
        if fields.answer == ResponseForm::Jwt && client_id.is_none() {
            return Err("answer: jwt needs `client_id`, for which the response must be (RFC 9701 §5)");
        }
        if fields.token_types.iter().any(String::is_empty) {
            return Err("one of token_types is empty");
        }
        Ok(Self {
            endpoint: fields.endpoint,
            cluster: fields.cluster,
            authentication,
            client_id,
            tokens: fields.tokens,
            missing_audience: fields.audience,
            token_types: fields.token_types,
            response_form: fields.answer,
            cache: fields.cache_seconds,
            timeout: fields.timeout_seconds,
        })
    }
}

impl Introspection {
    /// Where it is, for messages.
    #[must_use]
    pub fn place(&self) -> String {
        format!("introspection {} through {}", self.endpoint.shown(), self.cluster.0)
    }

    /// Whether one response serves both: the same question to the same server as the same client. A server may answer each
    /// client differently (RFC 7662 §2.2), and a longer timeout may get a response where a shorter one does not. For how long
    /// responses are kept does not matter.
    pub(super) fn asks_as(&self, other: &Self) -> bool {
        let Self { endpoint, cluster, authentication, client_id, response_form, timeout, .. } = self;
        let theirs = (&other.endpoint, &other.cluster, &other.authentication, &other.client_id, &other.response_form);
        (endpoint, cluster, authentication, client_id, response_form) == theirs && *timeout == other.timeout
    }

    pub(in crate::resource_server) fn tokens(&self) -> Tokens {
        self.tokens
    }

    pub(in crate::resource_server) fn missing_audience(&self) -> MissingAudience {
        self.missing_audience
    }

    /// The values of `token_type` that the authorization server has for access tokens, besides the usual ones.
    pub(in crate::resource_server) fn token_types(&self) -> &[String] {
        &self.token_types
    }

    /// The audience of responses that are JWTs; `None` if responses are JSON.
    pub(in crate::resource_server) fn client_of_jwt(&self) -> Option<&str> {
        match self.response_form {
            ResponseForm::Json => None,
            ResponseForm::Jwt => self.client_id.as_deref(),
        }
    }

    /// How long the claims of an active token are kept.
    pub(in crate::resource_server) fn longest_kept(&self) -> Duration {
        self.cache.duration()
    }

    /// How long a refusal is kept.
    pub(in crate::resource_server) fn longest_refusal(&self) -> Duration {
        self.cache.duration().min(LONGEST_REFUSAL)
    }

    /// After so long a request waits no longer, even if the host has not reported a timeout.
    pub(super) fn longest_wait(&self) -> Duration {
        self.timeout.duration().saturating_add(Duration::from_secs(1))
    }

    /// Reads the credential from the environment.
    pub(in crate::resource_server) fn resolve(&mut self, environment: Environment<'_>) -> Result<(), String> {
        match &mut self.authentication {
            Authentication::Basic { secret, .. } | Authentication::Post { secret } => secret.resolve(environment),
            Authentication::PrivateKeyJwt(assertion) => assertion.resolve(environment),
            Authentication::Bearer { token } => token.resolve(environment),
            Authentication::None => Ok(()),
        }
    }

    /// Says whose endpoint it is.
    pub(in crate::resource_server) fn of_issuer(&mut self, identifier: &str) {
        if let Authentication::PrivateKeyJwt(assertion) = &mut self.authentication {
            assertion.address(identifier);
        }
    }

    fn secret(&self) -> Option<&Secret> {
        match &self.authentication {
            Authentication::Basic { secret, .. } | Authentication::Post { secret } => Some(secret),
            Authentication::Bearer { token } => Some(token),
            Authentication::PrivateKeyJwt(_) | Authentication::None => None,
        }
    }

    /// The cluster through which it is called.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn cluster(&self) -> &str {
        &self.cluster.0
    }

    /// How this proxy authenticates, for messages.
    #[cfg(not(target_arch = "wasm32"))]
    pub(in crate::resource_server) fn authentication(&self) -> String {
        use crate::text::https_url::redacted;

        match &self.authentication {
            Authentication::Basic { client_id, secret } => {
                format!("as {:?} with the secret in {} (client_secret_basic)", redacted(client_id), secret.variable())
            }
            Authentication::Post { secret } => format!(
                "as {:?} with the secret in {} (client_secret_post)",
                redacted(self.client_id.as_deref().unwrap_or_default()),
                secret.variable()
            ),
            Authentication::PrivateKeyJwt(assertion) => format!(
                "as {:?} with the key in {} (private_key_jwt, ES256)",
                redacted(assertion.client_id()),
                assertion.variable()
            ),
            Authentication::Bearer { token } => format!("with the token in {}", token.variable()),
            Authentication::None => "with what the cluster has, a client certificate say".to_owned(),
        }
    }

    /// The introspection request (RFC 7662 §2.1), made now. `nonce` gives what no other request has.
    ///
    /// # Errors
    /// Why this proxy cannot authenticate.
    pub(super) fn call(
        &self,
        token: &str,
        now: UnixTime,
        nonce: &dyn Fn() -> Option<Nonce>,
    ) -> Result<Call, &'static str> {
        let credential = self.secret().map_or("", Secret::value);
        let accept = match self.response_form {
            ResponseForm::Json => "application/json",
            // RFC 9701 §4.
            ResponseForm::Jwt => "application/token-introspection+jwt",
        };
        let mut headers =
            vec![("content-type", "application/x-www-form-urlencoded".to_owned()), ("accept", accept.to_owned())];
        let mut body = format!("token={}&token_type_hint=access_token", form_encoded(token));
        let mut parameter = |name: &str, value: &str| {
            body.push_str(&format!("&{name}={}", form_encoded(value)));
        };
        match &self.authentication {
            Authentication::Basic { client_id, .. } => {
                // RFC 6749 §2.3.1: both are form-encoded first.
                let pair = format!("{}:{}", form_encoded(client_id), form_encoded(credential));
                headers.push(("authorization", format!("Basic {}", STANDARD.encode(pair))));
            }
            Authentication::Post { .. } => {
                parameter("client_id", self.client_id.as_deref().unwrap_or_default());
                parameter("client_secret", credential);
            }
            Authentication::PrivateKeyJwt(assertion) => {
                let nonce = nonce().ok_or("the proxy has no source of chance")?;
                let assertion = assertion.made(now, nonce).ok_or("this proxy has no key to authenticate with")?;
                parameter("client_assertion_type", ASSERTION_TYPE);
                parameter("client_assertion", &assertion);
            }
            Authentication::Bearer { .. } => headers.push(("authorization", format!("Bearer {credential}"))),
            Authentication::None => {
                if let Some(client_id) = &self.client_id {
                    parameter("client_id", client_id);
                }
            }
        }
        let body = body.into_bytes();
        Ok(Call { headers, body, ..self.endpoint.call("POST", &self.cluster, self.timeout) })
    }
}

/// `application/x-www-form-urlencoded` (RFC 6749, Appendix B), of UTF-8, with `+` for a space.
fn form_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'*' | b' ');
    let mut encoded = String::with_capacity(text.len());
    percent::encode(text, &mut encoded, plain);
    encoded.replace(' ', "+")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_6749_appendix_b_is_encoded_as_it_says() {
        // U+0020, U+0025, U+0026, U+002B, U+00A3, U+20AC.
        assert_eq!(form_encoded(" %&+\u{a3}\u{20ac}"), "+%25%26%2B%C2%A3%E2%82%AC");
    }
}
