//! What the metadata of routes, virtual hosts and listeners says under `certbound`.

use std::collections::BTreeSet;

use super::finding::{Finding, Warning};
use super::installation::{Installation, Platform};
use crate::config;
use crate::config::document::{Document, Place};
use crate::policy::{Choice, Policies};

/// Metadata that would get requests refused. Whether a policy of a name exists is known only with the configurations that
/// it may be meant for.
pub(super) fn wrong(root: Place<'_>, meant: Option<&[&Policies]>) -> Vec<Finding> {
    let unread = meant.is_some_and(|meant| meant.iter().all(|policies| !policies.reads_metadata()));
    let all = meant.into_iter().flatten();
    let by_route = all.clone().any(|policies| matches!(policies.choice(), Choice::ByRoute(_)));
    let names: BTreeSet<_> = all.flat_map(|policies| policies.iter().map(|(name, _)| name)).collect();
    let names: Vec<_> = names.into_iter().collect();
    let judge = |place: Place<'_>| {
        let error =
            |place, sentence: &str| Some(Finding::error_at(place, format!("{sentence}; requests would get 500")));
        match named(place) {
            _ if unread => {
                let sentence = "nobody reads this: the configuration is one role, which governs every request; policies \
                                that metadata can name stand under `policies`";
                Some(Finding::error_at(place, sentence.to_owned()))
            }
            None => error(place, "the metadata under certbound is `policy: NAME` and nothing else"),
            Some(_) if by_route => {
                error(place, "metadata names a policy, and the configuration has routes: one must go")
            }
            Some((value, name)) if meant.is_some() && !names.contains(&name) => {
                error(value, &config::unknown("policy", name, &names))
            }
            Some(_) => None,
        }
    };
    all_of(root).filter_map(judge).collect()
}

/// Policies that neither metadata nor routes nor the default choose.
pub(super) fn never_chosen(
    installation: Installation<'_>,
    policies: &Policies,
    documents: &[Document],
) -> Vec<Finding> {
    let metadata = documents.iter().flat_map(|document| all_of(document.root())).filter_map(named);
    let chosen: BTreeSet<_> = match (policies.choice(), installation.platform) {
        (Choice::Only(_), _) => return Vec::new(),
        (Choice::ByRoute(routes), _) => routes.policies().map(|name| name.as_str()).collect(),
        // Its routes are not in these files.
        (_, Platform::Nobody | Platform::Envoy { filter: None, .. }) => return Vec::new(),
        (_, Platform::Envoy { filter: Some(filter), .. }) if filter.manager.manager.at(&["route_config"]).is_none() => {
            return Vec::new();
        }
        (Choice::Default(default), _) => metadata.map(|(_, name)| name).chain([default.as_str()]).collect(),
    };
    let never = policies.iter().filter(|(name, _)| !chosen.contains(name));
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
