//! A request that goes on.

use std::rc::Rc;

use crate::http::edit::Edit;
use crate::outcome::decision::Ground;
use crate::outcome::identity::Identity;
use crate::outcome::lookup::Lookup;
use crate::outcome::refusal::Refusal;
use crate::time::UnixTime;

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
pub(crate) struct Forward {
    /// With these headers.
    pub(crate) headers: SanitizedHeaders,
    /// For this.
    pub(crate) passed: Passed,
}

/// Why a request goes on, and what metrics and logs tell of that.
#[derive(Debug)]
pub(crate) struct Passed {
    /// Why it goes on; or why it would have been refused, did its policy not merely observe.
    pub(crate) ground: Result<Ground, Refusal>,
    /// Whom its token names.
    pub(crate) identity: Option<Rc<Identity>>,
    /// Whether its token was verified before, if it was looked up.
    pub(crate) lookup: Option<Lookup>,
    /// From when on its token is refused.
    pub(crate) expires: Option<UnixTime>,
    /// Its line in the access log, where that was written before.
    pub(crate) line: Option<Rc<str>>,
}

impl From<Ground> for Passed {
    fn from(ground: Ground) -> Self {
        Self { ground: Ok(ground), identity: None, lookup: None, expires: None, line: None }
    }
}

impl SanitizedHeaders {
    /// Sends the request on with them.
    pub(crate) fn forward(self, passed: impl Into<Passed>) -> Forward {
        Forward { headers: self, passed: passed.into() }
    }
}
