//! A call to another server, as a value: the host makes it and brings back what came.

use std::time::Duration;

/// A GET through one of the proxy's clusters, which alone decides where it goes and whether over TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The cluster's name.
    pub cluster: String,
    /// The `:authority` of the request.
    pub authority: String,
    /// The `:path` of the request.
    pub path: String,
    /// After this long there is no answer.
    pub timeout: Duration,
}

/// What came back, if anything did.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The HTTP status; `None` where the connection broke or nothing came in time.
    pub status: Option<u16>,
    /// The value of `Cache-Control`, where there is one.
    pub cache_control: Option<&'a [u8]>,
    /// The body; empty where it was larger than the host reads.
    pub body: &'a [u8],
}
