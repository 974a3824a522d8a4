// SPDX-License-Identifier: Apache-2.0

//! What a certificate contains, for those who bind tokens to it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::certificate::Certificate;
use crate::certificate::der::{Element, Elements};
use crate::certificate::distinguished_name::DistinguishedName;
use crate::certificate::names;
use crate::certificate::public_key::PublicKey;
use crate::certificate::serial_number;
use crate::certificate::subject_alternative_name::SubjectAlternativeName;
use crate::certificate::to_be_signed::ToBeSigned;
use crate::handover::chain::Chain;
use crate::handover::dialect::Dialect;
use crate::http::header_name::HeaderName;
use crate::text::escaped::Escaped;
use crate::text::json;

use super::certificate_file::{CertificateFile, NoCertificate};
use super::time;

/// A certificate's description. [`fmt::Display`] writes it for people and [`Inspection::json`] for programs. Both are safe for
/// a terminal, whatever the certificate contains.
#[derive(Debug, Serialize)]
pub struct Inspection {
    /// RFC 8705 §3.1.
    #[serde(rename = "x5t#S256")]
    x5t_s256: String,
    /// The same in hexadecimal.
    sha256: String,
    /// RFC 4514.
    subject: Option<String>,
    issuer: Option<String>,
    /// Hexadecimal, as `openssl x509 -serial` writes it.
    serial_number: String,
    /// RFC 3339, UTC.
    not_before: Option<String>,
    not_after: Option<String>,
    subject_alternative_names: Names,
    key: Option<String>,
    /// The bits of keyUsage (RFC 5280 §4.2.1.3), if the certificate has it. A key without it may be used for everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_usage: Option<Vec<&'static str>>,
    /// Header lines, if a dialect was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
    /// What the certificate has and this description does not show, and what is not as RFC 5280 demands.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    #[serde(skip)]
    certificates: usize,
}

/// The names of the kinds in RFC 8705 §2.1.2, in the order of the certificate.
#[derive(Debug, Default, Serialize)]
struct Names {
    dns: Vec<String>,
    uri: Vec<String>,
    ip: Vec<String>,
    email: Vec<String>,
    /// Names of other kinds, each with its kind.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    other: Vec<String>,
}

impl Inspection {
    /// Describes the first certificate of a file, with the header that each of `dialects` would carry it in.
    ///
    /// # Errors
    /// [`NoCertificate`], if the file has none.
    pub fn of_file(bytes: &[u8], dialects: &[Dialect]) -> Result<Self, NoCertificate> {
        let CertificateFile { der, certificates } = CertificateFile::read(bytes)?;
        let certificate = Certificate::on_the_desk(der);
        // Nothing says that the certificates after it are its chain.
        let written = dialects.iter().filter_map(|dialect| {
            let named = HeaderName::from("header-of-your-choice");
            dialect.form(Some(named))?.write(&certificate, &Chain::Unknown).ok()
        });
        let headers = written.flat_map(|written| written.headers).collect();
        let mut inspection = Self {
            x5t_s256: certificate.thumbprint().to_string(),
            sha256: certificate.thumbprint().hex(),
            subject: None,
            issuer: None,
            serial_number: String::new(),
            not_before: None,
            not_after: None,
            subject_alternative_names: Names::default(),
            key: None,
            key_usage: None,
            headers,
            notes: Vec::new(),
            certificates,
        };
        if let Some(fields) = ToBeSigned::of_certificate(certificate.der()) {
            inspection.describe(&fields);
        }
        Ok(inspection)
    }

    /// How many certificates the file has, the described one included.
    #[must_use]
    pub fn certificates(&self) -> usize {
        self.certificates
    }

    /// One JSON object on several lines, all in ASCII.
    #[must_use]
    pub fn json(&self) -> String {
        // Serialization fails only for maps with other keys and for writers that fail. There are none here.
        let json = serde_json::to_string_pretty(self).unwrap_or_default();
        json.lines().map(json::in_ascii).collect::<Vec<_>>().join("\n")
    }

