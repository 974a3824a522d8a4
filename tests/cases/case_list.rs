// SPDX-License-Identifier: Apache-2.0

//! The one list of cases (tests/cases), as JSON with its certificates and tokens made.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]
#![allow(dead_code, unreachable_pub, reason = "each test program uses its part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use certbound::http::connection::GivenConnection;
use serde::{Deserialize, Deserializer};

#[derive(Deserialize)]
pub struct CaseList {
    /// What a client writes where it has no business; no upstream may ever see it.
    pub forged: String,
    pub configurations: BTreeMap<String, Configuration>,
    pub cases: Vec<Case>,
}

/// One plugin configuration, as the two forms in which Envoy hands it over.
#[derive(Deserialize)]
pub struct Configuration {
    pub json: String,
    #[serde(rename = "struct", deserialize_with = "bytes")]
    pub protobuf: Vec<u8>,
}

#[derive(Deserialize)]
pub struct Case {
    pub sentence: String,
    pub configuration: String,
    headers: Vec<(String, Base64)>,
    body: Base64,
    properties: Vec<(Vec<String>, Base64)>,
    /// Seconds since 1970.
    pub now: u64,
    pub without_host_cryptography: bool,
    before: Vec<Base64>,
    /// What the authorization server answers about the token, where it is asked.
    pub introspection: Option<String>,
    pub forward: Option<BTreeMap<String, String>>,
    /// The reason for which a policy that only observes would have refused it.
    pub note: Option<String>,
    pub refusal: Option<Expected>,
}

#[derive(Deserialize)]
pub struct Expected {
    pub reason: String,
    pub status: u16,
    pub error: Option<String>,
    pub challenge: bool,
    pub grpc_status: Option<u32>,
    /// How each challenge begins, and how it ends behind a description; without an end, all of it.
    challenges: Vec<(String, Option<String>)>,
}

#[derive(Deserialize)]
struct Base64(#[serde(deserialize_with = "bytes")] Vec<u8>);

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    STANDARD.decode(text).map_err(serde::de::Error::custom)
}

/// What a run of a case came to, at whichever depth.
pub enum Outcome {
    Forwarded { headers: Vec<(String, Vec<u8>)>, note: Option<String> },
    Refused { reason: String, status: u16, grpc_status: Option<u32>, challenges: Vec<String>, body: Vec<u8> },
}

impl CaseList {
    /// `make` writes the list before it runs the tests.
    pub fn read() -> Self {
        let path = target().join("cases.json");
        let text = std::fs::read(&path).unwrap_or_else(|error| {
            panic!("{}: {error}; `make test` makes it, and so does `make cases`", path.display())
        });
        serde_json::from_slice(&text).unwrap()
    }

    /// The case of this sentence.
    pub fn case(&self, sentence: &str) -> &Case {
        self.cases.iter().find(|case| case.sentence == sentence).expect(sentence)
    }
}

/// The directory of everything that is built.
pub fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target")
}

