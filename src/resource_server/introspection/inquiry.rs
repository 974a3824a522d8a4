// SPDX-License-Identifier: Apache-2.0

//! One introspection request about one token, and the response to it.

use std::fmt;
use std::rc::Rc;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use super::Introspection;
use super::client_assertion::Nonce;
use crate::http::call::{Call, Outcome, Response};
use crate::jose::jws::CompactJws;
use crate::outcome::refusal::Refusal;
use crate::outcome::refused::Refused;
use crate::reason::Reason;
use crate::resource_server::claims::shortened;
use crate::text::json::{self, Json, Object};
use crate::time::UnixTime;

/// In bytes. Usual responses have one or two kilobytes.
const LARGEST_RESPONSE: usize = 64 * 1024;

/// In bytes. Usual opaque tokens have 20 to 200, and JWTs 1 to 4 KB.
const LONGEST_TOKEN: usize = 8 * 1024;

/// The type of a response that is a JWT (RFC 9701 §5), in both of its spellings (RFC 7515 §4.1.9).
const JWT_TYPES: [&str; 2] = ["token-introspection+jwt", "application/token-introspection+jwt"];

/// An introspection request about a token.
#[derive(Clone)]
pub struct Inquiry {
    source: Arc<Introspection>,
    token: Rc<str>,
}

/// Asks the host to have a token introspected.
#[derive(Debug)]
pub struct AskIntrospection {
    pub(crate) inquiry: Inquiry,
    pub(crate) refused: Refused,
}

impl AskIntrospection {
    /// The introspection request. Requests with the same token ask the same.
    #[must_use]
    pub fn inquiry(&self) -> &Inquiry {
        &self.inquiry
    }

    /// The name of the policy that asks.
    #[must_use]
    pub fn policy(&self) -> &str {
        self.refused.policy()
    }

    /// The refusal, if there is no response.
    #[must_use]
    pub fn refused(self) -> Refused {
        self.refused
    }
}

/// The outcome of an introspection request.
#[derive(Clone, Debug)]
pub struct Introspected {
    inquiry: Inquiry,
    content: Result<Content, String>,
}

#[derive(Clone)]
enum Content {
    Claims(Object<'static>),
    /// Not verified yet.
    Jwt(String),
}

impl fmt::Debug for Inquiry {
    /// Without the token.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Inquiry({})", self.source.place())
    }
}

impl fmt::Debug for Content {
    /// Without the claims, which are about a person.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Claims(_) => "Claims",
            Self::Jwt(_) => "Jwt",
        })
    }
}

impl PartialEq for Inquiry {
    /// Whether one response serves both.
    fn eq(&self, other: &Self) -> bool {
        self.token == other.token && (Arc::ptr_eq(&self.source, &other.source) || self.source.asks_as(&other.source))
    }
}

impl Inquiry {
    /// The introspection request about this token.
    ///
    /// # Errors
    /// [`Reason::TokenTooLong`]: so long a token is not sent to the authorization server.
    pub(in crate::resource_server) fn about(source: &Arc<Introspection>, token: &str) -> Result<Self, Reason> {
        if token.len() > LONGEST_TOKEN {
            return Err(Reason::TokenTooLong);
        }
        Ok(Self { source: Arc::clone(source), token: token.into() })
    }

    /// The call to make now. `nonce` gives what no other call has, for one that is signed.
    ///
    /// # Errors
    /// A sentence for the operator: why this proxy cannot authenticate.
    pub fn call(&self, now: UnixTime, nonce: &dyn Fn() -> Option<Nonce>) -> Result<Call, &'static str> {
        self.source.call(&self.token, now, nonce)
    }

    /// Where it is sent, for messages.
    #[must_use]
    pub fn place(&self) -> String {
        self.source.place()
    }

    /// How long a request waits for the response.
    #[must_use]
    pub fn longest_wait(&self) -> Duration {
        self.source.longest_wait()
    }

    /// The outcome with this response. One that cannot be read counts as none.
    #[must_use]
    pub fn receive(self, response: &Response<'_>) -> Introspected {
        let read = |body: &[u8]| match self.source.client_of_jwt() {
            Some(_) => std::str::from_utf8(body)
                .map(|text| Content::Jwt(text.trim_ascii().to_owned()))
                .map_err(|_| "the response is not a JWT".to_owned()),
            None => json::object(body)
                .map(|claims| Content::Claims(without_empty_audience(claims.without_nulls()).into_owned()))
                .ok_or_else(|| "the response is not one JSON object".to_owned()),
        };
        let mut content = response.content(LARGEST_RESPONSE).and_then(read);
        if let (Some(503), Err(why)) = (response.status, &mut content) {
            why.push_str("; before Envoy 1.40 a line end behind credential_injector's secret causes it too");
        }
        Introspected { inquiry: self, content }
    }

    /// The outcome if it could not be sent; `why` is for the operator.
    #[must_use]
    pub fn fail(self, why: String) -> Introspected {
        Introspected { inquiry: self, content: Err(why) }
    }
}

