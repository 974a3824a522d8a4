// SPDX-License-Identifier: Apache-2.0

//! Another TLS terminator in front of this proxy: the client's certificate is the one that it names in a header, once it
//! has proved to be that terminator. From anybody else such a header is a forgery.

use serde::Deserialize;

use crate::certificate::Certificate;
use crate::certificate::names::Names;
use crate::certificate::subject_alternative_name::{SubjectAlternativeName, check_dns, check_uri};
use crate::certificate::thumbprint::Thumbprint;
use crate::config::secret::{Environment, Secret};
#[cfg(not(target_arch = "wasm32"))]
use crate::config::shape;
use crate::handover::chain::Chain;
use crate::handover::encoding::Encoding;
use crate::handover::reader::{self, Read};
use crate::http::connection::Connection;
use crate::http::header_name::{HeaderName, OwnName, are_twins};
use crate::http::request::Request;
use crate::outcome::forward::SanitizedHeaders;
use crate::outcome::refusal::Refusal;
use crate::reason::Reason;
#[cfg(not(target_arch = "wasm32"))]
use crate::text::https_url;

/// The certificate of each connection is compared with them.
const MOST_CERTIFICATES: usize = 32;

/// Where the client's certificate comes from behind another terminator.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Fields")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "Fields"))]
pub(crate) struct Source {
    header: HeaderName,
    encoding: Encoding,
    chain_header: Option<HeaderName>,
    proof: Proof,
    verified: Option<Verified>,
}

/// The client's certificate is the one that a TLS terminator in front names in a header. From a sender that does not prove
/// to be this terminator the header does not count, and no certificate of the connection does either: its client presented
/// none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "ClientCertificateSource", transform = shape::chain_in_structured_fields))]
struct Fields {
    /// The header with the certificate. The terminator must set or remove it on every request.
    header: HeaderName,
    /// How the certificate is written. From `sha256_hex` and `x5t_s256` its thumbprint alone is learnt, which is enough in
    /// front of an API.
    encoding: Encoding,
    /// The header with the certificates behind it: for `sf_binary` as `Client-Cert-Chain` has them (RFC 9440 §2.3), for `der_base64` in
    /// one piece, as HAProxy's `ssl_c_chain_der` has them.
    chain_header: Option<HeaderName>,
    /// By what the terminator proves to be itself.
    proof: Proof,
    /// The header in which the terminator says that it validated the chain.
    verified: Option<Verified>,
}

/// By what the terminator proves to be itself: exactly one of these.
#[derive(Debug, Deserialize)]
#[serde(try_from = "ProofFields")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "ProofFields"))]
enum Proof {
    /// Its own certificate on this connection.
    Certificates(Vec<Thumbprint>),
    /// A name in its own certificate on this connection.
    Name(Name),
    /// A secret that nobody else has.
    Secret(HeaderName, Secret),
}

/// By what the terminator proves to be itself: its certificate, a name in it, or a secret.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "TerminatorProof", transform = shape::one_proof))]
struct ProofFields {
    /// The certificates that it may present on its connections to this proxy, by their SHA-256: `x5t#S256` or hexadecimal
    /// digits.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1, max = MOST_CERTIFICATES)))]
    terminator_certificates: Option<Vec<Thumbprint>>,
    /// A name in the certificate that it presents.
    terminator_san: Option<Name>,
    /// The header with a secret that it sets on every request.
    secret_header: Option<HeaderName>,
    /// That secret.
    secret: Option<Secret>,
}

