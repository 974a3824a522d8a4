// SPDX-License-Identifier: Apache-2.0

//! Where keys are fetched.

#[cfg(not(target_arch = "wasm32"))]
use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;

use crate::collections::sorted_map::SortedMap;
use crate::config::seconds::{CoolDown, DefaultAge, MaxAge, MaxStale, Timeout};
use crate::http::call::Call;
use crate::jose::fingerprint::fingerprint;
use crate::keys::freshness::Freshness;
use crate::text::https_url;

/// An issuer's keys are not fetched again sooner, unless a token's key is unknown or a fetch failed.
const LEAST_PAUSE: Duration = Duration::from_secs(60);

/// A client's keys are kept at least so long, whatever the response says.
const LEAST_AGE_OF_CLIENTS: Duration = Duration::from_secs(10);

/// A client's keys are fresh so long if the response does not say.
const DEFAULT_AGE_OF_CLIENTS: Duration = Duration::from_secs(300);

/// Where keys are fetched, and within which limits.
#[derive(Clone, Debug)]
pub struct KeySource {
    id: SourceId,
    start: Start,
    limits: Limits,
}

/// Identifies a source: the SHA-256 of everything that decides which keys are fetched. The limits are not part of it, so two
/// policies with the same source share its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceId([u8; 32]);

impl PartialEq for KeySource {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.limits == other.limits
    }
}

impl Eq for KeySource {}

impl SourceId {
    /// The digest itself.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

#[derive(Clone, Debug)]
enum Start {
    KeySet { uri: HttpUri, cluster: ClusterName },
    Discovery { issuer: String, document: HttpUri, cluster: ClusterName, origins: SortedMap<String, ClusterName> },
    Client { uri: HttpUri, cluster: ClusterName },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) cool_down: CoolDown,
    pub(crate) default_age: DefaultAge,
    pub(crate) max_age: MaxAge,
    pub(crate) max_stale: MaxStale,
    pub(crate) timeout: Timeout,
}

