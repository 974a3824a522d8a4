// SPDX-License-Identifier: Apache-2.0

//! `routes` of the configuration: host and path of a request choose its policy, where the platform cannot write route
//! metadata.
//!
//! A server may read a path differently than a proxy does. So a path is matched only if there is one way to read it: whatever a
//! server may decode, cut off, merge or resolve is refused before.

#[cfg(not(target_arch = "wasm32"))]
use std::fmt;

use serde::Deserialize;

use crate::http::path::{Ambiguity, PlainPath, path_of};
use crate::http::request::{Request, folded};
use crate::outcome::refusal::Refusal;
use crate::policy::PolicyName;
use crate::reason::Reason;

/// Every request is compared with each of them.
const MOST: usize = 1000;

/// Routes in their order: the first one that matches decides.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Vec<Route>")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(!try_from))]
pub struct Routes(#[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1, max = MOST)))] Vec<Route>);

/// The requests for these hosts and paths have this policy.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Entry")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "Entry"))]
pub struct Route {
    policy: PolicyName,
    /// `None` for all of them.
    hosts: Option<Vec<HostPattern>>,
    path: PathPattern,
}

/// The requests for these hosts and paths have this policy: exactly one of `path` and `path_prefix`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "Route", transform = crate::config::shape::one_path))]
struct Entry {
    /// The name of the policy.
    policy: PolicyName,
    /// The hosts: a name, or `*.` and the end of names; default: every host.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1), example = ["api.example.com", "*.example.org"]))]
    hosts: Option<Vec<HostPattern>>,
    /// This path alone.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(example = &"/health"))]
    path: Option<PlainPath>,
    /// This path and all below it, whole segments; `/` is every path.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(extend("not" = { "pattern": "./$" }), example = &"/accounts"))]
    path_prefix: Option<PlainPath>,
}

/// A host in lower case, or `*.` and the end of its name, as in the Gateway API.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "HostPatternText"))]
enum HostPattern {
    Exactly(String),
    /// The end of the name with the dot, without the star. One or more labels must be before it.
    Ending(String),
}

/// Its form in the schema.
#[cfg(not(target_arch = "wasm32"))]
#[derive(schemars::JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "it is there for its schema")]
struct HostPatternText(#[schemars(regex(pattern = r"^(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?$"))] String);

#[derive(Debug, PartialEq, Eq)]
enum PathPattern {
    Exactly(String),
    /// The path itself and all below it, in whole segments. It has no slash at its end, so it is empty for `/`.
    Below(String),
}

impl TryFrom<Vec<Route>> for Routes {
    type Error = String;

    fn try_from(routes: Vec<Route>) -> Result<Self, String> {
        match routes.len() {
            0 => Err("there is no route".to_owned()),
            1..=MOST => Ok(Self(routes)),
            more => Err(format!("{more} routes are too many: at most {MOST}")),
        }
    }
}

impl TryFrom<Entry> for Route {
    type Error = &'static str;

    fn try_from(Entry { policy, hosts, path, path_prefix }: Entry) -> Result<Self, Self::Error> {
        if hosts.as_ref().is_some_and(Vec::is_empty) {
            return Err("`hosts` is empty: without it the route is for every host");
        }
        let path = match (path, path_prefix) {
            (Some(PlainPath(path)), None) => PathPattern::Exactly(path),
            (None, Some(PlainPath(path))) => match path.strip_suffix('/') {
                Some("") => PathPattern::Below(String::new()),
                Some(_) => return Err("a `path_prefix` has no slash at its end: /a is for /a and for all below it"),
                None => PathPattern::Below(path),
            },
            _ => return Err("a route has exactly one of `path` and `path_prefix`"),
        };
        Ok(Self { policy, hosts, path })
    }
}

impl TryFrom<String> for HostPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let name = text.strip_prefix("*.").unwrap_or(&text);
        let folded = folded(name);
        if !is_name(&folded) {
            return Err(format!("{text:?} is no host: a name without a port, or `*.` and the end of names, is"));
        }
        Ok(if name.len() == text.len() { Self::Exactly(folded) } else { Self::Ending(format!(".{folded}")) })
    }
}

impl Routes {
    /// The policy of the first route that matches.
    ///
    /// # Errors
    /// [`Reason::TargetAmbiguous`] where servers may differ about the host or the path of the request, and
    /// [`Reason::RouteUnknown`] where no route matches.
    pub(crate) fn policy_of(&self, request: &Request<'_>) -> Result<&PolicyName, Refusal> {
        let ambiguous = |why: Ambiguity| Refusal::because(Reason::TargetAmbiguous, why);
        let path = path_of(request).map_err(ambiguous)?;
        let host = if self.0.iter().any(|route| route.hosts.is_some()) {
            let host = request.host();
            if !(is_name(&host) || is_ipv6(&host)) {
                return Err(ambiguous("the host is neither a name nor an address"));
            }
            host
        } else {
            String::new()
        };
        let found = self.0.iter().find(|route| route.matches(&host, &path));
        found.map(|route| &route.policy).ok_or_else(|| Refusal::from(Reason::RouteUnknown))
    }

