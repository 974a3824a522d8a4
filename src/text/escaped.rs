// SPDX-License-Identifier: Apache-2.0

//! Untrusted text, escaped so that it can be shown.

use std::fmt;

/// Text in which nothing hides. `\` stands before each `special` character. A character without a glyph, or one that moves
/// others, is written as its bytes in UTF-8, each as `\` and two hexadecimal digits (RFC 4514 §2.4 hexpair). So no terminal
/// obeys it, and no two texts look alike.
pub(crate) struct Escaped<'a> {
    pub(crate) text: &'a str,
    /// It must contain `\` itself, so that an escape can be told from the same characters in the text.
    pub(crate) special: &'a str,
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.text.chars() {
            if self.special.contains(character) {
                write!(formatter, "\\{character}")?;
            } else if hides(character) {
                for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                    write!(formatter, "\\{byte:02X}")?;
                }
            } else {
                write!(formatter, "{character}")?;
            }
        }
        Ok(())
    }
}

/// Control characters, and those of Unicode's Default_Ignorable_Code_Point and Bidi_Control that a terminal does not show or
/// that change the direction of text. Variation selectors stay: they only choose between glyphs.
pub(crate) fn hides(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_nothing_to_obey() {
        for (text, shown) in [
            ("Größe 大", "Größe 大"),
            ("a\x1b[31mb", "a\\1B[31mb"),
            ("a\0b\x7f\u{9b}", "a\\00b\\7F\\C2\\9B"),
            ("gp\u{202e}j.exe", "gp\\E2\\80\\AEj.exe"),
            ("a\\1B", "a\\\\1B"),
        ] {
            assert_eq!(Escaped { text, special: "\\" }.to_string(), shown);
        }
    }
}
