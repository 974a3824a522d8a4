// SPDX-License-Identifier: Apache-2.0

//! What must hold whatever comes in: one check for each kind of input, each a function of any bytes that panics where
//! something does not hold. A fuzzer calls them (`targets/`), and so does every run of the tests
//! (`tests/fuzz/fuzz_seeds.rs`), with the seeds and a few thousand inputs of its own.
//!
//! A check goes through the public entry points and judges by a few lines of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a check that fails must stop"
)]
#![allow(unreachable_pub, missing_docs, reason = "a library to the fuzz targets, a module to the tests")]

mod api;
pub mod certificate;
pub mod certificate_file;
pub mod certificate_header;
pub mod chain;
pub mod challenge;
pub mod client_authentication;
pub mod client_name;
pub mod configuration;
pub mod configuration_file;
pub mod confirmation;
pub mod handed_over;
pub mod header_name;
pub mod introspection_response;
pub mod issuance;
pub mod issuer_template;
mod json;
pub mod key_response;
pub mod key_set;
mod keys;
pub mod metadata;
pub mod query;
mod readers;
pub mod request;
pub mod route;
pub mod route_metadata;
pub mod rsa_modulus;
pub mod scopes;
pub mod shared_keys;
pub mod signing_key;
pub mod token;
mod token_kind;
mod upstream;
pub mod xfcc;

/// A check of any bytes.
pub type Check = fn(&[u8]);

/// Every check, by the name of its fuzz target and of its directory of seeds.
pub const CHECKS: &[(&str, Check)] = &[
    ("certificate", certificate::check),
    ("certificate_file", certificate_file::check),
    ("certificate_header", certificate_header::check),
    ("client_authentication", client_authentication::check),
    ("client_name", client_name::check),
    ("configuration", configuration::check),
    ("configuration_file", configuration_file::check),
    ("confirmation", confirmation::check),
    ("chain", chain::check),
    ("header_name", header_name::check),
    ("introspection_response", introspection_response::check),
    ("key_response", key_response::check),
    ("key_set", key_set::check),
    ("issuance", issuance::check),
    ("metadata", metadata::check),
    ("query", query::check),
    ("request", request::check),
    ("route", route::check),
    ("route_metadata", route_metadata::check),
    ("challenge", challenge::check),
    ("handed_over", handed_over::check),
    ("issuer_template", issuer_template::check),
    ("rsa_modulus", rsa_modulus::check),
    ("scopes", scopes::check),
    ("shared_keys", shared_keys::check),
    ("signing_key", signing_key::check),
    ("token", token::check),
    ("xfcc", xfcc::check),
];
