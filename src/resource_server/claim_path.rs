// SPDX-License-Identifier: Apache-2.0

//! Where a claim stands in a token.

use serde::Deserialize;

use crate::text::json::{Json, Object};

/// A claim by its name, or by a JSON pointer (RFC 6901) if it stands in another one: `/realm_access/roles`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "Text"))]
pub(super) struct ClaimPath {
    text: String,
    names: Vec<String>,
}

/// Its form in the schema.
#[cfg(not(target_arch = "wasm32"))]
#[derive(schemars::JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "it is there for its schema")]
struct Text(#[schemars(regex(pattern = r"^([^/].*|(/([^~/]|~[01])+)+)$"))] String);

impl TryFrom<String> for ClaimPath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let names = match text.strip_prefix('/') {
            None if text.is_empty() => return Err("the name of the claim is empty".to_owned()),
            None => Some(vec![text.clone()]),
            Some(pointer) => pointer.split('/').map(unescaped).collect(),
        };
        match names {
            Some(names) => Ok(Self { text, names }),
            None => Err(format!("{text:?} is no JSON pointer to a claim: /realm_access/roles is one (RFC 6901)")),
        }
    }
}

/// A name as a JSON pointer has it: `~1` is a slash, and `~0` the character before it (RFC 6901 §4).
fn unescaped(token: &str) -> Option<String> {
    let mut parts = token.split('~');
    let mut name = parts.next()?.to_owned();
    for part in parts {
        let (escaped, rest) = part.split_at_checked(1)?;
        name.push(match escaped {
            "0" => '~',
            "1" => '/',
            _ => return None,
        });
        name.push_str(rest);
    }
    Some(name).filter(|name| !name.is_empty())
}

impl ClaimPath {
    /// A claim at the top level.
    pub(super) fn named(name: &str) -> Self {
        Self { text: name.to_owned(), names: vec![name.to_owned()] }
    }

    /// As the configuration has it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The names from the top level on.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether it is this claim at the top level.
    pub(super) fn is(&self, name: &str) -> bool {
        matches!(self.names.as_slice(), [own] if own == name)
    }

    /// The claim, if it is there and not null. What is no object has no members.
    pub(super) fn find<'c>(&self, claims: &'c Object<'c>) -> Option<&'c Json<'c>> {
        let (first, rest) = self.names.split_first()?;
        let found = rest.iter().try_fold(claims.get(first)?, |value, name| match value {
            Json::Object(members) => members.get(name),
            _ => None,
        });
        found.filter(|value| **value != Json::Null)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::json;

    #[test]
    fn a_path_is_a_name_or_a_json_pointer() {
        for (text, names) in [
            ("scope", &["scope"][..]),
            ("https://a.example/roles", &["https://a.example/roles"]),
            ("/realm_access/roles", &["realm_access", "roles"]),
            ("/https:~1~1a.example~1roles", &["https://a.example/roles"]),
            ("/a~01/~0", &["a~1", "~"]),
        ] {
            assert_eq!(ClaimPath::try_from(text.to_owned()).unwrap().names(), names, "{text}");
        }
        for wrong in ["", "/", "//a", "/a/", "/a~", "/a~2", "/~é"] {
            assert!(ClaimPath::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_claim_is_found_where_objects_lead_to_it() {
        let claims = json::object(br#"{"a": {"b": {"c": "x", "n": null}, "d": ["e"], "n": null}, "/a/b": 1}"#).unwrap();
        let found = |path: &str| ClaimPath::try_from(path.to_owned()).unwrap().find(&claims).cloned();
        assert_eq!(found("/a/b/c"), Some(Json::Text("x".into())));
        for path in ["/a/x", "/a/d/0", "/a/b/c/x", "/a~1b", "b", "/a/n", "/a/n/x", "/a/b/n"] {
            assert_eq!(found(path), None, "{path}");
        }
    }
}
