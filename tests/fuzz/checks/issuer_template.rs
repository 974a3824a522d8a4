// SPDX-License-Identifier: Apache-2.0

//! Two identifiers of issuers with claims in them, and a token's issuer and tenant, on a line each: a token is of an issuer if the
//! template with its own claims is its `iss`, letter for letter, and no token is of two issuers of a policy.

use certbound::Reason;
use serde_json::{Value, json};

use super::api;
use super::keys::AUDIENCE;

pub fn check(input: &[u8]) {
    let Some([first, second, issuer, tenant, region]) = api::lines(input) else { return };
    let claims = [("tid", tenant.as_str()), ("region", region.as_str())];
    let of = |template: &str| {
        let alone = api::policies(|server| set_issuers(server, &[template]))?;
        let token = json!({"iss": issuer, "tid": tenant, "region": region, "aud": AUDIENCE, "exp": api::NOW + 60});
        let is_of = match api::judge(&alone, &token.to_string()) {
            Ok(_) => true,
            Err(refused) => {
                assert_eq!(refused.reason(), Reason::IssuerNotTrusted, "{template:?} {token}");
                false
            }
        };
        let expected = completed(template, &claims);
        // Of other claims the token has none.
        assert_eq!(is_of, expected.as_deref() == Some(&*issuer), "{template:?} {token}");
        Some(is_of)
    };
    let (Some(one), Some(two)) = (of(&first), of(&second)) else { return };
    if one && two {
        let both = api::policies(|server| set_issuers(server, &[&first, &second]));
        assert!(both.is_none(), "a token is of both {first:?} and {second:?}: {issuer:?} {claims:?}");
    }
}

/// The policy's first issuer, with these identifiers.
fn set_issuers(server: &mut Value, identifiers: &[&str]) {
    let like = server["issuers"][0].clone();
    let named = |identifier: &&str| {
        let mut issuer = like.clone();
        issuer["issuer"] = json!(identifier);
        issuer
    };
    server["issuers"] = identifiers.iter().map(named).collect();
}

/// The template with these claims in place of their names; `None` where it has another claim, or one has a value that none may have.
fn completed(template: &str, claims: &[(&str, &str)]) -> Option<String> {
    let mut text = template.to_owned();
    for (name, value) in claims {
        let place = format!("{{{name}}}");
        let plain =
            !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        if text.contains(&place) && !plain {
            return None;
        }
        text = text.replace(&place, value);
    }
    (!text.contains(['{', '}'])).then_some(text)
}
