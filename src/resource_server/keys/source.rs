//! Where keys are fetched.

#[cfg(not(target_arch = "wasm32"))]
use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;

use crate::call::Call;
use crate::https_url;
use crate::resource_server::seconds::{CoolDown, MaxStale, Timeout};
use crate::sorted_map::SortedMap;

/// A place from which an issuer's keys are fetched, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySource {
    start: Start,
    limits: Limits,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Start {
    KeySet { uri: HttpUri, cluster: ClusterName },
    Discovery { issuer: String, document: HttpUri, cluster: ClusterName, origins: SortedMap<String, ClusterName> },
    Client { uri: HttpUri, cluster: ClusterName },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) cool_down: CoolDown,
    pub(super) max_stale: MaxStale,
    pub(super) timeout: Timeout,
}

/// An absolute URI of http or https: only its authority and its path are used, the cluster says where it leads.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "HttpUriText"))]
pub(crate) struct HttpUri {
    scheme: Scheme,
    authority: String,
    path: String,
}

/// How the schema has it.
#[cfg(not(target_arch = "wasm32"))]
#[derive(schemars::JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "it is there for its schema")]
struct HttpUriText(
    #[schemars(regex(pattern = r#"^[Hh][Tt][Tt][Pp][Ss]?://[!"$-.0->A-\[\]-~]+([/?][!"$-~]*)?$"#))]
    String,
);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Https,
    Http,
}

/// The name of a cluster of this proxy.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(!try_from))]
pub(crate) struct ClusterName(
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1)))] pub(in crate::resource_server) String,
);

/// `discovery: { cluster: NAME }`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub(super) struct Discovery {
    /// The Envoy cluster of the issuer's own origin.
    cluster: ClusterName,
    /// Which metadata document is read.
    #[serde(default)]
    document: Document,
    /// Where the key set may be besides the issuer's own origin, each with its cluster.
    #[serde(default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "std::collections::BTreeMap<String, ClusterName>"))]
    origins: SortedMap<String, ClusterName>,
}

/// Which metadata document the authorization server publishes.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(
    not(target_arch = "wasm32"),
    derive(schemars::JsonSchema, serde::Serialize),
    schemars(rename = "MetadataDocument")
)]
enum Document {
    /// OpenID Connect Discovery 1.0 §4: behind the issuer's path.
    #[default]
    OpenidConfiguration,
    /// RFC 8414 §3.1: before the issuer's path.
    OauthAuthorizationServer,
}

impl TryFrom<String> for ClusterName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        if name.is_empty() {
            Err("the name of the cluster is empty")
        } else if https_url::redacted(&name) != name {
            Err("this is a URL with a user in it, and no name of a cluster")
        } else {
            Ok(Self(name))
        }
    }
}

impl TryFrom<String> for HttpUri {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("{:?} is no absolute URI of https or http", https_url::shown(&text)))
    }
}

impl HttpUri {
    /// Scheme and host in lower case; no user information, no fragment, nothing but visible ASCII.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            _ => return None,
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end)?;
        let visible = |text: &str| text.bytes().all(|byte| matches!(byte, 0x21..=0x7e) && byte != b'#');
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let has_no_user = https_url::redacted(text) == text;
        (!authority.is_empty() && has_no_user && !authority.contains('\\') && visible(authority) && visible(&path))
            .then(|| Self { scheme, authority: authority.to_ascii_lowercase(), path })
    }

    /// Scheme and authority (RFC 6454 §4), without the port that the scheme has anyway.
    pub(crate) fn origin(&self) -> String {
        let (scheme, port) = match self.scheme {
            Scheme::Https => ("https", ":443"),
            Scheme::Http => ("http", ":80"),
        };
        format!("{scheme}://{}", self.authority.strip_suffix(port).unwrap_or(&self.authority))
    }

    /// The origin that a text is, if it is one of https and nothing more.
    pub(crate) fn https_origin(text: &str) -> Result<String, String> {
        let uri = Self::parse(text).filter(|uri| uri.scheme == Scheme::Https && uri.path == "/");
        uri.map(|uri| uri.origin()).ok_or_else(|| format!("{:?} is no origin of https", https_url::shown(text)))
    }

    /// A call of it through this cluster.
    pub(in crate::resource_server) fn call(
        &self,
        method: &'static str,
        cluster: &ClusterName,
        timeout: Timeout,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    ) -> Call {
        Call {
            cluster: cluster.0.clone(),
            method,
            authority: self.authority.clone(),
            path: self.path.clone(),
            headers,
            body,
            timeout: Duration::from_secs(timeout.0),
        }
    }

    /// How it is told.
    pub(in crate::resource_server) fn shown(&self) -> String {
        format!("{}{}", self.origin(), self.path)
    }

    fn with_path(&self, path: String) -> Self {
        Self { path, ..self.clone() }
    }
}