    fn describe(&mut self, fields: &ToBeSigned<'_>) {
        self.subject = self.name("subject", fields.subject);
        self.issuer = self.name("issuer", fields.issuer);
        self.serial_number = Element::only(fields.serial_number)
            .map(|number| serial_number::hexadecimal(number.contents))
            .unwrap_or_default();
        let times = Element::only(fields.validity).and_then(|validity| validity.children()).unwrap_or_default();
        self.not_before = self.time("not_before", times.first());
        self.not_after = self.time("not_after", times.get(1));
        self.key = PublicKey::from_der(fields.subject_public_key_info).map(|key| key.to_string());
        match self.key.as_deref() {
            None => self.note("the public key cannot be read"),
            Some(key) => self.notes.extend(in_a_handshake(key)),
        }
        self.rest(fields.rest);
    }

    fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    fn name(&mut self, field: &str, der: &[u8]) -> Option<String> {
        let name = DistinguishedName::from_der(der);
        match &name {
            None => self.note(format!("{field} cannot be read as a distinguished name")),
            Some(name) if name.relative_distinguished_names().iter().any(Vec::is_empty) => {
                self.note(format!("{field} has a part without an attribute, which is not shown"));
            }
            Some(_) => {}
        }
        if let Some(name) = name.as_ref().filter(|name| name.has_uncertain_text()) {
            let registered = name.registered();
            self.note(format!(
                "{field} cannot be registered as text, since others read a value of it differently; certbound compares \
                 {registered} byte for byte"
            ));
        }
        name.map(|name| name.to_string())
    }

    fn time(&mut self, field: &str, time: Option<&Element<'_>>) -> Option<String> {
        let shown = time.and_then(time::rfc3339);
        if shown.is_none() {
            let bytes = time.map_or(&[][..], |time| time.contents);
            self.note(format!("{field} is no time: \"{}\"", bytes.escape_ascii()));
        }
        shown
    }

    fn usage(&mut self, value: &[u8]) {
        self.key_usage = usages(value);
        match &self.key_usage {
            None => self.note("the extension keyUsage cannot be read"),
            Some(usages) if !usages.contains(&"digitalSignature") => {
                self.note(
                    "keyUsage has no digitalSignature: Envoy ends the handshake of a client with this certificate, whatever \
                     trust_chain_verification says",
                );
            }
            Some(_) => {}
        }
    }

    /// Unique identifiers and extensions.
    fn rest(&mut self, der: &[u8]) {
        let mut fields = Elements(der);
        for field in fields.by_ref() {
            match (field.context(), Element::only(field.contents).and_then(|list| list.children())) {
                (Some(1 | 2), _) => {}
                (Some(3), Some(extensions)) => self.extensions(&extensions),
                (Some(3), None) => self.note("the extensions cannot be read"),
                _ => self.note("there is an unknown field beside the extensions"),
            }
        }
        if !fields.0.is_empty() {
            self.note("there are bytes behind the last field");
        }
    }

    fn extensions(&mut self, extensions: &[Element<'_>]) {
        let mut times = BTreeMap::<_, usize>::new();
        for extension in extensions {
            let Some((identifier, value)) = names::extension(extension) else {
                self.note("an extension cannot be read");
                continue;
            };
            if identifier.as_str() == SubjectAlternativeName::EXTENSION {
                match SubjectAlternativeName::list_from_der(value) {
                    Some(names) => names.into_iter().for_each(|name| self.subject_alternative_names.add(name)),
                    None => self.note("the extension subjectAltName cannot be read"),
                }
            }
            if identifier.as_str() == KEY_USAGE {
                self.usage(value);
            }
            let times = times.entry(identifier).or_default();
            *times = times.saturating_add(1);
        }
        for (identifier, times) in times.into_iter().filter(|(_, times)| *times > 1) {
            // RFC 5280 §4.2.
            self.note(format!(
                "the extension {identifier} is there {times} times, and servers differ in which they read"
            ));
        }
    }
}

/// Which of the lines other servers compare with what a client is registered by, as they were run: `x509CertificateSubjectDN` of
/// Spring Authorization Server, and `x509.subjectdn` of Keycloak 26.7.
const COMPARED: &str = "subject, by Spring as text and by Keycloak part by part in this order; issuer by neither";

/// RFC 5280 §4.2.1.3.
const KEY_USAGE: &str = "2.5.29.15";
const USAGES: [&str; 9] = [
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
];

/// The bits of a BIT STRING, the first one first.
fn usages(der: &[u8]) -> Option<Vec<&'static str>> {
    let [3, length, unused @ 0..=7, bits @ ..] = der else { return None };
    if usize::from(*length) != bits.len().saturating_add(1) || !matches!((bits.len(), unused), (1 | 2, _) | (0, 0)) {
        return None;
    }
    let set = bits.iter().flat_map(|byte| (0..8).map(move |bit| byte & (0x80 >> bit) != 0));
    Some(USAGES.into_iter().zip(set).filter_map(|(name, is_set)| is_set.then_some(name)).collect())
}

