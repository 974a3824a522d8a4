// SPDX-License-Identifier: Apache-2.0

//! Why a request is refused.

use std::rc::Rc;

use crate::certificate::thumbprint::Thumbprint;
use crate::outcome::identity::Identity;
use crate::outcome::lookup::Lookup;
use crate::outcome::no_certificate::NoCertificate;
use crate::reason::Reason;

/// Why a request is refused, with details for the log. The request itself is described by its [`Scene`](super::scene::Scene).
///
/// It is one pointer, since every `Result` with a refusal has room for it, and few are refusals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(Box<Particulars>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Particulars {
    reason: Reason,
    detail: Option<String>,
    /// Parameters of the challenge, each with its value.
    demands: Vec<(&'static str, String)>,
    expected: Option<Thumbprint>,
    identity: Option<Rc<Identity>>,
    lookup: Option<Lookup>,
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        let (detail, expected, identity, lookup) = (None, None, None, None);
        Self(Box::new(Particulars { reason, detail, demands: Vec::new(), expected, identity, lookup }))
    }
}

impl Refusal {
    /// A refusal with a detail for the operator. It is written to the log only, and must not contain a token, key or secret. A
    /// client's text in it is escaped when it is written.
    #[must_use]
    pub fn because(reason: Reason, detail: impl Into<String>) -> Self {
        let mut refusal = Self::from(reason);
        refusal.0.detail = Some(detail.into());
        refusal
    }

    /// The same request, refused for another reason.
    #[must_use]
    pub(crate) fn instead(&self, reason: Reason, detail: impl Into<String>) -> Self {
        Self::because(reason, detail).looked_up(self.0.lookup)
    }

    /// The same, with why a certificate that is there does not count, if the client's is what is missing.
    #[must_use]
    pub(super) fn for_want_of_certificate(mut self, why_none: NoCertificate) -> Self {
        let own = &mut *self.0;
        match (own.reason, why_none) {
            (Reason::CertificateNotPresented, NoCertificate::TerminatorNotValidated) => {
                own.reason = Reason::TerminatorNotValidated;
            }
            (
                Reason::CertificateNotPresented | Reason::ClientCertificateMissing | Reason::BindingCertificateMissing,
                _,
            ) => {}
            _ => return self,
        }
        own.detail.get_or_insert_with(|| why_none.detail().to_owned());
        self
    }

    /// Its approximate size in bytes.
    pub(crate) fn size(&self) -> usize {
        let Particulars { detail, demands, identity, .. } = &*self.0;
        let texts = detail.iter().chain(demands.iter().map(|(_, value)| value)).map(String::len);
        let own = size_of::<Self>().saturating_add(size_of::<Particulars>());
        let own = own.saturating_add(size_of_val(demands.as_slice()));
        let own = own.saturating_add(identity.as_ref().map_or(0, |identity| identity.size()));
        texts.fold(own, usize::saturating_add)
    }

    /// Adds the certificate that the token is bound to.
    #[must_use]
    pub(crate) fn expecting(mut self, expected: Thumbprint) -> Self {
        self.0.expected = Some(expected);
        self
    }

    /// Adds the identity of the token, whose signature was verified.
    #[must_use]
    pub(crate) fn about(mut self, identity: Rc<Identity>) -> Self {
        self.0.identity = Some(identity);
        self
    }

    /// Adds whether the token was in the cache, if it was looked up.
    #[must_use]
    pub(crate) fn looked_up(mut self, lookup: Option<Lookup>) -> Self {
        self.0.lookup = lookup;
        self
    }

    /// Adds a parameter of the challenge that says what the request needs. It must not need an escape there.
    #[must_use]
    pub(crate) fn demanding(mut self, parameter: &'static str, value: String) -> Self {
        self.0.demands.push((parameter, value));
        self
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// The detail for the operator. It may contain a client's text.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.0.detail.as_deref()
    }

    /// The certificate that the token is bound to.
    #[must_use]
    pub fn expected(&self) -> Option<Thumbprint> {
        self.0.expected
    }

    /// The identity of the token, if its signature was verified.
    #[must_use]
    pub fn identity(&self) -> Option<&Rc<Identity>> {
        self.0.identity.as_ref()
    }

    /// Whether the token was in the cache, if it was looked up.
    pub(super) fn lookup(&self) -> Option<Lookup> {
        self.0.lookup
    }

    /// What the request needs, as parameters of the challenge.
    pub(super) fn demands(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.demands.iter().map(|(parameter, value)| (*parameter, value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::json;

    #[test]
    fn whom_a_token_names_counts_where_a_refusal_is_kept() {
        let subject = "s".repeat(1000);
        let claims = format!(r#"{{"sub":"{subject}"}}"#);
        let identity = Identity::vouched_for(&json::object(claims.as_bytes()).unwrap());
        let without = Refusal::from(Reason::ClaimMissing);
        let size = without.size();
        assert!(without.about(identity).size() >= size + 1000);
    }
}
