// SPDX-License-Identifier: Apache-2.0

//! A call to another server, as a value. The host makes it and returns the response.

use std::fmt;
use std::time::Duration;

use super::body::{NOT_GIVEN, Unread};

/// A request through one of the proxy's clusters, which alone decides where it goes and whether over TLS.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// The cluster's name.
    pub cluster: String,
    /// The `:method` of the request.
    pub method: &'static str,
    /// The `:authority` of the request.
    pub authority: String,
    /// The `:path` of the request.
    pub path: String,
    /// Its other headers. They may hold a credential.
    pub headers: Vec<(&'static str, String)>,
    /// Its body; empty where it has none. It may hold a token or a credential.
    pub body: Vec<u8>,
    /// How long the host waits for the whole response.
    pub timeout: Duration,
}

impl fmt::Debug for Call {
    /// Without what may hold a token or a credential.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, method, authority, path, headers: _, body: _, timeout } = self;
        write!(formatter, "{method} {authority}{path} through {cluster:?} in {timeout:?}")
    }
}

/// The response to a call, if there was one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Response<'a> {
    /// The HTTP status; `None` if the connection broke or the response did not come in time.
    pub status: Option<u16>,
    /// The value of `Cache-Control`, where there is one.
    pub cache_control: Option<&'a [u8]>,
    /// The value of `Age`, where there is one: a cache in between has kept the response for so many seconds (RFC 9111 §5.1).
    pub age: Option<&'a [u8]>,
    /// The value of `Location`, where there is one.
    pub location: Option<&'a [u8]>,
    /// The body; empty if it was not read.
    pub body: &'a [u8],
    /// Why the body was not read, if it was not.
    pub unread: Option<Unread>,
}

impl<'a> Response<'a> {
    /// The body of a response with the status 200, if it is not longer than `largest` bytes.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(crate) fn content(&self, largest: usize) -> Result<&'a [u8], String> {
        match self.status {
            Some(200) => match self.unread {
                Some(Unread::NotGiven) => Err(NOT_GIVEN.to_owned()),
                None if self.body.is_empty() => Err("the body is empty".to_owned()),
                None if self.body.len() <= largest => Ok(self.body),
                Some(Unread::TooLarge) | None => Err(format!("the body is longer than {largest} bytes")),
            },
            Some(status @ 300..400) => match self.location {
                Some(location) => {
                    Err(format!("the response has the status {status} and leads to {}", quoted(location)))
                }
                None => Err(format!("the response has the status {status}")),
            },
            // What the proxy responds with itself looks like a response.
            Some(503 | 504) if OWN_BODIES.iter().any(|own| self.body.starts_with(own)) => {
                Err(format!("the proxy got no response: {}", quoted(self.body)))
            }
            Some(status) => Err(format!("the response has the status {status}")),
            None => Err("there was no response".to_owned()),
        }
    }
}

/// How the bodies begin with which Envoy itself responds to a call: no host is healthy, the connection failed or broke, or no
/// response came in time.
const OWN_BODIES: &[&[u8]] =
    &[b"no healthy upstream", b"upstream connect error or disconnect/reset", b"upstream request timeout"];

/// In bytes. Envoy's reason for a handshake that failed is longer than most texts.
const LONGEST_QUOTED: usize = 256;

/// Bytes from outside in visible ASCII, cut.
fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.get(..LONGEST_QUOTED).unwrap_or(bytes).escape_ascii())
}

/// How a fetch of keys or an introspection ended, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The response is usable.
    Succeeded,
    /// There is no usable response.
    Failed,
}

impl Outcome {
    /// The name in counters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_body_that_cannot_be_used_the_cause_is_told() {
        let of = |body: &'static [u8], unread| {
            let response = Response { status: Some(200), body, unread, ..Response::default() };
            response.content(3)
        };
        assert_eq!(of(b"abc", None), Ok(&b"abc"[..]));
        assert_eq!(of(b"", None).unwrap_err(), "the body is empty");
        assert_eq!(of(b"abcd", None).unwrap_err(), "the body is longer than 3 bytes");
        assert_eq!(of(b"", Some(Unread::TooLarge)).unwrap_err(), "the body is longer than 3 bytes");
        assert_eq!(of(b"", Some(Unread::NotGiven)).unwrap_err(), "the proxy did not give the whole body");
        // Without the status 200 the body does not matter.
        let response = Response { status: Some(404), unread: Some(Unread::NotGiven), ..Response::default() };
        assert_eq!(response.content(3).unwrap_err(), "the response has the status 404");
    }
}
