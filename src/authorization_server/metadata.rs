// SPDX-License-Identifier: Apache-2.0

//! Adds to the metadata of an authorization server (RFC 8414, OpenID Connect Discovery) what it offers over mutual TLS
//! (RFC 8705 §2.1.1, §2.2.1, §3.3, §5).

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::json_text::{Members, list_with};
use super::upstream_response::{field, is_encoded, length};
use crate::collections::sorted_map::SortedMap;
use crate::http::edit::Edit;
use crate::http::header_map::Headers;
use crate::http::path;
use crate::http::request::Request;
use crate::outcome::server_response::MetadataOutcome;
use crate::text::https_url;
use crate::text::{base64url, json};

/// In bytes. A larger document is passed on as it is. Usual ones have some kilobytes.
pub(super) const LARGEST: usize = 131_072;

const WELL_KNOWN: [&str; 2] = ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"];

const BOUND: &str = "tls_client_certificate_bound_access_tokens";
const ALIASES: &str = "mtls_endpoint_aliases";

/// The default of RFC 8414 §2 for an absent list of methods.
const USUAL_METHOD: &str = "client_secret_basic";

/// Response headers that are wrong once the document is rewritten.
const INVALIDATED_BY_REWRITE: [&str; 6] =
    ["content-length", "content-digest", "repr-digest", "digest", "content-md5", "accept-ranges"];

/// Request headers that can cause a compressed or partial document, or none.
pub(super) const STRIPPED_REQUEST_HEADERS: &[&str] =
    &["accept-encoding", "range", "if-range", "if-none-match", "if-modified-since"];

/// What is added to the metadata.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Fields")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "Fields"))]
pub(super) struct Metadata {
    methods: Vec<ClientMethod>,
    aliases: SortedMap<Endpoint, Target>,
    bound: BoundTokens,
    /// A part of the entity tag, which changes with the configuration.
    tag: String,
}

/// What is added to the authorization server's metadata, at both well-known paths, with the path of an issuer or without.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "Metadata"))]
struct Fields {
    /// The methods by which clients authenticate with a certificate: they are added to what the token, the revocation and
    /// the introspection endpoint support.
    #[serde(default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "std::collections::BTreeSet<ClientMethod>"))]
    client_authentication_methods: Vec<ClientMethod>,
    /// The endpoints that have another URL for mutual TLS, each once (RFC 8705 §5).
    #[serde(default)]
    mtls_endpoint_aliases: Vec<Alias>,
    /// Whether it says that access tokens are bound to certificates.
    #[serde(default)]
    certificate_bound_access_tokens: BoundTokens,
}

/// A method of RFC 8705 §2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
enum ClientMethod {
    /// By a name in a validated certificate.
    TlsClientAuth,
    /// By a registered certificate.
    SelfSignedTlsClientAuth,
}

/// Whether the metadata says that access tokens are bound to certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema, serde::Serialize))]
enum BoundTokens {
    /// It does if `issued_tokens` has `certificate_binding: required`; otherwise the authorization server's own word stands.
    #[default]
    IfRequired,
    /// It does: the operator states that the authorization server binds them.
    Stated,
}

/// The URL of an endpoint for mutual TLS: exactly one of `url` and `base_url`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(transform = crate::config::shape::one_url))]
struct Alias {
    /// The endpoint; without it in the metadata there is no alias.
    endpoint: Endpoint,
    /// The URL itself.
    url: Option<Url>,
    /// Scheme, host and port, which the path of the endpoint follows.
    base_url: Option<BaseUrl>,
}

/// An endpoint to which clients speak themselves (RFC 8705 §5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
#[expect(clippy::enum_variant_names, reason = "they are the names of the members")]
enum Endpoint {
    TokenEndpoint,
    RevocationEndpoint,
    IntrospectionEndpoint,
    PushedAuthorizationRequestEndpoint,
    DeviceAuthorizationEndpoint,
    BackchannelAuthenticationEndpoint,
    UserinfoEndpoint,
    RegistrationEndpoint,
}

