// SPDX-License-Identifier: Apache-2.0

//! What is wrong with a configuration, in one sentence.

use std::fmt;

use serde::de;

use super::text::Text;
use crate::text::https_url::{redacted, shown};

/// A mistake in a configuration: where and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Mistake>);

/// It is boxed because every step of reading a configuration returns a value or a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mistake {
    message: String,
    /// From the innermost segment to the outermost, in the order in which they are met.
    path: Vec<Segment>,
    /// The byte of the text at which the mistake is.
    offset: Option<usize>,
    position: Option<Position>,
}

/// One step of a path: `.key` or `[index]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Key(String),
    Index(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    line: usize,
    column: usize,
}

impl Error {
    pub(crate) fn new(message: String) -> Self {
        Self(Box::new(Mistake { message, path: Vec::new(), offset: None, position: None }))
    }

    /// The same mistake at this place, unless a place further inside is known.
    pub(super) fn at(mut self, offset: Option<usize>) -> Self {
        self.0.offset = self.0.offset.or(offset);
        self
    }

    /// The same mistake seen from one level further out.
    #[cold]
    pub(super) fn within(mut self, segment: Segment, offset: Option<usize>) -> Self {
        self.0.path.push(segment);
        self.at(offset)
    }

    /// The same mistake, seen from the map that has it under this key.
    #[cold]
    pub(super) fn within_key(self, key: &str, offset: Option<usize>) -> Self {
        self.within(Segment::Key(key.to_owned()), offset)
    }

    /// Line and column, both from 1, of the byte at which the mistake is.
    pub(super) fn located_in(mut self, text: Option<&Text>) -> Self {
        if let Some((line, column)) = self.0.offset.zip(text).and_then(|(offset, text)| text.position(offset)) {
            self.0.position = Some(Position { line, column });
        }
        self
    }

    /// The same mistake in a larger text, of which the text that was read begins at this byte.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn moved(mut self, piece: &str, start: usize) -> Self {
        if let Some(Position { line, column }) = self.0.position.take() {
            let before: usize = piece.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
            self.0.offset = Some(start.saturating_add(before).saturating_add(column.saturating_sub(1)));
        }
        self
    }

    /// The same mistake at this place, whatever place was known.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn placed(self, offset: usize) -> Self {
        Self(Box::new(Mistake { offset: Some(offset), position: None, ..*self.0 }))
    }

    /// A mistake that the JSON parser met, in its own words.
    pub(super) fn syntax(error: &serde_json::Error) -> Self {
        let position = (error.line() > 0).then(|| Position { line: error.line(), column: error.column().max(1) });
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        let mut mistake = Self::new(format!("this is not JSON: {message}"));
        mistake.0.position = position;
        mistake
    }

    /// Line and column of the mistake in the text, both from 1 and in characters; `None` where there is no text.
    #[must_use]
    pub fn position(&self) -> Option<(usize, usize)> {
        self.0.position.map(|Position { line, column }| (line, column))
    }

    /// The mistake without its line and column: the path of the key, what is wrong, the nearest right key.
    #[must_use]
    pub fn sentence(&self) -> String {
        let mut sentence = String::new();
        // Writing to a string cannot fail.
        let _ = self.write_sentence(&mut sentence);
        sentence
    }

    fn write_sentence(&self, formatter: &mut impl fmt::Write) -> fmt::Result {
        for (position, segment) in self.0.path.iter().rev().enumerate() {
            match segment {
                Segment::Key(key) if position == 0 => formatter.write_str(&shown(key))?,
                Segment::Key(key) => write!(formatter, ".{}", shown(key))?,
                Segment::Index(index) => write!(formatter, "[{index}]")?,
            }
        }
        if !self.0.path.is_empty() {
            formatter.write_str(": ")?;
        }
        // Whatever a message repeats is made safe here, no matter who wrote it.
        formatter.write_str(&redacted(&self.0.message))
    }
}

