// SPDX-License-Identifier: Apache-2.0

//! `X-Forwarded-Client-Cert`, into which each Envoy writes an element about the client of its own connection, behind those that
//! it got.
//!
//! Envoy quotes `Cert`, `Chain` and `Subject`, and leaves `By`, `URI` and `DNS` as they are, so a certificate with a comma in a
//! name can make up whole elements. They cannot be told from Envoy's own. But Envoy writes `Hash` and `Cert` before every text
//! that the client chose, so what a client makes up stands behind its own element, and never in its place.

use crate::certificate::Certificate;
use crate::certificate::pem;
use crate::certificate::thumbprint::Thumbprint;
use crate::handover::proxy_name::ProxyName;
use crate::text::json::{self, Json};

/// Envoy takes no longer headers unless it is told to, and that counts for all of them together.
const LONGEST: usize = 64 * 1024;

/// Longer certificates are not read, as in the other encodings.
const LONGEST_CERTIFICATE: usize = 32 * 1024;

/// The members that Envoy writes in quotes.
const QUOTED: [&[u8]; 3] = [b"Cert", b"Chain", b"Subject"];

/// What one proxy wrote of the client of its connection.
#[derive(Default)]
struct Element {
    hash: Single,
    /// PEM, percent-encoded or not.
    certificate: Single,
}

/// A member that must be there once.
#[derive(Default)]
enum Single {
    #[default]
    Never,
    Once(Vec<u8>),
    Again,
}

impl Single {
    fn add(&mut self, value: &[u8]) {
        *self = match self {
            Self::Never => Self::Once(value.to_vec()),
            Self::Once(_) | Self::Again => Self::Again,
        };
    }

    fn value(&self) -> Option<&[u8]> {
        match self {
            Self::Once(value) => Some(value),
            Self::Never | Self::Again => None,
        }
    }
}

/// The client's certificate: that of the one element that is left when those of known proxies are taken away. `None` where
/// nothing is left: the client presented no certificate.
///
/// `own` is the certificate of this connection, about which this proxy may have appended an element. `hops` are the names of the
/// proxies between the sender and the client, the nearest first; there is an element about each.
///
/// # Errors
/// What is wrong with it, as the end of a sentence about the header.
pub fn client(value: &[u8], own: Option<&Thumbprint>, hops: &[ProxyName]) -> Result<Option<Certificate>, String> {
    if value.len() > LONGEST {
        return Err(format!("it has {} bytes, more than {LONGEST}", value.len()));
    }
    let mut elements = if value.starts_with(b"[") { of_json(value) } else { of_text(value) }
        .ok_or_else(|| format!("it has {} bytes, and not Envoy's form", value.len()))?;
    if own.is_some() && elements.last().and_then(Element::thumbprint).as_ref() == own {
        elements.pop();
    }
    for hop in hops {
        let Some(last) = elements.pop() else { return Ok(None) };
        let certificate = last.certificate()?;
        if !hop.is_of(&certificate) {
            return Err(format!("its last element is not about {hop}, which must be between"));
        }
    }
    match elements.as_slice() {
        [] => Ok(None),
        [one] => one.certificate().map(Some),
        several => Err(format!("it has {} elements where that of the client must be alone", several.len())),
    }
}

impl Element {
    fn thumbprint(&self) -> Option<Thumbprint> {
        Thumbprint::from_hex(self.hash.value()?)
    }

    /// Its certificate, which its digest fits.
    fn certificate(&self) -> Result<Certificate, String> {
        let pem = match &self.certificate {
            Single::Once(pem) => pem,
            Single::Never => {
                return Err("an element has no Cert, which `set_current_client_cert_details` adds".to_owned());
            }
            Single::Again => return Err("an element has more than one Cert".to_owned()),
        };
        if pem.len() > LONGEST_CERTIFICATE {
            return Err(format!("a certificate in it has {} bytes, more than {LONGEST_CERTIFICATE}", pem.len()));
        }
        let certificate = pem::certificate_der(pem).and_then(Certificate::from_der);
        let certificate = certificate.ok_or("the Cert of an element is no certificate")?;
        match self.thumbprint() {
            Some(thumbprint) if thumbprint == *certificate.thumbprint() => Ok(certificate),
            _ => Err("the Hash of an element is not that of its Cert".to_owned()),
        }
    }
}

/// The elements in JSON, as Envoy writes them with `format: JSON` (since 1.38): no text of a client's can be taken for one.
fn of_json(value: &[u8]) -> Option<Vec<Element>> {
    let document = json::value(value)?;
    let element = |element: &Json<'_>| {
        let Json::Object(element) = element else { return None };
        let mut read = Element::default();
        for (name, member) in [("hash", &mut read.hash), ("cert", &mut read.certificate)] {
            if let Some(value) = element.get(name) {
                member.add(value.as_str()?.as_bytes());
            }
        }
        Some(read)
    };
    document.as_list()?.iter().map(element).collect()
}

