// SPDX-License-Identifier: Apache-2.0

//! What the server behind gets of the client's certificate, in sentences.

use super::dialect::{ChainForm, Form};
use super::forwarded_certificate::{ForwardedCertificate, XForwardedClientCert};
use crate::text::list::listed;

impl ForwardedCertificate {
    /// The headers with the certificate; `None` if the server gets facts at most.
    pub(crate) fn forms_sentence(&self, server: &str) -> Option<String> {
        let mut forms: Vec<_> = self.forms.iter().map(form).collect();
        match self.x_forwarded_client_cert {
            XForwardedClientCert::Remove => {}
            XForwardedClientCert::Rebuild => forms.push("x-forwarded-client-cert (Hash and Cert)".to_owned()),
        }
        let forms: Vec<_> = forms.iter().map(String::as_str).collect();
        let sentence = || format!("{server} gets the client's certificate in {}.", listed(&forms, "and"));
        (!forms.is_empty()).then(sentence)
    }

    /// Whether anything that the server gets has names in it.
    pub(crate) fn has_names(&self) -> bool {
        let is_whole = |form: &Form| !form.encoding().is_digest();
        let is_rebuilt = self.x_forwarded_client_cert == XForwardedClientCert::Rebuild;
        is_rebuilt || self.forms.iter().any(is_whole) || self.facts.has_names()
    }

    /// When the chain is handed over.
    pub(crate) fn chain_sentence() -> String {
        "The certificates behind it are handed over where Envoy hands them to the filter \
         (set_current_client_cert_details: { chain: true })."
            .to_owned()
    }

    /// Which facts are handed over, if any are.
    pub(crate) fn facts_sentence(&self) -> Option<String> {
        let facts = self.facts.names().map(|name| name.text()).collect::<Vec<_>>();
        let facts: Vec<_> = facts.iter().map(String::as_str).collect();
        (!facts.is_empty()).then(|| format!("What the certificate says is in {}.", listed(&facts, "and")))
    }

    /// Which secrets every request gets.
    pub(crate) fn secret_sentences(&self) -> impl Iterator<Item = String> {
        self.secrets.iter().map(|(header, secret)| {
            format!("Every request gets {header} with the value of the environment variable {}.", secret.variable())
        })
    }
}

fn form(form: &Form) -> String {
    let how = match form.dialect() {
        Some(dialect) => format!("as {} has it", dialect.name()),
        None => form.encoding().name().to_owned(),
    };
    match form.chain() {
        ChainForm::None | ChainForm::SameHeader => format!("{} ({how})", form.header()),
        ChainForm::List(chain) | ChainForm::ConcatenatedDer(chain) => {
            format!("{} with its chain in {chain} ({how})", form.header())
        }
        ChainForm::Numbered { prefix, first, .. } => {
            format!("{} with its chain in {prefix}{first} and so on ({how})", form.header())
        }
    }
}
