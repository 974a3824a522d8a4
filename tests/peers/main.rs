// SPDX-License-Identifier: Apache-2.0

//! Beside other implementations: requests and names with an oracle's verdict.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot go on must stop"
)]

mod certificates;
mod client_names;
mod differential;
#[path = "../module/fake_host/mod.rs"]
mod fake_host;
mod forwarded_client_certs;
mod signatures;
