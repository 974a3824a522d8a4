// SPDX-License-Identifier: Apache-2.0

//! The headers that were written for a certificate. The next request of the connection needs neither the certificate nor an
//! encoding.

use std::cell::RefCell;
use std::rc::Rc;

use crate::certificate::Certificate;
use crate::certificate::thumbprint::Thumbprint;
use crate::collections::bounded_cache::BoundedCache;
use crate::http::edit::Edit;
use crate::jose::issuer_key::IssuerKey;
use crate::jose::signature::Verification;

/// How much of a VM's memory it takes at most: with a usual certificate of 2 KiB in two forms each, some 1000 certificates in
/// use at one time.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// What an entry takes beside its texts: the slot of the map, the shared pointer, the allocator's share.
const OVERHEAD: usize = 256;

/// The headers for one certificate under one policy.
#[derive(Debug)]
pub(crate) struct CertificateHeaders {
    /// The source of the chain; `None` if the policy hands over none.
    pub(crate) chain_source: Option<Vec<u8>>,
    /// The certificate itself, if clients authenticate by its contents.
    pub(crate) certificate: Option<Certificate>,
    pub(crate) edits: Vec<Edit>,
    pub(crate) without_chain: bool,
    /// The keys of the certificates in the chain that have the issuer's name, if clients authenticate by
    /// them; `None` if no chain is known.
    pub(crate) issuer_keys: Option<Vec<IssuerKey>>,
    pub(crate) signers: Signers,
}

/// Whether keys have signed a certificate, by the SHA-256 of each. A signature is verified once.
#[derive(Debug, Default)]
pub(crate) struct Signers(RefCell<Vec<(Thumbprint, Verification)>>);

/// So many are kept of one certificate.
const MOST_SIGNERS: usize = 16;

/// What an issuer's key takes at most: RSA of 4096 bits, twice.
const LARGEST_KEY: usize = 1200;

/// What they take.
const SIGNERS_SIZE: usize = MOST_SIGNERS * size_of::<(Thumbprint, Verification)>();

/// The headers that one VM has written, for all its policies.
#[derive(Debug)]
pub struct HeaderCache(BoundedCache<[u8; 32], Rc<CertificateHeaders>>);

impl Default for HeaderCache {
    fn default() -> Self {
        Self(BoundedCache::new(MOST_BYTES))
    }
}

impl Signers {
    /// Whether this key has signed the certificate, as it is known or is found out now.
    pub(crate) fn has(&self, sha256: &Thumbprint, verify: &dyn Fn() -> Verification) -> Verification {
        let known = self.0.borrow().iter().find(|(own, _)| own == sha256).map(|(_, known)| *known);
        known.unwrap_or_else(|| {
            let verification = verify();
            let mut signers = self.0.borrow_mut();
            if signers.len() >= MOST_SIGNERS {
                signers.clear();
            }
            signers.push((*sha256, verification));
            verification
        })
    }
}

impl CertificateHeaders {
    fn size(&self) -> usize {
        let edits = self.edits.iter().fold(0_usize, |sum, edit| {
            sum.saturating_add(edit.name().len()).saturating_add(edit.value().map_or(0, str::len)).saturating_add(64)
        });
        let source = self.chain_source.as_ref().map_or(0, Vec::len);
        let certificate = self.certificate.as_ref().map_or(0, |own| own.der().len().saturating_add(SIGNERS_SIZE));
        let keys = self.issuer_keys.as_ref().map_or(0, Vec::len).saturating_mul(LARGEST_KEY);
        edits.saturating_add(source).saturating_add(certificate).saturating_add(keys).saturating_add(OVERHEAD)
    }
}

impl HeaderCache {
    /// The headers that this policy wrote for the certificate with this thumbprint, with a chain from the same text.
    pub(crate) fn find(
        &mut self,
        policy: &str,
        certificate: &Thumbprint,
        chain_source: Option<&[u8]>,
    ) -> Option<Rc<CertificateHeaders>> {
        let found = self.0.find(policy, &certificate.bytes())?;
        (found.chain_source.as_deref() == chain_source).then_some(found)
    }

    /// Keeps headers.
    pub(crate) fn keep(
        &mut self,
        policy: &str,
        certificate: &Thumbprint,
        handed: CertificateHeaders,
    ) -> Rc<CertificateHeaders> {
        let handed = Rc::new(handed);
        self.0.insert(policy, certificate.bytes(), Rc::clone(&handed), handed.size());
        handed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handed(source: Option<&[u8]>, value: &str) -> CertificateHeaders {
        let edits = vec![Edit::set("client-cert", value.to_owned())];
        let chain_source = source.map(<[u8]>::to_vec);
        let (issuer_keys, signers) = (None, Signers::default());
        CertificateHeaders { chain_source, certificate: None, edits, without_chain: false, issuer_keys, signers }
    }

    #[test]
    fn it_is_found_by_policy_certificate_and_chain() {
        let mut cache = HeaderCache::default();
        let (one, two) = (Thumbprint::of_der(b"1"), Thumbprint::of_der(b"2"));
        cache.keep("a", &one, handed(Some(b"chain"), "1"));
        assert!(cache.find("a", &one, Some(b"chain")).is_some());
        assert!(cache.find("a", &one, Some(b"other")).is_none());
        assert!(cache.find("a", &one, None).is_none());
        assert!(cache.find("b", &one, Some(b"chain")).is_none());
        assert!(cache.find("a", &two, Some(b"chain")).is_none());
    }

    #[test]
    fn a_signature_is_verified_once_for_each_of_sixteen_keys() {
        let (signers, count) = (Signers::default(), std::cell::Cell::new(0));
        let verify = || {
            count.set(count.get() + 1);
            Verification::Invalid
        };
        let keys: Vec<_> = (0..16_u8).map(|number| Thumbprint::of_der(&[number])).collect();
        for key in keys.iter().chain(&keys) {
            assert_eq!(signers.has(key, &verify), Verification::Invalid);
        }
        assert_eq!(count.get(), 16);
        for number in 0..10_000_u32 {
            signers.has(&Thumbprint::of_der(&number.to_be_bytes()), &verify);
            assert!(signers.0.borrow().len() <= MOST_SIGNERS);
        }
    }

    #[test]
    fn a_flood_of_certificates_takes_no_more_than_its_bytes_and_what_is_used_stays() {
        let mut cache = HeaderCache::default();
        let used = Thumbprint::of_der(b"used");
        cache.keep("a", &used, handed(None, "used"));
        let value = "x".repeat(2000);
        for number in 0..10_000_u32 {
            cache.keep("a", &Thumbprint::of_der(&number.to_be_bytes()), handed(None, &value));
            assert!(cache.find("a", &used, None).is_some(), "{number}");
            assert!(cache.0.entries().map(|(_, handed)| handed.size()).sum::<usize>() <= MOST_BYTES);
        }
        cache.keep("a", &used, handed(None, &"x".repeat(MOST_BYTES)));
    }
}
