// SPDX-License-Identifier: Apache-2.0

//! A configuration as a tree of values, each with its place in the text, and serde's view of that tree.

use std::fmt;

use prost_types::value::Kind;
use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use serde_json::Number;
use serde_json::value::RawValue;

use super::error::{Error, Segment};
use super::one_or_many;

/// The greatest depth. It is beyond any configuration, and far below what a VM's stack holds.
const DEEPEST: usize = 32;

/// One value. `offset` is its first byte in the text; a Struct has no text.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) offset: Option<usize>,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) offset: Option<usize>,
}

impl Node {
    pub(super) fn from_json(text: &str) -> Result<Self, Error> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|error| Error::syntax(&error))?;
        Self::from_raw(raw, text, DEEPEST)
    }

    /// Reads JSON that is a part of a larger text. Places are those in the whole text.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn from_json_in(piece: &str, whole: &str) -> Result<Self, Error> {
        let raw: &RawValue = serde_json::from_str(piece).map_err(|error| Error::syntax(&error))?;
        Self::from_raw(raw, whole, DEEPEST)
    }

    /// The same value, all of it at one place.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn placed(self, offset: usize) -> Self {
        let value = match self.value {
            Value::List(items) => Value::List(items.into_iter().map(|item| item.placed(offset)).collect()),
            Value::Map(entries) => {
                let placed = |(key, value): (Key, Self)| (Key { offset: Some(offset), ..key }, value.placed(offset));
                Value::Map(entries.into_iter().map(placed).collect())
            }
            other => other,
        };
        Self { value, offset: Some(offset) }
    }

    /// The number of its values, itself included, and the bytes of its texts and keys.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn size(&self) -> (usize, usize) {
        let add =
            |sum: (usize, usize), more: (usize, usize)| (sum.0.saturating_add(more.0), sum.1.saturating_add(more.1));
        let itself = (1, 0);
        match &self.value {
            Value::String(text) => (1, text.len()),
            Value::List(items) => items.iter().map(Self::size).fold(itself, add),
            Value::Map(entries) => {
                entries.iter().fold(itself, |sum, (key, value)| add(add(sum, (0, key.name.len())), value.size()))
            }
            _ => itself,
        }
    }

    /// `raw` is a slice of `text`, so its start is its place.
    fn from_raw(raw: &RawValue, text: &str, depth: usize) -> Result<Self, Error> {
        let offset = offset_in(raw, text);
        let Some(depth) = depth.checked_sub(1) else {
            return Err(Error::new("this is nested too deeply".to_owned()).at(offset));
        };
        let syntax = |error: serde_json::Error| Error::syntax(&error).at(offset);
        let value = match raw.get().as_bytes().first() {
            Some(b'{') => {
                let RawEntries(entries) = serde_json::from_str(raw.get()).map_err(syntax)?;
                let mut map: Vec<(Key, Self)> = Vec::with_capacity(entries.len());
                let mut seen = std::collections::HashSet::with_capacity(entries.len());
                for (raw_key, raw_value) in entries {
                    let key = Key {
                        name: serde_json::from_str(raw_key.get()).map_err(syntax)?,
                        offset: offset_in(raw_key, text),
                    };
                    if !seen.insert(key.name.clone()) {
                        let error = Error::new("duplicate key".to_owned());
                        return Err(error.within(Segment::Key(key.name), key.offset));
                    }
                    let value = Self::from_raw(raw_value, text, depth)
                        .map_err(|error| error.within(Segment::Key(key.name.clone()), offset))?;
                    map.push((key, value));
                }
                Value::Map(map)
            }
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(raw.get()).map_err(syntax)?;
                let item = |(index, item)| {
                    Self::from_raw(item, text, depth).map_err(|error| error.within(Segment::Index(index), offset))
                };
                Value::List(items.into_iter().enumerate().map(item).collect::<Result<_, _>>()?)
            }
            Some(b'"') => Value::String(serde_json::from_str(raw.get()).map_err(syntax)?),
            Some(b't' | b'f') => Value::Bool(serde_json::from_str(raw.get()).map_err(syntax)?),
            Some(b'n') => Value::Null,
            _ => Value::Number(serde_json::from_str(raw.get()).map_err(syntax)?),
        };
        Ok(Self { value, offset })
    }

    pub(super) fn from_value(value: serde_json::Value) -> Self {
        let value = match value {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(value) => Value::Bool(value),
            serde_json::Value::Number(value) => Value::Number(value),
            serde_json::Value::String(value) => Value::String(value),
            serde_json::Value::Array(items) => Value::List(items.into_iter().map(Self::from_value).collect()),
            serde_json::Value::Object(entries) => {
                let entry = |(name, value)| (Key { name, offset: None }, Self::from_value(value));
                Value::Map(entries.into_iter().map(entry).collect())
            }
        };
        Self { value, offset: None }
    }

    /// `None` if a value has no kind: then the bytes are no Struct.
    pub(super) fn from_protobuf(map: prost_types::Struct) -> Option<Self> {
        let entry = |(name, value)| Some((Key { name, offset: None }, Self::from_protobuf_value(value)?));
        let map = map.fields.into_iter().map(entry).collect::<Option<_>>()?;
        Some(Self { value: Value::Map(map), offset: None })
    }

    fn from_protobuf_value(value: prost_types::Value) -> Option<Self> {
        let value = match value.kind? {
            Kind::NullValue(_) => Value::Null,
            Kind::BoolValue(value) => Value::Bool(value),
            Kind::NumberValue(value) => Value::Number(number(value)?),
            Kind::StringValue(value) => Value::String(value),
            Kind::ListValue(list) => {
                Value::List(list.values.into_iter().map(Self::from_protobuf_value).collect::<Option<_>>()?)
            }
            Kind::StructValue(map) => return Self::from_protobuf(map),
        };
        Some(Self { value, offset: None })
    }

    pub(super) fn error_at(&self, name: &str, message: String) -> Error {
        let error = Error::new(message);
        let key = match &self.value {
            Value::Map(map) => map.iter().map(|(key, _)| key).find(|key| key.name == name),
            _ => None,
        };
        match key {
            Some(key) => error.within(Segment::Key(name.to_owned()), key.offset),
            None => error.at(self.offset),
        }
    }
}

