// SPDX-License-Identifier: Apache-2.0

//! Reads configurations before a proxy does: what each policy will do, what would not load, and what around the filter
//! works against it.

mod claim_headers;
mod client_keys;
mod client_names;
mod enumeration;
mod envoy;
mod finding;
mod id_tokens;
mod installation;
mod istio;
mod kubernetes;
mod metadata;
mod request_body;
mod sarif;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

use serde_json::{Map, Value, json};

pub use envoy::CAPABILITIES;
pub use finding::{Finding, Severity, Warning};

use super::sentence::{counted, shown};
use crate::config;
use crate::config::file::{Document, Place};
use crate::config::secret::Environment;
use crate::handover::forwarded_certificate::X_FORWARDED_CLIENT_CERT;
use crate::policy::{Choice, OnForged, Policies, Policy};
use crate::text::list::listed;
use installation::{HttpFilter, Installation, Managers, Platform};
use metadata::Meant;

/// More than anybody reads. What configurations, filters and policies have wrong with each other may be as many as all of
/// these multiplied.
const MOST_FINDINGS: usize = 10_000;

/// What was found in some files.
#[derive(Debug, Default)]
pub struct Report {
    /// What each configuration will do, in sentences.
    descriptions: Vec<Vec<String>>,
    /// The first sentence of each, which has its place.
    described: HashSet<Option<String>>,
    findings: Vec<Finding>,
    /// The same once more, to see whether one is new.
    seen: HashSet<Finding>,
    /// The worst of those for which there was no room.
    left_out: Option<Severity>,
}

/// Checks files, each a name and a text, that belong together.
#[must_use]
pub fn check(files: &[(String, String)]) -> Report {
    let mut report = Report::default();
    let mut documents = Vec::new();
    for (file, text) in files {
        match Document::read(file, text) {
            Ok(read) => documents.extend(read),
            Err(error) => report.wrong(file, &error),
        }
    }
    let managers = Managers::of(&documents);
    let installations = installation::installations(&documents);
    let policies: Vec<_> = installations.iter().map(|installation| report.read(*installation, &managers)).collect();
    let installed = || installations.iter().copied().zip(policies.iter().map(Option::as_ref));
    for (file, _) in files {
        let own = |place: Place<'_>| place.file() == file;
        let has = installations.iter().any(|installation| {
            let mut filters = managers.filters(*installation);
            own(installation.configuration) || filters.any(|filter| own(filter.manager.manager))
        }) || managers.validation_contexts().any(own);
        // A platform's resources are one set, and certbound stands in some of them.
        let is_of_a_set = !installations.is_empty()
            && installation::are_resources(documents.iter().map(Document::root).filter(|root| own(*root)));
        if !has && !is_of_a_set && !report.findings.iter().any(|finding| finding.is_in(file)) {
            let sentence =
                "there is no configuration of certbound in this file; where it comes by ECDS, give that file too";
            report.add([Finding::error(file.as_str(), None, sentence.to_owned())]);
        }
    }
    for (installation, policies) in installed() {
        report.surroundings(installation, &managers, policies);
    }
    let mut by_file = BTreeMap::<_, Vec<_>>::new();
    for (installation, policies) in installed() {
        by_file.entry(installation.configuration.file()).or_default().push(policies);
    }
    let beside: BTreeMap<_, _> = by_file.iter().map(|(file, policies)| (*file, Meant::of(policies))).collect();
    let anywhere = Meant::of(&installed().map(|(_, policies)| policies).collect::<Vec<_>>());
    for root in documents.iter().map(Document::root) {
        report.add(envoy::of_per_route_configuration(root));
        report.add(metadata::wrong(root, beside.get(root.file()).unwrap_or(&anywhere)));
    }
    let wanting = installed().find_map(|(_, policies)| policies.and_then(needing_certificate));
    report.add(wanting.map(|name| kubernetes::of_listeners(&documents, name)).into_iter().flatten());
    let gateways = kubernetes::selectors_of_gateways(&documents);
    let resources = istio::Resources::of(&documents, gateways.clone());
    report.add(istio::installed_twice(&installations));
    for (installation, policies) in installed() {
        if let Platform::Istio { spec, wasm } = installation.platform {
            report.add(resources.of_extension(spec, wasm));
            report.add(policies.map(|policies| resources.of_policies(policies)).into_iter().flatten());
        }
    }
    let named = metadata::names(&documents);
    for (installation, policies) in installed() {
        let Some(policies) = policies else { continue };
        let has_routes = |filter: HttpFilter<'_>| filter.manager.manager.at(&["route_config"]).is_some();
        let is_chosen_here = match installation.platform {
            Platform::Nobody => false,
            Platform::Envoy { .. } => managers.filters(installation).any(has_routes),
            Platform::Istio { .. } | Platform::EnvoyGateway { .. } => true,
        };
        report.add(metadata::never_chosen(installation, policies, is_chosen_here.then_some(&named)));
        report.add(kubernetes::of_mesh(installation, &gateways, policies));
        report.add(id_tokens::may_pass(installation, policies));
        report.add(client_keys::left_out(installation, policies));
        report.add(client_names::doubtful(installation, policies));
    }
    report
}