/// What Envoy's handshake makes of a client's key of this kind, where it does not simply take it.
fn in_a_handshake(key: &str) -> Option<String> {
    let named = |scheme: &str| {
        format!(
            "a client with this certificate seems to have none unless the listener's tls_params.signature_algorithms names \
             {scheme}; over HTTP/3 always"
        )
    };
    match key {
        "Ed25519" => Some(named("ed25519")),
        "EC P-521" => Some(named("ecdsa_secp521r1_sha512")),
        "EC P-256" | "EC P-384" => None,
        _ if key.starts_with("RSA ") => None,
        _ => Some("Envoy takes no key of this kind: a client with this certificate seems to have none".to_owned()),
    }
}

impl Names {
    fn add(&mut self, name: SubjectAlternativeName) {
        match name {
            // JSON has its own escapes for these. For people they are escaped in another way.
            SubjectAlternativeName::Dns(text) => self.dns.push(text),
            SubjectAlternativeName::Uri(text) => self.uri.push(text),
            SubjectAlternativeName::Email(text) => self.email.push(text),
            SubjectAlternativeName::Ip(address) => self.ip.push(address.to_string()),
            other => self.other.push(other.to_string()),
        }
    }
}

impl fmt::Display for Inspection {
    /// One line for each fact, named as in the JSON. The header lines follow after an empty line.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |label: &str, value: &dyn fmt::Display| writeln!(formatter, "{label:<14} {value}");
        let shown = |value: &Option<String>| match value.as_deref() {
            None => "(unreadable)".to_owned(),
            Some("") => "(empty)".to_owned(),
            Some(value) => value.to_owned(),
        };
        line("x5t#S256:", &self.x5t_s256)?;
        line("sha256:", &self.sha256)?;
        line("subject:", &shown(&self.subject))?;
        line("issuer:", &shown(&self.issuer))?;
        line("serial_number:", &self.serial_number)?;
        line("not_before:", &shown(&self.not_before))?;
        line("not_after:", &shown(&self.not_after))?;
        let Names { dns, uri, ip, email, other } = &self.subject_alternative_names;
        for (label, texts) in [("dns:", dns), ("uri:", uri), ("ip:", ip), ("email:", email)] {
            texts.iter().try_for_each(|text| line(label, &Escaped { text, special: "\\" }))?;
        }
        other.iter().try_for_each(|name| line("other:", name))?;
        line("key:", &shown(&self.key))?;
        self.key_usage.iter().try_for_each(|usages| line("key_usage:", &usages.join(", ")))?;
        line("compared:", &COMPARED)?;
        self.notes.iter().try_for_each(|note| line("note:", note))?;
        if !self.headers.is_empty() {
            writeln!(formatter)?;
        }
        self.headers.iter().try_for_each(|(name, value)| writeln!(formatter, "{name}: {value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_usage_is_read_bit_by_bit() {
        assert_eq!(usages(&[3, 2, 7, 0x80]), Some(vec!["digitalSignature"]));
        assert_eq!(usages(&[3, 2, 1, 0x06]), Some(vec!["keyCertSign", "cRLSign"]));
        assert_eq!(usages(&[3, 3, 7, 0x88, 0x80]), Some(vec!["digitalSignature", "keyAgreement", "decipherOnly"]));
        assert_eq!(usages(&[3, 1, 0]), Some(vec![]));
        for wrong in [&[][..], &[3, 2, 8, 0x80], &[3, 3, 7, 0x80], &[3, 1, 7], &[4, 2, 7, 0x80], &[3, 4, 0, 1, 1, 1]] {
            assert_eq!(usages(wrong), None, "{wrong:?}");
        }
    }
}