impl Node {
    pub(super) fn error_in_item(&self, list: &str, index: usize, name: &str, message: String) -> Error {
        let item = self.child(list).and_then(|list| match &list.value {
            Value::List(items) => items.get(index),
            _ => None,
        });
        let error = item.unwrap_or(self).error_at(name, message);
        error.within(Segment::Index(index), None).within(Segment::Key(list.to_owned()), None)
    }

    /// The mistake that it has another type than the expected one.
    #[cold]
    fn is_not(&self, expected: &dyn Expected) -> Error {
        let found = match &self.value {
            Value::Null => Unexpected::Unit,
            Value::Bool(value) => Unexpected::Bool(*value),
            Value::Number(value) => Unexpected::Float(value.as_f64().unwrap_or(f64::NAN)),
            Value::String(value) => Unexpected::Str(value),
            Value::List(_) => Unexpected::Seq,
            Value::Map(_) => Unexpected::Map,
        };
        <Error as serde::de::Error>::invalid_type(found, expected)
    }

    fn child(&self, name: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(map) => map.iter().find(|(key, _)| key.name == name).map(|(_, child)| child),
            _ => None,
        }
    }
}

/// A Struct has no integers: 60 arrives as 60.0.
#[expect(clippy::cast_possible_truncation, reason = "only numbers that an i64 and an f64 share get here")]
fn number(value: f64) -> Option<Number> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    if value.fract() == 0.0 && value.abs() <= EXACT {
        Some(Number::from(value as i64))
    } else {
        Number::from_f64(value)
    }
}

