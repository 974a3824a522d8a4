// SPDX-License-Identifier: Apache-2.0

//! Compares issued access tokens with the certificate of their request (RFC 8705 §3), to detect a server that does not bind
//! them.

use serde::Deserialize;

use super::upstream_response::{field, is_encoded, length};
use crate::certificate::thumbprint::Thumbprint;
use crate::http::body::{NOT_GIVEN, Unread};
use crate::http::header_map::Headers;
use crate::http::path;
use crate::http::path::PlainPath;
use crate::http::request::Request;
use crate::jose::confirmation::{ConfirmationPlace, Dpop, Unconfirmed, confirmation};
use crate::jose::jws::is_meant_for_jwt;
use crate::outcome::identity::{self, Identity};
use crate::outcome::server_response::{IssuanceOutcome, Judged};
use crate::reason::Reason;
use crate::text::base64url;
use crate::text::json::{self, Json, Object};

/// In bytes. A larger response cannot be read. Usual tokens have some kilobytes.
pub(super) const LARGEST: usize = 131_072;

const TOO_LARGE: &str = "the response is larger than 131072 bytes";

const DPOP_KEY_ALONE: &str = "the token is bound to a DPoP key alone";

const MOST_ENDPOINTS: usize = 64;

const MOST_CLIENTS: usize = 1000;

/// Request headers that can cause a compressed or partial response.
pub(super) const STRIPPED_REQUEST_HEADERS: &[&str] = &["accept-encoding", "range", "if-range"];

/// Which access tokens reach the client.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Fields")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "Fields"))]
pub(super) struct IssuedTokens {
    certificate_binding: IssuedBinding,
    token_endpoints: Vec<PlainPath>,
    confirmation: ConfirmationPlace,
    unbound_clients: Vec<String>,
    response_headers: ResponseHeaders,
}

/// Which access tokens reach the client. A token that is no JWT cannot be judged, and passes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "IssuedTokens"))]
struct Fields {
    /// Whether an issued JWT must be bound to the certificate of its request.
    certificate_binding: IssuedBinding,
    /// The paths at which tokens are issued. A request's path may be in another case, and may end with a slash. A path that
    /// servers may read in two ways counts as one of them.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1, max = MOST_ENDPOINTS)))]
    token_endpoints: Vec<PlainPath>,
    /// Where the server writes the thumbprint.
    #[serde(default)]
    confirmation: ConfirmationPlace,
    /// Clients whose tokens need not be bound: a JWT that names one of them, and has no confirmation or a DPoP key alone, passes.
    #[serde(default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(max = MOST_CLIENTS), inner(length(min = 1)), example = ["mobile-app"]))]
    unbound_clients: Vec<String>,
    /// Whether the headers of a response wait for its body.
    #[serde(default)]
    response_headers: ResponseHeaders,
}

/// Whether an issued JWT must be bound to the certificate of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
enum IssuedBinding {
    /// It must. A response that cannot be read does not reach the client either.
    Required,
    /// Every response passes. Those that `required` would withhold are counted and logged.
    Observe,
    /// Responses are not read.
    Off,
}

/// Whether the headers of a response wait for its body. The body itself always waits until it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema, serde::Serialize))]
enum ResponseHeaders {
    /// They are passed on at once, and a response that is withheld is broken off. This works with any proxy.
    #[default]
    Leave,
    /// They wait, and the client gets 502 in place of a response that is withheld. The plugin must have
    /// `allow_on_headers_stop_iteration: true`; without that no response with a body reaches the client.
    Wait,
}

impl TryFrom<Fields> for IssuedTokens {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let Fields { certificate_binding, token_endpoints, confirmation, unbound_clients, response_headers } = fields;
        if !(1..=MOST_ENDPOINTS).contains(&token_endpoints.len()) {
            return Err(format!("`token_endpoints` has 1 to {MOST_ENDPOINTS} paths"));
        }
        if unbound_clients.len() > MOST_CLIENTS {
            return Err(format!("at most {MOST_CLIENTS} unbound_clients"));
        }
        if unbound_clients.iter().any(String::is_empty) {
            return Err("one of unbound_clients is empty".to_owned());
        }
        Ok(Self { certificate_binding, token_endpoints, confirmation, unbound_clients, response_headers })
    }
}

