// SPDX-License-Identifier: Apache-2.0

//! What a JSON Schema says of a type beyond its fields: which keys exclude each other, and which need each other.

use schemars::Schema;
use serde_json::{Map, Value, json};

/// A policy has exactly one role.
pub(crate) fn one_role(schema: &mut Schema) {
    one_of(schema, &[&["resource_server"], &["authorization_server"], &["clean_only"]]);
}

/// A configuration has policies, or one role at the top. If it has several policies, something chooses among them: the default
/// together with metadata, or routes.
pub(crate) fn policies_or_one_role(schema: &mut Schema) {
    one_of(schema, &[&["policies"], &["resource_server"], &["authorization_server"], &["clean_only"]]);
    let several = json!({ "type": "object", "minProperties": 2 });
    schema.insert("if".to_owned(), json!({ "required": ["policies"], "properties": { "policies": several } }));
    schema.insert("then".to_owned(), json!({ "oneOf": [present(&["default_policy"]), present(&["routes"])] }));
    let mut by_route = present(&["policies"]);
    if let Some(properties) = by_route.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("default_policy".to_owned(), json!({ "type": "null" }));
    }
    schema.insert("anyOf".to_owned(), json!([{ "properties": { "routes": { "type": "null" } } }, by_route]));
}

/// A policy that hands over nothing has no effect.
pub(crate) fn something_is_handed_over(schema: &mut Schema) {
    let rebuilt = json!({ "required": ["x_forwarded_client_cert"], "properties": { "x_forwarded_client_cert": { "const": "rebuild" } } });
    schema.insert("anyOf".to_owned(), json!([{ "properties": { "forward_certificate": { "minItems": 1 } } }, rebuilt]));
    // A policy that authenticates clients judges every request. Anybody may read metadata.
    let pairs = [present(&["endpoints", "client_authentication"]), present(&["metadata", "client_authentication"])];
    schema.insert("not".to_owned(), json!({ "anyOf": pairs }));
}

/// A chain in a header of its own stands beside a certificate in Structured Fields or in base64, and hops write elements of
/// `X-Forwarded-Client-Cert`. Others than a terminator that is known by a secret could be that terminator.
pub(crate) fn one_source(schema: &mut Schema) {
    let encoding = |name: &str| json!({ "properties": { "encoding": { "const": name } } });
    let by_certificate =
        json!({ "properties": { "proof": { "properties": { "secret_header": { "type": "null" } } } } });
    let others = json!({ "required": ["from_others"], "properties": { "from_others": { "const": "connection" } } });
    let rules = [
        json!({ "if": present(&["chain_header"]), "then": { "properties": { "encoding": { "enum": ["sf_binary", "der_base64"] } } } }),
        json!({ "if": some("hops"), "then": encoding("xfcc") }),
        json!({ "if": others, "then": by_certificate }),
    ];
    schema.insert("allOf".to_owned(), json!(rules));
}

/// Of a certificate that is a digest no name is known.
pub(crate) fn names_need_certificates(schema: &mut Schema) {
    let digests =
        json!({ "required": ["encoding"], "properties": { "encoding": { "enum": ["sha256_hex", "x5t_s256"] } } });
    let source =
        json!({ "required": ["client_certificate_source"], "properties": { "client_certificate_source": digests } });
    schema.insert("not".to_owned(), json!({ "allOf": [some("not_a_client"), source] }));
}

/// A terminator proves itself in exactly one way.
pub(crate) fn one_proof(schema: &mut Schema) {
    one_of(schema, &[&["terminator_certificates"], &["terminator_san"], &["secret_header", "secret"]]);
}

/// A name has exactly one kind.
pub(crate) fn dns_or_uri(schema: &mut Schema) {
    one_of(schema, &[&["dns"], &["uri"]]);
}

/// The alias of an endpoint has its URL, or a URL that it begins with.
pub(crate) fn one_url(schema: &mut Schema) {
    one_of(schema, &[&["url"], &["base_url"]]);
}

/// A route is for one path, or for all paths below one.
pub(crate) fn one_path(schema: &mut Schema) {
    one_of(schema, &[&["path"], &["path_prefix"]]);
}

/// Keys come from exactly one place.
pub(crate) fn one_way_to_keys(schema: &mut Schema) {
    one_of(schema, &[&["jwks"], &["jwks_uri", "cluster"], &["discovery"], &["verified_by", "payload_in_metadata"]]);
}

/// An issuer's tokens are verified, or introspected, or both.
pub(crate) fn keys_or_introspection(schema: &mut Schema) {
    schema.insert("anyOf".to_owned(), json!([present(&["keys"]), present(&["introspection"])]));
}

