// SPDX-License-Identifier: Apache-2.0

//! A distinguished name as a client registered it: a string of RFC 4514, read leniently and compared strictly.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use unicode_normalization::char::is_combining_mark;

use super::composed::nfc;
use super::der::Element;
use super::distinguished_name::{Attribute, DistinguishedName};
use super::object_identifier::ObjectIdentifier;
use super::pasted_name::{PastedName, trimmed};
use crate::collections::sorted_map::sorted;
#[cfg(not(target_arch = "wasm32"))]
use crate::text::escaped::hides;
use crate::text::hexadecimal;
use crate::text::https_url::redacted;

/// A registered name, ready to be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredName {
    matching: NameMatching,
    relative: Vec<Vec<(ObjectIdentifier, Value)>>,
}

/// How a name in a certificate is compared with a registered one. A relative distinguished name of several attributes
/// is a set in every mode, and no mode looks at which string type a text has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema, serde::Serialize))]
pub enum NameMatching {
    /// As distinguishedNameMatch (RFC 4517 §4.2.15): part by part in their order, ASCII letters in any case, runs of
    /// spaces as one, every other character exactly, after Unicode's NFC.
    #[default]
    Rfc4517,
    /// The same, with the parts in any order.
    Unordered,
    /// Part by part in their order, every character exactly.
    Exact,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    /// Prepared for its mode.
    Text(String),
    Der(Vec<u8>),
}

/// Which texts an attribute may have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Texts {
    /// caseIgnoreMatch (RFC 4517 §4.2.11).
    Any,
    /// caseIgnoreIA5Match (§4.2.3).
    Ascii,
}