impl IssuedTokens {
    /// Whether unbound tokens are withheld.
    pub(super) fn is_required(&self) -> bool {
        self.certificate_binding == IssuedBinding::Required
    }

    pub(super) fn has_headers_wait(&self) -> bool {
        self.certificate_binding != IssuedBinding::Off && self.response_headers == ResponseHeaders::Wait
    }

    /// Whether the response to this request is read.
    pub(super) fn is_asked_for(&self, request: &Request<'_>) -> bool {
        let folded = |path: &str| path.trim_end_matches('/').to_ascii_lowercase();
        let is_endpoint = || match path::path_of(request) {
            Ok(path) => self.token_endpoints.iter().any(|endpoint| folded(endpoint.as_str()) == folded(&path)),
            // The path is ambiguous: the server may take it for a token endpoint.
            Err(_) => true,
        };
        self.certificate_binding != IssuedBinding::Off && is_endpoint()
    }

    /// Whether the body is read; `Err` if it cannot be.
    pub(super) fn at_headers(headers: &Headers<'_>, end_of_stream: bool) -> Result<bool, Judged> {
        // A token response has the status 200 (RFC 6749 §5.1). Clients take no token from an error or a redirect.
        let is_success = field(headers, ":status").is_none_or(|status| status.starts_with(b"2"));
        if end_of_stream || !is_success {
            return Ok(false);
        }
        if is_encoded(headers) {
            return Err(Judged::unreadable("the response is compressed"));
        }
        if length(headers).is_some_and(|length| length > LARGEST) {
            return Err(Judged::unreadable(TOO_LARGE));
        }
        Ok(true)
    }

    /// Judges a whole response.
    pub(super) fn judge(&self, body: Result<&[u8], Unread>, presented: Option<Thumbprint>) -> Judged {
        let body = match body {
            Ok(body) => body,
            Err(Unread::TooLarge) => return Judged::unreadable(TOO_LARGE),
            Err(Unread::NotGiven) => return Judged::unreadable(NOT_GIVEN),
        };
        if body.trim_ascii().is_empty() {
            return IssuanceOutcome::NoToken.into();
        }
        let Some(response) = json::object(body).map(Object::without_nulls) else {
            return Judged::unreadable("the response is not one JSON object");
        };
        let token = match response.get("access_token") {
            None => return IssuanceOutcome::NoToken.into(),
            Some(Json::Text(token)) => token,
            Some(_) => return Judged::unreadable("access_token is not a text"),
        };
        match claims(token, &mut Vec::new()) {
            Token::Opaque => IssuanceOutcome::Opaque.into(),
            Token::Malformed => Judged::unreadable("access_token looks like a JWT, and cannot be read as one"),
            Token::Jwt(claims) => match self.check(&claims, presented) {
                Judged { outcome: IssuanceOutcome::NotBound(Reason::ConfirmationMissing), .. }
                | Judged { outcome: IssuanceOutcome::NotBound(_), detail: DPOP_KEY_ALONE, .. }
                    if self.may_be_unbound(&claims) =>
                {
                    IssuanceOutcome::UnboundClient.into()
                }
                judged @ Judged { outcome: IssuanceOutcome::NotBound(_), .. } => {
                    Judged { identity: Some(Identity::vouched_for(&claims)), ..judged }
                }
                judged => judged,
            },
        }
    }

    fn may_be_unbound(&self, claims: &Object<'_>) -> bool {
        identity::client(claims).is_some_and(|client| self.unbound_clients.iter().any(|own| own == client))
    }

