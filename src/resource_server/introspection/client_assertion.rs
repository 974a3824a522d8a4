// SPDX-License-Identifier: Apache-2.0

//! Authentication by `private_key_jwt` (RFC 7521 §4.2, RFC 7523 §2.2): a signed assertion, anew for each call.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::config::secret::{Environment, Secret};
use crate::jose::signing_key::SigningKey;
use crate::text::json::quoted;
use crate::time::UnixTime;

/// RFC 7523 §2.2.
pub(super) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// In seconds. The authorization server keeps the identifier of each assertion for so long.
const LIFETIME: u64 = 60;

/// What makes an assertion one that was never made before.
pub type Nonce = [u8; 16];

/// Who signs, for whom, and with which key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClientAssertion {
    client_id: String,
    /// The claims that each of them has, up to the value of `jti`.
    claims: String,
    variable: Secret,
    key_id: Option<String>,
    /// `None` before it was taken from the environment, and on a desk.
    key: Option<SigningKey>,
}

impl ClientAssertion {
    pub(super) fn new(client_id: String, variable: Secret, key_id: Option<String>) -> Self {
        Self { client_id, claims: String::new(), variable, key_id, key: None }
    }

    /// Says for whom: the authorization server with this issuer identifier.
    pub(super) fn address(&mut self, issuer: &str) {
        let (client_id, audience) = (quoted(&self.client_id), quoted(issuer));
        self.claims =
            ["{\"iss\":", &client_id, ",\"sub\":", &client_id, ",\"aud\":", &audience, ",\"jti\":\""].concat();
    }

    /// Takes the key from the environment.
    pub(super) fn resolve(&mut self, environment: Environment<'_>) -> Result<(), String> {
        let read = |text: &str| SigningKey::read(text, self.key_id.as_deref());
        self.key = self.variable.resolve_key(environment, read)?;
        Ok(())
    }

    /// The name of the variable that has the key.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn variable(&self) -> &str {
        self.variable.variable()
    }

    /// The client's identifier.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// An assertion that is made now; `None` where there is no key.
    // Not inlined, since few configurations need it.
    #[inline(never)]
    pub(super) fn made(&self, now: UnixTime, nonce: Nonce) -> Option<String> {
        let jti = URL_SAFE_NO_PAD.encode(nonce.as_slice());
        let made = now.seconds();
        let (issued, expires) = (made.to_string(), made.saturating_add(LIFETIME).to_string());
        let claims = [&self.claims, &*jti, "\",\"iat\":", &issued, ",\"exp\":", &expires, "}"].concat();
        Some(self.key.as_ref()?.sign(&claims))
    }
}
