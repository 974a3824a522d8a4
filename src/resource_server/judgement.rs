//! The judgement of one request: the questions that the policy has for the host, and then the verdict.

use std::rc::Rc;

use super::access_token::AccessToken;
use super::bearer_token::Scheme;
use super::forwarding::ForwardToken;
use super::{Admitted, CertificateValidity, ResourceServer, ServerName};
use crate::certificate::Certificate;
use crate::certificate::thumbprint::Thumbprint;
use crate::http::edit::Edit;
use crate::http::request::{Caller, Request, folded};
use crate::outcome::decision::{Decision, Ground, Verdict};
use crate::outcome::lookup::Lookup;
use crate::outcome::refusal::Refusal;
use crate::policy::Cleaned;
use crate::policy::step::Step;
use crate::reason::Reason;

/// A request of which everything that stands in it has been judged.
#[derive(Debug)]
pub(super) struct Judgement<'p> {
    pub(super) server: &'p ResourceServer,
    pub(super) policy: &'p str,
    pub(super) caller: Caller,
    pub(super) now: u64,
    pub(super) presented: Option<Thumbprint>,
    /// That certificate, where the host need not be asked for it.
    pub(super) known: Option<Certificate>,
    pub(super) candidate: Candidate,
    /// What is forwarded, if it is.
    pub(super) cleaned: Cleaned,
}

/// What may pass.
#[derive(Debug)]
pub(super) enum Candidate {
    /// A CORS preflight, which has no token.
    Preflight,
    /// A request with a token that is verified and not yet bound.
    Token(Rc<AccessToken>, Scheme, Option<Lookup>),
}

/// The question for the server name of the TLS handshake.
#[derive(Debug)]
pub struct AskServerName<'p> {
    judgement: Judgement<'p>,
    host: String,
}

/// The question for the certificate, whose validity is to be checked.
#[derive(Debug)]
pub(crate) struct AskValidity<'p> {
    judgement: Judgement<'p>,
    presented: Thumbprint,
}

impl<'p> Judgement<'p> {
    pub(super) fn start(self, request: &Request<'_>) -> Step<'p> {
        match self.server.server_name {
            ServerName::Any => self.check_certificate(),
            ServerName::MustMatch => {
                let host = request.host();
                Step::AskServerName(AskServerName { judgement: self, host })
            }
        }
    }

    fn check_certificate(self) -> Step<'p> {
        match (self.server.certificate_validity, self.presented) {
            (CertificateValidity::Checked, Some(presented)) => match &self.known {
                Some(certificate) => {
                    let checked = certificate.check_validity(self.now);
                    self.finish_if(checked)
                }
                None => AskValidity { judgement: self, presented }.into(),
            },
            _ => self.finish(),
        }
    }

    fn finish_if(self, checked: Result<(), Reason>) -> Step<'p> {
        match checked {
            Ok(()) => self.finish(),
            Err(reason) => self.refuse(reason),
        }
    }

    fn finish(self) -> Step<'p> {
        let Candidate::Token(access_token, scheme, _) = &self.candidate else {
            return self.forward(Ground::Preflight);
        };
        match self.server.admit(Rc::clone(access_token), *scheme, self.presented) {
            Ok(Admitted::Bound(..)) => self.forward(Ground::TokenBound),
            Ok(Admitted::BoundToKey(_)) => self.forward(Ground::TokenBoundToKey),
            Ok(Admitted::Unbound(_)) => self.forward(Ground::TokenUnbound),
            Ok(Admitted::Observed(_, refusal)) => {
                let decision = self.refusal(refusal).observed();
                self.send(decision)
            }
            Err(refusal) => self.refuse(refusal),
        }
    }

    fn forward(self, ground: Ground) -> Step<'p> {
        let decision = Decision::new(self.policy, Verdict::Forwarded(ground), self.presented);
        let decision = match &self.candidate {
            Candidate::Preflight => decision,
            Candidate::Token(access_token, _, lookup) => {
                let line = if ground == Ground::TokenBound { access_token.line_of_bound() } else { None };
                decision.about(Some(access_token.identity())).looked_up(*lookup).told_as(line)
            }
        };
        self.send(decision)
    }

    /// Sends the request on, with what the API gets besides it.
    fn send(mut self, mut decision: Decision) -> Step<'p> {
        let server = self.server;
        if let Candidate::Token(access_token, ..) = &self.candidate {
            decision = decision.expiring(access_token.expired_from(server.leeway.0));
            match access_token.forwarded() {
                Ok(headers) => self.cleaned.edits.extend_from_slice(headers),
                Err(refusal) => return self.refuse(refusal),
            }
        }
        if let (Some(header), Some(presented)) = (&server.forward_thumbprint, self.presented) {
            self.cleaned.edits.push(header.set(presented.to_string()));
        }
        match server.forward_token {
            ForwardToken::Keep => {}
            ForwardToken::Remove => self.cleaned.edits.push(Edit::remove("authorization")),
        }
        self.cleaned.forward(decision)
    }

    fn refuse(&self, refusal: impl Into<Refusal>) -> Step<'p> {
        Step::Refuse(self.refusal(refusal))
    }

    /// A refusal with all that is known of the request.
    fn refusal(&self, refusal: impl Into<Refusal>) -> Refusal {
        let refusal = self.server.refusal(self.policy, self.caller, refusal).presenting(self.presented);
        match &self.candidate {
            Candidate::Preflight => refusal,
            Candidate::Token(access_token, _, lookup) => refusal.about(access_token.identity()).looked_up(*lookup),
        }
    }
}

impl<'p> AskServerName<'p> {
    /// Goes on with the host's answer; `None` where the client named no server.
    #[must_use]
    pub fn answer(self, server_name: Option<&[u8]>) -> Step<'p> {
        let server_name = String::from_utf8_lossy(server_name.unwrap_or_default());
        if !server_name.is_empty() && folded(&server_name) == self.host {
            self.judgement.check_certificate()
        } else {
            let detail = format!("the TLS server name is {server_name:.80}, the host {:.80}", self.host);
            self.judgement.refuse(Refusal::because(Reason::ServerNameMismatch, detail))
        }
    }
}

impl<'p> AskValidity<'p> {
    /// Goes on with the host's answer, as [`crate::policy::step::AskCertificate::answer`].
    pub(crate) fn answer(self, pem: Option<&[u8]>) -> Step<'p> {
        let checked = match pem {
            None => Err(Reason::CertificateUnavailable),
            Some(pem) => Certificate::of_connection(pem, &self.presented)
                .and_then(|certificate| certificate.check_validity(self.judgement.now)),
        };
        self.judgement.finish_if(checked)
    }
}
