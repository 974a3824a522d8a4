// SPDX-License-Identifier: Apache-2.0

//! A request to an authorization server, on a connection with any certificate or none: the server sees the
//! connection's own certificate, once in each header that the policy names, or nothing at all.

use std::sync::LazyLock;

use arbitrary::{Arbitrary, Unstructured};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use certbound::http::header_map::borrowed;
use certbound::jose::signature::PortableEngine;
use certbound::time::UnixTime;
use certbound::{Policies, Request};
use sha2::{Digest as _, Sha256};

use super::upstream::{Headers, Host, end};
use super::{header_name, route_metadata};

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

#[derive(Debug, Arbitrary)]
struct Scenario<'a> {
    policy: Policy,
    validated: Option<bool>,
    digest: Digest<'a>,
    certificate: Certificate<'a>,
    forged: Vec<&'a [u8]>,
    others: Vec<(&'a str, &'a [u8])>,
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum Policy {
    Validated,
    ByListener,
    Presented,
    RebuildOnly,
    Open,
}

/// What the host says of the certificate's digest.
#[derive(Debug, Arbitrary)]
enum Digest<'a> {
    Right,
    UpperCase,
    None,
    Other([u8; 32]),
    Raw(&'a [u8]),
}

/// What it hands over for the certificate.
#[derive(Debug, Arbitrary)]
enum Certificate<'a> {
    /// One block with one SEQUENCE of these contents.
    Made {
        line_end: LineEnd,
        width: u8,
        percent_encoded: bool,
        contents: &'a [u8],
    },
    /// One block with these bytes.
    Bytes(&'a [u8]),
    None,
    Raw(&'a [u8]),
}

#[derive(Clone, Copy, Debug, Arbitrary)]
enum LineEnd {
    Unix,
    Windows,
    Space,
}

static POLICIES: LazyLock<Policies> = LazyLock::new(|| {
    let text = r#"{"policies": {
        "validated": {"authorization_server": {
            "forward_certificate": [{"dialect": "gluu"}, {"dialect": "rfc9440"}], "x_forwarded_client_cert": "rebuild"}},
        "by-listener": {"authorization_server": {
            "forward_certificate": [{"dialect": "gluu"}], "client_certificate": "validated_by_listener"}},
        "presented": {"authorization_server": {
            "forward_certificate": [{"dialect": "rfc9440"}], "client_certificate": "presented"}},
        "rebuild-only": {"authorization_server": {
            "forward_certificate": [], "client_certificate": "presented", "x_forwarded_client_cert": "rebuild"}},
        "open": {"clean_only": {}}
    }, "default_policy": "open"}"#;
    Policies::load(text.as_bytes()).unwrap()
});

impl Policy {
    fn name(self) -> &'static str {
        match self {
            Self::Validated => "validated",
            Self::ByListener => "by-listener",
            Self::Presented => "presented",
            Self::RebuildOnly => "rebuild-only",
            Self::Open => "open",
        }
    }

    fn headers(self) -> &'static [&'static str] {
        match self {
            Self::Validated => &["client-cert", "x-clientcert", "x-forwarded-client-cert"],
            Self::ByListener => &["x-clientcert"],
            Self::Presented => &["client-cert"],
            Self::RebuildOnly => &["x-forwarded-client-cert"],
            Self::Open => &[],
        }
    }
}

impl Certificate<'_> {
    fn der(&self) -> Vec<u8> {
        match self {
            Self::Made { contents, .. } => sequence(contents),
            Self::Bytes(bytes) | Self::Raw(bytes) => bytes.to_vec(),
            Self::None => Vec::new(),
        }
    }

    fn pem(&self) -> Option<Vec<u8>> {
        let (line_end, width, percent_encoded) = match self {
            Self::Made { line_end, width, percent_encoded, .. } => (*line_end, *width, *percent_encoded),
            Self::Bytes(_) => (LineEnd::Unix, 63, false),
            Self::None => return None,
            Self::Raw(bytes) => return Some(bytes.to_vec()),
        };
        let base64 = STANDARD.encode(self.der());
        let body = base64.as_bytes().chunks(usize::from(width) + 1).map(|line| std::str::from_utf8(line).unwrap());
        let lines: Vec<_> = std::iter::once(BEGIN).chain(body).chain([END, ""]).collect();
        let line_end = match line_end {
            LineEnd::Unix => "\n",
            LineEnd::Windows => "\r\n",
            LineEnd::Space => " ",
        };
        let encode = |byte: u8| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        };
        let text = lines.join(line_end);
        Some(if percent_encoded { text.bytes().map(encode).collect::<String>() } else { text }.into_bytes())
    }
}

