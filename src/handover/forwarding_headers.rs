// SPDX-License-Identifier: Apache-2.0

//! The headers that proxies use to tell a server about a client certificate.
//!
//! A server that believes one of them believes whoever sent it, so every copy that a client sent must go, whatever
//! the policy forwards and whatever server stands behind.

use crate::http::header_name::folded;

/// What a header claims, whoever wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The certificate itself, its chain or its hash. A family of names counts as what the most of them says.
    Certificate,
    /// That a certificate was verified, or who its holder was found to be.
    Verification,
    /// A part of the certificate, or of the TLS connection that it came with.
    Fact,
}

impl Claim {
    /// Whether a request with such a header of its client's own making is refused under `on_forged: refuse`. A mere fact is
    /// removed in silence: tools write some of them that know of no certificate.
    #[must_use]
    pub const fn is_refused(self) -> bool {
        matches!(self, Self::Certificate | Self::Verification)
    }

    /// The word for it in the manual.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::Verification => "verification",
            Self::Fact => "fact",
        }
    }
}

/// A header, or a family of them, that somebody writes or believes.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// In lower case, folded as servers behind CGI-like interfaces fold names; with `*` at its end every name that begins so.
    pub name: &'static str,
    /// What it claims.
    pub claim: Claim,
    /// Who writes or reads it, by their names in [`PRODUCTS`].
    pub of: &'static [&'static str],
}

/// A product, and what says that its headers have these names.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// Its name.
    pub name: &'static str,
    /// The document, or the place in its source.
    pub source: &'static str,
}

const fn product(name: &'static str, source: &'static str) -> Product {
    Product { name, source }
}

/// Whose headers these are.
pub const PRODUCTS: &[Product] = &[
    product("ASP.NET Core", "IISMiddleware: MS-ASPNETCORE-CLIENTCERT; CertificateForwardingOptions: X-Client-Cert"),
    product("AWS Application Load Balancer", "guide, \"Mutual authentication with TLS\""),
    product(
        "Akamai",
        "behaviors \"Client Certificate Authentication\" and \"Enforce mTLS settings\", rule format v2026-01-09",
    ),
    product("Amazon CloudFront", "guide, \"Viewer mTLS headers\""),
    product("Apache Felix", "http.sslfilter, README"),
    product("Apache httpd", "mod_ssl's variables SSL_CLIENT_*, by `RequestHeader set`"),
    product("Apereo CAS", "cas.authn.x509.ssl-header-name, and Tomcat's SSLValve"),
    product("Auth0", "documentation, \"Set up the Customer Edge\""),
    product("Authlete", "authlete-java-jaxrs 15cca4cca37d, HeaderClientCertificateXSslExtractor"),
    product("Azure App Service", "guide, \"Configure TLS mutual authentication\"; IIS's Application Request Routing"),
    product("Cloud Foundry", "haproxy-boshrelease, jobs/haproxy; gorouter's X-Forwarded-Client-Cert"),
    product("Cloudflare", "\"Add TLS client auth headers\", a Managed Transform; API Shield's Cf-Client-Cert-*"),
    product("Duende IdentityServer", "guide to mutual TLS behind a proxy: ASP.NET Core's forwarding"),
    product("Envoy", "\"HTTP header manipulation\", x-forwarded-client-cert"),
    product("GlassFish", "com.sun.enterprise.web: Constants, ProxyHandlerImpl"),
    product("Gluu Server", "oxAuth 4, which looks for three headers in turn"),
    product("Google Cloud Load Balancing", "guide to mutual TLS: custom headers, as its examples name them"),
    product("Gravitee", "JWT policy, certificateBoundThumbprint.headerName"),
    product("HAProxy", "configuration manual, \"http-request set-header\" with ssl_c_*"),
    product("Janssen", "jans-auth-server, as Gluu Server"),
    product("Jetty", "ForwardedRequestCustomizer"),
    product("Keycloak", "guide, \"Configuring a reverse proxy\", 26"),
    product("Kong", "plugins tls-metadata-headers and header-cert-auth"),
    product("Linkerd", "linkerd2-proxy, headers l5d-*"),
    product("MinIO KES", "server-config.yaml, tls.proxy.header"),
    product("MuleSoft", "CloudHub's dedicated load balancer"),
    product("OpenShift", "router's haproxy-config.template"),
    product("OpenStack Keystone", "guide to tokenless authorization"),
    product("Oracle WebLogic Server", "web server plug-ins; the token types of weblogic.security.spi.IdentityAsserter"),
    product("Oracle iPlanet Web Server", "reverse proxy: forward-auth-cert and its kin"),
    product("Pound", "4.16, http.c: HeaderOption ssl"),
    product("Pulp", "pulp-certguard, \"Reverse Proxy Config\""),
    product("Puppet and Katello", "settings ssl_client_header and ssl_client_verify_header, with Apache and Passenger"),
    product("RFC 9440", "§2.2, §2.3"),
    product("SAP Cloud Foundry", "application router and loggers, x-ssl-client-*"),
    product("SAP Web Dispatcher", "icm/HTTPS/client_certificate_header_name and its kin"),
    product("Tomcat", "org.apache.catalina.valves.SSLValve"),
    product("Traefik", "PassTLSClientCert; 1.7: X-Forwarded-Ssl-Client-Cert-Infos"),
    product("Undertow and WildFly", "SSLHeaderHandler"),
    product("WSO2", "Identity Server: client_certificate_header; API Manager: X-WSO2-CLIENT-CERTIFICATE"),
    product("WebSphere and Open Liberty", "HttpHeaderKeys.java, the private headers"),
    product("Wt", "wthttp, \"Client certificates behind a reverse proxy\""),
    product("authentik", "guide, \"Mutual TLS stage\""),
    product("ingress-nginx", "annotation auth-tls-pass-certificate-to-upstream"),
    product("libevhtp", "htp_sslutils, HTP_SSLUTILS_XHDR_*"),
    product("nginx", "variables $ssl_client_*, by `proxy_set_header`"),
    product("oidc-provider", "its tests of getCertificate and its kin"),
];

