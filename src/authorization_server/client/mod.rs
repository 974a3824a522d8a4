// SPDX-License-Identifier: Apache-2.0

//! A client of the authorization server, as it is registered there: client metadata of RFC 7591 and RFC 8705.

pub mod issuers;
pub mod subject;

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;

use crate::certificate::Certificate;
use crate::certificate::names::Names;
use crate::certificate::registered_name::{NameMatching, RegisteredName};
use crate::certificate::thumbprint::Thumbprint;
use crate::collections::sorted_map::SortedMap;
#[cfg(not(target_arch = "wasm32"))]
use crate::jose::left_out::LeftOut;
use crate::keys::client_key_set::{ClientKeys, KeySet};
use crate::keys::{ClusterName, HttpUri, KeySource};
use issuers::Issuers;
use subject::{Subject, name_in_place};

/// The clients of a policy by their identifiers, in a hash map: there may be many.
pub struct Clients(HashMap<String, Client>);

/// What a client must do.
#[derive(Debug)]
pub struct Client {
    /// How it authenticates.
    pub method: Method,
    /// Whether its access tokens are bound to its certificate, so that it must present one.
    pub bound: bool,
}

/// How a client authenticates.
#[derive(Debug)]
pub enum Method {
    /// By a certificate that names it and whose chain is validated (RFC 8705 §2.1).
    Pki {
        /// The one name.
        subject: Subject,
        /// The issuer that the certificate must have, if one is configured (§7.4).
        issuer: Option<RegisteredName>,
        /// Whose signature the certificate must have, if any are configured.
        issuers: Issuers,
    },
    /// By one of its certificates (§2.2).
    SelfSigned(Registered),
    /// In another way, which the authorization server judges.
    AtTheServer,
}

/// Which certificates a client may present.
#[derive(Debug)]
pub enum Registered {
    /// These.
    Inline(ClientKeys),
    /// The ones that it publishes.
    Fetched(Box<KeySource>),
}

/// The clusters through which the key sets of clients are fetched, by origin.
pub(super) struct Origins(SortedMap<String, ClusterName>);

impl TryFrom<SortedMap<String, ClusterName>> for Origins {
    type Error = String;

    fn try_from(named: SortedMap<String, ClusterName>) -> Result<Self, String> {
        let mut origins = SortedMap::default();
        for (text, cluster) in named {
            let origin = HttpUri::https_origin(&text).map_err(|wrong| format!("client_keys: {wrong}"))?;
            if origins.insert(origin, cluster).is_some() {
                return Err(format!("client_keys: the origin {text:?} is listed twice"));
            }
        }
        Ok(Self(origins))
    }
}

impl Origins {
    fn source(&self, uri: HttpUri) -> Result<Registered, String> {
        let origin = uri.origin();
        let cluster = self.0.get(&origin).ok_or_else(|| {
            format!("jwks_uri: client_keys has no cluster for the origin {origin:?}; it has https origins only")
        })?;
        Ok(Registered::Fetched(Box::new(KeySource::of_client(uri, cluster.clone()))))
    }
}

/// A client as it is registered with the authorization server: client metadata of RFC 7591 §2 and RFC 8705 §2.1.2.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "Client", transform = crate::config::shape::one_subject))]
pub(super) struct Registration {
    /// Its identifier: visible ASCII characters and spaces.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(regex(pattern = r"^[ -~]{1,255}$")))]
    client_id: String,
    /// How it authenticates. Only the first two are judged here.
    token_endpoint_auth_method: AuthenticationMethod,
    /// The subject of its certificate: a distinguished name as a string of RFC 4514.
    tls_client_auth_subject_dn: Option<String>,
    /// A dNSName of its certificate.
    tls_client_auth_san_dns: Option<String>,
    /// A uniformResourceIdentifier of its certificate.
    tls_client_auth_san_uri: Option<String>,
    /// An iPAddress of its certificate.
    tls_client_auth_san_ip: Option<String>,
    /// An rfc822Name of its certificate.
    tls_client_auth_san_email: Option<String>,
    /// Its key set. The first certificate in the `x5c` of each key is one that it may present.
    jwks: Option<KeySet>,
    /// Where it publishes its key set, in place of `jwks`: https, at an origin that `client_keys` has a cluster for.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(example = &"https://client.example.org/jwks"))]
    jwks_uri: Option<HttpUri>,
    /// Whether its access tokens are bound to a certificate, so that it must present one whatever its method.
    #[serde(default)]
    tls_client_certificate_bound_access_tokens: bool,
    /// The issuer that the certificate of `tls_client_auth` must have, as a string of RFC 4514; default: any that the listener
    /// trusts. No RFC defines this client metadata.
    issuer_dn: Option<String>,
    /// The certificates, in PEM or in base64, of the authorities of which one must have signed the certificate of `tls_client_auth`;
    /// default: any that the listener trusts. Only their subjects and their keys count. No RFC defines this client metadata.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1, max = issuers::MOST)))]
    issuer_certificates: Option<Vec<String>>,
    /// The same by the SHA-256 of their SubjectPublicKeyInfo. The authority's own certificate must come in the chain that the client
    /// sends: Envoy has `set_current_client_cert_details: { chain: true }`.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1, max = issuers::MOST)))]
    issuer_key_sha256: Option<Vec<Thumbprint>>,
}

