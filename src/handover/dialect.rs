// SPDX-License-Identifier: Apache-2.0

//! The forms in which authorization servers read a client certificate from headers.

use serde::Deserialize;

use crate::certificate::Certificate;
use crate::handover::chain::{self, Chain};
use crate::handover::encoding::{self, Encoding};
use crate::http::header_name::{HeaderName, OwnName};
use crate::reason::Reason;

/// What one server reads: a row of a table.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Dialect {
    row: &'static Row,
}

#[derive(Debug)]
struct Row {
    name: &'static str,
    /// `None` where the operator names it.
    header: Option<&'static str>,
    encoding: Encoding,
    chain: RowChain,
    max_bytes: usize,
    /// The header that says whether the chain was validated.
    verified: Option<&'static str>,
    /// The header that has a secret of the operator's, by which the server knows the proxy.
    secret: Option<&'static str>,
}

#[derive(Debug)]
enum RowChain {
    None,
    /// In the header of the certificate, behind it.
    SameHeader,
    List(&'static str),
    /// The beginning of the names, the first number, and how many there are.
    Numbered(&'static str, usize, usize),
}

/// No server in use reads more: beyond this a request would be refused by the server itself.
const LARGEST: usize = 32 * 1024;

/// Where a row has nothing to say.
const PLAIN: Row = Row {
    name: "",
    header: None,
    encoding: Encoding::PemUrl,
    chain: RowChain::None,
    max_bytes: LARGEST,
    verified: None,
    secret: None,
};

const DIALECTS: &[Row] = &[
    // RFC 9440 §2.2, §2.3.
    Row {
        name: "rfc9440",
        header: Some("client-cert"),
        encoding: Encoding::SfBinary,
        chain: RowChain::List("client-cert-chain"),
        ..PLAIN
    },
    // What Apache's `RequestHeader set X-ClientCert %{SSL_CLIENT_CERT}s` writes, as the documentation of both has it.
    // They also read X-Forwarded-Client-Cert and X-Forwarded-Tls-Client-Cert, and before this one: those are removed.
    Row { name: "gluu", header: Some("x-clientcert"), encoding: Encoding::PemApache, ..PLAIN },
    Row { name: "janssen", header: Some("x-clientcert"), encoding: Encoding::PemApache, ..PLAIN },
    // Auth0's documentation, "Set up the Customer Edge": the leaf alone, 4096 bytes at most.
    Row {
        name: "auth0",
        header: Some("client-certificate"),
        encoding: Encoding::PemUrl,
        max_bytes: 4096,
        verified: Some("client-certificate-ca-verified"),
        secret: Some("cname-api-key"),
        ..PLAIN
    },
    // authlete/authlete-java-jaxrs 15cca4cca37d, HeaderClientCertificateXSslExtractor: it reads the numbers 1 to 4, and
    // passes over what is not there. So do its kin that begin with 0.
    Row {
        name: "authlete",
        header: Some("x-ssl-cert"),
        encoding: Encoding::PemApache,
        chain: RowChain::Numbered("x-ssl-cert-chain-", 1, 4),
        ..PLAIN
    },
    // keycloak/keycloak cb99360ff135, NginxProxySslClientCertificateLookup: it builds the chain from its own truststore.
    Row {
        name: "keycloak_nginx",
        header: Some("ssl-client-cert"),
        encoding: Encoding::PemNginxEscaped,
        verified: Some("ssl-client-verify"),
        ..PLAIN
    },
    // keycloak/keycloak ffa21acc7e09, AbstractClientCertificateFromHttpHeadersLookup, with the names and the length of
    // Keycloak's own guide to reverse proxies.
    Row {
        name: "keycloak_apache",
        header: Some("ssl_client_cert"),
        encoding: Encoding::PemApache,
        chain: RowChain::Numbered("cert_chain_", 0, 10),
        ..PLAIN
    },
    // The same, ecd43b181d9e, HaProxySslClientCertificateLookup.
    Row {
        name: "keycloak_haproxy",
        header: Some("ssl_client_cert"),
        encoding: Encoding::DerBase64,
        chain: RowChain::Numbered("cert_chain_", 0, 10),
        ..PLAIN
    },
    // keycloak/keycloak 26.7.3, TraefikProxySslClientCertificateLookup: PEM without markers and line ends, as Traefik writes it.
    Row {
        name: "keycloak_traefik",
        header: Some("x-forwarded-tls-client-cert"),
        encoding: Encoding::DerBase64,
        chain: RowChain::SameHeader,
        ..PLAIN
    },
    // keycloak/keycloak 38beb0a00a7e, EnvoyProxySslClientCertificateLookup: it reads `Chain`, certificate included.
    Row {
        name: "keycloak_envoy",
        header: Some("x-forwarded-client-cert"),
        encoding: Encoding::Xfcc,
        chain: RowChain::SameHeader,
        ..PLAIN
    },
    // keycloak/keycloak 56769e3e31b2, Rfc9440ClientCertificateLookup.
    Row {
        name: "keycloak_rfc9440",
        header: Some("client-cert"),
        encoding: Encoding::SfBinary,
        chain: RowChain::List("client-cert-chain"),
        ..PLAIN
    },
    // What Azure App Service and IIS's Application Request Routing write: ASP.NET Core's certificate forwarding, Duende.
    Row { name: "azure", header: Some("x-arr-clientcert"), encoding: Encoding::DerBase64, ..PLAIN },
    // apache/tomcat, org.apache.catalina.valves.SSLValve, which makes of it the request attribute that the Servlet specification
    // has for a client's certificate, alone: no chain. It cuts off the first 27 characters and reads what follows as PEM. Where
    // both headers are there, it reads the escaped one, as nginx's `$ssl_client_escaped_cert` has it: Tomcat 8.5.68, 9.0.48,
    // 10.0.7, and 10.1 and later.
    Row { name: "tomcat", header: Some("ssl_client_cert"), encoding: Encoding::PemApache, ..PLAIN },
    Row { name: "tomcat_escaped", header: Some("ssl_client_escaped_cert"), encoding: Encoding::PemUrl, ..PLAIN },
    // Connect2id's guide "TLS termination proxy": PEM that may be percent-encoded, in a header with a name that nobody
    // guesses.
    Row { name: "connect2id", header: None, encoding: Encoding::PemUrl, ..PLAIN },
];

#[cfg(not(target_arch = "wasm32"))]
impl schemars::JsonSchema for Dialect {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Dialect".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names: Vec<_> = DIALECTS.iter().map(|row| row.name).collect();
        schemars::json_schema!({ "type": "string", "enum": names })
    }
}

impl TryFrom<String> for Dialect {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        DIALECTS.iter().find(|row| row.name == name).map(|row| Self { row }).ok_or_else(|| {
            let known: Vec<_> = DIALECTS.iter().map(|row| row.name).collect();
            crate::config::unknown("dialect", &name, &known)
        })
    }
}

