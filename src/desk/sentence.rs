// SPDX-License-Identifier: Apache-2.0

//! Words for people.

use crate::text::escaped::Escaped;

/// Text that has something from a file in it, on one line and with nothing in it that a terminal obeys.
pub(crate) fn shown(text: &str) -> Escaped<'_> {
    Escaped { text, special: "" }
}

/// `1 warning`, `2 warnings`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
