// SPDX-License-Identifier: Apache-2.0

//! A claim with scopes, a required scope, and a token's claims, on a line each: a path is taken if it is a name or a JSON pointer (RFC
//! 6901), a scope if it is one (RFC 6749 §3.3), and a token passes if and only if it has that scope where the path leads.

use certbound::Reason;
use serde_json::{Map, Value, json};

use super::keys::{AUDIENCE, ISSUERS};
use super::{api, json};

pub fn check(input: &[u8]) {
    let Some([path, scope, claims]) = api::lines(input) else { return };
    let policies = api::policies(|server| {
        server["scope_claims"] = json!([path]);
        server["required_scopes"] = json!([scope]);
    });
    let names = names(&path);
    let is_scope =
        !scope.is_empty() && scope.bytes().all(|byte| matches!(byte, b'!'..=b'~') && !b"\"\\".contains(&byte));
    assert_eq!(policies.is_some(), names.is_some() && is_scope, "{path:?} {scope:?}");
    let (Some(policies), Some(names)) = (policies, names) else { return };

    let Some(own @ Value::Object(_)) = json::unambiguous(claims.as_bytes()) else { return };
    let Value::Object(own) = json::without_nulls(own) else { return };
    // Everything else that a token needs, and nothing beside that the check would have to judge as well.
    let mut whole: Map<String, Value> =
        own.into_iter().filter(|(name, _)| name.starts_with(['a', '/', '~']) && name != "aud").collect();
    let others =
        [("iss", json!(ISSUERS[0])), ("aud", json!(AUDIENCE)), ("exp", json!(api::NOW + 60)), ("scp", json!(""))];
    for (name, value) in others {
        whole.entry(name).or_insert(value);
    }
    let whole = Value::Object(whole);
    if json::depth(&whole) > json::TOO_DEEP / 2 || whole.to_string().len() > 8_000 {
        return;
    }
    let granted = granted(&whole, &names);
    match (api::judge(&policies, &whole.to_string()), granted) {
        (Ok(_), granted) => assert!(granted.is_some_and(|own| own.contains(&scope)), "{path:?} {scope:?} {whole}"),
        (Err(refused), granted) if refused.reason() == Reason::ScopeInsufficient => {
            assert!(granted.is_some_and(|own| !own.contains(&scope)), "{path:?} {scope:?} {whole}");
            let demanded = format!("scope=\"{scope}\"");
            assert!(refused.challenges().iter().any(|challenge| challenge.contains(&demanded)), "{refused:?}");
        }
        (Err(refused), granted) if refused.reason() == Reason::ClaimMalformed => {
            assert!(granted.is_none() || names.len() == 1, "{path:?} {whole} {refused:?}");
        }
        // Another claim says that it is another token, or bound to a certificate.
        (Err(refused), _) => assert!(whole.as_object().unwrap().len() > 4 || names.len() == 1, "{refused:?} {whole}"),
    }
}

/// The names on the way to a claim, by RFC 6901 §3 and §4 in words.
fn names(path: &str) -> Option<Vec<String>> {
    let Some(pointer) = path.strip_prefix('/') else { return (!path.is_empty()).then(|| vec![path.to_owned()]) };
    let is_escaped =
        |name: &&str| !name.is_empty() && name.split('~').skip(1).all(|behind| behind.starts_with(['0', '1']));
    let names: Vec<_> = pointer.split('/').collect();
    let unescaped = |name: &&str| name.replace("~1", "/").replace("~0", "~");
    names.iter().all(is_escaped).then(|| names.iter().map(unescaped).collect())
}

/// The scopes; `None` where something else stands there.
fn granted(claims: &Value, names: &[String]) -> Option<Vec<String>> {
    let found = names.iter().try_fold(claims, |value, name| value.as_object()?.get(name));
    match found {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::String(text)) => Some(text.split(' ').filter(|own| !own.is_empty()).map(str::to_owned).collect()),
        Some(Value::Array(items)) => items.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}
