// SPDX-License-Identifier: Apache-2.0

//! Whether a client's distinguished name may be one that a tool printed, which no certificate has.

use super::finding::{Finding, Warning};
use super::installation::Installation;
use crate::policy::{Policies, Policy};

/// The names that may never match.
pub(super) fn doubtful(installation: Installation<'_>, policies: &Policies) -> Vec<Finding> {
    let servers = policies.iter().filter_map(|(name, policy)| match policy {
        Policy::AuthorizationServer(server) => Some((name, server)),
        Policy::ResourceServer(_) | Policy::CleanOnly(_) => None,
    });
    let found = servers.flat_map(|(name, server)| server.doubts().into_iter().map(move |found| (name, found)));
    found
        .map(|(name, (client_id, key, why))| {
            let sentence = format!("under the policy {name}, the client {client_id:?}: {key} may never match: {why}");
            Finding::warning(installation.configuration, Warning::DistinguishedNameDoubtful, sentence)
        })
        .collect()
}
