//! A request that goes on.

use crate::http::edit::Edit;
use crate::outcome::decision::Decision;

/// Headers, or trailers, without those that claim something about a client certificate.
#[derive(Debug, Default)]
pub struct SanitizedHeaders {
    /// They remove every such header, and its name from `Connection`, and may be followed by more edits.
    pub edits: Vec<Edit>,
    /// How many of them were forged. `X-Forwarded-Client-Cert` is not among them: Envoy may have written it itself.
    pub forged_headers: u32,
    /// Whether one of these is refused where the operator says so.
    pub(crate) is_refusable: bool,
}

/// A request that goes on.
#[derive(Debug)]
pub struct Forward {
    /// After these edits, in this order.
    pub edits: Vec<Edit>,
    /// For metrics and logs.
    pub decision: Decision,
}

impl SanitizedHeaders {
    /// Sends the request on.
    pub(crate) fn forward(self, decision: Decision) -> Forward {
        let Self { edits, forged_headers, .. } = self;
        Forward { edits, decision: decision.without_forged_headers(forged_headers) }
    }
}
