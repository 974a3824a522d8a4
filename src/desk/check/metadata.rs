// SPDX-License-Identifier: Apache-2.0

//! What the metadata of routes, virtual hosts and listeners says under `certbound`.

use std::collections::BTreeSet;

use super::finding::{Finding, Warning};
use super::installation::Installation;
use crate::config;
use crate::config::file::{Document, Place};
use crate::policy::{Choice, Policies};

/// The configurations for which the metadata of a file may be meant.
#[derive(Debug)]
pub(super) struct Meant<'p> {
    /// No configuration among them reads metadata.
    is_unread: bool,
    /// One of them has routes that choose the policy.
    by_route: bool,
    /// The policies that it can name; what these are is not known where a configuration could not be read.
    names: Option<BTreeSet<&'p str>>,
}

impl<'p> Meant<'p> {
    /// Of these configurations, where each could be read.
    pub(super) fn of(policies: &[Option<&'p Policies>]) -> Self {
        let all: Option<Vec<_>> = policies.iter().copied().collect();
        // Beside a configuration that could not be read any name may be right.
        let all = all.filter(|all| !all.is_empty());
        let read = || all.iter().flatten();
        Self {
            is_unread: all.is_some() && read().all(|policies| !policies.reads_metadata()),
            by_route: read().any(|policies| matches!(policies.choice(), Choice::ByRoute(_))),
            names: all.is_some().then(|| read().flat_map(|policies| policies.iter().map(|(name, _)| name)).collect()),
        }
    }
}

/// Metadata that would get requests refused.
pub(super) fn wrong(root: Place<'_>, meant: &Meant<'_>) -> Vec<Finding> {
    let judge = |place: Place<'_>| {
        let error =
            |place, sentence: &str| Some(Finding::error_at(place, format!("{sentence}; requests would get 500")));
        match named(place) {
            _ if meant.is_unread => {
                let sentence = "nobody reads this: the configuration is one role, which governs every request; policies \
                                that metadata can name stand under `policies`";
                Some(Finding::error_at(place, sentence.to_owned()))
            }
            None => error(place, "the metadata under certbound is `policy: NAME` and nothing else"),
            Some(_) if meant.by_route => {
                error(place, "metadata names a policy, and the configuration has routes: one must go")
            }
            Some((value, name)) => {
                let names = meant.names.as_ref().filter(|names| !names.contains(name))?;
                error(value, &config::unknown("policy", name, &names.iter().copied().collect::<Vec<_>>()))
            }
        }
    };
    all_of(root).filter_map(judge).collect()
}

/// The policies that the metadata of these documents names.
pub(super) fn names(documents: &[Document]) -> BTreeSet<&str> {
    let named = documents.iter().flat_map(|document| all_of(document.root())).filter_map(named);
    named.map(|(_, name)| name).collect()
}

/// Policies that neither routes nor the default choose, nor metadata, which names these where the routes of an Envoy, in
/// these files, are all that may have it.
pub(super) fn never_chosen(
    installation: Installation<'_>,
    policies: &Policies,
    by_metadata: Option<&BTreeSet<&str>>,
) -> Vec<Finding> {
    let by_routes: BTreeSet<_> = match policies.choice() {
        Choice::ByRoute(routes) => routes.policies().map(|name| name.as_str()).collect(),
        Choice::Only(_) | Choice::Default(_) => BTreeSet::new(),
    };
    let is_chosen = |name: &str| match (policies.choice(), by_metadata) {
        (Choice::ByRoute(_), _) => by_routes.contains(name),
        (Choice::Default(default), Some(named)) => named.contains(name) || default.as_str() == name,
        // Its routes are not in these files.
        (Choice::Default(_), None) | (Choice::Only(_), _) => true,
    };
    let never = policies.iter().filter(|(name, _)| !is_chosen(name));
    never
        .map(|(name, _)| {
            let sentence =
                format!("nothing chooses the policy {name}: no route, no metadata, and it is not the default");
            Finding::warning(installation.configuration, Warning::PolicyNeverChosen, sentence)
        })
        .collect()
}

fn all_of(root: Place<'_>) -> impl Iterator<Item = Place<'_>> {
    root.everything().into_iter().filter_map(|place| place.at(&["filter_metadata"])?.get("certbound"))
}

/// The policy that it names, and where; `None` where it has another shape.
fn named(place: Place<'_>) -> Option<(Place<'_>, &str)> {
    let mut entries = place.entries();
    match (entries.next()?, entries.next()) {
        (("policy", value), None) => Some((value, value.text()?)),
        _ => None,
    }
}
