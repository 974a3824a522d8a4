// SPDX-License-Identifier: Apache-2.0

//! Edits of headers, for people.

use std::fmt;

use serde::Serialize;

use super::sentence::shown;
use crate::http::edit::Edit;

/// A name and its only value, or `None` if the header is removed; in their order.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(super) struct Edits(Vec<(String, Option<String>)>);

impl From<Vec<Edit>> for Edits {
    fn from(edits: Vec<Edit>) -> Self {
        Self(edits.iter().map(|edit| (edit.name().to_owned(), edit.value().map(str::to_owned))).collect())
    }
}

impl Edits {
    /// One line for each edit; nothing if there are none.
    pub(super) fn write(&self, formatter: &mut fmt::Formatter<'_>, what: &str) -> fmt::Result {
        if !self.0.is_empty() {
            writeln!(formatter, "{what}")?;
        }
        self.0.iter().try_for_each(|(name, value)| match value {
            Some(value) => writeln!(formatter, "  {}: {}", shown(name), shown(value)),
            None => writeln!(formatter, "  no {}", shown(name)),
        })
    }
}
