// SPDX-License-Identifier: Apache-2.0

//! The payload of a token that another filter verified: Envoy's `jwt_authn` writes it into dynamic metadata.
//!
//! The token that is judged must be the token that is forwarded. `jwt_authn` may take a token from other places of the request,
//! too, and the last one counts there. So if the request still has a token, its payload must equal the verified one, member for
//! member.
//!
//! For a token in the cache only the `jti` is compared, since getting the whole payload from the host is much of a request's
//! cost. An issuer gives no two tokens the same `jti` (RFC 7519 §4.1.7). A holder of the issuer's key could; then a token that
//! was verified before passes until it expires, though `jwt_authn` may refuse it by now. That needs a provider that takes
//! tokens from another place than `Authorization`, against the manual.

use std::borrow::Cow;

use serde_json::Number;

use super::claim_path::ClaimPath;
use super::token_kind;
use crate::http::host_map::entries;
use crate::outcome::identity::CLIENT_CLAIMS;
use crate::outcome::refusal::Refusal;
use crate::reason::Reason;
use crate::text::json::{Json, Object};

/// The claims of which Istio and Envoy Gateway have `jwt_authn` make a list where they are one text
/// (`normalize_payload_in_metadata`).
const SPACE_DELIMITED: &[&str] = &["scope", "scp", "permission"];

/// A payload as the host encodes it. A map is what [`entries`] reads, and a list is a map from its items to nothing. A string
/// is its bytes, and a number the eight bytes of a double. The encoding does not say which of these a value is.
#[derive(Debug)]
pub(super) struct VerifiedPayload<'a>(Vec<(&'a [u8], &'a [u8])>);

impl<'a> VerifiedPayload<'a> {
    /// Reads a payload; `None` if it is not a map.
    pub(super) fn read(encoded: &'a [u8]) -> Option<Self> {
        entries(encoded).map(Self)
    }

    /// Whether it equals this payload.
    pub(super) fn is(&self, payload: &Object<'_>) -> bool {
        is_object(&self.0, payload, is_claim)
    }

    /// The claims that are judged, for a request whose token was removed, and these texts. `None` if one has the wrong type.
    pub(super) fn claims(&self, scope_claims: &[ClaimPath], texts: &[&str]) -> Option<Object<'a>> {
        let claim = |&(name, value): &(&'a [u8], &'a [u8])| {
            let below = below(name, scope_claims.iter().map(ClaimPath::names));
            let is_client = CLIENT_CLAIMS.iter().any(|own| own.as_bytes() == name);
            let value = match name {
                b"iss" | b"sub" | b"jti" | b"x5t#S256" | b"acr" => text(value),
                _ if is_client => text(value),
                b"exp" | b"nbf" | b"iat" | b"auth_time" => number(value),
                b"aud" => match list(value) {
                    Some(audiences) => audiences.into_iter().map(text).collect::<Option<_>>().map(Json::List),
                    None => text(value),
                },
                b"cnf" => entries(value)
                    .and_then(|members| members.into_iter().map(member).collect::<Option<_>>())
                    .map(Json::Object),
                _ if !below.is_empty() => Some(picked(value, &below)?),
                _ if texts.iter().any(|own| own.as_bytes() == name) => text(value),
                _ => Some(mark(name, value)?),
            };
            Some(value.and_then(|value| named(name, value)))
        };
        self.0.iter().filter_map(claim).collect()
    }
}

/// A claim that shows the kind of the token. For some only their presence matters. A word that is not text is ignored.
fn mark<'a>(name: &[u8], value: &'a [u8]) -> Option<Json<'a>> {
    let is_among = |names: &[&str]| names.iter().any(|own| own.as_bytes() == name);
    if is_among(token_kind::WORDS) {
        Some(text(value).unwrap_or(Json::Bool(true)))
    } else {
        let is_mark = is_among(token_kind::OF_OTHERS) || is_among(token_kind::SCOPES) || is_among(&[token_kind::NONCE]);
        is_mark.then_some(Json::Bool(true))
    }
}

