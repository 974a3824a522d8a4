//! The headers that proxies use to tell a server about a client certificate.
//!
//! A server that believes one of them believes whoever sent it, so every copy that a client sent must go, whatever
//! the policy forwards and whatever server stands behind.

use crate::header_name::folded;

/// Names that are used to forward a certificate or a fact about it, folded as [`is_forwarding_header`] folds.
/// Sources: RFC 9440; Apache, nginx, HAProxy, Traefik, Envoy; AWS, Azure, Cloudflare, Akamai, Google Cloud, Kong;
/// Gluu and Janssen, Authlete, Auth0, WSO2, Keycloak, oidc-provider.
const NAMES: &[&str] =
    &["client-to-edge", "cname-api-key", "ssl-cert", "x-clientcert", "x-ssl-cert", "x-wso2-mtls-cert"];

/// Families of such names: every header that starts so.
const PREFIXES: &[&str] = &[
    "cert-chain-",
    "cf-cert-",
    "cf-client-cert-",
    "client-cert",
    "ssl-client-",
    "x-amzn-mtls-",
    "x-arr-clientcert",
    "x-client-cert",
    "x-forwarded-client-cert",
    "x-forwarded-ssl-client-",
    "x-forwarded-tls-client-cert",
    "x-ssl-cert-",
    "x-ssl-client-",
    "x-tls-client-",
    "x-wso2-client-cert",
];

/// Longer names are compared by their beginning alone, which is all that a prefix looks at.
const LONGEST: usize = 32;

/// Whether a header of this name claims something about a client certificate.
///
/// Letters are compared without case, and every other character but a digit counts as `-`: servers behind CGI-like interfaces
/// fold them, so `X_ClientCert` and `x!clientcert` reach an application as `X-ClientCert`.
#[must_use]
pub fn is_forwarding_header(name: &str) -> bool {
    if !may_be_known(name) {
        return false;
    }
    let mut buffer = [0_u8; LONGEST];
    let mut length = 0_usize;
    for (slot, byte) in buffer.iter_mut().zip(name.bytes()) {
        *slot = folded(byte);
        length = length.saturating_add(1);
    }
    let folded = buffer.get(..length).unwrap_or_default();
    let whole = name.len() == length;
    (whole && NAMES.iter().any(|known| known.as_bytes() == folded))
        || PREFIXES.iter().any(|prefix| folded.starts_with(prefix.as_bytes()))
}

/// Whether the beginning is one that names of the lists have: most headers are told apart by it.
fn may_be_known(name: &str) -> bool {
    match *name.as_bytes() {
        [b'c' | b'C', second, ..] => matches!(second.to_ascii_lowercase(), b'e' | b'f' | b'l' | b'n'),
        [b's' | b'S', second, ..] => second.eq_ignore_ascii_case(&b's'),
        // `x-forwarded-` and one more: every proxy writes such headers, and few are about a certificate.
        [b'x' | b'X', _, b'f' | b'F', _, _, _, _, _, _, _, _, _, next, ..] => {
            matches!(next.to_ascii_lowercase(), b'c' | b's' | b't')
        }
        [b'x' | b'X', _, third, ..] => matches!(third.to_ascii_lowercase(), b'a' | b'c' | b's' | b't' | b'w'),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_field_is_known_under_every_twin() {
        for name in [
            "Client-Cert",
            "Client-Cert-Chain",
            "X-Forwarded-Client-Cert",
            "X-ClientCert",
            "X-Forwarded-Tls-Client-Cert",
            "X-Forwarded-Tls-Client-Cert-Info",
            "X-Ssl-Cert",
            "X-Ssl-Cert-Chain-0",
            "X-Ssl-Cert-Chain-4",
            "client-certificate",
            "client-certificate-ca-verified",
            "cname-api-key",
            "ssl-client-cert",
            "ssl-client-verify",
            "SSL_CLIENT_CERT",
            "SSL_CLIENT_CERT_CHAIN_0",
            "CERT_CHAIN_0",
            "X-SSL-Client-Cert",
            "X-SSL-Client-Verify",
            "X-SSL-Client-SAN-DNS",
            "x-ssl-client-certificate",
            "x-ssl-client-subject-dn",
            "X-Amzn-Mtls-Clientcert",
            "X-Amzn-Mtls-Clientcert-Leaf",
            "X-Amzn-Mtls-Clientcert-Serial-Number",
            "X-ARR-ClientCert",
            "Cf-Client-Cert-Der-Base64",
            "Cf-Client-Cert-Sha256",
            "Cf-Cert-Presented",
            "Client-To-Edge",
            "X-Client-Cert",
            "X-Client-Cert-Leaf",
            "X-Client-Cert-Chain-Verified",
            "x-wso2-mtls-cert",
            "X-WSO2-CLIENT-CERTIFICATE",
        ] {
            for twin in [
                name.to_owned(),
                name.to_lowercase(),
                name.to_uppercase(),
                name.replace('-', "_"),
                name.replace('-', "."),
                name.replace('-', "!"),
                name.replace('-', "~"),
                name.replacen('-', "_", 1),
            ] {
                assert!(is_forwarding_header(&twin), "{twin}");
            }
        }
    }

    #[test]
    fn other_headers_are_left_alone() {
        for name in [
            "",
            "authorization",
            ":path",
            "content-type",
            "cookie",
            "client-id",
            "x-client-id",
            "x-request-id",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-ssl-certificates-are-fun",
            "ssl-session",
            "dpop",
            "cf-ray",
            "a-header-with-a-name-of-more-than-thirty-two-characters",
        ] {
            assert!(!is_forwarding_header(name), "{name}");
        }
    }

    #[test]
    fn every_listed_name_starts_as_the_first_look_expects_and_fits_the_buffer() {
        for name in NAMES.iter().chain(PREFIXES) {
            assert!(may_be_known(name) && name.len() < LONGEST, "{name}");
        }
    }
}