impl Endpoint {
    const fn name(self) -> &'static str {
        match self {
            Self::TokenEndpoint => "token_endpoint",
            Self::RevocationEndpoint => "revocation_endpoint",
            Self::IntrospectionEndpoint => "introspection_endpoint",
            Self::PushedAuthorizationRequestEndpoint => "pushed_authorization_request_endpoint",
            Self::DeviceAuthorizationEndpoint => "device_authorization_endpoint",
            Self::BackchannelAuthenticationEndpoint => "backchannel_authentication_endpoint",
            Self::UserinfoEndpoint => "userinfo_endpoint",
            Self::RegistrationEndpoint => "registration_endpoint",
        }
    }
}

impl ClientMethod {
    const fn name(self) -> &'static str {
        match self {
            Self::TlsClientAuth => "tls_client_auth",
            Self::SelfSignedTlsClientAuth => "self_signed_tls_client_auth",
        }
    }
}

#[derive(Debug)]
enum Target {
    Url(String),
    Base(String),
}

/// An https URL without query and fragment.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(!try_from))]
struct Url(
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(regex(pattern = r"^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~%/-]*)?$"))
    )]
    String,
);

/// `https://`, a host, and a port if it has another than 443.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(!try_from))]
struct BaseUrl(
    #[cfg_attr(not(target_arch = "wasm32"), schemars(regex(pattern = r"^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?$")))]
    String,
);

/// The path of an https URL, if it has only allowed characters.
fn path(url: &str) -> Option<&str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'~' | b'%' | b'/');
    https_url::parts(url).map(|(_, path)| path).filter(|path| path.bytes().all(allowed))
}

impl TryFrom<String> for Url {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match path(&text) {
            Some(_) => Ok(Self(text)),
            None => Err(format!(
                "{:?} is no URL of an endpoint: an https URL without query and fragment is",
                https_url::shown(&text)
            )),
        }
    }
}

impl TryFrom<String> for BaseUrl {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match path(&text) {
            Some("") => Ok(Self(text)),
            _ => Err(format!(
                "{:?} is no base of URLs: https:// and a host, without a path, is",
                https_url::shown(&text)
            )),
        }
    }
}

impl TryFrom<Fields> for Metadata {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let tag: String =
            Sha256::digest(format!("{fields:?}")).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let Fields { client_authentication_methods: named, mtls_endpoint_aliases, certificate_bound_access_tokens } =
            fields;
        let each = [ClientMethod::TlsClientAuth, ClientMethod::SelfSignedTlsClientAuth];
        let methods = each.into_iter().filter(|method| named.contains(method)).collect();
        let mut aliases = SortedMap::default();
        for Alias { endpoint, url, base_url } in mtls_endpoint_aliases {
            let target = match (url, base_url) {
                (Some(Url(url)), None) => Target::Url(url),
                (None, Some(BaseUrl(base))) => Target::Base(base),
                _ => return Err("an alias has exactly one of `url` and `base_url`".to_owned()),
            };
            if aliases.insert(endpoint, target).is_some() {
                return Err(format!("{} has two aliases", endpoint.name()));
            }
        }
        Ok(Self { methods, aliases, bound: certificate_bound_access_tokens, tag })
    }
}

impl Metadata {
    /// Whether this is a request for the metadata.
    pub(super) fn is_asked_for(request: &Request<'_>) -> bool {
        // The well-known part is before the issuer's path (RFC 8414 §3.1) or after it (OpenID Connect Discovery §4).
        let is_well_known = |path: &str| {
            let behind = WELL_KNOWN.iter().find_map(|start| path.strip_prefix(start));
            behind.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                || WELL_KNOWN.iter().any(|end| path.ends_with(end))
        };
        request.is_read() && path::path_of(request).is_ok_and(|path| is_well_known(&path))
    }

