// SPDX-License-Identifier: Apache-2.0

//! What stands around the filter in resources of Istio and Envoy Gateway and works against it.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::{Finding, Warning};
use super::installation::{Installation, Platform};
use crate::authorization_server::ClientCertificate;
use crate::config::file::{Document, Place};
use crate::handover::client_certificates::ClientCertificates;
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

/// Labels of Kubernetes: each key with its value.
pub(super) type Labels<'d> = BTreeMap<&'d str, &'d str>;

/// The pods that Istio's Gateways of these files select.
pub(super) fn selectors_of_gateways(documents: &[Document]) -> BTreeSet<Labels<'_>> {
    let roots = documents.iter().map(Document::root);
    let gateways = roots.filter(|root| {
        root.text_at(&["kind"]) == Some("Gateway")
            && root.text_at(&["apiVersion"]).is_some_and(|version| version.starts_with("networking.istio.io/"))
    });
    gateways.filter_map(|root| root.at(&["spec", "selector"])).map(labels).filter(|own| !own.is_empty()).collect()
}

pub(super) fn labels(place: Place<'_>) -> Labels<'_> {
    place.entries().filter_map(|(key, value)| Some((key, value.text()?))).collect()
}

/// Whether an extension of Istio's takes the certificates of the mesh for those of clients, or loses them.
pub(super) fn of_mesh<'d>(
    installation: Installation<'d>,
    gateways: &BTreeSet<Labels<'d>>,
    policies: &Policies,
) -> Vec<Finding> {
    let Platform::Istio { spec, .. } = installation.platform else { return Vec::new() };
    let mut found: Vec<_> = policies
        .iter()
        .filter_map(|(name, policy)| lost_on_resumption(installation.configuration, name, policy))
        .collect();
    if let Some(selector) = spec.at(&["selector", "matchLabels"]) {
        let own = labels(selector);
        if !own.is_empty() && !is_of_gateway(&own, gateways) {
            found.extend(mesh_certificate_judged(selector, policies));
        }
    }
    found
}

/// Whether these labels are a gateway's: a Gateway selects them, or one of them says so.
pub(super) fn is_of_gateway(own: &Labels<'_>, gateways: &BTreeSet<Labels<'_>>) -> bool {
    let says_so = |(key, value): (&&str, &&str)| key.contains("gateway") || value.contains("gateway");
    let selects = |gateway: &Labels<'_>| gateway.iter().all(|(key, value)| own.get(key) == Some(value));
    own.iter().any(says_so) || gateways.iter().any(selects)
}

/// Whether a sidecar judges its clients by the certificate of the gateway through which they come.
fn mesh_certificate_judged<'d>(selector: Place<'d>, policies: &Policies) -> Option<Finding> {
    let judges = |policy: &Policy| policy.client_certificates().is_some_and(ClientCertificates::are_the_connections);
    let (name, policy) = policies.iter().find(|(_, policy)| judges(policy))?;
    let what = match policy {
        Policy::AuthorizationServer(_) => "the server binds everybody's tokens to that one certificate",
        Policy::ResourceServer(_) | Policy::CleanOnly(_) => {
            "a token that is bound to that one certificate passes for everybody"
        }
    };
    let sentence = format!(
        "in a sidecar the certificate of a connection is a workload's: behind a gateway every client of the policy {name} has the \
         gateway's, and {what}; add client_certificate_source, or where no client comes through a gateway, not_a_client with the \
         gateway's name"
    );
    Some(Finding::warning(selector, Warning::MeshCertificateJudged, sentence))
}

/// Whether a policy needs Envoy's word that a chain was validated, which is lost where a TLS session is resumed.
fn lost_on_resumption<'d>(configuration: Place<'d>, name: &str, policy: &Policy) -> Option<Finding> {
    let is_validated = |policy: &Policy| matches!(policy, Policy::AuthorizationServer(server) if server.client_certificate() == ClientCertificate::Validated);
    let (what, instead) = match policy.source() {
        Some(source) if source.asks_for_validation() => (
            "the terminator in front does not prove to be itself to",
            "chain: validated_by_listener of terminator_san, since Istio refuses what it cannot validate",
        ),
        None if is_validated(policy) => (
            "it is not handed over by",
            "client_certificate: validated_by_listener where every certificate is validated",
        ),
        _ => return None,
    };
    let sentence = format!(
        "the certificate of a resumed TLS session never counts as validated, and Istio resumes sessions: {what} the policy {name}; \
         use {instead}"
    );
    Some(Finding::warning(configuration, Warning::ValidatedCertificateLostOnResumption, sentence))
}

fn verified_before(policies: &Policies) -> Option<&str> {
    policies.iter().find_map(|(_, policy)| match policy {
        Policy::ResourceServer(server) => server.verified_before().next().map(|(issuer, _)| issuer.as_str()),
        Policy::AuthorizationServer(_) | Policy::CleanOnly(_) => None,
    })
}