    fn check(&self, claims: &Object<'_>, presented: Option<Thumbprint>) -> Judged {
        let not_bound =
            |reason, expected, detail| Judged { expected, detail, ..IssuanceOutcome::NotBound(reason).into() };
        // If there is a DPoP key as well, checking it is up to the API.
        let confirmation = match confirmation(claims, self.confirmation, Dpop::VerifiedUpstream) {
            Ok(confirmation) => confirmation,
            Err(Unconfirmed { reason, detail }) => return not_bound(reason, None, detail),
        };
        match (confirmation.certificate, presented) {
            (Some(bound), Some(presented)) if bound == presented => IssuanceOutcome::Bound.into(),
            (Some(bound), Some(_)) => not_bound(Reason::CertificateMismatch, Some(bound), ""),
            (Some(bound), None) => not_bound(Reason::CertificateNotPresented, Some(bound), ""),
            // As an API says of it, unless it verifies the proof.
            (None, _) if confirmation.dpop_key => not_bound(Reason::ConfirmationUnsupported, None, DPOP_KEY_ALONE),
            (None, _) => not_bound(Reason::ConfirmationMissing, None, ""),
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn unbound_sentence(&self) -> Option<String> {
        match self.unbound_clients.len() {
            0 => None,
            1 => Some("A JWT of one client passes without being bound.".to_owned()),
            count => Some(format!("A JWT of one of {count} clients passes without being bound.")),
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn sentences(&self) -> Vec<String> {
        let paths: Vec<_> = self.token_endpoints.iter().map(PlainPath::as_str).collect();
        let paths = crate::text::list::listed(&paths, "and");
        let what = match (self.certificate_binding, self.response_headers) {
            (IssuedBinding::Off, _) => return vec!["Issued access tokens are not read.".to_owned()],
            (IssuedBinding::Observe, _) => "passes, and is counted and logged if it is not",
            (IssuedBinding::Required, ResponseHeaders::Leave) => {
                "or the response is broken off, as is one that cannot be read"
            }
            (IssuedBinding::Required, ResponseHeaders::Wait) => {
                "or the client gets 502, as for a response that cannot be read: the plugin must have \
                 allow_on_headers_stop_iteration"
            }
        };
        let verb = if self.is_required() { "must be" } else { "should be" };
        let comma = if self.is_required() { "," } else { "; it" };
        vec![
            format!("A JWT that is issued at {paths} {verb} bound to the certificate of its request{comma} {what}."),
            "An access token that is no JWT to any reader passes.".to_owned(),
        ]
        .into_iter()
        .chain(self.unbound_sentence())
        .collect()
    }
}

enum Token<'a> {
    Jwt(Object<'a>),
    /// A JWT whose claims cannot be read.
    Malformed,
    Opaque,
}

/// The claims of a JWT (RFC 7519 §3). The signature is not verified, since the token comes from its own server. `room` holds the
/// decoded claims.
fn claims<'r>(token: &str, room: &'r mut Vec<u8>) -> Token<'r> {
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Token::Opaque;
    };
    if !is_meant_for_jwt(token) {
        return Token::Opaque;
    }
    // A part that is not base64url decodes to nothing, which is not an object.
    let decoded = |part: &str| base64url::decode(part).unwrap_or_default();
    let has_header = json::object(&decoded(header)).is_some();
    *room = decoded(payload);
    json::object(room).filter(|_| has_header).map_or(Token::Malformed, |claims| Token::Jwt(claims.without_nulls()))
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::time::UnixTime;

    const ONE: &str = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0";
    const OTHER: &str = "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";

    fn issued(more: &str) -> IssuedTokens {
        let text = format!(r#"{{"certificate_binding": "required", "token_endpoints": ["/as/token"]{more}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    fn jwt(claims: &str) -> String {
        let parts = [r#"{"alg":"ES256"}"#, claims].map(|part| URL_SAFE_NO_PAD.encode(part));
        format!("{}.{}.c2ln", parts[0], parts[1])
    }

    fn judged(response: &str, presented: Option<&str>) -> IssuanceOutcome {
        issued("").judge(Ok(response.as_bytes()), presented.and_then(Thumbprint::from_x5t_s256)).outcome
    }

    fn response(token: &str) -> String {
        serde_json::json!({ "token_type": "Bearer", "access_token": token }).to_string()
    }

    fn of_claims(claims: &str, presented: Option<&str>) -> IssuanceOutcome {
        judged(&format!(r#"{{"token_type":"Bearer","access_token":"{}"}}"#, jwt(claims)), presented)
    }

    #[test]
    fn headers_wait_where_the_configuration_says_so_and_the_response_is_read() {
        for (binding, headers, wait) in [
            ("required", "wait", true),
            ("required", "leave", false),
            ("off", "wait", false),
            ("observe", "wait", true),
        ] {
            let text = serde_json::json!({
                "certificate_binding": binding, "token_endpoints": ["/as/token"], "response_headers": headers,
            });
            let issued: IssuedTokens = serde_json::from_value(text).unwrap();
            assert_eq!(issued.has_headers_wait(), wait, "{binding} {headers}");
        }
    }

    #[test]
    fn a_response_may_say_that_it_has_131072_bytes_and_no_byte_more() {
        let at_headers = |length: &str| {
            let headers: [(&str, &[u8]); 2] = [(":status", b"200"), ("content-length", length.as_bytes())];
            IssuedTokens::at_headers(&headers, false).map_err(|judged| judged.detail)
        };
        assert_eq!(at_headers("131071"), Ok(true));
        assert_eq!(at_headers("131072"), Ok(true));
        assert_eq!(at_headers("131073"), Err(TOO_LARGE));
    }

    #[test]
    fn it_is_said_whose_tokens_pass_unbound() {
        let sentence = |clients: &str| issued(&format!(r#","unbound_clients": [{clients}]"#)).unbound_sentence();
        assert_eq!(sentence(""), None);
        assert_eq!(sentence(r#""a""#).as_deref(), Some("A JWT of one client passes without being bound."));
        let of_two = "A JWT of one of 2 clients passes without being bound.";
        assert_eq!(sentence(r#""a", "b""#).as_deref(), Some(of_two));
    }

    #[test]
    fn a_thousand_clients_may_get_unbound_tokens_and_none_may_be_empty() {
        let read = |clients: Vec<String>| {
            let text = serde_json::json!({
                "certificate_binding": "required", "token_endpoints": ["/as/token"], "unbound_clients": clients,
            });
            serde_json::from_value::<IssuedTokens>(text).map(drop).map_err(|error| error.to_string())
        };
        assert_eq!(read(vec!["a".to_owned(); 1000]), Ok(()));
        assert_eq!(read(vec!["a".to_owned(); 1001]), Err("at most 1000 unbound_clients".to_owned()));
        assert_eq!(read(vec![String::new()]), Err("one of unbound_clients is empty".to_owned()));
    }

    #[test]
    fn a_jwt_is_bound_to_the_certificate_of_its_request_or_it_is_not() {
        use IssuanceOutcome::{Bound, NotBound};
        let bound = format!(r#"{{"cnf":{{"x5t#S256":"{ONE}"}}}}"#);
        assert_eq!(of_claims(&bound, Some(ONE)), Bound);
        assert_eq!(of_claims(&bound, Some(OTHER)), NotBound(Reason::CertificateMismatch));
        assert_eq!(of_claims(&bound, None), NotBound(Reason::CertificateNotPresented));
        assert_eq!(of_claims("{}", Some(ONE)), NotBound(Reason::ConfirmationMissing));
        assert_eq!(of_claims("{}", None), NotBound(Reason::ConfirmationMissing));
        assert_eq!(of_claims(r#"{"cnf":null}"#, Some(ONE)), NotBound(Reason::ConfirmationMissing));
        let key = format!(r#"{{"cnf":{{"jkt":"{ONE}"}}}}"#);
        assert_eq!(of_claims(&key, Some(ONE)), NotBound(Reason::ConfirmationUnsupported));
        let top = format!(r#"{{"x5t#S256":"{ONE}"}}"#);
        assert_eq!(of_claims(&top, Some(ONE)), NotBound(Reason::ConfirmationAtTopLevel));
    }

    #[test]
    fn what_was_seen_of_a_token_that_is_not_bound_is_said() {
        let judged = |response: &str, presented: Option<&str>| {
            let presented = presented.and_then(Thumbprint::from_x5t_s256);
            let judged = issued("").judge(Ok(response.as_bytes()), presented);
            (judged.expected.map(|own| own.to_string()), judged.detail)
        };
        let of = |claims: &str, presented| judged(&response(&jwt(claims)), presented);
        let bound = format!(r#"{{"cnf":{{"x5t#S256":"{ONE}"}}}}"#);
        assert_eq!(of(&bound, Some(OTHER)), (Some(ONE.to_owned()), ""));
        assert_eq!(of(&bound, None), (Some(ONE.to_owned()), ""));
        assert_eq!(of("{}", Some(ONE)), (None, ""));
        for (claims, detail) in [
            (r#"{"cnf":"text"}"#.to_owned(), "cnf is a text, and not an object"),
            (r#"{"cnf":{}}"#.to_owned(), "cnf is empty"),
            (format!(r#"{{"cnf":{{"jkt":"{ONE}"}}}}"#), "the token is bound to a DPoP key alone"),
        ] {
            assert_eq!(of(&claims, Some(ONE)), (None, detail), "{claims}");
        }
        for (response, detail) in [
            ("<html>", "the response is not one JSON object"),
            (r#"{"access_token":1}"#, "access_token is not a text"),
            (r#"{"access_token":"e30.!.c2ln"}"#, "access_token looks like a JWT, and cannot be read as one"),
        ] {
            assert_eq!(judged(response, Some(ONE)), (None, detail), "{response}");
        }
        for (unread, detail) in [
            (Unread::TooLarge, "the response is larger than 131072 bytes"),
            (Unread::NotGiven, "the proxy did not give the whole body"),
        ] {
            assert_eq!(issued("").judge(Err(unread), None).detail, detail);
        }
        let headers = [("content-encoding", b"gzip".as_slice())];
        assert_eq!(IssuedTokens::at_headers(&headers, false), Err(Judged::unreadable("the response is compressed")));
    }

    #[test]
    fn whom_a_token_names_that_is_not_bound_is_said_and_nobody_of_what_cannot_be_read() {
        let judged = |token: &str| issued("").judge(Ok(response(token).as_bytes()), Thumbprint::from_x5t_s256(ONE));
        let who = r#"{"iss":"https://as","azp":"app","sub":"alice""#;
        for claims in [
            format!("{who}}}"),
            format!(r#"{who},"cnf":"text"}}"#),
            format!(r#"{who},"cnf":{{"x5t#S256":"{OTHER}"}}}}"#),
        ] {
            let Judged { identity: Some(identity), .. } = judged(&jwt(&claims)) else { panic!("{claims}") };
            let found = (identity.issuer(), identity.client(), identity.subject());
            assert_eq!(found, (Some("https://as"), Some("app"), Some("alice")), "{claims}");
        }
        let bound = jwt(&format!(r#"{who},"cnf":{{"x5t#S256":"{ONE}"}}}}"#));
        for token in [&*bound, "opaque", "e30.!.c2ln"] {
            assert_eq!(judged(token).identity, None, "{token}");
        }
    }

    #[test]
    fn a_thumbprint_at_the_top_level_counts_where_the_server_writes_it_there() {
        let response = format!(r#"{{"access_token":"{}"}}"#, jwt(&format!(r#"{{"x5t#S256":"{ONE}"}}"#)));
        let issued = issued(r#", "confirmation": "top_level""#);
        assert_eq!(
            issued.judge(Ok(response.as_bytes()), Thumbprint::from_x5t_s256(ONE)).outcome,
            IssuanceOutcome::Bound
        );
    }

    #[test]
    fn a_listed_clients_token_passes_unbound_and_is_held_to_what_it_is_bound_to() {
        let issued = issued(r#", "unbound_clients": ["app", "other"]"#);
        let of = |claims: &str| {
            let response = format!(r#"{{"access_token":"{}"}}"#, jwt(claims));
            issued.judge(Ok(response.as_bytes()), Thumbprint::from_x5t_s256(ONE)).outcome
        };
        let bound_to = |client: &str, thumbprint: &str| {
            of(&format!(r#"{{"client_id":"{client}","cnf":{{"x5t#S256":"{thumbprint}"}}}}"#))
        };
        assert_eq!(of(r#"{"client_id":"app"}"#), IssuanceOutcome::UnboundClient);
        assert_eq!(of(r#"{"azp":"other","cnf":null}"#), IssuanceOutcome::UnboundClient);
        assert_eq!(of(&format!(r#"{{"client_id":"app","cnf":{{"jkt":"{ONE}"}}}}"#)), IssuanceOutcome::UnboundClient);
        assert_eq!(
            of(r#"{"client_id":"app","cnf":{"kid":"1"}}"#),
            IssuanceOutcome::NotBound(Reason::ConfirmationUnsupported)
        );
        assert_eq!(bound_to("app", ONE), IssuanceOutcome::Bound);
        assert_eq!(bound_to("app", OTHER), IssuanceOutcome::NotBound(Reason::CertificateMismatch));
        for claims in [r#"{"client_id":"App"}"#, r#"{"client_id":"x","azp":"app"}"#, r#"{"sub":"app"}"#, "{}"] {
            assert_eq!(of(claims), IssuanceOutcome::NotBound(Reason::ConfirmationMissing), "{claims}");
        }
        assert_eq!(of(r#"{"client_id":"app","cnf":{}}"#), IssuanceOutcome::NotBound(Reason::ConfirmationMalformed));
    }

    #[test]
    fn what_cannot_be_read_is_told_from_what_has_no_token() {
        for response in ["", " \r\n", "{}", r#"{"error":"invalid_client"}"#] {
            assert_eq!(judged(response, Some(ONE)), IssuanceOutcome::NoToken, "{response}");
        }
        for token in ["", "abc", "a.b.c", "ya29.a0Af.x", "a.b.c.d.e"] {
            let response = format!(r#"{{"access_token":"{token}"}}"#);
            assert_eq!(judged(&response, Some(ONE)), IssuanceOutcome::Opaque, "{response}");
        }
        for response in [
            "access_token=abc",
            "<html>",
            "[]",
            "\u{feff}{}",
            r#"{"access_token":1}"#,
            r#"{"access_token":"a","access_token":"b"}"#,
            r#"{"access_token":"a"}{}"#,
            r#"{"access_token":"e30.!.c2ln"}"#,
            r#"{"access_token":"e30.W10.c2ln"}"#,
        ] {
            assert_eq!(judged(response, Some(ONE)), IssuanceOutcome::Unreadable, "{response}");
        }
        assert_eq!(issued("").judge(Err(Unread::TooLarge), None).outcome, IssuanceOutcome::Unreadable);
    }

    #[test]
    fn what_some_reader_takes_for_a_jwt_and_is_not_strictly_one_does_not_pass_as_opaque() {
        use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};

        let claims = URL_SAFE_NO_PAD.encode("{}");
        let of_header = |header: &str| format!("{header}.{claims}.c2ln");
        // In the alphabets of RFC 4648 §4 and §5 it is spelt differently.
        let header = "{\"alg\":\"ES256\",\"x\":\"\u{fb}\u{ff}\u{fe}??>>\"}";
        let right = URL_SAFE_NO_PAD.encode(header);
        assert_eq!(
            judged(&response(&of_header(&right)), Some(ONE)),
            IssuanceOutcome::NotBound(Reason::ConfirmationMissing)
        );
        let (begin, end) = right.split_at(right.len() / 2);
        for token in [
            of_header(&STANDARD_NO_PAD.encode(header)),
            of_header(&STANDARD.encode(header)),
            of_header(&URL_SAFE.encode("{\"alg\":\"ES512\"} ")),
            of_header(&format!("{begin}\r\n{end}")),
            of_header(&format!("{begin}!{end}")),
            of_header(&URL_SAFE_NO_PAD.encode("\u{feff}{}")),
            of_header(&URL_SAFE_NO_PAD.encode(" \r\n\u{feff}\t{}")),
            of_header(&URL_SAFE_NO_PAD.encode("{\"alg\":\"none\",\"alg\":\"ES256\"}")),
            of_header(&URL_SAFE_NO_PAD.encode("{'alg':'none'}")),
            of_header("e31"),
            format!(" {}", of_header(&right)),
            format!("{}\n", of_header(&right)).replacen("e30.", "e30=.", 1),
            format!("{right}.e3 0.c2ln"),
            format!("{right}..c2ln"),
        ] {
            assert_eq!(judged(&response(&token), Some(ONE)), IssuanceOutcome::Unreadable, "{token:?}");
        }
        // No text, or none that begins so, or another number of parts: an encrypted one has five.
        let random = URL_SAFE_NO_PAD.encode(b"{\xff\xfe\x80 random bytes");
        for token in [of_header(&random), of_header("W10"), format!("{right}.{claims}"), format!("{right}.a.b.c.d")] {
            assert_eq!(judged(&response(&token), Some(ONE)), IssuanceOutcome::Opaque, "{token:?}");
        }
    }

    #[test]
    fn a_path_that_may_be_the_token_endpoint_is_taken_for_it() {
        let is = |path: &str| {
            let headers = [(":path", path.as_bytes())];
            let request = Request { headers: &headers, route_metadata: None, peer_digest: None, now: UnixTime::EPOCH };
            issued("").is_asked_for(&request)
        };
        for path in
            ["/as/token", "/as/token?a=b", "/as/token/", "/AS/Token", "/as//token", "/as/%2e/token", "/as/token;x"]
        {
            assert!(is(path), "{path}");
        }
        for path in ["/", "/as", "/as/tokens", "/as/token/x"] {
            assert!(!is(path), "{path}");
        }
    }
}