    /// The edits of the response's headers before its body is rewritten; `Err` if the response is passed on as it is.
    pub(super) fn at_headers(&self, headers: &Headers<'_>, end_of_stream: bool) -> Result<Vec<Edit>, MetadataOutcome> {
        let media_type = field(headers, "content-type").map(|value| {
            let essence = value.split(|byte| *byte == b';').next().unwrap_or_default();
            essence.trim_ascii().to_ascii_lowercase()
        });
        if field(headers, ":status") != Some(b"200") {
            return Err(MetadataOutcome::Status);
        }
        if end_of_stream {
            return Err(MetadataOutcome::NoBody);
        }
        if is_encoded(headers) {
            return Err(MetadataOutcome::Encoded);
        }
        if media_type.as_deref() != Some(b"application/json") {
            return Err(MetadataOutcome::NotJson);
        }
        if length(headers).is_some_and(|length| length > LARGEST) {
            return Err(MetadataOutcome::TooLarge);
        }
        let belied = INVALIDATED_BY_REWRITE.into_iter().filter(|name| field(headers, name).is_some()).map(Edit::remove);
        let etag = field(headers, "etag").map(|value| self.etag(value));
        Ok(belied.chain(etag).collect())
    }

    /// A weak entity tag, since the document differs from the server's and depends on the configuration.
    fn etag(&self, value: &[u8]) -> Edit {
        let opaque = std::str::from_utf8(value).ok().and_then(|text| {
            let quoted = text.strip_prefix("W/").unwrap_or(text);
            quoted.strip_prefix('"')?.strip_suffix('"')
        });
        match opaque.filter(|opaque| opaque.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"')) {
            Some(opaque) => Edit::set("etag", format!("W/\"{opaque}-{}\"", self.tag)),
            None => Edit::remove("etag"),
        }
    }

    /// The rewritten document; `None` if nothing changes.
    pub(super) fn rewrite(&self, body: &[u8], is_required: bool) -> (Option<String>, MetadataOutcome) {
        let Some((rewritten, left_alone)) = self.rewritten(body, is_required) else {
            return (None, MetadataOutcome::Malformed);
        };
        let rewritten = Some(rewritten).filter(|rewritten| rewritten.as_bytes() != body);
        let outcome = match (&rewritten, left_alone) {
            (_, true) => MetadataOutcome::Signed,
            (Some(_), false) => MetadataOutcome::Rewritten,
            (None, false) => MetadataOutcome::Unchanged,
        };
        (rewritten, outcome)
    }

    /// The rewritten document, and whether some members were left alone because they are signed.
    fn rewritten(&self, body: &[u8], is_required: bool) -> Option<(String, bool)> {
        let document = Members::read(std::str::from_utf8(body).ok()?)?;
        serde_json::from_str::<String>(document.get("issuer")?).ok()?;
        let mut members = Vec::new();
        if !self.methods.is_empty() {
            let methods: Vec<_> = self.methods.iter().map(|method| method.name()).collect();
            for (name, endpoint) in [
                ("token_endpoint_auth_methods_supported", Some(Endpoint::TokenEndpoint)),
                ("revocation_endpoint_auth_methods_supported", Some(Endpoint::RevocationEndpoint)),
                // RFC 8414 has no default for this member, so it is not added where it is absent.
                ("introspection_endpoint_auth_methods_supported", None),
            ] {
                match (document.get(name), endpoint) {
                    (Some(list), _) => members.push((name, list_with(list, &methods)?)),
                    (None, Some(endpoint)) if document.get(endpoint.name()).is_some() => {
                        let all: Vec<_> = [USUAL_METHOD].iter().chain(&methods).copied().collect();
                        members.push((name, list_with("[]", &all)?));
                    }
                    (None, _) => {}
                }
            }
        }
        if self.bound == BoundTokens::Stated || is_required {
            members.push((BOUND, "true".to_owned()));
        }
        let aliases = self.aliases_of(&document)?;
        if !aliases.is_empty() {
            let own = Members::read(document.get(ALIASES).unwrap_or("{}"))?;
            members.push((ALIASES, own.with(&aliases)?));
        }
        let signed = document.get("signed_metadata").map(claims_of);
        let is_signed = |name: &str| match &signed {
            None => false,
            Some(Some(claims)) => claims.contains(name),
            // Signed metadata that cannot be read may contain any member.
            Some(None) => true,
        };
        let count = members.len();
        members.retain(|(name, value)| !is_signed(name) || document.get(name) == Some(value));
        Some((document.with(&members)?, members.len() < count))
    }

