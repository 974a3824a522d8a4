// SPDX-License-Identifier: Apache-2.0

//! The path of a request, where there is one way to read it.
//!
//! A server may read a path otherwise than a proxy does: whatever servers decode, cut off, merge or resolve is an ambiguity.

use std::borrow::Cow;

use serde::Deserialize;

use crate::http::request::Request;
use crate::text::{hexadecimal, percent};

/// A path that is written in one way, every character as itself.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(!try_from))]
pub(crate) struct PlainPath(
    #[cfg_attr(
        not(target_arch = "wasm32"),
        schemars(regex(pattern = r"^(?!.*//)(?!.*/\.\.?(/|$))/[^\\;?#%\x00-\x1f\x7f-\x9f]*$"))
    )]
    pub(crate) String,
);

impl PlainPath {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a path or a host has more than one reading.
pub(crate) type Ambiguity = &'static str;

/// The path of a request, decoded and without its query.
pub(crate) fn path_of<'a>(request: &Request<'a>) -> Result<Cow<'a, str>, Ambiguity> {
    read(request.values(":path").next().ok_or("there is no path")?)
}

const DOTS: Ambiguity = "the path has a segment of dots";

/// Refuses a path with a segment that some server takes for `.` or `..`: one with parameters, which Envoy before 1.39.3 leaves as
/// it is, or one that is percent-encoded more than once, which every Envoy leaves. What else servers read in several ways may
/// be meant as it is written.
pub(crate) fn check_dots(request: &Request<'_>) -> Result<(), Ambiguity> {
    let target = request.values(":path").next().unwrap_or_default();
    if has_dots(target.split(|byte| *byte == b'?').next().unwrap_or_default()) { Err(DOTS) } else { Ok(()) }
}

// Not inlined: two call it.
#[inline(never)]
fn has_dots(path: &[u8]) -> bool {
    let mut rest = path;
    // How many dots a segment is so far, or more than two if it is anything else.
    let mut dots = 3_u8;
    while let [first, after @ ..] = rest {
        rest = after;
        let mut byte = *first;
        if byte == b'%' {
            // The percent sign may itself be encoded, any number of times.
            while let [b'2', b'5', after @ ..] = rest {
                rest = after;
            }
            if let [high, low, after @ ..] = rest
                && let Some(encoded) = hexadecimal::byte([*high, *low])
            {
                (byte, rest) = (encoded, after);
            }
        }
        if matches!((byte, dots), (b'/' | b'\\' | b';', 1 | 2)) {
            return true;
        }
        dots = match byte {
            b'/' | b'\\' => 0,
            b'.' => dots.saturating_add(1),
            _ => 3,
        };
    }
    matches!(dots, 1 | 2)
}

impl TryFrom<String> for PlainPath {
    type Error = String;

    fn try_from(path: String) -> Result<Self, String> {
        match check(&path) {
            Ok(()) => Ok(Self(path)),
            Err(why) => Err(format!(
                "this path can never match, since {why}; it is compared as it is, without escapes and patterns"
            )),
        }
    }
}

/// The path of a request target (RFC 9112 §3.2.1) without its query, decoded (RFC 3986 §2.1).
fn read(target: &[u8]) -> Result<Cow<'_, str>, Ambiguity> {
    let raw = target.split(|byte| *byte == b'?').next().unwrap_or_default();
    let raw = std::str::from_utf8(raw).ok().filter(|raw| raw.bytes().all(|byte| byte.is_ascii_graphic()));
    let raw = raw.ok_or("the path has a byte that must be percent-encoded")?;
    let path = decoded(raw)?;
    check(&path)?;
    Ok(path)
}

fn decoded(raw: &str) -> Result<Cow<'_, str>, Ambiguity> {
    if !raw.contains('%') {
        return Ok(Cow::Borrowed(raw));
    }
    let bytes = percent::decoded(raw.as_bytes()).ok_or("a percent sign is not followed by two digits")?;
    // Of what `check` lets pass, these two alone mean something else when they are not encoded.
    let count = |bytes: &[u8]| bytes.iter().filter(|byte| matches!(byte, b'/' | b'.')).count();
    if count(&bytes) != count(raw.as_bytes()) {
        return Err("the path has a slash or a dot that is percent-encoded");
    }
    // So no overlong form of a slash either.
    String::from_utf8(bytes).map(Cow::Owned).map_err(|_| "what is percent-encoded in the path is not UTF-8")
}

/// Whether every server takes a decoded path for the same one.
fn check(path: &str) -> Result<(), Ambiguity> {
    if !path.starts_with('/') {
        return Err("the path does not begin with a slash");
    }
    if path.contains("//") {
        return Err("the path has two slashes in a row");
    }
    if has_dots(path.as_bytes()) {
        return Err(DOTS);
    }
    // Windows takes the first for a slash; the second begins parameters, which some servers cut off; the next two end a
    // path; and the last is decoded again by whoever decodes twice.
    if path.contains(['\\', ';', '?', '#', '%']) {
        return Err("the path has one of \\ ; ? # %");
    }
    if path.contains(char::is_control) {
        return Err("the path has a control character");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixTime;

    fn dots(path: &str) -> Result<(), Ambiguity> {
        let headers = [(":path", path.as_bytes())];
        check_dots(&Request { headers: &headers, route_metadata: None, peer_digest: None, now: UnixTime::EPOCH })
    }

    #[test]
    fn a_segment_that_some_server_takes_for_dots_is_found() {
        for path in
            ["/a/..", "/a/../b", "/./b", "/a/..;/b", "/a/.;x=1/b", "/a/..;?b", "/a/..?b", "/a/%2e%2E/b", "/a/..%3b/b"]
        {
            assert_eq!(dots(path), Err(DOTS), "{path}");
        }
        for path in ["/a/%252e./b", "/a/%25252e%25252e", "/a\\..\\b", "/a%2f..%5cb", "/a/..%253b"] {
            assert_eq!(dots(path), Err(DOTS), "{path}");
        }
    }

    #[test]
    fn a_path_that_may_be_meant_as_it_is_written_has_no_dots() {
        for path in
            ["", "*", "/", "/a;b=c/d;e", "/a%3Bb", "/;..", "/a/...", "/.a/b..", "/%", "/%2", "/%zz", "/100%25", "//a"]
        {
            assert_eq!(dots(path), Ok(()), "{path}");
        }
        for path in ["/a%2fb", "/a%5cb", "/%ff", "/a?b=/../c", "/.well-known/a", "/a/%2e%2e%2e", "/%25%25%25"] {
            assert_eq!(dots(path), Ok(()), "{path}");
        }
    }
}
