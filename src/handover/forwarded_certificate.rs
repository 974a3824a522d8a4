// SPDX-License-Identifier: Apache-2.0

//! What the server behind gets of the client's certificate: the same keys, forms and facts under every policy.

use std::rc::Rc;

use serde::Deserialize;

use crate::certificate::Certificate;
use crate::certificate::thumbprint::Thumbprint;
use crate::certificate::to_be_signed::ToBeSigned;
use crate::config::secret::{Environment, Secret};
use crate::handover::chain::{self, Chain};
use crate::handover::dialect::Form;
use crate::handover::encoding::Encoding;
use crate::handover::facts::Facts;
use crate::handover::forwarding::Forwarding;
use crate::handover::header_cache::{CertificateHeaders, HeaderCache, Signers};
use crate::handover::terminator::Terminated;
use crate::http::connection::Connection;
use crate::http::edit::Edit;
use crate::http::header_name::{OwnName, are_twins};
use crate::http::request::Request;
use crate::jose::issuer_key::IssuerKey;
use crate::reason::Reason;

pub(crate) const X_FORWARDED_CLIENT_CERT: &str = "x-forwarded-client-cert";

/// What the server behind gets of the client's certificate.
#[derive(Debug, Default)]
pub(crate) struct ForwardedCertificate {
    pub(super) forms: Vec<Form>,
    pub(super) facts: Facts,
    /// The headers that every request gets, and their secrets.
    pub(super) secrets: Vec<(&'static str, Secret)>,
    pub(super) x_forwarded_client_cert: XForwardedClientCert,
}

/// What becomes of `X-Forwarded-Client-Cert`, which Envoy itself may have written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema, serde::Serialize))]
pub(crate) enum XForwardedClientCert {
    /// Removed.
    #[default]
    Remove,
    /// Written anew from the client's certificate: `Hash` and `Cert`; removed where there is none.
    Rebuild,
}

/// Whether the chain of the certificate was validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verified {
    Success,
    Failed,
    /// There is no certificate, or none that the server is to see.
    None,
}

/// A certificate that a client presented, and where it is read.
#[derive(Clone, Copy)]
pub(crate) struct PresentedBy<'p> {
    /// The name of the policy, under which headers are kept.
    pub(crate) policy: &'p str,
    pub(crate) request: &'p Request<'p>,
    pub(crate) connection: &'p dyn Connection,
    pub(crate) thumbprint: Thumbprint,
    /// The word of a terminator in front, if the certificate comes from it.
    pub(crate) terminated: Option<&'p Terminated>,
}

/// What is kept beside the headers for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeps {
    Nothing,
    /// The certificate.
    Certificate,
    /// The certificate, and the keys of its issuer in the chain.
    IssuerKeys,
}

impl ForwardedCertificate {
    /// These forms and facts, and X-Forwarded-Client-Cert.
    pub(crate) fn new(forms: Vec<Forwarding>, facts: Facts, x_forwarded_client_cert: XForwardedClientCert) -> Self {
        let (forms, secrets): (_, Vec<_>) =
            forms.into_iter().map(|forwarding| (forwarding.form, forwarding.secret)).unzip();
        Self { forms, facts, secrets: secrets.into_iter().flatten().collect(), x_forwarded_client_cert }
    }

    /// Whether neither a form nor X-Forwarded-Client-Cert has the certificate.
    pub(crate) fn has_no_form(&self) -> bool {
        self.forms.is_empty() && self.x_forwarded_client_cert == XForwardedClientCert::Remove
    }

    /// Whether nothing of a certificate is written.
    pub(crate) fn is_empty(&self) -> bool {
        self.has_no_form() && self.facts.names().next().is_none()
    }

    /// The names of the headers that it writes.
    pub(crate) fn names(&self) -> impl Iterator<Item = OwnName> {
        let rebuilt = match self.x_forwarded_client_cert {
            XForwardedClientCert::Remove => None,
            XForwardedClientCert::Rebuild => Some(OwnName::Exactly(X_FORWARDED_CLIENT_CERT.to_owned())),
        };
        let fixed = |name: &str| OwnName::Exactly(name.to_owned());
        let of_dialects = self.forms.iter().filter_map(|form| form.dialect()?.verified()).map(fixed);
        let secrets = self.secrets.iter().map(move |(name, _)| fixed(name));
        let forms = self.forms.iter().flat_map(Form::names);
        forms.chain(rebuilt).chain(of_dialects).chain(secrets).chain(self.facts.names())
    }

    /// Whether the responses are edited. They are if the server gets `Client-Cert`.
    pub(crate) fn edits_responses(&self) -> bool {
        self.forms.iter().any(|form| are_twins(form.header(), "client-cert"))
    }

    /// Whether it has a place for the certificates behind the client's own.
    pub(crate) fn has_chain(&self) -> bool {
        self.forms.iter().any(Form::has_chain)
    }

    /// Reads the secrets from the environment.
    pub(crate) fn resolve(&mut self, environment: Environment<'_>) -> Result<(), String> {
        self.secrets.iter_mut().try_for_each(|(_, secret)| secret.resolve(environment))
    }

