// SPDX-License-Identifier: Apache-2.0

//! The policy in front of an authorization server: it hands over the certificate that the client proved to hold
//! (RFC 8705 §6.5 leaves the form to the deployment).

pub mod client;
mod client_authentication;
#[cfg(not(target_arch = "wasm32"))]
mod description;
mod issuance;
mod json_text;
mod metadata;
mod stop;
mod token_request;
mod upstream_response;

use std::rc::Rc;
use std::sync::Arc;

use serde::Deserialize;

use crate::certificate::thumbprint::Thumbprint;
use crate::config::secret::Environment;
use crate::handover::facts::Facts;
use crate::handover::forwarded_certificate::{
    ForwardedCertificate, Keeps, PresentedBy, Verified, XForwardedClientCert,
};
use crate::handover::forwarding::Forwarding;
use crate::handover::header_cache::{CertificateHeaders, HeaderCache};
use crate::handover::terminator::{Received, Source, Terminated};
use crate::http::connection::Connection;
use crate::http::header_name::written_twice;
use crate::http::path;
use crate::http::path::PlainPath;
use crate::http::request::Request;
use crate::keys::KeySource;
use crate::outcome::decision::Ground;
use crate::outcome::forward::{Forward, SanitizedHeaders};
use crate::outcome::scene::{Challenge, Scene};
use crate::reason::Reason;
use client_authentication::{ClientAuthentication, PresentedCertificate};
pub(crate) use client_authentication::{UntilBody, UntilKeys};
use issuance::IssuedTokens;
use metadata::Metadata;
pub(crate) use stop::Stop;
use upstream_response::Kind;
pub use upstream_response::{AtBody, AtHeaders, Report, ResponseReader};

/// A request to forward, and what to do with the response to it, if anything.
pub(crate) type ForwardAnd = (Forward, Option<ResponseReader>);

/// The path of every request is compared with each of them.
const MOST_ENDPOINTS: usize = 64;

/// What the authorization server gets to see of the client's certificate.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Fields")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "Fields"))]
pub struct AuthorizationServer {
    forwarded: ForwardedCertificate,
    /// `None` for every path.
    endpoints: Option<Vec<PlainPath>>,
    client_certificate: ClientCertificate,
    client_authentication: Option<Arc<ClientAuthentication>>,
    client_certificate_source: Option<Box<Source>>,
    metadata: Option<Arc<Metadata>>,
    issued_tokens: Option<Arc<IssuedTokens>>,
}

/// In front of an authorization server: it learns which certificate the client proved to hold.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "AuthorizationServer", transform = crate::config::shape::something_is_handed_over))]
struct Fields {
    /// The forms in which the authorization server gets the certificate, any number; empty only with
    /// `x_forwarded_client_cert: rebuild`. No two may write one header.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(extend("uniqueItems" = true), example = serde_json::json!([{ "dialect": "rfc9440" }])))]
    forward_certificate: Vec<Forwarding>,
    /// Headers with what the certificate says.
    #[serde(default)]
    facts: Facts,
    /// The paths that get the certificate, compared as they are; default: every path of the policy. A path that servers may
    /// read in two ways does not get it.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1, max = MOST_ENDPOINTS)))]
    endpoints: Option<Vec<PlainPath>>,
    /// Which certificates it may see.
    #[serde(default)]
    client_certificate: ClientCertificate,
    /// What becomes of `X-Forwarded-Client-Cert`.
    #[serde(default)]
    x_forwarded_client_cert: XForwardedClientCert,
    /// Whether clients authenticate here, by their certificates.
    client_authentication: Option<ClientAuthentication>,
    /// Where the client's certificate comes from behind another TLS terminator; default: from the connection.
    client_certificate_source: Option<Box<Source>>,
    /// What is added to the metadata of the authorization server.
    metadata: Option<Metadata>,
    /// Whether issued access tokens are held to the certificate of their request.
    issued_tokens: Option<IssuedTokens>,
}

