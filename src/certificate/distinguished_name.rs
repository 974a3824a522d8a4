// SPDX-License-Identifier: Apache-2.0

//! Distinguished names (RFC 5280 §4.1.2.4) and their string representation (RFC 4514).

use std::fmt;

use x509_parser::asn1_rs::Tag;

use super::der::Element;
use super::object_identifier::ObjectIdentifier;
#[cfg(not(target_arch = "wasm32"))]
use super::registered_name::{NameMatching, RegisteredName};
use crate::text::escaped::Escaped;

/// A subject or an issuer: relative distinguished names in the order of the certificate.
///
/// Two are equal when their attributes are, byte for byte and with the string types. RFC 5280 §7.1 also calls some
/// others equal (letter case, white space, string types); that is for whoever compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistinguishedName(Vec<RelativeDistinguishedName>);

/// Attributes that name one thing together, in the order of the certificate; nearly always one.
pub type RelativeDistinguishedName = Vec<Attribute>;

/// One attribute of a name: its type and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    attribute_type: ObjectIdentifier,
    /// The value's DER.
    value: Vec<u8>,
}

/// The short names that everyone must know (RFC 4514 §3), and none else: for `emailAddress` and `serialNumber`, say,
/// tools differ, and a dotted object identifier is understood by all.
const SHORT_NAMES: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

