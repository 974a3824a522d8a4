// SPDX-License-Identifier: Apache-2.0

//! The query of a request to an API: none passes in which some server reads an access token, and none is refused for one
//! that has nothing like it.

use std::sync::LazyLock;

use certbound::jose::signature::PortableEngine;
use certbound::time::UnixTime;
use certbound::{Policies, Reason, Request};

use super::keys::resource_server;
use super::readers;
use super::upstream::{Host, end};

static POLICIES: LazyLock<Policies> =
    LazyLock::new(|| Policies::load(resource_server("required", "cnf").as_bytes()).unwrap());

pub fn check(input: &[u8]) {
    let path = [b"/?", input].concat();
    let headers = [(":path", path.as_slice())];
    let request = Request { headers: &headers, route_metadata: None, peer_digest: None, now: UnixTime::EPOCH };
    let refusal =
        end(&POLICIES, &request, &PortableEngine, Host::default()).expect_err("a request without a token passes");
    let is_refused = refusal.reason() == Reason::TokenInQuery;
    let names = input
        .split(|byte| matches!(byte, b'?' | b'&' | b';'))
        .map(|one| one.split(|byte| *byte == b'=').next().unwrap());
    for name in names.clone() {
        let read = readers::names(name).iter().any(|name| name == "access_token");
        assert!(is_refused || !read, "somebody reads a token in {}", name.escape_ascii());
    }
    let letters = |name: &[u8]| {
        let name = readers::names(name).concat().to_uppercase().to_lowercase().replace('\u{212a}', "k");
        name.chars().filter(char::is_ascii_alphabetic).collect::<String>().replace("u00", "")
    };
    assert!(!is_refused || names.map(letters).any(|name| name.contains("accesstoken")), "there is no token in it");
}
