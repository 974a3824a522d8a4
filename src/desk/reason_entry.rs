// SPDX-License-Identifier: Apache-2.0

//! What the manual says of a reason.

use std::fmt;

use serde::Serialize;

use crate::config;
use crate::text::json;

const MANUAL: &str = include_str!("../../docs/reasons.md");

/// The entry of one reason in docs/reasons.md, as plain text. [`fmt::Display`] writes it for people, and [`ReasonEntry::json`] for
/// programs.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ReasonEntry {
    /// The reason's name.
    pub reason: String,
    /// The HTTP status, and the error code that the client sees, if there is one.
    pub response: String,
    /// What the reason means, and what to do.
    pub meaning: String,
}

impl ReasonEntry {
    /// Every entry, in the order of the manual.
    #[must_use]
    pub fn all() -> Vec<Self> {
        MANUAL.lines().filter_map(Self::of_row).collect()
    }

    /// The entry of the reason with this name.
    ///
    /// # Errors
    /// A sentence with the nearest name, if there is no such reason.
    pub fn of(name: &str) -> Result<Self, String> {
        let mut all = Self::all();
        let Some(place) = all.iter().position(|entry| entry.reason == name) else {
            let names: Vec<_> = all.iter().map(|entry| entry.reason.as_str()).collect();
            return Err(config::unknown("reason", name, &names));
        };
        Ok(all.swap_remove(place))
    }

    fn of_row(line: &str) -> Option<Self> {
        let mut cells = line.strip_prefix("| `")?.strip_suffix(" |")?.splitn(3, " | ");
        let (name, response, meaning) = (cells.next()?, cells.next()?, cells.next()?);
        response.starts_with(|first: char| first.is_ascii_digit()).then(|| Self {
            reason: name.trim_end_matches('`').to_owned(),
            response: response.replace('`', ""),
            meaning: without_links(meaning),
        })
    }

    /// One JSON object in one line of ASCII.
    #[must_use]
    pub fn json(&self) -> String {
        json::in_ascii(&serde_json::to_string(self).unwrap_or_default())
    }
}

impl fmt::Display for ReasonEntry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}: {}\n  {}", self.reason, self.response, self.meaning)
    }
}

/// Markdown with the texts of its links in place of the links.
fn without_links(markdown: &str) -> String {
    let mut text = String::with_capacity(markdown.len());
    let mut rest = markdown;
    while let Some((before, link)) = rest.split_once('[') {
        text.push_str(before);
        let label = link.split_once("](").filter(|(label, _)| !label.contains(']'));
        match label.and_then(|(label, link)| Some((label, link.split_once(')')?.1))) {
            Some((label, after)) => {
                text.push_str(label);
                rest = after;
            }
            None => {
                text.push('[');
                rest = link;
            }
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reason;

    #[test]
    fn every_reason_has_an_entry_without_markdown_links() {
        let names: Vec<_> = ReasonEntry::all().into_iter().map(|entry| entry.reason).collect();
        let known = |name: &str| Reason::ALL.iter().any(|reason| reason.name() == name);
        assert!(names.iter().all(|name| known(name)), "{names:?}");
        for reason in Reason::ALL {
            let entry = ReasonEntry::of(reason.name()).unwrap();
            assert!(!entry.meaning.is_empty() && !entry.meaning.contains("]("), "{entry:?}");
        }
    }

    #[test]
    fn a_link_is_its_text_and_another_bracket_stays() {
        assert_eq!(without_links("see [`schemes`](a.md#b), x[0] and [c](d)"), "see `schemes`, x[0] and c");
    }

    #[test]
    fn a_name_that_no_reason_has_is_told_with_the_nearest() {
        let error = ReasonEntry::of("certificate_mismach").unwrap_err();
        assert!(error.contains("did you mean \"certificate_mismatch\"?"), "{error}");
    }
}
