// SPDX-License-Identifier: Apache-2.0

//! Words for people.

use crate::text::escaped::Escaped;

/// Text with something from a file in it, on one line, and without anything that a terminal obeys.
pub(crate) fn shown(text: &str) -> Escaped<'_> {
    Escaped { text, special: "" }
}

/// `1 warning`, `2 warnings`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
