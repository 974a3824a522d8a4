//! What a policy in front of an authorization server does, in sentences.

use super::{AuthorizationServer, ClientCertificate, XForwardedClientCert};
use crate::desk::sentence::listed;

impl AuthorizationServer {
    /// One sentence for each thing that it does.
    pub(crate) fn sentences(&self) -> Vec<String> {
        let dialects = self.forward_certificate.iter();
        let mut forms: Vec<_> =
            dialects.map(|dialect| format!("{} (as {} has it)", dialect.header(), dialect.name())).collect();
        match self.x_forwarded_client_cert {
            XForwardedClientCert::Remove => {}
            XForwardedClientCert::Rebuild => forms.push("x-forwarded-client-cert (Hash and Cert)".to_owned()),
        }
        let forms: Vec<_> = forms.iter().map(String::as_str).collect();
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
        let handed_over =
            format!("The authorization server gets the client's certificate in {}.", listed(&forms, "and"));
        let authentication = self.client_authentication.iter().flat_map(|own| own.sentences());
        [handed_over, which.to_owned()].into_iter().chain(authentication).collect()
    }

    /// Whether the headers of its requests wait for the body.
    pub(crate) fn has_headers_wait(&self) -> bool {
        self.client_authentication.as_ref().is_some_and(|own| own.has_headers_wait())
    }

    /// Which certificates are handed over.
    pub(crate) fn client_certificate(&self) -> ClientCertificate {
        self.client_certificate
    }
}