/// The attributes whose values are texts that compare without case, and the names by which tools know them, in lower
/// case: RFC 4519 and RFC 5280 appendix A, PKCS #9, and the certificates of the CA/Browser Forum and of eIDAS. Names of a few
/// tools have these beside them, as they were seen: OpenSSL 3.0.19, OpenJDK 17.0.15, Bouncy Castle 1.46 to 1.82 (`BCStyle`), GnuTLS
/// 3.7.9 and NSS 3.87.1 printed them, and `lib/x509/common.c` and `lib/certdb/alg1485.c` have them; .NET: `OidLookup.cs` of its runtime;
/// x509-parser 0.18.1: `oid_db.txt` of oid-registry 0.8.1.
const ATTRIBUTES: &[(&str, Texts, &[&str])] = &[
    ("2.5.4.3", Texts::Any, &["cn", "commonname"]),
    ("2.5.4.4", Texts::Any, &["surname"]),
    ("2.5.4.5", Texts::Any, &["serialnumber"]),
    ("2.5.4.6", Texts::Any, &["c", "countryname"]),
    ("2.5.4.7", Texts::Any, &["l", "localityname"]),
    ("2.5.4.8", Texts::Any, &["st", "stateorprovincename"]),
    ("2.5.4.9", Texts::Any, &["street", "streetaddress"]),
    ("2.5.4.10", Texts::Any, &["o", "organizationname"]),
    ("2.5.4.11", Texts::Any, &["ou", "organizationalunitname"]),
    // Java, Bouncy Castle and .NET: t.
    ("2.5.4.12", Texts::Any, &["title", "t"]),
    ("2.5.4.13", Texts::Any, &["description"]),
    ("2.5.4.15", Texts::Any, &["businesscategory"]),
    ("2.5.4.17", Texts::Any, &["postalcode"]),
    // OpenSSL and NSS: postofficebox; .NET: pobox.
    ("2.5.4.18", Texts::Any, &["postofficebox", "pobox"]),
    ("2.5.4.41", Texts::Any, &["name"]),
    // OpenSSL: gn; .NET: g.
    ("2.5.4.42", Texts::Any, &["gn", "givenname", "g"]),
    // .NET: i.
    ("2.5.4.43", Texts::Any, &["initials", "i"]),
    // Java and Bouncy Castle: generation.
    ("2.5.4.44", Texts::Any, &["generationqualifier", "generation"]),
    // Java: dnq. Bouncy Castle's dn may be the label of a whole name.
    ("2.5.4.46", Texts::Any, &["dnqualifier", "dnq"]),
    ("2.5.4.51", Texts::Any, &["houseidentifier"]),
    ("2.5.4.65", Texts::Any, &["pseudonym"]),
    ("2.5.4.97", Texts::Any, &["organizationidentifier"]),
    ("0.9.2342.19200300.100.1.1", Texts::Any, &["uid", "userid"]),
    // OpenSSL and NSS: mail.
    ("0.9.2342.19200300.100.1.3", Texts::Ascii, &["mail", "rfc822mailbox"]),
    ("0.9.2342.19200300.100.1.25", Texts::Ascii, &["dc", "domaincomponent"]),
    ("1.2.840.113549.1.9.1", Texts::Ascii, &["emailaddress", "email", "e"]),
    // Java: emailaddress; GnuTLS: email; .NET, NSS and Bouncy Castle: e.
    // OpenSSL: the numbers in Russia's certificates.
    ("1.2.643.3.131.1.1", Texts::Ascii, &["inn"]),
    ("1.2.643.100.1", Texts::Ascii, &["ogrn"]),
    ("1.2.643.100.3", Texts::Ascii, &["snils"]),
    // OpenSSL: jurisdictionl and jurisdictionlocalityname; Bouncy Castle: jurisdictionlocality; GnuTLS:
    // jurisdictionofincorporation...; NSS: incorporation...; x509-parser: msjurisdiction...
    (
        "1.3.6.1.4.1.311.60.2.1.1",
        Texts::Any,
        &[
            "jurisdictionl",
            "jurisdictionlocalityname",
            "jurisdictionlocality",
            "jurisdictionofincorporationlocalityname",
            "incorporationlocality",
            "msjurisdictionlocality",
        ],
    ),
    (
        "1.3.6.1.4.1.311.60.2.1.2",
        Texts::Any,
        &[
            "jurisdictionst",
            "jurisdictionstateorprovincename",
            "jurisdictionstate",
            "jurisdictionofincorporationstateorprovincename",
            "incorporationstate",
            "msjurisdictionstateorprovince",
        ],
    ),
    (
        "1.3.6.1.4.1.311.60.2.1.3",
        Texts::Any,
        &[
            "jurisdictionc",
            "jurisdictioncountryname",
            "jurisdictioncountry",
            "jurisdictionofincorporationcountryname",
            "incorporationcountry",
            "msjurisdictioncountry",
        ],
    ),
];

/// Names that tools use for two attributes: `SN` is surname in RFC 4519, OpenSSL, .NET and Bouncy Castle 1.70, and serialNumber in
/// Bouncy Castle 1.46; `S` is stateOrProvinceName in .NET, and surname in X.400 (RFC 2156).
const AMBIGUOUS: &[(&str, &str)] =
    &[("sn", "surname (2.5.4.4) or serialNumber (2.5.4.5)"), ("s", "stateOrProvinceName (ST) or surname (2.5.4.4)")];

