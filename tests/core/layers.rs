// SPDX-License-Identifier: Apache-2.0

//! The rooms of `src/` stand in rows, and a room names only rooms of the rows above it: neither role the other, nobody the
//! command or the host adapter. So there is no circle between rooms.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must stop")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each row names none of its own. CONTRIBUTING.md has the same rows.
const ROWS: &[&[&str]] = &[
    &["reason", "collections", "time"],
    &["text"],
    &["config"],
    &["certificate"],
    &["jose"],
    &["http"],
    &["outcome"],
    &["handover", "keys"],
    &["resource_server", "authorization_server"],
    &["policy"],
    &["worker"],
    &["host", "desk"],
];

/// What `lib.rs` gives a second name, for users of the library; inside it a room is named by its own.
const AT_THE_ROOT: &[&str] =
    &["Decision", "Edit", "Environment", "Context", "Policies", "Refused", "Request", "Reason", "Step"];

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The first names of all paths behind `crate::` in the code, tests and comments apart.
fn named(text: &str) -> BTreeSet<String> {
    let code = text.split("\nmod tests {").next().unwrap();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code = lines.collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        let (group, is_group) = match rest.strip_prefix('{') {
            Some(group) => (group.split('}').next().unwrap(), true),
            None => (rest, false),
        };
        let first =
            |text: &str| text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        if is_group {
            found.extend(group.split(',').map(first));
        } else {
            found.insert(first(group));
        }
    }
    found
}

fn row(room: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&room))
}

#[test]
fn a_room_names_only_rooms_of_rows_above_it() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&source, &mut found);
    assert!(found.len() > 100, "{}", found.len());
    let mut wrong = Vec::new();
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in found {
        let inside = path.strip_prefix(&source).unwrap();
        let room = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        if room == "lib" || room == "bin" {
            continue;
        }
        let Some(own) = row(&room) else { panic!("{}: the room {room} has no row", inside.display()) };
        for other in named(&fs::read_to_string(&path).unwrap()) {
            match row(&other) {
                _ if other == room || other.is_empty() => {}
                Some(theirs) if theirs < own => {
                    edges.entry(room.clone()).or_default().insert(other);
                }
                Some(_) => wrong.push(format!("{} names {other}, which stands in no row above it", inside.display())),
                None if AT_THE_ROOT.contains(&other.as_str()) && room == "host" => {}
                None => wrong.push(format!("{} names {other}, which is no room", inside.display())),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The paths are found at all.
    assert!(edges["host"].contains("worker") && edges["jose"].contains("config"), "{edges:?}");
}

#[test]
fn the_rows_are_those_of_the_manual() {
    let manual = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("CONTRIBUTING.md")).unwrap();
    for (number, rooms) in ROWS.iter().enumerate() {
        let row = format!("{number:>2}  {}", rooms.join("  "));
        assert!(manual.lines().any(|line| line.starts_with(&row)), "CONTRIBUTING.md has no row {row:?}");
    }
}
