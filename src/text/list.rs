// SPDX-License-Identifier: Apache-2.0

//! Lists in a sentence.

/// `a`, `a or b`, `a, b or c`.
pub(crate) fn listed(items: &[&str], conjunction: &str) -> String {
    match items {
        [] => "nothing".to_owned(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} {conjunction} {last}", first.join(", ")),
    }
}