/// The claims without an `aud` that is an empty list: to those who write one it means that the token names no audience
/// (RFC 7662 §2.2: the member is optional). Whoever signs a list of nobody has said for whom the token is.
fn without_empty_audience(claims: Object<'_>) -> Object<'_> {
    match claims.get("aud") {
        Some(Json::List(audiences)) if audiences.is_empty() => claims.without("aud"),
        _ => claims,
    }
}

impl Introspected {
    /// The introspection request.
    #[must_use]
    pub fn inquiry(&self) -> &Inquiry {
        &self.inquiry
    }

    /// Its outcome, for counters.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self.content {
            Ok(_) => Outcome::Succeeded,
            Err(_) => Outcome::Failed,
        }
    }

    /// The claims of the token, if it is active (RFC 7662 §2.2). `verified` verifies a response that is a JWT.
    ///
    /// # Errors
    /// [`Reason::TokenInactive`] if the authorization server says so; [`Reason::IntrospectionUnavailable`] if its response
    /// cannot be read; and the error of `verified`.
    pub(in crate::resource_server) fn claims<E: From<Refusal>>(
        &self,
        issuer: &str,
        verified: impl FnOnce(&CompactJws<'_>) -> Result<(), E>,
    ) -> Result<Object<'static>, E> {
        let unavailable = |why: &str| E::from(self.unavailable(why));
        let claims = match &self.content {
            Err(why) => return Err(unavailable(why)),
            Ok(Content::Claims(claims)) => claims.clone(),
            Ok(Content::Jwt(text)) => {
                let mut room = Vec::new();
                let jwt = CompactJws::parse_as(text, &mut room, &JWT_TYPES)
                    .ok()
                    .filter(|jwt| jwt.kind().is_some())
                    .ok_or_else(|| unavailable("the response is not a JWT of the type token-introspection+jwt"))?;
                verified(&jwt)?;
                self.content_of(jwt.payload(), issuer).map_err(|why| unavailable(&why))?
            }
        };
        match claims.get("active") {
            Some(Json::Bool(true)) => Ok(claims),
            Some(Json::Bool(false)) => Err(Refusal::from(Reason::TokenInactive).into()),
            _ => Err(unavailable("the response has no `active` that is true or false")),
        }
    }

    /// The claims in a JWT (RFC 9701 §5), which must be from this issuer and for this client.
    fn content_of(&self, payload: &Object<'_>, issuer: &str) -> Result<Object<'static>, String> {
        let client = self.inquiry.source.client_of_jwt().unwrap_or_default();
        match payload.get("iss").and_then(Json::as_str) {
            Some(own) if own == issuer => {}
            Some(other) => return Err(format!("the response is from {}, expected {issuer}", shortened(other))),
            None => return Err(format!("the response names no issuer, expected {issuer}")),
        }
        let audiences = match payload.get("aud") {
            Some(Json::List(audiences)) => audiences,
            Some(audience) => slice::from_ref(audience),
            None => &[],
        };
        let audiences: Vec<_> = audiences.iter().filter_map(Json::as_str).collect();
        if !audiences.contains(&client) {
            let seen = if audiences.is_empty() { "nobody".to_owned() } else { shortened(&audiences.join(", ")) };
            return Err(format!("the response is for {seen}, expected {client}"));
        }
        if !matches!(payload.get("iat"), Some(Json::Number(_))) {
            return Err("the response does not say when it was made".to_owned());
        }
        match payload.get("token_introspection") {
            Some(Json::Object(claims)) => Ok(claims.clone().without_nulls().into_owned()),
            _ => Err("the response has no token_introspection".to_owned()),
        }
    }

    /// The refusal, if there is no response that can be read.
    pub(in crate::resource_server) fn unavailable(&self, why: &str) -> Refusal {
        Refusal::because(Reason::IntrospectionUnavailable, format!("{why}: {}", self.inquiry.place()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn of_a_signed_response_for_somebody_else_the_operator_is_told_for_whom_it_is() {
        let source = json!({
            "endpoint": "https://as/introspect", "cluster": "as", "endpoint_auth_method": "none", "client_id": "api",
            "answer": "jwt",
        });
        let source: Introspection = serde_json::from_value(source).unwrap();
        let introspected = Inquiry::about(&Arc::new(source), "token").unwrap().fail(String::new());
        let of = |payload: Value| {
            let payload = payload.to_string();
            let payload = json::object(payload.as_bytes()).unwrap().without_nulls();
            introspected.content_of(&payload, "https://as").map(|claims| claims.len())
        };
        let good =
            json!({"iss": "https://as", "aud": "api", "iat": 1, "token_introspection": {"active": true, "jti": null}});
        let with = |name: &str, value: Value| {
            let mut payload = good.clone();
            payload[name] = value;
            of(payload).unwrap_err()
        };
        assert_eq!(of(good.clone()), Ok(1));
        for (name, value, told) in [
            ("iss", json!("https://other"), "the response is from https://other, expected https://as"),
            ("iss", json!(null), "the response names no issuer, expected https://as"),
            ("aud", json!("app"), "the response is for app, expected api"),
            ("aud", json!(["app", "b"]), "the response is for app, b, expected api"),
            ("aud", json!([]), "the response is for nobody, expected api"),
            ("aud", json!(null), "the response is for nobody, expected api"),
            ("iat", json!("1"), "the response does not say when it was made"),
            ("token_introspection", json!(null), "the response has no token_introspection"),
        ] {
            assert_eq!(with(name, value), told);
        }
    }
}
