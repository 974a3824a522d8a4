// SPDX-License-Identifier: Apache-2.0

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
//! | §3.2 a token's binding in an introspection response | [`resource_server::introspection`] |
//! | §6.5 TLS termination: no forged certificate header survives | [`handover::forwarding_headers`] |
//!
//! A host asks for the first [`Step`] of a request, gives what a step asks for, and carries out the last one:
//!
//! ```
//! use certbound::handover::header_cache::HeaderCache;
//! use certbound::http::header_map::borrowed;
//! use certbound::jose::signature::{SignatureEngine, Verification};
//! # use certbound::jose::{jwk::PublicKey, jws::CompactJws};
//! use certbound::keys::KeyRing;
//! use certbound::resource_server::token_cache::TokenCache;
//! use certbound::time::UnixTime;
//! use certbound::{Context, Policies, Request, Step};
//!
//! # struct Engine;
//! # impl SignatureEngine for Engine {
//! #     fn verify(&self, _: &CompactJws<'_>, _: &PublicKey) -> Verification { Verification::Invalid }
//! # }
//! let configuration = br#"{"resource_server": {"certificate_binding": "required", "issuers": [
//!     {"issuer": "https://as.example.com", "audiences": ["api"],
//!      "keys": {"jwks_uri": "https://as.example.com/jwks", "cluster": "as"}}]}}"#;
//! let policies = Policies::load(configuration).unwrap();
//! let (keys, mut tokens) = (KeyRing::default(), TokenCache::new(policies.token_cache_size()));
//! let mut header_cache = HeaderCache::default();
//! let headers = [(":path".to_owned(), b"/accounts".to_vec())];
//! let now = UnixTime::from_seconds(1_700_000_000);
//! let request =
//!     Request { headers: &borrowed(&headers), route_metadata: None, peer_digest: None, now };
//!
//! let mut step = policies.start(&request, &mut Context::new(&Engine, &keys, &mut tokens, &mut header_cache));
//! let status = loop {
//!     step = match step {
//!         // Make the edits, and send the request on.
//!         Step::Forward { .. } | Step::Serve { .. } => break 200,
//!         Step::Refuse(refused) => break refused.status(),
//!         // Read the body first: here it is empty.
//!         Step::AskBody(question) => question.resume(Ok(b""), &keys, &Engine, &|| now),
//!         // Fetch newer keys, or ask about the token, and start again; without them the request is refused.
//!         Step::AskKeys { question, .. } => break question.refused().status(),
//!         Step::AskIntrospection(question) => break question.refused().status(),
//!     };
//! };
//! // There is no token.
//! assert_eq!(status, 401);
//! ```
//!
//! `policy::run` is that loop for whoever has everything at hand; `src/host` and [`worker`] do it where requests wait.
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
pub mod time;
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
pub use resource_server::Context;
