// SPDX-License-Identifier: Apache-2.0

//! What the host knows about a request and its connection.

use std::time::UNIX_EPOCH;

use proxy_wasm::hostcalls;

use super::abi::{self, Unreadable};
use crate::http::connection::Connection;
use crate::time::UnixTime;

/// The metadata of the route, of its virtual host and of the listener under `certbound`, as encoded maps, each read when the
/// iterator comes to it. Metadata that the host cannot encode must not count as absent, so it comes as bytes that are not a map.
pub(super) fn metadata() -> impl Iterator<Item = Option<Vec<u8>>> {
    let levels = [
        "xds\0route_metadata\0filter_metadata\0certbound",
        "xds\0virtual_host_metadata\0filter_metadata\0certbound",
        "xds\0listener_metadata\0filter_metadata\0certbound",
    ];
    levels.into_iter().map(encoded_map)
}

/// The connection of the current context.
pub(super) struct CurrentConnection;

/// Where Envoy's `jwt_authn` leaves the payloads of tokens that it verified, each under its provider's name for it.
const JWT_AUTHN: &str = "metadata\0filter_metadata\0envoy.filters.http.jwt_authn";

impl Connection for CurrentConnection {
    /// From the connection (Envoy 1.38 or later), or else percent-encoded from the filter state, where Envoy's own
    /// `set_filter_state` wrote it.
    fn certificate(&self) -> Option<Vec<u8>> {
        let of_connection = property("connection\0peer_certificate").filter(|pem| !pem.is_empty());
        of_connection.or_else(|| property("filter_state\0certbound.peer_certificate")).filter(|pem| !pem.is_empty())
    }

    /// Envoy 1.39 or later: one byte.
    fn is_chain_validated(&self) -> Option<bool> {
        match property("connection\0peer_certificate_valid")?.as_slice() {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    fn server_name(&self) -> Option<Vec<u8>> {
        property("connection\0requested_server_name")
    }

    fn verified_payload(&self, name: &str) -> Option<Vec<u8>> {
        encoded_map(&format!("{JWT_AUTHN}\0{name}"))
    }

    fn verified_claim(&self, name: &str, claim: &str) -> Option<Vec<u8>> {
        property(&format!("{JWT_AUTHN}\0{name}\0{claim}"))
    }
}

/// The SHA-256 of the DER of the certificate that the client proved to hold, in hexadecimal digits.
pub(super) fn peer_digest() -> Option<Vec<u8>> {
    property("connection\0sha256_peer_certificate_digest")
}

/// The access-log line that [`super::http`] wrote for this request before Envoy redirected it internally.
pub(super) fn line_before_redirect() -> Option<Vec<u8>> {
    property("filter_state\0wasm.certbound")
}

/// The credentials that [`super::http`] removed from this request before Envoy redirected it internally.
pub(super) fn authorization_before_redirect() -> Option<Vec<u8>> {
    property("filter_state\0wasm.certbound_authorization")
}

/// The name of the route.
pub(super) fn route_name() -> Option<Vec<u8>> {
    property("xds\0route_name")
}

/// What time it is. If the clock cannot be read, it is the end of time, and every token has expired.
pub(super) fn now() -> UnixTime {
    let now = hostcalls::get_current_time().ok();
    let since_1970 = now.and_then(|now| now.duration_since(UNIX_EPOCH).ok());
    since_1970.map_or(UnixTime::MAX, UnixTime::since_epoch)
}

/// A property, by a path that is ours alone. If a client could choose it, the host might return an error.
fn property(path: &str) -> Option<Vec<u8>> {
    abi::property(path).ok().flatten()
}

/// A property that is a map. If the host cannot encode it, since it has a null in it for instance, it comes as bytes that are not
/// a map.
fn encoded_map(path: &str) -> Option<Vec<u8>> {
    abi::property(path).unwrap_or_else(|Unreadable| Some(vec![0xff]))
}