/// Which certificates the authorization server may see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema, serde::Serialize))]
pub enum ClientCertificate {
    /// Only one whose chain Envoy validated, as it says of each connection (Envoy 1.39 or later). A resumed TLS
    /// session never counts as validated, so the listener must not resume. With `client_certificate_source`: one whose
    /// chain the terminator says it validated, in `verified`.
    #[default]
    Validated,
    /// Any that arrives: the operator states that the listener's handshake fails for a certificate that does not
    /// chain up to its trusted CAs (`VERIFY_TRUST_CHAIN`, Envoy's default wherever `trusted_ca` is set). With
    /// `client_certificate_source`: that the handshake of the terminator does.
    ValidatedByListener,
    /// Any that arrives, validated or not: the authorization server compares the certificate itself
    /// (`self_signed_tls_client_auth`). An authorization server that compares names must never get these.
    Presented,
}

impl TryFrom<Fields> for AuthorizationServer {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let Fields { forward_certificate, facts, endpoints, client_certificate, .. } = fields;
        let Fields { x_forwarded_client_cert, client_authentication, client_certificate_source, .. } = fields;
        let Fields { metadata, issued_tokens, .. } = fields;
        client_certificate_source.as_ref().map_or(Ok(()), |source| check_source(source, client_certificate))?;
        if endpoints.as_ref().is_some_and(|endpoints| !(1..=MOST_ENDPOINTS).contains(&endpoints.len())) {
            return Err(format!(
                "`endpoints` has 1 to {MOST_ENDPOINTS} paths; without it every path gets the certificate"
            ));
        }
        if endpoints.is_some() && client_authentication.is_some() {
            return Err(
                "`client_authentication` judges every request of its policy: give these endpoints a policy of \
                        their own in place of `endpoints`"
                    .to_owned(),
            );
        }
        if metadata.is_some() && client_authentication.is_some() {
            return Err(
                "`client_authentication` judges every request of its policy, and anybody may read the metadata: \
                        give the well-known paths a policy of their own"
                    .to_owned(),
            );
        }
        let forwarded = ForwardedCertificate::new(forward_certificate, facts, x_forwarded_client_cert);
        if forwarded.has_no_form() {
            return Err("forward_certificate is empty, so the authorization server would never see a certificate; \
                        a policy that only removes forged headers is `clean_only: {}`"
                .to_owned());
        }
        client_authentication.as_ref().map_or(Ok(()), |own| own.check(client_certificate))?;
        if client_certificate_source.as_ref().is_some_and(|source| !source.has_chain())
            && client_authentication.as_ref().is_some_and(|own| own.keeps() == Keeps::IssuerKeys)
        {
            return Err("issuer_key_sha256 needs the chain: `chain_header` in client_certificate_source".to_owned());
        }
        if let Some(twice) = written_twice(forwarded.names()) {
            return Err(format!("the policy writes the header {} twice", twice.text()));
        }
        Ok(Self {
            forwarded,
            endpoints,
            client_certificate,
            client_authentication: client_authentication.map(Arc::new),
            client_certificate_source,
            metadata: metadata.map(Arc::new),
            issued_tokens: issued_tokens.map(Arc::new),
        })
    }
}

/// Refuses a `client_certificate_source` that contradicts `client_certificate`.
fn check_source(source: &Source, certificates: ClientCertificate) -> Result<(), &'static str> {
    match (source.says_verified(), certificates) {
        _ if source.is_digest() => Err("a digest is no certificate that could be handed over: the encoding of \
                                        client_certificate_source is one with the certificate itself"),
        (false, ClientCertificate::Validated) => {
            Err("no certificate would be handed over: `client_certificate: validated` needs the terminator's word, \
                 `verified` in client_certificate_source, or say `validated_by_listener` where its handshake fails for what \
                 it cannot validate")
        }
        (true, ClientCertificate::ValidatedByListener) => {
            Err("`verified` of client_certificate_source has no effect under `client_certificate: \
                 validated_by_listener`: use `validated`")
        }
        _ => Ok(()),
    }
}

