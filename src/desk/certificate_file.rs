// SPDX-License-Identifier: Apache-2.0

//! The certificate in a file of any form that operators have, or what the file is instead.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use x509_parser::asn1_rs::Tag;

use crate::certificate::der::Element;
use crate::certificate::object_identifier::ObjectIdentifier;
use crate::certificate::pem::is_one_sequence;
use crate::certificate::to_be_signed::ToBeSigned;
use crate::text::escaped::Escaped;
use crate::text::percent;

/// The largest file that is read, in bytes. A certificate has a few thousand.
const LARGEST: usize = 1024 * 1024;

/// The first certificate of a file.
#[derive(Debug, PartialEq, Eq)]
pub struct CertificateFile {
    /// Exactly one certificate.
    pub der: Vec<u8>,
    /// How many certificates the file has, this one included.
    pub certificates: usize,
}

/// What a file without a certificate is, for a sentence that begins with its name and "is". It repeats nothing of the contents
/// except the label of a PEM block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoCertificate(Cow<'static, str>);

impl fmt::Display for NoCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for NoCertificate {}

fn is(what: &'static str) -> NoCertificate {
    NoCertificate(Cow::Borrowed(what))
}

/// As in OpenSSL, bits after the last byte do not matter.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const BEGIN: &str = "-----BEGIN ";
const PRIVATE_KEY: &str = "a private key, not a certificate";
const REQUEST: &str = "a certificate request, not a certificate; a certification authority makes one of it";
const PUBLIC_KEY: &str = "a public key, not a certificate";
const REVOCATION_LIST: &str = "a certificate revocation list, not a certificate";
const PKCS7: &str = "a PKCS #7 bundle; `openssl pkcs7 -print_certs` takes the certificates out";
const PKCS12: &str = "a PKCS #12 bundle; `openssl pkcs12 -nokeys` takes the certificates out";
const BER: &str = "BER but not DER: a length is not in its shortest form, and a thumbprint is over the DER";
const SSH_KEY: &str = "an SSH key, not a certificate";

impl CertificateFile {
    /// Reads DER, PEM with any text around it (RFC 7468 §5.2), and both as headers carry them: percent-encoded PEM, PEM with
    /// spaces in place of line ends, and DER in base64, with the colons of RFC 9440 or without.
    ///
    /// # Errors
    /// [`NoCertificate`] says what it is instead.
    pub fn read(bytes: &[u8]) -> Result<Self, NoCertificate> {
        if bytes.len() > LARGEST {
            return Err(is("larger than 1 MiB, which no certificate is"));
        }
        if bytes.trim_ascii().is_empty() {
            return Err(is("empty"));
        }
        // The second byte of a text is ASCII. DER of less than 128 bytes has such a byte too.
        if matches!(bytes, [0x30, 0x80..=0xff, ..]) || Element::only(bytes).is_some_and(|whole| whole.is(Tag::Sequence))
        {
            return certificate(bytes).map(|der| Self { der: der.to_vec(), certificates: 1 });
        }
        let text = String::from_utf8_lossy(bytes);
        if text.contains(BEGIN) {
            return Self::in_pem(&text);
        }
        let decoded = percent_decoded(&text);
        if decoded.contains(BEGIN) {
            return Self::in_pem(&decoded);
        }
        let one_line: String = text.split_ascii_whitespace().collect();
        let base64 = one_line.strip_prefix(':').and_then(|text| text.strip_suffix(':')).unwrap_or(&one_line);
        match BASE64.decode(base64) {
            Ok(der) if der.first() == Some(&0x30) => {
                certificate(&der).map(|der| Self { der: der.to_vec(), certificates: 1 })
            }
            _ => Err(text_without_certificate(bytes)),
        }
    }