pub fn check(input: &[u8]) {
    let Ok(scenario) = Scenario::arbitrary(&mut Unstructured::new(input)) else {
        return;
    };
    let Scenario { policy, validated, digest, certificate, forged, others } = &scenario;
    let der = certificate.der();
    let digest = match digest {
        Digest::Right => Some(hex(&Sha256::digest(&der)).into_bytes()),
        Digest::UpperCase => Some(hex(&Sha256::digest(&der)).to_uppercase().into_bytes()),
        Digest::None => None,
        Digest::Other(bytes) => Some(hex(bytes).into_bytes()),
        Digest::Raw(bytes) => Some(bytes.to_vec()),
    };
    let mut headers: Headers = Vec::new();
    headers.extend(forged.iter().map(|choices| (header_name::spelt(choices), b"forged".to_vec())));
    headers.extend(others.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())));
    let metadata = route_metadata::encoded(b"policy", policy.name().as_bytes());
    let request = Request {
        headers: &borrowed(&headers),
        route_metadata: Some(&metadata),
        peer_digest: digest.as_deref(),
        now: UnixTime::EPOCH,
    };
    let pem = certificate.pem();
    let host = Host { validated: *validated, certificate: pem.as_deref(), body: None };
    let end = end(&POLICIES, &request, &PortableEngine, host);

    let no_certificate = digest.as_deref().is_none_or(<[u8]>::is_empty);
    let not_validated = matches!(policy, Policy::Validated) && *validated != Some(true);
    match end {
        Ok(seen) => {
            let names = if no_certificate || not_validated { &[] } else { policy.headers() };
            let handed = seen.iter().filter(|(name, _)| header_name::is_known(name)).map(|(name, _)| name.as_str());
            let mut handed: Vec<_> = handed.collect();
            handed.sort_unstable();
            assert_eq!(handed, names, "{scenario:?}");
            for (name, value) in seen.iter().filter(|(name, _)| header_name::is_known(name)) {
                let der = certificate_in(name, std::str::from_utf8(value).unwrap());
                let is_sequence = (2..=4).any(|start| der.get(start..).is_some_and(|rest| sequence(rest) == der));
                assert!(is_sequence, "{scenario:?}");
                assert_eq!(Some(hex(&Sha256::digest(der))), digest_text(digest.as_deref()), "{scenario:?}");
            }
        }
        Err(refusal) => {
            let made = matches!(certificate, Certificate::Made { .. });
            let right = matches!(scenario.digest, Digest::Right | Digest::UpperCase | Digest::None);
            let answered = !matches!(policy, Policy::Validated) || validated.is_some();
            assert!(!(made && right && answered), "{refusal:?} {scenario:?}");
            assert!(!matches!(policy, Policy::Open) && !no_certificate, "{refusal:?} {scenario:?}");
        }
    }
}

/// The DER in a header's value, as a server would read it.
fn certificate_in(name: &str, value: &str) -> Vec<u8> {
    let block = |text: &str| text.strip_prefix(BEGIN).unwrap().strip_suffix(END).unwrap().replace([' ', '\n'], "");
    let base64 = match name {
        // RFC 9440 §2.2, RFC 8941 §3.3.5.
        "client-cert" => value.strip_prefix(':').unwrap().strip_suffix(':').unwrap().to_owned(),
        "x-clientcert" => block(value),
        _ => {
            let (hash, pem) = value.strip_prefix("Hash=").unwrap().split_once(";Cert=\"").unwrap();
            let pem = pem.strip_suffix('"').unwrap();
            let pem = [("%20", " "), ("%0A", "\n"), ("%2B", "+"), ("%2F", "/"), ("%3D", "=")]
                .iter()
                .fold(pem.to_owned(), |text, (encoded, plain)| text.replace(encoded, plain));
            let base64 = block(pem.trim_end());
            assert_eq!(hash, hex(&Sha256::digest(STANDARD.decode(&base64).unwrap())));
            base64
        }
    };
    STANDARD.decode(base64).unwrap()
}

/// An ASN.1 SEQUENCE in DER (X.690 §8.9, §10.1), of less than 64 KiB.
fn sequence(contents: &[u8]) -> Vec<u8> {
    let [.., high, low] = contents.len().to_be_bytes();
    let length = match contents.len() {
        0..=0x7f => vec![low],
        0x80..=0xff => vec![0x81, low],
        _ => vec![0x82, high, low],
    };
    [&[0x30], length.as_slice(), contents].concat()
}

fn digest_text(digest: Option<&[u8]>) -> Option<String> {
    digest.map(|digest| String::from_utf8_lossy(digest).to_lowercase())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
