// SPDX-License-Identifier: Apache-2.0

//! The JSON Schema of a plugin configuration, made from the types that read it.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use serde::Serialize;
use serde_json::{Value, json};

use crate::policy::Document;

/// The schema as `envoy/certbound.schema.json` has it: JSON Schema 2020-12.
#[must_use]
pub fn schema() -> String {
    let settings = SchemaSettings::draft2020_12().with_transform(RecursiveTransform(unwrap_lines));
    let schema = settings.into_generator().into_root_schema_for::<Document>();
    pretty(&schema)
}

/// The schema as `envoy/file.schema.json` has it: of a whole file of Envoy, Istio or Envoy Gateway, in which it finds the
/// configurations of a filter with certbound in its name. Of the rest it says nothing.
#[must_use]
pub fn file_schema() -> String {
    let configuration = json!({ "$ref": "certbound.schema.json" });
    let is = |names: &[&str]| {
        let named = names.iter().map(|name| {
            json!({ "required": [name], "properties": { (*name): { "type": "string", "pattern": "certbound" } } })
        });
        Value::from_iter(named)
    };
    let inside = |key: &str, names: &[&str], what: &Value| {
        let object = json!({ "type": "object", "required": [key], "anyOf": is(names) });
        json!({ "if": object, "then": { "properties": { key: what } } })
    };
    let structure = json!({
        "if": { "required": ["@type"], "properties": { "@type": { "pattern": "google\\.protobuf\\.Struct$" } } },
        "then": { "required": ["value"], "properties": { "value": configuration } },
    });
    let value = json!({ "$ref": "#/$defs/value" });
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A file of Envoy, Istio or Envoy Gateway with certbound in it",
        "$ref": "#/$defs/value",
        "$defs": {
            "value": {
                "additionalProperties": value,
                "items": value,
                "allOf": [
                    inside("configuration", &["name", "root_id"], &structure),
                    inside("pluginConfig", &["pluginName", "url"], &configuration),
                    inside("config", &["name", "rootID"], &configuration),
                ],
            },
        },
    });
    pretty(&schema)
}

fn pretty(schema: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(schema).unwrap_or_default();
    text.push('\n');
    text
}

/// Descriptions are prose without fixed line ends. A number is whole, whatever type holds it in Rust.
fn unwrap_lines(schema: &mut Schema) {
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
    schema.remove("format");
}
