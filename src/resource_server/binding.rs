//! The comparison that everything else is for: a token is worth nothing without what it is bound to (RFC 8705 §3).

use std::rc::Rc;

use super::CertificateBinding;
use super::bearer_token::Scheme;
use super::prepared::Prepared;
use crate::certificate::thumbprint::Thumbprint;
use crate::outcome::decision::Ground;
use crate::outcome::refusal::Refusal;
use crate::reason::Reason;

/// A token that may pass under its policy. Only [`Admitted::by`] makes one.
#[derive(Debug)]
pub(super) struct Admitted {
    token: Rc<Prepared>,
    ground: Result<Ground, Refusal>,
}

impl Admitted {
    /// Judges the binding of a verified token, and after it the scope.
    ///
    /// # Errors
    /// Where the policy does not let it pass.
    pub(super) fn by(
        token: Rc<Prepared>,
        scheme: Scheme,
        presented: Option<Thumbprint>,
        policy: CertificateBinding,
    ) -> Result<Self, Refusal> {
        let ground = match (binding(&token, scheme, presented), policy) {
            (Ok(Binding::Certificate), _) => Ok(Ground::TokenBound),
            (Ok(Binding::DpopKey), _) => Ok(Ground::TokenBoundToKey),
            (Ok(Binding::Nothing), CertificateBinding::Required) => return Err(Reason::ConfirmationMissing.into()),
            (Ok(Binding::Nothing), CertificateBinding::IfPresent) => Ok(Ground::TokenUnbound),
            (Ok(Binding::Nothing), CertificateBinding::Observe) => Err(Reason::ConfirmationMissing.into()),
            (Err(refusal), CertificateBinding::Observe) => Err(refusal),
            (Err(refusal), CertificateBinding::Required | CertificateBinding::IfPresent) => return Err(refusal),
        };
        token.check_scopes()?;
        Ok(Self { token, ground })
    }

    /// The token, and why it may pass; or why the policy, which merely observes, would have refused it.
    pub(super) fn into_parts(self) -> (Rc<Prepared>, Result<Ground, Refusal>) {
        (self.token, self.ground)
    }
}

/// What a token is bound to and was held to.
enum Binding {
    /// The certificate of the connection.
    Certificate,
    /// A DPoP key, whose proof is verified behind.
    DpopKey,
    Nothing,
}

/// Holds a token to whatever it is bound to.
fn binding(token: &Prepared, scheme: Scheme, presented: Option<Thumbprint>) -> Result<Binding, Refusal> {
    let confirmation = token.access_token.confirmation()?;
    // As a bearer token it would pass an API that verifies proofs under the scheme DPoP alone.
    if confirmation.dpop_key && scheme == Scheme::Bearer {
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
