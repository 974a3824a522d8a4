//! A client of the authorization server, as it is registered there.

pub mod subject;
