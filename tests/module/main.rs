// SPDX-License-Identifier: Apache-2.0

//! Depth 2: the built module (`make module`) in a fake host.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]

mod artifact;
#[path = "../cases/case_list.rs"]
mod case_list;
mod cases;
mod crowd;
mod fake_host;
mod host_calls;
mod log;
mod metrics;
mod responses;
mod run;