impl AuthorizationServer {
    /// Where the client's certificate comes from, if not from the connection.
    pub(crate) fn source(&self) -> Option<&Source> {
        self.client_certificate_source.as_deref()
    }

    /// What the server gets of the client's certificate.
    pub(crate) fn forwarded(&self) -> &ForwardedCertificate {
        &self.forwarded
    }

    /// The clients whose certificates are fetched, and where.
    pub(crate) fn fetching(&self) -> impl Iterator<Item = (&str, &KeySource)> {
        self.client_authentication.iter().flat_map(|own| own.fetching())
    }

    /// Whether unbound JWTs are withheld from clients.
    fn binds(&self) -> bool {
        self.issued_tokens.as_ref().is_some_and(|own| own.is_required())
    }

    /// What to do with the response to this request.
    // Not inlined, like everything that few requests need: V8 compiles two functions in less time than one of that size.
    #[inline(never)]
    fn response_reader(&self, request: &Request<'_>, presented: Option<Thumbprint>) -> Option<ResponseReader> {
        if let Some(metadata) = self.metadata.as_ref().filter(|_| Metadata::is_asked_for(request)) {
            let is_required = self.binds();
            return Some(ResponseReader(Kind::Metadata { metadata: Arc::clone(metadata), is_required }));
        }
        let issued = self.issued_tokens.as_ref().filter(|own| own.is_asked_for(request))?;
        Some(ResponseReader(Kind::Issuance { issued: Arc::clone(issued), presented }))
    }

    /// Reads the secrets from the environment.
    pub(crate) fn resolve(&mut self, environment: Environment<'_>) -> Result<(), String> {
        self.forwarded.resolve(environment)?;
        self.client_certificate_source.iter_mut().try_for_each(|source| source.resolve(environment))
    }

    fn is_endpoint(&self, request: &Request<'_>) -> bool {
        let Some(endpoints) = &self.endpoints else { return true };
        path::path_of(request).is_ok_and(|path| endpoints.iter().any(|endpoint| endpoint.as_str() == path))
    }

