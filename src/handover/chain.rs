// SPDX-License-Identifier: Apache-2.0

//! The certificates that a client sent behind its own. The host has no property for them: Envoy writes them into
//! `X-Forwarded-Client-Cert`, where the operator has it do so (`set_current_client_cert_details: { chain: true }`).

use crate::certificate::pem;
use crate::certificate::thumbprint::Thumbprint;
use crate::text::json::{self, Json};

/// More are not read: no chain in use has so many.
pub(crate) const MOST: usize = 10;

/// No header is longer than what Envoy takes for all of them.
const LONGEST_VALUE: usize = 64 * 1024;

/// What is known of the certificates behind the client's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chain {
    /// Nothing that belongs to the certificate of this connection was handed over.
    Unknown,
    /// These, in the order in which the client sent them, without its own: ten at most, or none.
    Known(Vec<Vec<u8>>),
    /// There may be one, which is not handed over: more than ten, or in a text that cannot be read.
    Lost,
}

impl Chain {
    /// The chain in a value of `X-Forwarded-Client-Cert`, if its first certificate has the thumbprint of the
    /// connection's.
    ///
    /// The rest of the value is of no use: Envoy leaves `URI` and `DNS` unquoted, so a client's certificate can make
    /// whole elements of it. It can make a `Chain` too, with its own certificate in front; but what follows is the
    /// client's choice in the handshake as well, and to be believed as far as whoever reads it can build a path.
    #[must_use]
    pub fn of_connection(value: &[u8], presented: &Thumbprint) -> Self {
        if value.len() > LONGEST_VALUE {
            return Self::Lost;
        }
        let seems_json = value.starts_with(b"[");
        let in_json = seems_json.then(|| json::value(value)).flatten().map(|document| chains_in_json(&document));
        let texts = match &in_json {
            Some(chains) => chains.iter().map(String::as_bytes).collect(),
            // A client's own value can begin like JSON, where Envoy puts an element behind it.
            None => elements(value, b"Chain="),
        };
        // The element that the nearest proxy wrote is the last.
        let found = texts.into_iter().rev().find_map(|text| {
            let certificates = pem::certificates_der(text)?;
            let (leaf, rest) = certificates.split_first()?;
            (Thumbprint::of_der(leaf) == *presented).then(|| rest.to_vec())
        });
        match found {
            None if seems_json && in_json.is_none() => Self::Lost,
            None => Self::Unknown,
            Some(rest) if rest.len() > MOST => Self::Lost,
            Some(rest) => Self::Known(rest),
        }
    }
}

/// The certificate of the connection in a value of `X-Forwarded-Client-Cert`, as PEM: for hosts that do not hand it over
/// otherwise (Envoy before 1.38), where the operator has Envoy write it (`set_current_client_cert_details: { cert: true }`).
#[must_use]
pub fn certificate_of_connection<'a>(value: &'a [u8], presented: &Thumbprint) -> Option<&'a [u8]> {
    let is_own = |text: &&[u8]| pem::certificate_der(text).is_some_and(|der| Thumbprint::of_der(&der) == *presented);
    let value = Some(value).filter(|value| value.len() <= LONGEST_VALUE)?;
    elements(value, b"Cert=").into_iter().rev().find(is_own)
}

/// The members `chain` of the elements that Envoy wrote as JSON (`set_current_client_cert_details: { format: JSON }`, since 1.38):
/// PEM, a text for each certificate.
fn chains_in_json(document: &Json<'_>) -> Vec<String> {
    let mut chains = Vec::new();
    for element in document.as_list().unwrap_or_default() {
        let Json::Object(element) = element else { continue };
        let mut chain = String::new();
        for pem in element.get("chain").and_then(Json::as_list).unwrap_or_default() {
            chain.push_str(pem.as_str().unwrap_or_default());
        }
        chains.push(chain);
    }
    chains
}

/// The text of every `KEY="..."`, in their order.
fn elements<'a>(value: &'a [u8], key: &[u8]) -> Vec<&'a [u8]> {
    let text = |pair: &'a [u8]| {
        let (own, text) = pair.split_at_checked(key.len())?;
        own.eq_ignore_ascii_case(key).then_some(text)?.strip_prefix(b"\"")?.strip_suffix(b"\"")
    };
    pairs(value).into_iter().filter_map(text).collect()
}

/// What stands between `;` and `,` outside of quotes.
fn pairs(value: &[u8]) -> Vec<&[u8]> {
    let mut quotes = Quotes::default();
    let separates = |byte: &u8| !quotes.are_open_before(*byte) && matches!(byte, b';' | b',');
    value.split(separates).map(<[u8]>::trim_ascii).collect()
}

