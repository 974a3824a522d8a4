//! The README's table of reasons and the enum are one truth.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must stop")]

use std::collections::BTreeMap;

use certbound::{Reason, Refusal};

#[test]
fn the_readme_has_every_reason_with_its_answer() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let rows: Vec<(String, String)> = readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .filter_map(|(name, rest)| Some((name.to_owned(), rest.split_once(" | ")?.0.to_owned())))
        .filter(|(_, answer)| answer.starts_with(|first: char| first.is_ascii_digit()))
        .collect();
    let documented: BTreeMap<_, _> = rows.iter().cloned().collect();
    assert_eq!(documented.len(), rows.len(), "a reason stands twice");
    let known: BTreeMap<_, _> = Reason::ALL
        .iter()
        .map(|reason| {
            let refusal = Refusal::from(*reason);
            let body: serde_json::Value = serde_json::from_str(&refusal.body()).unwrap();
            let code = body["error"].as_str().filter(|_| refusal.status() < 500);
            let code = code.map(|code| format!(" `{code}`")).unwrap_or_default();
            (reason.name().to_owned(), format!("{}{code}", refusal.status()))
        })
        .collect();
    assert_eq!(documented, known);
}
