// SPDX-License-Identifier: Apache-2.0

//! Protected resource metadata (RFC 9728): what a client needs to know about an API before it has a token.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::http::auth_scheme::AuthSchemes;
use crate::http::edit::Served;
use crate::http::request::{Request, folded};
use crate::text::https_url;

/// The path of the metadata, before the resource's own path (RFC 9728 §3).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The headers of the response. It may be cached, since it changes only with the configuration.
const HEADERS: [(&str, &str); 2] = [("content-type", "application/json"), ("cache-control", "public, max-age=300")];

/// `protected_resource_metadata: { resource: https://api.example.com }`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub(super) struct ProtectedResourceMetadata {
    /// The API's resource identifier (RFC 9728 §1.2): an https URL without query and fragment. At its host the metadata
    /// is at `/.well-known/oauth-protected-resource` and the identifier's own path behind that.
    resource: Resource,
}

/// A resource identifier, in characters that need no escape in a challenge.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(!try_from))]
struct Resource(
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(regex(pattern = r"^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[!$-;=@-\[\]_a-z~]*)?$"))
    )]
    String,
);

impl TryFrom<String> for Resource {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let allowed = |byte: u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'!' | b'$'..=b';' | b'=' | b'@' | b'[' | b']' | b'_' | b'~')
        };
        if https_url::parts(&text).is_some_and(|(_, path)| path.bytes().all(allowed)) {
            Ok(Self(text))
        } else {
            Err(format!(
                "{:?} is no resource identifier: an https URL with a host, and without query and fragment",
                https_url::shown(&text)
            ))
        }
    }
}

impl Resource {
    /// Host with port, and the path; `/` counts as no path (RFC 9728 §3.1).
    fn parts(&self) -> (&str, &str) {
        let (authority, path) = https_url::parts(&self.0).unwrap_or_default();
        (authority, if path == "/" { "" } else { path })
    }
}

impl ProtectedResourceMetadata {
    /// The URL of the metadata, which challenges contain (RFC 9728 §5.1).
    pub(super) fn url(&self) -> String {
        let (authority, path) = self.resource.parts();
        format!("https://{authority}{WELL_KNOWN}{path}")
    }

    /// Whether a request asks for this document.
    pub(super) fn is_asked_for(&self, request: &Request<'_>) -> bool {
        let mut paths = request.values(":path");
        let (Some(asked), None) = (paths.next(), paths.next()) else { return false };
        let (authority, path) = self.resource.parts();
        let host = authority.split(':').next().unwrap_or_default();
        request.is_read()
            && asked.strip_prefix(WELL_KNOWN.as_bytes()) == Some(path.as_bytes())
            && request.host() == folded(host)
    }

    /// The document (RFC 9728 §2) of an API with these issuers, scopes and schemes, and these algorithms for DPoP proofs.
    pub(super) fn document<'a>(
        &self,
        issuers: impl Iterator<Item = &'a str>,
        scopes: &[&str],
        schemes: AuthSchemes,
        proofs: &[&str],
    ) -> Served {
        // An issuer identifier is an https URL (RFC 8414 §2). Other issuers are left out, and so are URLs with a user, since the
        // document is public.
        let is_public = |issuer: &&str| issuer.starts_with("https://") && https_url::redacted(issuer) == *issuer;
        let issuers: Vec<_> = issuers.filter(is_public).collect();
        let mut members = Map::new();
        members.insert("resource".to_owned(), Value::from(self.resource.0.as_str()));
        // An empty list says that no bearer tokens are accepted.
        let methods = if schemes.bearer { vec!["header"] } else { Vec::new() };
        members.insert("bearer_methods_supported".to_owned(), Value::from(methods));
        members.insert("tls_client_certificate_bound_access_tokens".to_owned(), Value::from(true));
        // A member without a value must be left out (RFC 9728 §3.2).
        for (name, values) in [
            ("authorization_servers", issuers.as_slice()),
            ("scopes_supported", scopes),
            ("dpop_signing_alg_values_supported", proofs),
        ] {
            if !values.is_empty() {
                members.insert(name.to_owned(), Value::from(values.to_vec()));
            }
        }
        Served { headers: HEADERS.to_vec(), body: Value::Object(members).to_string() }
    }
}