/// A subject alternative name of the terminator's certificate, in full and without wildcards.
#[derive(Debug, Deserialize)]
#[serde(try_from = "NameFields")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "NameFields"))]
struct Name {
    name: SubjectAlternativeName,
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

/// The header in which the terminator says that it validated the chain.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "TerminatorVerified"))]
struct Verified {
    /// The header. The terminator must set or remove it on every request.
    header: HeaderName,
    /// Its one value that says so, exactly: `SUCCESS` of nginx and Apache.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1)))]
    value: String,
}

/// The client's certificate as the terminator names it.
#[derive(Debug)]
pub(crate) struct Terminated {
    pub(crate) thumbprint: Thumbprint,
    /// `None` where it names the thumbprint alone.
    pub(crate) certificate: Option<Certificate>,
    pub(crate) chain: Chain,
    /// The text that the chain was read from.
    pub(crate) chain_source: Option<Vec<u8>>,
    /// Whether the terminator says that it validated the chain.
    pub(crate) validated: bool,
}

/// What the headers of a request say, once the forged ones are known.
#[derive(Debug)]
pub(crate) struct Received {
    /// The headers as they may be forwarded.
    pub(crate) cleaned: SanitizedHeaders,
    /// The client's certificate, if a terminator sent it.
    pub(crate) terminated: Option<Terminated>,
}

/// Whether the sender of a request proved to be the terminator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    Terminator,
    Anybody,
}

impl TryFrom<Fields> for Source {
    type Error = &'static str;

    fn try_from(fields: Fields) -> Result<Self, Self::Error> {
        let Fields { header, encoding, chain_header, proof, verified } = fields;
        if chain_header.is_some() && !matches!(encoding, Encoding::SfBinary | Encoding::DerBase64) {
            return Err(
                "`chain_header` is for the encodings sf_binary (RFC 9440 §2.3) and der_base64; xfcc has its chain in its header",
            );
        }
        if verified.as_ref().is_some_and(|verified| verified.value.trim_ascii() != verified.value) {
            return Err("the value of `verified` has white space at an end, which no header has");
        }
        if verified.as_ref().is_some_and(|verified| verified.value.is_empty()) {
            return Err("the value of `verified` is empty");
        }
        let source = Self { header, encoding, chain_header, proof, verified };
        let names: Vec<_> = source.headers().collect();
        let is_twice = |(place, name): (usize, &&str)| names.iter().take(place).any(|earlier| are_twins(earlier, name));
        if names.iter().enumerate().any(is_twice) {
            return Err("header, chain_header, secret_header and the header of `verified` must be different headers");
        }
        Ok(source)
    }
}

impl TryFrom<ProofFields> for Proof {
    type Error = String;

    fn try_from(fields: ProofFields) -> Result<Self, String> {
        let ProofFields { terminator_certificates, terminator_san, secret_header, secret } = fields;
        match (terminator_certificates, terminator_san, secret_header, secret) {
            (Some(certificates), None, None, None) if (1..=MOST_CERTIFICATES).contains(&certificates.len()) => {
                Ok(Self::Certificates(certificates))
            }
            (Some(_), None, None, None) => {
                Err(format!("`terminator_certificates` has 1 to {MOST_CERTIFICATES} certificates"))
            }
            (None, Some(name), None, None) => Ok(Self::Name(name)),
            (None, None, Some(header), Some(secret)) => Ok(Self::Secret(header, secret)),
            _ => Err(
                "a proof is exactly one of terminator_certificates, terminator_san, and secret_header with its secret"
                    .to_owned(),
            ),
        }
    }
}

impl TryFrom<NameFields> for Name {
    type Error = String;

    fn try_from(NameFields { dns, uri, chain }: NameFields) -> Result<Self, String> {
        let is_visible = |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        let name = match (dns, uri) {
            (Some(dns), None) if is_visible(&dns) && !dns.contains('*') => {
                check_dns(&dns).map_err(|wrong| format!("`dns`: {wrong}"))?;
                SubjectAlternativeName::Dns(dns)
            }
            (Some(_), None) => return Err("`dns` is one name in visible ASCII, without wildcards".to_owned()),
            (None, Some(uri)) if is_visible(&uri) => {
                check_uri(&uri).map_err(|wrong| format!("`uri`: {wrong}"))?;
                SubjectAlternativeName::Uri(uri)
            }
            (None, Some(_)) => return Err("`uri` is one URI in visible ASCII".to_owned()),
            _ => return Err("`terminator_san` is exactly one of `dns` and `uri`".to_owned()),
        };
        Ok(Self { name, chain })
    }
}