/// The elements in text. `None` where quotes stand elsewhere than round a whole value that Envoy quotes: what they hide could be
/// anything.
fn of_text(value: &[u8]) -> Option<Vec<Element>> {
    let (mut elements, mut element) = (Vec::new(), Element::default());
    let mut rest = value;
    loop {
        let (key, text, behind) = pair(rest)?;
        if key.eq_ignore_ascii_case(b"Hash") {
            element.hash.add(text);
        } else if key.eq_ignore_ascii_case(b"Cert") {
            element.certificate.add(text);
        }
        match behind {
            [] => break,
            [b',', ..] => elements.push(std::mem::take(&mut element)),
            _ => {}
        }
        rest = behind.get(1..)?;
    }
    elements.push(element);
    Some(elements)
}

/// The first `KEY=VALUE` with what is behind it, which begins with `;`, or with a comma that begins another element. Text
/// without `=` is a value without a key: a piece of a name that has a semicolon in it.
fn pair(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let is_key = |byte: &u8| byte.is_ascii_alphabetic();
    let text = text.trim_ascii_start();
    let (key, value) = text.split_at_checked(text.iter().take_while(|byte| is_key(byte)).count())?;
    let Some(value) = value.strip_prefix(b"=") else { return unquoted(b"", text) };
    if !QUOTED.iter().any(|own| key.eq_ignore_ascii_case(own)) {
        return unquoted(key, value);
    }
    let quoted = value.strip_prefix(b"\"")?;
    let mut is_escaped = false;
    let end = quoted.iter().position(|byte| {
        let is_end = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    })?;
    let (inner, behind) = (quoted.get(..end)?, quoted.get(end.saturating_add(1)..)?);
    (behind.is_empty() || behind.starts_with(b";") || begins_element(behind)).then_some((key, inner, behind))
}

/// A value without quotes ends where another pair begins.
fn unquoted<'v>(key: &'v [u8], text: &'v [u8]) -> Option<(&'v [u8], &'v [u8], &'v [u8])> {
    let ends = |(place, byte): (usize, &u8)| match byte {
        b';' => true,
        b',' => text.get(place..).is_some_and(begins_element),
        _ => false,
    };
    let length = text.iter().enumerate().position(|(place, byte)| ends((place, byte))).unwrap_or(text.len());
    let (value, behind) = text.split_at_checked(length)?;
    (!value.contains(&b'"')).then_some((key, value.trim_ascii(), behind))
}

