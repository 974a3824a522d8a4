// SPDX-License-Identifier: Apache-2.0

//! From the bytes of a plugin configuration to typed values, or to the sentence that an operator reads.
//!
//! Envoy hands over JSON text (`google.protobuf.StringValue`) or a `google.protobuf.Struct` in its binary form. Both become one
//! tree, which remembers the place of each value. serde reads the types from that tree.

mod error;
#[cfg(not(target_arch = "wasm32"))]
pub mod file;
pub(crate) mod one_or_many;
pub(crate) mod seconds;
pub mod secret;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod shape;
mod source;
mod text;
mod tree;

pub use error::Error;
pub(crate) use error::unknown;
pub use source::Source;
pub(crate) use source::parse;
