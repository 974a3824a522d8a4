// SPDX-License-Identifier: Apache-2.0

//! Depth 1: the native library, without a host.

mod access_token;
#[path = "../cases/case_list.rs"]
mod case_list;
mod cases;
mod client_authentication;
mod configuration;
mod introspection;
mod layers;
mod process;
mod protected_resource_metadata;
mod signatures;
mod waiting;
mod worker;
