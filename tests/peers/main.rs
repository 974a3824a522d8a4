//! Beside other implementations: requests and names with an oracle's verdict.

mod client_names;
mod differential;
#[path = "../module/fake_host/mod.rs"]
mod fake_host;
