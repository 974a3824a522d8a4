// SPDX-License-Identifier: Apache-2.0

//! JSON as a token may contain it: one object, no name twice in any object, a bounded depth.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::collections::sorted_map::sorted;

/// The greatest depth. Tokens in the field nest three or four levels.
const DEEPEST: u8 = 16;

/// A value. Its texts, unless they have an escape, are borrowed from the source.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<Json<'a>>),
    /// An object.
    Object(Object<'a>),
}

/// An object whose members stand in the order of the document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

/// Reads one JSON object. `None` if the bytes are something else, if an object has a name twice (readers would differ in which
/// one counts: RFC 7515 §4, RFC 7519 §4), or if it nests deeper than 16 levels.
#[must_use]
pub fn object(bytes: &[u8]) -> Option<Object<'_>> {
    match value(bytes)? {
        Json::Object(object) => Some(object),
        _ => None,
    }
}

/// Reads one value of JSON, as strictly.
// Not inlined: several call it.
#[inline(never)]
pub(crate) fn value(bytes: &[u8]) -> Option<Json<'_>> {
    let mut deserializer = serde_json::Deserializer::from_str(std::str::from_utf8(bytes).ok()?);
    let value = Strict { depth: DEEPEST }.deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    Some(value)
}

impl<'a> Json<'a> {
    pub(crate) fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(members) => Some(members),
            _ => None,
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What kind of value it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "true or false",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// A copy that borrows nothing.
    pub(crate) fn into_owned(self) -> Json<'static> {
        match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(value),
            Self::Number(value) => Json::Number(value),
            Self::Text(text) => Json::Text(Cow::Owned(text.into_owned())),
            Self::List(items) => Json::List(items.into_iter().map(Json::into_owned).collect()),
            Self::Object(object) => Json::Object(object.into_owned()),
        }
    }

    /// About how many bytes it takes beside the value itself.
    fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::List(items) => {
                let items = items.iter().map(|item| size_of::<Self>().saturating_add(item.size()));
                items.fold(0, usize::saturating_add)
            }
            Self::Object(object) => object.size(),
            Self::Null | Self::Bool(_) | Self::Number(_) => 0,
        }
    }
}

impl<'a> Object<'a> {
    // If the name is known where this is called, each comparison is one of a few bytes.
    #[inline]
    pub(crate) fn get(&self, name: &str) -> Option<&Json<'a>> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Json<'a>)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    /// The same without the members that are null. A null means that there is nothing to say: in a token's claims, in an
    /// introspection response (RFC 7662 §2.2) and in a token response it is the same as an absent member.
    #[must_use]
    pub fn without_nulls(mut self) -> Self {
        self.0.retain(|(_, value)| *value != Json::Null);
        self
    }

    /// The same without the members of this name.
    #[must_use]
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.0.retain(|(own, _)| own != name);
        self
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Each of a few names is compared with each other. With many that would take long, and an attacker could choose how long.
    fn has_a_name_twice(&self) -> bool {
        let names = || self.iter().map(|(name, _)| name);
        if self.len() <= 16 {
            return names().enumerate().any(|(place, name)| names().take(place).any(|earlier| earlier == name));
        }
        sorted(names().collect()).array_windows().any(|[one, other]| one == other)
    }

    /// A copy that borrows nothing.
    pub(crate) fn into_owned(self) -> Object<'static> {
        Object(self.0.into_iter().map(|(name, value)| (Cow::Owned(name.into_owned()), value.into_owned())).collect())
    }

    /// About how many bytes its members take.
    pub(crate) fn size(&self) -> usize {
        let members = self.0.iter().map(|member| size_of_val(member).saturating_add(member.0.len()));
        self.0.iter().map(|(_, value)| value.size()).chain(members).fold(0, usize::saturating_add)
    }
}

/// The caller ensures that no name stands twice.
impl<'a> FromIterator<(Cow<'a, str>, Json<'a>)> for Object<'a> {
    fn from_iter<I: IntoIterator<Item = (Cow<'a, str>, Json<'a>)>>(members: I) -> Self {
        Self(members.into_iter().collect())
    }
}

impl From<Json<'_>> for Value {
    fn from(value: Json<'_>) -> Self {
        match value {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(value),
            Json::Number(value) => Self::Number(value),
            Json::Text(text) => Self::String(text.into_owned()),
            Json::List(items) => Self::Array(items.into_iter().map(Self::from).collect()),
            Json::Object(object) => Self::Object(object.into()),
        }
    }
}

impl From<Object<'_>> for Map<String, Value> {
    fn from(object: Object<'_>) -> Self {
        let mut map = Self::new();
        // Collecting them would bring a whole sort into the module.
        for (name, value) in object.0 {
            map.insert(name.into_owned(), value.into());
        }
        map
    }
}

/// A text as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// JSON in one line of ASCII (RFC 8259 §7). Characters beyond ASCII occur only in strings, where they can be escaped.
pub(crate) fn in_ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            ' '..='~' => text.push(character),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    text.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    text
}

#[derive(Clone, Copy)]
struct Strict {
    depth: u8,
}

impl Strict {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("nested too deeply"))?;
        Ok(Self { depth })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Json<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json<'de>, E> {
        Number::from_f64(value).map(Json::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json<'de>, A::Error> {
        let deeper = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(deeper)? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json<'de>, A::Error> {
        let deeper = self.deeper()?;
        // A token's own members are as many as this in the field.
        let mut object = Object(Vec::with_capacity(if self.depth == DEEPEST { 12 } else { 0 }));
        while let Some(Json::Text(name)) = members.next_key_seed(deeper)? {
            object.0.push((name, members.next_value_seed(deeper)?));
        }
        if object.has_a_name_twice() {
            return Err(A::Error::custom("a name stands twice"));
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_read() {
        let text = br#" {"a":{"b":[1,-2,1.5,true,null,"\u0061"]}} "#;
        assert_eq!(object(text).map(|object| Value::from(Json::Object(object))), serde_json::from_slice(text).unwrap());
    }

    #[test]
    fn what_is_not_one_strict_object_is_refused() {
        for text in [
            "",
            "[]",
            "1",
            "null",
            "{}{}",
            "{} x",
            "{",
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":1}"#,
            r#"{"cnf":{"x5t#S256":"x","x5t#S256":"y"}}"#,
            r#"[{"a":1}]"#,
            r#"{"a":NaN}"#,
            r#"{"a":1e400}"#,
            r#"{"a":"\ud800"}"#,
            r#"{a:1}"#,
            r#"{"a":1,}"#,
        ] {
            assert_eq!(object(text.as_bytes()), None, "{text}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}"), None);
    }

    #[test]
    fn a_name_that_stands_twice_is_found_among_few_and_among_many() {
        for count in [1, 2, 15, 16, 17, 100] {
            let member = |number| format!("\"name-{number}\":{number}");
            let read = |names: Vec<usize>| {
                let members: Vec<String> = names.into_iter().map(member).collect();
                object(format!("{{{}}}", members.join(",")).as_bytes()).map(|object| object.len())
            };
            assert_eq!(read((0..count).collect()), Some(count));
            for twice in 0..count {
                assert_eq!(read((0..count).chain([twice]).collect()), None, "{twice} of {count}");
                assert_eq!(read([twice].into_iter().chain(0..count).collect()), None, "{twice} of {count}");
            }
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        assert!(object(nested(15).as_bytes()).is_some());
        assert!(object(nested(16).as_bytes()).is_none());
        assert!(object(nested(100_000).as_bytes()).is_none());
    }
}
