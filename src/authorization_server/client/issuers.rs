// SPDX-License-Identifier: Apache-2.0

//! The issuers of a client's certificate. A name pins no issuer: any authority that the listener trusts may issue under it. A key
//! does, once it has verified the signature of the certificate.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::certificate::der::Element;
use crate::certificate::distinguished_name::DistinguishedName;
use crate::certificate::object_identifier::ObjectIdentifier;
use crate::certificate::pem;
use crate::certificate::signed::Signed;
use crate::certificate::thumbprint::Thumbprint;
use crate::certificate::to_be_signed::ToBeSigned;
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
        let mut issuers = Self { certificates: Vec::new(), keys: keys.unwrap_or_default() };
        for text in certificates.unwrap_or_default() {
            issuers.certificates.push(read(&text).map_err(|wrong| format!("issuer_certificates: {wrong}"))?);
        }
        Ok(issuers)
    }

    /// Whether none is pinned.
    pub(crate) fn pin_none(&self) -> bool {
        self.certificates.is_empty() && self.keys.is_empty()
    }

    /// Whether the chain is needed that the client sent.
    pub(crate) fn need_chain(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Refuses a certificate that none of them has signed.
    // Not inlined: few clients have them.
    #[inline(never)]
    pub(crate) fn check(
        &self,
        handed: &CertificateHeaders,
        engine: &dyn SignatureEngine,
    ) -> Result<(), (Reason, String)> {
        if self.pin_none() {
            return Ok(());
        }
        let mismatch = |found: String| (Reason::ClientCertificateMismatch, found);
        let parts = handed.certificate.as_ref().and_then(|certificate| {
            Some((ToBeSigned::of_certificate(certificate.der())?, Signed::of_certificate(certificate.der())?))
        });
        let (fields, signed) =
            parts.ok_or_else(|| mismatch("the signature of the certificate cannot be read".to_owned()))?;
        let mut candidates = Vec::new();
        for (subject, key) in &self.certificates {
            if subject == fields.issuer {
                candidates.push(key);
            }
        }
        // A key of the chain is the client's choice, but for its digest.
        for key in handed.issuer_keys.as_deref().unwrap_or_default() {
            if self.keys.contains(key.sha256()) {
                candidates.push(key);
            }
        }
        let (mut in_vain, mut is_unavailable) = (None, false);
        for key in candidates {
            match handed.signers.has(key.sha256(), &|| key.has_signed(&signed, engine)) {
                Verification::Valid => return Ok(()),
                Verification::Invalid => in_vain = Some(key.sha256()),
                Verification::Unavailable => is_unavailable = true,
            }
        }
        Err(match in_vain {
            _ if is_unavailable => {
                let algorithm = named(signed.algorithm).unwrap_or_default();
                (Reason::SignatureEngineUnavailable, format!("a signature by {algorithm} cannot be verified"))
            }
            Some(sha256) => mismatch(format!("not signed by the key {}", sha256.hex())),
            None => mismatch(self.told_of(fields.issuer, handed)),
        })
    }

    /// What is there in place of a pinned key.
    fn told_of(&self, issuer: &[u8], handed: &CertificateHeaders) -> String {
        match handed.issuer_keys.as_deref() {
            None if self.need_chain() => "no chain came with the certificate".to_owned(),
            Some([key, ..]) => format!("the issuer's key in the chain is {}", key.sha256().hex()),
            _ => {
                let issuer = DistinguishedName::from_der(issuer).map(|issuer| issuer.to_string());
                format!("the issuer of the certificate is {:.512}", issuer.unwrap_or_default())
            }
        }
    }
}

/// The object identifier of an algorithm.
fn named(algorithm: &[u8]) -> Option<String> {
    let parts = Element::only(algorithm)?.children()?;
    ObjectIdentifier::from_contents(parts.first()?.contents).map(|identifier| identifier.to_string())
}

/// The subject and the key of an issuer's certificate, in PEM or in base64.
fn read(text: &str) -> Result<(Vec<u8>, IssuerKey), String> {
    let base64 = || STANDARD.decode(text.trim_ascii()).ok();
    let der = pem::certificate_der(text.as_bytes()).or_else(base64).filter(|der| pem::is_one_sequence(der));
    let fields =
        der.as_deref().and_then(ToBeSigned::of_certificate).ok_or("each is one certificate, in PEM or in base64")?;
    let key = IssuerKey::from_der(fields.subject_public_key_info);
    key.check().map_err(|wrong| format!("the key: {wrong}"))?;
    Ok((fields.subject.to_vec(), key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handover::header_cache::Signers;

    /// RFC 8410 §10.1.
    const KEY: &str = "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";

    /// `CN=a` in DER.
    const ISSUER: &[u8] = b"\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01a";

    fn pinned(keys: Option<Vec<Thumbprint>>) -> Issuers {
        Issuers::new(None, keys).unwrap()
    }

    /// A certificate that came with these keys in its chain, or without a chain.
    fn with_chain(issuer_keys: Option<Vec<IssuerKey>>) -> CertificateHeaders {
        CertificateHeaders {
            chain_source: None,
            certificate: None,
            edits: Vec::new(),
            without_chain: issuer_keys.is_none(),
            issuer_keys,
            signers: Signers::default(),
        }
    }

    #[test]
    fn an_algorithm_is_named_by_its_object_identifier() {
        // ecdsa-with-SHA256 (RFC 5758 §3.2).
        let algorithm = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
        assert_eq!(named(algorithm).as_deref(), Some("1.2.840.10045.4.3.2"));
        assert_eq!(named(b"\x30\x00"), None);
    }

    #[test]
    fn the_chain_is_needed_for_keys_that_are_pinned_by_their_digests_alone() {
        assert!(!Issuers::default().need_chain() && Issuers::default().pin_none());
        let pinned = pinned(Some(vec![Thumbprint::of_der(b"key")]));
        assert!(pinned.need_chain() && !pinned.pin_none());
    }

    #[test]
    fn the_operator_is_told_what_is_there_in_place_of_a_pinned_key() {
        let key = || IssuerKey::from_der(&STANDARD.decode(KEY).unwrap());
        let digest = key().sha256().hex();
        let (by_digest, by_certificate) = (pinned(Some(vec![Thumbprint::of_der(b"key")])), pinned(None));
        for (issuers, keys, told) in [
            (&by_digest, None, "no chain came with the certificate".to_owned()),
            (&by_certificate, None, "the issuer of the certificate is CN=a".to_owned()),
            (&by_digest, Some(vec![key()]), format!("the issuer's key in the chain is {digest}")),
            (&by_digest, Some(Vec::new()), "the issuer of the certificate is CN=a".to_owned()),
        ] {
            assert_eq!(issuers.told_of(ISSUER, &with_chain(keys)), told);
        }
    }
}