impl RegisteredName {
    /// Reads a string of RFC 4514, with white space around `,` and `+` and after `=`, and with the attributes named in any
    /// case by the names in use, or by their dotted object identifiers. What a tool prints in another syntax is refused with
    /// the string to write: most of these begin at the other end.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, matching: NameMatching) -> Result<Self, String> {
        // A piece of a URL may be one of its password.
        let read = match PastedName::of(text) {
            None => Self::read(trimmed(text), matching),
            Some(PastedName { form, rfc4514 }) => Err(match Self::read(&rfc4514, matching) {
                Ok(_) => format!("{form}: write {}", shortened(&rfc4514, 512)),
                Err(_) if rfc4514.is_empty() => form.to_owned(),
                Err(wrong) => format!("{form}; and {wrong}"),
            }),
        };
        read.map_err(|wrong| match redacted(text) {
            Cow::Borrowed(_) => wrong,
            Cow::Owned(_) => "this is no distinguished name (RFC 4514)".to_owned(),
        })
    }

    fn read(text: &str, matching: NameMatching) -> Result<Self, String> {
        let mut relative = vec![Vec::new()];
        let mut rest = text;
        loop {
            let (attribute_type, after) = attribute_type(rest)?;
            let (value, separator, after) = value(&attribute_type, after, matching)?;
            if let Some(last) = relative.last_mut() {
                last.push((attribute_type, value));
            }
            match separator {
                None => break,
                Some(',') => relative.push(Vec::new()),
                Some(_) => {}
            }
            rest = after;
        }
        // The string begins with what is last in the certificate (RFC 4514 §2.1).
        relative.reverse();
        Ok(Self::arranged(relative, matching))
    }

    /// Whether this is the name in a certificate.
    #[must_use]
    pub fn is(&self, name: &DistinguishedName) -> bool {
        self.of_certificate(name) == *self
    }

    /// Whether the name in a certificate has the same parts in another order.
    #[must_use]
    pub fn has_parts_of(&self, name: &DistinguishedName) -> bool {
        let name = self.of_certificate(name);
        name != *self && sorted(name.relative) == sorted(self.relative.clone())
    }

    /// What in it may be right, and is more often the work of a tool: an order that is not RFC 4514's, or a character in place of
    /// one that was not printed.
    #[cfg(not(target_arch = "wasm32"))]
    #[must_use]
    pub fn doubt(&self) -> Option<&'static str> {
        let texts = self.relative.iter().flatten().filter_map(|(_, value)| match value {
            Value::Text(text) => Some(text),
            Value::Der(_) => None,
        });
        if texts.clone().any(|text| text.contains(['?', '\u{fffd}']) || text.contains("..")) {
            return Some(
                "a ? or dots in it may stand for letters that a tool could not print: compare it with `certbound inspect FILE`",
            );
        }
        if texts.clone().any(|text| text.chars().any(is_unseen)) {
            return Some(
                "it has a character that is not seen, or a line end: was it copied from a page? Compare it with `certbound inspect FILE`",
            );
        }
        if texts.clone().any(|text| is_decoded_twice(text) || has_percent_encoding(text)) {
            return Some(
                "it seems to be encoded once more than it should be: compare it with `certbound inspect FILE`",
            );
        }
        // From the root to the client, as certificates have them.
        let rank = |attributes: &Vec<(ObjectIdentifier, Value)>| match attributes.first()?.0.as_str() {
            "2.5.4.6" | "0.9.2342.19200300.100.1.25" => Some(0),
            "2.5.4.8" | "2.5.4.7" => Some(1),
            "2.5.4.10" => Some(2),
            "2.5.4.11" => Some(3),
            "2.5.4.3" | "0.9.2342.19200300.100.1.1" => Some(4),
            _ => None,
        };
        let ranks: Vec<_> = self.relative.iter().map(rank).collect();
        let (first, last) = (ranks.first().copied()?, ranks.last().copied()?);
        let has_country_elsewhere = ranks.contains(&Some(0)) && first != Some(0);
        let is_turned = has_country_elsewhere || first.zip(last).is_some_and(|(first, last)| first > last);
        (self.matching != NameMatching::Unordered && is_turned).then_some(
            "a string of RFC 4514 begins with what is last in the certificate, so C stands last as a rule; most tools print C \
             first, and Go has an order of its own: compare it with `certbound inspect FILE`, or say `subject_dn_matching: \
             unordered`",
        )
    }

    fn of_certificate(&self, name: &DistinguishedName) -> Self {
        let prepared = |attribute: &Attribute| {
            let attribute_type = attribute.attribute_type().clone();
            let value = Value::of(&attribute_type, attribute.value(), self.matching);
            (attribute_type, value)
        };
        let relative = name
            .relative_distinguished_names()
            .iter()
            .map(|relative| relative.iter().map(prepared).collect())
            .collect();
        Self::arranged(relative, self.matching)
    }

    /// Sets have no order, but lists have.
    fn arranged(mut relative: Vec<Vec<(ObjectIdentifier, Value)>>, matching: NameMatching) -> Self {
        for attributes in &mut relative {
            *attributes = sorted(std::mem::take(attributes));
        }
        if matching == NameMatching::Unordered {
            relative = sorted(relative);
        }
        Self { matching, relative }
    }
}

