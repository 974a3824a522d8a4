// SPDX-License-Identifier: Apache-2.0

//! The one name by which a client of `tls_client_auth` is registered (RFC 8705 §2.1.2).

use std::net::IpAddr;

use crate::certificate::distinguished_name::DistinguishedName;
use crate::certificate::names::Names;
use crate::certificate::registered_name::{NameMatching, RegisteredName};
use crate::certificate::subject_alternative_name::{SubjectAlternativeName, check_dns, check_email, check_uri};

/// A registered name. It is compared only with names of its own kind. There are no wildcards, and a common name is not taken
/// for a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// `tls_client_auth_subject_dn`.
    DistinguishedName(RegisteredName),
    /// `tls_client_auth_san_dns`: ASCII letters in any case.
    Dns(String),
    /// `tls_client_auth_san_uri`: the scheme and the host in any case, all else exactly.
    Uri(String),
    /// `tls_client_auth_san_ip`, compared in binary: an IPv4 address does not equal its IPv4-mapped IPv6 address.
    Ip(IpAddr),
    /// `tls_client_auth_san_email`: the part before `@` exactly, the host in any case (RFC 5280 §7.5).
    Email(String),
}

impl Subject {
    /// Reads `tls_client_auth_subject_dn`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn distinguished_name(text: &str, matching: NameMatching) -> Result<Self, String> {
        RegisteredName::parse(text, matching).map(Self::DistinguishedName)
    }

    /// Reads `tls_client_auth_san_dns`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn dns(text: &str) -> Result<Self, String> {
        check_dns(visible(text)?)?;
        Ok(Self::Dns(text.to_ascii_lowercase()))
    }

    /// Reads `tls_client_auth_san_uri`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn uri(text: &str) -> Result<Self, String> {
        check_uri(visible(text)?)?;
        folded_uri(text).map(Self::Uri).ok_or_else(|| "a URI begins with a scheme and a colon".to_owned())
    }

    /// Reads `tls_client_auth_san_ip`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn ip(text: &str) -> Result<Self, String> {
        text.parse().map(Self::Ip).map_err(|_| "this is no IPv4 or IPv6 address".to_owned())
    }

    /// Reads `tls_client_auth_san_email`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn email(text: &str) -> Result<Self, String> {
        check_email(visible(text)?)?;
        folded_email(text).map(Self::Email).ok_or_else(|| "a mail address has an @ between two parts".to_owned())
    }

    /// Whether a certificate has this name; it may have others, too.
    #[must_use]
    pub fn is_in(&self, names: &Names) -> bool {
        let any = |is: &dyn Fn(&SubjectAlternativeName) -> bool| names.subject_alternative_names.iter().any(is);
        match self {
            Self::DistinguishedName(own) => own.is(&names.subject),
            Self::Dns(own) => {
                any(&|name| matches!(name, SubjectAlternativeName::Dns(name) if name.eq_ignore_ascii_case(own)))
            }
            Self::Uri(own) => {
                any(&|name| matches!(name, SubjectAlternativeName::Uri(name) if folded_uri(name).as_ref() == Some(own)))
            }
            Self::Ip(own) => any(&|name| matches!(name, SubjectAlternativeName::Ip(name) if name == own)),
            Self::Email(own) => any(
                &|name| matches!(name, SubjectAlternativeName::Email(name) if folded_email(name).as_ref() == Some(own)),
            ),
        }
    }
}

impl Subject {
    /// What the certificate has in its place, for the operator.
    pub(crate) fn in_place(&self, names: &Names) -> String {
        if let Self::DistinguishedName(own) = self {
            return name_in_place("subject", own, &names.subject);
        }
        if names.subject_alternative_names.is_empty() {
            return "the certificate has no subjectAltName that can be read".to_owned();
        }
        let alternatives: Vec<_> = names.subject_alternative_names.iter().take(8).map(ToString::to_string).collect();
        format!("the subjectAltName of the certificate has {:.512}", alternatives.join(", "))
    }
}

/// Another name in a certificate than the registered one, and whether it is one in another order.
pub(crate) fn name_in_place(what: &str, own: &RegisteredName, name: &DistinguishedName) -> String {
    let order = match own.has_parts_of(name) {
        true => ", the same parts in another order: `subject_dn_matching: unordered` would match",
        false => "",
    };
    format!("the {what} of the certificate is {:.512}{order}", name.to_string())
}

