// SPDX-License-Identifier: Apache-2.0

//! The issuers of a client's certificate. A name pins no issuer: any authority that the listener trusts may issue under it. A key
//! does, once it has verified the signature of the certificate.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::certificate::der::Element;
use crate::certificate::distinguished_name::DistinguishedName;
use crate::certificate::object_identifier::ObjectIdentifier;
use crate::certificate::signed::Signed;
use crate::certificate::thumbprint::Thumbprint;
use crate::certificate::to_be_signed::ToBeSigned;
use crate::certificate::{Certificate, pem};
use crate::handover::header_cache::CertificateHeaders;
use crate::jose::issuer_key::IssuerKey;
use crate::jose::signature::{SignatureEngine, Verification};
use crate::reason::Reason;

/// A client has one, or a few while an authority changes its key. So many keys are tried with a certificate at most.
pub(super) const MOST: usize = 8;

/// The issuers of which one must have issued the certificate.
#[derive(Debug, Default)]
pub struct Issuers {
    /// `issuer_certificates`: the subject of each in DER, and its key.
    certificates: Vec<(Vec<u8>, IssuerKey)>,
    /// `issuer_key_sha256`: the certificate of the issuer is in the chain that the client sent.
    keys: Vec<Thumbprint>,
}

impl Issuers {
    pub(super) fn new(certificates: Option<Vec<String>>, keys: Option<Vec<Thumbprint>>) -> Result<Self, String> {
        let is_wrong = |count: Option<usize>| count.is_some_and(|count| !(1..=MOST).contains(&count));
        if is_wrong(certificates.as_ref().map(Vec::len)) || is_wrong(keys.as_ref().map(Vec::len)) {
            return Err(format!("issuer_certificates and issuer_key_sha256 have 1 to {MOST} entries each"));
        }
        let certificates = certificates.unwrap_or_default().iter().map(|text| read(text)).collect::<Result<_, _>>();
        let certificates = certificates.map_err(|wrong| format!("issuer_certificates: {wrong}"))?;
        Ok(Self { certificates, keys: keys.unwrap_or_default() })
    }

    /// Whether any issuer will do.
    fn are_any(&self) -> bool {
        self.certificates.is_empty() && self.keys.is_empty()
    }

    /// Whether the chain is needed that the client sent.
    pub(crate) fn need_chain(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Refuses a certificate that none of them has signed.
    pub(crate) fn check(
        &self,
        handed: &CertificateHeaders,
        engine: &dyn SignatureEngine,
    ) -> Result<(), (Reason, String)> {
        if self.are_any() {
            return Ok(());
        }
        let parts = handed.certificate.as_ref().and_then(|certificate| {
            Some((ToBeSigned::of_certificate(certificate.der())?, Signed::of_certificate(certificate.der())?))
        });
        let mismatch = |found: &str| (Reason::ClientCertificateMismatch, found.to_owned());
        let (fields, signed) = parts.ok_or_else(|| mismatch("the signature of the certificate cannot be read"))?;
        let configured = self.certificates.iter().filter(|(subject, _)| subject == fields.issuer);
        let configured =
            configured.map(|(_, key)| (*key.sha256(), handed.signer(key.sha256(), || key.has_signed(&signed, engine))));
        let in_chain = handed.issuer_keys.iter().flatten().filter_map(|info| {
            let sha256 = Thumbprint::of_der(info);
            // The key of the chain is the client's choice, but for its digest.
            let own =
                || IssuerKey::from_der(info).map_or(Verification::Unavailable, |key| key.has_signed(&signed, engine));
            self.keys.contains(&sha256).then(|| (sha256, handed.signer(&sha256, own)))
        });
        let mut tried: Option<(Verification, Thumbprint)> = None;
        for (sha256, verification) in configured.chain(in_chain) {
            match verification {
                Verification::Valid => return Ok(()),
                Verification::Invalid => tried = tried.or(Some((Verification::Invalid, sha256))),
                Verification::Unavailable => tried = Some((Verification::Unavailable, sha256)),
            }
        }
        Err(match tried {
            Some((Verification::Unavailable, sha256)) => {
                let algorithm = named(signed.algorithm);
                let found =
                    format!("a signature with {algorithm} and the issuer's key {} cannot be verified", sha256.hex());
                (Reason::SignatureEngineUnavailable, found)
            }
            Some((_, sha256)) => mismatch(&format!("the issuer's key {} has not signed the certificate", sha256.hex())),
            None => mismatch(&self.told_of(fields.issuer, handed)),
        })
    }

    /// What is there in place of a pinned key.
    fn told_of(&self, issuer: &[u8], handed: &CertificateHeaders) -> String {
        match handed.issuer_keys.as_deref() {
            None if self.need_chain() => "no chain came with the certificate".to_owned(),
            Some([info, ..]) => format!("the issuer's key in the chain is {}", Thumbprint::of_der(info).hex()),
            _ => {
                let issuer = DistinguishedName::from_der(issuer).map(|issuer| issuer.to_string());
                format!("the issuer of the certificate is {:.512}", issuer.unwrap_or_default())
            }
        }
    }
}

/// The object identifier of an algorithm.
fn named(algorithm: &[u8]) -> String {
    let identifier = Element::only(algorithm).and_then(|algorithm| algorithm.children()?.first().copied());
    let identifier = identifier.and_then(|identifier| ObjectIdentifier::from_contents(identifier.contents));
    identifier.map(|identifier| identifier.to_string()).unwrap_or_default()
}

/// The subject and the key of an issuer's certificate, in PEM or in base64.
fn read(text: &str) -> Result<(Vec<u8>, IssuerKey), String> {
    let base64 = || STANDARD.decode(text.trim_ascii()).ok();
    let der = pem::certificate_der(text.as_bytes()).or_else(base64).filter(|der| Certificate::is_certificate(der));
    let der = der.ok_or("each is one certificate, in PEM or in base64")?;
    let fields = ToBeSigned::of_certificate(&der).ok_or("this is no certificate")?;
    let key = IssuerKey::from_der(fields.subject_public_key_info).map_err(|wrong| format!("its key: {wrong}"))?;
    Ok((fields.subject.to_vec(), key))
}
