//! base64url as JOSE writes it (RFC 7515 §2), in its one canonical spelling.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The bytes, or `None` where the text has padding, white space, another alphabet, or bits behind the last byte:
/// two spellings of one token would be two tokens to whoever compares texts.
pub(crate) fn decode(text: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
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
}