impl Limits {
    fn joined(self, other: Self) -> Self {
        Self {
            cool_down: self.cool_down.min(other.cool_down),
            default_age: self.default_age.min(other.default_age),
            max_age: self.max_age.min(other.max_age),
            max_stale: self.max_stale.min(other.max_stale),
            timeout: self.timeout.max(other.timeout),
        }
    }
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

/// Its form in the schema.
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
pub(crate) struct ClusterName(#[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1)))] pub(crate) String);

/// `discovery: { cluster: NAME }`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub(crate) struct Discovery {
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
    /// Parses a URI without user information and fragment, in visible ASCII. Scheme and host become lower case.
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

    /// Scheme and authority (RFC 6454 §4), without the scheme's default port.
    pub(crate) fn origin(&self) -> String {
        let (scheme, port) = match self.scheme {
            Scheme::Https => ("https", ":443"),
            Scheme::Http => ("http", ":80"),
        };
        format!("{scheme}://{}", self.authority.strip_suffix(port).unwrap_or(&self.authority))
    }

    /// Parses an https origin: a URI without a path.
    pub(crate) fn https_origin(text: &str) -> Result<String, String> {
        let uri = Self::parse(text).filter(|uri| uri.scheme == Scheme::Https && uri.path == "/");
        uri.map(|uri| uri.origin()).ok_or_else(|| format!("{:?} is no origin of https", https_url::shown(text)))
    }

    /// A call to this URI through a cluster, still without headers and body.
    pub(crate) fn call(&self, method: &'static str, cluster: &ClusterName, timeout: Timeout) -> Call {
        Call {
            cluster: cluster.0.clone(),
            method,
            authority: self.authority.clone(),
            path: self.path.clone(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: timeout.duration(),
        }
    }

    /// Its form in messages.
    pub(crate) fn shown(&self) -> String {
        format!("{}{}", self.origin(), self.path)
    }

    fn with_path(&self, path: String) -> Self {
        Self { path, ..self.clone() }
    }
}

impl Start {
    /// The identity. The order of the parts must never change.
    fn id(&self) -> SourceId {
        let (kind, uri, cluster) = self.kind();
        let place = uri.shown();
        let mut parts = vec![kind, &place, &cluster.0];
        if let Self::Discovery { issuer, origins, .. } = self {
            parts.push(issuer);
            parts.extend(origins.iter().flat_map(|(origin, cluster)| [origin.as_str(), cluster.0.as_str()]));
        }
        SourceId(fingerprint(parts.into_iter().map(str::as_bytes)))
    }

    /// Its kind, its first URI, and the cluster of that.
    fn kind(&self) -> (&'static str, &HttpUri, &ClusterName) {
        match self {
            Self::KeySet { uri, cluster } => ("jwks_uri", uri, cluster),
            Self::Discovery { document, cluster, .. } => ("discovery", document, cluster),
            Self::Client { uri, cluster } => ("client's jwks_uri", uri, cluster),
        }
    }
}

impl KeySource {
    fn new(start: Start, limits: Limits) -> Self {
        Self { id: start.id(), start, limits }
    }

    pub(crate) fn jwks_uri(uri: HttpUri, cluster: ClusterName, limits: Limits) -> Self {
        Self::new(Start::KeySet { uri, cluster }, limits)
    }

    /// Where a client publishes its key set (RFC 7591 §2, `jwks_uri`).
    pub(crate) fn of_client(uri: HttpUri, cluster: ClusterName) -> Self {
        Self::new(Start::Client { uri, cluster }, Limits::default())
    }

    pub(crate) fn discovery(issuer: &str, discovery: Discovery, limits: Limits) -> Result<Self, String> {
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
        Ok(Self::new(start, limits))
    }

    /// Its identity. The keys of sources with the same identity are fetched once in a process.
    #[must_use]
    pub fn id(&self) -> &SourceId {
        &self.id
    }

    /// Where it is, for messages.
    #[must_use]
    pub fn place(&self) -> String {
        let (kind, uri, cluster) = self.start.kind();
        format!("{kind} {} through {}", uri.shown(), cluster.0)
    }

    /// The clusters through which it may be fetched.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn clusters(&self) -> BTreeSet<&str> {
        match &self.start {
            Start::KeySet { cluster, .. } | Start::Client { cluster, .. } => BTreeSet::from([cluster.0.as_str()]),
            Start::Discovery { origins, .. } => origins.values().map(|cluster| cluster.0.as_str()).collect(),
        }
    }

    /// After how long unknown keys may cause one more fetch.
    pub(crate) fn cool_down(&self) -> Duration {
        self.limits.cool_down.duration()
    }

    /// Whether the keys are fetched only when a request needs them. Those of clients are, since there may be many clients.
    #[must_use]
    pub fn is_on_demand(&self) -> bool {
        matches!(self.start, Start::Client { .. })
    }

    /// For how long keys are fresh, by what their response says. `no-cache` and the like are ignored for an issuer's
    /// keys, since authorization servers write them into every response. For a client's keys the response decides, within
    /// limits.
    pub(crate) fn lifetime(&self, said: Freshness) -> Duration {
        let max_age = self.limits.max_age.duration();
        if self.is_on_demand() {
            match said {
                Freshness::For(lifetime) => lifetime.clamp(LEAST_AGE_OF_CLIENTS, max_age),
                Freshness::Never => LEAST_AGE_OF_CLIENTS,
                Freshness::Unsaid => DEFAULT_AGE_OF_CLIENTS,
            }
        } else {
            let lifetime = match said {
                Freshness::For(lifetime) => lifetime,
                Freshness::Never | Freshness::Unsaid => self.limits.default_age.duration(),
            };
            lifetime.min(max_age)
        }
    }

    /// From a fetch that succeeded to the next: three quarters of the time for which the keys are fresh, so that no
    /// request has to wait for it. If an issuer has withdrawn all its keys, the next fetch is soon.
    pub(crate) fn pause(&self, lifetime: Duration, is_withdrawn: bool) -> Duration {
        match (self.is_on_demand(), is_withdrawn) {
            (true, _) => three_quarters(lifetime),
            (false, true) => LEAST_PAUSE,
            (false, false) => self.pause_of_issuer(lifetime),
        }
    }

    /// The longest of these pauses.
    pub(crate) fn longest_pause(&self) -> Duration {
        if self.is_on_demand() { Duration::MAX } else { self.pause_of_issuer(self.limits.max_age.duration()) }
    }

    /// At least a minute, unless the keys may be used for less.
    fn pause_of_issuer(&self, lifetime: Duration) -> Duration {
        three_quarters(lifetime).max(LEAST_PAUSE).min(three_quarters(self.limits.max_stale.duration()))
    }

    /// The sources of several policies, each once. The strictest limits of its policies apply, and the longest timeout.
    pub(crate) fn joined<'s>(sources: impl Iterator<Item = &'s Self>) -> Vec<Self> {
        let mut joined: Vec<Self> = Vec::new();
        for source in sources {
            match joined.iter_mut().find(|own| own.id == source.id) {
                Some(own) => own.limits = own.limits.joined(source.limits),
                None => joined.push(source.clone()),
            }
        }
        joined
    }

    /// How long keys may be used after a fetch that succeeded. `lifetime`: how long they are fresh. A
    /// client's keys may not be used for longer, since it may have withdrawn a certificate.
    pub(crate) fn serves_for(&self, lifetime: Duration) -> Duration {
        if self.is_on_demand() { lifetime } else { self.limits.max_stale.duration() }
    }

