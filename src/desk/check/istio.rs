// SPDX-License-Identifier: Apache-2.0

//! What in Istio's resources leaves certbound out, puts it where it is not meant to be, or is not what Istio knows.

use std::collections::BTreeSet;

use super::envoy::clusters;
use super::finding::{Finding, Warning};
use super::installation::{Installation, Platform};
use super::kubernetes::{Labels, is_of_gateway, labels};
use crate::config::file::{Document, Place};
use crate::config::unknown;
use crate::policy::Policies;
use crate::text::list::listed;

/// The fields of the resources and of what stands in them (`extensions/v1alpha1` of istio.io/api 1.32).
const OF_EXTENSION: &[&str] = &["selector", "targetRefs", "phase", "priority", "match", "wasm", "lua"];
const OF_WASM: &[&str] = &[
    "url",
    "sha256",
    "imagePullPolicy",
    "imagePullSecret",
    "verificationKey",
    "pluginConfig",
    "pluginName",
    "failStrategy",
    "vmConfig",
    "type",
];
const OF_PLUGIN: &[&str] = &["selector", "targetRef", "targetRefs", "phase", "priority", "match"];

/// The values of their enumerations.
const PHASES: &[&str] = &["UNSPECIFIED", "UNSPECIFIED_PHASE", "AUTHN", "AUTHZ", "STATS"];
const STRATEGIES: &[&str] = &["FAIL_CLOSE", "FAIL_OPEN", "FAIL_RELOAD"];
const TYPES: &[&str] = &["UNSPECIFIED_PLUGIN_TYPE", "HTTP", "NETWORK"];
const MODES: &[&str] = &["UNDEFINED", "CLIENT", "SERVER", "CLIENT_AND_SERVER"];

/// What is said of what Istio runs before every phase.
const CUSTOM: &str = "an external authorization server (action: CUSTOM) is asked before the phase AUTHN, so it sees the certificate \
                      headers that a client made up; an EnvoyFilter with INSERT_FIRST puts certbound before it";

/// Some files of Istio's resources.
pub(super) struct Resources<'d> {
    roots: Vec<Place<'d>>,
    /// The pods that their Gateways select.
    gateways: BTreeSet<Labels<'d>>,
}

impl<'d> Resources<'d> {
    pub(super) fn of(documents: &'d [Document], gateways: BTreeSet<Labels<'d>>) -> Self {
        Self { roots: documents.iter().map(Document::root).collect(), gateways }
    }