/// Those whose header the operator names: it is known if it has a name from here, or is one of `additional_headers`.
pub const NAMED_BY_THE_OPERATOR: &[&str] = &[
    "Apache Traffic Server",
    "Azure Application Gateway",
    "Caddy",
    "Connect2id",
    "Curity",
    "F5 BIG-IP",
    "HashiCorp Vault and OpenBao",
    "NetScaler",
    "PingAM and PingGateway",
    "PingFederate",
    "lighttpd",
];

const fn row(name: &'static str, claim: Claim, of: &'static [&'static str]) -> Row {
    Row { name, claim, of }
}

/// Every header that is removed from every request, in the order of their bytes. No name stands below a family.
///
/// Left alone, since requests carry them that know of no certificate: `X-Client-Id` and what else of `X-Client-` is not
/// here (an application's own), `SSL-Session` and `X-SSL` (whether there is TLS, as `X-Forwarded-Proto` says it),
/// `X-ARR-SSL` (the server's certificate), `X-Forwarded-SSL`, `X-Proxied-Https`, `WL-Proxy-Client-IP`, `Proxy-ip`, `$WSRA` and
/// its kin (addresses, hosts and ports), `X-Remote-User` and its kin (names of users), `l5d-remote-ip`, and
/// `X-Authentik-Outpost-Certificate`, which authentik believes of an outpost alone, by its token. `Proxy-` and `X-SSL-` are no
/// families for the same reason.
pub const ROWS: &[Row] = &[
    // $WSAT: how the user authenticated, CLIENT-CERT for one; $WSRU: as whom. With $WSCC they are what IBM calls sensitive.
    row("-wsat", Claim::Fact, &["WebSphere and Open Liberty"]),
    row("-wscc", Claim::Certificate, &["WebSphere and Open Liberty"]),
    // The cipher suite.
    row("-wscs", Claim::Fact, &["WebSphere and Open Liberty"]),
    // Whether the connection is TLS.
    row("-wsis", Claim::Fact, &["WebSphere and Open Liberty"]),
    row("-wsru", Claim::Fact, &["WebSphere and Open Liberty"]),
    // The TLS session.
    row("-wssi", Claim::Fact, &["WebSphere and Open Liberty"]),
    row("akamai-cc-*", Claim::Certificate, &["Akamai"]),
    row("cert-chain-*", Claim::Certificate, &["Keycloak"]),
    row("cf-cert-*", Claim::Verification, &["Cloudflare"]),
    row("cf-client-cert-*", Claim::Certificate, &["Cloudflare"]),
    row(
        "client-cert*",
        Claim::Certificate,
        &["RFC 9440", "HAProxy", "Keycloak", "Authlete", "Auth0", "Amazon CloudFront"],
    ),
    row("client-to-edge", Claim::Certificate, &["Akamai"]),
    row("cloudfront-viewer-cert-*", Claim::Certificate, &["Amazon CloudFront"]),
    // By this secret Auth0 knows the proxy, and believes its other headers.
    row("cname-api-key", Claim::Verification, &["Auth0"]),
    // The identity that the proxy verified.
    row("l5d-client-id", Claim::Verification, &["Linkerd"]),
    row("ms-aspnetcore-clientcert", Claim::Certificate, &["ASP.NET Core"]),
    // To Jetty it is the cipher suite.
    row("proxy-auth-cert", Claim::Certificate, &["Oracle iPlanet Web Server", "GlassFish", "Jetty"]),
    row("proxy-cipher", Claim::Fact, &["Oracle iPlanet Web Server"]),
    row("proxy-issuer-dn", Claim::Fact, &["Oracle iPlanet Web Server"]),
    row("proxy-keysize", Claim::Fact, &["Oracle iPlanet Web Server", "GlassFish"]),
    row("proxy-secret-keysize", Claim::Fact, &["Oracle iPlanet Web Server"]),
    row("proxy-ssl-id", Claim::Fact, &["Oracle iPlanet Web Server", "Jetty"]),
    row("proxy-user-dn", Claim::Fact, &["Oracle iPlanet Web Server"]),
    row("ssl-cert*", Claim::Certificate, &["Keycloak"]),
    row("ssl-cipher*", Claim::Fact, &["Tomcat", "Undertow and WildFly", "Apereo CAS", "SAP Web Dispatcher"]),
    row(
        "ssl-client-*",
        Claim::Certificate,
        &[
            "Apache httpd",
            "nginx",
            "ingress-nginx",
            "Keycloak",
            "Tomcat",
            "Undertow and WildFly",
            "Apereo CAS",
            "SAP Web Dispatcher",
            "Gravitee",
            "authentik",
        ],
    ),
    row("ssl-secure-protocol", Claim::Fact, &["Tomcat"]),
    row("ssl-session-id", Claim::Fact, &["Tomcat", "Undertow and WildFly", "Apereo CAS"]),
    // WL-Proxy-Client-<type> is a token of that type for WebLogic's identity assertion: these are of certificates.
    row("wl-proxy-client-cert", Claim::Certificate, &["Oracle WebLogic Server"]),
    row("wl-proxy-client-csi-*", Claim::Certificate, &["Oracle WebLogic Server"]),
    row("wl-proxy-client-keysize", Claim::Fact, &["Oracle WebLogic Server"]),
    row("wl-proxy-client-secretkeysize", Claim::Fact, &["Oracle WebLogic Server"]),
    row("wl-proxy-client-x-509", Claim::Certificate, &["Oracle WebLogic Server"]),
    row("wl-proxy-ssl", Claim::Fact, &["Oracle WebLogic Server"]),
    row("x-amzn-mtls-*", Claim::Certificate, &["AWS Application Load Balancer"]),
    row("x-arr-clientcert*", Claim::Certificate, &["Azure App Service", "Duende IdentityServer"]),
    row(
        "x-client-cert*",
        Claim::Certificate,
        &["Google Cloud Load Balancing", "Kong", "ASP.NET Core", "Puppet and Katello", "Pulp"],
    ),
    row("x-client-dn", Claim::Fact, &["Puppet and Katello"]),
    row("x-client-verify", Claim::Verification, &["Puppet and Katello"]),
    row("x-clientcert", Claim::Certificate, &["Gluu Server", "Janssen"]),
    row(
        "x-forwarded-client-cert*",
        Claim::Certificate,
        &["Envoy", "Keycloak", "Cloud Foundry", "SAP Cloud Foundry", "Gluu Server", "Janssen", "authentik"],
    ),
    row("x-forwarded-ssl-certificate", Claim::Certificate, &["Apache Felix"]),
    row("x-forwarded-ssl-client-*", Claim::Certificate, &["Apache Felix", "Traefik"]),
    row(
        "x-forwarded-tls-client-cert*",
        Claim::Certificate,
        &["Traefik", "Keycloak", "Gluu Server", "Janssen", "authentik"],
    ),
    row("x-ssl-cert*", Claim::Certificate, &["Authlete", "Pound", "libevhtp"]),
    row("x-ssl-cipher", Claim::Fact, &["Pound", "libevhtp"]),
    row(
        "x-ssl-client*",
        Claim::Certificate,
        &[
            "HAProxy",
            "OpenShift",
            "OpenStack Keystone",
            "Cloud Foundry",
            "SAP Cloud Foundry",
            "MuleSoft",
            "Wt",
            "oidc-provider",
        ],
    ),
    row("x-ssl-issuer*", Claim::Fact, &["HAProxy", "OpenShift", "OpenStack Keystone", "Pound", "libevhtp"]),
    row("x-ssl-notafter", Claim::Fact, &["Pound", "libevhtp"]),
    row("x-ssl-notbefore", Claim::Fact, &["Pound", "libevhtp"]),
    row("x-ssl-serial", Claim::Fact, &["Pound", "libevhtp"]),
    row("x-ssl-sha1", Claim::Fact, &["libevhtp"]),
    row("x-ssl-subject*", Claim::Fact, &["Pound", "libevhtp", "Puppet and Katello"]),
    row("x-tls-client-*", Claim::Certificate, &["MinIO KES"]),
    row("x-wso2-client-cert*", Claim::Certificate, &["WSO2"]),
    row("x-wso2-mtls-cert", Claim::Certificate, &["WSO2"]),
];

/// A row without what is for people, which has no place in the module.
#[derive(Clone, Copy)]
struct Known {
    /// Without the star.
    name: &'static [u8],
    is_family: bool,
    claim: Claim,
}

#[expect(clippy::indexing_slicing, reason = "it is computed when this is compiled")]
const KNOWN: [Known; ROWS.len()] = {
    let mut known = [Known { name: b"", is_family: false, claim: Claim::Fact }; ROWS.len()];
    let mut index = 0;
    while index < ROWS.len() {
        let Row { name, claim, .. } = ROWS[index];
        known[index] = match name.as_bytes() {
            [family @ .., b'*'] => Known { name: family, is_family: true, claim },
            name => Known { name, is_family: false, claim },
        };
        index += 1;
    }
    known
};

/// Longer names are compared by their beginning alone, which is all that a family looks at.
const LONGEST: usize = 32;

/// Whether a header of this name claims something about a client certificate.
#[must_use]
pub fn is_forwarding_header(name: &str) -> bool {
    claim_of(name).is_some()
}

/// What a header of this name claims about a client certificate, if anything: letters are compared without case, and every
/// other character but a digit counts as `-`, since servers behind CGI-like interfaces fold them. `X_ClientCert` and
/// `x.clientcert` reach an application as `X-ClientCert`.
#[must_use]
pub fn claim_of(name: &str) -> Option<Claim> {
    may_be_known(name.as_bytes()).then(|| look_up(name)).flatten()
}

fn look_up(name: &str) -> Option<Claim> {
    let mut buffer = [0_u8; LONGEST];
    for (slot, byte) in buffer.iter_mut().zip(name.bytes()) {
        *slot = folded(byte);
    }
    let folded = buffer.get(..name.len()).unwrap_or(&buffer);
    // In this order every name of a family comes behind the family's own and before the next row.
    let later = KNOWN.partition_point(|known| known.name <= folded);
    let known = KNOWN.get(later.checked_sub(1)?)?;
    let is_it = if known.is_family { folded.starts_with(known.name) } else { folded == known.name };
    is_it.then_some(known.claim)
}

/// Whether two bytes of the name stand together in the same place of a row: most headers are told apart by that.
fn may_be_known(name: &[u8]) -> bool {
    let stem = stem(name);
    let place = STEMS.get(stem).map_or(0, |stem| stem.len());
    let (Some(first), Some(second)) = (name.get(place), name.get(place.saturating_add(1))) else { return false };
    let seconds = TOGETHER.get(stem).and_then(|together| together.get(usize::from(class(*first))));
    seconds.is_some_and(|seconds| seconds >> class(*second) & 1 == 1)
}

/// With what many names begin: the two bytes are those behind it.
const STEMS: [&str; 4] = ["", "x-", "x-forwarded-", "proxy-"];

/// Which stem a name has if it has one of a row's.
const fn stem(name: &[u8]) -> usize {
    match name {
        [b'x' | b'X', _, b'f' | b'F', ..] => 2,
        [b'x' | b'X', ..] => 1,
        [b'p' | b'P', ..] => 3,
        _ => 0,
    }
}

/// One of 32 for each letter. What shares one with it is looked up in vain.
const fn class(byte: u8) -> u8 {
    folded(byte) & 31
}

/// For each stem and each class of the first byte those of the second.
#[expect(clippy::indexing_slicing, reason = "it is computed when this is compiled")]
const TOGETHER: [[u32; 32]; STEMS.len()] = {
    let mut together = [[0; 32]; STEMS.len()];
    let mut index = 0;
    while index < KNOWN.len() {
        let name = KNOWN[index].name;
        let stem = stem(name);
        let place = STEMS[stem].len();
        together[stem][class(name[place]) as usize] |= 1 << class(name[place + 1]);
        index += 1;
    }
    together
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_known_under_every_twin() {
        for Row { name, claim, .. } in ROWS {
            let (name, more) = match name.strip_suffix('*') {
                Some(family) => (family, &["", "x", "-0", "-and-more-than-the-thirty-two-that-are-compared"][..]),
                None => (*name, &[""][..]),
            };
            for more in more {
                let name = format!("{name}{more}");
                for other in "!#$%&'*+-.^_`|~".chars().map(String::from) {
                    for twin in [name.replace('-', &other), name.replacen('-', &other, 1)] {
                        assert_eq!(claim_of(&twin), Some(*claim), "{twin}");
                        assert_eq!(claim_of(&twin.to_uppercase()), Some(*claim), "{twin}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_more_or_less_than_a_name_is_another() {
        for name in ROWS.iter().map(|row| row.name).filter(|name| !name.ends_with('*')) {
            assert_eq!(claim_of(&format!("{name}x")), None, "{name}");
            assert_eq!(claim_of(&format!("{name}{}", "x".repeat(64))), None, "{name}");
        }
        for name in ROWS.iter().map(|row| row.name.trim_end_matches('*')) {
            assert_eq!(claim_of(name.split_at(name.len() - 1).0), None, "{name}");
            assert_eq!(claim_of(&format!("a{name}")), None, "{name}");
        }
    }

    #[test]
    fn every_name_of_the_field_is_known() {
        for (name, claim) in [
            ("Client-Cert", Claim::Certificate),
            ("Client-Cert-Chain", Claim::Certificate),
            ("X-Forwarded-Client-Cert", Claim::Certificate),
            ("X-ClientCert", Claim::Certificate),
            ("X-Forwarded-Tls-Client-Cert", Claim::Certificate),
            ("X-Forwarded-Tls-Client-Cert-Info", Claim::Certificate),
            ("X-Ssl-Cert", Claim::Certificate),
            ("X-Ssl-Cert-Chain-4", Claim::Certificate),
            ("client-certificate-ca-verified", Claim::Certificate),
            ("cname-api-key", Claim::Verification),
            ("SSL_CLIENT_CERT", Claim::Certificate),
            ("SSL_CLIENT_CERT_CHAIN_0", Claim::Certificate),
            ("SSL_CERT_CHAIN", Claim::Certificate),
            ("ssl_client_escaped_cert", Claim::Certificate),
            ("CERT_CHAIN_0", Claim::Certificate),
            ("X-SSL-Client-SAN-DNS", Claim::Certificate),
            ("X-SSL-Client", Claim::Certificate),
            ("X-Amzn-Mtls-Clientcert-Serial-Number", Claim::Certificate),
            ("X-ARR-ClientCert", Claim::Certificate),
            ("Cf-Client-Cert-Sha256", Claim::Certificate),
            ("Cf-Cert-Presented", Claim::Verification),
            ("CloudFront-Viewer-Cert-Pem", Claim::Certificate),
            ("Client-To-Edge", Claim::Certificate),
            ("X-Client-Cert-Chain-Verified", Claim::Certificate),
            ("x-wso2-mtls-cert", Claim::Certificate),
            ("X-WSO2-CLIENT-CERTIFICATE", Claim::Certificate),
            ("WL-Proxy-Client-Cert", Claim::Certificate),
            ("WL-Proxy-Client-X.509", Claim::Certificate),
            ("WL-Proxy-Client-CSI.X509CertChain", Claim::Certificate),
            ("WL-Proxy-Client-Keysize", Claim::Fact),
            ("WL-Proxy-Client-Secretkeysize", Claim::Fact),
            ("WL-Proxy-SSL", Claim::Fact),
            ("$WSCC", Claim::Certificate),
            ("$WSCS", Claim::Fact),
            ("$WSIS", Claim::Fact),
            ("$WSSI", Claim::Fact),
            ("$WSAT", Claim::Fact),
            ("$WSRU", Claim::Fact),
            ("MS-ASPNETCORE-CLIENTCERT", Claim::Certificate),
            ("X-SSL-certificate", Claim::Certificate),
            ("X-SSL-Subject", Claim::Fact),
            ("X-SSL-Issuer", Claim::Fact),
            ("X-SSL-serial", Claim::Fact),
            ("X-SSL-notBefore", Claim::Fact),
            ("X-SSL-notAfter", Claim::Fact),
            ("X-SSL-cipher", Claim::Fact),
            ("X-SSL-Issuer-CN", Claim::Fact),
            ("X-Client-DN", Claim::Fact),
            ("X-Client-Verify", Claim::Verification),
            ("l5d-client-id", Claim::Verification),
            ("ssl_cipher", Claim::Fact),
            ("ssl_cipher_usekeysize", Claim::Fact),
            ("SSL_CIPHER_SUITE", Claim::Fact),
            ("ssl_session_id", Claim::Fact),
            ("ssl_secure_protocol", Claim::Fact),
            ("Proxy-auth-cert", Claim::Certificate),
            ("Proxy-user-dn", Claim::Fact),
            ("Proxy-ssl-id", Claim::Fact),
            ("X-Forwarded-SSL-Certificate", Claim::Certificate),
            ("X-Forwarded-Ssl-Client-Cert-Infos", Claim::Certificate),
            ("X-Tls-Client-Cert", Claim::Certificate),
        ] {
            assert_eq!(claim_of(name), Some(claim), "{name}");
        }
    }

    #[test]
    fn other_headers_are_left_alone() {
        for name in [
            "",
            "x",
            "x-",
            "p",
            "authorization",
            ":path",
            ":authority",
            "content-type",
            "cookie",
            "client-id",
            "x-client-id",
            "x-client-version",
            "x-client-serial",
            "x-request-id",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-ssl",
            "x-arr-ssl",
            "x-ssl",
            "x-ssl-ja4",
            "ssl-session",
            "proxy-authorization",
            "proxy-connection",
            "proxy-authenticate",
            "wl-proxy-client-ip",
            "cloudfront-viewer-country",
            "l5d-remote-ip",
            "$wsra",
            "$wssn",
            "dpop",
            "cf-ray",
            "cf-connecting-ip",
            "a-header-with-a-name-of-more-than-thirty-two-characters",
            "caf\u{e9}-client-cert",
        ] {
            assert!(!is_forwarding_header(name), "{name}");
        }
    }

    #[test]
    fn what_every_request_has_is_told_apart_at_the_first_look() {
        for name in [
            ":authority",
            ":method",
            ":path",
            ":scheme",
            "accept",
            "accept-encoding",
            "accept-language",
            "authorization",
            "cache-control",
            "connection",
            "content-length",
            "content-type",
            "cookie",
            "dpop",
            "host",
            "origin",
            "pragma",
            "priority",
            "referer",
            "sec-fetch-mode",
            "te",
            "traceparent",
            "user-agent",
            "x-envoy-external-address",
            "x-envoy-internal",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-port",
            "x-forwarded-proto",
            "x-request-id",
        ] {
            assert!(!may_be_known(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn the_rows_stand_in_order_fit_the_buffer_and_are_of_known_products() {
        let stems: Vec<_> = KNOWN.iter().map(|known| std::str::from_utf8(known.name).unwrap()).collect();
        for (one, two) in stems.iter().zip(&stems[1..]) {
            assert!(one < two, "{one} {two}");
        }
        for (index, name) in stems.iter().enumerate() {
            let begins = |at: &usize| name.starts_with(stems[*at]) && KNOWN[*at].is_family;
            assert_eq!((0..stems.len()).filter(|at| *at != index).find(begins), None, "{name} stands below a family");
            assert!(name.len() < LONGEST && may_be_known(name.as_bytes()), "{name}");
            assert!(name.bytes().all(|byte| folded(byte) == byte && !byte.is_ascii_control()), "{name}");
            assert!(name.starts_with(STEMS[stem(name.as_bytes())]), "{name}");
        }
    }

    #[test]
    fn every_product_of_the_field_has_a_row() {
        let mut used: Vec<_> = ROWS.iter().flat_map(|row| row.of).collect();
        used.sort_unstable();
        used.dedup();
        assert_eq!(used, PRODUCTS.iter().map(|product| &product.name).collect::<Vec<_>>());
        assert!(PRODUCTS.iter().all(|product| !product.source.is_empty()));
        // What hands over and reads no header, or one of another product's: Envoy's, nginx's, Tomcat's.
        let without_their_own = "APIcast, APISIX, AWS API Gateway, Apigee, Athenz, Auth0's SDK, Authlib, Azure API Management, \
             Casdoor, Emissary, Envoy Gateway, Gloo, Higress, INDIGO IAM, Istio, KrakenD, NGINX Plus, Oathkeeper, Okta, Ory \
             Hydra, PingAccess, SAP's security libraries, Spring Authorization Server, Spring Security, Tyk, ZITADEL, Zuplo, \
             gunicorn, h2o, hitch, http-proxy, http2-proxy, lua-resty-openidc, mod_auth_openidc, mod_oauth2, nghttpx, \
             oauth2-proxy, stunnel, uWSGI";
        for product in without_their_own.split(", ").chain(NAMED_BY_THE_OPERATOR.iter().copied()) {
            assert!(!PRODUCTS.iter().any(|other| other.name == product), "{product}");
        }
    }
}
