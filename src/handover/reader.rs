// SPDX-License-Identifier: Apache-2.0

//! How a certificate is read from a header: strictly, one client's, in the one encoding that is expected. What terminators
//! write differently in one encoding is read where each text has one meaning.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::certificate::Certificate;
use crate::certificate::der::Elements;
use crate::certificate::pem;
use crate::certificate::thumbprint::{OfNothing, Thumbprint};
use crate::certificate::to_be_signed::ToBeSigned;
use crate::handover::chain::{self, Chain};
use crate::handover::encoding::Encoding;
use crate::handover::xfcc;
use crate::text::percent;

/// Longer values are not read: no server in use reads more.
const LONGEST: usize = 32 * 1024;

/// What a header says of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// All of it, and the certificates behind it where they stand in the same header.
    Certificate(Certificate, Chain),
    /// Its thumbprint alone.
    Thumbprint(Thumbprint),
}

/// What stands where there is no certificate, in letters of either case: for Apache, Go, nginx, Lua, JavaScript, and in logs.
const WORDS_FOR_NONE: &[&str] = &["", "(null)", "<nil>", "none", "nil", "null", "undefined", "-"];

/// No variable of a terminator has a longer name.
const LONGEST_VARIABLE: usize = 128;

impl Encoding {
    /// Whether a reader learns no more than the thumbprint.
    #[must_use]
    pub const fn is_digest(self) -> bool {
        matches!(self, Self::Sha256Hex | Self::X5tS256)
    }

    /// Whether this is what a terminator writes where there is no certificate. None of it is what any encoding reads.
    #[must_use]
    pub fn says_none(self, value: &[u8]) -> bool {
        let says = |text: &[u8]| {
            WORDS_FOR_NONE.iter().any(|word| text.eq_ignore_ascii_case(word.as_bytes())) || is_variable(text)
        };
        // What stands around nothing is written by a terminator that puts it round whatever it has.
        let inner = match self {
            _ if says(value) => return true,
            Self::SfBinary => value.strip_prefix(b":").and_then(|rest| rest.strip_suffix(b":")),
            Self::PemApache => {
                value.strip_prefix(pem::BEGIN.as_bytes()).and_then(|rest| rest.strip_suffix(pem::END.as_bytes()))
            }
            Self::Sha256Hex | Self::X5tS256 => return matches!(self.digest(value), Some(Err(OfNothing))),
            Self::PemUrl | Self::PemNginxEscaped | Self::DerBase64 | Self::Xfcc => None,
        };
        inner.is_some_and(|text| says(text.trim_ascii()))
    }

    /// The one certificate in a header's value. `None` where it is anything else.
    #[must_use]
    pub fn read(self, value: &[u8]) -> Option<Read> {
        if value.len() > LONGEST && self != Self::Xfcc {
            return None;
        }
        let certificates = match self {
            Self::PemUrl | Self::PemNginxEscaped => pem::blocks_der(&unescaped_pem(value)?)?,
            Self::PemApache => pem::blocks_der((!value.contains(&b'%')).then_some(value)?)?,
            Self::DerBase64 => in_base64(value)?,
            Self::SfBinary => vec![byte_sequence(value)?],
            Self::Xfcc => {
                let client = xfcc::client(value, None, &[]).ok()??;
                return Some(Read::Certificate(client, Chain::Unknown));
            }
            Self::Sha256Hex | Self::X5tS256 => return self.digest(value)?.ok().map(Read::Thumbprint),
        };
        let mut certificates = certificates.into_iter();
        let certificate = Certificate::from_der(certificates.next()?)?;
        let chain: Vec<_> = certificates.collect();
        let chain = match chain.len() {
            0 => Chain::Unknown,
            _ if !is_chain_of(&certificate, &chain) => return None,
            length if length > chain::MOST => Chain::Lost,
            _ => Chain::Known(chain),
        };
        Some(Read::Certificate(certificate, chain))
    }

    fn digest(self, value: &[u8]) -> Option<Result<Thumbprint, OfNothing>> {
        Thumbprint::from_terminator(value, self == Self::Sha256Hex)
    }
}