/// What follows this name in the paths that begin with it.
fn below<'p>(name: &[u8], paths: impl Iterator<Item = &'p [String]>) -> Vec<&'p [String]> {
    paths.filter_map(<[_]>::split_first).filter(|(first, _)| first.as_bytes() == name).map(|(_, rest)| rest).collect()
}

/// A value as far as these paths lead into it: a list of texts or a text at their ends. What cannot be read grants nothing.
fn picked<'a>(value: &'a [u8], paths: &[&[String]]) -> Option<Json<'a>> {
    if paths.iter().any(|path| path.is_empty()) {
        return match list(value) {
            Some(items) => items.into_iter().map(text).collect::<Option<_>>().map(Json::List),
            None => text(value),
        };
    }
    let member = |(name, value): (&'a [u8], &'a [u8])| {
        let below = below(name, paths.iter().copied());
        if below.is_empty() { None } else { named(name, picked(value, &below)?) }
    };
    Some(Json::Object(entries(value)?.into_iter().filter_map(member).collect()))
}

/// A member of `cnf`. Only the thumbprint's value matters; of the others, only the name does.
fn member<'a>((name, value): (&'a [u8], &'a [u8])) -> Option<(Cow<'a, str>, Json<'a>)> {
    named(name, if name == b"x5t#S256" { text(value)? } else { Json::Bool(true) })
}

fn named<'a>(name: &'a [u8], value: Json<'a>) -> Option<(Cow<'a, str>, Json<'a>)> {
    Some((Cow::Borrowed(std::str::from_utf8(name).ok()?), value))
}

fn text(bytes: &[u8]) -> Option<Json<'_>> {
    Some(Json::Text(Cow::Borrowed(std::str::from_utf8(bytes).ok()?)))
}

fn number(bytes: &[u8]) -> Option<Json<'_>> {
    Number::from_f64(f64::from_le_bytes(bytes.try_into().ok()?)).map(Json::Number)
}

/// Whether these are the members of an object, each as `is_member` compares it.
fn is_object(entries: &[(&[u8], &[u8])], object: &Object<'_>, is_member: fn(&str, &[u8], &Json<'_>) -> bool) -> bool {
    entries.len() == object.len()
        && object.iter().all(|(name, value)| {
            entries.iter().any(|(own, encoded)| *own == name.as_bytes() && is_member(name, encoded, value))
        })
}

/// Whether it is this claim of a payload: one of [`SPACE_DELIMITED`] may be split.
fn is_claim(name: &str, encoded: &[u8], value: &Json<'_>) -> bool {
    let is_split = || match value {
        Json::Text(text) if SPACE_DELIMITED.contains(&name) => {
            let parts = text.split(' ').filter(|part| !part.is_empty()).map(str::as_bytes);
            list(encoded).is_some_and(|items| !items.is_empty() && items.into_iter().eq(parts))
        }
        _ => false,
    };
    is_value(encoded, value) || is_split()
}

fn is_value(encoded: &[u8], value: &Json<'_>) -> bool {
    match value {
        // The host does not encode maps that contain a null.
        Json::Null => false,
        Json::Bool(value) => encoded == [u8::from(*value)],
        Json::Number(value) => value.as_f64().is_some_and(|value| encoded == value.to_le_bytes()),
        Json::Text(value) => encoded == value.as_bytes(),
        Json::List(items) => list(encoded).is_some_and(|encoded| {
            encoded.len() == items.len() && encoded.iter().zip(items).all(|(encoded, item)| is_value(encoded, item))
        }),
        Json::Object(object) => entries(encoded)
            .is_some_and(|entries| is_object(&entries, object, |_, encoded, value| is_value(encoded, value))),
    }
}

fn list(encoded: &[u8]) -> Option<Vec<&[u8]>> {
    entries(encoded)?.into_iter().map(|(item, nothing)| nothing.is_empty().then_some(item)).collect()
}