    fn of_kind(&self, group: &str, kind: &str) -> impl Iterator<Item = Place<'d>> {
        self.roots.iter().copied().filter(move |root| {
            let version = root.text_at(&["apiVersion"]).and_then(|version| version.split_once('/'));
            root.text_at(&["kind"]) == Some(kind) && version.is_some_and(|(own, _)| own == group)
        })
    }

    /// What is wrong with an extension, whatever its configuration is.
    pub(super) fn of_extension(&self, spec: Place<'d>, wasm: Place<'d>) -> Vec<Finding> {
        let mut found = of_fields(spec, wasm);
        found.extend(of_type(spec, wasm));
        found.extend(of_module(wasm));
        found.extend(self.of_selector(spec));
        found.extend(self.of_targets(spec));
        found.extend(self.of_match(spec));
        found
    }

    /// What an extension with these policies needs of other resources.
    pub(super) fn of_policies(&self, policies: &Policies) -> Vec<Finding> {
        let mut found: Vec<_> = clusters(policies).into_iter().filter_map(|cluster| self.of_cluster(cluster)).collect();
        let custom = self.of_kind("security.istio.io", "AuthorizationPolicy");
        let custom =
            custom.filter_map(|root| root.at(&["spec", "action"])).filter(|action| action.text() == Some("CUSTOM"));
        found.extend(custom.map(|action| Finding::warning(action, Warning::ForgedHeadersSeenBefore, CUSTOM)));
        found
    }

    /// Whether a label of the selector has another value than a Gateway's, and no Gateway is selected.
    fn of_selector(&self, spec: Place<'d>) -> Option<Finding> {
        let place = spec.at(&["selector", "matchLabels"])?;
        let own = labels(place);
        let selects =
            |gateway: &Labels<'_>| own.iter().all(|(key, value)| gateway.get(key).is_none_or(|other| other == value));
        let differs = self
            .gateways
            .iter()
            .find_map(|gateway| gateway.iter().find(|(key, value)| own.get(*key).is_some_and(|other| other != *value)));
        let (key, value) = differs.filter(|_| !self.gateways.iter().any(selects))?;
        let sentence = format!(
            "no Gateway of these files selects pods with these labels: theirs have {key}: {value}; where the labels are of \
             no pod, every request passes unjudged"
        );
        Some(Finding::warning(place, Warning::ExtensionLeftOut, sentence))
    }

    /// Whether an extension is for a Gateway that is not in the files, where others are.
    fn of_targets(&self, spec: Place<'d>) -> Vec<Finding> {
        let known: Vec<_> = self
            .of_kind("gateway.networking.k8s.io", "Gateway")
            .filter_map(|root| root.text_at(&["metadata", "name"]))
            .collect();
        let targets = spec.list(&["targetRefs"]).chain(spec.get("targetRef"));
        let named = targets.filter(|target| target.text_at(&["kind"]) == Some("Gateway"));
        let missing = named
            .filter_map(|target| target.get("name"))
            .filter(|name| name.text().is_some_and(|name| !known.contains(&name)));
        let missing = missing.filter(|_| !known.is_empty());
        missing
            .map(|name| {
                let sentence = format!(
                    "there is no Gateway of this name in these files, which have {}: where it is for no gateway, every request \
                     passes unjudged",
                    listed(&known, "and")
                );
                Finding::warning(name, Warning::ExtensionLeftOut, sentence)
            })
            .collect()
    }

    /// Among which connections of a proxy it stands. To Istio those of a gateway go out, and those of a sidecar's clients come in.
    fn of_match(&self, spec: Place<'d>) -> Vec<Finding> {
        let mut found = Vec::new();
        let entries: Vec<_> = spec.list(&["match"]).collect();
        let modes: Vec<_> = entries.iter().map(|entry| entry.text_at(&["mode"])).collect();
        let own = spec.at(&["selector", "matchLabels"]).map(labels).filter(|own| !own.is_empty());
        let is_sidecars = own.as_ref().is_some_and(|own| !is_of_gateway(own, &self.gateways));
        let mut targets = spec.list(&["targetRefs"]).chain(spec.get("targetRef"));
        let is_gateways = targets.any(|target| target.text_at(&["kind"]) == Some("Gateway"))
            || own.as_ref().is_some_and(|own| is_of_gateway(own, &self.gateways));
        let place = spec.get("match").unwrap_or(spec);
        if is_gateways && !modes.is_empty() && modes.iter().all(|mode| *mode == Some("SERVER")) {
            let sentence = "to Istio a gateway is a client, so with mode: SERVER alone certbound is left out, and every request \
                            passes unjudged; use no match";
            found.push(Finding::warning(place, Warning::ExtensionLeftOut, sentence));
        }
        if is_sidecars && (modes.is_empty() || modes.iter().any(|mode| *mode != Some("SERVER"))) {
            let sentence = "in a sidecar this judges the calls of the application itself, too, and refuses them; use match: [{ mode: \
                            SERVER }]";
            found.push(Finding::warning(place, Warning::OutboundJudged, sentence));
        }
        for ports in entries.iter().filter_map(|entry| entry.get("ports")) {
            let sentence = "requests to any other port pass unjudged, and in a sidecar these are the numbers of the pod, not of the \
                            Service; leave ports out";
            found.push(Finding::warning(ports, Warning::OtherPortsUnjudged, sentence));
        }
        found
    }

    /// Whether a cluster that Istio makes of a ServiceEntry has TLS, for which a DestinationRule must ask.
    fn of_cluster(&self, cluster: &str) -> Option<Finding> {
        let mut parts = cluster.strip_prefix("outbound|")?.split('|');
        let (port, _, host) = (parts.next()?, parts.next()?, parts.next()?);
        let has = |root: &Place<'_>, path: &[&str]| root.list(path).any(|own| own.text() == Some(host));
        let entry = self.of_kind("networking.istio.io", "ServiceEntry").find(|root| has(root, &["spec", "hosts"]))?;
        let own = entry.list(&["spec", "ports"]).find(|own| own.number_at(&["number"]).as_deref() == Some(port))?;
        if own.at(&["tls"]).is_some() {
            return None;
        }
        let rules = self.of_kind("networking.istio.io", "DestinationRule");
        let mut rules = rules.filter(|root| root.text_at(&["spec", "host"]) == Some(host));
        let is_secured = rules.any(|root| {
            root.everything()
                .into_iter()
                .any(|place| matches!(place.text_at(&["tls", "mode"]), Some("SIMPLE" | "MUTUAL")))
        });
        let sentence = format!(
            "Istio speaks plain HTTP to {host}:{port}, whatever this protocol says: whoever is in between answers for the \
             authorization server; add a DestinationRule for {host} with trafficPolicy: {{ tls: {{ mode: SIMPLE }} }}"
        );
        (!is_secured).then(|| Finding::warning(own, Warning::ClusterWithoutTls, sentence))
    }
}

