// SPDX-License-Identifier: Apache-2.0

//! Subject alternative names (RFC 5280 §4.2.1.6).

use std::fmt;
use std::net::IpAddr;

use x509_parser::asn1_rs::Tag;

use super::der::Element;
use super::distinguished_name::DistinguishedName;
use super::object_identifier::ObjectIdentifier;
use crate::text::escaped::Escaped;

/// One of the names: a GeneralName.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectAlternativeName {
    /// `dNSName`, in ASCII, and otherwise unchecked.
    Dns(String),
    /// `uniformResourceIdentifier`, likewise.
    Uri(String),
    /// `iPAddress` of 4 or 16 bytes.
    Ip(IpAddr),
    /// `rfc822Name`, likewise.
    Email(String),
    /// `directoryName`.
    DirectoryName(DistinguishedName),
    /// `registeredID`.
    RegisteredId(ObjectIdentifier),
    /// A name of another kind, or of one of these kinds with a wrong value: its kind as RFC 5280 spells it, and its DER.
    Other(&'static str, Vec<u8>),
}

impl SubjectAlternativeName {
    /// The identifier of the extension.
    pub(crate) const EXTENSION: &str = "2.5.29.17";

    /// Reads the extension's value, a GeneralNames in DER, in its order. `None` if it is something else.
    #[must_use]
    pub fn list_from_der(der: &[u8]) -> Option<Vec<Self>> {
        let names = Element::only(der).filter(|names| names.is(Tag::Sequence))?;
        names.children()?.iter().map(Self::of).collect()
    }

    fn of(name: &Element<'_>) -> Option<Self> {
        let ascii = || std::str::from_utf8(name.primitive()?).ok().filter(|text| text.is_ascii()).map(str::to_owned);
        let (kind, read) = match name.context()? {
            0 => ("otherName", None),
            1 => ("rfc822Name", ascii().map(Self::Email)),
            2 => ("dNSName", ascii().map(Self::Dns)),
            3 => ("x400Address", None),
            // A Name is a CHOICE, so it is inside the tag (X.680 §31.2.7).
            4 => ("directoryName", DistinguishedName::from_der(name.contents).map(Self::DirectoryName)),
            5 => ("ediPartyName", None),
            6 => ("uniformResourceIdentifier", ascii().map(Self::Uri)),
            7 => ("iPAddress", name.primitive().and_then(ip).map(Self::Ip)),
            8 => ("registeredID", ObjectIdentifier::from_contents(name.contents).map(Self::RegisteredId)),
            _ => return None,
        };
        Some(read.unwrap_or_else(|| Self::Other(kind, name.whole.to_vec())))
    }
}

/// Refuses what an operator registers and no certificate has as a `dNSName`, which has neither a port nor a path.
pub(crate) fn check_dns(text: &str) -> Result<(), String> {
    without_label(text, "DNS:")?;
    let is_name = !text.contains([':', '/', '@', ',', '=', '\\']);
    is_name.then_some(()).ok_or_else(|| "a DNS name is one host, without a port, a scheme or a path".to_owned())
}

/// The same of a `uniformResourceIdentifier`.
pub(crate) fn check_uri(text: &str) -> Result<(), String> {
    without_label(text, "URI:")
}

/// The same of an `rfc822Name`: a Mailbox of RFC 5321 §4.1.2, which has a colon or brackets in quotation marks alone.
pub(crate) fn check_email(text: &str) -> Result<(), String> {
    ["email:", "mailto:"].into_iter().try_for_each(|label| without_label(text, label))?;
    let local = text.rsplit_once('@').map_or(text, |(local, _)| local);
    let is_mailbox = local.starts_with('"') || !local.contains([':', '<', '>', ',', '=', '\\', '@']);
    is_mailbox.then_some(()).ok_or_else(|| "a mail address is LOCAL@HOST alone".to_owned())
}

/// Refuses the label that OpenSSL, Node and others print before a name.
fn without_label(text: &str, label: &str) -> Result<(), String> {
    let name = text.split_at_checked(label.len()).filter(|(own, _)| own.eq_ignore_ascii_case(label));
    name.map_or(Ok(()), |(label, name)| Err(format!("{label:?} is a label, not a part of the name: write {name:.512}")))
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

impl fmt::Display for SubjectAlternativeName {
    /// The value, on one line and safe for a terminal. For the four kinds in RFC 8705 §2.1.2 it is the value alone, for the
    /// others it follows the kind. A value without a text of its own is `#` and its DER in hexadecimal.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(text) | Self::Uri(text) | Self::Email(text) => Escaped { text, special: "\\" }.fmt(formatter),
            Self::Ip(address) => address.fmt(formatter),
            Self::DirectoryName(name) => write!(formatter, "directoryName {name}"),
            Self::RegisteredId(identifier) => write!(formatter, "registeredID {identifier}"),
            Self::Other(kind, der) => {
                write!(formatter, "{kind} #")?;
                der.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_and_what_its_kind_does_not_have_is_shown_as_bytes() {
        for (der, shown) in [
            (&b"\x82\x03a.b"[..], "a.b"),
            (b"\x82\x04a\0.b", "a\\00.b"),
            (b"\x82\x02\xc3\xa9", "dNSName #8202c3a9"),
            (b"\xa2\x03\x16\x01a", "dNSName #a203160161"),
            (b"\x86\x03a:b", "a:b"),
            (b"\x81\x03a@b", "a@b"),
            (b"\x87\x04\xc0\x00\x02\x01", "192.0.2.1"),
            (b"\x87\x10\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", "2001:db8::1"),
            (b"\x87\x03\x01\x02\x03", "iPAddress #8703010203"),
            (b"\xa4\x10\x30\x0e\x31\x0c\x30\x0a\x06\x03\x55\x04\x03\x0c\x03a,b", "directoryName CN=a\\,b"),
            (b"\xa4\x02\x31\x00", "directoryName #a4023100"),
            (b"\x88\x03\x55\x04\x03", "registeredID 2.5.4.3"),
            (b"\xa0\x02\x06\x00", "otherName #a0020600"),
            (b"\xa3\x00", "x400Address #a300"),
            (b"\xa5\x00", "ediPartyName #a500"),
        ] {
            let list = [&[0x30, u8::try_from(der.len()).unwrap()], der].concat();
            let names = SubjectAlternativeName::list_from_der(&list).unwrap();
            assert_eq!(names.iter().map(ToString::to_string).collect::<Vec<_>>(), [shown]);
        }
    }

    #[test]
    fn what_is_no_list_of_general_names_is_not_read() {
        for der in [
            &b""[..],
            b"\x82\x01a",
            b"\x30\x03\x82\x01a\0",
            b"\x30\x02\x82\x01",
            b"\x30\x02\x0c\x00",
            b"\x30\x02\x89\x00",
        ] {
            assert_eq!(SubjectAlternativeName::list_from_der(der), None, "{der:?}");
        }
    }
}
