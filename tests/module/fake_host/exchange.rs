// SPDX-License-Identifier: Apache-2.0

//! A request, and what became of it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::headers;

/// 2026-01-01T00:00:00Z, the time it is where a test does not say otherwise: tests do not depend on the day they run.
pub const START_OF_2026: Duration = Duration::from_secs(1_767_225_600);

/// A header's name and value. Values are bytes because that is what clients send.
pub type Header = (Vec<u8>, Vec<u8>);

/// A request as the client sent it, on the connection that the properties describe.
#[derive(Clone, Debug)]
pub struct Request {
    /// With `:method`, `:path` and `:authority`, in the order sent. Envoy lower-cases the names and merges repeated
    /// headers of the kinds it keeps only once (`authorization`, `x-forwarded-client-cert`, ...) before any filter.
    pub headers: Vec<Header>,
    /// Path and value of each property this request has, for instance `["connection", "mtls"]`. Any other path is
    /// `NotFound`. The values are Envoy's encodings: text as it is, booleans one byte, integers eight bytes
    /// little-endian.
    pub properties: Vec<(Vec<String>, Vec<u8>)>,
    /// The time, since the Unix epoch.
    pub now: Duration,
    /// Whether the headers are all there is.
    pub end_of_stream: bool,
    /// What the upstream answers: the headers.
    pub response: Vec<Header>,
    /// And the body, which comes in two pieces.
    pub response_body: Vec<u8>,
    /// Whether Envoy itself answers the request where it goes on, as it does for a cluster without hosts.
    pub is_answered_at_once: bool,
    /// It comes in two pieces. The plugin has `allow_on_headers_stop_iteration`, so it comes where the headers wait too.
    pub body: Vec<u8>,
}

impl Request {
    /// A request for `example.com` without a body, at the [`START_OF_2026`], on a connection nothing is known about.
    pub fn new(method: &str, path: &str) -> Request {
        Request {
            headers: Vec::new(),
            properties: Vec::new(),
            now: START_OF_2026,
            end_of_stream: true,
            response: Vec::new(),
            response_body: Vec::new(),
            is_answered_at_once: false,
            body: Vec::new(),
        }
        .with_header(":method", method)
        .with_header(":scheme", "https")
        .with_header(":authority", "example.com")
        .with_header(":path", path)
    }

    /// The same request with one more header line, after those it has.
    pub fn with_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Request {
        self.headers.push((name.as_bytes().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// The same request with one more header line in its response.
    pub fn with_response_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Request {
        self.response.push((name.as_bytes().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// The same request with this body in its response.
    pub fn with_response_body(self, body: impl AsRef<[u8]>) -> Request {
        Request { response_body: body.as_ref().to_vec(), ..self }
    }

    /// The same request with one more property.
    pub fn with_property(mut self, path: &[&str], value: impl AsRef<[u8]>) -> Request {
        let path = path.iter().map(|part| String::from(*part)).collect();
        self.properties.push((path, value.as_ref().to_vec()));
        self
    }
}

/// One request and what the filter did about it.
#[derive(Debug)]
pub struct Exchange {
    pub outcome: Outcome,
    /// What the client got of the upstream's answer; `None` where there was none, or it was not played.
    pub received: Option<Received>,
    /// Every host call in order: the function and what it was about, for instance
    /// `proxy_get_property connection.sha256_peer_certificate_digest` or `proxy_remove_header_map_value request
    /// x-client-cert`. Values are left out.
    pub calls: Vec<String>,
    pub log: Vec<LogLine>,
    /// What the filter wrote as properties: in Envoy filter state under `wasm.` and the name.
    pub properties: BTreeMap<String, Vec<u8>>,
}

/// Where the request ended.
#[derive(Clone, PartialEq, Eq)]
pub enum Outcome {
    /// At the upstream, with these headers: the client's after the filter's edits.
    Forwarded { headers: Vec<Header> },
    /// At the filter, with its own response. Envoy would add `content-type: text/plain` where the filter names no type,
    /// and `content-length`, `date` and `server`.
    Replied { status: u32, headers: Vec<Header>, body: Vec<u8> },
    /// Nowhere yet: it waits.
    Waits,
}

impl fmt::Debug for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Forwarded { headers } => {
                formatter.debug_struct("Forwarded").field("headers", &headers::readable(headers)).finish()
            }
            Outcome::Replied { status, headers, body } => formatter
                .debug_struct("Replied")
                .field("status", status)
                .field("headers", &headers::readable(headers))
                .field("body", &String::from_utf8_lossy(body))
                .finish(),
            Outcome::Waits => formatter.write_str("Waits"),
        }
    }
}

/// What a client gets where the upstream answers.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// That answer, after the filter's edits.
    Response { headers: Vec<Header>, body: Vec<u8> },
    /// The filter's own in its place.
    Replied { status: u32, headers: Vec<Header>, body: Vec<u8> },
    /// The headers, and then the end of the stream: for a reply of the filter it was too late.
    BrokenOff { headers: Vec<Header>, body: Vec<u8> },
}

/// A line of the filter in the proxy's log.
#[derive(Clone, PartialEq, Eq)]
pub struct LogLine {
    pub level: LogLevel,
    pub text: String,
}

impl fmt::Display for LogLine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: {}", self.level, self.text)
    }
}

impl fmt::Debug for LogLine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The levels of the ABI, least important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Critical,
}