    /// The policies of the routes, in their order.
    pub(crate) fn policies(&self) -> impl Iterator<Item = &PolicyName> {
        self.0.iter().map(|route| &route.policy)
    }

    /// A sentence for each of them, in their order.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn sentences(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(Route::sentence)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The first route that no request can reach, and the earlier route that matches all its requests.
    pub(crate) fn unreachable(&self) -> Option<(usize, usize)> {
        self.0.iter().enumerate().find_map(|(index, route)| {
            let earlier = self.0.iter().take(index).position(|earlier| earlier.covers(route))?;
            Some((index, earlier))
        })
    }
}

impl Route {
    #[cfg(not(target_arch = "wasm32"))]
    fn sentence(&self) -> String {
        let hosts: Vec<_> = self.hosts.iter().flatten().map(HostPattern::to_string).collect();
        let hosts: Vec<_> = hosts.iter().map(String::as_str).collect();
        let hosts = if hosts.is_empty() { "any host".to_owned() } else { crate::text::list::listed(&hosts, "or") };
        let path = match &self.path {
            PathPattern::Exactly(path) => format!("{path} alone"),
            PathPattern::Below(path) if path.is_empty() => "any path".to_owned(),
            PathPattern::Below(path) => format!("{path} and all below it"),
        };
        format!("{hosts}, {path}: {}", self.policy)
    }

    fn matches(&self, host: &str, path: &str) -> bool {
        self.path.matches(path)
            && self.hosts.as_ref().is_none_or(|hosts| hosts.iter().any(|pattern| pattern.matches(host)))
    }

    /// Whether it matches every request that the other one matches.
    fn covers(&self, other: &Self) -> bool {
        self.path.covers(&other.path)
            && match (&self.hosts, &other.hosts) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(own), Some(others)) => others.iter().all(|other| own.iter().any(|own| own.covers(other))),
            }
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl fmt::Display for HostPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(name) => formatter.write_str(name),
            Self::Ending(end) => write!(formatter, "*{end}"),
        }
    }
}

impl HostPattern {
    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exactly(name) => host == name,
            Self::Ending(end) => host.len() > end.len() && host.ends_with(end.as_str()),
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match other {
            Self::Exactly(name) => self.matches(name),
            Self::Ending(end) => self == other || matches!(self, Self::Ending(_)) && self.matches(end),
        }
    }
}

impl PathPattern {
    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exactly(own) => path == own,
            Self::Below(own) => {
                path.strip_prefix(own.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }

    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exactly(own), Self::Exactly(other)) => own == other,
            (Self::Exactly(_), Self::Below(_)) => false,
            (Self::Below(_), Self::Exactly(other) | Self::Below(other)) => self.matches(other),
        }
    }
}

/// Labels of letters, digits, `-` and `_`, with dots between them; in lower case.
fn is_name(host: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    host.split('.').all(|label| !label.is_empty() && label.bytes().all(allowed))
}

