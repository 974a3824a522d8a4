// SPDX-License-Identifier: Apache-2.0

//! The text of values, and where each of its lines begins.

use std::cell::OnceCell;

/// A whole text. All its values share it: a file may have thousands of documents.
#[derive(Debug)]
pub(super) struct Text {
    whole: String,
    /// The byte at which each line begins. It is computed at the first use.
    lines: OnceCell<Vec<usize>>,
}

impl Text {
    pub(super) fn new(whole: String) -> Self {
        Self { whole, lines: OnceCell::new() }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.whole
    }

    /// Line and column of a byte, both from 1, the column in characters. `None` if no character begins there.
    pub(super) fn position(&self, offset: usize) -> Option<(usize, usize)> {
        let lines = self.lines.get_or_init(|| {
            let behind = self.whole.match_indices('\n').map(|(at, _)| at.saturating_add(1));
            std::iter::once(0).chain(behind).collect()
        });
        let line = lines.partition_point(|begin| *begin <= offset);
        let begin = *lines.get(line.checked_sub(1)?)?;
        let before = self.whole.get(begin..offset)?;
        Some((line, before.chars().count().saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_has_a_line_and_a_column_in_characters() {
        let text = Text::new("\u{fc}a\n\nb".to_owned());
        let positions: Vec<_> = (0..=6).map(|offset| text.position(offset)).collect();
        assert_eq!(
            positions,
            [Some((1, 1)), None, Some((1, 2)), Some((1, 3)), Some((2, 1)), Some((3, 1)), Some((3, 2))]
        );
        assert_eq!(text.position(7), None);
        assert_eq!(Text::new(String::new()).position(0), Some((1, 1)));
    }
}
