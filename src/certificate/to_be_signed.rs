// SPDX-License-Identifier: Apache-2.0

//! The signed part of a certificate (RFC 5280 §4.1, TBSCertificate).

use x509_parser::asn1_rs::Tag;

use super::der::{Element, Elements};

/// The fields of a certificate of any version of X.509, each as its DER. Only their order is checked: each field is read by the
/// code that needs it, and a fault in another field does not matter there.
#[derive(Debug)]
pub struct ToBeSigned<'a> {
    /// INTEGER.
    pub serial_number: &'a [u8],
    /// AlgorithmIdentifier: how the certificate says that it is signed (RFC 5280 §4.1.2.3).
    pub signature: &'a [u8],
    /// Name.
    pub issuer: &'a [u8],
    /// Two times.
    pub validity: &'a [u8],
    /// Name.
    pub subject: &'a [u8],
    /// SubjectPublicKeyInfo.
    pub subject_public_key_info: &'a [u8],
    /// The rest: unique identifiers and extensions, each with a tag; nothing in version 1.
    pub rest: &'a [u8],
}

impl<'a> ToBeSigned<'a> {
    /// The fields of the certificate `der`. `None` if they are not there in this order.
    #[must_use]
    pub fn of_certificate(der: &'a [u8]) -> Option<Self> {
        let (certificate, _) = Element::first(der).filter(|(certificate, _)| certificate.is(Tag::Sequence))?;
        let mut fields = Elements(Elements(certificate.contents).next_if(Tag::Sequence)?.contents);
        let serial_number = match fields.next_if(Tag::Integer) {
            Some(serial_number) => serial_number,
            // The version has the tag [0] and is absent in version 1.
            None => fields.next().filter(|version| version.context() == Some(0)).and(fields.next_if(Tag::Integer))?,
        };
        Some(Self {
            serial_number: serial_number.whole,
            signature: fields.next_if(Tag::Sequence)?.whole,
            issuer: fields.next_if(Tag::Sequence)?.whole,
            validity: fields.next_if(Tag::Sequence)?.whole,
            subject: fields.next_if(Tag::Sequence)?.whole,
            subject_public_key_info: fields.next_if(Tag::Sequence)?.whole,
            rest: fields.0,
        })
    }
}
