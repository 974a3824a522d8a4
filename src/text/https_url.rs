// SPDX-License-Identifier: Apache-2.0

//! The https URLs that a configuration names.

use std::borrow::Cow;

/// An operator's text, for people. Where a URL in it has user information (RFC 3986 §3.2.1), or something that may be meant as
/// such, `***` replaces it, since it may be a password.
pub(crate) fn redacted(text: &str) -> Cow<'_, str> {
    let places = text.as_bytes().windows(2).enumerate().filter(|(_, pair)| *pair == b"//").map(|(place, _)| place);
    let mut parts = places.filter_map(|place| text.split_at_checked(place.saturating_add(2)));
    let found = parts.find(|(_, rest)| may_have_user(rest.as_bytes()));
    // It ends at the last `@`: a password may contain one.
    match found.and_then(|(before, rest)| Some((before, rest.rsplit_once('@')?.1))) {
        Some((before, host)) => Cow::Owned([before, "***@", host].concat()),
        None => Cow::Borrowed(text),
    }
}

/// Whether user information stands before the host. The beginning of a password with one of `/?#` in it, at the place of the
/// port, counts too.
fn may_have_user(rest: &[u8]) -> bool {
    let mut is_port = false;
    let mut is_odd = false;
    for byte in rest.iter().skip_while(|byte| **byte == b'/') {
        match byte {
            b'/' | b'?' | b'#' => break,
            b'@' => return true,
            b':' => (is_port, is_odd) = (true, false),
            // The port follows an IPv6 address.
            b']' => (is_port, is_odd) = (false, false),
            b'0'..=b'9' => {}
            _ => is_odd |= is_port,
        }
    }
    is_odd
}

/// The same for a text that should be a URL, and may lack its beginning: everything before `//` must be a scheme.
pub(crate) fn shown(url: &str) -> Cow<'_, str> {
    let scheme = url.split_once("//").and_then(|(before, _)| before.strip_suffix(':')).unwrap_or_default();
    let has_scheme = !scheme.is_empty() && scheme.bytes().all(is_of_scheme);
    match url.rsplit_once('@') {
        Some((user, host)) if !has_scheme && !user.is_empty() => Cow::Owned(["***@", host].concat()),
        _ => redacted(url),
    }
}

/// RFC 3986 §3.1.
fn is_of_scheme(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

/// Host and port, and the path, of `https://host:port/path`; port and path may be missing. `None` for anything else. The caller
/// decides which characters a path may have.
pub(crate) fn parts(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("https://")?;
    let (authority, path) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len()))?;
    let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
    let is_right = !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
        && (1..=5).contains(&port.len())
        && port.bytes().all(|byte| byte.is_ascii_digit());
    is_right.then_some((authority, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_user_information() {
        for (text, expected) in [
            ("https://user:secret@host/a?b", "https://***@host/a?b"),
            ("https://secret@host", "https://***@host"),
            ("https://user:sec@ret@host", "https://***@host"),
            ("https://user:sec/ret?@host", "https://***@host"),
            ("https:///user:secret@host", "https://***@host"),
            ("at https://a and \"https://u:secret@host/\"", "at https://a and \"https://***@host/\""),
        ] {
            assert_eq!(redacted(text), expected);
        }
        for text in [
            "",
            "https://host",
            "https://host:8443/a@b",
            "https://[::1]:80/a@b",
            "https://[fe80::1]/",
            "mailto:a@b",
            "//",
            "https://a for b",
        ] {
            assert_eq!(redacted(text), text);
        }
        for text in [
            "user:secret@host/",
            "https:\\\\user:secret@host/",
            "user:sec//ret@host/",
            "user:secret//x@host/",
            "https:/user:secret@host/",
            "//user:secret@host/",
        ] {
            assert_eq!(shown(text), "***@host/", "{text}");
        }
        assert_eq!(shown("user:secret@host//a"), "***@host//a");
        assert_eq!(shown("https:/user:secret@host//a"), "***@host//a");
        assert_eq!(shown("user:secret@host/a?b=https://c"), "***@host/a?b=https://c");
        assert_eq!(shown("https://user:secret@host//a"), "https://***@host//a");
        for text in ["https://host/a@b", "@type", "host//a"] {
            assert_eq!(shown(text), text);
        }
    }
}