fn offset_in(raw: &RawValue, text: &str) -> Option<usize> {
    raw.get().as_ptr().addr().checked_sub(text.as_ptr().addr())
}

/// The entries of a JSON object, as slices of the text, duplicates included.
struct RawEntries<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for RawEntries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;

        impl<'de> Visitor<'de> for All {
            type Value = RawEntries<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawEntries<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(RawEntries(entries))
            }
        }

        deserializer.deserialize_map(All)
    }
}

/// A type's visitor is offered only the form that the type asks for. A visitor that is offered every form, as by
/// `deserialize_any`, brings all its methods into the module, and could read a struct from a list by position.
impl<'de> Deserializer<'de> for &'de Node {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(_) => self.deserialize_bool(visitor),
            Value::Number(_) => self.deserialize_u64(visitor),
            Value::String(_) => self.deserialize_str(visitor),
            Value::List(_) => self.deserialize_seq(visitor),
            Value::Map(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::Bool(value) => visitor.visit_bool(*value),
            _ => Err(self.is_not(&visitor)),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::Number(value) => number_to(value, visitor),
            _ => Err(self.is_not(&visitor)),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::String(value) => visitor.visit_borrowed_str(value),
            _ => Err(self.is_not(&visitor)),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::List(items) => visitor.visit_seq(Items { items: items.iter(), index: 0 }),
            _ => Err(self.is_not(&visitor)),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::Map(entries) => visitor.visit_map(Entries { entries: entries.iter(), value: None }),
            _ => Err(self.is_not(&visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Value::Map(entries) = &self.value else { return Err(self.is_not(&visitor)) };
        if !OPEN.contains(&name) {
            none_is_unknown(entries, fields, name)?;
        }
        let mut fields = Fields { entries, names: fields.iter(), absent: None };
        let read = visitor.visit_seq(&mut fields);
        read.map_err(|error| fields.explained(error))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        match &self.value {
            Value::List(_) => visitor.visit_newtype_struct(self),
            _ if name == one_or_many::NAME => visitor.visit_newtype_struct(One(Some(self))),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match &self.value {
            Value::String(variant) => visitor.visit_enum(UnitVariant(variant)),
            // Envoy reads an unquoted `off` as YAML 1.1 does.
            Value::Bool(false) if variants.contains(&"off") => visitor.visit_enum(UnitVariant("off")),
            _ => Err(none_of(variants)),
        }
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 f64 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
        ignored_any
    }
}

#[cold]
fn none_of(variants: &[&str]) -> Error {
    Error::new(format!("expected one of {}", variants.join(", ")))
}

fn number_to<'de, V: Visitor<'de>>(number: &Number, visitor: V) -> Result<V::Value, Error> {
    if let Some(value) = number.as_u64() {
        visitor.visit_u64(value)
    } else if let Some(value) = number.as_i64() {
        visitor.visit_i64(value)
    } else {
        visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN))
    }
}

struct Items<'de> {
    items: std::slice::Iter<'de, Node>,
    index: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Error;

    // A single function for the whole configuration would have 50 kB, and V8 would take ten megabytes to compile it.
    #[inline(never)]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(item) = self.items.next() else {
            return Ok(None);
        };
        let index = self.index;
        self.index = index.saturating_add(1);
        match seed.deserialize(item) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(error.within(Segment::Index(index), item.offset)),
        }
    }
}

/// A value in the place of a list of one. An error in it is told of the value itself.
struct One<'de>(Option<&'de Node>);

impl<'de> Deserializer<'de> for One<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(self)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> SeqAccess<'de> for One<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        self.0.take().map(|node| seed.deserialize(node)).transpose()
    }
}

/// The value of a field that is not there.
static ABSENT: Node = Node { value: Value::Null, offset: None };

