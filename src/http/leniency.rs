//! What lenient servers make of the name of a parameter. The server behind reads a request with another reader than this
//! filter: what one of many readers takes for something counts as that thing.

use crate::text::percent;

/// Whether some server takes a parameter of this name, as it stands encoded in a query or a form, for the one of this
/// known name, which is in lower case.
///
/// PHP reads `.`, a space and a `[` that nothing closes as `_`, ends a name at any other `[` and at a NUL, and drops spaces
/// before it. Rack 2 and qs drop brackets around it, and qs a dot before it where it is told to. ASP.NET and CFML do not
/// look at the case.
pub(crate) fn is_parameter(name: &[u8], known: &str) -> bool {
    // Every parameter of every query comes here. No reading is longer than what stands there, and a plain name has one.
    if name.len() < known.len() {
        return false;
    }
    if name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
        return name.eq_ignore_ascii_case(known.as_bytes());
    }
    let name: Vec<_> = percent::leniently_decoded(name).collect();
    let inside = name.split(|byte| matches!(byte, b'[' | b']')).find(|part| !part.is_empty());
    let is_known = |name: &[u8]| folded(name).trim_start_matches('.').replace([' ', '.', '['], "_") == known;
    is_known(&name) || inside.is_some_and(is_known)
}

/// A decoded text in lower case, up to a NUL, a `+` as a space, and without white space around it. A letter that has one of
/// ASCII for its capital or its small letter is that one, as in Java's and JavaScript's conversions.
fn folded(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let is_blank = |character: char| character <= ' ' || character.is_whitespace() || "+\u{feff}".contains(character);
    let text = text.trim_start_matches(is_blank).split('\0').next().unwrap_or_default().trim_end_matches(is_blank);
    let mut folded = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '+' => folded.push(' '),
            '\u{17f}' => folded.push('s'),
            '\u{df}' | '\u{1e9e}' => folded.push_str("ss"),
            '\u{130}' | '\u{131}' => folded.push('i'),
            '\u{212a}' => folded.push('k'),
            other => folded.push(other.to_ascii_lowercase()),
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_by_every_reading_and_no_other_is() {
        for name in [
            "access_token",
            "ACCESS.Token",
            "access%20token+",
            "%5baccess%u005ftoken]x",
            "access[token%00",
            "[access_token%00][",
            "acce%E1%BA%9E_token",
        ] {
            assert!(is_parameter(name.as_bytes(), "access_token"), "{name}");
        }
        for name in [
            "",
            "access_toke",
            "access__token",
            "_access_token",
            "access_token_",
            "access-token",
            "accesstoken!",
            "a[access_token]",
            "access[to]ken_of",
            "access%5ftoken%",
            "access%u015ftoken",
            "[ ]access_token",
        ] {
            assert!(!is_parameter(name.as_bytes(), "access_token"), "{name}");
        }
    }
}