impl KeySource {
    pub(super) fn jwks_uri(uri: HttpUri, cluster: ClusterName, limits: Limits) -> Self {
        Self { start: Start::KeySet { uri, cluster }, limits }
    }

    /// Where a client publishes its key set (RFC 7591 §2, `jwks_uri`).
    pub(crate) fn of_client(uri: HttpUri, cluster: ClusterName) -> Self {
        let limits =
            Limits { cool_down: CoolDown::default(), max_stale: MaxStale::default(), timeout: Timeout::default() };
        Self { start: Start::Client { uri, cluster }, limits }
    }

    pub(super) fn discovery(issuer: &str, discovery: Discovery, limits: Limits) -> Result<Self, String> {
        let Discovery { cluster, document, origins } = discovery;
        let uri = HttpUri::parse(issuer).filter(|uri| uri.scheme == Scheme::Https && !uri.path.contains('?'));
        let uri = uri.ok_or("discovery needs an issuer that is an https URI without a query")?;
        let behind = uri.path.strip_suffix('/').unwrap_or(&uri.path);
        let document = match document {
            Document::OpenidConfiguration => uri.with_path(format!("{behind}/.well-known/openid-configuration")),
            Document::OauthAuthorizationServer => {
                uri.with_path(format!("/.well-known/oauth-authorization-server{behind}"))
            }
        };
        let mut folded: SortedMap<_, _> = [(uri.origin(), cluster.clone())].into_iter().collect();
        for (origin, cluster) in origins {
            folded.insert(HttpUri::https_origin(&origin)?, cluster);
        }
        let start = Start::Discovery { issuer: issuer.to_owned(), document, cluster, origins: folded };
        Ok(Self { start, limits })
    }

    /// Two sources of one identity are one: their keys are fetched once in a process.
    #[must_use]
    pub fn identity(&self) -> String {
        let (what, uri, cluster) = match &self.start {
            Start::KeySet { uri, cluster } => ("jwks_uri", uri, cluster),
            Start::Discovery { document, cluster, .. } => ("discovery", document, cluster),
            Start::Client { uri, cluster } => ("client's jwks_uri", uri, cluster),
        };
        format!("{what} {} through {}", uri.shown(), cluster.0)
    }

