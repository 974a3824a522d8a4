// SPDX-License-Identifier: Apache-2.0

//! The names in a certificate that a client may be registered by (RFC 8705 §2.1.2).

use x509_parser::asn1_rs::Tag;

use super::Certificate;
use super::der::{Element, Elements};
use super::distinguished_name::DistinguishedName;
use super::object_identifier::ObjectIdentifier;
use super::subject_alternative_name::SubjectAlternativeName;
use super::to_be_signed::ToBeSigned;

/// The subject and the issuer of a certificate, and its other names.
#[derive(Debug)]
pub struct Names {
    /// The subject.
    pub subject: DistinguishedName,
    /// The issuer.
    pub issuer: DistinguishedName,
    /// The other names. There are none without the extension, or if it is there twice, or if it cannot be read to its end:
    /// readers would differ in what they take from it.
    pub subject_alternative_names: Vec<SubjectAlternativeName>,
}

impl Names {
    /// The names in a certificate. `None` if it cannot be read as one.
    #[must_use]
    pub fn of(certificate: &Certificate) -> Option<Self> {
        Element::only(certificate.der())?;
        let fields = ToBeSigned::of_certificate(certificate.der())?;
        Some(Self {
            subject: DistinguishedName::from_der(fields.subject)?,
            issuer: DistinguishedName::from_der(fields.issuer)?,
            subject_alternative_names: alternative_names(fields.rest).unwrap_or_default(),
        })
    }
}

/// The names in the extension subjectAltName, from `rest`, the fields of a certificate after its key; none without the
/// extension. `None` if the extension is there twice (RFC 5280 §4.2), or if anything there cannot be read to its end: readers
/// would differ in what they take from it.
pub(crate) fn alternative_names(rest: &[u8]) -> Option<Vec<SubjectAlternativeName>> {
    let mut fields = Elements(rest);
    let lists: Vec<_> = fields.by_ref().filter(|field| field.context() == Some(3)).collect();
    if !fields.0.is_empty() {
        return None;
    }
    let list = match lists.as_slice() {
        [] => return Some(Vec::new()),
        [list] => Element::only(list.contents).filter(|list| list.is(Tag::Sequence))?,
        _ => return None,
    };
    let values: Vec<_> = list.children()?.iter().map(extension).collect::<Option<_>>()?;
    let mut found =
        values.into_iter().filter(|(identifier, _)| identifier.as_str() == SubjectAlternativeName::EXTENSION);
    match (found.next(), found.next()) {
        (None, _) => Some(Vec::new()),
        (Some((_, value)), None) => SubjectAlternativeName::list_from_der(value),
        (Some(_), Some(_)) => None,
    }
}

/// The identifier and the value of an extension, critical or not (RFC 5280 §4.1).
pub(crate) fn extension<'a>(extension: &Element<'a>) -> Option<(ObjectIdentifier, &'a [u8])> {
    let parts = extension.children().filter(|_| extension.is(Tag::Sequence))?;
    let (identifier, value) = match parts.as_slice() {
        [identifier, value] => (identifier, value),
        [identifier, critical, value] if critical.is(Tag::Boolean) => (identifier, value),
        _ => return None,
    };
    let identifier = Some(identifier).filter(|identifier| identifier.is(Tag::Oid))?;
    let value = Some(value).filter(|value| value.is(Tag::OctetString))?;
    Some((ObjectIdentifier::from_contents(identifier.contents)?, value.primitive()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_without_extensions_has_no_other_names() {
        assert_eq!(alternative_names(b""), Some(Vec::new()));
        assert_eq!(alternative_names(b"\xa3\x02\x30\x00"), Some(Vec::new()));
        assert_eq!(alternative_names(b"\xa3\x02\x30\x00\xa3\x02\x30\x00"), None);
    }

    #[test]
    fn an_extension_is_critical_by_a_boolean_and_by_nothing_else() {
        // subjectAltName, with an OCTET STRING of one byte.
        let value = |der: &[u8]| Some(extension(&Element::only(der)?)?.1.to_vec());
        assert_eq!(value(b"\x30\x08\x06\x03\x55\x1d\x11\x04\x01a"), Some(b"a".to_vec()));
        assert_eq!(value(b"\x30\x0b\x06\x03\x55\x1d\x11\x01\x01\xff\x04\x01a"), Some(b"a".to_vec()));
        assert_eq!(value(b"\x30\x0b\x06\x03\x55\x1d\x11\x02\x01\x01\x04\x01a"), None);
    }
}
