// SPDX-License-Identifier: Apache-2.0

//! What a policy tells its clients, a text on each line: realm, scope, authentication context class, identifier of the API, and
//! algorithms for DPoP proofs. If it loads, every challenge is one by the grammar of RFC 9110 §11.6.1, with these very values: nothing
//! in a text ends its quotes, its header or its challenge.

use std::collections::BTreeMap;

use certbound::Refused;
use serde_json::json;

use super::api;
use super::keys::{AUDIENCE, ISSUERS};

pub fn check(input: &[u8]) {
    let Some([realm, scope, class, resource, algorithms]) = api::lines(input) else { return };
    let algorithms: Vec<_> = algorithms.split('\n').flat_map(|text| text.split(' ')).collect();
    let policies = api::policies(|server| {
        server["realm"] = json!(realm);
        server["required_scopes"] = json!([scope]);
        server["required_acr"] = json!([class]);
        server["protected_resource_metadata"] = json!({"resource": resource});
        server["dpop"] = json!("verified_upstream");
        server["dpop_algorithms"] = json!(algorithms);
    });
    let Some(policies) = policies else { return };
    // RFC 9449 §4.3: asymmetric, and not `none`.
    assert!(
        algorithms.iter().all(|name| !name.is_empty() && *name != "none" && !name.starts_with("HS")),
        "{algorithms:?}"
    );
    let told = |refused: &Refused| {
        let challenges: Vec<_> = refused.challenges().iter().map(|challenge| parameters(challenge)).collect();
        let schemes: Vec<_> = challenges.iter().map(|(scheme, _)| scheme.as_str()).collect();
        assert_eq!(schemes, ["DPoP", "Bearer"], "{refused:?}");
        for (scheme, parameters) in &challenges {
            assert_eq!(parameters["realm"], realm);
            assert_eq!(parameters.get("algs").cloned(), (scheme == "DPoP").then(|| algorithms.join(" ")));
            let host = resource.trim_start_matches("https://");
            let (host, path) = host.split_at(host.find('/').unwrap_or(host.len()));
            let path = if path == "/" { "" } else { path };
            let metadata = format!("https://{host}/.well-known/oauth-protected-resource{path}");
            assert_eq!(parameters["resource_metadata"], metadata);
        }
        challenges.into_iter().find_map(|(_, own)| own.contains_key("error").then_some(own)).unwrap_or_default()
    };
    let none = api::request(&policies, &[]).expect_err("there is no token");
    assert!(!told(&none).contains_key("error"));
    let with = |acr: &str, scope: &str| {
        let token = json!({"iss": ISSUERS[0], "aud": AUDIENCE, "exp": api::NOW + 60, "acr": acr, "scope": scope});
        api::judge(&policies, &token.to_string())
    };
    assert!(with(&class, &scope).is_ok());
    let lacks_class = told(&with("", &scope).expect_err("it has no class"));
    assert_eq!((&*lacks_class["error"], &lacks_class["acr_values"]), ("insufficient_user_authentication", &class));
    let lacks_scope = told(&with(&class, "").expect_err("it has no scope"));
    assert_eq!((&*lacks_scope["error"], &lacks_scope["scope"]), ("insufficient_scope", &scope));
}

/// The scheme and the parameters of one challenge: `name="text"` with commas between them, every name once.
fn parameters(challenge: &str) -> (String, BTreeMap<String, String>) {
    let is_token =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let (scheme, mut rest) = challenge.split_once(' ').expect("a challenge has parameters");
    assert!(is_token(scheme), "{challenge:?}");
    let mut parameters = BTreeMap::new();
    loop {
        let (name, text) = rest.split_once("=\"").unwrap_or_else(|| panic!("no parameter: {challenge:?}"));
        let (text, behind) = text.split_once('"').unwrap_or_else(|| panic!("an open quote: {challenge:?}"));
        // RFC 9110 §5.6.4, without a need for a backslash.
        assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'\\'), "{challenge:?}");
        assert!(is_token(name) && parameters.insert(name.to_owned(), text.to_owned()).is_none(), "{challenge:?}");
        match behind.strip_prefix(", ") {
            Some(next) => rest = next,
            None => break assert_eq!(behind, "", "{challenge:?}"),
        }
    }
    (scheme.to_owned(), parameters)
}
