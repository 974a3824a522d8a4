// SPDX-License-Identifier: Apache-2.0

//! Object identifiers (X.660), the names that X.509 gives to everything.

use std::fmt::{self, Write as _};

/// An object identifier in its dotted form, `2.5.4.3`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectIdentifier(String);

impl ObjectIdentifier {
    /// Reads the contents of an OBJECT IDENTIFIER (X.690 §8.19). `None` if they are none, by the same rules as OpenSSL's, or if
    /// an arc has more than 128 bits. The longest arcs in use are UUIDs (2.25).
    #[must_use]
    pub fn from_contents(contents: &[u8]) -> Option<Self> {
        let mut dotted = String::new();
        let mut arc = 0_u128;
        let mut within = false;
        for byte in contents {
            if !within && *byte == 0x80 {
                return None;
            }
            // Seven bits of each byte count. The eighth says whether another byte belongs to the arc.
            arc = arc.checked_mul(0x80)? | u128::from(byte & 0x7f);
            within = byte & 0x80 != 0;
            if within {
                continue;
            }
            // The first two arcs are in one number; the first is at most 2.
            let (separator, value) = match (dotted.is_empty(), arc) {
                (true, 0..40) => ("0.", arc),
                (true, 40..80) => ("1.", arc.wrapping_sub(40)),
                (true, _) => ("2.", arc.wrapping_sub(80)),
                (false, _) => (".", arc),
            };
            let _ = write!(dotted, "{separator}{value}");
            arc = 0;
        }
        (!dotted.is_empty() && !within).then_some(Self(dotted))
    }

    /// Reads the dotted form: two arcs or more, each in its shortest form, as `from_contents` writes them.
    #[must_use]
    pub fn from_dotted(dotted: &str) -> Option<Self> {
        let mut arcs = dotted.split('.').map(|arc| {
            let shortest = arc.bytes().all(|byte| byte.is_ascii_digit()) && (arc.len() == 1 || !arc.starts_with('0'));
            if shortest { arc.parse::<u128>().ok() } else { None }
        });
        let (first, second) = (arcs.next()??, arcs.next()??);
        let fits = first <= 2 && (first == 2 || second < 40);
        (fits && arcs.all(|arc| arc.is_some())).then(|| Self(dotted.to_owned()))
    }

    /// The dotted form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectIdentifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arcs_of_every_size_are_written_as_openssl_writes_them() {
        // `openssl asn1parse -genstr OID:2.5.4.3 -out -`, and so on.
        for (contents, dotted) in [
            (&b"\x55\x04\x03"[..], "2.5.4.3"),
            (b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01", "1.2.840.113549.1.9.1"),
            (b"\x00", "0.0"),
            (b"\x27", "0.39"),
            (b"\x28", "1.0"),
            (b"\x50", "2.0"),
            (b"\x88\x37\x03", "2.999.3"),
            (
                b"\x69\x83\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
                "2.25.340282366920938463463374607431768211455",
            ),
        ] {
            assert_eq!(ObjectIdentifier::from_contents(contents).unwrap().as_str(), dotted);
        }
    }

    #[test]
    fn what_is_no_object_identifier_is_not_read() {
        for contents in [&b""[..], b"\x55\x80\x03", b"\x55\x84", b"\x80\x01"] {
            assert_eq!(ObjectIdentifier::from_contents(contents), None, "{contents:?}");
        }
        assert_eq!(ObjectIdentifier::from_contents(&[[0x55_u8, 0xff].as_slice(), &[0xff; 30], &[0]].concat()), None);
    }
}
