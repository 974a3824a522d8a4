// SPDX-License-Identifier: Apache-2.0

//! Whether an ID token may pass for an access token, where nothing in it says which of them it is.

use super::finding::{Finding, Warning};
use super::installation::Installation;
use crate::policy::{Policies, Policy};

/// The policies whose audiences may be those of ID tokens, and which look at nothing else that tells them apart.
pub(super) fn may_pass(installation: Installation<'_>, policies: &Policies) -> Vec<Finding> {
    let apis = policies.iter().filter_map(|(name, policy)| match policy {
        Policy::ResourceServer(server) => Some((name, server)),
        Policy::AuthorizationServer(_) | Policy::CleanOnly(_) => None,
    });
    let found = apis.flat_map(|(name, server)| server.audiences_of_clients().map(move |found| (name, found)));
    found
        .map(|(name, (issuer, audience))| {
            let sentence = format!(
                "under the policy {name} an ID token of {issuer} may pass for an access token, which need not be bound: nothing \
                 in it may say what it is, and its audience {audience:?} may be a client's id; say `token_type: at+jwt` or \
                 `required_scopes`, or give the API an audience of its own, a URI"
            );
            Finding::warning(installation.configuration, Warning::IdTokenMayPass, sentence)
        })
        .collect()
}
