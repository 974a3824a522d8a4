// SPDX-License-Identifier: Apache-2.0

//! The tables of the manual (docs/) and the enums are one truth.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that cannot go on must stop")]

use std::collections::BTreeMap;
use std::panic::Location;

use certbound::desk::check::{CAPABILITIES, Warning};
use certbound::handover::forwarding_headers::{NAMED_BY_THE_OPERATOR, ROWS};
use certbound::http::call::Outcome;
use certbound::jose::left_out::LeftOut;
use certbound::outcome::decision::{Ground, Verdict};
use certbound::outcome::log::{Circumstances, Event, NotLogged};
use certbound::outcome::metric::Metric;
use certbound::outcome::scene::Scene;
use certbound::outcome::server_response::{Finding, IssuanceOutcome, MetadataOutcome, Passage};
use certbound::{Policies, Reason};

/// Where a page of the manual is.
fn path(page: &str) -> String {
    format!("{}/docs/{page}.md", env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

#[test]
fn the_manual_has_every_reason_with_its_response() {
    let reasons = page("reasons");
    let rows: Vec<(String, String)> = reasons
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .filter_map(|(name, rest)| Some((name.to_owned(), rest.split_once(" | ")?.0.to_owned())))
        .filter(|(_, response)| response.starts_with(|first: char| first.is_ascii_digit()))
        .collect();
    let documented: BTreeMap<_, _> = rows.iter().cloned().collect();
    assert_eq!(documented.len(), rows.len(), "a reason stands twice");
    let known: BTreeMap<_, _> = Reason::ALL
        .iter()
        .map(|reason| {
            let refusal = Scene::default().refused(*reason);
            let body: serde_json::Value = serde_json::from_str(&refusal.body()).unwrap();
            let code = body["error"].as_str().filter(|_| refusal.status() < 500);
            let code = code.map(|code| format!(" `{code}`")).unwrap_or_default();
            (reason.name().to_owned(), format!("{}{code}", refusal.status()))
        })
        .collect();
    assert_eq!(documented, known);
}

/// The rows of the table of log lines: the beginnings of lines, the first digit of the response's status, the level.
fn log_table() -> Vec<(Vec<String>, Option<char>, String)> {
    let manual = page("metrics-and-logs");
    let (_, table) = manual.split_once("| the line begins with | level | response |\n").unwrap();
    let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let quoted = cells[0].split('`').skip(1).step_by(2).filter(|text| text.ends_with(':'));
        (quoted.map(str::to_owned).collect(), cells[2].chars().next(), cells[1].trim_matches('`').to_owned())
    })
    .collect()
}

#[test]
fn every_event_has_the_level_that_the_manual_says() {
    let policies = Policies::load(br#"{"clean_only": {}}"#).unwrap();
    let mistake = Policies::load(b"").unwrap_err();
    let circumstances = Circumstances { route: None, request_id: None };
    let table = log_table();
    let mut used = vec![false; table.len()];
    let mut check = |event: &Event<'_>, status: Option<u16>| {
        let line = event.to_string();
        let answer = status.and_then(|status| status.to_string().chars().next());
        let fits = |(beginnings, digit, _): &(Vec<String>, Option<char>, String)| {
            *digit == answer && beginnings.iter().any(|beginning| line.starts_with(beginning))
        };
        let rows: Vec<_> = (0..table.len()).filter(|row| fits(&table[*row])).collect();
        let [row] = rows.as_slice() else { panic!("{line} has the rows {rows:?}") };
        assert_eq!(format!("{:?}", event.level()).to_lowercase(), table[*row].2, "{line}");
        used[*row] = true;
    };
    check(&Event::Started(policies.count(), &policies.choice().to_string()), None);
    check(&Event::ConfigurationRefused(&mistake), None);
    check(&Event::Panicked(Some(Location::caller()), Some("duplicate context_id")), None);
    check(&Event::KeysNotFetched("https://as/jwks".to_owned(), "the response has the status 500"), None);
    check(&Event::KeysLeftOut("https://as/jwks".to_owned(), &LeftOut::default()), None);
    let finding = Finding {
        reason: Reason::ConfirmationMissing,
        is_withheld: true,
        presented: None,
        expected: None,
        detail: "",
        identity: None,
    };
    check(&Event::TokenNotBound("clients", &finding), None);
    for reason in Reason::ALL {
        let refusal = Scene::default().refused(*reason);
        check(&Event::Refused(&refusal, circumstances), Some(refusal.status()));
        if refusal.status() < 500 {
            // What an operator has to mend, or another server, no policy observes.
            check(&Event::WouldHaveRefused(&refusal, circumstances), Some(refusal.status()));
        }
        let not_logged = NotLogged { policy: "api".to_owned(), reason: *reason, count: 5 };
        check(&Event::RefusalsNotLogged(&not_logged), Some(refusal.status()));
    }
    assert_eq!(used, vec![true; table.len()], "a row of the table is no event's");
}

