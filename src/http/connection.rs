// SPDX-License-Identifier: Apache-2.0

//! What the host knows at once about a request and its connection.

use super::host_map::entries;

/// Facts about a request and the TLS connection that it came on. Each is asked for when it is needed and not before: for a
/// host each is a call.
pub trait Connection {
    /// The client's certificate, as PEM; `None` where the client presented none, or the host does not hand over
    /// certificates. Whoever wrote it, it counts only with the digest that TLS saw.
    fn certificate(&self) -> Option<Vec<u8>>;

    /// Whether the chain of that certificate was validated; `None` where the host cannot tell.
    fn is_chain_validated(&self) -> Option<bool>;

    /// The server name of the TLS handshake (RFC 6066 §3); `None` where the client named no server.
    fn server_name(&self) -> Option<Vec<u8>>;

    /// The payload of a token that Envoy's `jwt_authn` verified, which it left under this name, as the host encodes a map.
    fn verified_payload(&self, name: &str) -> Option<Vec<u8>>;

    /// One claim of that payload, as the host encodes a value.
    fn verified_claim(&self, name: &str, claim: &str) -> Option<Vec<u8>>;
}

/// A connection of which everything is given beforehand.
#[derive(Clone, Debug, Default)]
pub struct GivenConnection {
    /// As [`Connection::certificate`].
    pub certificate: Option<Vec<u8>>,
    /// As [`Connection::is_chain_validated`].
    pub is_chain_validated: Option<bool>,
    /// As [`Connection::server_name`].
    pub server_name: Option<Vec<u8>>,
    /// Payloads by their names, as [`Connection::verified_payload`].
    pub verified_payloads: Vec<(String, Vec<u8>)>,
}

/// A connection of which nothing is known.
pub(crate) static UNKNOWN: GivenConnection =
    GivenConnection { certificate: None, is_chain_validated: None, server_name: None, verified_payloads: Vec::new() };

impl Connection for GivenConnection {
    fn certificate(&self) -> Option<Vec<u8>> {
        self.certificate.clone()
    }

    fn is_chain_validated(&self) -> Option<bool> {
        self.is_chain_validated
    }

    fn server_name(&self) -> Option<Vec<u8>> {
        self.server_name.clone()
    }

    fn verified_payload(&self, name: &str) -> Option<Vec<u8>> {
        self.verified_payloads.iter().find(|(own, _)| own == name).map(|(_, payload)| payload.clone())
    }

    fn verified_claim(&self, name: &str, claim: &str) -> Option<Vec<u8>> {
        let payload = self.verified_payload(name)?;
        let claims = entries(&payload)?;
        claims.into_iter().find(|(own, _)| *own == claim.as_bytes()).map(|(_, value)| value.to_vec())
    }
}