    fn aliases_of(&self, document: &Members<'_>) -> Option<Vec<(&'static str, String)>> {
        let mut aliases = Vec::new();
        for (endpoint, target) in self.aliases.iter() {
            let Some(plain) = document.get(endpoint.name()) else { continue };
            let url = match target {
                Target::Url(url) => url.clone(),
                Target::Base(base) => {
                    let plain: String = serde_json::from_str(plain).ok()?;
                    let (_, rest) = plain.split_once("://")?;
                    let (_, path) = rest.split_at_checked(rest.find(['/', '?', '#']).unwrap_or(rest.len()))?;
                    format!("{base}{path}")
                }
            };
            aliases.push((endpoint.name(), serde_json::to_string(&url).ok()?));
        }
        Some(aliases)
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn sentences(&self, is_required: bool) -> Vec<String> {
        use crate::text::list::listed;

        let mut sentences = Vec::new();
        if !self.methods.is_empty() {
            let methods: Vec<_> = self.methods.iter().map(|method| method.name()).collect();
            sentences.push(format!(
                "The server's metadata has {} among the methods of its clients.",
                listed(&methods, "and")
            ));
        }
        for (endpoint, target) in self.aliases.iter() {
            let target = match target {
                Target::Url(url) => url.clone(),
                Target::Base(base) => format!("its own path at {base}"),
            };
            sentences.push(format!("The server's metadata has an alias of {}: {target}.", endpoint.name()));
        }
        if self.bound == BoundTokens::Stated || is_required {
            sentences.push("The server's metadata says that access tokens are bound to certificates.".to_owned());
        }
        sentences
    }
}

/// The names of the members of signed metadata, which take precedence (RFC 8414 §2.1). The signature is not verified.
fn claims_of(signed: &str) -> Option<HashSet<String>> {
    let signed: String = serde_json::from_str(signed).ok()?;
    let claims = base64url::decode(signed.split('.').nth(1)?)?;
    let claims = json::object(&claims)?.without_nulls();
    Some(claims.iter().map(|(name, _)| name.to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::time::UnixTime;

    fn metadata(text: &str) -> Metadata {
        serde_json::from_str(text).unwrap()
    }

    fn rewritten(configuration: &str, document: &str) -> (String, MetadataOutcome) {
        let metadata = metadata(configuration);
        let (text, outcome) = metadata.rewrite(document.as_bytes(), false);
        let text = text.unwrap_or_else(|| document.to_owned());
        let again = metadata.rewrite(text.as_bytes(), false);
        assert!(again.0.is_none(), "it is not idempotent: {again:?}");
        (text, outcome)
    }

    const ALIAS: &str = r#"{"certificate_bound_access_tokens": "stated", "client_authentication_methods": ["tls_client_auth"],
        "mtls_endpoint_aliases": [{"endpoint": "token_endpoint", "base_url": "https://mtls.auth.bank.com"},
                                  {"endpoint": "userinfo_endpoint", "url": "https://mtls.auth.bank.com/me"}]}"#;

    #[test]
    fn pushed_authorization_requests_stay_outside_the_aliases_as_in_auth0s_documentation() {
        let document = r#"{
  "issuer": "https://auth.bank.com",
  "token_endpoint": "https://auth.bank.com/oauth/token",
  "pushed_authorization_request_endpoint": "https://auth.bank.com/oauth/par",
  "x": 1.50E+2
}"#;
        let (text, outcome) = rewritten(ALIAS, document);
        assert_eq!(outcome, MetadataOutcome::Rewritten);
        let added = ",\"token_endpoint_auth_methods_supported\":[\"client_secret_basic\",\"tls_client_auth\"],\
            \"tls_client_certificate_bound_access_tokens\":true,\
            \"mtls_endpoint_aliases\":{\"token_endpoint\":\"https://mtls.auth.bank.com/oauth/token\"}";
        assert_eq!(text, document.replace("1.50E+2", &format!("1.50E+2{added}")));
    }

    #[test]
    fn methods_and_aliases_that_are_there_stay() {
        let document = r#"{"issuer":"https://a","token_endpoint":"https://a:8443/t?x=1",
            "token_endpoint_auth_methods_supported":["private_key_jwt", "tls_client_auth"],
            "introspection_endpoint_auth_methods_supported":[ ],"revocation_endpoint":"https://a/r",
            "mtls_endpoint_aliases":{"token_endpoint":"https://b/t", "revocation_endpoint":"https://b/r"},
            "tls_client_certificate_bound_access_tokens":false}"#;
        let (text, _) = rewritten(ALIAS, document);
        let expected = document
            .replace("https://b/t", "https://mtls.auth.bank.com/t?x=1")
            .replace("[ ]", "[ \"tls_client_auth\"]")
            .replace(
                "false}",
                r#"true,"revocation_endpoint_auth_methods_supported":["client_secret_basic","tls_client_auth"]}"#,
            );
        assert_eq!(text, expected);
    }

