// SPDX-License-Identifier: Apache-2.0

//! How a certificate is read from a header: strictly, exactly one of them, in the one encoding that is expected.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::certificate::Certificate;
use crate::certificate::pem;
use crate::certificate::thumbprint::Thumbprint;
use crate::handover::chain::{self, Chain, pairs};
use crate::handover::encoding::Encoding;

/// Longer values are not read: no server in use reads more.
const LONGEST: usize = 32 * 1024;

/// What a header says of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// All of it.
    Certificate(Certificate),
    /// Its thumbprint alone.
    Thumbprint(Thumbprint),
}

impl Encoding {
    /// Whether a reader learns no more than the thumbprint.
    #[must_use]
    pub const fn is_digest(self) -> bool {
        matches!(self, Self::Sha256Hex | Self::X5tS256)
    }

    /// Whether this is what a terminator writes where there is no certificate.
    #[must_use]
    pub fn says_none(self, value: &[u8]) -> bool {
        match self {
            // Apache's word for what it does not have.
            Self::PemApache => matches!(value, b"" | b"(null)"),
            // An empty byte sequence, of a terminator that puts the colons round whatever it has.
            Self::SfBinary => matches!(value, b"" | b"::"),
            _ => value.is_empty(),
        }
    }

    /// The one certificate in a header's value. `None` where it is anything else.
    #[must_use]
    pub fn read(self, value: &[u8]) -> Option<Read> {
        if value.len() > LONGEST {
            return None;
        }
        let der = match self {
            Self::PemUrl | Self::PemNginxEscaped => pem::certificate_der(is_escaped(value).then_some(value)?)?,
            Self::PemApache => pem::certificate_der((!value.contains(&b'%')).then_some(value)?)?,
            Self::DerBase64 => STANDARD.decode(value).ok()?,
            Self::SfBinary => byte_sequence(value)?,
            Self::Xfcc => return xfcc(value).map(Read::Certificate),
            Self::Sha256Hex => return Thumbprint::from_hex(value).map(Read::Thumbprint),
            Self::X5tS256 => {
                return Thumbprint::from_x5t_s256(std::str::from_utf8(value).ok()?).map(Read::Thumbprint);
            }
        };
        Certificate::from_der(der).map(Read::Certificate)
    }
}

/// The chain in the values of a `Client-Cert-Chain`: a list of byte sequences over all of its lines, in their order (RFC
/// 9440 §2.3, RFC 8941 §4.2). `None` where it is none.
#[must_use]
pub fn chain_of_list<'v>(values: impl Iterator<Item = &'v [u8]>) -> Option<Chain> {
    let values: Vec<_> = values.collect();
    if values.iter().map(|value| value.len()).fold(0, usize::saturating_add) > LONGEST {
        return None;
    }
    let members = values.iter().flat_map(|value| value.split(|byte| *byte == b','));
    let chain: Option<Vec<_>> =
        members.map(|member| Certificate::from_der(byte_sequence(member.trim_ascii())?)).collect();
    let chain: Vec<_> = chain?.into_iter().map(|certificate| certificate.der().to_vec()).collect();
    Some(if chain.len() > chain::MOST { Chain::TooLong } else { Chain::Known(chain) })
}

/// Nothing but visible ASCII, and white space only behind a percent sign.
fn is_escaped(value: &[u8]) -> bool {
    value.contains(&b'%') && value.iter().all(u8::is_ascii_graphic)
}

/// RFC 8941 §4.2.7, with the padding that a serializer must write (§4.1.8), and without parameters.
fn byte_sequence(value: &[u8]) -> Option<Vec<u8>> {
    STANDARD.decode(value.strip_prefix(b":")?.strip_suffix(b":")?).ok()
}

/// The one `Cert` of the one element in X-Forwarded-Client-Cert. A client's certificate can make elements of its names,
/// which Envoy leaves unquoted: a second `Cert` or `Hash` is refused, and `Hash`, which Envoy always writes, must fit.
fn xfcc(value: &[u8]) -> Option<Certificate> {
    if !chain::closes_its_quotes(value) {
        return None;
    }
    let pairs = pairs(value);
    let only = |key: &[u8]| {
        let mut found = pairs.iter().filter_map(|pair| {
            let (own, text) = pair.split_at_checked(key.len())?;
            own.eq_ignore_ascii_case(key).then_some(text)
        });
        found.next().filter(|_| found.next().is_none())
    };
    let escaped = only(b"Cert=")?.strip_prefix(b"\"")?.strip_suffix(b"\"").filter(|text| is_escaped(text))?;
    let certificate = Certificate::from_der(pem::certificate_der(escaped)?)?;
    (Thumbprint::from_hex(only(b"Hash=")?)? == *certificate.thumbprint()).then_some(certificate)
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
                false => assert_eq!(read, Read::Certificate(own.clone())),
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
    fn elements_of_the_clients_making_are_refused() {
        let right = Encoding::Xfcc.encode(&der());
        let read = |value: String| Encoding::Xfcc.read(value.as_bytes());
        assert!(read(format!("By=a;{right};Subject=\"CN=\\\",;\";URI=b")).is_some());
        for wrong in [
            format!("{right};URI=a;Cert=\"x\""),
            format!("{right};URI=a;Hash=00"),
            right.replacen("Hash=0", "Hash=1", 1),
            right.replacen("Hash", "By", 1),
            right.replace('"', ""),
            format!("{right};URI=a\""),
            format!("{right};URI=a\",{right}"),
        ] {
            assert_eq!(read(wrong.clone()), None, "{wrong}");
        }
    }

    #[test]
    fn a_chain_is_a_list_over_all_lines() {
        let one = Encoding::SfBinary.encode(&der());
        let two = format!("{one}, {one}");
        let read = |values: &[&str]| chain_of_list(values.iter().map(|value| value.as_bytes()));
        assert_eq!(read(&[]), Some(Chain::Known(vec![])));
        assert_eq!(read(&[&two, &one]), Some(Chain::Known(vec![der(), der(), der()])));
        assert_eq!(read(&[&[one.as_str(); 11].join(",")]), Some(Chain::TooLong));
        for wrong in ["", ",", &format!("{one},"), &format!("{one};a=1"), ":MAEB:", &format!("{one} {one}")] {
            assert_eq!(read(&[wrong]), None, "{wrong}");
        }
    }
}
