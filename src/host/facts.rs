//! What the host knows about a request and its connection.

use std::time::UNIX_EPOCH;

use proxy_wasm::hostcalls;

/// The metadata of the route, as an encoded map.
pub(super) fn route_metadata() -> Option<Vec<u8>> {
    property(["xds", "route_metadata", "filter_metadata", "certbound"])
}

/// The SHA-256 of the DER of the certificate that the client proved to hold, in hexadecimal digits.
pub(super) fn peer_digest() -> Option<Vec<u8>> {
    property(["connection", "sha256_peer_certificate_digest"])
}

/// That certificate, as PEM (Envoy 1.38 or later).
pub(super) fn peer_certificate() -> Option<Vec<u8>> {
    property(["connection", "peer_certificate"]).filter(|pem| !pem.is_empty())
}

/// Whether its chain was validated (Envoy 1.39 or later): one byte.
pub(super) fn peer_certificate_valid() -> Option<bool> {
    match property(["connection", "peer_certificate_valid"])?.as_slice() {
        [0] => Some(false),
        [1] => Some(true),
        _ => None,
    }
}

/// The server name that the client asked for in the TLS handshake (SNI).
pub(super) fn requested_server_name() -> Option<Vec<u8>> {
    property(["connection", "requested_server_name"])
}

/// Seconds since 1970. A clock that cannot be read says the end of time: every token has expired then.
pub(super) fn now() -> u64 {
    let now = hostcalls::get_current_time().ok();
    now.and_then(|now| now.duration_since(UNIX_EPOCH).ok()).map_or(u64::MAX, |now| now.as_secs())
}

/// A property by a constant path: a path that a client could choose might make the host answer with an error.
fn property<const LENGTH: usize>(path: [&'static str; LENGTH]) -> Option<Vec<u8>> {
    hostcalls::get_property(path.to_vec()).ok().flatten()
}