/// What each way of authentication needs, and what it cannot use.
pub(crate) fn introspection_credentials(schema: &mut Schema) {
    let with = |methods: &[&str], needed: &[&str], needless: &[&str]| {
        let mut shape = present(needed);
        if let Some(properties) = shape.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert("endpoint_auth_method".to_owned(), json!({ "enum": methods }));
            properties.extend(needless.iter().map(|name| ((*name).to_owned(), json!({ "type": "null" }))));
        }
        shape
    };
    let secrets = ["client_secret_basic", "client_secret_post"];
    let ways = [
        with(&secrets, &["client_id", "client_secret"], &["client_key", "client_key_id", "bearer_token"]),
        with(&["private_key_jwt"], &["client_id", "client_key"], &["client_secret", "bearer_token"]),
        with(&["bearer"], &["bearer_token"], &["client_secret", "client_key", "client_key_id"]),
        with(&["none"], &[], &["client_secret", "client_key", "client_key_id", "bearer_token"]),
    ];
    schema.insert("oneOf".to_owned(), json!(ways));
    let jwt = json!({ "required": ["answer"], "properties": { "answer": { "const": "jwt" } } });
    schema.insert("if".to_owned(), jwt);
    schema.insert("then".to_owned(), present(&["client_id"]));
}

/// A client of `tls_client_auth` has exactly one name, one of `self_signed_tls_client_auth` has keys from one place, and the others have
/// no name.
pub(crate) fn one_subject(schema: &mut Schema) {
    const NAMES: [&str; 5] = [
        "tls_client_auth_subject_dn",
        "tls_client_auth_san_dns",
        "tls_client_auth_san_uri",
        "tls_client_auth_san_ip",
        "tls_client_auth_san_email",
    ];
    let method = |name: &str| json!({ "properties": { "token_endpoint_auth_method": { "const": name } } });
    let none = |names: &[&str]| -> Map<_, _> {
        names.iter().map(|name| ((*name).to_owned(), json!({ "type": "null" }))).collect()
    };
    let one = NAMES.map(|name| {
        let others: Vec<_> = NAMES.into_iter().filter(|other| *other != name).collect();
        let mut properties = none(&others);
        properties.insert(name.to_owned(), json!({ "not": { "type": "null" } }));
        json!({ "required": [name], "properties": properties })
    });
    let mut nameless = none(&NAMES);
    nameless.append(&mut none(&["issuer_dn", "issuer_certificates", "issuer_key_sha256"]));
    let pki = json!({ "if": method("tls_client_auth"), "then": { "oneOf": one }, "else": { "properties": nameless } });
    let keys = [without(present(&["jwks"]), &["jwks_uri"]), without(present(&["jwks_uri"]), &["jwks"])];
    let self_signed = json!({ "if": method("self_signed_tls_client_auth"), "then": { "oneOf": keys } });
    schema.insert("allOf".to_owned(), json!([pki, self_signed]));
}

/// A key must not be private or symmetric.
pub(crate) fn public_key(schema: &mut Schema) {
    let secret = |name: &str| present(&[name]);
    schema.insert("not".to_owned(), json!({ "anyOf": [secret("d"), secret("k")] }));
}

/// A configuration for an API and its health check.
pub(crate) fn example() -> Value {
    let keys = json!({ "jwks_uri": "https://as.example.com/jwks", "cluster": "authorization-server" });
    let issuer = json!({ "issuer": "https://as.example.com", "audiences": ["https://api.example.com"], "keys": keys });
    json!({
        "policies": { "api": { "resource_server": { "issuers": [issuer] } }, "open": { "clean_only": {} } },
        "default_policy": "api",
    })
}

/// The same schema without these keys.
pub(crate) fn without(mut shape: Value, names: &[&str]) -> Value {
    let absent = names.iter().map(|name| ((*name).to_owned(), json!({ "type": "null" })));
    if let Some(shape) = shape.as_object_mut() {
        let properties = shape.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            properties.extend(absent);
        }
    }
    shape
}

/// Exactly one of these groups of keys is there, and no key of another group.
pub(crate) fn one_of(schema: &mut Schema, groups: &[&[&str]]) {
    let shape = |group: &&[&str]| {
        let others = groups.iter().copied().flatten().filter(|name| !group.contains(name));
        let mut shape = present(group);
        let absent = others.map(|name| ((*name).to_owned(), json!({ "type": "null" })));
        if let Some(properties) = shape.get_mut("properties").and_then(Value::as_object_mut) {
            properties.extend(absent);
        }
        shape
    };
    schema.insert("oneOf".to_owned(), groups.iter().map(shape).collect());
}

/// These keys are there, and not null. A null counts as absent.
pub(crate) fn present(names: &[&str]) -> Value {
    let not_null: Map<_, _> =
        names.iter().map(|name| ((*name).to_owned(), json!({ "not": { "type": "null" } }))).collect();
    json!({ "required": names, "properties": not_null })
}

/// This list is there, with something in it.
fn some(name: &str) -> Value {
    json!({ "required": [name], "properties": { name: { "type": "array", "minItems": 1 } } })
}