impl Value {
    /// The value of a certificate's attribute, or of `#` and hexadecimal digits: its bytes, where it is no text that everybody
    /// reads alike.
    fn of(attribute_type: &ObjectIdentifier, der: &[u8], matching: NameMatching) -> Self {
        let texts = texts(attribute_type);
        let text = || Attribute::certain_text_of(&Element::only(der)?);
        let text = texts.and_then(|texts| Self::of_text(&text()?, texts, matching));
        text.unwrap_or_else(|| Self::Der(der.to_vec()))
    }

    /// `None` where readers differ: some stop at a NUL, and some take other letters than ASCII where the type has none.
    fn of_text(text: &str, texts: Texts, matching: NameMatching) -> Option<Self> {
        let is_one = !text.contains('\0') && (texts == Texts::Any || text.is_ascii());
        is_one.then(|| match matching {
            NameMatching::Exact => Self::Text(text.to_owned()),
            NameMatching::Rfc4517 | NameMatching::Unordered => Self::Text(prepared(text)),
        })
    }
}

/// A character that a certificate seldom has and a copied text often: white space other than a space, and what [`hides`].
#[cfg(not(target_arch = "wasm32"))]
fn is_unseen(character: char) -> bool {
    hides(character) || (character.is_whitespace() && character != ' ')
}

/// Whether the bytes of UTF-8 were read as ISO 8859-1: a letter beyond ASCII is one of these and a character from U+0080 to U+00BF.
#[cfg(not(target_arch = "wasm32"))]
fn is_decoded_twice(text: &str) -> bool {
    let mut before = ' ';
    text.chars().any(|character| {
        let is_pair = matches!(before, '\u{c2}'..='\u{df}') && matches!(character, '\u{80}'..='\u{bf}');
        before = character;
        is_pair
    })
}

#[cfg(not(target_arch = "wasm32"))]
fn has_percent_encoding(text: &str) -> bool {
    text.split('%')
        .skip(1)
        .any(|rest| rest.as_bytes().first_chunk::<2>().is_some_and(|pair| hexadecimal::byte(*pair).is_some()))
}

fn texts(attribute_type: &ObjectIdentifier) -> Option<Texts> {
    ATTRIBUTES.iter().find(|(dotted, ..)| *dotted == attribute_type.as_str()).map(|(_, texts, _)| *texts)
}

/// The text in NFC, with ASCII letters in lower case, without spaces at its ends, and with one space for each run of
/// them (RFC 4518 §2.2 to §2.6, for ASCII alone). A space under a combining mark is none (§2.6.1).
fn prepared(text: &str) -> String {
    let mut prepared = String::with_capacity(text.len());
    let mut spaces = false;
    let mut characters = nfc(text).into_iter().peekable();
    while let Some(character) = characters.next() {
        if character == ' ' && !characters.peek().copied().is_some_and(is_combining_mark) {
            spaces = true;
            continue;
        }
        if spaces && !prepared.is_empty() {
            prepared.push(' ');
        }
        spaces = false;
        prepared.push(character.to_ascii_lowercase());
    }
    prepared
}

