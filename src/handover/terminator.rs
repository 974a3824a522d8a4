// SPDX-License-Identifier: Apache-2.0

//! Another TLS terminator in front of this proxy: the client's certificate is the one that it names in a header, once it
//! has proved to be that terminator. From anybody else such a header is a forgery.

use serde::Deserialize;

use crate::certificate::Certificate;
use crate::certificate::names::Names;
use crate::certificate::thumbprint::Thumbprint;
use crate::config::secret::Environment;
#[cfg(not(target_arch = "wasm32"))]
use crate::config::shape;
use crate::handover::chain::Chain;
use crate::handover::encoding::Encoding;
use crate::handover::proof::Proof;
use crate::handover::proxy_name::ProxyName;
use crate::handover::reader::{self, Read};
use crate::handover::xfcc;
use crate::http::connection::Connection;
use crate::http::header_name::{HeaderName, OwnName, are_twins};
use crate::http::request::Request;
use crate::outcome::forward::SanitizedHeaders;
use crate::outcome::no_certificate::NoCertificate;
use crate::outcome::refusal::Refusal;
use crate::reason::Reason;
#[cfg(not(target_arch = "wasm32"))]
use crate::text::https_url;

/// Each wrote an element into every header.
const MOST_HOPS: usize = 8;

/// Where the client's certificate comes from behind another terminator.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Fields")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "Fields"))]
pub(crate) struct Source {
    header: HeaderName,
    encoding: Encoding,
    chain_header: Option<HeaderName>,
    proof: Proof,
    hops: Vec<ProxyName>,
    from_others: FromOthers,
    verified: Option<Verified>,
}

/// The client's certificate is the one that a TLS terminator in front names in a header. From a sender that does not prove
/// to be this terminator the header does not count. Nor does a certificate of the connection, unless `from_others` says so.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "ClientCertificateSource", transform = shape::one_source))]
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
    /// The proxies between that terminator and the client, the nearest first, for `xfcc`: the header has an element about
    /// each, which is taken away.
    #[serde(default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(max = MOST_HOPS)))]
    hops: Vec<ProxyName>,
    /// Which certificate a sender has that does not prove to be the terminator.
    #[serde(default)]
    from_others: FromOthers,
    /// The header in which the terminator says that it validated the chain.
    verified: Option<Verified>,
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
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// The headers as they may be forwarded.
    pub(crate) cleaned: SanitizedHeaders,
    /// The client's certificate, if a terminator sent it.
    pub(crate) terminated: Option<Terminated>,
    /// Why a certificate does not count that is there.
    pub(crate) why_none: Option<NoCertificate>,
}

/// Which certificate a sender has that does not prove to be the terminator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema, serde::Serialize))]
enum FromOthers {
    /// None.
    #[default]
    None,
    /// That of the connection, as without a terminator: for callers in a mesh, which are held to their own. One that is a
    /// terminator's by its name does not count.
    Connection,
}

impl TryFrom<Fields> for Source {
    type Error = &'static str;

    fn try_from(fields: Fields) -> Result<Self, Self::Error> {
        let Fields { header, encoding, chain_header, proof, hops, from_others, verified } = fields;
        if !hops.is_empty() && encoding != Encoding::Xfcc {
            return Err("`hops` are for the encoding xfcc, in which each proxy writes an element of its own");
        }
        if hops.len() > MOST_HOPS {
            return Err("there are too many `hops`: 8 at most");
        }
        if from_others == FromOthers::Connection && proof.secret_header().is_some() {
            return Err(
                "`from_others: connection` is for a proof by the terminator's certificate: beside a secret the \
                 terminator's own certificate would count as a client's",
            );
        }
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
        let source = Self { header, encoding, chain_header, proof, hops, from_others, verified };
        let names: Vec<_> = source.headers().collect();
        let is_twice = |(place, name): (usize, &&str)| names.iter().take(place).any(|earlier| are_twins(earlier, name));
        if names.iter().enumerate().any(is_twice) {
            return Err("header, chain_header, secret_header and the header of `verified` must be different headers");
        }
        Ok(source)
    }
}