/// A way to authenticate (RFC 7591 §2, RFC 8705 §2.1.1 and §2.2.1, OpenID Connect Core §9).
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
enum AuthenticationMethod {
    /// A certificate of a chain that is validated, with the one name that is registered.
    TlsClientAuth,
    /// A certificate that is registered itself.
    SelfSignedTlsClientAuth,
    /// The authorization server's to judge.
    ClientSecretBasic,
    /// The authorization server's to judge.
    ClientSecretPost,
    /// The authorization server's to judge.
    ClientSecretJwt,
    /// The authorization server's to judge.
    PrivateKeyJwt,
    /// A public client.
    None,
}

impl Clients {
    pub(super) fn new(
        registrations: Vec<Registration>,
        matching: NameMatching,
        origins: &Origins,
    ) -> Result<Self, String> {
        let mut clients = HashMap::with_capacity(registrations.len());
        for registration in registrations {
            let client_id = registration.client_id.clone();
            let client =
                registration.read(matching, origins).map_err(|wrong| format!("the client {client_id:?}: {wrong}"))?;
            if clients.insert(client_id.clone(), client).is_some() {
                return Err(format!("the client {client_id:?} is listed twice"));
            }
        }
        Ok(Self(clients))
    }

    /// The client of this identifier, exactly.
    #[must_use]
    pub fn get(&self, client_id: &str) -> Option<&Client> {
        self.0.get(client_id)
    }

    /// All of them, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Client)> {
        self.0.iter().map(|(client_id, client)| (client_id.as_str(), client))
    }
}

impl fmt::Debug for Clients {
    /// Sorted, so that the output does not depend on the order of the hash map.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_map().entries(self.0.iter().collect::<SortedMap<_, _>>()).finish()
    }
}

const NO_KEYS: &str = "self_signed_tls_client_auth needs jwks with a certificate in the x5c of a key, or jwks_uri";

