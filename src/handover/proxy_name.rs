// SPDX-License-Identifier: Apache-2.0

//! The name in the certificate of another proxy.

use std::fmt;

use serde::Deserialize;

use crate::certificate::Certificate;
use crate::certificate::names::Names;
use crate::certificate::subject_alternative_name::{SubjectAlternativeName, check_dns, check_uri};
use crate::certificate::thumbprint::Thumbprint;
#[cfg(not(target_arch = "wasm32"))]
use crate::config::shape;
use crate::http::connection::Connection;
use crate::reason::Reason;
use crate::text::https_url::redacted;

/// A subject alternative name of a proxy's certificate, in full and without wildcards.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Fields")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "Fields"))]
pub struct ProxyName(SubjectAlternativeName);

/// A subject alternative name of a proxy's certificate, in full and without wildcards.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "ProxyName", transform = shape::dns_or_uri))]
struct Fields {
    /// A DNS name.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(regex(pattern = r"^[!-)+-~]+$")))]
    dns: Option<String>,
    /// A URI, as of SPIFFE.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(regex(pattern = r"^[!-~]+$")))]
    uri: Option<String>,
}

impl TryFrom<Fields> for ProxyName {
    type Error = String;

    fn try_from(Fields { dns, uri }: Fields) -> Result<Self, Self::Error> {
        Self::new(dns, uri)
    }
}

impl ProxyName {
    /// A name of one of these kinds.
    ///
    /// # Errors
    /// The sentence an operator reads.
    pub fn new(dns: Option<String>, uri: Option<String>) -> Result<Self, String> {
        let is_visible = |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        match (dns, uri) {
            (Some(dns), None) if is_visible(&dns) && !dns.contains('*') => {
                check_dns(&dns).map_err(|wrong| format!("`dns`: {wrong}"))?;
                Ok(Self(SubjectAlternativeName::Dns(dns)))
            }
            (Some(_), None) => Err("`dns` is one name in visible ASCII, without wildcards".to_owned()),
            (None, Some(uri)) if is_visible(&uri) => {
                check_uri(&uri).map_err(|wrong| format!("`uri`: {wrong}"))?;
                Ok(Self(SubjectAlternativeName::Uri(uri)))
            }
            (None, Some(_)) => Err("`uri` is one URI in visible ASCII".to_owned()),
            _ => Err("a name is exactly one of `dns` and `uri`".to_owned()),
        }
    }

    /// Whether the certificate has it.
    #[must_use]
    pub fn is_of(&self, certificate: &Certificate) -> bool {
        Names::of(certificate).is_some_and(|names| self.is_among(&names))
    }

    /// Whether it is one of these names.
    pub(crate) fn is_among(&self, names: &Names) -> bool {
        names.subject_alternative_names.iter().any(|own| match (own, &self.0) {
            (SubjectAlternativeName::Dns(own), SubjectAlternativeName::Dns(name)) => own.eq_ignore_ascii_case(name),
            (own, name) => own == name,
        })
    }
}

/// The names in the certificate of a connection; `None` if it cannot be read as one.
pub(super) fn names_of_connection(
    presented: &Thumbprint,
    connection: &dyn Connection,
) -> Result<Option<Names>, Reason> {
    let pem = connection.certificate().ok_or(Reason::CertificateUnavailable)?;
    Ok(Names::of(&Certificate::of_connection(&pem, presented)?))
}

impl fmt::Display for ProxyName {
    /// Without what a URI may hold of a secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        redacted(&self.0.to_string()).fmt(formatter)
    }
}