impl Case {
    pub fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.headers.iter().map(|(name, value)| (name.clone(), value.0.clone())).collect()
    }

    /// The headers of each request that came before, in the same second.
    pub fn before(&self) -> Vec<Vec<(String, Vec<u8>)>> {
        let with = |value: &Base64| {
            let mut headers = self.headers();
            headers.retain(|(name, _)| name != "authorization");
            headers.push(("authorization".to_owned(), value.0.clone()));
            headers
        };
        self.before.iter().map(with).collect()
    }

    pub fn body(&self) -> &[u8] {
        &self.body.0
    }

    pub fn properties(&self) -> Vec<(Vec<String>, Vec<u8>)> {
        self.properties.iter().map(|(path, value)| (path.clone(), value.0.clone())).collect()
    }

    pub fn property(&self, path: &str) -> Option<&[u8]> {
        let wanted: Vec<_> = path.split('.').collect();
        self.properties.iter().find(|(path, _)| *path == wanted).map(|(_, value)| value.0.as_slice())
    }

    /// The policy that judged the request before the host redirected it internally.
    pub fn judged_under(&self) -> Option<String> {
        let is_redirected = self.headers.iter().any(|(name, _)| name == "x-envoy-original-url");
        let told = self.properties.iter().find(|(path, _)| *path == ["filter_state", "wasm.certbound"]);
        told.filter(|_| is_redirected).and_then(|(_, line)| certbound::outcome::decision::policy_of(&line.0))
    }

    /// What the nearest metadata says.
    pub fn metadata(&self) -> Option<Vec<u8>> {
        let levels = ["route_metadata", "virtual_host_metadata", "listener_metadata"];
        let said = |level| Some(self.property(&format!("xds.{level}.filter_metadata.certbound"))?.to_vec());
        certbound::policy::nearest(levels.into_iter().map(said))
    }

    /// What the host knows of the connection.
    pub fn connection(&self) -> GivenConnection {
        let bytes = |path: &str| self.property(path).map(<[u8]>::to_vec);
        // As src/host/facts.rs asks for it.
        let in_filter_state = ["filter_state", "certbound.peer_certificate"];
        let in_filter_state = self.properties.iter().find(|(path, _)| *path == in_filter_state);
        GivenConnection {
            certificate: bytes("connection.peer_certificate").or(in_filter_state.map(|(_, value)| value.0.clone())),
            is_chain_validated: match self.property("connection.peer_certificate_valid") {
                Some([0]) => Some(false),
                Some([1]) => Some(true),
                _ => None,
            },
            server_name: bytes("connection.requested_server_name"),
            verified_payloads: self.verified_payloads(),
        }
    }

    /// What jwt_authn left in its metadata, by name.
    pub fn verified_payloads(&self) -> Vec<(String, Vec<u8>)> {
        let under = ["metadata", "filter_metadata", "envoy.filters.http.jwt_authn"];
        let payloads = self.properties.iter().filter_map(|(path, value)| match path.as_slice() {
            [before @ .., name] if before == under => Some((name.clone(), value.0.clone())),
            _ => None,
        });
        payloads.collect()
    }

    /// What is wrong with an outcome, if anything is.
    pub fn judge(&self, outcome: &Outcome, forged: &str) -> Result<(), String> {
        match (&self.forward, &self.refusal, outcome) {
            (Some(_), None, Outcome::Forwarded { note, .. }) if *note != self.note => {
                Err(format!("it is noted as {note:?}, expected {:?}", self.note))
            }
            (Some(expected), None, Outcome::Forwarded { headers, .. }) => {
                for (name, value) in expected {
                    let seen: Vec<_> = headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name)).collect();
                    if seen.len() != 1 || seen[0].1 != value.as_bytes() {
                        return Err(format!("the upstream sees {seen:?} for {name}"));
                    }
                }
                match headers.iter().find(|(_, value)| value == forged.as_bytes()) {
                    Some((name, _)) => Err(format!("a forged {name} reaches the upstream")),
                    None => Ok(()),
                }
            }
            (None, Some(expected), Outcome::Refused { reason, status, grpc_status, challenges, body }) => {
                let same = |what: &str, expected: &str, found: &str| match expected == found {
                    true => Ok(()),
                    false => Err(format!("{what} is {found}, expected {expected}")),
                };
                same("the reason", &expected.reason, reason)?;
                expected.judge_challenges(challenges)?;
                same("the gRPC status", &format!("{:?}", expected.grpc_status), &format!("{grpc_status:?}"))?;
                if grpc_status.is_some() {
                    return Ok(());
                }
                same("the status", &expected.status.to_string(), &status.to_string())?;
                let body: serde_json::Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
                same("the error", &format!("{:?}", expected.error.as_deref()), &format!("{:?}", body["error"].as_str()))
            }
            (_, Some(expected), Outcome::Forwarded { .. }) => Err(format!("forwarded, expected {}", expected.reason)),
            (_, _, Outcome::Refused { reason, .. }) => Err(format!("refused for {reason}, expected to be forwarded")),
            (_, None, _) => Err("the case expects nothing".to_owned()),
        }
    }
}

impl Expected {
    fn judge_challenges(&self, challenges: &[String]) -> Result<(), String> {
        let is_right = |(start, end): &(String, Option<String>), challenge: &String| match end {
            None => challenge == start,
            Some(end) => challenge
                .strip_prefix(start)
                .and_then(|rest| rest.strip_suffix(end))
                .is_some_and(|rest| !rest.is_empty() && !rest.contains('"')),
        };
        let right = self.challenges.len() == challenges.len()
            && self.challenges.iter().zip(challenges).all(|(expected, challenge)| is_right(expected, challenge));
        if right { Ok(()) } else { Err(format!("the challenges are {challenges:?}, expected {:?}", self.challenges)) }
    }
}