/// Whether these are certificates, one of them with the name of whoever issued the first. Two certificates that stand side
/// by side for another cause are no chain: a terminator may have added its own to a client's header.
fn is_chain_of(certificate: &Certificate, chain: &[Vec<u8>]) -> bool {
    let issuer = ToBeSigned::of_certificate(certificate.der()).map(|fields| fields.issuer);
    let is_issuer = |der: &Vec<u8>| {
        der != certificate.der() && ToBeSigned::of_certificate(der).map(|fields| fields.subject) == issuer
    };
    chain.iter().all(|der| Certificate::is_certificate(der)) && chain.iter().any(is_issuer)
}

/// Whether this is the name of a variable that a terminator left as it was, for want of a value or of the variable: by its
/// form alone. Caddy, Azure and Google write `{name}`, nginx `$name` and `${name}`, Apache and Traffic Server `%{name}s`,
/// HAProxy `%[name]`, Envoy `%NAME%`.
fn is_variable(text: &[u8]) -> bool {
    let name = match text {
        [b'$' | b'%', b'{', rest @ ..] => {
            let letters = rest.iter().rev().take_while(|byte| byte.is_ascii_alphabetic()).count();
            rest.get(..rest.len().saturating_sub(letters)).and_then(|rest| rest.strip_suffix(b"}"))
        }
        [b'{', name @ .., b'}'] | [b'%', b'[', name @ .., b']'] | [b'%', name @ .., b'%'] | [b'$', name @ ..] => {
            Some(name)
        }
        _ => None,
    };
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.:-,()".contains(byte);
    name.is_some_and(|name| (1..=LONGEST_VARIABLE).contains(&name.len()) && name.iter().all(is_of_name))
}

/// The chain in the values of a `Client-Cert-Chain`: a list of byte sequences over all of its lines, in their order (RFC
/// 9440 §2.3, RFC 8941 §4.2). One empty value is an empty list, as Cloudflare has it. `None` where it is none.
#[must_use]
pub fn chain_of_list<'v>(values: impl Iterator<Item = &'v [u8]>) -> Option<Chain> {
    let values: Vec<_> = values.collect();
    if values.iter().map(|value| value.len()).fold(0, usize::saturating_add) > LONGEST {
        return None;
    }
    if let [only] = values.as_slice()
        && Encoding::SfBinary.says_none(only)
    {
        return Some(Chain::Known(Vec::new()));
    }
    let members = values.iter().flat_map(|value| value.split(|byte| *byte == b','));
    let chain: Option<Vec<_>> =
        members.map(|member| Certificate::from_der(byte_sequence(member.trim_ascii())?)).collect();
    let chain: Vec<_> = chain?.into_iter().map(|certificate| certificate.der().to_vec()).collect();
    Some(if chain.len() > chain::MOST { Chain::Lost } else { Chain::Known(chain) })
}

/// The chain in a header of its own beside a certificate in `der_base64`: the certificates one after the other, in one piece, as
/// HAProxy's `ssl_c_chain_der` has them. `None` where it is none.
#[must_use]
pub fn chain_in_one_piece<'v>(mut values: impl Iterator<Item = &'v [u8]>) -> Option<Chain> {
    let value = match (values.next(), values.next()) {
        (None, _) => return Some(Chain::Known(Vec::new())),
        (Some(value), None) if Encoding::DerBase64.says_none(value) => return Some(Chain::Known(Vec::new())),
        (Some(value), None) if value.len() <= LONGEST => STANDARD.decode(value).ok()?,
        (Some(_), _) => return None,
    };
    let mut elements = Elements(&value);
    let chain: Vec<_> = elements.by_ref().map(|element| element.whole.to_vec()).collect();
    let is_chain = elements.0.is_empty() && chain.iter().all(|der| Certificate::is_certificate(der));
    is_chain.then_some(if chain.len() > chain::MOST { Chain::Lost } else { Chain::Known(chain) })
}

/// Nothing but visible ASCII, and white space only behind a percent sign.
fn is_escaped(value: &[u8]) -> bool {
    value.contains(&b'%') && value.iter().all(u8::is_ascii_graphic)
}