/// Whether a host is an IPv6 address of an authority (RFC 3986 §3.2.2). No route can name one.
fn is_ipv6(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    address.is_some_and(|address| address.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixTime;

    fn routes(text: &str) -> Routes {
        serde_json::from_str(text).unwrap()
    }

    /// What comes of a request: the name of a policy or of a reason.
    fn policy(routes: &Routes, authority: &str, path: &str) -> String {
        let headers = [(":authority", authority), (":path", path)];
        let headers = headers.map(|(name, value)| (name, value.as_bytes()));
        let request = Request { headers: &headers, route_metadata: None, peer_digest: None, now: UnixTime::EPOCH };
        match routes.policy_of(&request) {
            Ok(name) => name.to_string(),
            Err(refusal) => refusal.reason().to_string(),
        }
    }

    #[test]
    fn the_first_route_that_matches_decides() {
        let routes = routes(
            r#"[{"policy": "exact", "path": "/a"}, {"policy": "below", "path_prefix": "/a"},
                {"policy": "deep", "path_prefix": "/b/c/d"}, {"policy": "rest", "path_prefix": "/"}]"#,
        );
        for (path, expected) in [
            ("/a", "exact"),
            ("/a?b=/../c;d#%", "exact"),
            ("/%61", "exact"),
            ("/a/", "below"),
            ("/a/b", "below"),
            ("/%61/%62", "below"),
            ("/ab", "rest"),
            ("/A", "rest"),
            ("/b/c/d", "deep"),
            ("/b/%63/d/e/", "deep"),
            ("/b/c/de", "rest"),
            ("/b", "rest"),
            ("/", "rest"),
            ("/...", "rest"),
            ("/.well-known/x..y", "rest"),
            ("/?", "rest"),
        ] {
            assert_eq!(policy(&routes, "h", path), expected, "{path}");
        }
    }

    #[test]
    fn what_no_route_is_for_is_refused() {
        let routes = routes(r#"[{"policy": "a", "path": "/a"}, {"policy": "b", "path_prefix": "/b", "hosts": ["b"]}]"#);
        assert_eq!(policy(&routes, "b", "/b"), "b");
        for (host, path) in [("b", "/"), ("b", "/a/"), ("b", "/c"), ("c", "/b"), ("b.b", "/b"), ("[::1]:80", "/b")] {
            assert_eq!(policy(&routes, host, path), "route_unknown", "{host}{path}");
        }
    }

    #[test]
    fn hosts_are_compared_without_port_case_and_one_trailing_dot() {
        let routes = routes(
            r#"[{"policy": "api", "hosts": ["api.Example.com", "10.0.0.1"], "path_prefix": "/"},
                {"policy": "below", "hosts": ["*.example.com."], "path_prefix": "/"},
                {"policy": "rest", "path_prefix": "/"}]"#,
        );
        for (host, expected) in [
            ("api.example.com", "api"),
            ("API.example.COM.:8443", "api"),
            ("10.0.0.1:80", "api"),
            ("www.example.com", "below"),
            ("a.b.example.com", "below"),
            ("example.com", "rest"),
            ("badexample.com", "rest"),
            ("api.example.com.evil.org", "rest"),
            ("[::1]:443", "rest"),
        ] {
            assert_eq!(policy(&routes, host, "/"), expected, "{host}");
        }
        for host in
            ["", ".", "api.example.com..", "api..example.com", ".example.com", "x@api.example.com", "api.example.com:x"]
        {
            assert_eq!(policy(&routes, host, "/"), "target_ambiguous", "{host}");
        }
        for host in ["api.example.com:1:1", "api%2eexample.com", "api.example.com/", "api.example.com,x", "äpi", " api"]
        {
            assert_eq!(policy(&routes, host, "/"), "target_ambiguous", "{host}");
        }
    }

    #[test]
    fn where_no_route_names_hosts_any_host_will_do() {
        assert_eq!(policy(&routes(r#"[{"policy": "a", "path": "/a"}]"#), "x@y..z", "/a"), "a");
    }

    #[test]
    fn a_path_with_more_than_one_reading_is_refused() {
        let routes = routes(r#"[{"policy": "all", "path_prefix": "/"}]"#);
        for path in [
            "",
            "a",
            "*",
            "http://h/a",
            "//",
            "//a",
            "/a//b",
            "/a//",
            "/.",
            "/..",
            "/./a",
            "/a/.",
            "/a/..",
            "/a/../b",
            "/a;b",
            "/a;b/c",
            "/..;/a",
            "/a\\b",
            "/a#b",
            "/a#?",
            "/a b",
            "/a\u{0}",
            "/a\u{7f}",
            "/a\tb",
            "/é",
            "/%",
            "/%4",
            "/%zz",
            "/%+1",
            "/% 1",
            "/%2",
            "/%2f",
            "/%2F",
            "/%5c",
            "/%5C",
            "/%00",
            "/%2e",
            "/a%2Ehtml",
            "/%2e%2e/a",
            "/%25",
            "/%252f",
            "/%3b",
            "/%3B",
            "/%23",
            "/%3f",
            "/%3F",
            "/%0a",
            "/%0D",
            "/%7f",
            "/%c0%af",
            "/%c0%ae",
            "/%e0%80%af",
            "/%ff",
            "/%C3",
            "/%ed%a0%80",
            "/%c2%85",
        ] {
            assert_eq!(policy(&routes, "h", path), "target_ambiguous", "{path:?}");
        }
    }

    #[test]
    fn what_ordinary_clients_encode_is_decoded_and_compared() {
        let routes = routes(r#"[{"policy": "cafe", "path_prefix": "/café au lait"}]"#);
        for path in ["/caf%C3%A9%20au%20lait", "/%63af%c3%a9%20au%20lait/1%2B1%3d2", "/caf%C3%A9%20au%20lait/%E2%82%AC"]
        {
            assert_eq!(policy(&routes, "h", path), "cafe", "{path}");
        }
    }

    #[test]
    fn a_route_that_cannot_be_meant_is_refused() {
        let refused = |text: &str| serde_json::from_str::<Routes>(text).unwrap_err().to_string();
        for (text, expected) in [
            ("[]", "there is no route"),
            (r#"[{"policy": "a"}]"#, "exactly one of `path` and `path_prefix`"),
            (r#"[{"policy": "a", "path": "/", "path_prefix": "/"}]"#, "exactly one of `path` and `path_prefix`"),
            (r#"[{"path": "/"}]"#, "policy"),
            (r#"[{"policy": "a", "path": "/", "hosts": []}]"#, "`hosts` is empty"),
            (r#"[{"policy": "a", "path": "/", "hosts": ["*"]}]"#, "is no host"),
            (r#"[{"policy": "a", "path": "/", "hosts": ["a.*"]}]"#, "is no host"),
            (r#"[{"policy": "a", "path": "/", "hosts": ["*.*.a"]}]"#, "is no host"),
            (r#"[{"policy": "a", "path": "/", "hosts": ["a:443"]}]"#, "is no host"),
            (r#"[{"policy": "a", "path": "/", "hosts": ["[::1]"]}]"#, "is no host"),
            (r#"[{"policy": "a", "path": "/", "hosts": ["https://a"]}]"#, "is no host"),
            (r#"[{"policy": "a", "path": "a"}]"#, "the path does not begin with a slash"),
            (r#"[{"policy": "a", "path": "/a//b"}]"#, "the path has two slashes in a row"),
            (r#"[{"policy": "a", "path_prefix": "/a/../b"}]"#, "the path has a segment of dots"),
            (r#"[{"policy": "a", "path": "/a%20b"}]"#, "the path has one of"),
            (r#"[{"policy": "a", "path": "/a?b"}]"#, "the path has one of"),
            (r#"[{"policy": "a", "path": "/a\n"}]"#, "the path has a control character"),
            (r#"[{"policy": "a", "path_prefix": "/a/"}]"#, "has no slash at its end"),
            (r#"[{"policy": "a", "path": "/", "host": ["a"]}]"#, "host"),
        ] {
            let message = refused(text);
            assert!(message.contains(expected), "{text}: {message}");
        }
        let many = |count: usize| format!("[{}]", vec![r#"{"policy": "a", "path": "/"}"#; count].join(","));
        assert!(refused(&many(1001)).contains("1001 routes are too many"));
        assert_eq!(routes(&many(1000)).count(), 1000);
    }

    #[test]
    fn a_route_behind_one_that_takes_all_its_requests_is_found() {
        for (earlier, later, covered) in [
            (r#""path_prefix": "/""#, r#""path": "/a""#, true),
            (r#""path_prefix": "/""#, r#""path_prefix": "/""#, true),
            (r#""path_prefix": "/a""#, r#""path_prefix": "/a/b", "hosts": ["h"]"#, true),
            (r#""path_prefix": "/a""#, r#""path": "/a""#, true),
            (r#""path_prefix": "/a""#, r#""path": "/ab""#, false),
            (r#""path_prefix": "/a""#, r#""path_prefix": "/""#, false),
            (r#""path": "/a""#, r#""path": "/a""#, true),
            (r#""path": "/a""#, r#""path_prefix": "/a""#, false),
            (r#""path": "/a", "hosts": ["h"]"#, r#""path": "/a""#, false),
            (r#""path": "/a", "hosts": ["h", "i"]"#, r#""path": "/a", "hosts": ["I."]"#, true),
            (r#""path": "/a", "hosts": ["h"]"#, r#""path": "/a", "hosts": ["h", "i"]"#, false),
            (r#""path": "/a", "hosts": ["*.h"]"#, r#""path": "/a", "hosts": ["i.h", "*.i.h", "*.h"]"#, true),
            (r#""path": "/a", "hosts": ["*.h"]"#, r#""path": "/a", "hosts": ["h"]"#, false),
            (r#""path": "/a", "hosts": ["i.h"]"#, r#""path": "/a", "hosts": ["*.h"]"#, false),
            (r#""path": "/a", "hosts": ["*.i.h"]"#, r#""path": "/a", "hosts": ["*.h"]"#, false),
        ] {
            let between = r#"{"policy": "p", "path": "/between"}"#;
            let text = format!(r#"[{between}, {{"policy": "p", {earlier}}}, {{"policy": "p", {later}}}]"#);
            assert_eq!(routes(&text).unreachable(), covered.then_some((2, 1)), "{text}");
        }
    }
}