    fn in_pem(text: &str) -> Result<Self, NoCertificate> {
        let blocks: Vec<_> = text.split(BEGIN).skip(1).map(Block::of).collect();
        let mut certificates = blocks.iter().flatten().filter(|block| block.is_certificate());
        let Some(first) = certificates.next() else {
            // A key is told first, wherever it stands: it does not belong in such a file.
            let what = blocks.iter().flatten().map(Block::what);
            let key = what.clone().find(|what| *what == is(PRIVATE_KEY));
            return Err(key.or_else(|| what.into_iter().next()).unwrap_or_else(|| is("PEM with a broken BEGIN line")));
        };
        let Some(base64) = first.base64 else {
            return Err(is("a truncated PEM: the certificate has no END line"));
        };
        let der = BASE64.decode(base64.split_ascii_whitespace().collect::<String>());
        let der = der.map_err(|_| is("a PEM whose certificate is broken: it is not base64"))?;
        let der = match first.label {
            // OpenSSL appends what the certificate is trusted for.
            "TRUSTED CERTIFICATE" => certificate(Element::first(&der).map_or(&der, |(first, _)| first.whole))?,
            _ => certificate(&der)?,
        };
        Ok(Self { der: der.to_vec(), certificates: certificates.count().saturating_add(1) })
    }
}

/// One block of PEM.
struct Block<'a> {
    label: &'a str,
    /// `None` if there is no END line.
    base64: Option<&'a str>,
}

impl<'a> Block<'a> {
    /// The block that begins before `text`, after "BEGIN". `None` if the line does not end there.
    fn of(text: &'a str) -> Option<Self> {
        let (label, body) = text.split_once("-----")?;
        let (body, end) = body.split_once("-----END ").unzip();
        let ends = end.is_some_and(|end| end.strip_prefix(label).is_some_and(|rest| rest.starts_with("-----")));
        // Headers (RFC 1421) end with an empty line.
        let headers = body.and_then(|body| body.split_once("\n\n").or_else(|| body.split_once("\r\n\r\n")));
        let base64 = headers.filter(|(headers, _)| headers.contains(':')).map(|(_, base64)| base64).or(body);
        Some(Self { label, base64: base64.filter(|_| ends) })
    }

    fn is_certificate(&self) -> bool {
        matches!(self.label, "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE")
    }

    fn what(&self) -> NoCertificate {
        match self.label {
            label if label.ends_with("PRIVATE KEY") => is(PRIVATE_KEY),
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => is(REQUEST),
            label if label.ends_with("PUBLIC KEY") => is(PUBLIC_KEY),
            "X509 CRL" => is(REVOCATION_LIST),
            "PKCS7" | "CMS" => is(PKCS7),
            label => {
                let label: String = label.chars().take(40).collect();
                let label = Escaped { text: &label, special: "\\\"" };
                NoCertificate(format!("a PEM block \"{label}\", not a certificate").into())
            }
        }
    }
}

/// The bytes, if they are one certificate and nothing else.
fn certificate(der: &[u8]) -> Result<&[u8], NoCertificate> {
    let Some((outer, rest)) = Element::first(der) else {
        return Err(match der {
            [0x30, 0x80, ..] => is(BER),
            _ => is("truncated DER: it ends before its own length says"),
        });
    };
    // OpenSSL would encode it again before it hashes it. Others would not.
    if !is_one_sequence(outer.whole) && outer.is(Tag::Sequence) {
        return Err(is(BER));
    }
    let tags: Vec<_> = outer.children().unwrap_or_default().iter().map(Element::universal).collect();
    let first_children = outer.children().and_then(|children| children.first()?.children()).unwrap_or_default();
    let inner: Vec<_> = first_children.iter().map(Element::universal).collect();
    let is_certificate = ToBeSigned::of_certificate(outer.whole).is_some();
    const SEQUENCE: Option<Tag> = Some(Tag::Sequence);
    const INTEGER: Option<Tag> = Some(Tag::Integer);
    const OCTETS: Option<Tag> = Some(Tag::OctetString);
    const BITS: Option<Tag> = Some(Tag::BitString);
    const IDENTIFIER: Option<Tag> = Some(Tag::Oid);
    Err(match (tags.as_slice(), inner.as_slice()) {
        ([SEQUENCE, SEQUENCE, BITS], _) if is_certificate && !rest.is_empty() => {
            is("a certificate with other bytes after it, which belong to no thumbprint")
        }
        ([SEQUENCE, SEQUENCE, BITS], _) if is_certificate => return Ok(outer.whole),
        ([SEQUENCE, SEQUENCE, BITS], [INTEGER, SEQUENCE, SEQUENCE, None]) => is(REQUEST),
        (
            [SEQUENCE, SEQUENCE, BITS],
            [INTEGER, SEQUENCE, SEQUENCE, Some(_), ..] | [SEQUENCE, SEQUENCE, Some(_), ..],
        ) => is(REVOCATION_LIST),
        ([INTEGER, SEQUENCE, OCTETS, ..] | [INTEGER, OCTETS, ..] | [SEQUENCE, OCTETS], _) => is(PRIVATE_KEY),
        ([INTEGER, INTEGER, INTEGER, INTEGER, INTEGER, INTEGER, ..], _) => is(PRIVATE_KEY),
        ([SEQUENCE, BITS], _) | ([INTEGER, INTEGER], _) => is(PUBLIC_KEY),
        ([INTEGER, SEQUENCE, ..], [] | [IDENTIFIER, ..]) => is(PKCS12),
        ([IDENTIFIER, None], _) if is_pkcs7(&outer) => is(PKCS7),
        ([SEQUENCE, SEQUENCE, BITS], _) => is("a broken certificate: what it says of itself cannot be read"),
        _ => is("DER, but not a certificate"),
    })
}

