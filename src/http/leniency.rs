// SPDX-License-Identifier: Apache-2.0

//! What lenient servers make of the name of a parameter, and of a client's identifier. The server behind reads a request with
//! another reader than this filter: what one of many readers takes for something counts as that thing.

use crate::text::percent::leniently_decoded;

/// What servers may take an identifier for: it itself, or what comes of decoding it once more, or once again. They may pass
/// over its case and over white space at its ends, and read a `+` as a space.
pub(crate) fn readings(identifier: &str) -> Vec<Vec<u8>> {
    let mut readings = Vec::with_capacity(3);
    let mut text = identifier.as_bytes().to_vec();
    for _ in 0..3 {
        readings.push(folded(&text));
        text = leniently_decoded(&text);
    }
    readings
}

/// Whether some server takes a parameter of this name, as it stands encoded in a query or a form, for the one of this
/// known name, which is in lower case.
///
/// PHP reads `.`, a space and a `[` that nothing closes as `_`, ends a name at any other `[` and at a NUL, and drops spaces
/// before it. Rack 2 and qs drop brackets around it, and qs a dot before it where it is told to. ASP.NET and CFML do not
/// look at the case. WHATWG's URLSearchParams drops a `?` at the beginning of a form, and npm's query-string a `#` too.
pub(crate) fn is_parameter(name: &[u8], known: &str) -> bool {
    let begin = name.iter().position(|byte| !matches!(byte, b'?' | b'#')).unwrap_or(name.len());
    let name = name.get(begin..).unwrap_or_default();
    // Every parameter of every query comes here. No reading is longer than what stands there, and a plain name has one.
    if name.len() < known.len() {
        return false;
    }
    if name.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
        return name.eq_ignore_ascii_case(known.as_bytes());
    }
    let name = leniently_decoded(name);
    let inside = name.split(|byte| matches!(byte, b'[' | b']')).find(|part| !part.is_empty()).unwrap_or_default();
    let underscore = |byte: u8| if matches!(byte, b' ' | b'.' | b'[') { b'_' } else { byte };
    [inside, &name]
        .into_iter()
        .any(|name| folded(name).into_iter().skip_while(|byte| *byte == b'.').map(underscore).eq(known.bytes()))
}

/// A decoded text in lower case, up to a NUL, a `+` as a space, and without white space at its ends, nor anything else there
/// that is not ASCII. A letter that has one of ASCII for its capital or its small letter is that one, as it is to Java.
fn folded(text: &[u8]) -> Vec<u8> {
    let mut folded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let (letters, after): (&[u8], _) = match rest {
            // U+017F, U+00DF and U+1E9E, U+0130 and U+0131, U+212A.
            [0xc5, 0xbf, after @ ..] => (b"s", after),
            [0xc3, 0x9f, after @ ..] | [0xe1, 0xba, 0x9e, after @ ..] => (b"ss", after),
            [0xc4, 0xb0 | 0xb1, after @ ..] => (b"i", after),
            [0xe2, 0x84, 0xaa, after @ ..] => (b"k", after),
            [b'+', after @ ..] => (b" ", after),
            _ => (std::slice::from_ref(first), after),
        };
        folded.extend_from_slice(letters);
        rest = after;
    }
    let is_blank = |byte: &&u8| !matches!(byte, b'!'..=b'~');
    let blanks = folded.iter().take_while(is_blank).count();
    let begun = folded.get(blanks..).unwrap_or_default();
    let begun = begun.split(|byte| *byte == 0).next().unwrap_or_default();
    let blanks = begun.iter().rev().take_while(is_blank).count();
    begun.get(..begun.len().saturating_sub(blanks)).unwrap_or_default().to_ascii_lowercase()
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
            "?access_token",
            "#?access.token",
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

    #[test]
    fn an_identifier_is_read_decoded_up_to_twice_and_without_case_and_white_space() {
        for (identifier, expected) in [
            ("Bank", ["bank", "bank", "bank"]),
            (" a+B ", ["a b", "a b", "a b"]),
            ("%2542", ["%2542", "%42", "b"]),
            ("b%C2%A0%00x", ["b%c2%a0%00x", "b", "b"]),
            ("%", ["%", "%", "%"]),
            ("", ["", "", ""]),
        ] {
            assert_eq!(readings(identifier), expected.map(|text| text.as_bytes().to_vec()), "{identifier}");
        }
    }
}
