// SPDX-License-Identifier: Apache-2.0

//! Whether the headers of a request or a response can wait for its body, where a policy has them wait.

use super::finding::{Finding, Warning};
use super::installation::Platform;
use crate::policy::{Policies, Policy};

/// Where they cannot.
pub(super) fn cannot_wait(platform: Platform<'_>, policies: &Policies) -> Option<Finding> {
    let mut waiting = policies.iter().filter_map(|(name, policy)| match policy {
        Policy::AuthorizationServer(server) => Some((name, server.waiting_headers()?)),
        Policy::ResourceServer(_) | Policy::CleanOnly(_) => None,
    });
    let (name, said) = waiting.next()?;
    let (place, remedy) = match platform {
        Platform::Nobody => return None,
        Platform::Envoy { plugin, .. } if plugin.is_true_at(&["allow_on_headers_stop_iteration"]) => return None,
        Platform::Envoy { plugin, .. } => (plugin, "say `allow_on_headers_stop_iteration: true` here"),
        Platform::Istio { wasm, .. } => (wasm, "Istio's resources cannot allow it; an EnvoyFilter can"),
        Platform::EnvoyGateway { extension } => (extension, "Envoy Gateway's resources cannot allow it"),
    };
    let sentence = format!(
        "the policy {name} says `{said}`, and the proxy does not let headers wait: a request for which they have to gets no \
         response; {remedy}"
    );
    Some(Finding::warning(place, Warning::HeadersCannotWait, sentence))
}
