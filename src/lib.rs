//! certbound: OAuth 2.0 bound to mutual TLS ([RFC 8705]), done at the proxy that terminates TLS.
//!
//! The crate is an Envoy proxy-wasm filter and, compiled for any other target, the core of that filter as a
//! library. The core is deaf to the host: headers, the certificate, the time and the signature engine come in as
//! values; what goes out is a [`Step`]: forward with these edits, refuse with this [`Refused`], or one
//! question that the host must answer first. Only the private module `host`, compiled for wasm32 alone, names
//! `proxy_wasm`, and only the module `desk`, compiled for any other target, is for people.
//!
//! | RFC 8705 | where |
//! | --- | --- |
//! | §2 the certificate that the client proved to hold reaches the authorization server | [`authorization_server`], [`handover::dialect`] |
//! | §2.1, §2.2 clients authenticate by their certificate before the authorization server | [`authorization_server::client`] |
//! | §3 a bound token is refused on any other certificate, 401 `invalid_token` | [`resource_server`] |
//! | §3.1 `cnf` with `x5t#S256` | [`jose::confirmation`], [`certificate::thumbprint`] |
//! | §3.2 a token's binding in an introspection answer | [`resource_server::introspection`] |
//! | §6.5 TLS termination: no forged certificate header survives | [`handover::forwarding_headers`] |
//!
//! What it does not do: it issues no token and validates no certificate chain (Envoy does). README.md says more.
//!
//! [RFC 8705]: https://www.rfc-editor.org/rfc/rfc8705

// In the module the host adapter has some (src/host/abi.rs).
#![cfg_attr(not(target_arch = "wasm32"), forbid(unsafe_code))]

pub mod authorization_server;
pub mod certificate;
pub mod config;
#[cfg(not(target_arch = "wasm32"))]
pub mod desk;
pub mod handover;
pub mod http;
pub mod jose;
pub mod keys;
pub mod outcome;
pub mod policy;
pub mod reason;
pub mod resource_server;
pub mod text;
pub mod worker;

mod collections;
#[cfg(target_arch = "wasm32")]
mod host;

pub use config::secret::Environment;
pub use http::edit::Edit;
pub use http::request::Request;
pub use outcome::decision::Decision;
pub use outcome::refused::Refused;
pub use policy::Policies;
pub use policy::step::Step;
pub use reason::Reason;
pub use resource_server::Means;