    /// The headers that every request gets, with a certificate or without.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = Edit> {
        self.secrets.iter().map(|(header, secret)| Edit::set(*header, secret.value().to_owned()))
    }

    /// The headers that say whether the chain was validated.
    fn verified_headers(&self) -> impl Iterator<Item = &str> {
        let of_dialects = self.forms.iter().filter_map(|form| -> Option<&str> { form.dialect()?.verified() });
        of_dialects.chain(self.facts.verified())
    }

    /// Whether a header says it. Otherwise the host need not be asked.
    pub(crate) fn says_verified(&self) -> bool {
        self.verified_headers().next().is_some()
    }

    /// Says whether the chain was validated.
    pub(crate) fn says(&self, verified: Verified) -> impl Iterator<Item = Edit> {
        let word = match verified {
            Verified::Success => "SUCCESS",
            Verified::Failed => "FAILED:the chain of the certificate was not validated",
            Verified::None => "NONE",
        };
        self.verified_headers().map(|header| Edit::set(header, word.to_owned()))
    }

    /// The edits for a server that gets every certificate, validated or not. Without a certificate they only remove headers.
    // Not inlined, like everything that few requests need: V8 compiles two functions in less time than one of their size.
    #[inline(never)]
    pub(crate) fn edits(
        &self,
        presented: Option<PresentedBy<'_>>,
        header_cache: &mut HeaderCache,
    ) -> Result<Vec<Edit>, Reason> {
        let mut edits: Vec<_> = self.secrets().collect();
        let Some(presented) = presented else {
            edits.extend(self.says(Verified::None));
            return Ok(edits);
        };
        if self.says_verified() {
            let validated = match presented.terminated {
                Some(terminated) => terminated.validated,
                None => presented.connection.is_chain_validated().ok_or(Reason::ChainValidationUnavailable)?,
            };
            edits.extend(self.says(if validated { Verified::Success } else { Verified::Failed }));
        }
        edits.extend(self.headers(presented, header_cache, Keeps::Nothing)?.edits.iter().cloned());
        Ok(edits)
    }

    /// The headers that depend only on the certificate and its chain, kept or written now.
    // Not inlined: as `edits`.
    #[inline(never)]
    pub(crate) fn headers(
        &self,
        presented: PresentedBy<'_>,
        header_cache: &mut HeaderCache,
        keeps: Keeps,
    ) -> Result<Rc<CertificateHeaders>, Reason> {
        let PresentedBy { policy, request, connection, thumbprint, terminated } = presented;
        // Envoy wrote this header about the connection, so it says nothing of a terminator's client.
        let forwarded = request.values(X_FORWARDED_CLIENT_CERT).last().filter(|_| terminated.is_none());
        let source = terminated.map_or(forwarded, |terminated| terminated.chain_source.as_deref());
        let source = source.filter(|_| self.has_chain() || keeps == Keeps::IssuerKeys);
        if let Some(known) = header_cache.find(policy, &thumbprint, source) {
            return Ok(known);
        }
        let written = match terminated {
            Some(terminated) => {
                let certificate = terminated.certificate.as_ref().ok_or(Reason::CertificateUnavailable)?;
                self.write(certificate, &terminated.chain, source, keeps).map_err(Reason::of_forwarded)
            }
            None => {
                let given = connection.certificate();
                // A certificate in the header counts only if it is the connection's. The host's own is checked in the same way.
                let in_header = || chain::certificate_of_connection(forwarded?, &thumbprint);
                let pem = given.as_deref().or_else(in_header).ok_or(Reason::CertificateUnavailable)?;
                let certificate = Certificate::of_connection(pem, &thumbprint)?;
                let chain = source.map_or(Chain::Unknown, |value| Chain::of_connection(value, &thumbprint));
                self.write(&certificate, &chain, source, keeps)
            }
        };
        Ok(header_cache.keep(policy, &thumbprint, written?))
    }

    fn write(
        &self,
        certificate: &Certificate,
        chain: &Chain,
        chain_source: Option<&[u8]>,
        keeps: Keeps,
    ) -> Result<CertificateHeaders, Reason> {
        let (mut edits, mut without_chain) = (Vec::new(), false);
        for form in &self.forms {
            let written = form.write(certificate, chain)?;
            without_chain |= written.without_chain;
            edits.extend(written.headers.into_iter().map(|(name, value)| Edit::set(name, value)));
        }
        match self.x_forwarded_client_cert {
            XForwardedClientCert::Remove => {}
            XForwardedClientCert::Rebuild => {
                edits.push(Edit::set(X_FORWARDED_CLIENT_CERT, Encoding::Xfcc.encode(certificate.der())));
            }
        }
        edits.extend(self.facts.write(certificate)?);
        let chain_source = chain_source.map(<[u8]>::to_vec);
        let issuer_keys = if keeps == Keeps::IssuerKeys { issuer_keys(certificate, chain) } else { None };
        let certificate = (keeps != Keeps::Nothing).then(|| certificate.clone());
        let signers = Signers::default();
        Ok(CertificateHeaders { chain_source, certificate, edits, without_chain, issuer_keys, signers })
    }
}

/// The keys of the certificates in a chain that have the name of a certificate's issuer: a name that is an authority's is written in
/// the same bytes in both (RFC 5280 §4.1.2.6). `None` if the chain is not known.
fn issuer_keys(certificate: &Certificate, chain: &Chain) -> Option<Vec<IssuerKey>> {
    let Chain::Known(chain) = chain else { return None };
    let issuer = ToBeSigned::of_certificate(certificate.der())?.issuer;
    let mut keys = Vec::new();
    for der in chain {
        if let Some(fields) = ToBeSigned::of_certificate(der).filter(|fields| fields.subject == issuer) {
            keys.push(IssuerKey::from_der(fields.subject_public_key_info));
        }
    }
    Some(keys)
}