/// Refuses a text that has other than visible ASCII characters (RFC 5280 §7 demands A-labels and percent-encoded URIs).
fn visible(text: &str) -> Result<&str, String> {
    let is_visible = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_visible
        .then_some(text)
        .ok_or_else(|| "this must be one or more visible ASCII characters, without spaces".to_owned())
}

/// A URI with its scheme and its host in lower case (RFC 3986 §6.2.2.1); `None` if it has no scheme.
fn folded_uri(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once(':')?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    if !is_scheme {
        return None;
    }
    let scheme = scheme.to_ascii_lowercase();
    let Some(rest) = rest.strip_prefix("//") else { return Some(format!("{scheme}:{rest}")) };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at_checked(end)?;
    let (before, host) =
        authority.rfind('@').and_then(|at| authority.split_at_checked(at.saturating_add(1))).unwrap_or(("", authority));
    // The port has digits only, which have no case.
    Some(format!("{scheme}://{before}{}{rest}", host.to_ascii_lowercase()))
}

/// A mail address with its host in lower case; `None` unless there is an @ between two parts.
fn folded_email(email: &str) -> Option<String> {
    let (local, host) = email.rsplit_once('@').filter(|(local, host)| !local.is_empty() && !host.is_empty())?;
    Some(format!("{local}@{}", host.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_the_label_of_a_tool_or_of_another_kind_is_refused_since_no_certificate_has_it() {
        assert_eq!(
            Subject::dns("DNS:client.example.org").unwrap_err(),
            "\"DNS:\" is a label, not a part of the name: write client.example.org"
        );
        for wrong in [
            "dns:a",
            "https://a.example",
            "a.example:443",
            "a.example/",
            "a@b.example",
            "a.example,b.example",
            "dNSName=a",
        ] {
            assert!(Subject::dns(wrong).is_err(), "{wrong}");
        }
        for wrong in ["URI:urn:client", "uri:https://a.example/", "a.example"] {
            assert!(Subject::uri(wrong).is_err(), "{wrong}");
        }
        for wrong in [
            "email:a@b.example",
            "mailto:a@b.example",
            "<a@b.example>",
            "a@b.example,c@d.example",
            "rfc822Name=a@b.example",
        ] {
            assert!(Subject::email(wrong).is_err(), "{wrong}");
        }
        for wrong in ["IP:192.0.2.1", "192.0.2.1/32", "192.0.2.1:443", "[2001:db8::1]"] {
            assert!(Subject::ip(wrong).is_err(), "{wrong}");
        }
        assert!(Subject::dns("*.a_b.example").is_ok() && Subject::uri("urn:a:b").is_ok());
        assert!(Subject::email("\"a:b,<c>\"@d.example").is_ok() && Subject::email("a+b/c@[192.0.2.1]").is_ok());
    }

    #[test]
    fn a_uri_has_a_scheme_and_a_mail_address_an_at_between_two_parts() {
        for text in ["a", ":a", "1a://b", "a_b://c", "-a:b", "a%:b"] {
            assert!(Subject::uri(text).is_err(), "{text}");
        }
        for text in ["a:", "a1+-.:b", "https://a"] {
            assert!(Subject::uri(text).is_ok(), "{text}");
        }
        for text in ["a", "@", "a@", "@a"] {
            assert!(Subject::email(text).is_err(), "{text}");
        }
        assert_eq!(Subject::email("\"a@b\"@C"), Ok(Subject::Email("\"a@b\"@c".to_owned())));
    }

    #[test]
    fn the_name_of_another_certificate_is_told_and_whether_it_is_one_in_another_order() {
        let subject =
            b"\x30\x19\x31\x0b\x30\x09\x06\x03\x55\x04\x06\x13\x02JP\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01a";
        let name = DistinguishedName::from_der(subject).unwrap();
        let names = Names { subject: name.clone(), issuer: name, subject_alternative_names: Vec::new() };
        for mode in [NameMatching::Rfc4517, NameMatching::Exact] {
            let registered = |text| Subject::distinguished_name(text, mode).unwrap();
            assert!(registered("CN=a,C=JP").is_in(&names));
            assert!(!registered("C=JP,CN=a").is_in(&names));
            assert_eq!(
                registered("C=JP,CN=a").in_place(&names),
                "the subject of the certificate is CN=a,C=JP, the same parts in another order: `subject_dn_matching: unordered` \
                 would match"
            );
            assert_eq!(registered("CN=b,C=JP").in_place(&names), "the subject of the certificate is CN=a,C=JP");
        }
        assert_eq!(
            Subject::dns("a").unwrap().in_place(&names),
            "the certificate has no subjectAltName that can be read"
        );
    }
}