impl Source {
    /// Every header that it reads.
    fn headers(&self) -> impl Iterator<Item = &str> {
        let secret = self.proof.secret_header();
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
        self.proof.resolve(environment)
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
        self.proof.secret_header().is_none()
    }

    /// Whether the proof counts on a listener that refuses what it cannot validate.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn counts_on_listener(&self) -> bool {
        self.proof.counts_on_listener()
    }

    /// Whether the proof counts on Envoy's word for a connection.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn asks_for_validation(&self) -> bool {
        self.proof.asks_for_validation()
    }

    /// The header with the certificate.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn header(&self) -> &str {
        self.header.as_str()
    }

    /// Checks that the sender of a request is the terminator; the inner `Err` tells why it is not.
    ///
    /// # Errors
    /// Where the host does not say of its connection what the proof needs.
    pub(super) fn check_sender(
        &self,
        request: &Request<'_>,
        connection: &dyn Connection,
    ) -> Result<Result<(), NoCertificate>, Reason> {
        self.proof.check(request, connection)
    }

    /// Whether the connection's certificate counts where the sender does not prove to be the terminator.
    pub(super) fn counts_others(&self) -> bool {
        self.from_others == FromOthers::Connection
    }

    /// Whether a certificate is a terminator's own, by what it has to prove or by the name of a hop.
    pub(super) fn is_terminators(&self, thumbprint: &Thumbprint, names: Option<&Names>) -> bool {
        let is_hop = |hop: &ProxyName| names.is_some_and(|names| hop.is_among(names));
        self.proof.is_of(thumbprint, names) || self.hops.iter().any(is_hop)
    }

    /// What the terminator says of its client; `None` where that presented no certificate.
    ///
    /// # Errors
    /// [`Reason::ForwardedCertificateMalformed`] where its header is repeated, or has something else than one certificate in it.
    pub(super) fn read(&self, request: &Request<'_>) -> Result<Option<Terminated>, Refusal> {
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
        let read = match self.encoding {
            Encoding::Xfcc => xfcc::client(value, request.presented()?.as_ref(), &self.hops)
                .map(|client| client.map(|certificate| Read::Certificate(certificate, Chain::Unknown))),
            encoding => encoding.read(value).map(Some).ok_or_else(|| looks_like(value)),
        };
        let read = match read.map_err(|what| wrong(&self.header, &format!(": {what}")))? {
            None => return Ok(None),
            Some(read) => read,
        };
        let (thumbprint, certificate, in_header) = match read {
            Read::Thumbprint(thumbprint) => (thumbprint, None, Chain::Unknown),
            Read::Certificate(certificate, chain) => (*certificate.thumbprint(), Some(certificate), chain),
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
        let says = |verified: &Verified| request.only(verified.header.as_str()) == Some(verified.value.as_bytes());
        let validated = self.verified.as_ref().is_some_and(says);
        Ok(Some(Terminated { thumbprint, certificate, chain, chain_source, validated }))
    }

    /// What it does, in sentences.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn sentences(&self) -> Vec<String> {
        let others = match self.from_others {
            FromOthers::None => "from any other sender there is none",
            FromOthers::Connection => "any other sender's is that of its connection, unless it is a terminator's",
        };
        let mut sentences = vec![format!(
            "The client's certificate is the one in {} ({}), of a sender that {}; {others}.",
            self.header,
            self.encoding.name(),
            self.proof.described(),
        )];
        if !self.hops.is_empty() {
            let hops: Vec<_> = self.hops.iter().map(ToString::to_string).collect();
            sentences
                .push(format!("Between that sender and the client there must be {}.", hops.join(", and before it ")));
        }
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
    format!("it has {} bytes{other}", value.len())
}
