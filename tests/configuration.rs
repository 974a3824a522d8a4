//! What an operator reads of a mistake: the path of the key, what is wrong, the nearest right key, line and column.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]

mod case_list;

use case_list::CaseList;
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

#[test]
fn a_mistake_in_a_resource_server_is_named_with_its_path() {
    let issuer = resource_server()["resource_server"]["issuers"][0].clone();
    let at = "/resource_server";
    let first = "/resource_server/issuers/0";
    let key = "/resource_server/issuers/0/keys/jwks/keys/0";
    for (pointer, value, expected) in [
        (
            format!("{at}/certificate_bindng"),
            json!("required"),
            "resource_server.certificate_bindng: unknown key \"certificate_bindng\"; did you mean \"certificate_binding\"?",
        ),
        (
            format!("{at}/quux"),
            json!(1),
            "resource_server.quux: unknown key \"quux\"; known are issuers, certificate_binding, dpop, required_scopes, access_token_query, cors_preflight, server_name, certificate_validity, revoked_certificates, leeway_seconds, realm",
        ),
        (
            format!("{at}/certificate_binding"),
            json!("requird"),
            "resource_server.certificate_binding: unknown value \"requird\"; did you mean \"required\"?",
        ),
        (
            format!("{at}/certificate_binding"),
            json!(false),
            "resource_server.certificate_binding: expected one of required, if_present, observe",
        ),
        (
            format!("{at}/dpop"),
            json!("verified"),
            "resource_server.dpop: unknown value \"verified\"; did you mean \"verified_upstream\"?",
        ),
        (format!("{at}/dpop"), json!(true), "resource_server.dpop: expected one of refuse, verified_upstream"),
        (
            format!("{at}/access_token_query"),
            json!("allow"),
            "resource_server.access_token_query: unknown value \"allow\"; known are refuse, ignore",
        ),
        (
            format!("{at}/cors_preflight"),
            json!("forwrd"),
            "resource_server.cors_preflight: unknown value \"forwrd\"; did you mean \"forward\"?",
        ),
        (
            format!("{at}/server_name"),
            json!("must match"),
            "resource_server.server_name: unknown value \"must match\"; did you mean \"must_match\"?",
        ),
        (
            format!("{at}/certificate_validity"),
            json!("check"),
            "resource_server.certificate_validity: unknown value \"check\"; did you mean \"checked\"?",
        ),
        (
            format!("{at}/required_scopes"),
            json!("accounts"),
            "resource_server.required_scopes: expected a list, found a string",
        ),
        (
            format!("{at}/required_scopes"),
            json!(["accounts payments"]),
            "resource_server.required_scopes[0]: a scope is visible ASCII text without ' ', '\"' and '\\'",
        ),
        (
            format!("{at}/required_scopes"),
            json!(["accounts", "a\r\nb"]),
            "resource_server.required_scopes[1]: a scope is visible ASCII text without ' ', '\"' and '\\'",
        ),
        (
            format!("{at}/required_scopes"),
            json!([""]),
            "resource_server.required_scopes[0]: a scope is visible ASCII text without ' ', '\"' and '\\'",
        ),
        (
            format!("{at}/revoked_certificates"),
            json!(["CN=client-1"]),
            "resource_server.revoked_certificates[0]: a thumbprint is 43 characters of base64url (x5t#S256) or 64 hexadecimal digits, of the SHA-256 of the DER",
        ),
        (
            format!("{at}/revoked_certificates"),
            json!(vec!["0".repeat(64); 10_001]),
            "resource_server.revoked_certificates: at most 10000 certificates can be listed; a CRL of the listener has no limit",
        ),
        (format!("{at}/leeway_seconds"), json!(61), "resource_server.leeway_seconds: the leeway is 60 seconds at most"),
        (
            format!("{at}/leeway_seconds"),
            json!("10"),
            "resource_server.leeway_seconds: expected a whole number, found a string",
        ),
        (
            format!("{at}/leeway_seconds"),
            json!(-1),
            "resource_server.leeway_seconds: expected a whole number, found a number",
        ),
        (
            format!("{at}/realm"),
            json!("a\"b"),
            "resource_server.realm: a realm is visible ASCII text without '\"' and '\\'",
        ),
        (
            format!("{at}/realm"),
            json!("a\r\nb"),
            "resource_server.realm: a realm is visible ASCII text without '\"' and '\\'",
        ),
        (format!("{at}/issuers"), json!(null), "resource_server: the key \"issuers\" is required"),
        (format!("{at}/issuers"), json!([]), "resource_server: issuers is empty, so every token would be refused"),
        (format!("{at}/issuers"), json!({}), "resource_server.issuers: expected a list, found a map"),
        (
            format!("{at}/issuers"),
            json!([issuer, issuer]),
            "resource_server: the issuer \"https://as.example.com\" stands here twice",
        ),
        (format!("{first}/issuer"), json!(null), "resource_server.issuers[0]: the key \"issuer\" is required"),
        (format!("{first}/issuer"), json!(""), "resource_server.issuers[0]: the issuer is empty"),
        (format!("{first}/issuer"), json!(5), "resource_server.issuers[0].issuer: expected a string, found a number"),
        (format!("{first}/audiences"), json!(null), "resource_server.issuers[0]: the key \"audiences\" is required"),
        (
            format!("{first}/audiences"),
            json!([]),
            "resource_server.issuers[0]: audiences needs at least one, and none of them empty: a token for another API is refused by its audience",
        ),
        (
            format!("{first}/audience"),
            json!("x"),
            "resource_server.issuers[0].audience: unknown key \"audience\"; did you mean \"audiences\"?",
        ),
        (
            format!("{first}/algorithms"),
            json!(["HS256"]),
            "resource_server.issuers[0].algorithms[0]: unknown value \"HS256\"; did you mean \"ES256\"?",
        ),
        (
            format!("{first}/algorithms"),
            json!(["none"]),
            "resource_server.issuers[0].algorithms[0]: unknown value \"none\"; known are RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA",
        ),
        (
            format!("{first}/algorithms"),
            json!([]),
            "resource_server.issuers[0]: none of the keys can be used with any of the algorithms, so every token would be refused",
        ),
        (
            format!("{first}/confirmation"),
            json!("toplevel"),
            "resource_server.issuers[0].confirmation: unknown value \"toplevel\"; did you mean \"top_level\"?",
        ),
        (
            format!("{first}/token_type"),
            json!("at-jwt"),
            "resource_server.issuers[0].token_type: unknown value \"at-jwt\"; did you mean \"at+jwt\"?",
        ),
        (
            format!("{first}/max_lifetime_seconds"),
            json!(0),
            "resource_server.issuers[0].max_lifetime_seconds: the longest lifetime is 1 to 31536000 seconds (a year)",
        ),
        (
            format!("{first}/max_lifetime_seconds"),
            json!(31_536_001),
            "resource_server.issuers[0].max_lifetime_seconds: the longest lifetime is 1 to 31536000 seconds (a year)",
        ),
        (
            format!("{first}/keys"),
            json!({"jwsk": {}}),
            "resource_server.issuers[0].keys.jwsk: unknown key \"jwsk\"; did you mean \"jwks\"?",
        ),
        (
            format!("{first}/keys"),
            json!({}),
            "resource_server.issuers[0]: keys has exactly one of `jwks`, `jwks_uri` with `cluster`, `discovery`, and `verified_by` with `payload_in_metadata`",
        ),
        (
            format!("{first}/keys"),
            json!({"jwks_uri": "https://as/jwks"}),
            "resource_server.issuers[0]: jwks_uri needs `cluster`, the name of the Envoy cluster through which it is fetched",
        ),
        (
            format!("{first}/keys"),
            json!({"jwks_uri": "as/jwks", "cluster": "as"}),
            "resource_server.issuers[0].keys.jwks_uri: \"as/jwks\" is no absolute URI of https or http",
        ),
        (
            format!("{first}/keys"),
            json!({"jwks_uri": "https://as/jwks", "cluster": ""}),
            "resource_server.issuers[0].keys.cluster: the name of the cluster is empty",
        ),
        (
            format!("{first}/keys"),
            json!({"jwks_uri": "https://as/jwks", "cluster": "as", "cool_down_seconds": 0}),
            "resource_server.issuers[0].keys.cool_down_seconds: the cool-down is 1 to 3600 seconds",
        ),
        (
            format!("{first}/keys"),
            json!({"verified_by": "jwt_authn"}),
            "resource_server.issuers[0]: verified_by needs `payload_in_metadata`, the name that jwt_authn's provider has there",
        ),
        (
            format!("{first}/keys"),
            json!({"verified_by": "jwt-auth", "payload_in_metadata": "x"}),
            "resource_server.issuers[0].keys.verified_by: unknown value \"jwt-auth\"; did you mean \"jwt_authn\"?",
        ),
        (
            format!("{first}/keys"),
            json!({"discovery": {"cluster": "as", "document": "oauth"}}),
            "resource_server.issuers[0].keys.discovery.document: unknown value \"oauth\"; did you mean \"oauth_authorization_server\"?",
        ),
        (
            format!("{first}/keys"),
            json!({"discovery": {"cluster": "as", "origins": {"http://keys": "as"}}}),
            "resource_server.issuers[0]: \"http://keys\" is no origin of https",
        ),
        (
            format!("{first}/keys/jwks/keys"),
            json!([]),
            "resource_server.issuers[0].keys.jwks: the key set is empty: paste the authorization server's own, it publishes it at its jwks_uri",
        ),
        (
            format!("{first}/keys/jwks"),
            json!({"keys": [{"kty": "oct"}, {"kty": "EC", "crv": "secp256k1"}, {"kty": "RSA", "use": "enc"}, {"kty": "RSA", "key_ops": ["sign"]}, {"kty": "RSA", "alg": "RSA-OAEP"}]}),
            "resource_server.issuers[0].keys.jwks: the key set has no key that verifies tokens: one is of the type \"oct\"; one is of the type \"EC\" \"secp256k1\"; one is not for signatures (use); one is not for signatures (key_ops); one is for the algorithm \"RSA-OAEP\"",
        ),
        (
            key.to_owned(),
            json!({"kty": "oct", "k": "c2VjcmV0"}),
            "resource_server.issuers[0].keys.jwks.keys[0]: this is a private or a symmetric key; only public keys belong here",
        ),
        (
            format!("{key}/d"),
            json!("AQAB"),
            "resource_server.issuers[0].keys.jwks.keys[0]: this is a private or a symmetric key; only public keys belong here",
        ),
        (
            format!("{key}/x"),
            json!("AQAB"),
            "resource_server.issuers[0].keys.jwks.keys[0]: the key's member \"x\" is not 32 bytes long",
        ),
        (
            format!("{key}/x"),
            json!("!"),
            "resource_server.issuers[0].keys.jwks.keys[0]: the key's member \"x\" is not base64url without padding",
        ),
        (
            format!("{key}/y"),
            json!(null),
            "resource_server.issuers[0].keys.jwks.keys[0]: the key lacks the member \"y\"",
        ),
        (
            format!("{key}/crv"),
            json!(null),
            "resource_server.issuers[0].keys.jwks.keys[0]: the key lacks the member \"crv\"",
        ),
        (
            format!("{key}/alg"),
            json!("RS256"),
            "resource_server.issuers[0].keys.jwks.keys[0]: a key of this type cannot be used with RS256, its alg",
        ),
        (
            format!("{key}/kty"),
            json!(null),
            "resource_server.issuers[0].keys.jwks.keys[0]: the key \"kty\" is required",
        ),
    ] {
        assert_eq!(message_with(&pointer, &value), expected, "{pointer}");
    }
}

