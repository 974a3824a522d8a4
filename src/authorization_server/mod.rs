//! The policy in front of an authorization server: it hands over the certificate that the client proved to hold
//! (RFC 8705 §6.5 leaves the form to the deployment).

pub mod client;
mod client_authentication;
#[cfg(not(target_arch = "wasm32"))]
mod description;
mod token_request;

use std::sync::Arc;

use serde::Deserialize;

use crate::certificate::Certificate;
use crate::certificate::dialect::{self, Dialect};
use crate::certificate::thumbprint::Thumbprint;
use crate::decision::{Decision, Ground, Verdict};
use crate::policy::Cleaned;
use crate::reason::Reason;
use crate::refusal::Refusal;
use crate::request::{Caller, Request};
use crate::step::{Edit, Step};
pub use client_authentication::AskBody;
use client_authentication::{ClientAuthentication, Held};

pub(crate) const X_FORWARDED_CLIENT_CERT: &str = "x-forwarded-client-cert";

/// What the authorization server gets to see of the client's certificate.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Fields")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "Fields"))]
pub struct AuthorizationServer {
    forward_certificate: Vec<Dialect>,
    client_certificate: ClientCertificate,
    x_forwarded_client_cert: XForwardedClientCert,
    client_authentication: Option<Arc<ClientAuthentication>>,
}

/// In front of an authorization server: it learns which certificate the client proved to hold.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "AuthorizationServer", transform = crate::desk::schema::something_is_handed_over))]
struct Fields {
    /// The forms in which the authorization server gets the certificate, any number; empty only with
    /// `x_forwarded_client_cert: rebuild`.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(extend("uniqueItems" = true)))]
    forward_certificate: Vec<Forwarding>,
    /// Which certificates it may see.
    #[serde(default)]
    client_certificate: ClientCertificate,
    /// What becomes of `X-Forwarded-Client-Cert`.
    #[serde(default)]
    x_forwarded_client_cert: XForwardedClientCert,
    /// Whether clients authenticate here, by their certificates.
    client_authentication: Option<ClientAuthentication>,
}

/// One form in which the certificate is handed over.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
struct Forwarding {
    /// The name of the form.
    dialect: Dialect,
}

/// Which certificates the authorization server may see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema, serde::Serialize))]
pub enum ClientCertificate {
    /// Only one whose chain Envoy validated, as it says of each connection (Envoy 1.39 or later). A resumed TLS
    /// session never counts as validated, so the listener must not resume.
    #[default]
    Validated,
    /// Any that arrives: the operator states that the listener's handshake fails for a certificate that does not
    /// chain up to its trusted CAs (`VERIFY_TRUST_CHAIN`, Envoy's default wherever `trusted_ca` is set).
    ValidatedByListener,
    /// Any that arrives, validated or not: the authorization server compares the certificate itself
    /// (`self_signed_tls_client_auth`). An authorization server that compares names must never get these.
    Presented,
}

/// What becomes of `X-Forwarded-Client-Cert`, which Envoy itself may have written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema, serde::Serialize))]
pub enum XForwardedClientCert {
    /// Removed.
    #[default]
    Remove,
    /// Written anew from the connection: `Hash` and `Cert`.
    Rebuild,
}

impl TryFrom<Fields> for AuthorizationServer {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let Fields { forward_certificate, client_certificate, x_forwarded_client_cert, client_authentication } = fields;
        let forward_certificate: Vec<Dialect> =
            forward_certificate.into_iter().map(|forwarding| forwarding.dialect).collect();
        if forward_certificate.is_empty() && x_forwarded_client_cert == XForwardedClientCert::Remove {
            return Err("forward_certificate is empty, so the authorization server would never see a certificate; \
                        a policy that only removes forged headers is `clean_only: {}`"
                .to_owned());
        }
        for (position, dialect) in forward_certificate.iter().enumerate() {
            if forward_certificate.iter().take(position).any(|earlier| earlier.header() == dialect.header()) {
                return Err(format!("forward_certificate writes the header {} twice", dialect.header()));
            }
        }
        client_authentication.as_ref().map_or(Ok(()), |own| own.check(client_certificate))?;
        let client_authentication = client_authentication.map(Arc::new);
        Ok(Self { forward_certificate, client_certificate, x_forwarded_client_cert, client_authentication })
    }
}

