// SPDX-License-Identifier: Apache-2.0

//! By what a TLS terminator in front proves to be itself.

use serde::Deserialize;

use crate::certificate::names::Names;
use crate::certificate::thumbprint::Thumbprint;
use crate::config::one_or_many::OneOrMany;
use crate::config::secret::{Environment, Secret};
#[cfg(not(target_arch = "wasm32"))]
use crate::config::shape;
use crate::handover::proxy_name::{ProxyName, names_of_connection};
use crate::http::connection::Connection;
use crate::http::header_name::HeaderName;
use crate::http::request::Request;
use crate::outcome::no_certificate::NoCertificate;
use crate::reason::Reason;
#[cfg(not(target_arch = "wasm32"))]
use crate::text::list::listed;

/// The certificate of each connection is compared with them.
const MOST_CERTIFICATES: usize = 32;

/// The names in the certificate of each connection are compared with them.
const MOST_NAMES: usize = 32;

/// By what the terminator proves to be itself: exactly one of these.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Fields")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "Fields"))]
pub(super) enum Proof {
    /// Its own certificate on this connection.
    Certificates(Vec<Thumbprint>),
    /// A name in its own certificate on this connection.
    Names(Vec<TerminatorName>),
    /// A secret that nobody else has.
    Secret(HeaderName, Secret),
}

/// By what the terminator proves to be itself: its certificate, a name in it, or a secret.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "TerminatorProof", transform = shape::one_proof))]
struct Fields {
    /// The certificates that it may present on its connections to this proxy, by their SHA-256: `x5t#S256` or hexadecimal
    /// digits.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1, max = MOST_CERTIFICATES)))]
    terminator_certificates: Option<Vec<Thumbprint>>,
    /// A name in the certificate that it presents, or a list of names, one for each terminator.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(extend("maxItems" = MOST_NAMES)))]
    terminator_san: Option<OneOrMany<TerminatorName>>,
    /// The header with a secret that it sets on every request.
    secret_header: Option<HeaderName>,
    /// That secret.
    secret: Option<Secret>,
}

/// A subject alternative name of the terminator's certificate, in full and without wildcards.
#[derive(Debug, Deserialize)]
#[serde(try_from = "NameFields")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "NameFields"))]
pub(super) struct TerminatorName {
    name: ProxyName,
    chain: TerminatorChain,
}

/// A subject alternative name of the terminator's certificate, in full and without wildcards.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "TerminatorName", transform = shape::dns_or_uri))]
struct NameFields {
    /// A DNS name.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(regex(pattern = r"^[!-)+-~]+$")))]
    dns: Option<String>,
    /// A URI, as of SPIFFE.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(regex(pattern = r"^[!-~]+$")))]
    uri: Option<String>,
    /// Who validated the chain of that certificate: anybody can make one with any name.
    #[serde(default)]
    chain: TerminatorChain,
}

/// Who validated the chain of the terminator's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema, serde::Serialize))]
enum TerminatorChain {
    /// Envoy, as it says of each connection (Envoy 1.39 or later). A resumed TLS session never counts as validated.
    #[default]
    Validated,
    /// The listener, as the operator states: its handshake fails for a certificate that does not chain up to its trusted
    /// CAs.
    ValidatedByListener,
}

impl TryFrom<Fields> for Proof {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let Fields { terminator_certificates, terminator_san, secret_header, secret } = fields;
        match (terminator_certificates, terminator_san, secret_header, secret) {
            (Some(certificates), None, None, None) if (1..=MOST_CERTIFICATES).contains(&certificates.len()) => {
                Ok(Self::Certificates(certificates))
            }
            (Some(_), None, None, None) => {
                Err(format!("`terminator_certificates` has 1 to {MOST_CERTIFICATES} certificates"))
            }
            (None, Some(OneOrMany(names)), None, None) if (1..=MOST_NAMES).contains(&names.len()) => {
                Ok(Self::Names(names))
            }
            (None, Some(_), None, None) => Err(format!("`terminator_san` has 1 to {MOST_NAMES} names")),
            (None, None, Some(header), Some(secret)) => Ok(Self::Secret(header, secret)),
            _ => Err(
                "a proof is exactly one of terminator_certificates, terminator_san, and secret_header with its secret"
                    .to_owned(),
            ),
        }
    }
}

impl TryFrom<NameFields> for TerminatorName {
    type Error = String;

    fn try_from(NameFields { dns, uri, chain }: NameFields) -> Result<Self, Self::Error> {
        Ok(Self { name: ProxyName::new(dns, uri)?, chain })
    }
}

impl Proof {
    /// The header with the secret.
    pub(super) fn secret_header(&self) -> Option<&HeaderName> {
        match self {
            Self::Secret(header, _) => Some(header),
            Self::Certificates(_) | Self::Names(_) => None,
        }
    }