/// The attribute's type before `=`, and what stands behind that.
fn attribute_type(text: &str) -> Result<(ObjectIdentifier, &str), String> {
    let (name, rest) = text
        .split_once('=')
        .ok_or_else(|| format!("{:?} is no attribute: NAME=VALUE is", shortened(text.trim_ascii(), 64)))?;
    let name = name.trim_ascii().to_ascii_lowercase();
    if let Some(attribute_type) = known_type(&name) {
        return Ok((attribute_type, rest));
    }
    let name = shortened(&name, 64);
    Err(match AMBIGUOUS.iter().find(|(ambiguous, _)| *ambiguous == name) {
        Some((_, meanings)) => format!("{name:?} is {meanings}, depending on the tool: write one of these"),
        None => format!(
            "{name:?} is no attribute type that is known here: write its dotted object identifier, as `certbound inspect` \
             does of a certificate"
        ),
    })
}

/// The attribute type of this name in lower case.
pub(super) fn known_type(name: &str) -> Option<ObjectIdentifier> {
    let dotted = name.strip_prefix("oid.").unwrap_or(name);
    let known = ATTRIBUTES.iter().find(|(_, _, names)| names.contains(&name)).map(|(dotted, ..)| *dotted);
    ObjectIdentifier::from_dotted(known.unwrap_or(dotted))
}

fn shortened(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// The value, the separator behind it, and what stands behind that.
fn value<'t>(
    attribute_type: &ObjectIdentifier,
    text: &'t str,
    matching: NameMatching,
) -> Result<(Value, Option<char>, &'t str), String> {
    let text = text.trim_ascii_start();
    if let Some(hexadecimal) = text.strip_prefix('#') {
        let end = hexadecimal.find([',', '+']).unwrap_or(hexadecimal.len());
        let (digits, rest) = hexadecimal.split_at_checked(end).unwrap_or_default();
        let der = bytes_of(digits.trim_ascii()).filter(|der| Element::only(der).is_some()).ok_or_else(|| {
            format!("the value of {attribute_type} is not # and the hexadecimal digits of one DER value")
        })?;
        let value = Value::of(attribute_type, &der, matching);
        return Ok((value, rest.chars().next(), rest.get(1..).unwrap_or_default()));
    }
    let (unescaped, separator, rest) = unescaped(text)?;
    let Some(texts) = texts(attribute_type) else {
        return Err(format!(
            "which values of {attribute_type} are equal is not known here: write its value as # and the hexadecimal digits of its \
             DER (RFC 4514 §2.4)"
        ));
    };
    let value = Value::of_text(&unescaped, texts, matching).ok_or_else(|| {
        format!(
            "readers differ in a NUL, and in a letter other than ASCII where {attribute_type} has none: write this value as # and the \
             hexadecimal digits of its DER, as `certbound inspect FILE` does"
        )
    })?;
    Ok((value, separator, rest))
}

fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
    let bytes = pairs.iter().copied().map(hexadecimal::byte).collect();
    if rest.is_empty() { bytes } else { None }
}

/// A text up to its separator, without escapes (RFC 4514 §2.4) and without white space at its ends that has none.
fn unescaped(text: &str) -> Result<(String, Option<char>, &str), String> {
    let mut bytes = Vec::new();
    let mut kept = 0;
    let mut characters = text.chars();
    let separator = loop {
        match characters.next() {
            None => break None,
            Some(separator @ (',' | '+')) => break Some(separator),
            Some('\\') => {
                let rest = characters.as_str();
                match rest.chars().next() {
                    Some(special @ (' ' | '"' | '#' | '+' | ',' | ';' | '<' | '=' | '>' | '\\')) => {
                        bytes.extend(special.to_string().bytes());
                        characters.next();
                    }
                    _ => {
                        let byte = rest.get(..2).and_then(bytes_of).ok_or_else(|| {
                            "a \\ stands before one of \" # + , ; < = > \\ or a space, or before two hexadecimal digits"
                                .to_owned()
                        })?;
                        bytes.extend(byte);
                        characters.nth(1);
                    }
                }
                kept = bytes.len();
            }
            Some(special @ ('"' | ';' | '<' | '>')) => return Err(format!("{special} needs a \\ before it")),
            Some(character) => {
                bytes.extend(character.encode_utf8(&mut [0; 4]).bytes());
                if !character.is_ascii_whitespace() {
                    kept = bytes.len();
                }
            }
        }
    };
    bytes.truncate(kept);
    let text = String::from_utf8(bytes).map_err(|_| "escaped bytes must be UTF-8".to_owned())?;
    Ok((text, separator, characters.as_str()))
}

