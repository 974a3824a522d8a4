// SPDX-License-Identifier: Apache-2.0

//! HTTP as values: the request that is judged, headers, and calls to other servers.

pub mod auth_scheme;
pub mod body;
pub mod call;
pub mod connection;
pub mod edit;
pub mod header_map;
pub mod header_name;
pub(crate) mod host_map;
pub(crate) mod leniency;
pub(crate) mod path;
pub mod request;
