// SPDX-License-Identifier: Apache-2.0

//! Changes members of a JSON object in its text. Every other byte stays as it is.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of one object in their order, each value as it is written.
pub(super) struct Members<'a> {
    text: &'a str,
    members: Vec<(String, &'a str)>,
}

impl<'a> Members<'a> {
    /// Reads an object; `None` if the text is not one object, or has a name twice: parsers differ about which of the two counts.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let members = deserializer.deserialize_map(Raw).ok()?;
        deserializer.end().ok()?;
        Some(Self { text, members })
    }

    /// The value of a member as it is written; `None` if it is absent or null.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.members.iter().find(|(own, _)| own == name).map(|(_, value)| *value).filter(|value| *value != "null")
    }

    /// The text with these members: they replace members of the same name, and the others are appended.
    pub(super) fn with(&self, changed: &[(&str, String)]) -> Option<String> {
        let (mut text, mut added) = (String::with_capacity(self.text.len()), String::new());
        for (name, value) in changed.iter().filter(|(name, _)| !self.members.iter().any(|(own, _)| own == name)) {
            let comma = if self.members.is_empty() && added.is_empty() { "" } else { "," };
            added = format!("{added}{comma}{}:{value}", serde_json::to_string(name).ok()?);
        }
        let mut rest = 0;
        for (name, value) in &self.members {
            let Range { start, end } = self.range(value)?;
            if let Some((_, new)) = changed.iter().find(|(changed, _)| changed == name) {
                text.push_str(self.text.get(rest..start)?);
                text.push_str(new);
                rest = end;
            }
        }
        let end = match self.members.last() {
            Some((_, last)) => self.range(last)?.end,
            None => self.text.find('{')?.checked_add(1)?,
        };
        text.push_str(self.text.get(rest..end)?);
        text.push_str(&added);
        text.push_str(self.text.get(end..)?);
        Some(text)
    }

    /// The place of this part in the text.
    fn range(&self, part: &str) -> Option<Range<usize>> {
        let start = part.as_ptr().addr().checked_sub(self.text.as_ptr().addr())?;
        Some(start..start.checked_add(part.len())?)
    }
}

/// The list of strings with those of `added` appended that are not in it; `None` if it is not a list of strings.
pub(super) fn list_with(text: &str, added: &[&str]) -> Option<String> {
    let items: Vec<String> = serde_json::from_str(text).ok()?;
    let (open, _) = text.trim_end().split_at_checked(text.trim_end().len().checked_sub(1)?)?;
    let mut list = open.to_owned();
    let mut empty = items.is_empty();
    for new in added.iter().filter(|new| !items.iter().any(|item| item == *new)) {
        let comma = if empty { "" } else { "," };
        list.push_str(&format!("{comma}{}", serde_json::to_string(new).ok()?));
        empty = false;
    }
    list.push(']');
    Some(list)
}

struct Raw;

impl<'de> Visitor<'de> for Raw {
    type Value = Vec<(String, &'de str)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut members: Self::Value = Vec::new();
        let mut names = std::collections::HashSet::new();
        while let Some((name, value)) = entries.next_entry::<String, &'de RawValue>()? {
            if !names.insert(name.clone()) {
                return Err(A::Error::custom("a name stands twice"));
            }
            members.push((name, value.get()));
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str, changed: &[(&str, &str)]) -> String {
        let changed: Vec<_> = changed.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Members::read(text).unwrap().with(&changed).unwrap()
    }

    #[test]
    fn what_is_not_changed_stays_byte_for_byte() {
        let text = " { \"b\" : 1.0E+2,\n\t\"\\u0061\":[ 1 , {\"z\":1,\"z\":2} ], \"c\":12345678901234567890.10 } \n";
        assert_eq!(with(text, &[]), text);
        assert_eq!(with(text, &[("b", "1.0E+2")]), text);
        assert_eq!(
            with(text, &[("a", "true"), ("d", "2")]),
            " { \"b\" : 1.0E+2,\n\t\"\\u0061\":true, \"c\":12345678901234567890.10,\"d\":2 } \n"
        );
        assert_eq!(with(" { } ", &[("a", "1"), ("b", "2")]), " {\"a\":1,\"b\":2 } ");
    }

    #[test]
    fn a_list_is_added_to_at_its_end() {
        assert_eq!(list_with("[ \"b\",\"a\" ]", &["a", "c"]).unwrap(), "[ \"b\",\"a\" ,\"c\"]");
        assert_eq!(list_with("[ ]", &["a", "c"]).unwrap(), "[ \"a\",\"c\"]");
        assert_eq!(list_with("[ \"a\" ]", &["a"]).unwrap(), "[ \"a\" ]");
        assert_eq!(list_with("[1]", &["a"]), None);
        assert_eq!(list_with("\"a\"", &["a"]), None);
    }

    #[test]
    fn what_is_not_one_object_is_not_read() {
        for text in ["", "[]", "null", "{}{}", "{\"a\":1,\"\\u0061\":2}", "{\"a\":}", "\u{feff}{}", "<html>"] {
            assert!(Members::read(text).is_none(), "{text}");
        }
    }
}
