// SPDX-License-Identifier: Apache-2.0

//! Thousands of certificates and registered names (tests/peers/client_names.py) against an oracle that shares nothing with this
//! code.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use certbound::authorization_server::client::subject::Subject;
use certbound::certificate::Certificate;
use certbound::certificate::names::Names;
use certbound::certificate::registered_name::NameMatching;
use serde::Deserialize;

const LEAST: usize = 5_000;

#[derive(Deserialize)]
struct Pair {
    kind: String,
    mode: NameMatching,
    certificate: String,
    registered: String,
    matches: bool,
    why: String,
}

impl Pair {
    fn outcome(&self) -> Result<bool, String> {
        let subject = match self.kind.as_str() {
            "subject_dn" => Subject::distinguished_name(&self.registered, self.mode),
            "san_dns" => Subject::dns(&self.registered),
            "san_uri" => Subject::uri(&self.registered),
            "san_ip" => Subject::ip(&self.registered),
            "san_email" => Subject::email(&self.registered),
            other => panic!("{other}"),
        }?;
        let certificate = Certificate::on_the_desk(STANDARD.decode(&self.certificate).unwrap());
        Ok(Names::of(&certificate).is_some_and(|names| subject.is_in(&names)))
    }
}

#[test]
fn every_pair_comes_out_as_the_rfcs_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/client_names.ndjson");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; `make test` makes it, and so does `make client-names`", path.display())
    });
    let pairs: Vec<Pair> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(pairs.len() >= LEAST, "{}", pairs.len());
    for expected in [true, false] {
        assert!(pairs.iter().filter(|pair| pair.matches == expected).count() >= LEAST / 5);
    }
    let wrong: Vec<_> = pairs
        .iter()
        .filter_map(|pair| {
            let outcome = pair.outcome();
            let right = outcome == Ok(pair.matches);
            (!right).then(|| {
                let Pair { kind, mode, certificate, registered, matches, why } = pair;
                format!("{kind} {mode} {registered:?}: {outcome:?}, expected {matches}: {why}\n{certificate}")
            })
        })
        .collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), pairs.len(), wrong[..wrong.len().min(12)].join("\n"));
}