#[test]
fn every_choice_of_a_resource_server_has_a_name() {
    let mut configuration = resource_server();
    let policy = &mut configuration["resource_server"];
    let ten_thousand: Vec<_> = (0..10_000).map(|number| format!("{number:064x}")).collect();
    for (key, values) in [
        ("certificate_binding", json!(["required", "if_present", "observe"])),
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
    starts_with(json!({"kty": "EC", "crv": "P-256", "x": zeros, "y": zeros}), "this is no point of P-256");
    starts_with(json!({"kty": "OKP", "crv": "Ed25519", "x": zeros}), "this is no Ed25519 key");
    starts_with(json!({"kty": "RSA", "e": "AQAB", "n": "_".repeat(172)}), "this RSA key is refused");
    for (curve, length) in [("P-384", 48), ("P-521", 66)] {
        let expected = format!("the key's member \"x\" is not {length} bytes long");
        starts_with(json!({"kty": "EC", "crv": curve, "x": zeros, "y": zeros}), &expected);
    }
    let good = "_".repeat(344);
    for exponent in ["AQ", "Aw", "AQAC", ""] {
        starts_with(json!({"kty": "RSA", "e": exponent, "n": good}), "this RSA key is refused");
    }
}

#[test]
fn a_mistake_in_an_authorization_server_is_named_with_its_path() {
    for (policy, expected) in [
        (json!({}), "authorization_server: the key \"forward_certificate\" is required"),
        (
            json!({"forward_certificate": []}),
            "authorization_server: forward_certificate is empty, so the authorization server would never see a certificate; a policy that only removes forged headers is `clean_only: {}`",
        ),
        (
            json!({"forward_certificate": [{"dialect": "glu"}]}),
            "authorization_server.forward_certificate[0].dialect: unknown dialect \"glu\"; did you mean \"gluu\"?",
        ),
        (
            json!({"forward_certificate": [{"dialect": "gluu"}, {"dialect": "gluu"}]}),
            "authorization_server: forward_certificate writes the header x-clientcert twice",
        ),
        (
            json!({"forward_certificate": [{"dialect": "gluu", "chain": "list"}]}),
            "authorization_server.forward_certificate[0].chain: unknown key \"chain\"; known are dialect",
        ),
        (
            json!({"forward_certificate": ["gluu"]}),
            "authorization_server.forward_certificate[0]: expected a map, found a string",
        ),
        (
            json!({"forward_certificate": [{"dialect": "gluu"}], "client_certificate": "valid"}),
            "authorization_server.client_certificate: unknown value \"valid\"; did you mean \"validated\"?",
        ),
        (
            json!({"forward_certificate": [{"dialect": "gluu"}], "x_forwarded_client_cert": "keep"}),
            "authorization_server.x_forwarded_client_cert: unknown value \"keep\"; known are remove, rebuild",
        ),
    ] {
        assert_eq!(message(&json!({ "authorization_server": policy })), expected);
    }
}

#[test]
fn policies_are_named_and_one_of_them_is_the_default() {
    let open = json!({"clean_only": {}});
    for (configuration, expected) in [
        (
            json!({}),
            "nothing is configured: `policies`, or a role (resource_server, authorization_server, clean_only), is required",
        ),
        (json!({"policies": {}}), "policies: there is no policy"),
        (
            json!({"policies": null}),
            "nothing is configured: `policies`, or a role (resource_server, authorization_server, clean_only), is required",
        ),
        (json!({"polices": {"a": open}}), "polices: unknown key \"polices\"; did you mean \"policies\"?"),
        (
            json!({"policies": {"a": open, "b": open}}),
            "`default_policy` is required where there are several policies: it governs every route that names none",
        ),
        (
            json!({"policies": {"api": open, "b": open}, "default_policy": "apo"}),
            "default_policy: unknown policy \"apo\"; did you mean \"api\"?",
        ),
        (
            json!({"policies": {"a": open}, "clean_only": {}}),
            "policies: a role at the top and `policies` exclude each other",
        ),
        (
            json!({"policies": {"a": {}}}),
            "policies.a: a policy has exactly one of resource_server, authorization_server and clean_only",
        ),
        (
            json!({"policies": {"a": {"clean_only": {}, "authorization_server": {"forward_certificate": [{"dialect": "gluu"}]}}}}),
            "policies.a: a policy has exactly one of resource_server, authorization_server and clean_only",
        ),
        (
            json!({"clean_only": {}, "authorization_server": {"forward_certificate": [{"dialect": "gluu"}]}}),
            "a policy has exactly one of resource_server, authorization_server and clean_only; several policies stand under `policies`",
        ),
        (
            json!({"policies": {"": open}}),
            "policies.: \"\" is no name for a policy: 1 to 64 letters, digits, '-', '_' and '.' are",
        ),
        (
            json!({"policies": {"a b": open}}),
            "policies.a b: \"a b\" is no name for a policy: 1 to 64 letters, digits, '-', '_' and '.' are",
        ),
        (json!({"clean_only": {"off": true}}), "clean_only.off: unknown key \"off\"; there are none here"),
        (json!([]), "expected a map, found a list"),
        (
            json!({"policies": {"a": open}, "refusal_lines_per_minute": 0}),
            "refusal_lines_per_minute: there are 1 to 10000 lines in a minute",
        ),
    ] {
        assert_eq!(message(&configuration), expected);
    }
    for right in [
        json!({"policies": {"a": open}}),
        json!({"policies": {"a": open, "b": open}, "default_policy": "b"}),
        open.clone(),
        json!({"policies": {"a": open}, "refusal_lines_per_minute": 10000}),
        json!({"clean_only": {}, "refusal_lines_per_minute": 1}),
        json!({"policies": {"a": {"clean_only": {}, "resource_server": null}}}),
    ] {
        Policies::load(right.to_string().as_bytes()).unwrap();
    }
}

#[test]
fn routes_choose_among_policies_and_each_of_them_can_be_reached() {
    let with =
        |routes: Value| json!({"policies": {"api": {"clean_only": {}}, "open": {"clean_only": {}}}, "routes": routes});
    let mut beside_default = with(json!([{"policy": "api", "path": "/"}]));
    beside_default["default_policy"] = json!("api");
    for (wrong, expected) in [
        (with(json!([])), "routes: there is no route"),
        (
            with(json!([{"policy": "apo", "path": "/"}])),
            "routes[0].policy: unknown policy \"apo\"; did you mean \"api\"?",
        ),
        (
            with(json!([{"policy": "api", "path": "/a"}, {"policy": "of", "path": "/b"}])),
            "routes[1].policy: unknown policy \"of\"; known are api, open",
        ),
        (
            with(json!([{"policy": "api", "path": "a"}])),
            "routes[0].path: requests with it are refused, since the path does not begin with a slash; every character stands for itself here",
        ),
        (
            with(json!([{"policy": "api", "path_prefx": "/"}])),
            "routes[0].path_prefx: unknown key \"path_prefx\"; did you mean \"path_prefix\"?",
        ),
        (
            with(json!([{"policy": "api", "path": "/", "hosts": ["api", "a b"]}])),
            "routes[0].hosts[1]: \"a b\" is no host: a name without a port, or `*.` and the end of names, is",
        ),
        (with(json!([{"policy": "api"}])), "routes[0]: a route has exactly one of `path` and `path_prefix`"),
        (
            with(json!([{"policy": "api", "path_prefix": "/"}, {"policy": "open", "path": "/health"}])),
            "routes[1]: no request comes here, since routes[0] takes them all",
        ),
        (
            beside_default,
            "default_policy: `routes` and `default_policy` exclude each other: a last route `path_prefix: /` is for all \
             that no other one is for",
        ),
        (
            json!({"clean_only": {}, "routes": [{"policy": "clean_only", "path": "/"}]}),
            "routes: routes choose among `policies`, and there is one role at the top",
        ),
    ] {
        assert_eq!(message(&wrong), expected);
    }
    Policies::load(with(json!([{"policy": "api", "path": "/"}])).to_string().as_bytes()).unwrap();
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
        (
            "{\"clean_only\": {},\n \"clean_only\": {}}",
            "clean_only: this key stands here for the second time (line 2, column 2)",
        ),
        (
            "{\"policies\": {\"ä\": {\"clean_only\": {}},\n  \"a\": {\"clean_only\": {}}, \"\\u0061\": {}}}",
            "policies.a: this key stands here for the second time (line 2, column 28)",
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
