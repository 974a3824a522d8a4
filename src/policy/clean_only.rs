// SPDX-License-Identifier: Apache-2.0

//! An open route: forged certificate headers are removed.

use serde::Deserialize;

use crate::config::secret::Environment;
use crate::handover::facts::Facts;
use crate::handover::forwarded_certificate::{ForwardedCertificate, PresentedBy, XForwardedClientCert};
use crate::handover::forwarding::Forwarding;
use crate::http::header_name::written_twice;
use crate::http::request::Request;
use crate::outcome::forward::SanitizedHeaders;
use crate::outcome::scene::Scene;
use crate::reason::Reason;
use crate::resource_server::Context;

/// An open route: forged certificate headers are removed.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Fields")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "Fields"))]
pub struct CleanOnly {
    forwarded: ForwardedCertificate,
}

/// An open route: forged certificate headers are removed. What the server behind gets of a certificate is that of the
/// connection, whether its chain is validated or not.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "CleanOnly"))]
struct Fields {
    /// The forms in which the server behind gets the certificate, any number; no two may write one header.
    #[serde(default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(extend("uniqueItems" = true), example = serde_json::json!([{ "dialect": "rfc9440" }])))]
    forward_certificate: Vec<Forwarding>,
    /// Headers with what the certificate says.
    #[serde(default)]
    facts: Facts,
    /// What becomes of `X-Forwarded-Client-Cert`.
    #[serde(default)]
    x_forwarded_client_cert: XForwardedClientCert,
}

impl TryFrom<Fields> for CleanOnly {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let Fields { forward_certificate, facts, x_forwarded_client_cert } = fields;
        let forwarded = ForwardedCertificate::new(forward_certificate, facts, x_forwarded_client_cert);
        match written_twice(forwarded.names()) {
            Some(twice) => Err(format!("the policy writes the header {} twice", twice.text())),
            None => Ok(Self { forwarded }),
        }
    }
}

impl CleanOnly {
    /// What the server behind gets of the certificate.
    pub(crate) fn forwarded(&self) -> &ForwardedCertificate {
        &self.forwarded
    }

    /// One sentence for each thing that it does.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn sentences(&self) -> Vec<String> {
        let mut sentences = vec!["Every request passes.".to_owned()];
        sentences.extend(self.forwarded.forms_sentence("The server behind"));
        if self.forwarded.has_chain() {
            sentences.push(ForwardedCertificate::chain_sentence());
        }
        sentences.extend(self.forwarded.facts_sentence());
        sentences.extend(self.forwarded.secret_sentences());
        sentences
    }

    /// Reads the secrets from the environment.
    pub(super) fn resolve(&mut self, environment: Environment<'_>) -> Result<(), String> {
        self.forwarded.resolve(environment)
    }

    /// The headers, with the certificate of the connection where it is written.
    pub(super) fn cleaned(
        &self,
        scene: &Scene<'_>,
        request: &Request<'_>,
        context: &mut Context<'_>,
        mut cleaned: SanitizedHeaders,
    ) -> Result<SanitizedHeaders, Reason> {
        if !self.forwarded.is_empty() {
            let (policy, connection) = (scene.policy(), context.connection);
            let presented = scene.certificate()?.map(|thumbprint| PresentedBy {
                policy,
                request,
                connection,
                thumbprint,
                terminated: None,
            });
            cleaned.edits.extend(self.forwarded.edits(presented, context.header_cache)?);
        }
        Ok(cleaned)
    }
}