/// The first policy that can do nothing where clients are not asked for a certificate.
fn needing_certificate(policies: &Policies) -> Option<&str> {
    policies.iter().find(|(_, policy)| policy.needs_certificate()).map(|(name, _)| name)
}

/// The one configuration in a file.
///
/// # Errors
/// A sentence, where there is none, or several, or it is wrong.
pub(super) fn only_configuration(file: &str, text: &str) -> Result<Policies, String> {
    let wrong = |error: &config::Error| Finding::error(file, error.position(), error.sentence()).to_string();
    let documents = Document::read(file, text).map_err(|error| wrong(&error))?;
    // Several filters may have one configuration, by an alias or through ECDS.
    let found = installation::installations(&documents);
    let places: BTreeMap<_, _> =
        found.iter().map(|installation| (installation.configuration.position(), installation.configuration)).collect();
    let mut places = places.into_iter();
    match (places.next(), places.next()) {
        (None, _) => Err(format!("{file}: there is no configuration of certbound in this file")),
        (Some((_, only)), None) => {
            only.source().and_then(|source| Policies::read(&source, Environment::Desk)).map_err(|error| wrong(&error))
        }
        (Some(((first, _), _)), Some(((second, _), _))) => Err(format!(
            "{file}: there are several configurations of certbound, in lines {first} and {second}: give one in a file of \
             its own"
        )),
    }
}

impl Report {
    /// 0 where all is well, 1 where there are warnings and `strict` is asked for, 2 where there are errors.
    #[must_use]
    pub fn exit_code(&self, strict: bool) -> u8 {
        let found = || self.findings.iter().map(|finding| finding.severity).chain(self.left_out);
        let has = |severity| found().any(|found| found == severity);
        match (has(Severity::Error), has(Severity::Warning) && strict) {
            (true, _) => 2,
            (false, true) => 1,
            (false, false) => 0,
        }
    }

    /// What is wrong: each thing once, and the first ten thousand.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The same as one JSON object: `policies`, what each configuration will do, in sentences; `findings`, each with `severity`
    /// (`error` or `warning`), `warning` (its name), `file`, `line`, `column` (from 1 and in characters) and `sentence`; and how many
    /// there are. What is not known is not there.
    #[must_use]
    pub fn json(&self) -> String {
        let findings: Vec<_> = self.findings.iter().map(as_json).collect();
        let document = json!({
            "policies": self.descriptions,
            "findings": findings,
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "is_complete": self.left_out.is_none(),
        });
        document.to_string()
    }

    /// What is wrong as SARIF 2.1.0.
    #[must_use]
    pub fn sarif(&self) -> String {
        sarif::document(self).to_string()
    }

    fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        for finding in findings {
            if self.seen.contains(&finding) {
                continue;
            }
            if self.findings.len() < MOST_FINDINGS {
                self.seen.insert(finding.clone());
                self.findings.push(finding);
            } else {
                let worst = self.left_out.map_or(finding.severity, |worst| worst.min(finding.severity));
                self.left_out = Some(worst);
            }
        }
    }

    fn wrong(&mut self, file: &str, error: &config::Error) {
        self.add([Finding::error(file, error.position(), error.sentence())]);
    }

    fn read(&mut self, installation: Installation<'_>, managers: &Managers<'_>) -> Option<Policies> {
        let place = installation.configuration;
        if let Some(key) = installation.missing_key() {
            let sentence = format!("{key} is missing here, so the module would refuse to start");
            self.add([Finding::error_at(place, sentence)]);
            return None;
        }
        let error = match place.source().and_then(|source| Policies::read(&source, Environment::Desk)) {
            Ok(policies) => {
                self.describe(installation, managers, &policies);
                return Some(policies);
            }
            Err(error) => error,
        };
        let finding = Finding::error(place.shared_file(), error.position(), error.sentence());
        self.add([finding]);
        None
    }

    fn surroundings(&mut self, installation: Installation<'_>, managers: &Managers<'_>, policies: Option<&Policies>) {
        self.add(policies.and_then(|policies| request_body::cannot_wait(installation.platform, policies)));
        match (installation.platform, policies) {
            (Platform::Nobody, _) | (Platform::Istio { .. } | Platform::EnvoyGateway { .. }, None) => {}
            (Platform::Envoy { plugin, .. }, policies) => {
                self.add(envoy::of_plugin(plugin));
                if let Some(policies) = policies {
                    for filter in managers.filters(installation) {
                        self.add(envoy::of_filter(filter, managers, policies));
                        self.add(claim_headers::not_removed(filter, policies));
                    }
                }
            }
            (Platform::Istio { spec, wasm }, Some(policies)) => self.add(kubernetes::of_istio(spec, wasm, policies)),
            (Platform::EnvoyGateway { extension }, Some(policies)) => {
                self.add(kubernetes::of_gateway(extension, policies));
            }
        }
    }

    /// Says what a configuration will do, once for each way in which it is installed.
    fn describe(&mut self, installation: Installation<'_>, managers: &Managers<'_>, policies: &Policies) {
        let is_disabled = |HttpFilter { manager, index }: HttpFilter<'_>| {
            manager.filters().nth(index).is_some_and(|filter| filter.is_true_at(&["disabled"]))
        };
        let ways: BTreeSet<_> = managers.filters(installation).map(is_disabled).collect();
        let ways = if ways.is_empty() { BTreeSet::from([false]) } else { ways };
        for is_disabled in ways {
            let description = described(installation.configuration, is_disabled, policies);
            // YAML's aliases have one configuration stand at several places.
            if self.described.insert(description.first().cloned()) {
                self.descriptions.push(description);
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.descriptions.iter().flatten() {
            writeln!(formatter, "{}", shown(line))?;
        }
        for finding in &self.findings {
            writeln!(formatter, "{finding}")?;
        }
        if self.left_out.is_some() {
            writeln!(formatter, "and more: only the first {MOST_FINDINGS} are shown")?;
        }
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        writeln!(formatter, "{}, {}", counted(errors, "error"), counted(warnings, "warning"))
    }
}

fn as_json(finding: &Finding) -> Value {
    let mut members = Map::new();
    let mut add = |name: &str, value: Value| members.insert(name.to_owned(), value);
    add("severity", finding.severity.name().into());
    if let Some(warning) = finding.warning {
        add("warning", warning.name().into());
    }
    add("file", finding.file().into());
    if let Some((line, column)) = finding.position() {
        add("line", line.into());
        add("column", column.into());
    }
    add("sentence", finding.sentence().into());
    Value::Object(members)
}

/// What a configuration will do.
fn described(place: Place<'_>, is_disabled: bool, policies: &Policies) -> Vec<String> {
    let (line, column) = place.position();
    let count = if policies.count() == 1 { "1 policy".to_owned() } else { format!("{} policies", policies.count()) };
    let file = place.file();
    let routes = match is_disabled {
        true => "every route that enables the filter",
        false => "every route",
    };
    let mut lines =
        vec![format!("{file}:{line}:{column}: {count}. Forged certificate headers are removed on {routes}.")];
    let writes_it = |policy: &Policy| policy.forwarded().names().any(|name| name.is(X_FORWARDED_CLIENT_CERT));
    let writing: Vec<_> = policies.iter().filter(|(_, policy)| writes_it(policy)).map(|(name, _)| name).collect();
    let anew = match writing.as_slice() {
        [] => "; `x_forwarded_client_cert: rebuild` of a policy writes it anew.".to_owned(),
        names => format!(", and written anew under {}.", listed(names, "and")),
    };
    lines.push(format!("  X-Forwarded-Client-Cert is removed too, even where Envoy wrote it{anew}"));
    if policies.on_forged() == OnForged::Refuse {
        let refused = "A request with a forged certificate or verification, or with a header of the configuration's own, is refused.";
        lines.push(format!("  {refused}"));
    }
    for (name, policy) in policies.iter() {
        let chosen = match policies.choice() {
            Choice::Only(_) => format!(", on {routes}"),
            Choice::Default(_) if policies.count() == 1 => format!(", on {routes}"),
            Choice::Default(default) if default.as_str() == name => ", on routes that name none".to_owned(),
            Choice::Default(_) | Choice::ByRoute(_) => String::new(),
        };
        lines.push(format!("  {name} ({}{chosen})", policy.role()));
        let sentences = match policy {
            Policy::ResourceServer(server) => server.sentences(),
            Policy::AuthorizationServer(server) => server.sentences(),
            Policy::CleanOnly(clean_only) => clean_only.sentences(),
        };
        lines.extend(sentences.iter().map(|sentence| format!("    {sentence}")));
    }
    if let Choice::ByRoute(routes) = policies.choice() {
        lines.push("  routes".to_owned());
        lines.extend(routes.sentences().map(|sentence| format!("    {sentence}")));
        lines.push("    Any other request gets 404.".to_owned());
    }
    lines
}
