//! A call to another server, as a value: the host makes it and brings back what came.

use std::fmt;
use std::time::Duration;

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
    /// After this long there is no answer.
    pub timeout: Duration,
}

impl fmt::Debug for Call {
    /// Without what may hold a token or a credential.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, method, authority, path, headers: _, body: _, timeout } = self;
        write!(formatter, "{method} {authority}{path} through {cluster:?} in {timeout:?}")
    }
}

/// What came back, if anything did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Response<'a> {
    /// The HTTP status; `None` where the connection broke or nothing came in time.
    pub status: Option<u16>,
    /// The value of `Cache-Control`, where there is one.
    pub cache_control: Option<&'a [u8]>,
    /// The value of `Age`, where there is one: a cache between has kept the answer for so many seconds (RFC 9111 §5.1).
    pub age: Option<&'a [u8]>,
    /// The body; empty where it was larger than the host reads.
    pub body: &'a [u8],
}

impl<'a> Response<'a> {
    /// The body of a good answer that is not longer than this.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(crate) fn content(&self, largest: usize) -> Result<&'a [u8], String> {
        match self.status {
            Some(200) if self.body.is_empty() || self.body.len() > largest => {
                Err(format!("the body is empty or longer than {largest} bytes"))
            }
            Some(200) => Ok(self.body),
            Some(status) => Err(format!("the answer has the status {status}")),
            None => Err("there was no answer".to_owned()),
        }
    }
}

/// How a fetch of keys or an introspection ended, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// There is what was asked for.
    Succeeded,
    /// There is nothing that can be believed.
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
