// SPDX-License-Identifier: Apache-2.0

//! Facts of a certificate, in headers that the operator names, for servers that do not parse certificates themselves.

use serde::Deserialize;

use crate::certificate::Certificate;
use crate::certificate::der::Element;
use crate::certificate::distinguished_name::DistinguishedName;
use crate::certificate::names::alternative_names;
use crate::certificate::serial_number;
use crate::certificate::subject_alternative_name::SubjectAlternativeName;
use crate::certificate::to_be_signed::ToBeSigned;
use crate::http::edit::Edit;
use crate::http::header_name::{HeaderName, OwnName};
use crate::reason::Reason;
use crate::text::percent;

/// The longest fact, in bytes. With a longer one the request is refused: servers truncate or refuse headers from about this
/// size.
const LONGEST: usize = 4096;

/// Headers with what the certificate says, each if it is named. Names have nothing but visible ASCII in them: see each.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub(crate) struct Facts {
    /// For the subject (RFC 4514); what is not ASCII as the hexadecimal pairs of its UTF-8, as RFC 4514 §2.4 allows.
    subject: Option<HeaderName>,
    /// For the issuer, likewise.
    issuer: Option<HeaderName>,
    /// For the serial number, in upper-case hexadecimal digits as openssl has it.
    serial_number: Option<HeaderName>,
    /// For the beginning of its validity: 2026-01-31T00:00:00Z (RFC 3339).
    not_before: Option<HeaderName>,
    /// For the end of its validity.
    not_after: Option<HeaderName>,
    /// For its DNS names, with a comma between two. In these four a comma, a percent sign and what is not visible ASCII is
    /// percent-encoded; without such a name there is no header.
    san_dns: Option<HeaderName>,
    /// For its URIs.
    san_uri: Option<HeaderName>,
    /// For its IP addresses (RFC 5952).
    san_ip: Option<HeaderName>,
    /// For its email addresses.
    san_email: Option<HeaderName>,
    /// For its thumbprint as tokens have it (RFC 8705 §3.1).
    x5t_s256: Option<HeaderName>,
    /// For the same in hexadecimal.
    sha256: Option<HeaderName>,
    /// For the word whether its chain was validated: SUCCESS, FAILED: and why, or NONE where there is no certificate.
    verified: Option<HeaderName>,
}

impl Facts {
    fn headers(&self) -> [&Option<HeaderName>; 12] {
        let Self { subject, issuer, serial_number, not_before, not_after, san_dns, .. } = self;
        let Self { san_uri, san_ip, san_email, x5t_s256, sha256, verified, .. } = self;
        [
            subject,
            issuer,
            serial_number,
            not_before,
            not_after,
            san_dns,
            san_uri,
            san_ip,
            san_email,
            x5t_s256,
            sha256,
            verified,
        ]
    }

    /// The names of the headers.
    pub(super) fn names(&self) -> impl Iterator<Item = OwnName> {
        self.headers().into_iter().flatten().map(|name| OwnName::Exactly(name.as_str().to_owned()))
    }

    /// Whether one of them is a name of the client.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn has_names(&self) -> bool {
        [&self.subject, &self.san_dns, &self.san_uri, &self.san_ip, &self.san_email].iter().any(|name| name.is_some())
    }

    /// The header that says whether the chain was validated.
    pub(super) fn verified(&self) -> Option<&str> {
        self.verified.as_ref().map(HeaderName::as_str)
    }

    /// The headers for this certificate.
    ///
    /// # Errors
    /// [`Reason::CertificateMalformed`] if a fact cannot be read or is there twice, and [`Reason::CertificateTooLarge`] if one
    /// is too long.
    pub(super) fn write(&self, certificate: &Certificate) -> Result<Vec<Edit>, Reason> {
        let mut edits = Vec::new();
        let mut set = |header: &Option<HeaderName>, fact: &dyn Fn() -> Option<Option<String>>| {
            let Some(header) = header else { return Ok(()) };
            match fact().ok_or(Reason::CertificateMalformed)? {
                Some(value) if value.len() > LONGEST => return Err(Reason::CertificateTooLarge),
                Some(value) if !value.is_empty() => edits.push(Edit::set(header.as_str(), value)),
                _ => {}
            }
            Ok(())
        };
        let fields = || ToBeSigned::of_certificate(certificate.der());
        set(&self.subject, &|| Some(Some(name(fields()?.subject)?)))?;
        set(&self.issuer, &|| Some(Some(name(fields()?.issuer)?)))?;
        set(&self.serial_number, &|| Some(Some(serial_number(fields()?.serial_number)?)))?;
        set(&self.not_before, &|| Some(Some(certificate.dates()?.0)))?;
        set(&self.not_after, &|| Some(Some(certificate.dates()?.1)))?;
        let listed = |of_kind: &dyn Fn(&SubjectAlternativeName) -> Option<String>| {
            let names = alternative_names(fields()?.rest)?;
            let texts: Vec<_> = names.iter().filter_map(of_kind).map(|text| item(&text)).collect();
            Some(Some(texts.join(",")))
        };
        set(&self.san_dns, &|| {
            listed(&|name| if let SubjectAlternativeName::Dns(text) = name { Some(text.clone()) } else { None })
        })?;
        set(&self.san_uri, &|| {
            listed(&|name| if let SubjectAlternativeName::Uri(text) = name { Some(text.clone()) } else { None })
        })?;
        set(&self.san_ip, &|| {
            listed(&|name| {
                if let SubjectAlternativeName::Ip(address) = name { Some(address.to_string()) } else { None }
            })
        })?;
        set(&self.san_email, &|| {
            listed(&|name| if let SubjectAlternativeName::Email(text) = name { Some(text.clone()) } else { None })
        })?;
        set(&self.x5t_s256, &|| Some(Some(certificate.thumbprint().to_string())))?;
        set(&self.sha256, &|| Some(Some(certificate.thumbprint().hex())))?;
        Ok(edits)
    }
}

/// A name in the string form of RFC 4514, in ASCII. Control characters are already escaped in that form.
fn name(der: &[u8]) -> Option<String> {
    let text = DistinguishedName::from_der(der)?.to_string();
    let mut ascii = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_ascii() {
            ascii.push(character);
        } else {
            let pairs =
                character.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("\\{byte:02X}")).collect::<String>();
            ascii.push_str(&pairs);
        }
    }
    Some(ascii)
}

/// A serial number in hexadecimal digits; `None` if it is not positive (RFC 5280 §4.1.2.2).
fn serial_number(der: &[u8]) -> Option<String> {
    let contents = Element::only(der)?.contents;
    contents.first().is_some_and(|first| *first < 0x80).then(|| serial_number::hexadecimal(contents))
}

fn item(text: &str) -> String {
    let mut item = String::with_capacity(text.len());
    percent::encode(text, &mut item, |byte| byte.is_ascii_graphic() && !matches!(byte, b',' | b'%'));
    item
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_can_end_a_list_or_a_header() {
        assert_eq!(item("https://a/b?c=1,2%2C\r\nX: y"), "https://a/b?c=1%2C2%252C%0D%0AX:%20y");
        // CN=Zoë and a line end, as a UTF8String.
        let der = b"\x30\x12\x31\x10\x30\x0e\x06\x03\x55\x04\x03\x0c\x07Zo\xc3\xab\r\na";
        assert_eq!(name(der).unwrap(), "CN=Zo\\C3\\AB\\0D\\0Aa");
        assert_eq!(serial_number(b"\x02\x02\x00\x80").unwrap(), "80");
        assert_eq!(serial_number(b"\x02\x01\xff"), None);
    }
}