    /// Takes the secret from the environment.
    pub(super) fn resolve(&mut self, environment: Environment<'_>) -> Result<(), String> {
        match self {
            Self::Secret(_, secret) => secret.resolve(environment),
            Self::Certificates(_) | Self::Names(_) => Ok(()),
        }
    }

    /// Whether it is a name whose chain is validated by `chain`.
    #[cfg(not(target_arch = "wasm32"))]
    fn has_name_validated_by(&self, chain: TerminatorChain) -> bool {
        matches!(self, Self::Names(names) if names.iter().any(|name| name.chain == chain))
    }

    /// Whether it counts on a listener that refuses what it cannot validate.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn counts_on_listener(&self) -> bool {
        self.has_name_validated_by(TerminatorChain::ValidatedByListener)
    }

    /// Whether it counts on Envoy's word for a connection.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn asks_for_validation(&self) -> bool {
        self.has_name_validated_by(TerminatorChain::Validated)
    }

    /// Whether this certificate is a terminator's by this proof.
    pub(super) fn is_of(&self, thumbprint: &Thumbprint, names: Option<&Names>) -> bool {
        match self {
            Self::Certificates(own) => own.contains(thumbprint),
            Self::Names(own) => names.is_some_and(|names| own.iter().any(|name| name.name.is_among(names))),
            Self::Secret(..) => false,
        }
    }

    /// Checks that the sender of a request is the terminator; the inner `Err` tells why it is not.
    ///
    /// # Errors
    /// Where the host does not say of its connection what the proof needs.
    pub(super) fn check(
        &self,
        request: &Request<'_>,
        connection: &dyn Connection,
    ) -> Result<Result<(), NoCertificate>, Reason> {
        let proved = |is_proved: bool| if is_proved { Ok(()) } else { Err(NoCertificate::SenderUnknown) };
        Ok(match self {
            Self::Secret(header, secret) => {
                let value = request.only(header.as_str());
                proved(value.is_some_and(|value| is_secret(value, secret.value().as_bytes())))
            }
            Self::Certificates(own) => proved(request.presented()?.is_some_and(|presented| own.contains(&presented))),
            Self::Names(names) => match request.presented()? {
                Some(presented) => named(names, &presented, connection)?,
                None => Err(NoCertificate::SenderUnknown),
            },
        })
    }

    /// What the sender does to prove it, as the end of a sentence.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn described(&self) -> String {
        match self {
            Self::Certificates(own) if own.len() == 1 => {
                "presents the one certificate of this configuration".to_owned()
            }
            Self::Certificates(own) => format!("presents one of the {} certificates of this configuration", own.len()),
            Self::Names(names) => {
                let described: Vec<_> = names.iter().map(TerminatorName::described).collect();
                let described: Vec<_> = described.iter().map(String::as_str).collect();
                format!("presents a certificate for {}", listed(&described, "or"))
            }
            Self::Secret(header, secret) => {
                format!("sends {header} with the value of the environment variable {}", secret.variable())
            }
        }
    }
}

impl TerminatorName {
    #[cfg(not(target_arch = "wasm32"))]
    fn described(&self) -> String {
        let who = match self.chain {
            TerminatorChain::Validated => "that Envoy validated",
            TerminatorChain::ValidatedByListener => "that the listener must validate",
        };
        format!("{} {who}", self.name)
    }
}

/// Whether the certificate of the connection has one of these names, and its chain was validated as that name demands.
fn named(
    own: &[TerminatorName],
    presented: &Thumbprint,
    connection: &dyn Connection,
) -> Result<Result<(), NoCertificate>, Reason> {
    let names = names_of_connection(presented, connection)?;
    let found = |own: &&TerminatorName| names.as_ref().is_some_and(|names| own.name.is_among(names));
    let mut found = own.iter().filter(found).peekable();
    if found.peek().is_none() {
        return Ok(Err(NoCertificate::SenderUnknown));
    }
    if found.any(|name| name.chain == TerminatorChain::ValidatedByListener) {
        return Ok(Ok(()));
    }
    let is_validated = connection.is_chain_validated().ok_or(Reason::ChainValidationUnavailable)?;
    Ok(if is_validated { Ok(()) } else { Err(NoCertificate::TerminatorNotValidated) })
}

/// Compares without telling by the time it takes how much is right; only the length can be measured.
fn is_secret(value: &[u8], secret: &[u8]) -> bool {
    let differs =
        value.iter().zip(secret).fold(0, |differs, (one, other)| std::hint::black_box(differs | (one ^ other)));
    value.len() == secret.len() && differs == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_compared_whole() {
        assert!(is_secret(b"0p3n", b"0p3n"));
        for wrong in [&b""[..], b"0p3", b"0p3nn", b"0p3m", b"1p3n"] {
            assert!(!is_secret(wrong, b"0p3n"), "{wrong:?}");
        }
    }
}