impl Name {
    /// Whether the certificate of the connection has it, and its chain was validated.
    fn is_proved(&self, presented: &Thumbprint, connection: &dyn Connection) -> Result<bool, Reason> {
        if self.chain == TerminatorChain::Validated
            && !connection.is_chain_validated().ok_or(Reason::ChainValidationUnavailable)?
        {
            return Ok(false);
        }
        let pem = connection.certificate().ok_or(Reason::CertificateUnavailable)?;
        Ok(self.is_in(&Certificate::of_connection(&pem, presented)?))
    }

    fn is_in(&self, certificate: &Certificate) -> bool {
        let Some(names) = Names::of(certificate) else { return false };
        names.subject_alternative_names.iter().any(|own| match (own, &self.name) {
            (SubjectAlternativeName::Dns(own), SubjectAlternativeName::Dns(name)) => own.eq_ignore_ascii_case(name),
            (own, name) => own == name,
        })
    }
}

impl Source {
    /// Every header that it reads.
    fn headers(&self) -> impl Iterator<Item = &str> {
        let secret = match &self.proof {
            Proof::Secret(header, _) => Some(header),
            Proof::Certificates(_) | Proof::Name(_) => None,
        };
        let verified = self.verified.as_ref().map(|verified| &verified.header);
        let all = [Some(&self.header), self.chain_header.as_ref(), verified, secret];
        all.into_iter().flatten().map(HeaderName::as_str)
    }

    /// The names of these headers.
    pub(crate) fn names(&self) -> impl Iterator<Item = OwnName> {
        self.headers().map(|header| OwnName::Exactly(header.to_owned()))
    }

    /// Whether it reads a header of this name.
    pub(crate) fn reads(&self, name: &str) -> bool {
        self.headers().any(|header| header.eq_ignore_ascii_case(name))
    }

    /// Takes the secret from the environment.
    pub(crate) fn resolve(&mut self, environment: Environment<'_>) -> Result<(), String> {
        match &mut self.proof {
            Proof::Secret(_, secret) => secret.resolve(environment),
            Proof::Certificates(_) | Proof::Name(_) => Ok(()),
        }
    }

    /// Whether nothing but the thumbprint is learnt.
    pub(crate) fn is_digest(&self) -> bool {
        self.encoding.is_digest()
    }

    /// Whether it reads a chain, in the certificate's own header or in another.
    pub(crate) fn has_chain(&self) -> bool {
        self.chain_header.is_some() || !matches!(self.encoding, Encoding::SfBinary)
    }

    /// Whether the terminator says that it validated the chain.
    pub(crate) fn says_verified(&self) -> bool {
        self.verified.is_some()
    }

