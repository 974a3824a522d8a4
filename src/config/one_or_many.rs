// SPDX-License-Identifier: Apache-2.0

//! A value, or a list of them, under one key.

use serde::Deserialize;

/// One value or a list, which may be empty.
// The tree of the configuration knows this name: a value that is no list is read as a list of one.
#[derive(Debug, Deserialize)]
pub(crate) struct OneOrMany<T>(pub(crate) Vec<T>);

/// Its name.
pub(super) const NAME: &str = "OneOrMany";

#[cfg(not(target_arch = "wasm32"))]
impl<T: schemars::JsonSchema> schemars::JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("OneOrMany_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let one = generator.subschema_for::<T>();
        schemars::json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
    }
}