/// Checks that another filter verified a token with exactly this payload.
pub(super) fn is_of(payload: &Object<'_>, verified: Option<&[u8]>) -> Result<(), Refusal> {
    let refused = |why| Err(Refusal::because(Reason::TokenNotVerified, why));
    match verified.map(VerifiedPayload::read) {
        None => refused("there is no payload in the metadata"),
        Some(None) => refused("the payload in the metadata cannot be read"),
        Some(Some(verified)) if verified.is(payload) => Ok(()),
        Some(Some(_)) => refused("the payload in the metadata is another token's"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::http::host_map;
    use crate::resource_server::scope::ScopeClaims;
    use crate::text::json;

    fn encoded(value: &Value) -> Vec<u8> {
        let pairs = |pairs: Vec<_>| host_map::encoded(&pairs);
        match value {
            Value::Null => panic!("the host encodes none"),
            Value::Bool(value) => vec![u8::from(*value)],
            Value::Number(value) => value.as_f64().unwrap().to_le_bytes().to_vec(),
            Value::String(value) => value.as_bytes().to_vec(),
            Value::Array(items) => pairs(items.iter().map(|item| (encoded(item), Vec::new())).collect()),
            Value::Object(object) => {
                pairs(object.iter().map(|(name, value)| (name.as_bytes().to_vec(), encoded(value))).collect())
            }
        }
    }

    fn claims() -> Value {
        json!({
            "iss": "https://as", "sub": "client-1", "aud": ["https://api", "other"], "exp": 1_800_000_000.5,
            "nbf": 1_700_000_000, "scope": "a b", "cnf": {"x5t#S256": "thumbprint", "jkt": "key"},
            "roles": [{"name": "x", "active": true}], "active": false,
        })
    }

    /// The claims of a payload that are judged where these have the scopes, or where the usual ones have.
    fn judged<'a>(bytes: &'a [u8], scope_claims: &[&str]) -> Option<Object<'a>> {
        let named: Vec<_> = scope_claims.iter().map(|path| ClaimPath::try_from((*path).to_owned()).unwrap()).collect();
        let usual = ScopeClaims::default();
        let paths = if named.is_empty() { usual.paths() } else { &named };
        VerifiedPayload::read(bytes).unwrap().claims(paths, &[])
    }

    #[test]
    fn scopes_are_read_where_the_policy_says_and_nothing_else_is() {
        let payload = json!({
            "scope": ["a", "b"], "scp": "a b", "roles": ["r"], "groups": ["g"],
            "realm_access": {"roles": ["admin"], "other": [1.5]}, "resource_access": {"api": {"roles": ["x"]}, "b": 1.5},
        });
        for (paths, expected) in [
            (&[][..], json!({"scope": ["a", "b"], "scp": "a b"})),
            (&["roles"], json!({"scope": true, "scp": true, "roles": ["r"]})),
            (&["/realm_access/roles"], json!({"scope": true, "scp": true, "realm_access": {"roles": ["admin"]}})),
            (
                &["/resource_access/api/roles", "/resource_access/none/roles", "/roles/none"],
                json!({"scope": true, "scp": true, "resource_access": {"api": {"roles": ["x"]}}, "roles": {}}),
            ),
        ] {
            let bytes = encoded(&payload);
            assert_eq!(Value::from(Json::Object(judged(&bytes, paths).unwrap())), expected, "{paths:?}");
        }
    }

    #[test]
    fn a_text_that_jwt_authn_has_split_is_the_same_claim_in_three_places() {
        for name in ["scope", "scp", "permission"] {
            let of = |value: Value| json!({ name: value });
            let is = |verified: Value, own: Value| {
                let bytes = encoded(&of(verified));
                VerifiedPayload::read(&bytes).unwrap().is(&json::object(of(own).to_string().as_bytes()).unwrap())
            };
            assert!(is(json!(["a", "b"]), json!("a b")) && is(json!(["a", "b"]), json!(" a  b ")), "{name}");
            assert!(is(json!(["a"]), json!("a")) && is(json!(["a b"]), json!(["a b"])), "{name}");
            for (verified, own) in [
                (json!(["a", "b"]), json!("b a")),
                (json!(["a"]), json!("a b")),
                (json!(["a", "b", "c"]), json!("a b")),
                (json!(["a b"]), json!("a b")),
                (json!([]), json!("")),
                (json!("a b"), json!(["a", "b"])),
            ] {
                assert!(!is(verified.clone(), own.clone()), "{name} {verified} {own}");
            }
        }
        let bytes = encoded(&json!({"groups": ["a", "b"]}));
        assert!(!VerifiedPayload::read(&bytes).unwrap().is(&json::object(br#"{"groups": "a b"}"#).unwrap()));
    }

    #[test]
    fn a_payload_is_itself_and_no_other() {
        let payload = claims();
        let bytes = encoded(&payload);
        let verified = VerifiedPayload::read(&bytes).unwrap();
        let is_verified = |payload: &Value| verified.is(&json::object(payload.to_string().as_bytes()).unwrap());
        assert!(is_verified(&payload));
        for (pointer, value) in [
            ("/sub", json!("client-2")),
            ("/aud/1", json!("another")),
            ("/aud", json!("https://api")),
            ("/exp", json!(1_800_000_001)),
            ("/scope", json!("a b c")),
            ("/cnf/x5t#S256", json!("another")),
            ("/cnf/jkt", json!(true)),
            ("/roles/0/active", json!(false)),
            ("/active", json!(null)),
        ] {
            let mut other = payload.clone();
            *other.pointer_mut(pointer).unwrap() = value;
            assert!(!is_verified(&other), "{pointer}");
        }
        let mut more = payload.clone();
        more["admin"] = json!(true);
        assert!(!is_verified(&more));
        let mut less = payload;
        less.as_object_mut().unwrap().remove("scope");
        assert!(!is_verified(&less));
    }

    #[test]
    fn the_claims_of_a_payload_alone_are_what_is_judged() {
        let bytes = encoded(&claims());
        let found = judged(&bytes, &[]).unwrap();
        let expected = json!({
            "iss": "https://as", "sub": "client-1", "aud": ["https://api", "other"], "exp": 1_800_000_000.5,
            "nbf": 1_700_000_000.0, "scope": "a b", "cnf": {"x5t#S256": "thumbprint", "jkt": true},
        });
        assert_eq!(Value::from(Json::Object(found)), expected);
        // What says what kind of token it is, by a word or by being there.
        let marks = json!({
            "typ": "ID", "token_use": "id", "tokenName": 0.1, "purpose": "id", "token_type": "Refresh", "at_hash": "x",
            "c_hash": 1, "s_hash": [], "events": {"a": {}}, "nonce": "n", "scp": ["a"], "sid": "1",
        });
        let bytes = encoded(&marks);
        let found = judged(&bytes, &[]).unwrap();
        let expected = json!({
            "typ": "ID", "token_use": "id", "tokenName": true, "purpose": "id", "token_type": "Refresh", "at_hash": true,
            "c_hash": true, "s_hash": true, "events": true, "nonce": true, "scp": ["a"],
        });
        assert_eq!(Value::from(Json::Object(found)), expected);
        let bytes = encoded(&json!({"aud": "https://api"}));
        assert_eq!(judged(&bytes, &[]).unwrap().get("aud").and_then(Json::as_str), Some("https://api"));
    }

    #[test]
    fn a_claim_of_the_wrong_type_makes_the_payload_none() {
        for wrong in [json!({"exp": "soon"}), json!({"nbf": true}), json!({"cnf": "x"}), json!({"aud": [1.5]})] {
            let bytes = encoded(&wrong);
            assert_eq!(judged(&bytes, &[]), None, "{wrong}");
        }
    }

    #[test]
    fn no_other_bytes_are_a_payload() {
        let bytes = encoded(&claims());
        for length in 0..bytes.len() {
            assert!(VerifiedPayload::read(&bytes[..length]).is_none(), "{length}");
        }
        assert!(VerifiedPayload::read(&[bytes.as_slice(), &[0]].concat()).is_none());
        assert!(VerifiedPayload::read(&[0xff; 64]).is_none());
    }
}