impl Registration {
    fn read(self, matching: NameMatching, origins: &Origins) -> Result<Client, String> {
        let is_identifier = (1..=255).contains(&self.client_id.len()) && self.client_id.bytes().all(is_vschar);
        if !is_identifier {
            return Err(
                "an identifier is 1 to 255 visible ASCII characters and spaces (RFC 6749 appendix A.1)".to_owned()
            );
        }
        let subjects: Vec<_> = [
            ("tls_client_auth_subject_dn", &self.tls_client_auth_subject_dn),
            ("tls_client_auth_san_dns", &self.tls_client_auth_san_dns),
            ("tls_client_auth_san_uri", &self.tls_client_auth_san_uri),
            ("tls_client_auth_san_ip", &self.tls_client_auth_san_ip),
            ("tls_client_auth_san_email", &self.tls_client_auth_san_email),
        ]
        .into_iter()
        .filter_map(|(key, text)| Some((key, text.as_deref()?)))
        .collect();
        let issuers = match (&self.issuer_dn, &self.issuer_certificates, &self.issuer_key_sha256) {
            (Some(_), ..) => Some("issuer_dn"),
            (None, Some(_), _) => Some("issuer_certificates"),
            (None, None, Some(_)) => Some("issuer_key_sha256"),
            (None, None, None) => None,
        };
        if self.token_endpoint_auth_method != AuthenticationMethod::TlsClientAuth
            && let Some(key) = subjects.first().map(|(key, _)| *key).or(issuers)
        {
            return Err(format!("{key} is for tls_client_auth alone"));
        }
        let method = match (self.token_endpoint_auth_method, subjects.as_slice()) {
            (AuthenticationMethod::TlsClientAuth, [(key, text)]) => {
                let subject = match *key {
                    "tls_client_auth_subject_dn" => Subject::distinguished_name(text, matching),
                    "tls_client_auth_san_dns" => Subject::dns(text),
                    "tls_client_auth_san_uri" => Subject::uri(text),
                    "tls_client_auth_san_ip" => Subject::ip(text),
                    _ => Subject::email(text),
                };
                let issuer = self.issuer_dn.map(|issuer| RegisteredName::parse(&issuer, matching)).transpose();
                Method::Pki {
                    subject: subject.map_err(|wrong| format!("{key}: {wrong}"))?,
                    issuer: issuer.map_err(|wrong| format!("issuer_dn: {wrong}"))?,
                    issuers: Issuers::new(self.issuer_certificates, self.issuer_key_sha256)?,
                }
            }
            (AuthenticationMethod::TlsClientAuth, _) => {
                return Err(
                    "tls_client_auth needs exactly one of tls_client_auth_subject_dn, tls_client_auth_san_dns, \
                            tls_client_auth_san_uri, tls_client_auth_san_ip and tls_client_auth_san_email"
                        .to_owned(),
                );
            }
            (AuthenticationMethod::SelfSignedTlsClientAuth, _) => {
                Method::SelfSigned(match (self.jwks, self.jwks_uri) {
                    (Some(_), Some(_)) => return Err("jwks and jwks_uri exclude each other (RFC 7591 §2)".to_owned()),
                    (Some(jwks), None) => Registered::Inline(jwks.read()?),
                    (None, Some(uri)) => origins.source(uri)?,
                    (None, None) => return Err(NO_KEYS.to_owned()),
                })
            }
            (_, _) => Method::AtTheServer,
        };
        if matches!(&method, Method::SelfSigned(Registered::Inline(keys)) if keys.certificates.is_empty()) {
            return Err(NO_KEYS.to_owned());
        }
        Ok(Client { method, bound: self.tls_client_certificate_bound_access_tokens })
    }
}

impl Method {
    /// Where its certificates are fetched, if it publishes them.
    pub(super) fn key_source(&self) -> Option<&KeySource> {
        match self {
            Self::SelfSigned(Registered::Fetched(source)) => Some(source),
            Self::SelfSigned(Registered::Inline(_)) | Self::Pki { .. } | Self::AtTheServer => None,
        }
    }

    /// Refuses a certificate with other names than the client's, and says what it has in their place.
    pub(super) fn check_names(
        subject: &Subject,
        issuer: Option<&RegisteredName>,
        certificate: Option<&Certificate>,
    ) -> Result<(), String> {
        let names = certificate.and_then(Names::of).ok_or("the names in the certificate cannot be read")?;
        match issuer {
            Some(issuer) if !issuer.is(&names.issuer) => Err(name_in_place("issuer", issuer, &names.issuer)),
            _ if subject.is_in(&names) => Ok(()),
            _ => Err(subject.in_place(&names)),
        }
    }

    /// The keys of its `jwks` that are left out.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn left_out(&self) -> Option<&LeftOut> {
        match self {
            Self::SelfSigned(Registered::Inline(keys)) => Some(&keys.left_out),
            Self::SelfSigned(Registered::Fetched(_)) | Self::Pki { .. } | Self::AtTheServer => None,
        }
    }

    /// What is doubtful in its distinguished names, each with its key.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn doubts(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let (subject, issuer) = match self {
            Self::Pki { subject: Subject::DistinguishedName(subject), issuer, .. } => (Some(subject), issuer.as_ref()),
            Self::Pki { issuer, .. } => (None, issuer.as_ref()),
            Self::SelfSigned(_) | Self::AtTheServer => (None, None),
        };
        let names = [("tls_client_auth_subject_dn", subject), ("issuer_dn", issuer)];
        names.into_iter().filter_map(|(key, name)| Some((key, name?.doubt()?)))
    }
}

