//! A certificate in headers: the forms in which it is written for a server behind, and read from a terminator in front.

pub mod chain;
pub mod dialect;
pub mod encoding;
pub mod forwarding_headers;
pub mod header_cache;
pub mod reader;
pub mod terminator;