/// Whether a comma begins an element here, as Envoy begins one. Any other comma is a part of a name.
fn begins_element(text: &[u8]) -> bool {
    let Some(text) = text.strip_prefix(b",") else { return false };
    let text = text.trim_ascii_start();
    let begins = |key: &[u8]| text.get(..key.len()).is_some_and(|own| own.eq_ignore_ascii_case(key));
    begins(b"By=") || begins(b"Hash=")
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::certificate::thumbprint::APPENDIX_A;
    use crate::handover::encoding::{Encoding, xfcc_with_chain};

    fn certificate() -> Certificate {
        Certificate::on_the_desk(STANDARD.decode(APPENDIX_A).unwrap())
    }

    /// The element that Envoy writes of it.
    fn written() -> String {
        Encoding::Xfcc.encode(certificate().der())
    }

    const PROXY: &str = "By=spiffe://a/b,c;Hash=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa;Subject=\"\";URI=spiffe://a/gw";

    fn read(value: &str) -> Result<Option<Certificate>, String> {
        let own = Thumbprint::from_hex(&[b'a'; 64]).unwrap();
        client(value.as_bytes(), Some(&own), &[])
    }

    #[test]
    fn the_element_about_the_sender_is_taken_away_if_it_is_the_last() {
        let (own, client) = (written(), Ok(Some(certificate())));
        assert_eq!(read(&own), client);
        assert_eq!(read(&format!("{own},{PROXY}")), client);
        assert_eq!(read(&format!("{own};Subject=\"CN=\\\"a\\\",;\";URI=urn:x,y;z;DNS=b.example, {PROXY}")), client);
        let chain = xfcc_with_chain(certificate().der(), &[]);
        assert_eq!(read(&format!("{chain},{PROXY};Cert=\"x\";Chain=\"y\"")), client);
        assert_eq!(read(PROXY), Ok(None));
        assert!(read(&format!("{PROXY},{own}")).is_err());
        assert!(read(&format!("{own},{PROXY},{PROXY}")).is_err());
        assert!(super::client(format!("{own},{PROXY}").as_bytes(), None, &[]).is_err());
    }

    #[test]
    fn what_is_left_must_be_one_element_with_one_digest_and_its_certificate() {
        let own = written();
        for wrong in [
            format!("{own},{own}"),
            format!("{own},{own},{PROXY}"),
            format!("By=x;Hash=00,{own},{PROXY}"),
            format!("{own};URI=urn:x,By=y;Hash=0,{PROXY}"),
            format!("{own};URI=urn:x, hash=0,{PROXY}"),
            format!("{own};URI=urn:x;Cert=\"y\",{PROXY}"),
            format!("{own};URI=urn:x;Hash=0,{PROXY}"),
            format!("{own};Hash={}", certificate().thumbprint().hex()),
            own.replacen("Hash=0", "Hash=1", 1),
            own.replacen("Hash", "By", 1),
            own.replacen("Cert=\"-", "Cert=\"x-", 1),
            own.replace("Cert", "Chain"),
            own.replace('"', ""),
            "Hash=a".to_owned(),
            "a".to_owned(),
            ";".to_owned(),
            format!("{own},"),
            format!(",{own}"),
        ] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }

    /// What quotes hide could be anything, so they may stand only round the values that Envoy quotes.
    #[test]
    fn quotes_stand_round_a_whole_value_that_envoy_quotes() {
        let own = written();
        for wrong in [
            format!("{own};URI=a\""),
            format!("{own};URI=a\"b\",{PROXY}"),
            format!("{own};URI=\"a\",{PROXY}"),
            format!("{own};DNS=\",{PROXY}"),
            format!("{own};Subject=\"a\"b,{PROXY}"),
            format!("{own};Subject=\"a\",b,{PROXY}"),
            format!("{own};Subject=\"a\\\",{PROXY}"),
            format!("{own};Subject=\"a,{PROXY}"),
            format!("URI=\"{own}"),
            format!("Subject=\"a,{own}"),
            format!("{own};x=\"a\""),
            "\"".to_owned(),
        ] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
        assert_eq!(read(&format!("{own};Subject=\"a\\\\\",{PROXY}")), Ok(Some(certificate())));
    }

    #[test]
    fn elements_in_json_are_read_by_the_same_rules() {
        let pem: String =
            Certificate::pem_lines(&STANDARD.encode(certificate().der())).map(|line| format!("{line}\n")).collect();
        let element = |hash: &str| serde_json::json!({ "hash": hash, "cert": pem, "subject": "CN=\"],", "uri": ["a"] });
        let right = element(&certificate().thumbprint().hex());
        let proxy = serde_json::json!({ "by": ["a"], "hash": "a".repeat(64) });
        let client = Ok(Some(certificate()));
        assert_eq!(read(&format!("[{right}]")), client);
        assert_eq!(read(&format!("[{right},{proxy}]")), client);
        assert_eq!(read(&format!("[{proxy}]")), Ok(None));
        assert_eq!(read("[]"), Ok(None));
        let repeated = right.to_string().replacen('{', "{\"cert\":\"x\",", 1);
        for wrong in [
            format!("[{right},{right}]"),
            format!("[{{}},{right}]"),
            format!("[{right}"),
            format!("[{repeated}]"),
            format!("[{}]", element(&"0".repeat(64))),
            format!("[{}]", element("")),
            format!("[{right}],Hash=a"),
            "[{}]".to_owned(),
            "[1]".to_owned(),
            "[{\"hash\":1}]".to_owned(),
            right.to_string(),
        ] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_long_header_is_read_and_a_long_certificate_is_not() {
        let names = format!(";DNS={}.example", "a".repeat(50)).repeat(600);
        assert!(names.len() > LONGEST_CERTIFICATE);
        assert_eq!(read(&format!("{}{names},{PROXY}", written())), Ok(Some(certificate())));
        let long = read(&format!("{}{}", written(), names.repeat(2)));
        assert!(long.as_ref().is_err_and(|what| what.contains("more than 65536")), "{long:?}");
        let long = read(&format!("Hash=a;Cert=\"{}\"", "A".repeat(LONGEST_CERTIFICATE + 1)));
        assert!(long.as_ref().is_err_and(|what| what.contains("more than 32768")), "{long:?}");
    }

    #[test]
    fn hops_are_taken_away_where_they_must_be() {
        let hop = |dns: &str| ProxyName::new(Some(dns.to_owned()), None).unwrap();
        // The certificate of Appendix A has no names.
        let value = format!("{},{}", written(), written());
        let wrong = client(value.as_bytes(), None, &[hop("a.example")]);
        assert!(wrong.as_ref().is_err_and(|what| what.contains("a.example")), "{wrong:?}");
        assert_eq!(client(PROXY.as_bytes(), Thumbprint::from_hex(&[b'a'; 64]).as_ref(), &[hop("a.example")]), Ok(None));
    }
}