impl Dialect {
    /// The name in the configuration.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.row.name
    }

    /// The form, with the header that the operator names, where the dialect has none.
    #[must_use]
    pub fn form(&self, header: Option<HeaderName>) -> Option<Form> {
        let chain = match self.row.chain {
            RowChain::None => ChainForm::None,
            RowChain::SameHeader => ChainForm::SameHeader,
            RowChain::List(name) => ChainForm::List(name.into()),
            RowChain::Numbered(prefix, first, most) => ChainForm::Numbered { prefix: prefix.into(), first, most },
        };
        Some(Form {
            dialect: Some(*self),
            header: self.row.header.map(HeaderName::from).or(header)?,
            encoding: self.row.encoding,
            chain,
            max_bytes: self.row.max_bytes,
        })
    }

    /// The header that says whether the chain was validated, if the server reads one.
    #[must_use]
    pub fn verified(&self) -> Option<&'static str> {
        self.row.verified
    }

    /// The header with a secret of the operator's, if the server reads one.
    #[must_use]
    pub fn secret(&self) -> Option<&'static str> {
        self.row.secret
    }

    /// Every name there is.
    pub fn names() -> impl Iterator<Item = &'static str> {
        DIALECTS.iter().map(|row| row.name)
    }

    /// The names of those whose header the operator names.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn without_header() -> Vec<&'static str> {
        DIALECTS.iter().filter(|row| row.header.is_none()).map(|row| row.name).collect()
    }

    /// The names of those that have a secret.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn with_secret() -> Vec<&'static str> {
        DIALECTS.iter().filter(|row| row.secret.is_some()).map(|row| row.name).collect()
    }
}

/// How the certificates behind the client's own are written, each in the encoding of the form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChainForm {
    None,
    SameHeader,
    List(HeaderName),
    Numbered { prefix: HeaderName, first: usize, most: usize },
    ConcatenatedDer(HeaderName),
}

/// One form in which a certificate is handed over, and the headers that it takes.
#[derive(Clone, Debug)]
pub struct Form {
    dialect: Option<Dialect>,
    header: HeaderName,
    encoding: Encoding,
    chain: ChainForm,
    max_bytes: usize,
}

/// The form's headers for one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Names and values, the certificate's first.
    pub headers: Vec<(String, String)>,
    /// Whether there was a chain that the form has room for in principle, and that was left out for its length.
    pub without_chain: bool,
}

impl Form {
    /// A form of the operator's own.
    pub(crate) fn free(header: HeaderName, encoding: Encoding, chain: ChainForm) -> Self {
        Self { dialect: None, header, encoding, chain, max_bytes: LARGEST }
    }

