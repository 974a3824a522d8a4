// SPDX-License-Identifier: Apache-2.0

//! JSON, judged by other means than certbound's own.

use serde_json::Value;

/// Deeper than anything that is taken from outside.
pub const TOO_DEEP: usize = 48;

/// The value, or `None` where this is no JSON or some object has a name twice: then there are more colons in the text
/// than members in the value.
pub fn unambiguous(text: &[u8]) -> Option<Value> {
    let value: Value = serde_json::from_slice(text).ok()?;
    (colons(text) == members(&value)).then_some(value)
}

/// The object without its members that are null, which count as absent.
pub fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => members.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        other => other,
    }
}

/// How deep its objects and arrays nest, the value itself included.
pub fn depth(value: &Value) -> usize {
    1 + match value {
        Value::Object(object) => object.values().map(depth).max().unwrap_or_default(),
        Value::Array(items) => items.iter().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

fn colons(text: &[u8]) -> usize {
    let (mut found, mut quoted, mut escaped) = (0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b':' if !quoted => found += 1,
            _ => {}
        }
    }
    found
}

fn members(value: &Value) -> usize {
    match value {
        Value::Object(object) => object.len() + object.values().map(members).sum::<usize>(),
        Value::Array(items) => items.iter().map(members).sum(),
        _ => 0,
    }
}
