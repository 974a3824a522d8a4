// SPDX-License-Identifier: Apache-2.0

//! Token introspection (RFC 7662): the authorization server is asked whether a token is active, and for its claims.
//!
//! The claims are judged like those of a token that was verified here, but only if the response has `active: true`. A response
//! that cannot be read counts as none, and without one the token is refused.

mod client_assertion;
mod inquiry;
mod source;

pub use client_assertion::Nonce;
pub use inquiry::{AskIntrospection, Inquiry, Introspected};
pub use source::Introspection;
pub(super) use source::{MissingAudience, Tokens};
