// SPDX-License-Identifier: Apache-2.0

//! The checks of the fuzz targets (tests/fuzz) without a fuzzer: every seed through every check, and inputs that are
//! made of them with a fixed seed, the same in every run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot go on must stop"
)]

#[path = "../cases/case_list.rs"]
mod case_list;
mod checks;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use checks::request::{self, Came};
use checks::{CHECKS, Check};

/// Inputs made for each check, besides the seeds.
const MADE: usize = 2000;

/// Committed seeds, and those that `make cases` writes: certificates and tokens are made anew.
fn directories() -> [PathBuf; 2] {
    [Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds"), case_list::target().join("fuzz/seeds")]
}

/// The seeds of each check.
fn seeds() -> BTreeMap<String, Vec<Vec<u8>>> {
    let mut seeds = BTreeMap::<_, Vec<_>>::new();
    for directory in directories() {
        let checks = directory.read_dir().unwrap_or_else(|error| {
            panic!("{}: {error}; `make test` makes it, and so does `make cases`", directory.display())
        });
        for check in checks.map(Result::unwrap) {
            let mut files: Vec<_> = check.path().read_dir().unwrap().map(|file| file.unwrap().path()).collect();
            files.sort_unstable();
            let name = check.file_name().into_string().unwrap();
            seeds.entry(name).or_default().extend(files.iter().map(|file| std::fs::read(file).unwrap()));
        }
    }
    seeds
}

/// Numbers that look random and are the same in every run (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        usize::try_from(number).unwrap() % bound
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most + 1)).map(|_| self.byte()).collect()
    }

    /// A seed with a few changes, or with a piece of another seed in it.
    fn changed(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut input = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(4) {
            let place = self.below(input.len() + 1);
            let end = place + self.below(input.len() + 1 - place).min(16);
            match self.below(4) {
                0 => input.splice(place..end, []).for_each(drop),
                1 => input.splice(place..place, self.bytes(8)).for_each(drop),
                2 if place < input.len() => input[place] ^= 1 << self.below(8),
                _ => {
                    let other = &seeds[self.below(seeds.len())];
                    let from = self.below(other.len() + 1);
                    let to = from + self.below(other.len() + 1 - from).min(64);
                    input.splice(place..end, other[from..to].iter().copied()).for_each(drop);
                }
            }
        }
        input
    }
}

fn holds(name: &str, check: Check, input: &[u8]) {
    if catch_unwind(|| check(input)).is_err() {
        panic!("the check {name} fails for b\"{}\"", input.escape_ascii());
    }
}

#[test]
fn every_fuzz_target_has_seeds_and_every_seed_has_a_fuzz_target() {
    let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/targets");
    let targets = targets.read_dir().unwrap().map(|file| file.unwrap().path().file_stem().unwrap().to_owned());
    let targets: BTreeSet<_> = targets.map(|name| name.into_string().unwrap()).collect();
    let checks: BTreeSet<_> = CHECKS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(targets, checks);
    assert_eq!(seeds().into_keys().collect::<BTreeSet<_>>(), checks);
}

#[test]
fn every_check_holds_for_every_seed_of_every_check() {
    let seeds = seeds();
    for (name, check) in CHECKS {
        for seed in seeds.values().flatten() {
            holds(name, *check, seed);
        }
    }
}

#[test]
fn every_check_holds_for_thousands_of_inputs_made_of_its_seeds() {
    let seeds = seeds();
    let mut numbers = Numbers(8705);
    for (name, check) in CHECKS {
        for _ in 0..MADE {
            holds(name, *check, &numbers.changed(&seeds[*name]));
            holds(name, *check, &numbers.bytes(400));
        }
    }
}

#[test]
fn the_inputs_of_a_request_reach_both_of_its_ends_and_most_reasons() {
    let mut numbers = Numbers(8705);
    let made = (0..MADE).map(|_| numbers.bytes(120));
    let mut came = BTreeMap::<Came, usize>::new();
    for end in made.chain(seeds().remove("request").unwrap()).filter_map(|input| request::judge(&input)) {
        *came.entry(end).or_default() += 1;
    }
    assert!(came.get(&Came::Through).is_some_and(|times| *times > MADE / 100), "{came:?}");
    assert!(came.len() > 24, "{came:?}");
}