    #[test]
    fn what_is_signed_is_left_alone() {
        let sign = |claims: &str| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        let document = |signed: &str| {
            format!(r#"{{"issuer":"https://a","token_endpoint":"https://a/t","signed_metadata":"{signed}"}}"#)
        };
        let signed = document(&sign(r#"{"mtls_endpoint_aliases":{}}"#));
        let (text, outcome) = rewritten(ALIAS, &signed);
        assert_eq!(outcome, MetadataOutcome::Signed);
        assert!(!text.contains("mtls_endpoint_aliases") && text.contains("tls_client_certificate_bound_access_tokens"));
        for unreadable in ["", "a.b", "e30.!.c2ln", "e30.W10.c2ln"] {
            let signed = document(unreadable);
            assert_eq!(rewritten(ALIAS, &signed), (signed.clone(), MetadataOutcome::Signed));
        }
    }

    #[test]
    fn what_is_no_metadata_stays_as_it_is() {
        for document in [
            "",
            "<html>",
            "[]",
            "{}",
            r#"{"issuer":1}"#,
            r#"{"issuer":"a","issuer":"b"}"#,
            r#"{"issuer":"a","token_endpoint":1}"#,
            r#"{"issuer":"a","token_endpoint":"/t"}"#,
            r#"{"issuer":"a","token_endpoint_auth_methods_supported":"b"}"#,
            r#"{"issuer":"a","token_endpoint":"https://a/t","mtls_endpoint_aliases":[]}"#,
        ] {
            assert_eq!(rewritten(ALIAS, document), (document.to_owned(), MetadataOutcome::Malformed));
        }
    }

    #[test]
    fn every_well_known_form_is_metadata_and_nothing_else_is() {
        let is = |method: &str, path: &str| {
            let headers = [(":method", method), (":path", path)];
            let headers = headers.map(|(name, value)| (name, value.as_bytes()));
            Metadata::is_asked_for(&Request {
                headers: &headers,
                route_metadata: None,
                peer_digest: None,
                now: UnixTime::EPOCH,
            })
        };
        for path in [
            "/.well-known/openid-configuration",
            "/.well-known/oauth-authorization-server?x=1",
            "/.well-known/oauth-authorization-server/realms/a",
            "/.well-known/openid-configuration/a",
            "/realms/a/.well-known/openid-configuration",
            "/a/.well-known/oauth-authorization-server",
        ] {
            assert!(is("GET", path) && is("HEAD", path) && !is("POST", path), "{path}");
        }
        for path in
            ["/", "/.well-known/openid-configurations", "/.well-known/x", "/a/.well-known/openid-configuration/b"]
        {
            assert!(!is("GET", path), "{path}");
        }
    }

    #[test]
    fn the_entity_tag_is_weak_and_of_this_configuration() {
        let (one, other) = (metadata(ALIAS), metadata("{}"));
        for tag in ["\"a\"", "W/\"a\""] {
            let edit = one.etag(tag.as_bytes());
            assert!(edit.value().unwrap().starts_with("W/\"a-"), "{edit:?}");
            assert_ne!(edit, other.etag(tag.as_bytes()));
        }
        for wrong in ["a", "\"", "\"a\"b\"", "\"a b\""] {
            assert_eq!(one.etag(wrong.as_bytes()), Edit::remove("etag"));
        }
    }
}
