// SPDX-License-Identifier: Apache-2.0

//! The target of a request, its path or its host: whatever servers make of it, `routes` have taken it for the same, or
//! have refused it.

use std::sync::LazyLock;

use certbound::jose::signature::PortableEngine;
use certbound::time::UnixTime;
use certbound::{Policies, Reason, Request};

use super::keys;
use super::upstream::{Host, end};

const HOST: &str = "api.example.com";

/// By the name of its policy. Without a token each policy refuses, and says which one it is.
const ROUTES: &str = r#"[
    {"policy": "exact", "path": "/open/health"},
    {"policy": "deep", "hosts": ["api.example.com"], "path_prefix": "/a/b/c"},
    {"policy": "cafe", "path_prefix": "/café au lait"},
    {"policy": "below", "hosts": ["*.example.com"], "path_prefix": "/a"},
    {"policy": "open", "path_prefix": "/open"},
    {"policy": "rest", "hosts": ["*.example.com", "example.com"], "path_prefix": "/"}]"#;

static POLICIES: LazyLock<Policies> = LazyLock::new(|| {
    let api = keys::resource_server("required", "cnf");
    let named = ["exact", "deep", "cafe", "below", "open", "rest"].map(|name| format!(r#""{name}": {api}"#));
    Policies::load(format!(r#"{{"policies": {{{}}}, "routes": {ROUTES}}}"#, named.join(",")).as_bytes()).unwrap()
});

pub fn check(input: &[u8]) {
    for path in [input.to_vec(), [b"/", input].concat(), [b"/a/", input].concat()] {
        let came = came(HOST.as_bytes(), &path);
        if came != Err(Reason::TargetAmbiguous) {
            for segments in readings(&path) {
                assert_eq!(came, Ok(expected(HOST, &segments)), "{}", path.escape_ascii());
            }
        }
    }
    for host in [input.to_vec(), [input, b".example.com"].concat()] {
        let came = came(&host, b"/a/b/c");
        if came != Err(Reason::TargetAmbiguous) {
            let name = name(&host);
            let known = name == "example.com" || name.ends_with(".example.com");
            let expected = if known {
                Ok(expected(&name, &["a", "b", "c"].map(str::to_owned)))
            } else {
                Err(Reason::RouteUnknown)
            };
            assert_eq!(came, expected, "{}", host.escape_ascii());
        }
    }
}

/// The policy that refused for want of a token, or the reason for which none was chosen.
fn came(host: &[u8], path: &[u8]) -> Result<String, Reason> {
    let headers = [(":authority", host), (":path", path)];
    let request = Request { headers: &headers, route_metadata: None, peer_digest: None, now: UnixTime::EPOCH };
    let refusal = end(&POLICIES, &request, &PortableEngine, Host::default()).unwrap_err();
    match refusal.reason() {
        Reason::TokenMissing | Reason::TokenInQuery => Ok(refusal.policy().to_owned()),
        reason => Err(reason),
    }
}

/// What servers make of a path: one that decodes once, one that decodes as long as there is something to decode, one
/// that does not decode; each takes a backslash for a slash, or does not; and cuts parameters off, or does not.
fn readings(target: &[u8]) -> Vec<Vec<String>> {
    let path = target.split(|byte| *byte == b'?').next().unwrap();
    let once = decoded(path);
    let mut wholly = once.clone();
    while wholly != decoded(&wholly) {
        wholly = decoded(&wholly);
    }
    // One that takes segments apart before it decodes them (RFC 3986 §2.4), and knows dots that are not encoded alone.
    let mut found = vec![segments(path, b"/", true).iter().map(lossily_decoded).collect()];
    for decoded in [once, wholly] {
        for cut in [&b"\0#?"[..], b"\0", b""] {
            let end = decoded.iter().position(|byte| cut.contains(byte)).unwrap_or(decoded.len());
            for slashes in [&b"/\\"[..], b"/"] {
                for with_parameters in [true, false] {
                    found.push(segments(&decoded[..end], slashes, with_parameters));
                }
            }
        }
    }
    found
}

/// RFC 3986 §5.2.4, and no empty segment but the last.
fn segments(path: &[u8], slashes: &[u8], with_parameters: bool) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for segment in path.split(|byte| slashes.contains(byte)) {
        let end = segment.iter().position(|byte| *byte == b';' && !with_parameters).unwrap_or(segment.len());
        match &segment[..end] {
            b"" | b"." => {}
            b".." => drop(found.pop()),
            other => found.push(String::from_utf8_lossy(other).into_owned()),
        }
    }
    // A slash at the end: /open/health/ is below /open/health, and not the same.
    if path.ends_with(b"/") && !found.is_empty() {
        found.push(String::new());
    }
    found
}

fn lossily_decoded(segment: &String) -> String {
    String::from_utf8_lossy(&decoded(segment.as_bytes())).into_owned()
}

fn decoded(path: &[u8]) -> Vec<u8> {
    let mut found = Vec::new();
    let mut rest = path;
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| *first == b'%' && digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits {
            Some(digits) => {
                found.push(u8::from_str_radix(digits, 16).unwrap());
                rest = &after[2..];
            }
            None => {
                found.push(*first);
                rest = after;
            }
        }
    }
    found
}

/// The name that a server looks for: up to the first byte that no name has.
fn name(host: &[u8]) -> String {
    let end = host.iter().position(|byte| matches!(byte, b':' | b'/' | b'@' | b'\0')).unwrap_or(host.len());
    let name = String::from_utf8_lossy(&host[..end]).to_ascii_lowercase();
    name.trim_end_matches('.').to_owned()
}

/// The rows of `ROUTES`, for a host that is one of theirs.
fn expected(host: &str, segments: &[String]) -> String {
    let segments: Vec<_> = segments.iter().map(String::as_str).collect();
    let name = match segments.as_slice() {
        ["open", "health"] => "exact",
        ["a", "b", "c", ..] if host == HOST => "deep",
        ["café au lait", ..] => "cafe",
        ["a", ..] if host != "example.com" => "below",
        ["open", ..] => "open",
        _ => "rest",
    };
    name.to_owned()
}
