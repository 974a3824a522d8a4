//! What was written for a certificate before: the next request of its connection needs neither the certificate nor an
//! encoding.

use std::collections::HashMap;
use std::rc::Rc;

use crate::certificate::Certificate;
use crate::certificate::thumbprint::Thumbprint;
use crate::step::Edit;

/// How much of a VM's memory it takes at most. With a certificate's usual 2 KiB in each of two forms, some 250
/// certificates that are in use at one time.
const MOST_BYTES: usize = 1024 * 1024;

/// What an entry takes beside its texts: the map's slot, the shared pointer, the allocator's share.
const OVERHEAD: usize = 256;

/// The headers for one certificate under one policy.
#[derive(Debug)]
pub(super) struct Handed {
    /// Where the chain came from; `None` where the policy hands over none.
    pub(super) chain_source: Option<Vec<u8>>,
    /// The certificate itself, where clients authenticate by what is in it.
    pub(super) certificate: Option<Certificate>,
    pub(super) edits: Vec<Edit>,
    pub(super) without_chain: bool,
}

/// What was written in one VM, for all its policies. Like the cache of tokens it has two generations: what is used
/// moves to the young one; when that is full it becomes the old one, and the old one is forgotten whole.
#[derive(Debug, Default)]
pub struct HandedOver {
    young: Generation,
    old: Generation,
}

#[derive(Debug, Default)]
struct Generation {
    bytes: usize,
    policies: HashMap<String, HashMap<[u8; 32], Rc<Handed>>>,
}

impl Handed {
    fn size(&self) -> usize {
        let edits = self.edits.iter().fold(0_usize, |sum, edit| {
            sum.saturating_add(edit.name().len()).saturating_add(edit.value().map_or(0, str::len)).saturating_add(64)
        });
        let source = self.chain_source.as_ref().map_or(0, Vec::len);
        let certificate = self.certificate.as_ref().map_or(0, |certificate| certificate.der().len());
        edits.saturating_add(source).saturating_add(certificate).saturating_add(OVERHEAD)
    }
}

impl HandedOver {
    /// What this policy wrote for the certificate with this thumbprint, the chain being from the same text.
    pub(super) fn find(
        &mut self,
        policy: &str,
        certificate: &Thumbprint,
        chain_source: Option<&[u8]>,
    ) -> Option<Rc<Handed>> {
        let key = certificate.bytes();
        let young = self.young.policies.get(policy).and_then(|handed| handed.get(&key)).map(Rc::clone);
        let found = match young {
            Some(found) => found,
            None => {
                let found = self.old.policies.get_mut(policy)?.remove(&key)?;
                self.insert(policy, certificate, Rc::clone(&found));
                found
            }
        };
        (found.chain_source.as_deref() == chain_source).then_some(found)
    }

    /// Keeps what was written.
    pub(super) fn keep(&mut self, policy: &str, certificate: &Thumbprint, handed: Handed) -> Rc<Handed> {
        let handed = Rc::new(handed);
        self.insert(policy, certificate, Rc::clone(&handed));
        handed
    }

    fn insert(&mut self, policy: &str, certificate: &Thumbprint, handed: Rc<Handed>) {
        let cost = handed.size();
        if cost > MOST_BYTES / 2 {
            return;
        }
        if self.young.bytes.saturating_add(cost) > MOST_BYTES / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        let replaced = match self.young.policies.get_mut(policy) {
            Some(certificates) => certificates.insert(certificate.bytes(), handed),
            None => {
                let first = HashMap::from([(certificate.bytes(), handed)]);
                self.young.policies.insert(policy.to_owned(), first);
                None
            }
        };
        let freed = replaced.map_or(0, |replaced| replaced.size());
        self.young.bytes = self.young.bytes.saturating_add(cost).saturating_sub(freed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handed(source: Option<&[u8]>, value: &str) -> Rc<Handed> {
        let edits = vec![Edit::set("client-cert", value.to_owned())];
        Rc::new(Handed { chain_source: source.map(<[u8]>::to_vec), certificate: None, edits, without_chain: false })
    }

    #[test]
    fn it_is_found_by_policy_certificate_and_chain() {
        let mut cache = HandedOver::default();
        let (one, two) = (Thumbprint::of_der(b"1"), Thumbprint::of_der(b"2"));
        cache.insert("a", &one, handed(Some(b"chain"), "1"));
        assert!(cache.find("a", &one, Some(b"chain")).is_some());
        assert!(cache.find("a", &one, Some(b"other")).is_none());
        assert!(cache.find("a", &one, None).is_none());
        assert!(cache.find("b", &one, Some(b"chain")).is_none());
        assert!(cache.find("a", &two, Some(b"chain")).is_none());
    }

    #[test]
    fn a_flood_of_certificates_takes_no_more_than_its_bytes_and_what_is_used_stays() {
        let mut cache = HandedOver::default();
        let used = Thumbprint::of_der(b"used");
        cache.insert("a", &used, handed(None, "used"));
        let value = "x".repeat(2000);
        for number in 0..10_000_u32 {
            cache.insert("a", &Thumbprint::of_der(&number.to_be_bytes()), handed(None, &value));
            assert!(cache.find("a", &used, None).is_some(), "{number}");
            // The same again takes the place of the first.
            cache.insert("a", &Thumbprint::of_der(&number.to_be_bytes()), handed(None, &value));
            let held = |generation: &Generation| {
                generation.policies.values().flatten().map(|(_, one)| one.size()).sum::<usize>()
            };
            assert_eq!(held(&cache.young), cache.young.bytes);
            assert!(held(&cache.young) + held(&cache.old) <= MOST_BYTES);
        }
        cache.insert("a", &used, handed(None, &"x".repeat(MOST_BYTES)));
    }
}
