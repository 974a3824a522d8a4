// SPDX-License-Identifier: Apache-2.0

//! The algorithms with which clients may sign DPoP proofs. The API behind verifies these, so only the operator knows.

use serde::Deserialize;

/// In characters. Registered names have five to eleven.
const LONGEST: usize = 32;

/// The names of algorithms, in the order in which clients are told them.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Vec<String>")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "ListForm"))]
pub(super) struct DpopAlgorithms(Vec<String>);

/// Its form in the schema.
#[cfg(not(target_arch = "wasm32"))]
#[derive(schemars::JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "it is there for its schema")]
struct ListForm(
    #[schemars(length(min = 1), inner(regex(pattern = r"^(?!none$|HS)[A-Za-z0-9-]{1,32}$")), extend("uniqueItems" = true))]
     Vec<String>,
);

impl TryFrom<Vec<String>> for DpopAlgorithms {
    type Error = String;

    fn try_from(names: Vec<String>) -> Result<Self, String> {
        // RFC 9449 §4.3: asymmetric, and not `none`.
        let is_right = |name: &String| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            (1..=LONGEST).contains(&name.len())
                && name.bytes().all(allowed)
                && name != "none"
                && !name.starts_with("HS")
        };
        if names.is_empty() {
            return Err("there is no algorithm; without the list clients are told none".to_owned());
        }
        if let Some(wrong) = names.iter().find(|name| !is_right(name)) {
            return Err(format!("{wrong:?} is no asymmetric algorithm of JWS, as ES256 is"));
        }
        match names.iter().enumerate().find(|(place, name)| names.iter().take(*place).any(|other| other == *name)) {
            Some((_, twice)) => Err(format!("{twice} is listed twice")),
            None => Ok(Self(names)),
        }
    }
}

impl DpopAlgorithms {
    pub(super) fn names(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }
}
