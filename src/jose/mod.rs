// SPDX-License-Identifier: Apache-2.0

//! Signed tokens: key sets (RFC 7517), compact signatures (RFC 7515), algorithms (RFC 7518, RFC 8037).

pub mod algorithm;
pub mod confirmation;
mod der;
pub(crate) mod fingerprint;
pub(crate) mod issuer_key;
pub mod jwk;
pub mod jws;
pub mod left_out;
mod montgomery;
mod roca;
mod rsa_pss;
pub mod signature;
pub(crate) mod signing_key;
#[cfg(any(feature = "portable_crypto", not(target_arch = "wasm32")))]
mod without_host;