    /// The same with another limit.
    pub(crate) fn limited(self, max_bytes: Option<usize>) -> Self {
        Self { max_bytes: max_bytes.unwrap_or(self.max_bytes), ..self }
    }

    /// The dialect that it is, if it is one.
    #[must_use]
    pub fn dialect(&self) -> Option<Dialect> {
        self.dialect
    }

    /// The name of the header with the certificate, in lower case.
    #[must_use]
    pub fn header(&self) -> &str {
        self.header.as_str()
    }

    /// The encoding of each certificate.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn chain(&self) -> &ChainForm {
        &self.chain
    }

    /// Whether it has a place for the chain.
    pub(crate) fn has_chain(&self) -> bool {
        self.chain != ChainForm::None
    }

    /// The names of its headers.
    pub(crate) fn names(&self) -> impl Iterator<Item = OwnName> {
        let chain = match &self.chain {
            ChainForm::None | ChainForm::SameHeader => None,
            ChainForm::List(header) | ChainForm::ConcatenatedDer(header) => {
                Some(OwnName::Exactly(header.as_str().to_owned()))
            }
            ChainForm::Numbered { prefix, .. } => Some(OwnName::Numbered(prefix.as_str().to_owned())),
        };
        std::iter::once(OwnName::Exactly(self.header.as_str().to_owned())).chain(chain)
    }

    /// The headers for this certificate. What is longer than the limit loses its chain, all of it.
    ///
    /// # Errors
    /// [`Reason::CertificateTooLarge`] where the certificate alone is longer than the limit.
    pub fn write(&self, certificate: &Certificate, chain: &Chain) -> Result<Written, Reason> {
        let (known, too_long) = match chain {
            Chain::Unknown => (&[][..], false),
            Chain::Known(known) => (known.as_slice(), false),
            Chain::Lost => (&[][..], true),
        };
        let fits = |headers: &[(String, String)]| {
            headers.iter().fold(0_usize, |sum, (_, value)| sum.saturating_add(value.len())) <= self.max_bytes
        };
        let most = match self.chain {
            ChainForm::Numbered { most, .. } => most,
            _ => chain::MOST,
        };
        let whole = (known.len() <= most).then(|| self.headers(certificate, known)).filter(|headers| fits(headers));
        if let Some(headers) = whole {
            return Ok(Written { headers, without_chain: too_long && self.has_chain() });
        }
        let alone = Some(self.headers(certificate, &[])).filter(|headers| fits(headers));
        let headers = alone.ok_or(Reason::CertificateTooLarge)?;
        Ok(Written { headers, without_chain: self.has_chain() })
    }

    fn headers(&self, certificate: &Certificate, chain: &[Vec<u8>]) -> Vec<(String, String)> {
        let encoded = || chain.iter().map(|der| self.encoding.encode(der));
        let leaf = match &self.chain {
            ChainForm::SameHeader if self.encoding == Encoding::Xfcc => {
                encoding::xfcc_with_chain(certificate.der(), chain)
            }
            ChainForm::SameHeader => {
                let leaf = self.encoding.encode(certificate.der());
                std::iter::once(leaf).chain(encoded()).collect::<Vec<_>>().join(self.encoding.separator())
            }
            _ => self.encoding.encode(certificate.der()),
        };
        let mut headers = vec![(self.header.as_str().to_owned(), leaf)];
        if chain.is_empty() {
            return headers;
        }
        match &self.chain {
            ChainForm::None | ChainForm::SameHeader => {}
            ChainForm::List(header) => {
                let list = encoded().collect::<Vec<_>>().join(self.encoding.separator());
                headers.push((header.as_str().to_owned(), list));
            }
            ChainForm::Numbered { prefix, first, .. } => {
                headers.extend((*first..).zip(encoded()).map(|(number, value)| (format!("{prefix}{number}"), value)));
            }
            ChainForm::ConcatenatedDer(header) => {
                headers.push((header.as_str().to_owned(), self.encoding.encode(&chain.concat())));
            }
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handover::forwarding_headers::is_forwarding_header;

    fn der(content: u8) -> Vec<u8> {
        vec![0x30, 0x01, content]
    }

    fn written(dialect: &str, chain: &Chain) -> Vec<(String, String)> {
        let dialect = Dialect::try_from(dialect.to_owned()).unwrap();
        let named = HeaderName::try_from("Sec-Client-0ahsh".to_owned()).ok();
        dialect.form(named).unwrap().write(&Certificate::on_the_desk(der(1)), chain).unwrap().headers
    }

    #[test]
    fn every_header_of_every_dialect_is_one_that_is_removed() {
        for row in DIALECTS.iter().filter(|row| row.header.is_some()) {
            let form = Dialect { row }.form(None).unwrap();
            for name in form.names() {
                assert!(is_forwarding_header(&name.text()), "{}", name.text());
            }
            for name in [row.verified, row.secret].into_iter().flatten() {
                assert!(is_forwarding_header(name), "{name}");
            }
        }
    }

    #[test]
    fn each_dialect_writes_the_chain_as_its_server_reads_it() {
        let chain = Chain::Known(vec![der(2), der(3)]);
        let pem = |content: u8, line_end: &str| {
            format!(
                "-----BEGIN CERTIFICATE-----{line_end}MAE{}{line_end}-----END CERTIFICATE-----",
                ["", "B", "C", "D"][usize::from(content)]
            )
        };
        let escaped = |content: u8| format!("{}%0A", pem(content, "%0A").replace(' ', "%20"));
        let header = |name: &str, value: String| (name.to_owned(), value);
        for name in ["rfc9440", "keycloak_rfc9440"] {
            let expected =
                [header("client-cert", ":MAEB:".into()), header("client-cert-chain", ":MAEC:, :MAED:".into())];
            assert_eq!(written(name, &chain), expected);
        }
        for name in ["gluu", "janssen"] {
            assert_eq!(written(name, &chain), [header("x-clientcert", pem(1, " "))]);
        }
        assert_eq!(written("auth0", &chain), [header("client-certificate", escaped(1))]);
        let numbered = |first: &str, rest: [&str; 2], values: [String; 3]| {
            let [one, two, three] = values;
            vec![header(first, one), header(rest[0], two), header(rest[1], three)]
        };
        assert_eq!(
            written("authlete", &chain),
            numbered(
                "x-ssl-cert",
                ["x-ssl-cert-chain-1", "x-ssl-cert-chain-2"],
                [pem(1, " "), pem(2, " "), pem(3, " ")]
            )
        );
        assert_eq!(
            written("keycloak_apache", &chain),
            numbered("ssl_client_cert", ["cert_chain_0", "cert_chain_1"], [pem(1, " "), pem(2, " "), pem(3, " ")])
        );
        assert_eq!(
            written("keycloak_haproxy", &chain),
            numbered(
                "ssl_client_cert",
                ["cert_chain_0", "cert_chain_1"],
                ["MAEB".into(), "MAEC".into(), "MAED".into()]
            )
        );
        assert_eq!(written("keycloak_nginx", &chain), [header("ssl-client-cert", escaped(1))]);
        let traefik = header("x-forwarded-tls-client-cert", "MAEB,MAEC,MAED".into());
        assert_eq!(written("keycloak_traefik", &chain), [traefik]);
        let [(name, value)] = written("keycloak_envoy", &chain).try_into().unwrap();
        assert_eq!(name, "x-forwarded-client-cert");
        assert!(value.ends_with(&format!(";Cert=\"{0}\";Chain=\"{0}{1}{2}\"", escaped(1), escaped(2), escaped(3))));
        assert_eq!(written("azure", &chain), [header("x-arr-clientcert", "MAEB".into())]);
        assert_eq!(written("tomcat", &chain), [header("ssl_client_cert", pem(1, " "))]);
        assert_eq!(written("tomcat_escaped", &chain), [header("ssl_client_escaped_cert", escaped(1))]);
        assert_eq!(written("connect2id", &chain), [header("sec-client-0ahsh", escaped(1))]);
    }

    #[test]
    fn without_a_chain_nothing_stands_for_it() {
        for chain in [Chain::Unknown, Chain::Known(vec![])] {
            for name in Dialect::names() {
                assert_eq!(written(name, &chain).len(), 1, "{name}");
            }
        }
    }

    #[test]
    fn what_is_too_long_loses_its_chain_and_then_is_refused() {
        let header = HeaderName::from("x-client-cert");
        let form = |max_bytes| {
            let chain = ChainForm::ConcatenatedDer(HeaderName::from("x-client-cert-chain"));
            Form::free(header.clone(), Encoding::DerBase64, chain).limited(Some(max_bytes))
        };
        let write = |max_bytes, chain: &Chain| form(max_bytes).write(&Certificate::on_the_desk(der(1)), chain);
        let chain = Chain::Known(vec![der(2), der(3)]);
        let whole = write(12, &chain).unwrap();
        assert_eq!(whole.headers[1], ("x-client-cert-chain".to_owned(), "MAECMAED".to_owned()));
        assert!(!whole.without_chain);
        let alone = write(11, &chain).unwrap();
        assert!(alone.without_chain && alone.headers.len() == 1);
        assert_eq!(write(3, &chain), Err(Reason::CertificateTooLarge));
        assert!(write(100, &Chain::Lost).unwrap().without_chain);
        let five = Chain::Known((2..7).map(der).collect());
        let authlete = Dialect::try_from("authlete".to_owned()).unwrap().form(None).unwrap();
        let written = authlete.write(&Certificate::on_the_desk(der(1)), &five).unwrap();
        assert!(written.without_chain && written.headers.len() == 1);
    }
}
