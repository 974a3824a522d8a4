// SPDX-License-Identifier: Apache-2.0

//! A plugin configuration: it says what is wrong with it, or it loads, and then every policy of it works.

use certbound::jose::signature::PortableEngine;
use certbound::time::UnixTime;
use certbound::{Policies, Reason, Request};
use prost::Message;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct};
use serde_json::Value;

use super::upstream::{Host, end};
use super::{json, key_set, route_metadata};

/// A Struct nests several messages for one level of JSON, and its reader goes 100 messages deep.
const DEEPEST_OF_A_STRUCT: usize = 24;

pub fn check(input: &[u8]) {
    let policies = match Policies::load(input) {
        Ok(policies) => policies,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let start = |metadata: Option<&[u8]>| {
        let headers = [("x-clientcert", &b"forged"[..])];
        let request = Request { headers: &headers, route_metadata: metadata, peer_digest: None, now: UnixTime::EPOCH };
        end(&policies, &request, &PortableEngine, Host::default())
    };
    let default = start(None).map_err(|refusal| refusal.reason());
    assert_ne!(default, Err(Reason::UnknownPolicy));
    if std::str::from_utf8(input).is_ok_and(|text| text.trim_start().starts_with('{')) {
        let document = json::unambiguous(input).expect("an ambiguous configuration loads");
        assert!(!has_private_key(&document), "a private key loads");
        for name in document["policies"].as_object().into_iter().flat_map(|policies| policies.keys()) {
            let metadata = route_metadata::encoded(b"policy", name.as_bytes());
            let came = start(Some(&metadata)).map_err(|refusal| refusal.reason());
            assert_ne!(came, Err(Reason::UnknownPolicy), "{name}");
            assert!(document["default_policy"] != name.as_str() || came == default, "{name}");
        }
        if json::depth(&document) <= DEEPEST_OF_A_STRUCT
            && let Some(Kind::StructValue(document)) = protobuf(&document).kind
        {
            let other =
                Policies::load(&document.encode_to_vec()).unwrap_or_else(|error| panic!("as a Struct: {error}"));
            assert_eq!(format!("{other:?}"), format!("{policies:?}"));
        }
    }
}

fn has_private_key(value: &Value) -> bool {
    match value {
        Value::Object(object) => {
            let keys = object.get("jwks").and_then(|jwks| jwks["keys"].as_array());
            keys.is_some_and(|keys| keys.iter().any(key_set::is_private)) || object.values().any(has_private_key)
        }
        Value::Array(items) => items.iter().any(has_private_key),
        _ => false,
    }
}

fn protobuf(value: &Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(value) => Kind::BoolValue(*value),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => Kind::ListValue(ListValue { values: items.iter().map(protobuf).collect() }),
        Value::Object(object) => {
            let fields = object.iter().map(|(name, value)| (name.clone(), protobuf(value))).collect();
            Kind::StructValue(Struct { fields })
        }
    };
    prost_types::Value { kind: Some(kind) }
}
