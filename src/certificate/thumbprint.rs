// SPDX-License-Identifier: Apache-2.0

//! The SHA-256 thumbprint of a certificate (RFC 8705 §3.1).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::text::hexadecimal;

/// The SHA-256 of a certificate's DER. Shown as `x5t#S256`: 43 characters of base64url without padding.
#[derive(Clone, Copy, Eq, Deserialize)]
#[serde(try_from = "String")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "ThumbprintText"))]
pub struct Thumbprint([u8; 32]);

/// Its form in the schema.
#[cfg(not(target_arch = "wasm32"))]
#[derive(schemars::JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "it is there for its schema")]
struct ThumbprintText(#[schemars(regex(pattern = r"^([A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]|[0-9A-Fa-f]{64})$"))] String);

/// The SHA-256 of no bytes: Caddy's fingerprint of a client without a certificate. No certificate has it.
const OF_NOTHING: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41,
    0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

impl From<[u8; 32]> for Thumbprint {
    fn from(digest: [u8; 32]) -> Self {
        Self(digest)
    }
}

impl Thumbprint {
    /// The thumbprint of these bytes.
    #[must_use]
    pub fn of_der(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }

    /// Reads an `x5t#S256` value. Only its canonical form is read: 43 characters of base64url, no padding, no white space, and
    /// no bits after the 256th. The values in figures 2 and 3 of RFC 8705 are not canonical. Neither here nor below is the
    /// digest of nothing read.
    #[must_use]
    pub fn from_x5t_s256(text: &str) -> Option<Self> {
        Self::of_something(base64url_digest(text.as_bytes())?)
    }

    /// Reads 64 hexadecimal digits of either case.
    #[must_use]
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        Self::of_something(hexadecimal_digest(text, 2)?)
    }

    fn of_something(digest: [u8; 32]) -> Option<Self> {
        (digest != OF_NOTHING).then_some(Self(digest))
    }

    /// Reads what a terminator writes: 64 hexadecimal digits, or pairs of them with colons between; 43 characters of
    /// base64url, or 44 of base64 with padding. No text has two of these forms. `Err` where it is the digest of nothing.
    pub(crate) fn from_terminator(text: &[u8], hexadecimal: bool) -> Option<Result<Self, OfNothing>> {
        let digest = match (hexadecimal, text.len()) {
            (true, 95) => hexadecimal_digest(text, 3)?,
            (true, _) => hexadecimal_digest(text, 2)?,
            (false, 44) => STANDARD.decode(text).ok()?.try_into().ok()?,
            (false, _) => base64url_digest(text)?,
        };
        Some(Self::of_something(digest).ok_or(OfNothing))
    }
    /// The 256 bits.
    #[must_use]
    pub fn bytes(&self) -> [u8; 32] {
        self.0
    }

    /// The `x5t#S256`: 43 characters of base64url without padding.
    #[must_use]
    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// 64 lower-case hexadecimal digits, as Envoy writes it.
    #[must_use]
    pub fn hex(&self) -> String {
        hexadecimal::encoded(&self.0)
    }
}

impl TryFrom<String> for Thumbprint {
    type Error = &'static str;

    /// A thumbprint as an operator has it: `x5t#S256`, or the hexadecimal digits of a fingerprint.
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::from_x5t_s256(&text).or_else(|| Self::from_hex(text.as_bytes())).ok_or(
            "a thumbprint is 43 characters of base64url (x5t#S256) or 64 hexadecimal digits, of the SHA-256 of the DER",
        )
    }
}

/// A digest of which there is no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OfNothing;

/// The digest in 32 pairs of digits, each of which takes `step` characters: with a colon behind it where there are three.
fn hexadecimal_digest(text: &[u8], step: usize) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks(step)) {
        let ([high, low] | [high, low, b':']) = pair else { return None };
        *byte = hexadecimal::byte([*high, *low])?;
    }
    matches!((text.len(), step), (64, 2) | (95, 3)).then_some(bytes)
}

fn base64url_digest(text: &[u8]) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    // The engine itself refuses padding, other alphabets and trailing bits.
    let length = URL_SAFE_NO_PAD.decode_slice_unchecked((text.len() == 43).then_some(text)?, &mut bytes);
    (length == Ok(32)).then_some(bytes)
}

impl PartialEq for Thumbprint {
    /// Compares all bytes, even after a difference. A thumbprint is no secret, but this costs nothing.
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).fold(0, |difference, (own, its)| difference | (own ^ its)) == 0
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text())
    }
}

impl fmt::Debug for Thumbprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Thumbprint({self})")
    }
}

