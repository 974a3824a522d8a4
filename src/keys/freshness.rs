// SPDX-License-Identifier: Apache-2.0

//! How long a response may be used, by its own headers (RFC 9111 §4.2).

use std::time::Duration;

/// For how long a response says that it is fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// It does not say.
    Unsaid,
    /// It is not fresh now: `no-cache`, `no-store`, `max-age=0`, or a `max-age` that cannot be read (RFC 9111 §4.2.1).
    Never,
    /// For so long from now; 0 if a cache in between has kept it for too long.
    For(Duration),
}

impl Freshness {
    /// Reads `Cache-Control` (RFC 9111 §5.2.2) and `Age` (§5.1). `s-maxage` is ignored, since it is for shared caches: this one
    /// is private.
    pub(crate) fn of(cache_control: Option<&[u8]>, age: Option<&[u8]>) -> Self {
        let mut said = Self::Unsaid;
        for directive in directives(cache_control.unwrap_or_default()) {
            let end = directive.iter().position(|byte| *byte == b'=').unwrap_or(directive.len());
            let (name, value) = directive.split_at_checked(end).unwrap_or_default();
            let name = name.trim_ascii();
            if name.eq_ignore_ascii_case(b"no-cache") || name.eq_ignore_ascii_case(b"no-store") {
                return Self::Never;
            }
            // The first of several counts (§4.2.1).
            if name.eq_ignore_ascii_case(b"max-age") && said == Self::Unsaid {
                let value = value.strip_prefix(b"=").unwrap_or_default().trim_ascii();
                let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
                said = match seconds(value) {
                    None | Some(Duration::ZERO) => Self::Never,
                    Some(lifetime) => Self::For(lifetime),
                };
            }
        }
        match said {
            Self::For(lifetime) => Self::For(lifetime.saturating_sub(age.and_then(seconds).unwrap_or_default())),
            said => said,
        }
    }
}

/// The directives of a list, in which a quoted string may have a comma.
fn directives(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    list.split(move |byte| {
        let is_literal = std::mem::take(&mut is_escaped);
        match *byte {
            b'\\' if is_quoted && !is_literal => is_escaped = true,
            b'"' if !is_literal => is_quoted = !is_quoted,
            _ => {}
        }
        *byte == b',' && !is_quoted
    })
}

/// `delta-seconds` (RFC 9111 §1.2.2). A number that overflows is taken for the largest.
fn seconds(text: &[u8]) -> Option<Duration> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let number = || std::str::from_utf8(text).ok()?.parse().ok();
    is_number.then(|| Duration::from_secs(number().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(cache_control: &str, age: &str) -> Freshness {
        let header = |text: &'static str| Some(text.as_bytes()).filter(|text| !text.is_empty());
        Freshness::of(header(cache_control.to_owned().leak()), header(age.to_owned().leak()))
    }

    #[test]
    fn cache_control_is_read_whole() {
        use Freshness::{Never, Unsaid};
        let lasting = |seconds| Freshness::For(Duration::from_secs(seconds));
        for (text, expected) in [
            ("", Unsaid),
            ("private", Unsaid),
            ("public, must-revalidate", Unsaid),
            ("s-maxage=5", Unsaid),
            ("max-age=60", lasting(60)),
            ("public, Max-Age=\"60\"", lasting(60)),
            ("  max-age = 60  ", lasting(60)),
            ("s-maxage=5, max-age=7", lasting(7)),
            ("max-age=7, max-age=5", lasting(7)),
            ("private=\"set-cookie, max-age=5\", max-age=7", lasting(7)),
            ("ext=\"a\\\", max-age=5\", max-age=7", lasting(7)),
            ("max-age=99999999999999999999", lasting(u64::MAX)),
            ("no-store", Never),
            ("NO-CACHE", Never),
            ("max-age=60, no-cache", Never),
            ("no-cache=\"set-cookie\"", Never),
            ("no-cache, must-revalidate, no-transform, no-store", Never),
            ("max-age=0", Never),
            ("max-age=x", Never),
            ("max-age=-1", Never),
            ("max-age", Never),
        ] {
            assert_eq!(of(text, ""), expected, "{text}");
        }
        assert_eq!(Freshness::of(Some(b"\xff"), None), Unsaid);
    }

    #[test]
    fn what_a_cache_between_has_kept_is_fresh_for_the_rest() {
        for (age, expected) in [("0", 60), ("20", 40), ("60", 0), ("61", 0), ("x", 60), ("-5", 60)] {
            assert_eq!(of("max-age=60", age), Freshness::For(Duration::from_secs(expected)), "{age}");
        }
        assert_eq!(of("", "20"), Freshness::Unsaid);
        assert_eq!(of("no-cache", "20"), Freshness::Never);
    }
}
