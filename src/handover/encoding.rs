// SPDX-License-Identifier: Apache-2.0

//! How a certificate is written into a header.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::certificate::Certificate;
use crate::certificate::thumbprint::Thumbprint;
use crate::text::percent;

/// How one certificate is written: visible ASCII and single spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub enum Encoding {
    /// The PEM with a line end after each line, percent-encoded as a component of a URL.
    PemUrl,
    /// The PEM with a space for each line end, as Apache's `%{SSL_CLIENT_CERT}s` has it.
    PemApache,
    /// What nginx's `$ssl_client_escaped_cert` has: the same as `pem_url`.
    PemNginxEscaped,
    /// The DER in base64 (RFC 4648 §4), on one line.
    DerBase64,
    /// The DER as a byte sequence of Structured Fields (RFC 9440 §2.1, RFC 8941 §3.3.5).
    SfBinary,
    /// What Envoy writes into X-Forwarded-Client-Cert with nothing but the certificate: `Hash` and `Cert`.
    Xfcc,
    /// The SHA-256 of the DER in lower-case hexadecimal digits.
    #[serde(rename = "sha256_hex")]
    Sha256Hex,
    /// The same in base64url, as in a token's `x5t#S256` (RFC 8705 §3.1).
    #[serde(rename = "x5t_s256")]
    X5tS256,
}

impl Encoding {
    /// Every encoding there is.
    pub const ALL: &[Self] = &[
        Self::PemUrl,
        Self::PemApache,
        Self::PemNginxEscaped,
        Self::DerBase64,
        Self::SfBinary,
        Self::Xfcc,
        Self::Sha256Hex,
        Self::X5tS256,
    ];

    /// The certificate in these bytes.
    #[must_use]
    pub fn encode(self, der: &[u8]) -> String {
        match self {
            Self::PemUrl | Self::PemNginxEscaped => percent_encoded_pem(der),
            Self::PemApache => apache_pem(der),
            Self::DerBase64 => STANDARD.encode(der),
            Self::SfBinary => format!(":{}:", STANDARD.encode(der)),
            Self::Xfcc => xfcc(der),
            Self::Sha256Hex => Thumbprint::of_der(der).hex(),
            Self::X5tS256 => Thumbprint::of_der(der).to_string(),
        }
    }

    /// The name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PemUrl => "pem_url",
            Self::PemApache => "pem_apache",
            Self::PemNginxEscaped => "pem_nginx_escaped",
            Self::DerBase64 => "der_base64",
            Self::SfBinary => "sf_binary",
            Self::Xfcc => "xfcc",
            Self::Sha256Hex => "sha256_hex",
            Self::X5tS256 => "x5t_s256",
        }
    }

    /// What stands between two of them.
    pub(crate) fn separator(self) -> &'static str {
        // RFC 8941 §4.1.1 serializes a list so.
        if self == Self::SfBinary { ", " } else { "," }
    }
}

/// Envoy's other elements (`Subject`, `URI`, `DNS`) hold text of the client's choice, partly unquoted.
fn xfcc(der: &[u8]) -> String {
    format!("Hash={};Cert=\"{}\"", Thumbprint::of_der(der).hex(), percent_encoded_pem(der))
}

/// The same with the chain, which begins with the certificate itself, as Envoy has it.
pub(crate) fn xfcc_with_chain(der: &[u8], chain: &[Vec<u8>]) -> String {
    let leaf = percent_encoded_pem(der);
    let mut value = format!("Hash={};Cert=\"{leaf}\";Chain=\"{leaf}", Thumbprint::of_der(der).hex());
    for certificate in chain {
        value.push_str(&percent_encoded_pem(certificate));
    }
    value.push('"');
    value
}

/// The last line has no space behind it, since white space around a value means nothing.
fn apache_pem(der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    Certificate::pem_lines(&base64).collect::<Vec<_>>().join(" ")
}

fn percent_encoded_pem(der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut encoded = String::with_capacity(base64.len().saturating_mul(5) / 4);
    for line in Certificate::pem_lines(&base64) {
        percent::encode(line, &mut encoded, |byte| byte.is_ascii_alphanumeric() || byte == b'-');
        encoded.push_str("%0A");
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::thumbprint::APPENDIX_A;

    /// Each as another program wrote it for the certificate of RFC 8705, Appendix A.
    #[test]
    fn the_certificate_of_appendix_a_is_written_as_others_write_it() {
        let der = STANDARD.decode(APPENDIX_A).unwrap();
        let escaped = Encoding::PemUrl.encode(&der);
        assert!(escaped.starts_with("-----BEGIN%20CERTIFICATE-----%0AMIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAx%0AODEyMzcw"));
        assert!(escaped.ends_with("Q2DmFfQj1L%2BSY%3D%0A-----END%20CERTIFICATE-----%0A"));
        assert_eq!(escaped.len(), 452);
        assert_eq!(Encoding::PemNginxEscaped.encode(&der), escaped);
        assert_eq!(Encoding::DerBase64.encode(&der), APPENDIX_A);
        assert_eq!(Encoding::SfBinary.encode(&der), format!(":{APPENDIX_A}:"));
        let hex = "0380ed2f626650c840b2f263e6d2b29fae12ab39ae5db32b25ad27efad72e6fd";
        assert_eq!(Encoding::Sha256Hex.encode(&der), hex);
        assert_eq!(Encoding::X5tS256.encode(&der), "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0");
        assert_eq!(Encoding::Xfcc.encode(&der), format!("Hash={hex};Cert=\"{escaped}\""));
        let apache = Encoding::PemApache.encode(&der);
        assert!(
            apache.starts_with("-----BEGIN CERTIFICATE----- MIIBBjCB")
                && apache.ends_with("SY= -----END CERTIFICATE-----")
        );
        assert_eq!(xfcc_with_chain(&der, &[]), format!("Hash={hex};Cert=\"{escaped}\";Chain=\"{escaped}\""));
        assert_eq!(
            xfcc_with_chain(&der, std::slice::from_ref(&der)),
            format!("Hash={hex};Cert=\"{escaped}\";Chain=\"{escaped}{escaped}\"")
        );
    }
}
