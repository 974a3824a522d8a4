// SPDX-License-Identifier: Apache-2.0

//! Compares the certificate that a token is bound to with the one that the client presented (RFC 8705 §3). Everything else
//! prepares this comparison.

use std::rc::Rc;

use super::prepared::Prepared;
use super::{CertificateBinding, ResourceServer};
use crate::certificate::thumbprint::Thumbprint;
use crate::http::auth_scheme::AuthScheme;
use crate::outcome::decision::Ground;
use crate::outcome::refusal::Refusal;
use crate::reason::Reason;
use crate::time::UnixTime;

/// A token that may pass under its policy. Only [`Admitted::by`] makes one.
#[derive(Debug)]
pub(super) struct Admitted {
    token: Rc<Prepared>,
    ground: Result<Ground, Refusal>,
}

impl Admitted {
    /// Judges the binding of a verified token, then how its user was authenticated, and then its scopes.
    ///
    /// # Errors
    /// The refusal, if the policy does not let the token pass.
    pub(super) fn by(
        token: Rc<Prepared>,
        scheme: AuthScheme,
        presented: Option<Thumbprint>,
        server: &ResourceServer,
        now: UnixTime,
    ) -> Result<Self, Refusal> {
        // Who sends a token under this scheme says that it is bound.
        let policy =
            if scheme == AuthScheme::MtlsPop { CertificateBinding::Required } else { server.certificate_binding };
        let ground = match (binding(&token, scheme, presented), policy) {
            (Ok(Binding::Certificate), _) => Ok(Ground::TokenBound),
            (Ok(Binding::DpopKey), _) => Ok(Ground::TokenBoundToKey),
            (Ok(Binding::Nothing), CertificateBinding::Required) => return Err(Reason::ConfirmationMissing.into()),
            (Ok(Binding::Nothing), CertificateBinding::IfPresent) => Ok(Ground::TokenUnbound),
            (Ok(Binding::Nothing), CertificateBinding::Observe) => Err(Reason::ConfirmationMissing.into()),
            (Err(refusal), CertificateBinding::Observe) => Err(refusal),
            (Err(refusal), CertificateBinding::Required | CertificateBinding::IfPresent) => return Err(refusal),
        };
        token.check_authentication(&server.authentication, server.leeway.duration(), now)?;
        token.check_scopes()?;
        Ok(Self { token, ground })
    }

    /// The token, and why it may pass; or why it would have been refused, if the policy only observes.
    pub(super) fn into_parts(self) -> (Rc<Prepared>, Result<Ground, Refusal>) {
        (self.token, self.ground)
    }
}

/// What a token is bound to, and was compared with.
enum Binding {
    /// The certificate of the connection.
    Certificate,
    /// A DPoP key. The API verifies the proof.
    DpopKey,
    Nothing,
}

/// Compares a token's confirmation with the certificate that the client presented.
fn binding(token: &Prepared, scheme: AuthScheme, presented: Option<Thumbprint>) -> Result<Binding, Refusal> {
    let confirmation = token.access_token.confirmation()?;
    // An API that verifies proofs only under the scheme DPoP would accept it without one.
    if confirmation.dpop_key && scheme != AuthScheme::Dpop {
        return Err(Reason::DpopSchemeMissing.into());
    }
    match (confirmation.certificate, presented) {
        (Some(confirmed), Some(presented)) if confirmed == presented => Ok(Binding::Certificate),
        (Some(confirmed), Some(_)) => Err(Refusal::from(Reason::CertificateMismatch).expecting(confirmed)),
        (Some(confirmed), None) => Err(Refusal::from(Reason::CertificateNotPresented).expecting(confirmed)),
        (None, _) if confirmation.dpop_key => Ok(Binding::DpopKey),
        (None, _) => Ok(Binding::Nothing),
    }
}
