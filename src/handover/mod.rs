// SPDX-License-Identifier: Apache-2.0

//! A certificate in headers: the forms in which it is written for a server behind, and read from a terminator in front.

pub mod chain;
pub(crate) mod client_certificates;
#[cfg(not(target_arch = "wasm32"))]
mod description;
pub mod dialect;
pub mod encoding;
pub(crate) mod facts;
pub(crate) mod forwarded_certificate;
pub(crate) mod forwarding;
pub mod forwarding_headers;
pub mod header_cache;
mod proof;
pub mod proxy_name;
pub mod reader;
pub mod response;
pub mod terminator;
pub mod xfcc;
