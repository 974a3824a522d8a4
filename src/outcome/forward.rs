// SPDX-License-Identifier: Apache-2.0

//! A request that is forwarded.

use std::rc::Rc;

use crate::http::edit::Edit;
use crate::outcome::decision::Ground;
use crate::outcome::identity::Identity;
use crate::outcome::lookup::Lookup;
use crate::outcome::refusal::Refusal;
use crate::time::UnixTime;

/// Headers or trailers, without those that claim something about a client certificate.
#[derive(Debug, Default)]
pub struct SanitizedHeaders {
    /// The edits that remove every such header, and its name from `Connection`. More edits may follow.
    pub edits: Vec<Edit>,
    /// How many of the removed ones were forged. `X-Forwarded-Client-Cert` is not among them: Envoy may have written it itself.
    pub forged_headers: u32,
    /// The first of them that is refused under `on_forged: refuse`.
    pub(crate) refusable: Option<String>,
}

/// A request to forward.
#[derive(Debug)]
pub(crate) struct Forward {
    /// The edits of its headers.
    pub(crate) headers: SanitizedHeaders,
    /// Why it is forwarded.
    pub(crate) passed: Passed,
}

/// Why a request is forwarded, for metrics and logs.
#[derive(Debug)]
pub(crate) struct Passed {
    /// Why it is forwarded; or why it would have been refused, if its policy only observes.
    pub(crate) ground: Result<Ground, Refusal>,
    /// The client and the subject of its token.
    pub(crate) identity: Option<Rc<Identity>>,
    /// Whether its token was in the cache, if it was looked up.
    pub(crate) lookup: Option<Lookup>,
    /// When its token expires.
    pub(crate) expires: Option<UnixTime>,
    /// Whether it is ended then.
    pub(crate) ends_at_expiry: bool,
    /// The access-log line, if it was rendered before.
    pub(crate) line: Option<Rc<str>>,
}

impl From<Ground> for Passed {
    fn from(ground: Ground) -> Self {
        Self { ground: Ok(ground), identity: None, lookup: None, expires: None, ends_at_expiry: false, line: None }
    }
}

impl SanitizedHeaders {
    /// Forwards the request with these headers.
    pub(crate) fn forward(self, passed: impl Into<Passed>) -> Forward {
        Forward { headers: self, passed: passed.into() }
    }
}
