// SPDX-License-Identifier: Apache-2.0

//! What to measure.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// The server's authority (PEM).
    pub ca: PathBuf,
    /// Private keys that sign tokens, by name.
    pub keys: BTreeMap<String, Key>,
    /// Connection number N is made by client number N, and begins anew with the first when there are no more.
    pub clients: Vec<Client>,
    pub subjects: Vec<Subject>,
    pub seed: u64,
    /// How often each subject has its turn.
    pub cycles: usize,
    /// Requests at each turn.
    pub block: usize,
    /// Connections to each subject.
    pub connections: usize,
    /// Requests that are under way at one time, each on a connection of its own.
    pub in_flight: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// RS256, PS256, ES256 or EdDSA.
    pub algorithm: String,
    pub kid: String,
    /// PKCS #8, PEM.
    pub path: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// `x5t#S256` of RFC 8705.
    pub thumbprint: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    pub name: String,
    pub port: u16,
    pub http2: bool,
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    /// By client; one for all, or none.
    pub bodies: Vec<String>,
    pub token: Token,
    /// The status of every response; another one ends the run.
    pub status: u16,
    /// The process and its children whose time counts.
    pub processes: Vec<u32>,
    /// Requests before anything is measured.
    pub warm_up: usize,
}

/// What stands in `Authorization`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Token {
    None,
    /// By client.
    Given(Vec<String>),
    Signed {
        /// One of the keys; several are taken in turn.
        keys: Vec<String>,
        /// `jti` and `cnf` are added to these; for each key, in its order, or one for all.
        claims: Vec<serde_json::Map<String, serde_json::Value>>,
        /// How many different ones each client has and sends in turn; 0 when no token is ever sent twice.
        distinct: usize,
        /// Whose certificate they are bound to: 0 the client's own, 1 the next client's.
        owner: usize,
    },
}
