// SPDX-License-Identifier: Apache-2.0

//! An API of the checks: a policy with keys of the checks that is changed, and the end of a request with a token.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certbound::time::UnixTime;
use certbound::{Policies, Refused, Request};
use serde_json::{Value, json};

use super::keys::{self, KEYS};
use super::upstream::{Headers, Host, end};

/// The time of every request, in seconds.
pub const NOW: u64 = 1_000;

/// The longest input of these checks, in bytes.
pub const LONGEST: usize = 700;

/// A `resource_server` with the first issuer's first key, which is loaded quickly.
static RESOURCE_SERVER: LazyLock<Value> = LazyLock::new(|| {
    let whole: Value = serde_json::from_str(&keys::resource_server("if_present", "cnf")).expect("it is JSON");
    let mut server = whole["resource_server"].clone();
    server["issuers"].as_array_mut().unwrap().truncate(1);
    server["issuers"][0]["keys"]["jwks"]["keys"].as_array_mut().unwrap().truncate(1);
    server
});

/// The policy, if it loads with this change of its `resource_server`.
pub fn policies(change: impl FnOnce(&mut Value)) -> Option<Policies> {
    let mut server = RESOURCE_SERVER.clone();
    change(&mut server);
    Policies::load(json!({ "resource_server": server }).to_string().as_bytes()).ok()
}

/// The end of a request with a token that the first issuer's first key signed.
pub fn judge(policies: &Policies, claims: &str) -> Result<Headers, Refused> {
    let key = &KEYS[0];
    let header = format!(r#"{{"alg":"{}","kid":"{}"}}"#, key.algorithm, key.key_id);
    let signed = [header.as_str(), claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let token = format!("Bearer {signed}.{}", URL_SAFE_NO_PAD.encode(key.sign(&signed)));
    request(policies, &[("authorization", token.as_bytes())])
}

/// The end of a request with these headers.
pub fn request(policies: &Policies, headers: &[(&str, &[u8])]) -> Result<Headers, Refused> {
    let request = Request { headers, route_metadata: None, peer_digest: None, now: UnixTime::from_seconds(NOW) };
    end(policies, &request, &keys::Marks, Host::default())
}

/// The lines of an input, empty where there are less; `None` if it is no text, which no configuration has, or teaches nothing more.
pub fn lines<const COUNT: usize>(input: &[u8]) -> Option<[String; COUNT]> {
    let text = std::str::from_utf8(input).ok().filter(|text| text.len() <= LONGEST)?;
    let mut lines = text.splitn(COUNT, '\n');
    Some(std::array::from_fn(|_| lines.next().unwrap_or_default().to_owned()))
}
