// SPDX-License-Identifier: Apache-2.0

//! Percent-encoding (RFC 3986 §2.1).

use std::fmt::Write;

use crate::text::hexadecimal;

/// Writes text byte by byte. A byte that is not `plain` becomes `%` and two hexadecimal digits.
pub(crate) fn encode(text: &str, encoded: &mut String, plain: impl Fn(u8) -> bool) {
    for byte in text.bytes() {
        if plain(byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
}

/// The bytes of `text`. `None` if a `%` is not followed by two hexadecimal digits.
pub(crate) fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        decoded.push(if byte == b'%' { hexadecimal::byte([*rest.next()?, *rest.next()?])? } else { byte });
    }
    Some(decoded)
}

/// The bytes of `text`. A `%` that is not followed by two hexadecimal digits stands for itself. As in .NET, `%u00` may stand
/// before the two.
pub(crate) fn leniently_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let encoded = match rest {
            [b'%', b'u', b'0', b'0', high, low, after @ ..] | [b'%', high, low, after @ ..] => {
                hexadecimal::byte([*high, *low]).map(|byte| (byte, after))
            }
            _ => None,
        };
        let (byte, after) = encoded.unwrap_or((*first, after));
        decoded.push(byte);
        rest = after;
    }
    decoded
}
