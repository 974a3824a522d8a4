//! The core on a desk: what a person asks before and after a configuration is shipped. The counterpart of `host`, and
//! no part of the module.

pub mod check;
pub mod explain;
pub mod schema;
pub(crate) mod sentence;
pub mod signature;
mod stage;