/// PEM that is percent-encoded, or encoded as a form. The marker has a space in it, so it says which: where that is a plus,
/// every plus is a space, and a plus of base64 must be encoded. AWS leaves those as they are.
fn unescaped_pem(value: &[u8]) -> Option<Vec<u8>> {
    let mut text = is_escaped(value).then(|| value.to_vec())?;
    if text.starts_with(b"-----BEGIN+") {
        text.iter_mut().filter(|byte| **byte == b'+').for_each(|byte| *byte = b' ');
    }
    percent::decoded(&text)
}

/// DER in base64, with the chain behind commas as Traefik has it, or PEM in base64 as Fastly has it; all of it may be
/// percent-encoded. A comma with a space behind it joins two headers (RFC 9110 §5.3), and is refused.
fn in_base64(value: &[u8]) -> Option<Vec<Vec<u8>>> {
    let text = if value.contains(&b'%') { percent::decoded(value)? } else { value.to_vec() };
    if let Ok(decoded) = STANDARD.decode(&text)
        && decoded.starts_with(pem::BEGIN.as_bytes())
    {
        return pem::blocks_der(&decoded);
    }
    text.split(|byte| *byte == b',').map(|part| STANDARD.decode(part).ok()).collect()
}

/// RFC 8941 §4.2.7, with the padding that a serializer must write (§4.1.8), and without parameters.
fn byte_sequence(value: &[u8]) -> Option<Vec<u8>> {
    STANDARD.decode(value.strip_prefix(b":")?.strip_suffix(b":")?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::thumbprint::APPENDIX_A;

    fn der() -> Vec<u8> {
        STANDARD.decode(APPENDIX_A).unwrap()
    }

    #[test]
    fn what_each_encoding_writes_it_reads() {
        let own = Certificate::on_the_desk(der());
        for encoding in Encoding::ALL {
            let read = encoding.read(encoding.encode(&der()).as_bytes()).unwrap();
            match encoding.is_digest() {
                true => assert_eq!(read, Read::Thumbprint(*own.thumbprint())),
                false => assert_eq!(read, Read::Certificate(own.clone(), Chain::Unknown)),
            }
        }
    }

    #[test]
    fn what_another_encoding_writes_is_not_read() {
        for encoding in Encoding::ALL {
            for other in Encoding::ALL.iter().filter(|other| encoding.encode(&der()) != other.encode(&der())) {
                assert_eq!(encoding.read(other.encode(&der()).as_bytes()), None, "{encoding:?} {other:?}");
            }
        }
    }

    #[test]
    fn a_value_is_read_whole_and_as_one_certificate_or_not_at_all() {
        for encoding in Encoding::ALL {
            let right = encoding.encode(&der());
            for wrong in [
                String::new(),
                format!("{right},{right}"),
                format!("{right}, {right}"),
                format!("{right} {right}"),
                format!("{right}{right}"),
                format!("{right};a"),
                format!("x{right}"),
                right.replace('M', "*"),
                right.chars().skip(1).collect(),
                "(null)".to_owned(),
                "A".repeat(LONGEST + 1),
            ] {
                // What follows the certificate in an element of Envoy's is its own.
                if *encoding == Encoding::Xfcc && wrong.ends_with(";a") {
                    continue;
                }
                if wrong != right {
                    assert_eq!(encoding.read(wrong.as_bytes()), None, "{encoding:?} {wrong:.60}");
                }
            }
            assert_eq!(encoding.read(&[0xff; 43]), None);
        }
        // Base64 of something that is no certificate.
        assert_eq!(Encoding::DerBase64.read(b"MAEB"), None);
        assert_eq!(Encoding::SfBinary.read(b":MAEB:"), None);
    }

    #[test]
    fn what_says_none_is_read_as_a_certificate_by_no_encoding() {
        let variables = [
            "{http.request.tls.client.certificate_der_base64}",
            "{var_client_certificate}",
            "{tls.client.certificate:pem}",
            "%{SSL_CLIENT_CERT}s",
            "%{CLIENT-CERT:SUBJECT}",
            "$ssl_client_escaped_cert",
            "${ssl_client_cert}",
            "%[ssl_c_der,base64]",
            "%[ssl_c_der,sha2(256),hex]",
            "%DOWNSTREAM_PEER_CERT%",
        ];
        for encoding in Encoding::ALL {
            for text in ["", "(null)", "<nil>", "NONE", "nil", "null", "undefined", "-"].iter().chain(&variables) {
                assert!(encoding.says_none(text.as_bytes()), "{encoding:?} {text}");
                assert_eq!(encoding.read(text.as_bytes()), None, "{encoding:?} {text}");
            }
            for text in
                ["{}", "$", "%%", "%{}s", "{a b}", "{a", "a}", "%{a}1", "$a;b", "none of it", "nul", "%[a", "(nil"]
            {
                assert!(!encoding.says_none(text.as_bytes()), "{encoding:?} {text}");
            }
            assert!(!encoding.says_none(format!("${}", "a".repeat(LONGEST_VARIABLE + 1)).as_bytes()));
            assert!(!encoding.says_none(encoding.encode(&der()).as_bytes()), "{encoding:?}");
        }
    }

    #[test]
    fn the_marker_says_whether_a_plus_is_a_space() {
        let escaped = Encoding::PemUrl.encode(&der());
        let own = Some(Read::Certificate(Certificate::on_the_desk(der()), Chain::Unknown));
        let aws = escaped.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
        let form = escaped.replace("%20", "+");
        assert!(aws.contains('+') && form.contains("%2B"));
        for text in [&escaped, &aws, &form] {
            assert_eq!(Encoding::PemUrl.read(text.as_bytes()), own, "{text}");
        }
        // In a form it is a space, and then something of the certificate is missing.
        for wrong in [aws.replace("BEGIN%20", "BEGIN+"), form.replace("%2B", "+"), form.replace("BEGIN+", "BEGIN%20")] {
            assert_eq!(Encoding::PemUrl.read(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_chain_in_one_piece_is_certificates_and_nothing_else() {
        let piece = |certificates: &[Vec<u8>]| STANDARD.encode(certificates.concat());
        let read = |values: &[&str]| chain_in_one_piece(values.iter().map(|value| value.as_bytes()));
        let none = Some(Chain::Known(vec![]));
        assert_eq!(read(&[]), none);
        for value in ["", "(null)", "%[ssl_c_chain_der,base64]"] {
            assert_eq!(read(&[value]), none, "{value}");
        }
        let two = piece(&[der(), der()]);
        assert_eq!(read(&[&two]), Some(Chain::Known(vec![der(), der()])));
        assert_eq!(read(&[&piece(&vec![der(); 11])]), Some(Chain::Lost));
        let cut = piece(&[der(), der()[..9].to_vec()]);
        let longest = "A".repeat(LONGEST + 1);
        for wrong in [&cut, "MAEB", &format!("{two},"), &format!("{two},{two}"), &piece(&[der(), vec![0]]), &longest] {
            assert_eq!(read(&[wrong]), None, "{wrong}");
        }
        assert_eq!(read(&[&two, &two]), None);
    }

    #[test]
    fn a_chain_is_a_list_over_all_lines() {
        let one = Encoding::SfBinary.encode(&der());
        let two = format!("{one}, {one}");
        let read = |values: &[&str]| chain_of_list(values.iter().map(|value| value.as_bytes()));
        assert_eq!(read(&[]), Some(Chain::Known(vec![])));
        assert_eq!(read(&[&two, &one]), Some(Chain::Known(vec![der(), der(), der()])));
        assert_eq!(read(&[&[one.as_str(); 11].join(",")]), Some(Chain::Lost));
        assert_eq!(read(&[""]), Some(Chain::Known(vec![])));
        for wrong in [",", &format!("{one},"), &format!("{one};a=1"), ":MAEB:", &format!("{one} {one}")] {
            assert_eq!(read(&[wrong]), None, "{wrong}");
        }
    }
}
