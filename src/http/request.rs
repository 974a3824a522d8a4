// SPDX-License-Identifier: Apache-2.0

//! The request as the core sees it: values, read from the host before the judgement starts.

use crate::certificate::thumbprint::Thumbprint;
use crate::http::header_map::Headers;
use crate::reason::Reason;
use crate::time::UnixTime;

/// One request, at its headers.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Every header in the order of arrival, pseudo-headers included. Values are any bytes.
    pub headers: &'a Headers<'a>,
    /// What metadata says of the route under `certbound`, as the host encodes a map: the [nearest](crate::policy::nearest)
    /// that says something.
    pub route_metadata: Option<&'a [u8]>,
    /// The SHA-256 of the DER of the certificate that the client proved to hold in the TLS handshake, as 64
    /// hexadecimal digits; `None` or empty where it presented none.
    pub peer_digest: Option<&'a [u8]>,
    /// When it came.
    pub now: UnixTime,
}

/// What kind of client reads the response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Caller {
    /// One that reads HTTP statuses.
    #[default]
    Http,
    /// One that reads gRPC statuses.
    Grpc,
}

impl<'a> Request<'a> {
    /// gRPC is the content type `application/grpc`, alone or with `+` and a format, without parameters. It must be exactly what
    /// Envoy takes for gRPC, because a gRPC response has the HTTP status 200. gRPC-Web is HTTP.
    pub(crate) fn caller(&self) -> Caller {
        match self.values("content-type").next().and_then(|kind| kind.strip_prefix(b"application/grpc")) {
            Some([] | [b'+', ..]) => Caller::Grpc,
            _ => Caller::Http,
        }
    }

    /// A CORS preflight (Fetch §4.8): OPTIONS with `Origin` and `Access-Control-Request-Method`. A browser sends it
    /// without credentials, so what has some is none.
    pub(crate) fn is_preflight(&self) -> bool {
        self.values(":method").eq([b"OPTIONS"])
            && self.values("origin").next().is_some()
            && self.values("access-control-request-method").next().is_some()
            && self.values("authorization").next().is_none()
    }

    /// Whether it only reads: GET or HEAD (RFC 9110 §9.3.1, §9.3.2).
    pub(crate) fn is_read(&self) -> bool {
        self.values(":method").eq([b"GET"]) || self.values(":method").eq([b"HEAD"])
    }

    /// The host (RFC 9110 §4.2.3, §7.2): without a port, in lower case, without one trailing dot.
    pub(crate) fn host(&self) -> String {
        let authority = self.values(":authority").next().unwrap_or_default();
        host_of(&String::from_utf8_lossy(authority))
    }

    /// All values of a header, in order. `name` in lower case.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// The value of a header that is there once. `name` in lower case.
    pub(crate) fn only(&self, name: &str) -> Option<&'a [u8]> {
        let mut values = self.values(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// Whether Envoy may have redirected the request internally: it says so in a header of its own, which it takes from no
    /// client at its edge.
    #[must_use]
    pub fn may_be_redirected(&self) -> bool {
        self.values("x-envoy-original-url").next().is_some()
    }

    /// Whether the request came, or may have come, as early data (RFC 8470 §5.1). Envoy says so in a header, and leaves a client's
    /// own in its place, whatever it says: so any value counts.
    pub(crate) fn may_be_early(&self) -> bool {
        self.values("early-data").next().is_some()
    }

    /// `X-Request-Id`, as Envoy made it or let it pass.
    #[must_use]
    pub fn request_id(&self) -> Option<&'a [u8]> {
        self.values("x-request-id").next()
    }

    /// The thumbprint of the certificate that the client proved to hold, if it presented one.
    ///
    /// # Errors
    /// [`Reason::PeerDigestMalformed`] where the host says something that is not a digest.
    pub(crate) fn presented(&self) -> Result<Option<Thumbprint>, Reason> {
        match self.peer_digest {
            None | Some([]) => Ok(None),
            Some(digest) => Thumbprint::from_hex(digest).map(Some).ok_or(Reason::PeerDigestMalformed),
        }
    }
}

/// The host of an authority: without a port, in lower case, without one trailing dot.
fn host_of(authority: &str) -> String {
    // An IPv6 address stands in brackets. It is never a server name (RFC 6066 §3), so it need not be taken apart.
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => folded(host),
        _ => folded(authority),
    }
}

/// A host's name in lower case, without one trailing dot.
pub(crate) fn folded(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_compared_without_port_case_and_one_trailing_dot() {
        for authority in
            ["api.example.com", "API.Example.com", "api.example.com.", "api.example.com:8443", "api.example.com.:443"]
        {
            assert_eq!(host_of(authority), "api.example.com", "{authority}");
        }
        for authority in
            ["", "api.example.com..", "api.example.com:x", "a@api.example.com", "[::1]:443", "api.example.com:443:443"]
        {
            assert_ne!(host_of(authority), "api.example.com", "{authority}");
        }
    }
}
