// SPDX-License-Identifier: Apache-2.0

//! What a policy in front of an authorization server does, in sentences.

use super::{AuthorizationServer, ClientCertificate};
use crate::handover::forwarded_certificate::{ForwardedCertificate, Keeps};
use crate::http::path::PlainPath;
use crate::text::list::listed;

impl AuthorizationServer {
    /// One sentence for each thing that it does.
    pub(crate) fn sentences(&self) -> Vec<String> {
        let which = match self.client_certificate {
            ClientCertificate::Validated => {
                "Only a certificate whose chain Envoy validated is handed over; to the authorization server the others \
                 are absent."
            }
            ClientCertificate::ValidatedByListener => {
                "Every certificate is handed over: the listener must refuse the ones that it cannot validate."
            }
            ClientCertificate::Presented => {
                "Every certificate is handed over, validated or not: the authorization server must compare the \
                 certificate itself, never a name in it."
            }
        };
        let which = match (self.source(), self.client_certificate) {
            (None, _) | (Some(_), ClientCertificate::Presented) => which,
            (Some(_), ClientCertificate::Validated) => {
                "Only a certificate whose chain the terminator says it validated is handed over; to the authorization server \
                 the others are absent."
            }
            (Some(_), ClientCertificate::ValidatedByListener) => {
                "Every certificate is handed over: the terminator must refuse the ones that it cannot validate."
            }
        };
        let mut sentences = self.client_certificates.sentences();
        sentences.extend(self.forwarded.forms_sentence("The authorization server"));
        sentences.push(which.to_owned());
        if self.forwarded.has_chain() && self.source().is_none() {
            sentences.push(ForwardedCertificate::chain_sentence());
        }
        sentences.extend(self.forwarded.facts_sentence());
        if let Some(endpoints) = &self.endpoints {
            let paths: Vec<_> = endpoints.iter().map(PlainPath::as_str).collect();
            sentences.push(format!("Only {} get it; every other path gets none.", listed(&paths, "and")));
        }
        sentences.extend(self.forwarded.secret_sentences());
        sentences.extend(self.metadata.iter().flat_map(|own| own.sentences(self.binds())));
        sentences.extend(self.issued_tokens.iter().flat_map(|own| own.sentences()));
        sentences.extend(self.client_authentication.iter().flat_map(|own| own.sentences()));
        sentences
    }

    /// What has headers wait for the body, as it stands in the configuration: those of its requests, or those of responses.
    pub(crate) fn waiting_headers(&self) -> Option<&'static str> {
        let of_requests = self.client_authentication.as_ref().is_some_and(|own| own.has_headers_wait());
        let of_responses = self.issued_tokens.as_ref().is_some_and(|own| own.has_headers_wait());
        let said = [(of_requests, "request_body: headers_wait"), (of_responses, "response_headers: wait")];
        said.into_iter().find_map(|(waits, said)| waits.then_some(said))
    }

    /// Whether clients authenticate here.
    pub(crate) fn authenticates(&self) -> bool {
        self.client_authentication.is_some()
    }

    /// Whether clients authenticate here by names in their certificates.
    pub(crate) fn authenticates_by_name(&self) -> bool {
        self.client_authentication.as_ref().is_some_and(|own| own.knows_names())
    }

    /// The keys of clients' `jwks` that are left out: the client, the place of the key, and the key and why.
    pub(crate) fn left_out_keys(&self) -> Vec<(&str, usize, String)> {
        self.client_authentication.as_ref().map(|own| own.left_out_keys()).unwrap_or_default()
    }

    /// What is doubtful in the distinguished names of clients: the client, the key, and why.
    pub(crate) fn doubts(&self) -> Vec<(&str, &'static str, &'static str)> {
        self.client_authentication.as_ref().map(|own| own.doubts()).unwrap_or_default()
    }

    /// Whether a certificate that nobody issued serves: one that a client registered, or any.
    pub(crate) fn takes_self_signed(&self) -> bool {
        self.client_certificate() == ClientCertificate::Presented
            || self.client_authentication.as_ref().is_some_and(|own| own.knows_self_signed())
    }

    /// Whether requests of unlisted clients are refused.
    pub(crate) fn refuses_unlisted(&self) -> bool {
        self.client_authentication.as_ref().is_some_and(|own| !own.forwards_unlisted())
    }

    /// Whether it needs the certificates behind the client's own, to hand them over or to find an issuer's key there.
    pub(crate) fn reads_chain(&self) -> bool {
        self.forwarded.has_chain()
            || self.client_authentication.as_ref().is_some_and(|own| own.keeps() == Keeps::IssuerKeys)
    }

    /// Which certificates are handed over.
    pub(crate) fn client_certificate(&self) -> ClientCertificate {
        self.client_certificate
    }
}
