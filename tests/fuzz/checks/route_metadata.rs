// SPDX-License-Identifier: Apache-2.0

//! The route's metadata: it names a policy in exactly one form, and no other bytes open a route.

use std::sync::LazyLock;

use certbound::jose::signature::PortableEngine;
use certbound::time::UnixTime;
use certbound::{Policies, Reason, Request};

use super::keys;
use super::upstream::{Host, end};

static POLICIES: LazyLock<Policies> = LazyLock::new(|| {
    let api = keys::resource_server("required", "cnf");
    let text = format!(r#"{{"policies": {{"api": {api}, "open": {{"clean_only": {{}}}}}}, "default_policy": "api"}}"#);
    Policies::load(text.as_bytes()).unwrap()
});

/// Count, lengths, and every text with a NUL behind it.
pub fn encoded(key: &[u8], value: &[u8]) -> Vec<u8> {
    let size = |text: &[u8]| u32::try_from(text.len()).unwrap().to_le_bytes();
    [&[1, 0, 0, 0], size(key).as_slice(), &size(value), key, &[0], value, &[0]].concat()
}

pub fn check(input: &[u8]) {
    judge(input);
    judge(&encoded(b"policy", input));
}

fn judge(metadata: &[u8]) {
    let headers = [(":path", &b"/"[..])];
    let request =
        Request { headers: &headers, route_metadata: Some(metadata), peer_digest: None, now: UnixTime::EPOCH };
    let reason = end(&POLICIES, &request, &PortableEngine, Host::default()).err();
    let reason = reason.map(|refusal| refusal.reason());
    // Where the value of `{ policy: ... }` would stand: 4 bytes of count, 8 of lengths, `policy` and its NUL.
    let name = metadata.get(19..metadata.len().max(20) - 1).filter(|name| metadata == encoded(b"policy", name));
    let expected = match name {
        Some(b"open") => None,
        Some(b"api") => Some(Reason::TokenMissing),
        Some(_) => Some(Reason::UnknownPolicy),
        None if matches!(metadata, [] | [0, 0, 0, 0]) => Some(Reason::TokenMissing),
        None => Some(Reason::RouteMetadataMalformed),
    };
    assert_eq!(reason, expected, "{metadata:?}");
}
