// SPDX-License-Identifier: Apache-2.0

//! The decision about a request, as counters, the access log and the log have it.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::rc::Rc;

use crate::certificate::thumbprint::Thumbprint;
use crate::http::request::Caller;
use crate::outcome::forward::Passed;
use crate::outcome::identity::Identity;
use crate::outcome::lookup::Lookup;
use crate::outcome::metric::Metric;
use crate::outcome::refused::Refused;
use crate::outcome::scene::Scene;
use crate::reason::Reason;
use crate::text::json;
use crate::text::quoted::Quoted;
use crate::time::UnixTime;

/// The decision about one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    policy: String,
    verdict: Verdict,
    presented: Option<Thumbprint>,
    identity: Option<Rc<Identity>>,
    lookup: Option<Lookup>,
    forged_headers: u32,
    would_have_refused: Option<Refused>,
    /// When its token expires.
    expires: Option<UnixTime>,
    /// To whom it is ended then, if it is.
    ends_at_expiry: Option<Caller>,
    /// The access-log line, if it was rendered before.
    line: Option<Rc<str>>,
}

/// What was decided, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The request is forwarded.
    Forwarded(Ground),
    /// The request is forwarded because its policy only observes; otherwise it would have been refused for this reason.
    Observed(Reason),
    /// The request got a document of the filter's own.
    Served(Ground),
    /// The request was refused.
    Refused(Reason),
}

/// Why a request is forwarded or served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ground {
    /// Its token is bound to the certificate of its connection.
    TokenBound,
    /// Its token is bound to a DPoP key only, and the operator states that the API verifies the proof.
    TokenBoundToKey,
    /// Its token is bound to nothing, and the policy lets such tokens pass.
    TokenUnbound,
    /// It is a CORS preflight, and the policy lets those pass without a token.
    Preflight,
    /// The authorization server gets the certificate.
    CertificateHandedOver,
    /// The authorization server gets the certificate without its chain, which is longer than the policy forwards.
    CertificateWithoutChain,
    /// Its path does not get the certificate.
    NoEndpoint,
    /// The client presented no certificate, so the authorization server gets none.
    NoCertificate,
    /// The chain of the client's certificate was not validated, so the authorization server does not get it.
    CertificateNotValidated,
    /// The client authenticated by its certificate.
    ClientAuthenticated,
    /// The policy only removes forged headers.
    CleanOnly,
    /// It asks for the metadata of the API (RFC 9728), which is public.
    ProtectedResourceMetadata,
}

impl Ground {
    /// Every ground there is.
    pub const ALL: &[Self] = &[
        Self::TokenBound,
        Self::TokenBoundToKey,
        Self::TokenUnbound,
        Self::Preflight,
        Self::CertificateHandedOver,
        Self::CertificateWithoutChain,
        Self::NoEndpoint,
        Self::NoCertificate,
        Self::CertificateNotValidated,
        Self::ClientAuthenticated,
        Self::CleanOnly,
        Self::ProtectedResourceMetadata,
    ];

    /// The name in counters and logs: `snake_case`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TokenBound => "token_bound",
            Self::TokenBoundToKey => "token_bound_to_dpop_key",
            Self::TokenUnbound => "token_unbound",
            Self::Preflight => "preflight",
            Self::CertificateHandedOver => "certificate_handed_over",
            Self::CertificateWithoutChain => "certificate_without_chain",
            Self::NoEndpoint => "no_endpoint",
            Self::NoCertificate => "no_certificate",
            Self::CertificateNotValidated => "certificate_not_validated",
            Self::ClientAuthenticated => "client_authenticated",
            Self::CleanOnly => "clean_only",
            Self::ProtectedResourceMetadata => "protected_resource_metadata",
        }
    }
}

impl Verdict {
    /// The name in counters and logs: `snake_case`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forwarded(_) => "forwarded",
            Self::Observed(_) => "observed",
            Self::Served(_) => "served",
            Self::Refused(_) => "refused",
        }
    }

    /// The name of the ground or reason.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Forwarded(ground) | Self::Served(ground) => ground.name(),
            Self::Observed(reason) | Self::Refused(reason) => reason.name(),
        }
    }
}

impl Decision {
    /// A decision about the request of this scene.
    #[must_use]
    pub(super) fn new(scene: &Scene<'_>, verdict: Verdict) -> Self {
        Self {
            policy: scene.policy().to_owned(),
            verdict,
            presented: scene.presented(),
            identity: None,
            lookup: None,
            forged_headers: 0,
            would_have_refused: None,
            expires: None,
            ends_at_expiry: None,
            line: None,
        }
    }

    /// The decision to forward that request, from which so many forged headers are removed.
    #[must_use]
    pub(super) fn forwarded(scene: &Scene<'_>, passed: Passed, forged_headers: u32) -> Self {
        let Passed { ground, identity, lookup, expires, ends_at_expiry, line } = passed;
        let ends_at_expiry = ends_at_expiry.then(|| scene.caller());
        let (verdict, would_have_refused) = match ground {
            Ok(ground) => (Verdict::Forwarded(ground), None),
            Err(refusal) => (Verdict::Observed(refusal.reason()), Some(scene.refused(refusal))),
        };
        let decision = Self {
            identity,
            lookup,
            forged_headers,
            would_have_refused,
            expires,
            ends_at_expiry,
            ..Self::new(scene, verdict)
        };
        debug_assert!(line.as_deref().is_none_or(|line| line == decision.written()), "another decision's line");
        Self { line, ..decision }
    }