impl fmt::Display for NameMatching {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Rfc4517 => "rfc4517",
            Self::Unordered => "unordered",
            Self::Exact => "exact",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(left: &str, right: &str) -> bool {
        let read = |text| RegisteredName::parse(text, NameMatching::Rfc4517).unwrap();
        read(left) == read(right)
    }

    #[test]
    fn names_are_read_leniently() {
        let plain = "CN=client.example.org,O=Client,L=Chiyoda-ku,ST=Tokyo,C=JP";
        for spelling in [
            // As Authlete's page has it.
            "CN=client.example.org, O=Client, L=Chiyoda-ku, ST=Tokyo, C=JP",
            "cn= client.example.org ,\to= CLIENT,\n l=Chiyoda-ku,St=Tokyo,countryName=jp \n",
            "2.5.4.3=client.example.org,OID.2.5.4.10=Client,L=#0c0a436869796f64612d6b75,ST=\\54okyo,C=#13024a50",
        ] {
            assert!(same(plain, spelling), "{spelling}");
        }
        assert!(same("CN=a+OU=b", "ou= b + cn= a"));
        assert!(same("CN=Zoe\\CC\\88", "CN=Zo\u{eb}"));
        assert!(same("CN=a  b", "CN=\\ a b\\ "));
        for other in ["CN=a,OU=b", "CN=a", "OU=b+CN=a+CN=a", "CN=ab+OU=b"] {
            assert!(!same("CN=a+OU=b", other), "{other}");
        }
        assert!(!same("CN=Zo\u{cb}", "CN=Zo\u{eb}"));
        assert!(!same("1.2.3=#0c0141", "1.2.3=#0c0161"));
        assert!(!same("CN=a \u{301}b", "CN=a\u{301}b"));
    }

