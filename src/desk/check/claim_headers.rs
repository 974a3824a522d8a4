// SPDX-License-Identifier: Apache-2.0

//! The headers into which Envoy's `jwt_authn` writes claims (`claim_to_headers`). Envoy 1.40 removes a client's own header of such a
//! name on every route, an older one only where a provider runs.

use super::finding::{Finding, Warning};
use super::installation::{HttpFilter, message};
use crate::config::file::Place;
use crate::policy::Policies;

/// Those that a client may write itself where no provider runs.
pub(super) fn not_removed(HttpFilter { manager, index }: HttpFilter<'_>, policies: &Policies) -> Vec<Finding> {
    let removed: Vec<_> = manager.manager.everything().into_iter().flat_map(removed_at).collect();
    let is_removed = |name: &str| removed.iter().any(|own| own.eq_ignore_ascii_case(name));
    let verifiers = manager.filters().enumerate();
    let overridden = |filter: Place<'_>| {
        let name = filter.text_at(&["name"]).unwrap_or_default();
        let all = manager.manager.everything().into_iter();
        all.filter_map(|place| place.at(&["typed_per_filter_config"])).any(|own| own.get(name).is_some())
    };
    let mut found = Vec::new();
    for (place, filter) in verifiers {
        let verifier = message(filter, "JwtAuthentication").filter(|own| !is_everywhere(*own) || overridden(filter));
        let Some(verifier) = verifier else { continue };
        for header in written(verifier) {
            let Some(name) = header.text_at(&["header_name"]) else { continue };
            // What this filter removes behind the other one is no longer the client's.
            let is_ours = index < place && policies.is_forwarding_header(name);
            if !is_ours && !is_removed(name) {
                found.push(warning(header, name));
            }
        }
    }
    found
}

fn warning(header: Place<'_>, name: &str) -> Finding {
    let sentence = format!(
        "jwt_authn writes a claim into {name}, and before Envoy 1.40 a client's own one stays where no provider runs: name it in \
         request_headers_to_remove of those routes, whatever their policy"
    );
    Finding::warning(header, Warning::ClaimHeaderNotRemoved, sentence)
}

/// Every header that it writes from a claim.
fn written(verifier: Place<'_>) -> impl Iterator<Item = Place<'_>> {
    let providers = verifier.at(&["providers"]).into_iter().flat_map(Place::entries);
    providers.flat_map(|(_, provider)| provider.list(&["claim_to_headers"]))
}

/// Whether a provider runs for every path: its rule stands first.
fn is_everywhere(verifier: Place<'_>) -> bool {
    let first = verifier.list(&["rules"]).next();
    first.is_some_and(|rule| {
        let is_all = rule.text_at(&["match", "prefix"]) == Some("/");
        let only = rule.at(&["match"]).is_some_and(|own| own.entries().count() == 1);
        is_all && only && rule.at(&["requires", "provider_name"]).is_some()
    })
}

/// What a route, a virtual host or the manager removes from requests.
fn removed_at(place: Place<'_>) -> Vec<&str> {
    place.list(&["request_headers_to_remove"]).filter_map(Place::text).collect()
}