#[derive(Default)]
struct Quotes {
    open: bool,
    escaped: bool,
}

impl Quotes {
    /// Goes on behind this byte, and says where it stands itself.
    fn are_open_before(&mut self, byte: u8) -> bool {
        let open = self.open;
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = open,
            b'"' => self.open = !open,
            _ => {}
        }
        open
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::certificate::Certificate;
    use crate::handover::encoding::{Encoding, xfcc_with_chain};

    fn der(content: u8) -> Vec<u8> {
        vec![0x30, 0x01, content]
    }

    fn in_json(own: u8, chain: &[u8]) -> String {
        let pem = |content: &u8| pem_of(&der(*content));
        let chain: Vec<_> = chain.iter().map(pem).collect();
        let hash = Thumbprint::of_der(&der(own)).hex();
        serde_json::json!({ "hash": hash, "cert": pem(&own), "chain": chain, "subject": "CN=\"],", "uri": ["a"] })
            .to_string()
    }

    fn pem_of(der: &[u8]) -> String {
        Certificate::pem_lines(&STANDARD.encode(der)).map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn the_chain_in_json_is_what_follows_the_certificate_of_the_connection() {
        let chain = |value: &str| Chain::of_connection(value.as_bytes(), &Thumbprint::of_der(&der(1)));
        let (one, other) = (in_json(1, &[1, 2, 3]), in_json(9, &[9, 2]));
        let known = Chain::Known(vec![der(2), der(3)]);
        assert_eq!(chain(&format!("[{one}]")), known);
        assert_eq!(chain(&format!("[{other},{one}]")), known);
        assert_eq!(chain(&format!("[{{\"chain\":1}},{one},{other}]")), known);
        assert_eq!(chain(&format!("[{}]", in_json(1, &[1]))), Chain::Known(vec![]));
        assert_eq!(chain(&format!("[{}]", in_json(1, &[1; 12]))), Chain::Lost);
        let repeated = one.replacen('{', "{\"chain\":[],", 1);
        for value in [&one, "[]", "[{}]", "[1]", &format!("[{other}]")] {
            assert_eq!(chain(value), Chain::Unknown, "{value}");
        }
        for value in ["[", &format!("[{one}],"), &format!("[{repeated}]"), &format!("[{one}]{}", " ".repeat(65536))] {
            assert_eq!(chain(value), Chain::Lost, "{value}");
        }
    }

    #[test]
    fn the_chain_is_what_follows_the_certificate_of_the_connection() {
        let own = Thumbprint::of_der(&der(1));
        let chain = |value: &str| Chain::of_connection(value.as_bytes(), &own);
        let one = xfcc_with_chain(&der(1), &[der(2), der(3)]);
        assert_eq!(chain(&one), Chain::Known(vec![der(2), der(3)]));
        assert_eq!(chain(&xfcc_with_chain(&der(1), &[])), Chain::Known(vec![]));
        let other = xfcc_with_chain(&der(9), &[der(2)]);
        assert_eq!(chain(&other), Chain::Unknown);
        assert_eq!(chain(&format!("{other},{one}")), Chain::Known(vec![der(2), der(3)]));
        assert_eq!(
            chain(&format!("By=a;Subject=\"CN=\\\",;Chain=\\\"x\\\"\";URI=a,{one}")),
            Chain::Known(vec![der(2), der(3)])
        );
        assert_eq!(chain(&Encoding::Xfcc.encode(&der(1))), Chain::Unknown);
        for value in ["", "Chain=", "Chain=\"", "Chain=\"%\"", "Chain=\"\"", ";;,,\"", "Chain=x"] {
            assert_eq!(chain(value), Chain::Unknown, "{value}");
        }
        let pem = certificate_of_connection(one.as_bytes(), &own).unwrap();
        assert_eq!(pem::certificate_der(pem), Some(der(1)));
        assert_eq!(certificate_of_connection(other.as_bytes(), &own), None);
        assert_eq!(certificate_of_connection(format!("{one},{other}").as_bytes(), &own), Some(pem));
        // A client's own text may begin like JSON.
        assert_eq!(chain(&format!("[,{}", xfcc_with_chain(&der(1), &[der(2)]))), Chain::Known(vec![der(2)]));
        let long: Vec<_> = (0..11).map(der).collect();
        assert_eq!(chain(&xfcc_with_chain(&der(1), &long)), Chain::Lost);
    }
}