/// Whether two extensions are for the same pods.
pub(super) fn installed_twice(installations: &[Installation<'_>]) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for installation in installations {
        let Platform::Istio { spec, .. } = installation.platform else { continue };
        let own = (
            spec.root().text_at(&["metadata", "namespace"]),
            spec.at(&["selector", "matchLabels"]).map(labels).unwrap_or_default(),
            spec.list(&["targetRefs"])
                .chain(spec.get("targetRef"))
                .filter_map(|target| target.text_at(&["name"]))
                .collect::<Vec<_>>(),
        );
        if !seen.insert(own) {
            let sentence = "two extensions have certbound for the same pods, so every request is judged and counted twice; apply one";
            found.push(Finding::warning(spec, Warning::InstalledTwice, sentence));
        }
    }
    found
}

/// The keys and values that Istio does not know: `istioctl validate` refuses them, and `istioctl analyze` takes unknown keys.
fn of_fields(spec: Place<'_>, wasm: Place<'_>) -> Vec<Finding> {
    let is_plugin = spec.is(wasm);
    let of_spec: Vec<_> = if is_plugin { [OF_PLUGIN, OF_WASM].concat() } else { OF_EXTENSION.to_vec() };
    let mut found: Vec<_> = of_keys(spec, &of_spec).collect();
    if !is_plugin {
        found.extend(of_keys(wasm, OF_WASM));
    }
    found.extend(of_value(spec.get("phase"), "phase", PHASES));
    found.extend(of_value(wasm.get("failStrategy"), "failStrategy", STRATEGIES));
    found.extend(of_value(wasm.get("type"), "type", TYPES));
    found.extend(spec.list(&["match"]).filter_map(|entry| of_value(entry.get("mode"), "mode", MODES)));
    found
}

fn of_keys<'d>(place: Place<'d>, known: &[&str]) -> impl Iterator<Item = Finding> {
    let strange = place.entries().filter(|(key, _)| !known.contains(key));
    strange.map(|(key, value)| Finding::error_at(value, unknown("key", key, known)))
}

fn of_value(place: Option<Place<'_>>, what: &str, known: &[&str]) -> Option<Finding> {
    let place = place?;
    let value = place.text()?;
    (!known.contains(&value)).then(|| Finding::error_at(place, unknown(what, value, known)))
}

/// Whether it is no filter of HTTP.
fn of_type(spec: Place<'_>, wasm: Place<'_>) -> Option<Finding> {
    let place =
        [wasm, spec].into_iter().filter_map(|place| place.get("type")).find(|own| own.text() == Some("NETWORK"))?;
    let sentence = "a NETWORK extension stands before HTTP is read, where certbound judges nothing: every request passes; use HTTP, \
                    or leave type out";
    Some(Finding::warning(place, Warning::ExtensionLeftOut, sentence))
}

/// Whether the module may be another one tomorrow.
fn of_module(wasm: Place<'_>) -> Option<Finding> {
    let place = wasm.get("url")?;
    let url = place.text()?;
    let sentence = match url.split_once("://") {
        Some(("file", _)) => return None,
        Some(("http" | "https", _)) if wasm.get("sha256").is_some() => return None,
        Some(("http" | "https", _)) => "add sha256, the SHA-256 of the file",
        _ if url.contains("@sha256:") => return None,
        _ => "name it by its digest (@sha256:...), not by a tag",
    };
    let sentence = format!("the module that is fetched may change, and certbound with it; {sentence}");
    Some(Finding::warning(place, Warning::ModuleNotPinned, sentence))
}
