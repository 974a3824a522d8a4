// SPDX-License-Identifier: Apache-2.0

//! What an operator reads of a mistake: the path of the key, what is wrong, the nearest right key, line and column.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]

use super::case_list::CaseList;
use certbound::Policies;
use serde_json::{Value, json};

/// A configuration that loads, with one resource server at the top.
fn resource_server() -> Value {
    let shipped: Value = serde_json::from_str(&CaseList::read().configurations["resource-server"].json).unwrap();
    json!({ "resource_server": shipped["policies"]["api"]["resource_server"] })
}

fn message(configuration: &Value) -> String {
    match Policies::load(configuration.to_string().as_bytes()) {
        Ok(_) => panic!("this loads: {configuration}"),
        Err(error) => {
            let text = error.to_string();
            text.split(" (line ").next().unwrap().to_owned()
        }
    }
}

/// The message for the value at `pointer` being another one; `Null` in the place of an object's member removes it.
fn message_with(pointer: &str, value: &Value) -> String {
    let mut configuration = resource_server();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match configuration.pointer_mut(parent).unwrap() {
        Value::Object(map) if value.is_null() => drop(map.remove(key)),
        Value::Object(map) => drop(map.insert(key.to_owned(), value.clone())),
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = value.clone(),
        _ => panic!("{pointer}"),
    }
    message(&configuration)
}

/// The other mistakes are files: tests/desk/configurations/invalid.
#[test]
fn a_list_of_revoked_certificates_is_bounded() {
    let message = message_with("/resource_server/revoked_certificates", &json!(vec!["0".repeat(64); 10_001]));
    let expected = "resource_server.revoked_certificates: at most 10000 certificates can be listed; a CRL of the listener \
                    has no limit";
    assert_eq!(message, expected);
}

#[test]
fn a_member_of_a_key_or_of_a_key_set_that_nobody_knows_is_ignored() {
    let mut configuration = resource_server();
    let key_set = configuration.pointer_mut("/resource_server/issuers/0/keys/jwks").unwrap();
    key_set["comment"] = json!("of our own");
    key_set["keys"][0]["x5t#S256"] = json!({ "of": ["any", "type"] });
    Policies::load(configuration.to_string().as_bytes()).unwrap();
    let client = json!({
        "client_id": "one", "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "client.example.org",
        "jwks": { "keys": [{ "kty": "EC", "comment": 1 }], "comment": null },
    });
    let authentication = json!({ "clients": [client], "unlisted_clients": "refuse" });
    let server = json!({ "forward_certificate": [{ "dialect": "gluu" }], "client_authentication": authentication });
    let clients = json!({ "authorization_server": server });
    Policies::load(clients.to_string().as_bytes()).unwrap();
}

#[test]
fn a_misspelt_key_is_told_rather_than_the_right_one_that_is_missing() {
    let issuer = json!({ "audiences": ["https://api.example.com"], "isuer": "https://as.example.com", "keys": {} });
    let expected = "resource_server.issuers[0].isuer: unknown key \"isuer\"; did you mean \"issuer\"?";
    assert_eq!(message_with("/resource_server/issuers/0", &issuer), expected);
}

#[test]
fn a_key_is_required_wherever_it_would_stand() {
    for key in ["issuer", "audiences"] {
        let expected = format!("resource_server.issuers[0]: the key \"{key}\" is required");
        assert_eq!(message_with(&format!("/resource_server/issuers/0/{key}"), &Value::Null), expected);
    }
}

#[test]
fn every_choice_of_a_resource_server_has_a_name() {
    let mut configuration = resource_server();
    let policy = &mut configuration["resource_server"];
    let ten_thousand: Vec<_> = (0..10_000).map(|number| format!("{number:064x}")).collect();
    for (key, values) in [
        ("certificate_binding", json!(["required", "if_present", "observe"])),
        ("schemes", json!([["mtls_pop"], ["mtls_pop", "Bearer"], ["Bearer"]])),
        ("dpop", json!(["refuse", "verified_upstream"])),
        ("access_token_query", json!(["refuse", "ignore"])),
        ("cors_preflight", json!(["refuse", "forward"])),
        ("server_name", json!(["any", "must_match"])),
        ("certificate_validity", json!(["not_checked", "checked"])),
        ("required_scopes", json!([[], ["accounts", "https://api.example.com/payments:write"]])),
        ("revoked_certificates", json!([[], ["A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"], ten_thousand])),
    ] {
        for value in values.as_array().unwrap() {
            policy[key] = value.clone();
            let text = json!({ "resource_server": policy }).to_string();
            Policies::load(text.as_bytes()).unwrap_or_else(|error| panic!("{key}: {error}"));
        }
    }
    for (key, values) in
        [("token_type", json!(["any_jwt", "at+jwt"])), ("max_lifetime_seconds", json!([1, 31_536_000]))]
    {
        for value in values.as_array().unwrap() {
            policy["issuers"][0][key] = value.clone();
            let text = json!({ "resource_server": policy }).to_string();
            Policies::load(text.as_bytes()).unwrap_or_else(|error| panic!("{key}: {error}"));
        }
    }
}

