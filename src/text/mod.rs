// SPDX-License-Identifier: Apache-2.0

//! Encodings of text and bytes, read strictly.

pub(crate) mod base64url;
pub(crate) mod escaped;
pub(crate) mod hexadecimal;
pub(crate) mod https_url;
pub mod json;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod list;
pub(crate) mod percent;
pub(crate) mod quoted;
