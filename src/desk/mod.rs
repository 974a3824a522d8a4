// SPDX-License-Identifier: Apache-2.0

//! The command `certbound`: the same core on an operator's desk. What a command prints is made here;
//! src/bin/certbound.rs reads the arguments.

pub mod certificate_file;
pub mod check;
mod edits;
pub mod explain;
pub mod inspect;
pub mod inspect_keys;
pub mod inspect_token;
pub mod printed_name;
pub mod reason_entry;
pub mod schema;
pub(crate) mod sentence;
mod server_response;
pub mod signature;
mod stage;
mod time;