#[test]
fn a_key_that_cannot_be_trusted_is_refused() {
    let key = "/resource_server/issuers/0/keys/jwks/keys/0";
    let starts_with = |value: Value, expected: &str| {
        let found = message_with(key, &value);
        assert!(found.starts_with(&format!("resource_server.issuers[0].keys.jwks.keys[0]: {expected}")), "{found}");
    };
    let zeros = "A".repeat(43);
    starts_with(json!({"kty": "EC", "crv": "P-256", "x": zeros, "y": zeros}), "it is no point of P-256");
    starts_with(json!({"kty": "OKP", "crv": "Ed25519", "x": zeros}), "it is no Ed25519 key that can be trusted");
    starts_with(json!({"kty": "RSA", "e": "AQAB", "n": "_".repeat(172)}), "its modulus has 1032 bits");
    for (curve, length) in [("P-384", 48), ("P-521", 66)] {
        let expected = format!("its x has 32 bytes in place of {length}");
        starts_with(json!({"kty": "EC", "crv": curve, "x": zeros, "y": zeros}), &expected);
    }
    let good = "_".repeat(344);
    for exponent in ["AQ", "Aw", "AQAC", ""] {
        starts_with(json!({"kty": "RSA", "e": exponent, "n": good}), "its exponent is ");
    }
}

#[test]
fn a_mistake_in_text_is_named_with_line_and_column() {
    for (text, expected) in [
        ("", "the plugin configuration is empty"),
        ("policies: {}", "this is not JSON: expected value (line 1, column 1)"),
        ("{\n  \"policies\": {,}\n}", "this is not JSON: key must be a string (line 2, column 16)"),
        ("{\n  \"polices\": {}\n}", "polices: unknown key \"polices\"; did you mean \"policies\"? (line 2, column 3)"),
        (
            "{\"policies\": {\"a\": {\"clean_only\": {}}},\n\"routes\": [\n{\"path\": \"/\",\n \"policy\": \"b\"}]}",
            "routes[0].policy: unknown policy \"b\"; did you mean \"a\"? (line 4, column 2)",
        ),
        (
            "{\"policies\": {\"a\": {\"clean_only\": {}}}, \"routes\": [\n{\"path\": \"/\", \"policy\": \"a\"},\n \
             {\"path\": \"/\", \"policy\": \"a\"}]}",
            "routes[1]: no request comes here, since routes[0] takes them all (line 3, column 2)",
        ),
        ("\n{ \"policies\": 5 }", "policies: expected a map, found a number (line 2, column 15)"),
        ("{\"clean_only\": {},\n \"clean_only\": {}}", "clean_only: duplicate key (line 2, column 2)"),
        (
            "{\"policies\": {\"ä\": {\"clean_only\": {}},\n  \"a\": {\"clean_only\": {}}, \"\\u0061\": {}}}",
            "policies.a: duplicate key (line 2, column 28)",
        ),
        (
            "{\"policies\": {\n\t\"é\": {\"clean_only\": {}}}}",
            "policies.é: \"é\" is no name for a policy: 1 to 64 letters, digits, '-', '_' and '.' are (line 2, column 2)",
        ),
    ] {
        assert_eq!(Policies::load(text.as_bytes()).unwrap_err().to_string(), expected, "{text}");
    }
}

#[test]
fn bytes_that_are_no_configuration_are_refused_whatever_they_are() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(Policies::load(deep.as_bytes()).unwrap_err().to_string().contains("nested too deeply"));
    let message = Policies::load(&[0xff, 0xfe]).unwrap_err().to_string();
    assert_eq!(message, "the plugin configuration is neither JSON text nor a google.protobuf.Struct");
    let list = CaseList::read();
    let right = &list.configurations["resource-server"].protobuf;
    for length in 0..right.len() {
        assert!(Policies::load(&right[..length]).is_err(), "{length}");
    }
}

/// YAML 1.1, which Envoy reads, takes it for a boolean.
#[test]
fn off_may_stand_without_quotes() {
    for off in [json!("off"), json!(false)] {
        let issued = json!({ "certificate_binding": off, "token_endpoints": ["/token"] });
        let server = json!({ "forward_certificate": [{ "dialect": "gluu" }], "issued_tokens": issued });
        Policies::load(json!({ "authorization_server": server }).to_string().as_bytes()).unwrap();
    }
    let wrong = json!({ "forward_certificate": [{ "dialect": "gluu" }], "client_certificate": false });
    let expected =
        "authorization_server.client_certificate: expected one of validated, validated_by_listener, presented";
    assert_eq!(message(&json!({ "authorization_server": wrong })), expected);
}