    /// The challenge to a client that fails to authenticate: it names the header that the client used (RFC 6749 §5.2).
    pub(crate) fn challenge(&self, request: &Request<'_>) -> Challenge<'static> {
        let has_tried = request.values("authorization").next().is_some();
        if has_tried && self.client_authentication.is_some() { Challenge::Basic } else { Challenge::None }
    }

    /// Judges a request.
    // Not inlined, to keep it apart from a resource server's path: V8 allocates memory for a function by its size.
    #[inline(never)]
    pub(crate) fn judge(
        &self,
        scene: &Scene<'_>,
        request: &Request<'_>,
        (connection, header_cache): (&dyn Connection, &mut HeaderCache),
        Received { mut cleaned, terminated }: Received,
    ) -> Result<ForwardAnd, Stop> {
        cleaned.edits.extend(self.forwarded.secrets());
        let presented = scene.certificate()?;
        let response_reader = self.response_reader(request, presented);
        if let Some(response_reader) = &response_reader {
            cleaned.edits.extend(response_reader.request_edits(request));
        }
        if !self.is_endpoint(request) {
            return Ok((cleaned.forward(Ground::NoEndpoint), response_reader));
        }
        // A token request is not safe (RFC 8470 §4): sent again it may give another token.
        if request.may_be_early() {
            return Err(Reason::EarlyData.into());
        }
        let begun = self.client_authentication.as_ref().map(|own| own.begin(request)).transpose()?;
        let (certificate, ground) = match presented {
            None => (self.without_certificate(None, &mut cleaned), Ground::NoCertificate),
            Some(thumbprint) => {
                let (policy, terminated) = (scene.policy(), terminated.as_ref());
                let presented = PresentedBy { policy, request, connection, thumbprint, terminated };
                self.presented_certificate(presented, header_cache, &mut cleaned)?
            }
        };
        match begun {
            Some(begun) => Err(Stop::NeedsBody(Box::new(begun.about(certificate, cleaned, response_reader, ground)))),
            None => {
                cleaned.edits.extend(certificate.edits);
                Ok((cleaned.forward(ground), response_reader))
            }
        }
    }

    /// Hands over no certificate, and says so in the headers for that.
    fn without_certificate(
        &self,
        presented: Option<Thumbprint>,
        cleaned: &mut SanitizedHeaders,
    ) -> PresentedCertificate {
        cleaned.edits.extend(self.forwarded.says(Verified::None));
        PresentedCertificate { thumbprint: presented, ..PresentedCertificate::default() }
    }

    /// The certificate that the client presented, ready to be handed over.
    fn presented_certificate(
        &self,
        presented: PresentedBy<'_>,
        header_cache: &mut HeaderCache,
        cleaned: &mut SanitizedHeaders,
    ) -> Result<(PresentedCertificate, Ground), Reason> {
        let PresentedBy { connection, thumbprint, terminated, .. } = presented;
        let keeps = self.client_authentication.as_ref().map_or(Keeps::Nothing, |own| own.keeps());
        let mut headers = || self.forwarded.headers(presented, header_cache, keeps);
        // A terminator's certificate that cannot be handed over is refused whether it is validated or not.
        let written = terminated.map(|_| headers()).transpose()?;
        let verified = match self.verified(connection, terminated)? {
            Some(verified) => verified,
            // The authorization server must not see this certificate.
            None => {
                return Ok((self.without_certificate(Some(thumbprint), cleaned), Ground::CertificateNotValidated));
            }
        };
        let handed = match written {
            Some(handed) => handed,
            None => headers()?,
        };
        Ok(self.hand_over(thumbprint, verified, handed, cleaned))
    }

    /// Whether the chain of the client's certificate was validated; `None` if the certificate must not be handed over.
    fn verified(
        &self,
        connection: &dyn Connection,
        terminated: Option<&Terminated>,
    ) -> Result<Option<Verified>, Reason> {
        let validated = match (self.client_certificate, terminated) {
            (ClientCertificate::ValidatedByListener, _) => return Ok(Some(Verified::Success)),
            (_, Some(terminated)) => terminated.validated,
            // No header says it, so the host need not be asked.
            (ClientCertificate::Presented, None) if !self.forwarded.says_verified() => false,
            (_, None) => connection.is_chain_validated().ok_or(Reason::ChainValidationUnavailable)?,
        };
        // A certificate that is not validated may still be registered for self_signed_tls_client_auth.
        let may_be_registered = || self.client_authentication.as_ref().is_some_and(|own| own.knows_self_signed());
        Ok(match (validated, self.client_certificate) {
            (true, _) => Some(Verified::Success),
            (false, ClientCertificate::Presented) => Some(Verified::Failed),
            (false, _) => may_be_registered().then_some(Verified::Failed),
        })
    }

    fn hand_over(
        &self,
        presented: Thumbprint,
        verified: Verified,
        handed: Rc<CertificateHeaders>,
        cleaned: &mut SanitizedHeaders,
    ) -> (PresentedCertificate, Ground) {
        let is_validated = verified == Verified::Success;
        let for_any_client = is_validated || self.client_certificate == ClientCertificate::Presented;
        let ground = match (for_any_client, handed.without_chain) {
            (false, _) => Ground::CertificateNotValidated,
            (true, true) => Ground::CertificateWithoutChain,
            (true, false) => Ground::CertificateHandedOver,
        };
        if !for_any_client {
            // These headers stay if the client does not authenticate with this certificate.
            cleaned.edits.extend(self.forwarded.says(Verified::None));
        }
        let certificate = PresentedCertificate {
            thumbprint: Some(presented),
            is_validated,
            edits: self.forwarded.says(verified).chain(handed.edits.iter().cloned()).collect(),
            handed: Some(handed),
            for_any_client,
        };
        (certificate, ground)
    }
}