    #[test]
    fn a_name_that_begins_with_what_is_nearer_to_the_root_is_doubtful() {
        let doubtful = |text: &str, matching| RegisteredName::parse(text, matching).unwrap().doubt().is_some();
        for text in [
            "CN=a",
            "UID=a,DC=b",
            "CN=a,ST=b",
            "CN=a,L=b",
            "CN=a,OU=b",
            "CN=a,O=b",
            "OU=a,O=b,C=JP",
            "1.2.3=#0500,C=JP",
        ] {
            assert!(!doubtful(text, NameMatching::Rfc4517), "{text}");
        }
        for text in
            ["DC=b,UID=a", "ST=b,CN=a", "L=b,UID=a", "OU=b,CN=a", "O=b,OU=a", "C=JP,O=b", "CN=a,C=JP,1.2.3=#0500"]
        {
            for matching in [NameMatching::Rfc4517, NameMatching::Exact] {
                assert!(doubtful(text, matching), "{text}");
            }
            assert!(!doubtful(text, NameMatching::Unordered), "{text}");
        }
        for text in ["CN=a?", "CN=a..", "CN=a\u{fffd}"] {
            assert!(doubtful(text, NameMatching::Unordered), "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_refused_with_a_sentence() {
        for wrong in [
            "",
            "CN",
            "CN=a,",
            "CN=a+",
            ",CN=a",
            "XX=a",
            "CN=a;O=b",
            "CN=\"a\"",
            "CN=a\\",
            "CN=a\\x",
            "CN=a\\é",
            "CN=\\ff",
            "CN=a\\00b",
            "CN=a\0b",
            "CN=#",
            "CN=#0c",
            "CN=#0c0161ff",
            "CN=#0c016",
            "SN=a",
            "S=a",
            "CN = a",
            "1.2.3=a",
            "1..2=#0c0161",
            "DC=é",
        ] {
            assert!(RegisteredName::parse(wrong, NameMatching::Rfc4517).is_err(), "{wrong}");
        }
    }

    #[test]
    fn another_syntax_is_refused_with_the_string_to_write() {
        let refused = |text| RegisteredName::parse(text, NameMatching::Unordered).unwrap_err();
        for (text, sentence) in [
            ("CN=a, O=\"Example, Inc.\"", "RFC 4514 has no quotation marks: write CN=a,O=Example\\, Inc."),
            ("C = GB, CN = a", "spaces before = are OpenSSL's form, which begins at the other end: write CN=a,C=GB"),
            (
                "/C=GB/CN=a",
                "slashes between the parts are OpenSSL's old form, which begins at the other end: write CN=a,C=GB",
            ),
            ("subject=CN=a,C=GB", "`subject=` is a label, not a part of the name: write CN=a,C=GB"),
            (
                "S=SP,C=BR",
                "\"s\" is stateOrProvinceName (ST) or surname (2.5.4.4), depending on the tool: write one of these",
            ),
        ] {
            assert_eq!(refused(text), sentence);
        }
        assert!(refused("SN = 1, CN = a").ends_with(
            "; and \"sn\" is surname (2.5.4.4) or serialNumber (2.5.4.5), depending on the tool: write one of these"
        ));
        assert_eq!(refused("CN = a\\"), SPACES_ALONE);
        assert!(refused(&format!("CN = {}", "a".repeat(9999))).len() < 700);
    }

    const SPACES_ALONE: &str = "spaces before = are OpenSSL's form, which begins at the other end";

    #[test]
    fn names_that_tools_print_for_attributes_are_one_attribute() {
        for (dotted, names) in [
            (
                "1.3.6.1.4.1.311.60.2.1.3",
                &[
                    "jurisdictionOfIncorporationCountryName",
                    "incorporationCountry",
                    "jurisdictionC",
                    "jurisdictionCountry",
                ][..],
            ),
            ("2.5.4.12", &["T", "title"]),
            ("2.5.4.42", &["G", "GN", "givenName", "GIVENNAME"]),
            ("1.2.840.113549.1.9.1", &["E", "emailAddress", "EMAIL"]),
            ("2.5.4.18", &["postOfficeBox", "POBox"]),
            ("2.5.4.43", &["I", "initials", "INITIALS"]),
            ("2.5.4.44", &["GENERATION"]),
            ("2.5.4.46", &["DNQ", "dnQualifier"]),
            ("0.9.2342.19200300.100.1.3", &["mail", "MAIL"]),
            ("1.2.643.100.1", &["OGRN"]),
            ("1.2.643.100.3", &["SNILS"]),
            ("1.3.6.1.4.1.311.60.2.1.1", &["jurisdictionL", "jurisdictionLocality", "msJurisdictionLocality"]),
            ("1.3.6.1.4.1.311.60.2.1.2", &["jurisdictionST", "jurisdictionState", "incorporationState"]),
            ("1.2.643.3.131.1.1", &["INN"]),
            ("0.9.2342.19200300.100.1.1", &["userId", "UID"]),
            ("2.5.4.97", &["organizationIdentifier", "OID.2.5.4.97"]),
        ] {
            for name in names {
                assert!(same(&format!("{name}=7"), &format!("{dotted}=7")), "{name}");
            }
        }
    }

    #[test]
    fn a_value_that_readers_decode_differently_is_compared_by_its_der() {
        let name = |value: &[u8]| {
            let attribute = [b"\x30\x0a\x06\x03\x55\x04\x03", value].concat();
            DistinguishedName::from_der(&[b"\x30\x0e\x31\x0c", &attribute[..]].concat()).unwrap()
        };
        let (teletex, printable) = (name(b"\x14\x03a\xe9b"), name(b"\x13\x03a\xe9b"));
        for mode in [NameMatching::Rfc4517, NameMatching::Unordered, NameMatching::Exact] {
            let is = |text, name| RegisteredName::parse(text, mode).unwrap().is(name);
            assert!(is("CN=#140361e962", &teletex) && is("CN=#130361E962", &printable));
            assert!(!is("CN=#140361e962", &printable) && !is("CN=#130361e962", &teletex));
            assert!(!is("CN=a\u{e9}b", &teletex) && !is("CN=a\u{e9}b", &printable));
        }
    }

    /// Everything that a certificate may have under any attribute that is known here, and under one that is not.
    #[test]
    fn each_value_of_a_certificate_can_be_registered_and_then_matches() {
        let texts = [
            "", " ", "a", "a\0b", "\0", "\u{e9}", "\u{ff}a", "#0c", "a/UID=b", "/CN=b", "\"a\"", "a\nb", "C = a",
            "a, b+c",
        ];
        let types = ATTRIBUTES.iter().map(|(dotted, ..)| *dotted).chain(["1.2.3", "2.5.4.20"]);
        for dotted in types {
            let attribute_type = ObjectIdentifier::from_dotted(dotted).unwrap();
            for text in texts {
                let latin: Vec<u8> =
                    text.chars().map(|character| u8::try_from(u32::from(character)).unwrap()).collect();
                let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
                let written =
                    [(12, text.as_bytes()), (19, &latin), (20, &latin), (22, &latin), (4, &latin), (30, &wide)];
                for (tag, contents) in written {
                    let value = [&[tag, u8::try_from(contents.len()).unwrap()], contents].concat();
                    let name = DistinguishedName::of_one(attribute_type.clone(), value);
                    for mode in [NameMatching::Rfc4517, NameMatching::Unordered, NameMatching::Exact] {
                        let is =
                            |text: &str| RegisteredName::parse(text, mode).is_ok_and(|registered| registered.is(&name));
                        assert!(is(&name.registered()), "{dotted} {text:?} {tag}: {}", name.registered());
                        // What is shown matches, or is told to be something else than what is registered.
                        assert!(is(&name.to_string()) || name.registered() != name.to_string(), "{name}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_a_copied_text_has_and_a_certificate_seldom_is_doubtful() {
        let doubt = |text| RegisteredName::parse(text, NameMatching::Rfc4517).unwrap().doubt();
        for text in [
            "CN=a\u{a0}b",
            "CN=a\u{200b}b",
            "CN=a\\0Ab",
            "CN=a\\E2\\80\\8Bb",
            "O=Caf\u{c3}\u{a9}",
            "O=a%2Cb",
            "O=Caf%C3%A9",
        ] {
            assert!(doubt(text).is_some(), "{text}");
        }
        for text in ["CN=a b", "O=Caf\u{e9}", "O=\u{c3}guas", "O=100% a", "O=5%-b", "O=%"] {
            assert_eq!(doubt(text), None, "{text}");
        }
    }

    #[test]
    fn an_empty_value_is_registered_as_one() {
        let empty = DistinguishedName::from_der(b"\x30\x0b\x31\x09\x30\x07\x06\x03\x55\x04\x03\x0c\x00").unwrap();
        for mode in [NameMatching::Rfc4517, NameMatching::Exact] {
            let is = |text| RegisteredName::parse(text, mode).unwrap().is(&empty);
            assert!(is("CN=") && is("CN=#0c00"));
            assert!(!is("CN=a") && !is("O=") && !is("CN=,O="));
        }
    }
}