    /// Whether the terminator proves itself by its certificate, which the listener must ask for then.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn needs_certificate(&self) -> bool {
        !matches!(self.proof, Proof::Secret(..))
    }

    /// Whether the proof counts on a listener that refuses what it cannot validate.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn counts_on_listener(&self) -> bool {
        matches!(&self.proof, Proof::Name(Name { chain: TerminatorChain::ValidatedByListener, .. }))
    }

    /// Whether the proof counts on Envoy's word for a connection.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn asks_for_validation(&self) -> bool {
        matches!(&self.proof, Proof::Name(Name { chain: TerminatorChain::Validated, .. }))
    }

    /// The header with the certificate.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn header(&self) -> &str {
        self.header.as_str()
    }

    /// Who sent a request.
    ///
    /// # Errors
    /// Where the host does not say of its connection what the proof needs.
    pub(crate) fn sender(&self, request: &Request<'_>, connection: &dyn Connection) -> Result<Sender, Reason> {
        let is_terminator = match &self.proof {
            Proof::Secret(header, secret) => {
                only(request, header).is_some_and(|value| is_secret(value, secret.value().as_bytes()))
            }
            Proof::Certificates(own) => request.presented()?.is_some_and(|presented| own.contains(&presented)),
            Proof::Name(name) => match request.presented()? {
                Some(presented) => name.is_proved(&presented, connection)?,
                None => false,
            },
        };
        Ok(if is_terminator { Sender::Terminator } else { Sender::Anybody })
    }

    /// What the terminator says of its client; `None` where that presented no certificate.
    ///
    /// # Errors
    /// [`Reason::ForwardedCertificateMalformed`] where its header is repeated, or has something else than one certificate in it.
    pub(crate) fn read(&self, request: &Request<'_>) -> Result<Option<Terminated>, Refusal> {
        let wrong = |header: &HeaderName, what: &str| {
            let detail =
                format!("the terminator's header {header} is not what {} has, once{what}", self.encoding.name());
            Refusal::because(Reason::ForwardedCertificateMalformed, detail)
        };
        let mut values = request.values(self.header.as_str());
        let value = match (values.next(), values.next()) {
            (None, _) => return Ok(None),
            (Some(value), None) if self.encoding.says_none(value) => return Ok(None),
            (Some(value), None) => value,
            (Some(_), Some(_)) => return Err(wrong(&self.header, ": it is there twice")),
        };
        let (thumbprint, certificate, in_header) = match self.encoding.read(value) {
            Some(Read::Thumbprint(thumbprint)) => (thumbprint, None, Chain::Unknown),
            Some(Read::Certificate(certificate, chain)) => (*certificate.thumbprint(), Some(certificate), chain),
            None => return Err(wrong(&self.header, &looks_like(value))),
        };
        let (chain, chain_source) = match &self.chain_header {
            Some(header) => {
                let values = request.values(header.as_str());
                let chain = match self.encoding {
                    Encoding::DerBase64 => reader::chain_in_one_piece(values),
                    _ => reader::chain_of_list(values),
                };
                (
                    chain.ok_or_else(|| wrong(header, ""))?,
                    Some(request.values(header.as_str()).collect::<Vec<_>>().join(&b',')),
                )
            }
            None if self.encoding == Encoding::Xfcc => (Chain::of_connection(value, &thumbprint), Some(value.to_vec())),
            None if in_header == Chain::Unknown => (Chain::Unknown, None),
            None => (in_header, Some(value.to_vec())),
        };
        let says = |verified: &Verified| only(request, &verified.header) == Some(verified.value.as_bytes());
        let validated = self.verified.as_ref().is_some_and(says);
        Ok(Some(Terminated { thumbprint, certificate, chain, chain_source, validated }))
    }

    /// What it does, in sentences.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn sentences(&self) -> Vec<String> {
        let proof = match &self.proof {
            Proof::Certificates(own) if own.len() == 1 => {
                "presents the one certificate of this configuration".to_owned()
            }
            Proof::Certificates(own) => format!("presents one of the {} certificates of this configuration", own.len()),
            Proof::Name(Name { name, chain }) => {
                let who = match chain {
                    TerminatorChain::Validated => "that Envoy validated",
                    TerminatorChain::ValidatedByListener => "that the listener must validate",
                };
                format!("presents a certificate for {} {who}", https_url::redacted(&name.to_string()))
            }
            Proof::Secret(header, secret) => {
                format!("sends {header} with the value of the environment variable {}", secret.variable())
            }
        };
        let mut sentences = vec![format!(
            "The client's certificate is the one in {} ({}), of a sender that {proof}; from any other sender there is none.",
            self.header,
            self.encoding.name(),
        )];
        if let Some(chain) = &self.chain_header {
            sentences.push(format!("The certificates behind it are in {chain}."));
        }
        if let Some(Verified { header, value }) = &self.verified {
            sentences.push(format!(
                "Its chain counts as validated where that sender says {header}: {}.",
                https_url::redacted(value)
            ));
        }
        sentences
    }
}

/// What an operator will want to know of a value that is not what it should be: its length, and which encoding reads it.
fn looks_like(value: &[u8]) -> String {
    let other = Encoding::ALL.iter().find(|encoding| encoding.read(value).is_some());
    let other = other.map(|encoding| format!(", which {} reads", encoding.name())).unwrap_or_default();
    format!(": it has {} bytes{other}", value.len())
}

/// The value of a header that is there once.
fn only<'r>(request: &Request<'r>, name: &HeaderName) -> Option<&'r [u8]> {
    let mut values = request.values(name.as_str());
    values.next().filter(|_| values.next().is_none())
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