    /// After how long a whole fetch, of at most two documents, has failed.
    pub(crate) fn longest_fetch(&self) -> Duration {
        self.limits.timeout.duration().saturating_mul(2).saturating_add(Duration::from_secs(1))
    }

    /// How long a request waits for keys.
    #[must_use]
    pub fn longest_wait(&self) -> Duration {
        self.longest_fetch()
    }

    /// The issuer that the first document must name, if it is a metadata document.
    pub(crate) fn expected_issuer(&self) -> Option<&str> {
        match &self.start {
            Start::KeySet { .. } | Start::Client { .. } => None,
            Start::Discovery { issuer, .. } => Some(issuer),
        }
    }

    pub(crate) fn first_call(&self) -> Call {
        match &self.start {
            Start::KeySet { uri, cluster } | Start::Client { uri, cluster } => self.call(uri, cluster),
            Start::Discovery { document, cluster, .. } => self.call(document, cluster),
        }
    }

    /// The call for the key set that a metadata document names, if its origin is allowed.
    pub(crate) fn call_for_key_set(&self, jwks_uri: &str) -> Option<Call> {
        let Start::Discovery { origins, .. } = &self.start else { return None };
        let uri = HttpUri::parse(jwks_uri).filter(|uri| uri.scheme == Scheme::Https)?;
        origins.get(&uri.origin()).map(|cluster| self.call(&uri, cluster))
    }

    fn call(&self, uri: &HttpUri, cluster: &ClusterName) -> Call {
        let headers = vec![("accept", "application/json".to_owned())];
        Call { headers, ..uri.call("GET", cluster, self.limits.timeout) }
    }
}

fn three_quarters(length: Duration) -> Duration {
    length.saturating_mul(3).checked_div(4).unwrap_or_default()
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
        KeySource::discovery(issuer, serde_json::from_str(text).unwrap(), Limits::default())
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

    #[test]
    fn sources_are_one_where_the_same_is_asked_of_the_same() {
        let id = |issuer: &str, text: &str| *discovery(issuer, text).unwrap().id();
        let plain = r#"{"cluster":"as"}"#;
        let with_origin =
            |origin: &str, cluster: &str| format!(r#"{{"cluster":"as","origins":{{"{origin}":"{cluster}"}}}}"#);
        assert_eq!(id("https://as", plain), id("https://as", plain));
        // The document is at one place, and must name another issuer.
        assert_ne!(id("https://as", plain), id("https://as/", plain));
        assert_ne!(id("https://as", plain), id("https://as", r#"{"cluster":"other"}"#));
        let origin = id("https://as", &with_origin("https://keys", "keys"));
        for other in [("https://keys", "other"), ("https://other", "keys")] {
            assert_ne!(origin, id("https://as", &with_origin(other.0, other.1)));
        }
        assert_ne!(origin, id("https://as", plain));
        assert_eq!(origin, id("https://as", &with_origin("https://KEYS:443", "keys")));
        let uri = |text: &str| HttpUri::parse(text).unwrap();
        let cluster = || ClusterName("as".to_owned());
        let slow = Limits { cool_down: CoolDown::try_from(3600).unwrap(), ..Limits::default() };
        let jwks_uri = KeySource::jwks_uri(uri("https://as/jwks"), cluster(), Limits::default());
        assert_eq!(jwks_uri.id(), KeySource::jwks_uri(uri("https://AS/jwks"), cluster(), slow).id());
        assert_ne!(jwks_uri.id(), KeySource::of_client(uri("https://as/jwks"), cluster()).id());
    }

    #[test]
    fn an_issuers_keys_are_fresh_for_a_while_whatever_it_says_and_a_clients_for_as_long_as_it_says() {
        let issuer = discovery("https://as", r#"{"cluster":"as"}"#).unwrap();
        let client = KeySource::of_client(HttpUri::parse("https://client").unwrap(), ClusterName("client".to_owned()));
        let seconds = Duration::from_secs;
        for (said, of_issuer, pause, of_client) in [
            (Freshness::Unsaid, 600, 450, 300),
            (Freshness::Never, 600, 450, 10),
            (Freshness::For(seconds(0)), 0, 60, 10),
            (Freshness::For(seconds(61)), 61, 60, 61),
            (Freshness::For(seconds(3600)), 3600, 2700, 3600),
            (Freshness::For(seconds(u64::MAX)), 86_400, 64_800, 86_400),
        ] {
            assert_eq!(issuer.lifetime(said), seconds(of_issuer), "{said:?}");
            assert_eq!(issuer.pause(seconds(of_issuer), false), seconds(pause), "{said:?}");
            assert_eq!(client.lifetime(said), seconds(of_client), "{said:?}");
            assert_eq!(client.pause(seconds(of_client), false), seconds(of_client) * 3 / 4);
        }
        assert_eq!(issuer.pause(seconds(86_400), true), seconds(60));
    }
}