impl AuthorizationServer {
    /// The first step of a request whose forged headers `cleaned` removes.
    pub(crate) fn start<'p>(&'p self, policy: &'p str, request: &Request<'_>, cleaned: Cleaned) -> Step<'p> {
        let refused = |refusal: Refusal| Step::Refuse(refusal.under(policy, None).to(request.caller()));
        let presented = match request.presented() {
            Ok(presented) => presented,
            Err(reason) => return refused(reason.into()),
        };
        let body = match self.client_authentication.as_ref().map(|own| own.begin(policy, request)).transpose() {
            Ok(body) => body,
            Err(refusal) => return refused(refusal.presenting(presented)),
        };
        let Some(presented) = presented else {
            return conclude(policy, body, cleaned, Held::default(), Ground::NoCertificate);
        };
        let caller = request.caller();
        let validated = self.client_certificate != ClientCertificate::Presented;
        let ask = AskCertificate { server: self, policy, caller, presented, validated, cleaned, body };
        match self.client_certificate {
            ClientCertificate::Validated => Step::AskValidation(AskValidation(ask)),
            ClientCertificate::ValidatedByListener | ClientCertificate::Presented => ask.into(),
        }
    }

    fn edits<'s>(&'s self, certificate: &Certificate) -> impl Iterator<Item = Edit> + use<'s> {
        let dialects: Vec<Edit> = self
            .forward_certificate
            .iter()
            .map(|dialect| Edit::set(dialect.header(), dialect.encode(certificate)))
            .collect();
        let rebuilt = match self.x_forwarded_client_cert {
            XForwardedClientCert::Remove => None,
            XForwardedClientCert::Rebuild => {
                Some(Edit::set(X_FORWARDED_CLIENT_CERT, dialect::x_forwarded_client_cert(certificate)))
            }
        };
        dialects.into_iter().chain(rebuilt)
    }
}

/// Forwards the request, unless its body has to say more.
fn conclude<'p>(policy: &str, body: Option<AskBody>, mut cleaned: Cleaned, held: Held, ground: Ground) -> Step<'p> {
    match body {
        Some(body) => Step::AskBody(Box::new(body.about(held, cleaned, ground))),
        None => {
            cleaned.edits.extend(held.handing_over);
            cleaned.forward(Decision::new(policy, Verdict::Forwarded(ground), held.presented))
        }
    }
}

/// The question whether the chain of the presented certificate was validated.
#[derive(Debug)]
pub struct AskValidation<'p>(AskCertificate<'p>);

impl<'p> AskValidation<'p> {
    /// Goes on with the host's answer; `None` where the host has no word for it.
    #[must_use]
    pub fn answer(self, validated: Option<bool>) -> Step<'p> {
        match validated {
            Some(true) => self.0.into(),
            // To the authorization server this client presented no certificate, unless it is one that is registered itself.
            Some(false) if self.0.may_be_registered() => AskCertificate { validated: false, ..self.0 }.into(),
            Some(false) => {
                let AskCertificate { policy, presented, cleaned, body, .. } = self.0;
                let held = Held { presented: Some(presented), ..Held::default() };
                conclude(policy, body, cleaned, held, Ground::CertificateNotValidated)
            }
            None => self.0.refuse(Reason::ChainValidationUnavailable),
        }
    }
}

/// The question for the certificate itself.
#[derive(Debug)]
pub(crate) struct AskCertificate<'p> {
    server: &'p AuthorizationServer,
    policy: &'p str,
    caller: Caller,
    presented: Thumbprint,
    /// Its chain is, or counts as it.
    validated: bool,
    cleaned: Cleaned,
    body: Option<AskBody>,
}

impl<'p> AskCertificate<'p> {
    /// Goes on with the host's answer: PEM, or `None` where the host does not hand over certificates.
    pub(crate) fn answer(self, pem: Option<&[u8]>) -> Step<'p> {
        let Some(pem) = pem else {
            return self.refuse(Reason::CertificateUnavailable);
        };
        match Certificate::of_connection(pem, &self.presented) {
            Ok(certificate) => {
                let Self { server, policy, presented, validated, cleaned, body, .. } = self;
                let for_any_client = validated || server.client_certificate == ClientCertificate::Presented;
                let ground =
                    if for_any_client { Ground::CertificateHandedOver } else { Ground::CertificateNotValidated };
                let held = Held {
                    presented: Some(presented),
                    validated,
                    handing_over: server.edits(&certificate).collect(),
                    certificate: Some(certificate),
                    for_any_client,
                };
                conclude(policy, body, cleaned, held, ground)
            }
            Err(reason) => self.refuse(reason),
        }
    }

    fn may_be_registered(&self) -> bool {
        self.server.client_authentication.as_ref().is_some_and(|own| own.knows_self_signed())
    }

    fn refuse(&self, reason: Reason) -> Step<'p> {
        let refusal = Refusal::from(reason).under(self.policy, None).presenting(Some(self.presented));
        Step::Refuse(refusal.to(self.caller))
    }
}