/// The types, by their names in serde, in which an unknown member is no mistake (RFC 7517 §4 and §5).
const OPEN: &[&str] = &["JWK", "JWK Set"];

/// The type, by its name in serde, in whose place the secret itself may stand, even as a key.
const SECRET: &str = "Secret";

fn none_is_unknown(entries: &[(Key, Node)], fields: &'static [&'static str], name: &str) -> Result<(), Error> {
    match entries.iter().find(|(key, _)| !fields.contains(&key.name.as_str())) {
        None => Ok(()),
        Some((key, _)) if name == SECRET => {
            let message = "a secret is `environment`, the name of a variable, and nothing else; the secret itself has no place here";
            Err(Error::new(message.to_owned()).at(key.offset))
        }
        Some((key, _)) => {
            let error = <Error as serde::de::Error>::unknown_field(&key.name, fields);
            Err(error.within_key(&key.name, key.offset))
        }
    }
}

/// The fields of a struct in the struct's own order, whatever their order in the text. Code that takes them so is half as large
/// as code that compares keys and remembers which it has seen.
///
/// So a field has one name, and no `#[serde(alias)]`. A field that is not there is read like null: an `Option` is `None`, even
/// if its `#[serde(default)]` says otherwise, and a field of any value is null. Every other type has its default, or is
/// missing.
struct Fields<'de> {
    entries: &'de [(Key, Node)],
    names: std::slice::Iter<'static, &'static str>,
    /// The last field that was asked for, if it is not there.
    absent: Option<&'static str>,
}

impl<'de> Fields<'de> {
    fn next(&mut self) -> (&'static str, &'de Node) {
        let name = self.names.next().copied().unwrap_or_default();
        let found = self.entries.iter().find(|(key, _)| key.name == name);
        self.absent = found.is_none().then_some(name);
        (name, found.map_or(&ABSENT, |(_, value)| value))
    }

    /// A type that needs a field gives up at it, and says only how many fields it had.
    fn explained(&self, error: Error) -> Error {
        self.absent.map_or(error, <Error as serde::de::Error>::missing_field)
    }
}

impl<'de> SeqAccess<'de> for &mut Fields<'de> {
    type Error = Error;

    // As those of `Items`.
    #[inline(never)]
    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let (name, value) = self.next();
        match seed.deserialize(value) {
            Ok(value) => Ok(Some(value)),
            // Only an option is read from nothing. The struct knows whether another type has a default.
            Err(_) if self.absent.is_some() => Ok(None),
            Err(error) => Err(error.within_key(name, value.offset)),
        }
    }
}

struct Entries<'de> {
    entries: std::slice::Iter<'de, (Key, Node)>,
    value: Option<&'de (Key, Node)>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        self.value = self.entries.next();
        let Some((key, _)) = self.value else {
            return Ok(None);
        };
        let name: StrDeserializer<'_, Error> = key.name.as_str().into_deserializer();
        match seed.deserialize(name) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(error.within_key(&key.name, key.offset)),
        }
    }

    // As those of `Items`.
    #[inline(never)]
    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let (key, value) = self.value.take().ok_or_else(no_key)?;
        match seed.deserialize(value) {
            Ok(value) => Ok(value),
            Err(error) => Err(error.within_key(&key.name, value.offset)),
        }
    }
}

#[cold]
fn no_key() -> Error {
    Error::new("a value was asked for before its key".to_owned())
}

/// All choices of the configuration are names: no variant holds data.
struct UnitVariant<'de>(&'de str);

impl<'de> EnumAccess<'de> for UnitVariant<'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Error> {
        let name: StrDeserializer<'_, Error> = self.0.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for UnitVariant<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Error> {
        Err(Error::new("this choice is a name alone".to_owned()))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Error> {
        Err(Error::new("this choice is a name alone".to_owned()))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], _: V) -> Result<V::Value, Error> {
        Err(Error::new("this choice is a name alone".to_owned()))
    }
}
