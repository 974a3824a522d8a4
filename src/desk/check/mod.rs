//! Reads configurations before a proxy does: what each policy will do, what would not load, and what around the filter
//! works against it.

mod envoy;
mod finding;
mod id_tokens;
mod installation;
mod kubernetes;
mod metadata;
mod request_body;

use std::collections::BTreeMap;
use std::fmt;

pub use finding::{Finding, Severity, Warning};

use super::sentence::{counted, shown};
use crate::config;
use crate::config::document::{Document, Place};
use crate::policy::{Choice, OnForged, Policies, Policy};
use crate::secret::Environment;
use installation::{Installation, Platform};

/// What was found in some files.
#[derive(Debug, Default)]
pub struct Report {
    /// What each configuration will do, in sentences.
    descriptions: Vec<Vec<String>>,
    findings: Vec<Finding>,
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
    let installations = installation::installations(&documents);
    let policies: Vec<_> = installations.iter().map(|installation| report.read(*installation)).collect();
    for (file, _) in files {
        let own = |place: Place<'_>| place.file() == file;
        let has = installations.iter().any(|installation| {
            let manager = installation.filter().map(|filter| filter.manager.manager);
            own(installation.configuration) || manager.is_some_and(own)
        });
        if !has && !report.findings.iter().any(|finding| finding.is_in(file)) {
            let sentence =
                "there is no configuration of certbound in this file; where it comes by ECDS, give that file too";
            report.findings.push(Finding::error(file, None, sentence.to_owned()));
        }
    }
    for (installation, policies) in installations.iter().zip(&policies) {
        report.surroundings(*installation, policies.as_ref());
    }
    for document in &documents {
        let root = document.root();
        let beside = |installation: &Installation<'_>| installation.configuration.file() == root.file();
        let alone = !installations.iter().any(beside);
        let meant = installations.iter().zip(&policies).filter(|(installation, _)| alone || beside(installation));
        let meant: Option<Vec<_>> = meant.map(|(_, policies)| policies.as_ref()).collect();
        report.findings.extend(envoy::of_per_route_configuration(root));
        // Beside a configuration that could not be read any name may be right.
        report.findings.extend(metadata::wrong(root, meant.filter(|meant| !meant.is_empty()).as_deref()));
    }
    for (installation, policies) in installations.iter().zip(&policies) {
        let Some(policies) = policies else { continue };
        report.findings.extend(kubernetes::of_listeners(&documents, policies));
        report.findings.extend(metadata::never_chosen(*installation, policies, &documents));
        report.findings.extend(id_tokens::may_pass(*installation, policies));
    }
    let mut seen = Vec::new();
    report.findings.retain(|finding| {
        let new = !seen.contains(finding);
        seen.push(finding.clone());
        new
    });
    report
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
        let has = |severity| self.findings.iter().any(|finding| finding.severity == severity);
        match (has(Severity::Error), has(Severity::Warning) && strict) {
            (true, _) => 2,
            (false, true) => 1,
            (false, false) => 0,
        }
    }

    /// What is wrong.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    fn wrong(&mut self, file: &str, error: &config::Error) {
        self.findings.push(Finding::error(file, error.position(), error.sentence()));
    }

    fn read(&mut self, installation: Installation<'_>) -> Option<Policies> {
        let place = installation.configuration;
        match place.source().and_then(|source| Policies::read(&source, Environment::Desk)) {
            Ok(policies) => {
                let description = described(installation, &policies);
                // YAML's aliases have one configuration stand at several places.
                if !self.descriptions.contains(&description) {
                    self.descriptions.push(description);
                }
                Some(policies)
            }
            Err(error) => {
                self.wrong(place.file(), &error);
                None
            }
        }
    }

    fn surroundings(&mut self, installation: Installation<'_>, policies: Option<&Policies>) {
        let cannot_wait = policies.and_then(|policies| request_body::cannot_wait(installation.platform, policies));
        self.findings.extend(cannot_wait);
        let found = match (installation.platform, policies) {
            (Platform::Nobody, _) | (Platform::Istio { .. } | Platform::EnvoyGateway { .. }, None) => Vec::new(),
            (Platform::Envoy { plugin, filter }, policies) => {
                let mut found = envoy::of_plugin(plugin);
                if let Some((filter, policies)) = filter.zip(policies) {
                    found.extend(envoy::of_filter(filter, policies));
                }
                found
            }
            (Platform::Istio { spec, wasm }, Some(policies)) => kubernetes::of_istio(spec, wasm, policies),
            (Platform::EnvoyGateway { extension }, Some(policies)) => kubernetes::of_gateway(extension, policies),
        };
        self.findings.extend(found);
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
        let count = |severity| self.findings.iter().filter(|finding| finding.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        writeln!(formatter, "{}, {}", counted(errors, "error"), counted(warnings, "warning"))
    }
}

/// What a configuration will do.
fn described(installation: Installation<'_>, policies: &Policies) -> Vec<String> {
    let place = installation.configuration;
    let (line, column) = place.position();
    let count = if policies.count() == 1 { "1 policy".to_owned() } else { format!("{} policies", policies.count()) };
    let file = place.file();
    let filter = installation.filter().and_then(|filter| filter.manager.filters().nth(filter.index));
    let routes = match filter.is_some_and(|filter| filter.is_true_at(&["disabled"])) {
        true => "every route that enables the filter",
        false => "every route",
    };
    let mut lines =
        vec![format!("{file}:{line}:{column}: {count}. Forged certificate headers are removed on {routes}.")];
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
            Policy::CleanOnly => vec!["Every request passes.".to_owned()],
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
