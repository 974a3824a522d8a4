// SPDX-License-Identifier: Apache-2.0

//! The last part of judging a request: the connection, and then the binding.

use std::rc::Rc;

use super::binding::Admitted;
use super::forwarding::ForwardToken;
use super::prepared::Prepared;
use super::{AtExpiry, CertificateValidity, ResourceServer, ServerName};
use crate::certificate::Certificate;
use crate::certificate::thumbprint::Thumbprint;
use crate::http::auth_scheme::AuthScheme;
use crate::http::connection::Connection;
use crate::http::edit::Edit;
use crate::http::request::{Request, folded};
use crate::outcome::decision::Ground;
use crate::outcome::forward::{Forward, Passed, SanitizedHeaders};
use crate::outcome::lookup::Lookup;
use crate::outcome::refusal::Refusal;
use crate::reason::Reason;

/// A request whose headers were judged.
#[derive(Debug)]
pub(super) struct Judgement<'j> {
    pub(super) server: &'j ResourceServer,
    pub(super) request: &'j Request<'j>,
    pub(super) presented: Option<Thumbprint>,
    /// The client's certificate, if a terminator sent it; otherwise it is the connection's.
    pub(super) known: Option<&'j Certificate>,
}

/// What was found in the request's headers.
#[derive(Debug)]
pub(super) enum Candidate {
    /// A CORS preflight, which has no token.
    Preflight,
    /// A verified token, whose binding was not judged yet.
    Token(Rc<Prepared>, AuthScheme, Option<Lookup>),
}

impl Judgement<'_> {
    /// Judges the connection, and then the binding.
    pub(super) fn conclude(
        &self,
        candidate: Candidate,
        connection: &dyn Connection,
        headers: SanitizedHeaders,
    ) -> Result<Forward, Refusal> {
        let checked = self.check_connection(connection);
        let Candidate::Token(token, scheme, lookup) = candidate else {
            return checked.map(|()| self.forward(headers, Ground::Preflight.into()));
        };
        let identity = token.identity();
        checked
            .and_then(|()| Admitted::by(token, scheme, self.presented, self.server, self.request.now))
            .and_then(|admitted| self.forward_token(headers, admitted, lookup))
            .map_err(|refusal| refusal.about(identity).looked_up(lookup))
    }

    fn check_connection(&self, connection: &dyn Connection) -> Result<(), Refusal> {
        if self.server.server_name == ServerName::MustMatch {
            check_server_name(&self.request.host(), connection.server_name().as_deref())?;
        }
        match (self.server.certificate_validity, &self.presented, self.known) {
            (CertificateValidity::NotChecked, ..) | (CertificateValidity::Checked, None, _) => Ok(()),
            (CertificateValidity::Checked, Some(_), Some(certificate)) => {
                Ok(certificate.check_validity(self.request.now).map_err(Reason::of_forwarded)?)
            }
            (CertificateValidity::Checked, Some(presented), None) => {
                let pem = connection.certificate().ok_or(Reason::CertificateUnavailable)?;
                Ok(Certificate::of_connection(&pem, presented)?.check_validity(self.request.now)?)
            }
        }
    }

    /// Forwards a request with a token, with headers for the token's claims.
    fn forward_token(
        &self,
        mut headers: SanitizedHeaders,
        admitted: Admitted,
        lookup: Option<Lookup>,
    ) -> Result<Forward, Refusal> {
        let (token, ground) = admitted.into_parts();
        headers.edits.extend_from_slice(token.forwarded()?);
        let (identity, expires) = (token.identity(), token.access_token.expired_from(self.server.leeway.duration()));
        let line = if matches!(ground, Ok(Ground::TokenBound)) { token.line_of_bound() } else { None };
        let ground = ground.map_err(|refusal| refusal.about(Rc::clone(&identity)).looked_up(lookup));
        Ok(self.forward(
            headers,
            Passed {
                ground,
                identity: Some(identity),
                lookup,
                expires,
                ends_at_expiry: self.server.at_expiry == AtExpiry::End,
                line,
            },
        ))
    }

    /// Forwards a request, with the header for the thumbprint, and without the token if the policy says so.
    fn forward(&self, mut headers: SanitizedHeaders, passed: Passed) -> Forward {
        if let (Some(header), Some(presented)) = (&self.server.forward_thumbprint, self.presented) {
            headers.edits.push(header.set(presented.to_string()));
        }
        match self.server.forward_token {
            ForwardToken::Keep => {}
            ForwardToken::Remove => headers.edits.push(Edit::remove("authorization")),
        }
        headers.forward(passed)
    }
}

/// Checks that the server name of the handshake is the host.
fn check_server_name(host: &str, server_name: Option<&[u8]>) -> Result<(), Refusal> {
    let server_name = String::from_utf8_lossy(server_name.unwrap_or_default());
    if !server_name.is_empty() && folded(&server_name) == host {
        return Ok(());
    }
    let detail = format!("the TLS server name is {server_name:.80}, the host {host:.80}");
    Err(Refusal::because(Reason::ServerNameMismatch, detail))
}