/// RFC 8705 Appendix A, figure 6: a self-signed X.509 version 1 certificate.
#[cfg(test)]
pub(crate) const APPENDIX_A: &str = "MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoXDTIyMDUwMjEyMzcw\
    OVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ/Au08/co\
    ZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwIDSQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83\
    AiEA5x2eXZOVbUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=";

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn the_certificate_of_rfc_8705_appendix_a_has_the_thumbprint_that_the_rfc_gives() {
        let thumbprint = Thumbprint::of_der(&STANDARD.decode(APPENDIX_A).unwrap());
        assert_eq!(thumbprint.to_string(), "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0");
        assert_eq!(Thumbprint::from_x5t_s256("A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"), Some(thumbprint));
        assert_eq!(Thumbprint::from_hex(thumbprint.hex().as_bytes()), Some(thumbprint));
        assert_eq!(Thumbprint::from_hex(thumbprint.hex().to_uppercase().as_bytes()), Some(thumbprint));
    }

    #[test]
    fn the_digest_of_nothing_is_no_thumbprint_in_any_form() {
        let digest = Thumbprint::of_der(b"");
        let (hex, text) = (digest.hex(), digest.to_string());
        assert_eq!((Thumbprint::from_hex(hex.as_bytes()), Thumbprint::from_x5t_s256(&text)), (None, None));
        assert!(Thumbprint::try_from(hex.clone()).is_err() && Thumbprint::try_from(text.clone()).is_err());
        for written in [hex.to_uppercase(), colons(&hex)] {
            assert_eq!(Thumbprint::from_terminator(written.as_bytes(), true), Some(Err(OfNothing)), "{written}");
        }
        for written in [text, STANDARD.encode(digest.bytes())] {
            assert_eq!(Thumbprint::from_terminator(written.as_bytes(), false), Some(Err(OfNothing)), "{written}");
        }
    }

    fn colons(hex: &str) -> String {
        hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect::<Vec<_>>().join(":")
    }

    #[test]
    #[expect(clippy::string_slice, reason = "digits and base64 are ASCII")]
    fn what_terminators_write_is_read_and_nothing_near_it() {
        let thumbprint = Thumbprint::of_der(b"\x30");
        let (hex, base64) = (thumbprint.hex(), STANDARD.encode(thumbprint.bytes()));
        for written in [hex.clone(), hex.to_uppercase(), colons(&hex), colons(&hex.to_uppercase())] {
            assert_eq!(Thumbprint::from_terminator(written.as_bytes(), true), Some(Ok(thumbprint)), "{written}");
            assert_eq!(Thumbprint::from_terminator(written.as_bytes(), false), None, "{written}");
        }
        for written in [thumbprint.to_string(), base64.clone()] {
            assert_eq!(Thumbprint::from_terminator(written.as_bytes(), false), Some(Ok(thumbprint)), "{written}");
            assert_eq!(Thumbprint::from_terminator(written.as_bytes(), true), None, "{written}");
        }
        for wrong in [
            colons(&hex).replacen(':', "-", 1),
            format!(":{}", &colons(&hex)[..94]),
            format!("{hex}:"),
            colons(&hex).replacen("::", ":", 1).replacen(':', "", 1),
        ] {
            assert_eq!(Thumbprint::from_terminator(wrong.as_bytes(), true), None, "{wrong}");
        }
        for wrong in [
            "A".repeat(44),
            format!("{}==", &base64[..42]),
            base64.replace('=', "A"),
            format!("{thumbprint}="),
            base64[..43].to_owned(),
        ] {
            // The same bits, where there is neither + nor / in them.
            let same = wrong == thumbprint.to_string() || wrong == base64;
            assert_eq!(Thumbprint::from_terminator(wrong.as_bytes(), false).is_some(), same, "{wrong}");
        }
    }

    #[test]
    fn the_thumbprint_in_figures_2_and_3_of_rfc_8705_is_not_canonical_and_not_read() {
        assert_eq!(Thumbprint::from_x5t_s256("bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"), None);
    }

    #[test]
    #[expect(clippy::string_slice, reason = "base64url is ASCII")]
    fn only_the_one_spelling_of_a_thumbprint_is_read() {
        let right = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0";
        for wrong in [
            "",
            &right[1..],
            &format!("{right}="),
            &format!("{right}A"),
            &format!(" {}", &right[1..]),
            &format!("{}\n", &right[..42]),
            &right.replace('v', "+"),
            &right.replace('v', "/"),
            &right.replace("y5v0", "y5v1"),
        ] {
            assert_eq!(Thumbprint::from_x5t_s256(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    #[expect(clippy::string_slice, reason = "hexadecimal digits are ASCII")]
    fn a_digest_of_another_length_or_alphabet_is_not_read() {
        let right = "0380ed2f626650c840b2f263e6d2b29fae12ab39ae5db32b25ad27efad72e6fd";
        for wrong in
            ["", &right[1..], &right[2..], &format!("{right}0"), &right.replace('f', "g"), &right.replace('f', "+")]
        {
            assert_eq!(Thumbprint::from_hex(wrong.as_bytes()), None, "{wrong:?}");
        }
    }
}
