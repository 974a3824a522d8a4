//! The end of one request's judgement: what the policy checks of its connection, and then the binding.

use std::rc::Rc;

use super::access_token::AccessToken;
use super::bearer_token::Scheme;
use super::forwarding::ForwardToken;
use super::{Admitted, CertificateValidity, ResourceServer, ServerName, Step};
use crate::certificate::Certificate;
use crate::certificate::thumbprint::Thumbprint;
use crate::http::connection::Connection;
use crate::http::edit::Edit;
use crate::http::request::{Caller, Request, folded};
use crate::outcome::decision::{Decision, Ground, Verdict};
use crate::outcome::forward::SanitizedHeaders;
use crate::outcome::lookup::Lookup;
use crate::outcome::refusal::Refusal;
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
    pub(super) cleaned: SanitizedHeaders,
}

/// What may pass.
#[derive(Debug)]
pub(super) enum Candidate {
    /// A CORS preflight, which has no token.
    Preflight,
    /// A request with a token that is verified and not yet bound.
    Token(Rc<AccessToken>, Scheme, Option<Lookup>),
}

impl Judgement<'_> {
    /// Checks what the policy checks of the connection, and then the binding.
    pub(super) fn conclude(self, request: &Request<'_>, connection: &dyn Connection) -> Step {
        match self.check_connection(request, connection) {
            Ok(()) => self.finish(),
            Err(refusal) => self.refuse(refusal),
        }
    }

    fn check_connection(&self, request: &Request<'_>, connection: &dyn Connection) -> Result<(), Refusal> {
        if self.server.server_name == ServerName::MustMatch {
            check_server_name(&request.host(), connection.server_name().as_deref())?;
        }
        match (self.server.certificate_validity, &self.presented, &self.known) {
            (CertificateValidity::NotChecked, ..) | (CertificateValidity::Checked, None, _) => Ok(()),
            (CertificateValidity::Checked, Some(_), Some(certificate)) => Ok(certificate.check_validity(self.now)?),
            (CertificateValidity::Checked, Some(presented), None) => {
                let pem = connection.certificate().ok_or(Reason::CertificateUnavailable)?;
                Ok(Certificate::of_connection(&pem, presented)?.check_validity(self.now)?)
            }
        }
    }

    fn finish(self) -> Step {
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

    fn forward(self, ground: Ground) -> Step {
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
    fn send(mut self, mut decision: Decision) -> Step {
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
        Step::Forward(self.cleaned.forward(decision))
    }

    fn refuse(&self, refusal: impl Into<Refusal>) -> Step {
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

/// The server name of the handshake must be the host.
fn check_server_name(host: &str, server_name: Option<&[u8]>) -> Result<(), Refusal> {
    let server_name = String::from_utf8_lossy(server_name.unwrap_or_default());
    if !server_name.is_empty() && folded(&server_name) == host {
        return Ok(());
    }
    let detail = format!("the TLS server name is {server_name:.80}, the host {host:.80}");
    Err(Refusal::because(Reason::ServerNameMismatch, detail))
}