    /// The clusters through which it may be fetched.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn clusters(&self) -> BTreeSet<&str> {
        match &self.start {
            Start::KeySet { cluster, .. } | Start::Client { cluster, .. } => BTreeSet::from([cluster.0.as_str()]),
            Start::Discovery { origins, .. } => origins.values().map(|cluster| cluster.0.as_str()).collect(),
        }
    }

    /// Milliseconds between two fetches that unknown keys cause.
    pub(super) fn cool_down(&self) -> u64 {
        self.limits.cool_down.0.saturating_mul(1000)
    }

    /// Whether keys are fetched only when a request needs them: those of clients, of which there are many.
    #[must_use]
    pub fn is_on_demand(&self) -> bool {
        matches!(self.start, Start::Client { .. })
    }

    /// Milliseconds for which keys serve on after a good fetch that called them fresh for so many seconds. A client's
    /// serve no longer than that: a certificate that it has withdrawn is no certificate of it.
    pub(super) fn serves_for(&self, max_age: u64) -> u64 {
        let seconds = if self.is_on_demand() { max_age } else { self.limits.max_stale.0 };
        seconds.saturating_mul(1000)
    }

    /// Milliseconds after which a whole fetch, of two documents at most, has failed.
    pub(super) fn longest_fetch(&self) -> u64 {
        self.limits.timeout.0.saturating_mul(2000).saturating_add(1000)
    }

    /// Milliseconds for which a request waits for keys.
    #[must_use]
    pub fn longest_wait(&self) -> u64 {
        self.longest_fetch()
    }

    /// The issuer that the first document must name, where it is a metadata document.
    pub(super) fn expected_issuer(&self) -> Option<&str> {
        match &self.start {
            Start::KeySet { .. } | Start::Client { .. } => None,
            Start::Discovery { issuer, .. } => Some(issuer),
        }
    }

    pub(super) fn first_call(&self) -> Call {
        match &self.start {
            Start::KeySet { uri, cluster } | Start::Client { uri, cluster } => self.call(uri, cluster),
            Start::Discovery { document, cluster, .. } => self.call(document, cluster),
        }
    }

    /// The call for the key set that a metadata document names, if it is where it may be.
    pub(super) fn call_for_key_set(&self, jwks_uri: &str) -> Option<Call> {
        let Start::Discovery { origins, .. } = &self.start else { return None };
        let uri = HttpUri::parse(jwks_uri).filter(|uri| uri.scheme == Scheme::Https)?;
        origins.get(&uri.origin()).map(|cluster| self.call(&uri, cluster))
    }

    fn call(&self, uri: &HttpUri, cluster: &ClusterName) -> Call {
        uri.call("GET", cluster, self.limits.timeout, vec![("accept", "application/json".to_owned())], Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_taken_apart() {
        let uri = HttpUri::parse("HTTPS://As.Example.com:443/a/b?c=d").unwrap();
        assert_eq!((uri.origin().as_str(), uri.path.as_str()), ("https://as.example.com", "/a/b?c=d"));
        assert_eq!(HttpUri::parse("http://as:8080").unwrap().origin(), "http://as:8080");
        for wrong in [
            "",
            "as.example.com",
            "ftp://as",
            "https://",
            "https:///x",
            "https://user@as/x",
            "https://as/#x",
            "https://as/ x",
            "https://as\\evil/x",
            "https://a\u{e9}s/",
        ] {
            assert_eq!(HttpUri::parse(wrong), None, "{wrong}");
        }
    }

    fn discovery(issuer: &str, text: &str) -> Result<KeySource, String> {
        let limits = Limits { cool_down: CoolDown(30), max_stale: MaxStale(60), timeout: Timeout(5) };
        KeySource::discovery(issuer, serde_json::from_str(text).unwrap(), limits)
    }

    #[test]
    fn the_metadata_document_is_where_its_specification_puts_it() {
        let path = |issuer, text| discovery(issuer, text).unwrap().first_call().path;
        let openid = r#"{"cluster":"as"}"#;
        let oauth = r#"{"cluster":"as","document":"oauth_authorization_server"}"#;
        assert_eq!(path("https://as", openid), "/.well-known/openid-configuration");
        assert_eq!(path("https://as/", openid), "/.well-known/openid-configuration");
        assert_eq!(path("https://as/tenant", openid), "/tenant/.well-known/openid-configuration");
        assert_eq!(path("https://as", oauth), "/.well-known/oauth-authorization-server");
        assert_eq!(path("https://as/tenant", oauth), "/.well-known/oauth-authorization-server/tenant");
        assert!(discovery("http://as", openid).is_err());
        assert!(discovery("as", openid).is_err());
    }

    #[test]
    fn the_key_set_must_be_at_the_issuers_origin_or_at_one_that_is_listed() {
        let source = discovery("https://as", r#"{"cluster":"as","origins":{"https://keys.example":"keys"}}"#).unwrap();
        assert_eq!(source.call_for_key_set("https://as:443/jwks").unwrap().cluster, "as");
        assert_eq!(source.call_for_key_set("https://KEYS.example/jwks").unwrap().cluster, "keys");
        for wrong in ["http://as/jwks", "https://as.evil/jwks", "https://as:8443/jwks", "https://as@evil/jwks", "/jwks"]
        {
            assert_eq!(source.call_for_key_set(wrong), None, "{wrong}");
        }
    }
}
