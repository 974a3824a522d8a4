// SPDX-License-Identifier: Apache-2.0

//! Untrusted text in a line of the log.

use std::fmt;

use super::https_url::redacted;

/// Untrusted text as a JSON string of visible ASCII, so that it ends neither the string nor the line. Long text is cut.
pub(crate) struct Quoted<'a>(pub(crate) &'a str);

/// The same, cut sooner, and without the password of a URL. It is for a line with several texts, which a configuration may
/// contain.
pub(crate) struct Briefly<'a>(pub(crate) &'a str);

/// The longest text, in characters before escaping. Usual client identifiers and subjects are shorter.
const LONGEST: usize = 128;

/// The longest such text, in characters. A UUID has 36, a thumbprint in base64url 43.
const LONGEST_BRIEFLY: usize = 48;

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(formatter)
    }
}

impl fmt::Display for Briefly<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_escaped(&redacted(self.0), LONGEST_BRIEFLY, formatter)
    }
}

impl Quoted<'_> {
    pub(crate) fn write(&self, out: &mut impl fmt::Write) -> fmt::Result {
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        if self.0.len() <= LONGEST && self.0.bytes().all(is_plain) {
            return ["\"", self.0, "\""].into_iter().try_for_each(|piece| out.write_str(piece));
        }
        write_escaped(self.0, LONGEST, out)
    }
}

#[cold]
fn write_escaped(text: &str, longest: usize, out: &mut dyn fmt::Write) -> fmt::Result {
    out.write_char('"')?;
    let mut rest = text.chars();
    for character in rest.by_ref().take(longest) {
        match character {
            '"' | '\\' => write!(out, "\\{character}")?,
            ' '..='~' => out.write_char(character)?,
            other => other.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(out, "\\u{unit:04x}"))?,
        }
    }
    out.write_str(if rest.next().is_some() { "...\"" } else { "\"" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_text_cannot_leave_its_quotes_or_its_line() {
        for text in ["plain", "", "a\"b\\c", "a\r\nrefused: reason=none", "\u{1b}[31m", "Zoë 日本 😀", "\0"] {
            for quoted in [Quoted(text).to_string(), Briefly(text).to_string()] {
                assert!(quoted.bytes().all(|byte| (0x20..=0x7e).contains(&byte)), "{quoted}");
                assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text);
            }
        }
        let long = "😀".repeat(10_000);
        for (quoted, longest) in [(Quoted(&long).to_string(), 128), (Briefly(&long).to_string(), 48)] {
            assert_eq!(quoted, format!("\"{}...\"", "\\ud83d\\ude00".repeat(longest)));
        }
    }
}