impl DistinguishedName {
    /// Reads a Name in DER. `None` where its structure is another one; a value may be anything.
    #[must_use]
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let name = Element::only(der).filter(|name| name.is(Tag::Sequence))?;
        name.children()?.iter().map(relative_distinguished_name).collect::<Option<_>>().map(Self)
    }

    /// The relative distinguished names in the order of the certificate, which the string form turns round.
    #[must_use]
    pub fn relative_distinguished_names(&self) -> &[RelativeDistinguishedName] {
        &self.0
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl DistinguishedName {
    /// Whether readers differ in the text of a value, so that it cannot be registered as it is shown.
    #[must_use]
    pub fn has_uncertain_text(&self) -> bool {
        self.0.iter().flatten().any(Attribute::is_uncertain)
    }

    /// The string by which a client is registered: a value that readers take differently is its DER in hexadecimal.
    #[must_use]
    pub fn registered(&self) -> String {
        let attribute = |attribute: &Attribute| match attribute.is_uncertain() {
            true => {
                let digits: String = attribute.value.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("{}=#{digits}", attribute.attribute_type)
            }
            false => attribute.to_string(),
        };
        let shown = self.0.iter().rev().filter(|relative| !relative.is_empty());
        shown.map(|relative| relative.iter().map(attribute).collect::<Vec<_>>().join("+")).collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
impl DistinguishedName {
    /// A name of one attribute.
    pub(super) fn of_one(attribute_type: ObjectIdentifier, value: Vec<u8>) -> Self {
        Self(vec![vec![Attribute { attribute_type, value }]])
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Attribute {
    fn is_uncertain(&self) -> bool {
        let strings = [Tag::T61String, Tag::PrintableString, Tag::Ia5String, Tag::NumericString, Tag::VisibleString];
        let is_string = |value: &Element<'_>| value.universal().is_some_and(|tag| strings.contains(&tag));
        let is_text = |value: Element<'_>| Self::certain_text_of(&value).is_some();
        !Element::only(&self.value).filter(is_string).is_none_or(is_text) || !self.is_registered_as_shown()
    }

    fn is_registered_as_shown(&self) -> bool {
        let alone = DistinguishedName(vec![vec![self.clone()]]);
        RegisteredName::parse(&alone.to_string(), NameMatching::Exact).is_ok_and(|registered| registered.is(&alone))
    }
}

fn relative_distinguished_name(set: &Element<'_>) -> Option<RelativeDistinguishedName> {
    let attributes = Some(set).filter(|set| set.is(Tag::Set))?.children()?;
    attributes
        .iter()
        .map(|attribute| {
            let [attribute_type, value] = attribute.children()?.try_into().ok()?;
            let is_attribute = attribute.is(Tag::Sequence) && attribute_type.is(Tag::Oid);
            is_attribute.then_some(Attribute {
                attribute_type: ObjectIdentifier::from_contents(attribute_type.contents)?,
                value: value.whole.to_vec(),
            })
        })
        .collect()
}

impl Attribute {
    /// The attribute's type.
    #[must_use]
    pub fn attribute_type(&self) -> &ObjectIdentifier {
        &self.attribute_type
    }

    /// The value's DER, the tag of its string type included.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// The value as text. `None` where it is no string, or has bytes that its string type does not.
    ///
    /// A TeletexString is read as ISO 8859-1, as OpenSSL and Java do, since nobody writes T.61; and a BMPString may
    /// hold surrogate pairs, since Windows writes them. Characters that a PrintableString must not have are passed over
    /// if they are ASCII.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        Self::text_of(&Element::only(&self.value)?)
    }

    /// The text of such a value. `None` where readers differ: who writes other than ASCII into a TeletexString means T.61 or
    /// ISO 8859-1.
    pub(crate) fn certain_text_of(value: &Element<'_>) -> Option<String> {
        let is_ambiguous = value.is(Tag::T61String) && !value.contents.is_ascii();
        Self::text_of(value).filter(|_| !is_ambiguous)
    }

    /// The text of such a value.
    pub(crate) fn text_of(value: &Element<'_>) -> Option<String> {
        let bytes = value.primitive()?;
        match value.universal()? {
            Tag::Utf8String => String::from_utf8(bytes.to_vec()).ok(),
            Tag::PrintableString | Tag::Ia5String | Tag::NumericString | Tag::VisibleString => {
                bytes.is_ascii().then(|| bytes.iter().copied().map(char::from).collect())
            }
            Tag::T61String => Some(bytes.iter().copied().map(char::from).collect()),
            Tag::BmpString => match bytes.as_chunks() {
                (units, []) => {
                    char::decode_utf16(units.iter().copied().map(u16::from_be_bytes)).collect::<Result<_, _>>().ok()
                }
                _ => None,
            },
            Tag::UniversalString => match bytes.as_chunks() {
                (units, []) => units.iter().copied().map(|unit| char::from_u32(u32::from_be_bytes(unit))).collect(),
                _ => None,
            },
            _ => None,
        }
    }
}

impl fmt::Display for DistinguishedName {
    /// The string representation, the last relative distinguished name first (RFC 4514 §2.1). One without attributes,
    /// which a Name must not have, is not shown.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().rev().filter(|relative| !relative.is_empty());
        for (position, relative) in shown.enumerate() {
            formatter.write_str(if position > 0 { "," } else { "" })?;
            for (position, attribute) in relative.iter().enumerate() {
                write!(formatter, "{}{attribute}", if position > 0 { "+" } else { "" })?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Attribute {
    /// `CN=text`; without a short name, or without text, `#` and the value's DER in hexadecimal (RFC 4514 §2.4).
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dotted = self.attribute_type.as_str();
        let short_name = SHORT_NAMES.iter().find(|(known, _)| *known == dotted).map(|(_, name)| *name);
        write!(formatter, "{}=", short_name.unwrap_or(dotted))?;
        let Some(text) = short_name.and_then(|_| self.text()) else {
            formatter.write_str("#")?;
            return self.value.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"));
        };
        write!(formatter, "{}", EscapedValue(&text))
    }
}

/// A text as a value of RFC 4514 (§2.4).
pub(crate) struct EscapedValue<'a>(pub(crate) &'a str);

impl fmt::Display for EscapedValue<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0;
        // A space at either end and a number sign at the beginning would be taken for something else.
        let after_first = text.strip_prefix([' ', '#']);
        if after_first.is_some() {
            formatter.write_str("\\")?;
            formatter.write_str(text.get(..1).unwrap_or_default())?;
        }
        let text = after_first.unwrap_or(text);
        let before_last = text.strip_suffix(' ');
        write!(formatter, "{}", Escaped { text: before_last.unwrap_or(text), special: "\"+,;<>\\" })?;
        formatter.write_str(if before_last.is_some() { "\\ " } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
        [&[tag, u8::try_from(contents.len()).unwrap()], contents].concat()
    }

    fn attribute(attribute_type: &[u8], tag: u8, value: &[u8]) -> Vec<u8> {
        element(0x30, &[element(6, attribute_type), element(tag, value)].concat())
    }

    const CN: &[u8] = b"\x55\x04\x03";
    const OU: &[u8] = b"\x55\x04\x0b";
    const DC: &[u8] = b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19";
    const UID: &[u8] = b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01";

    fn shown(relative: &[&[Vec<u8>]]) -> String {
        let sets: Vec<_> = relative.iter().map(|attributes| element(0x31, &attributes.concat())).collect();
        DistinguishedName::from_der(&element(0x30, &sets.concat())).unwrap().to_string()
    }

    fn utf8(attribute_type: &[u8], text: &str) -> Vec<u8> {
        attribute(attribute_type, 12, text.as_bytes())
    }

    #[test]
    fn the_examples_of_rfc_4514_come_out_as_the_rfc_has_them() {
        // §4. The RFC gives the names; it writes a carriage return as \0D, and ł as it is or as its bytes.
        let with = |relative: &[Vec<u8>]| shown(&[&[utf8(DC, "net")], &[utf8(DC, "example")], relative]);
        assert_eq!(with(&[utf8(UID, "jsmith")]), "UID=jsmith,DC=example,DC=net");
        assert_eq!(with(&[utf8(OU, "Sales"), utf8(CN, "J.  Smith")]), "OU=Sales+CN=J.  Smith,DC=example,DC=net");
        assert_eq!(
            with(&[utf8(CN, "James \"Jim\" Smith, III")]),
            "CN=James \\\"Jim\\\" Smith\\, III,DC=example,DC=net"
        );
        assert_eq!(with(&[utf8(CN, "Before\rAfter")]), "CN=Before\\0DAfter,DC=example,DC=net");
        assert_eq!(
            shown(&[&[attribute(b"\x2b\x06\x01\x04\x01\x8b\x3a\x00", 4, b"Hi")]]),
            "1.3.6.1.4.1.1466.0=#04024869"
        );
        assert_eq!(shown(&[&[utf8(CN, "Lučić")]]), "CN=Lučić");
        assert_eq!(shown(&[]), "");
    }

    #[test]
    fn spaces_and_number_signs_are_escaped_where_they_would_be_misread() {
        for (text, expected) in [
            ("", ""),
            (" ", "\\ "),
            ("  ", "\\ \\ "),
            ("   ", "\\  \\ "),
            ("#", "\\#"),
            ("a#b c", "a#b c"),
            ("# ", "\\#\\ "),
        ] {
            assert_eq!(shown(&[&[utf8(CN, text)]]), format!("CN={expected}"));
        }
    }

    #[test]
    fn a_value_that_is_no_text_of_its_type_is_shown_as_its_bytes() {
        for (tag, value, expected) in [
            (12, &b"\xff"[..], "#0c01ff"),
            (19, b"caf\xe9", "#1304636166e9"),
            (20, b"caf\xe9", "café"),
            (19, b"a@b*", "a@b*"),
            (30, b"\0a\xd8\x3d\xde\x00", "a😀"),
            (30, b"\xd8\x00", "#1e02d800"),
            (30, b"a", "#1e0161"),
            (28, b"\0\x01\xf6\x00", "😀"),
            (28, b"\xff\xff\xff\xff", "#1c04ffffffff"),
            (2, b"\x01", "#020101"),
            (0x8c, b"a", "#8c0161"),
            (0x2c, b"\x0c\x01a", "#2c030c0161"),
        ] {
            assert_eq!(shown(&[&[attribute(CN, tag, value)]]), format!("CN={expected}"));
        }
    }

    #[test]
    fn another_structure_is_no_name() {
        for der in [
            &b""[..],
            b"\x31\x00",
            b"\x30\x00\x00",
            b"\x30\x02\x30\x00",
            b"\x30\x04\x31\x02\x30\x00",
            b"\x30\x0b\x31\x09\x30\x07\x06\x03\x55\x04\x80\x0c\x00",
            // An attribute is a SEQUENCE, and its type an OBJECT IDENTIFIER.
            b"\x30\x0b\x31\x09\x31\x07\x06\x03\x55\x04\x03\x0c\x00",
            b"\x30\x0b\x31\x09\x30\x07\x04\x03\x55\x04\x03\x0c\x00",
        ] {
            assert_eq!(DistinguishedName::from_der(der), None, "{der:?}");
        }
    }

    #[test]
    fn the_text_of_a_teletex_string_that_is_not_ascii_is_uncertain() {
        for (tag, value, text) in [
            (12, "é".as_bytes(), Some("é")),
            (20, b"cafe", Some("cafe")),
            (20, b"caf\xe9", None),
            (19, b"caf\xe9", None),
        ] {
            let value = element(tag, value);
            assert_eq!(Attribute::certain_text_of(&Element::only(&value).unwrap()).as_deref(), text);
        }
    }

    #[test]
    fn a_name_is_registered_by_its_bytes_where_readers_differ_in_its_text() {
        let of = |value: Vec<u8>| {
            let sets =
                [element(0x31, &utf8(OU, "a")), element(0x31, b""), element(0x31, &[value, utf8(UID, "b")].concat())];
            DistinguishedName::from_der(&element(0x30, &sets.concat())).unwrap()
        };
        let certain = of(attribute(CN, 20, b"cafe"));
        assert!(!certain.has_uncertain_text());
        assert_eq!(certain.registered(), "CN=cafe+UID=b,OU=a");
        let uncertain = of(attribute(CN, 20, b"caf\xe9"));
        assert!(uncertain.has_uncertain_text());
        assert_eq!(uncertain.registered(), "2.5.4.3=#1404636166e9+UID=b,OU=a");
        // It has no text, and its bytes are all that there is to show.
        assert!(!of(attribute(CN, 2, b"\x01")).has_uncertain_text());
    }
}