    /// The same, about a token of this identity.
    #[must_use]
    pub(super) fn about(self, identity: Option<Rc<Identity>>) -> Self {
        Self { identity, ..self }
    }

    /// The same, about a token that was looked up in the cache.
    #[must_use]
    pub(super) fn looked_up(self, lookup: Option<Lookup>) -> Self {
        Self { lookup, ..self }
    }

    /// Whom its token names.
    #[must_use]
    pub fn identity(&self) -> Option<&Rc<Identity>> {
        self.identity.as_ref()
    }

    /// When the token of a forwarded request expires.
    #[must_use]
    pub fn expires(&self) -> Option<UnixTime> {
        self.expires
    }

    /// The kind of client to which a forwarded request is ended when its token expires, if it is.
    #[must_use]
    pub fn ends_at_expiry(&self) -> Option<Caller> {
        self.ends_at_expiry
    }

    /// The policy's name; empty where none governs.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// The same, without copying it.
    #[must_use]
    pub fn into_policy(self) -> String {
        self.policy
    }

    /// The certificate that the client proved to hold.
    #[must_use]
    pub fn presented(&self) -> Option<Thumbprint> {
        self.presented
    }

    /// What was decided.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The refusal, if the policy only observes and would have refused the request.
    #[must_use]
    pub fn would_have_refused(&self) -> Option<&Refused> {
        self.would_have_refused.as_ref()
    }

    /// The counters to increase, and by how much. Usually it is one.
    pub fn counts(&self) -> impl Iterator<Item = (Metric, u32)> {
        let accepted = match self.verdict {
            Verdict::Forwarded(_) | Verdict::Observed(_) => self.identity.as_deref().and_then(Identity::algorithm),
            Verdict::Served(_) | Verdict::Refused(_) => None,
        };
        let decided = (Metric::Decisions(self.verdict, accepted, self.lookup), 1);
        let forged = (self.forged_headers > 0).then_some((Metric::ForgedHeadersRemoved, self.forged_headers));
        std::iter::once(decided).chain(forged)
    }

    /// The access-log line: one JSON object in ASCII, on one line, with bounded strings.
    #[must_use]
    pub fn line(&self) -> Cow<'_, str> {
        match &self.line {
            Some(line) => Cow::Borrowed(line),
            None => Cow::Owned(self.written()),
        }
    }

    fn written(&self) -> String {
        written(&self.policy, self.verdict, self.presented, self.identity.as_deref())
    }
}

/// The access-log line of a request that is forwarded because its token is bound to its certificate.
pub(crate) fn line_of_bound(policy: &str, certificate: Thumbprint, identity: &Identity) -> String {
    written(policy, Verdict::Forwarded(Ground::TokenBound), Some(certificate), Some(identity))
}

fn written(policy: &str, verdict: Verdict, presented: Option<Thumbprint>, identity: Option<&Identity>) -> String {
    let thumbprint = presented.map(|thumbprint| thumbprint.text());
    let members = [
        (r#","policy":"#, Some(policy).filter(|policy| !policy.is_empty())),
        (r#","thumbprint":"#, thumbprint.as_deref()),
        (r#","client":"#, identity.and_then(Identity::client)),
        (r#","subject":"#, identity.and_then(Identity::subject)),
        (r#","issuer":"#, identity.and_then(Identity::issuer)),
    ];
    let mut line = String::with_capacity(USUAL_LINE);
    for piece in [r#"{"verdict":""#, verdict.name(), r#"","reason":""#, verdict.reason(), r#"""#] {
        line.push_str(piece);
    }
    for (name, value) in members {
        line.push_str(name);
        // Writing to a string cannot fail.
        let _ = match value {
            Some(value) => Quoted(value).write(&mut line),
            None => line.write_str("null"),
        };
    }
    line.push('}');
    line
}

/// The name of the policy in a [line](Decision::line); `None` if there is none, or if it is not a line.
#[must_use]
pub fn policy_of(line: &[u8]) -> Option<String> {
    json::object(line)?.get("policy")?.as_str().map(str::to_owned)
}

/// In bytes. Most lines are shorter.
const USUAL_LINE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::request::Caller;

    #[test]
    fn the_access_log_gets_one_json_object() {
        let refused = Scene::default().refused(Reason::UnknownPolicy).decision();
        let value: serde_json::Value = serde_json::from_str(&refused.line()).unwrap();
        let expected = serde_json::json!({
            "verdict": "refused", "reason": "unknown_policy", "policy": null, "thumbprint": null, "client": null,
            "subject": null, "issuer": null,
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn a_line_names_its_policy() {
        let line = |policy| Scene::new(policy, Caller::Http, Ok(None)).served(Ground::CleanOnly).line().into_owned();
        assert_eq!(policy_of(line("a.b").as_bytes()), Some("a.b".to_owned()));
        assert_eq!(policy_of(line("").as_bytes()), None);
        for other in ["", "api", "{}", r#"{"policy":1}"#] {
            assert_eq!(policy_of(other.as_bytes()), None);
        }
    }
}