impl fmt::Display for Error {
    /// `policies.api.resource_server.issuers[0]: unknown key "jwk"; did you mean "jwks"? (line 3, column 9)`
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_sentence(formatter)?;
        match self.0.position {
            Some(Position { line, column }) => write!(formatter, " (line {line}, column {column})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let expected = match expected.to_string() {
            name if name.starts_with("struct ") => "a map".to_owned(),
            name if name == "a sequence" => "a list".to_owned(),
            name if name == "u64" => "a whole number".to_owned(),
            other => other,
        };
        Self::new(format!("expected {expected}, found {}", kind(&found)))
    }

    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(unknown("key", field, expected))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(unknown("value", variant, expected))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(format!("the key \"{field}\" is required"))
    }
}

/// The kind of a value. The value itself might be long, or a secret in the wrong place.
fn kind(found: &de::Unexpected<'_>) -> &'static str {
    match found {
        de::Unexpected::Unit => "null",
        de::Unexpected::Bool(_) => "a boolean",
        de::Unexpected::Unsigned(_) | de::Unexpected::Signed(_) | de::Unexpected::Float(_) => "a number",
        de::Unexpected::Str(_) | de::Unexpected::Char(_) | de::Unexpected::Bytes(_) => "a string",
        de::Unexpected::Seq => "a list",
        _ => "a map",
    }
}

/// How many names a sentence lists, and how many characters of each: a file may have thousands.
const MOST_NAMES: usize = 32;
const LONGEST_NAME: usize = 64;

/// `unknown key "polices"; did you mean "policies"?`, or the known names if none is near.
pub(crate) fn unknown(what: &str, found: &str, known: &[&str]) -> String {
    let found = &*shown(found);
    let found_folded = found.to_ascii_lowercase();
    let near = |candidate: &str| {
        let most = candidate.len().div_ceil(3).max(2);
        let difference = found.len().abs_diff(candidate.len());
        let candidate = candidate.to_ascii_lowercase();
        if found_folded.len() > 2 && candidate.starts_with(&found_folded) {
            return Some(difference);
        }
        // The distance of two long names takes long to compute.
        let is_comparable = difference <= most && candidate.len() <= LONGEST_NAME;
        let distance = is_comparable.then(|| strsim::damerau_levenshtein(&found_folded, &candidate));
        distance.filter(|distance| *distance <= most)
    };
    let nearest = known.iter().filter_map(|candidate| Some((near(candidate)?, candidate))).min();
    match nearest {
        Some((_, candidate)) => format!("unknown {what} {found:?}; did you mean {:?}?", shown(candidate)),
        None if known.is_empty() => format!("unknown {what} {found:?}; there are none here"),
        None => {
            let shortened = |name: &&str| shown(name).chars().take(LONGEST_NAME).collect::<String>();
            let names: Vec<_> = known.iter().take(MOST_NAMES).map(shortened).collect();
            let more = match known.len().checked_sub(MOST_NAMES) {
                None | Some(0) => String::new(),
                Some(more) => format!(" and {more} more"),
            };
            format!("unknown {what} {found:?}; known are {}{more}", names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_told_or_those_that_are_known_up_to_a_number() {
        let long = "n".repeat(100);
        let names: Vec<_> = (0..40).map(|number| format!("name-{number}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).chain([long.as_str()]).collect();
        assert_eq!(unknown("key", "Nme-7", &names), "unknown key \"Nme-7\"; did you mean \"name-7\"?");
        assert_eq!(
            unknown("key", "cert", &["certificate", "certs", "x"]),
            "unknown key \"cert\"; did you mean \"certs\"?"
        );
        assert_eq!(unknown("key", "nn", &[&long]), format!("unknown key \"nn\"; known are {}", "n".repeat(64)));
        let told = unknown("key", "another", &names);
        assert!(told.starts_with("unknown key \"another\"; known are name-0, name-1, "), "{told}");
        assert!(told.ends_with(", name-31 and 9 more"), "{told}");
    }
}
