// SPDX-License-Identifier: Apache-2.0

//! Whether the headers of a request can wait for its body, where a policy has them wait.

use super::finding::{Finding, Warning};
use super::installation::Platform;
use crate::policy::{Policies, Policy};

/// Where they cannot.
pub(super) fn cannot_wait(platform: Platform<'_>, policies: &Policies) -> Option<Finding> {
    let mut waiting = policies.iter().filter(|(_, policy)| match policy {
        Policy::AuthorizationServer(server) => server.has_headers_wait(),
        Policy::ResourceServer(_) | Policy::CleanOnly(_) => false,
    });
    let (name, _) = waiting.next()?;
    let (place, remedy) = match platform {
        Platform::Nobody => return None,
        Platform::Envoy { plugin, .. } if plugin.is_true_at(&["allow_on_headers_stop_iteration"]) => return None,
        Platform::Envoy { plugin, .. } => (plugin, "say `allow_on_headers_stop_iteration: true` here"),
        Platform::Istio { wasm, .. } => (wasm, "Istio's resources cannot allow it; an EnvoyFilter can"),
        Platform::EnvoyGateway { extension } => (extension, "Envoy Gateway's resources cannot allow it"),
    };
    let sentence = format!(
        "the policy {name} says `request_body: headers_wait`, and the proxy does not let headers wait: a request with a body \
         would get no response; {remedy}"
    );
    Some(Finding::warning(place, Warning::HeadersCannotWait, sentence))
}
