//! The forms in which authorization servers read a client certificate from a header.

use serde::Deserialize;

use super::Certificate;

/// One header and the encoding of the certificate in it: a row of a table.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Dialect {
    row: &'static Row,
}

#[derive(Debug)]
struct Row {
    name: &'static str,
    header: &'static str,
    encode: fn(&Certificate) -> String,
}

const DIALECTS: &[Row] = &[
    // RFC 9440 §2.2: the DER as a Structured Fields byte sequence.
    Row { name: "rfc9440", header: "client-cert", encode: structured_field },
    // What Apache's `RequestHeader set X-ClientCert %{SSL_CLIENT_CERT}s` writes, as Gluu's documentation has it.
    Row { name: "gluu", header: "x-clientcert", encode: apache_pem },
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

    /// The header's name, in lower case.
    #[must_use]
    pub fn header(&self) -> &'static str {
        self.row.header
    }

    /// The header's value for this certificate: visible ASCII and single spaces.
    #[must_use]
    pub fn encode(&self, certificate: &Certificate) -> String {
        (self.row.encode)(certificate)
    }
}

/// `X-Forwarded-Client-Cert` as Envoy writes it with nothing but the certificate: its digest and its PEM.
/// Envoy's other elements (`Subject`, `URI`, `DNS`) hold text of the client's choice, partly unquoted.
#[must_use]
pub fn x_forwarded_client_cert(certificate: &Certificate) -> String {
    format!("Hash={};Cert=\"{}\"", certificate.thumbprint().hex(), percent_encoded_pem(certificate))
}

fn structured_field(certificate: &Certificate) -> String {
    format!(":{}:", certificate.base64())
}

/// The PEM with a space for each line end; the last line has none, since white space around a value means nothing.
fn apache_pem(certificate: &Certificate) -> String {
    let base64 = certificate.base64();
    Certificate::pem_lines(&base64).collect::<Vec<_>>().join(" ")
}

/// The PEM with a line end after each line, percent-encoded where a PEM has characters that need it.
fn percent_encoded_pem(certificate: &Certificate) -> String {
    let base64 = certificate.base64();
    let mut encoded = String::with_capacity(base64.len().saturating_mul(5) / 4);
    for line in Certificate::pem_lines(&base64) {
        for character in line.chars() {
            match character {
                ' ' => encoded.push_str("%20"),
                '+' => encoded.push_str("%2B"),
                '/' => encoded.push_str("%2F"),
                '=' => encoded.push_str("%3D"),
                plain => encoded.push(plain),
            }
        }
        encoded.push_str("%0A");
    }
    encoded
}