#[test]
fn the_manual_names_every_outcome_of_a_response() {
    let manual = page("authorization-servers");
    for outcome in MetadataOutcome::ALL {
        assert!(manual.contains(&format!("`{}`", outcome.name())), "{outcome:?}");
    }
}

#[test]
fn the_manual_names_every_metric_and_every_ground() {
    let manual = page("metrics-and-logs");
    for ground in Ground::ALL {
        assert!(manual.contains(&format!("`{}`", ground.name())), "{ground:?}");
    }
    for metric in [
        Metric::Decisions(Verdict::Forwarded(Ground::TokenBound), None, None),
        Metric::ForgedHeadersRemoved,
        Metric::KeyFetches(Outcome::Succeeded),
        Metric::KeyFetchMilliseconds(Outcome::Failed),
        Metric::Introspections(Outcome::Succeeded),
        Metric::IntrospectionMilliseconds(Outcome::Failed),
        Metric::MetadataResponses(MetadataOutcome::Rewritten),
        Metric::IssuedTokens(Passage::Withheld, IssuanceOutcome::Unreadable),
        Metric::OutlivedTokens,
    ] {
        let name = metric.name("");
        let name = name.split("_.=.").next().unwrap();
        assert!(manual.contains(&format!("| `{name}` |")), "{name}");
    }
}

#[test]
fn the_manual_has_every_warning_of_the_desk_and_the_tests_give_each() {
    let manual = page("command-line");
    let tests = ["check", "check_istio"]
        .map(|file| std::fs::read_to_string(format!("{}/tests/desk/{file}.rs", env!("CARGO_MANIFEST_DIR"))).unwrap());
    let tests = tests.concat();
    for name in Warning::ALL.iter().map(|warning| warning.name()) {
        assert!(manual.contains(&format!("\n| `{name}` | ")), "{name}");
        assert!(tests.contains(&format!("\"{name}\"")), "{name}");
    }
}

#[test]
fn the_manual_has_every_header_that_is_removed() {
    let manual = page("security");
    let (before, rest) = manual.split_once("<!-- forged headers -->\n").unwrap();
    let (table, after) = rest.split_once("<!-- /forged headers -->").unwrap();
    let rows = ROWS.iter().map(|row| format!("| `{}` | {} | {} |\n", row.name, row.claim.name(), row.of.join(", ")));
    let head = "| header | it claims a | written or read by |\n| --- | --- | --- |\n".to_owned();
    let named = format!("\nThe operator names the header with {}.\n", NAMED_BY_THE_OPERATOR.join(", "));
    let expected = std::iter::once(head).chain(rows).chain([named]).collect::<String>();
    if std::env::var_os("WRITE_GOLDEN").is_some() {
        let text = format!("{before}<!-- forged headers -->\n{expected}<!-- /forged headers -->{after}");
        std::fs::write(path("security"), text).unwrap();
    } else {
        assert_eq!(table, expected, "WRITE_GOLDEN=1 writes it");
    }
}

#[test]
fn what_the_filter_is_compared_with_removes_the_same_headers() {
    let script = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bench/lua/forward.lua")).unwrap();
    let words = |after: &str| {
        let (_, rest) = script.split_once(after).unwrap();
        let (list, _) = rest.split_once("[[").unwrap().1.split_once("]]").unwrap();
        list.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let families = words("local PREFIXES").into_iter().map(|family| format!("{family}*"));
    let mut removed: Vec<_> = words("local NAMES").into_iter().chain(families).collect();
    let mut expected: Vec<_> = ROWS.iter().map(|row| row.name.to_owned()).collect();
    removed.sort_unstable();
    expected.sort_unstable();
    assert_eq!(removed, expected);
}

#[test]
fn the_manual_lists_the_capabilities_that_check_looks_for() {
    let security = page("security");
    let (_, block) = security.split_once("```text\nproxy_log ").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let listed: Vec<_> = std::iter::once("proxy_log").chain(block.split_whitespace()).collect();
    assert_eq!(listed, CAPABILITIES);
}
