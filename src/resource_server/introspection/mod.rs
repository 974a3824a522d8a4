//! Token introspection (RFC 7662): the authorization server is asked what a token is good for.
//!
//! What it says are claims, and they are judged as those of a token that was verified here. Only `active: true` makes
//! them so; an answer that is not understood is none, and without one nothing passes.

mod inquiry;
mod source;

pub use inquiry::{AskIntrospection, Inquiry, Introspected};
pub use source::Introspection;
pub(super) use source::{MissingAudience, Tokens};