/// A character that an identifier may have (RFC 6749 appendix A, VSCHAR).
pub(super) fn is_vschar(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::{Value, json};

    use super::*;

    /// RFC 8705 appendix A: the subject and the issuer are `CN=mtls`.
    const CERTIFICATE: &str = "MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAxODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwIDSQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOVbUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=";

    /// The client of this metadata; what is fetched from `https://client` has a cluster.
    fn read(metadata: Value) -> Result<Client, String> {
        let mut metadata = metadata;
        metadata["client_id"] = json!("one");
        let clusters: SortedMap<String, ClusterName> =
            serde_json::from_value(json!({"https://client": "client"})).unwrap();
        let origins = Origins::try_from(clusters).unwrap();
        serde_json::from_value::<Registration>(metadata).unwrap().read(NameMatching::default(), &origins)
    }

    fn by_name(key: &str, value: &str) -> Result<Client, String> {
        read(json!({"token_endpoint_auth_method": "tls_client_auth", key: value}))
    }

    #[test]
    fn each_name_is_read_as_one_of_its_kind() {
        let subject = |key, value| match by_name(key, value).unwrap().method {
            Method::Pki { subject, .. } => subject,
            other => panic!("{other:?}"),
        };
        let name = Subject::distinguished_name("CN=a", NameMatching::default()).unwrap();
        assert_eq!(subject("tls_client_auth_subject_dn", "CN=a"), name);
        assert_eq!(subject("tls_client_auth_san_dns", "A.example"), Subject::Dns("a.example".to_owned()));
        assert_eq!(subject("tls_client_auth_san_uri", "https://A/b"), Subject::Uri("https://a/b".to_owned()));
        assert_eq!(subject("tls_client_auth_san_ip", "192.0.2.1"), Subject::Ip([192, 0, 2, 1].into()));
        assert_eq!(subject("tls_client_auth_san_email", "a@B"), Subject::Email("a@b".to_owned()));
    }

    #[test]
    fn a_name_or_an_issuer_is_for_tls_client_auth_alone() {
        let of = |method: &str, key: &str, value: Value| {
            read(json!({"token_endpoint_auth_method": method, key: value})).map(drop)
        };
        for key in ["tls_client_auth_subject_dn", "tls_client_auth_san_dns", "issuer_dn"] {
            let wrong = Err(format!("{key} is for tls_client_auth alone"));
            assert_eq!(of("private_key_jwt", key, json!("CN=a")), wrong);
        }
        for key in ["issuer_certificates", "issuer_key_sha256"] {
            let wrong = Err(format!("{key} is for tls_client_auth alone"));
            assert_eq!(of("none", key, json!([])), wrong);
        }
        assert_eq!(of("none", "jwks_uri", json!("https://client/jwks")), Ok(()));
    }

    #[test]
    fn certificates_are_fetched_for_a_client_that_publishes_them_and_for_no_other() {
        let source = |metadata: Value| read(metadata).unwrap().method.key_source().map(|source| source.place());
        let published =
            json!({"token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks_uri": "https://client/jwks"});
        assert_eq!(source(published), Some("client's jwks_uri https://client/jwks through client".to_owned()));
        let key = json!({"kty": "EC", "x5c": [CERTIFICATE]});
        let inline = json!({"token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks": {"keys": [key]}});
        assert_eq!(source(inline), None);
        assert_eq!(source(json!({"token_endpoint_auth_method": "none"})), None);
    }

    #[test]
    fn the_issuer_of_a_certificate_is_checked_as_well_as_its_name() {
        let certificate = Certificate::on_the_desk(STANDARD.decode(CERTIFICATE).unwrap());
        let name = |text: &str| RegisteredName::parse(text, NameMatching::default()).unwrap();
        let check = |subject: &str, issuer: Option<&str>| {
            let subject = Subject::DistinguishedName(name(subject));
            Method::check_names(&subject, issuer.map(name).as_ref(), Some(&certificate))
        };
        let told = |what: &str| Err(format!("the {what} of the certificate is CN=mtls"));
        assert_eq!(check("CN=mtls", None), Ok(()));
        assert_eq!(check("CN=mtls", Some("CN=mtls")), Ok(()));
        assert_eq!(check("CN=mtls", Some("CN=other")), told("issuer"));
        assert_eq!(check("CN=other", Some("CN=mtls")), told("subject"));
    }
}
