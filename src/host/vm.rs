//! What one VM knows between requests.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::signature::HostEngine;
use super::{facts, http};
use crate::policy::Policies;
use crate::resource_server::Means;
use crate::resource_server::keys::{Fetch, KeyRing, KeySource};
use crate::resource_server::token_cache::TokenCache;
use crate::step::{AskKeys, Edit, Step};
use crate::{Refusal, Request};

/// The state of one plugin configuration in one VM. A VM has one thread.
pub(super) struct Vm {
    pub(super) policies: Policies,
    pub(super) keys: RefCell<KeyRing>,
    tokens: RefCell<TokenCache>,
    /// By the host's token of the call.
    pub(super) fetches: RefCell<BTreeMap<u32, Fetch>>,
    /// The identities of the sources whose keys a request misses.
    pub(super) wishes: RefCell<BTreeSet<String>>,
    pub(super) waiting: RefCell<Vec<Waiting>>,
}

/// A request as it arrived.
pub(super) struct Arrived {
    headers: Vec<(String, Vec<u8>)>,
    route_metadata: Option<Vec<u8>>,
    peer_digest: Option<Vec<u8>>,
    verified_payloads: Vec<(String, Vec<u8>)>,
}

/// A request that waits for keys.
pub(super) struct Waiting {
    pub(super) context: u32,
    pub(super) arrived: Arrived,
    pub(super) source: KeySource,
    /// The version of the keys that did not help.
    pub(super) version: u64,
    /// Milliseconds since 1970.
    pub(super) deadline: u64,
    pub(super) refusal: Refusal,
}

/// What became of a request.
pub(super) enum Judged {
    /// With what `required` would have refused it for, where the policy only observes.
    Forward {
        edits: Vec<Edit>,
        note: Option<Refusal>,
    },
    Refuse(Refusal),
    NeedsKeys(AskKeys),
}

impl Vm {
    pub(super) fn new(policies: Policies) -> Self {
        let tokens = RefCell::new(TokenCache::new(policies.token_cache_size()));
        Self {
            policies,
            tokens,
            keys: RefCell::default(),
            fetches: RefCell::default(),
            wishes: RefCell::default(),
            waiting: RefCell::default(),
        }
    }

    /// Asks the core, and answers the questions that it has for the host.
    pub(super) fn judge(&self, arrived: &Arrived) -> Judged {
        let request = Request {
            headers: &arrived.headers,
            route_metadata: arrived.route_metadata.as_deref(),
            peer_digest: arrived.peer_digest.as_deref(),
            verified_payloads: &arrived.verified_payloads,
            now: facts::now_in_milliseconds() / 1000,
        };
        let (keys, mut tokens) = (self.keys.borrow(), self.tokens.borrow_mut());
        let mut step =
            self.policies.start(&request, &mut Means { engine: &HostEngine, keys: &keys, tokens: &mut tokens });
        loop {
            step = match step {
                Step::Forward { edits, note } => return Judged::Forward { edits, note },
                Step::Refuse(refusal) => return Judged::Refuse(refusal),
                Step::AskKeys(question) => return Judged::NeedsKeys(question),
                Step::AskValidation(question) => question.answer(facts::peer_certificate_valid()),
                Step::AskServerName(question) => question.answer(facts::requested_server_name().as_deref()),
                Step::AskCertificate(question) => question.answer(facts::peer_certificate().as_deref()),
            };
        }
    }
}

impl Arrived {
    /// Reads the request of the current context; `None` where its headers cannot be read.
    pub(super) fn read(policies: &Policies) -> Option<Self> {
        let payload = |name: &str| Some((name.to_owned(), facts::verified_payload(name)?));
        Some(Self {
            headers: http::request_headers()?,
            route_metadata: facts::route_metadata(),
            peer_digest: facts::peer_digest(),
            verified_payloads: policies.payloads_in_metadata().into_iter().filter_map(payload).collect(),
        })
    }
}
