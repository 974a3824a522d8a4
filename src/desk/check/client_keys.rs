// SPDX-License-Identifier: Apache-2.0

//! Whether every key of a client's `jwks` serves.

use super::finding::{Finding, Warning};
use super::installation::Installation;
use crate::config::file::Place;
use crate::policy::{Policies, Policy};

/// The keys that are left out, each at its place.
pub(super) fn left_out(installation: Installation<'_>, policies: &Policies) -> Vec<Finding> {
    let whole = installation.configuration;
    let servers = policies.iter().filter_map(|(name, policy)| match policy {
        Policy::AuthorizationServer(server) => Some((name, server)),
        Policy::ResourceServer(_) | Policy::CleanOnly(_) => None,
    });
    let found = servers.flat_map(|(name, server)| server.left_out_keys().into_iter().map(move |found| (name, found)));
    found
        .map(|(name, (client_id, place, key))| {
            let sentence = format!(
                "under the policy {name}, the client {client_id:?} has a key in its jwks that is left out: {key}; give it x5c, or \
                 leave it out"
            );
            let place = key_of(whole, (name, client_id, place)).unwrap_or(whole);
            Finding::warning(place, Warning::ClientKeyLeftOut, sentence)
        })
        .collect()
}

/// Where a key stands; `None` where the configuration is JSON in a text.
fn key_of<'d>(whole: Place<'d>, (policy, client_id, place): (&str, &str, usize)) -> Option<Place<'d>> {
    let policy = whole.get("policies").and_then(|policies| policies.get(policy)).unwrap_or(whole);
    let authentication = policy.get("authorization_server")?.get("client_authentication")?;
    let client = authentication.list(&["clients"]).find(|own| own.text_at(&["client_id"]) == Some(client_id))?;
    client.get("jwks")?.list(&["keys"]).nth(place)
}