fn is_pkcs7(outer: &Element<'_>) -> bool {
    let children = outer.children().unwrap_or_default();
    let identifier = children.first().and_then(|first| ObjectIdentifier::from_contents(first.contents));
    identifier.is_some_and(|identifier| identifier.as_str().starts_with("1.2.840.113549.1.7."))
}

/// What a file with neither DER nor PEM is.
fn text_without_certificate(bytes: &[u8]) -> NoCertificate {
    if matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
        return is("text in UTF-16, which no server reads either; save it as UTF-8");
    }
    let Some(text) = std::str::from_utf8(bytes).ok().map(str::trim).filter(|text| !text.contains(is_binary)) else {
        return is("binary data, not a certificate");
    };
    const SSH: &[&str] = &["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-", "---- BEGIN SSH2 ", "PuTTY-User-Key-File-"];
    if SSH.iter().any(|beginning| text.starts_with(beginning)) {
        return is(SSH_KEY);
    }
    if let Ok(json) = serde_json::from_str::<serde_json::Value>(text)
        && (json.is_object() || json.is_array())
    {
        return match () {
            () if json.get("keys").is_some() => is("a JSON Web Key Set, not a certificate"),
            () if json.get("kty").is_some() => is("a JSON Web Key, not a certificate"),
            () => is("JSON, not a certificate"),
        };
    }
    let is_jws = text.starts_with("eyJ") && !text.contains(char::is_whitespace);
    match () {
        () if is_jws => is("a JSON Web Token, not a certificate"),
        () if text
            .lines()
            .find(|line| !line.trim_start().is_empty() && !line.starts_with('#'))
            .is_some_and(is_yaml) =>
        {
            is("YAML, not a certificate")
        }
        () => is("text, not a certificate"),
    }
}

fn is_binary(character: char) -> bool {
    character.is_control() && !character.is_ascii_whitespace()
}

/// Whether a line begins with a key and a colon, or separates documents.
fn is_yaml(line: &str) -> bool {
    let line = line.trim_start().trim_start_matches("- ");
    let key = line.split_once(':').filter(|(_, rest)| rest.is_empty() || rest.starts_with(' ')).map(|(key, _)| key);
    line == "---" || key.is_some_and(|key| !key.is_empty() && !key.contains(char::is_whitespace))
}

/// The text without its percent-encoding, if it has one. In a form's encoding `+` is a space.
fn percent_decoded(text: &str) -> String {
    let text = if text.contains("-----BEGIN+") { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    let decoded = percent::leniently_decoded(text.as_bytes());
    String::from_utf8_lossy(&decoded).into_owned()
}
