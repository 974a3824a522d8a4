// SPDX-License-Identifier: Apache-2.0

//! What stands around the filter in resources of Istio and Envoy Gateway and works against it.

use super::finding::{Finding, Warning};
use crate::config::file::{Document, Place};
use crate::policy::{Policies, Policy};

/// Istio's WasmPlugin or TrafficExtension.
pub(super) fn of_istio(spec: Place<'_>, wasm: Place<'_>, policies: &Policies) -> Vec<Finding> {
    let mut found = Vec::new();
    let strategy = wasm.get("failStrategy");
    match strategy.and_then(Place::text) {
        Some("FAIL_RELOAD") => {}
        Some("FAIL_OPEN") => found.push(Finding::warning(
            strategy.unwrap_or(wasm),
            Warning::FailOpen,
            "after a crash of the filter, or when it cannot be fetched, requests pass unjudged, with forged certificate \
             headers; use FAIL_RELOAD",
        )),
        _ => found.push(Finding::warning(
            strategy.unwrap_or(wasm),
            Warning::FailClosedForEver,
            "after a crash of the filter its worker answers 503 until the proxy is restarted; use failStrategy: \
             FAIL_RELOAD",
        )),
    }
    let phase = spec.get("phase");
    let verified = verified_before(policies);
    if let Some(issuer) = verified.filter(|_| phase.and_then(Place::text) != Some("AUTHZ")) {
        let sentence = format!(
            "tokens of {issuer} are verified by jwt_authn, which Istio runs in the phase AUTHN: use \
                                phase: AUTHZ, or every one of them is refused"
        );
        found.push(Finding::warning(phase.unwrap_or(spec), Warning::JwtAuthnMissing, sentence));
    }
    found
}

/// One Wasm extension of Envoy Gateway.
pub(super) fn of_gateway(extension: Place<'_>, policies: &Policies) -> Vec<Finding> {
    let mut found = Vec::new();
    if extension.is_true_at(&["failOpen"]) {
        found.push(Finding::warning(
            extension.get("failOpen").unwrap_or(extension),
            Warning::FailOpen,
            "after a crash of the filter, or when it cannot be fetched, requests pass unjudged, with forged certificate \
             headers",
        ));
    }
    if let Some(issuer) = verified_before(policies) {
        let sentence = format!(
            "tokens of {issuer} are verified by jwt_authn, which Envoy Gateway runs after Wasm unless \
                                the EnvoyProxy's filterOrder says otherwise"
        );
        found.push(Finding::warning(extension, Warning::JwtAuthnMissing, sentence));
    }
    found
}

/// What the same files say about client certificates: Istio's Gateway and Envoy Gateway's ClientTrafficPolicy.
/// The policy of this name needs one.
pub(super) fn of_listeners(documents: &[Document], name: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut warn = |place: Place<'_>, what: &str| {
        let sentence =
            format!("clients are never asked for a certificate here, and the policy {name} needs one; {what}");
        found.push(Finding::warning(place, Warning::CertificateNotRequested, sentence));
    };
    for root in documents.iter().map(Document::root) {
        let version = root.text_at(&["apiVersion"]).unwrap_or_default();
        match root.text_at(&["kind"]) {
            Some("Gateway") if version.starts_with("networking.istio.io/") => {
                for tls in root.list(&["spec", "servers"]).filter_map(|server| server.get("tls")) {
                    if matches!(tls.text_at(&["mode"]), None | Some("SIMPLE")) {
                        warn(tls, "use the mode OPTIONAL_MUTUAL or MUTUAL");
                    }
                }
            }
            Some("ClientTrafficPolicy") => {
                let spec = root.get("spec").unwrap_or(root);
                if spec.at(&["tls", "clientValidation"]).is_none() {
                    warn(spec, "add tls.clientValidation with optional: true");
                }
            }
            _ => {}
        }
    }
    found
}

fn verified_before(policies: &Policies) -> Option<&str> {
    policies.iter().find_map(|(_, policy)| match policy {
        Policy::ResourceServer(server) => server.verified_before().next().map(|(issuer, _)| issuer.as_str()),
        Policy::AuthorizationServer(_) | Policy::CleanOnly(_) => None,
    })
}
