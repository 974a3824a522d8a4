// SPDX-License-Identifier: Apache-2.0

//! base64url in the one canonical form of JOSE (RFC 7515 §2).

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD, URL_SAFE_NO_PAD};

/// The bytes. `None` if the text has padding, white space, another alphabet, or bits after the last byte: two spellings of one
/// token would be two tokens to whoever compares texts.
pub(crate) fn decode(text: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

const LENIENT: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, NO_PAD.with_decode_allow_trailing_bits(true));

/// The bytes as the most lenient reader decodes them. It takes both alphabets (RFC 4648 §4, §5) and bits after the last byte,
/// and it skips every other character, such as padding and line ends.
pub(crate) fn leniently_decoded(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'+' => Some(b'-'),
        b'/' => Some(b'_'),
        other => Some(other).filter(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')),
    };
    let mut digits: Vec<_> = text.bytes().filter_map(digit).collect();
    // One character alone encodes no byte.
    if digits.len() % 4 == 1 {
        digits.pop();
    }
    LENIENT.decode(digits).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_canonical_spelling_is_read() {
        assert_eq!(decode("_-8"), Some(vec![0xff, 0xef]));
        for wrong in ["_-8=", "_-9", "/+8", "_-8 ", "_-8\n", "_", "_-8*"] {
            assert_eq!(decode(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn every_spelling_is_read_leniently() {
        for text in ["_-8", "/+8=", "_ -\r\n8", "_-9", "_!-\u{e9}8==x", "_-8x"] {
            assert_eq!(leniently_decoded(text).first_chunk(), Some(&[0xff, 0xef]), "{text:?}");
        }
        assert!(leniently_decoded("x").is_empty());
    }
}
