// SPDX-License-Identifier: Apache-2.0

//! The kind of key that a certificate is for (RFC 5280 §4.1.2.7).

use std::fmt;

use x509_parser::asn1_rs::Tag;

use super::der::Element;
use super::object_identifier::ObjectIdentifier;

/// The kind and the size of a public key, without the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// An algorithm whose keys come in any size: its name, and the bits of the modulus.
    Sized(&'static str, usize),
    /// An algorithm whose keys have one size, or `EC` and a curve.
    Named(&'static str),
    /// An elliptic curve without a name here.
    Curve(ObjectIdentifier),
    /// An algorithm without a name here.
    Algorithm(ObjectIdentifier),
}

/// Algorithms and curves by object identifier (RFC 3279, RFC 5480, RFC 5639, RFC 8410, RFC 9881).
const NAMES: &[(&str, &str)] = &[
    ("1.2.840.10045.3.1.1", "EC P-192"),
    ("1.3.132.0.33", "EC P-224"),
    ("1.2.840.10045.3.1.7", "EC P-256"),
    ("1.3.132.0.34", "EC P-384"),
    ("1.3.132.0.35", "EC P-521"),
    ("1.3.132.0.10", "EC secp256k1"),
    ("1.3.36.3.3.2.8.1.1.7", "EC brainpoolP256r1"),
    ("1.3.36.3.3.2.8.1.1.11", "EC brainpoolP384r1"),
    ("1.3.36.3.3.2.8.1.1.13", "EC brainpoolP512r1"),
    ("1.2.156.10197.1.301", "EC SM2"),
    ("1.3.101.110", "X25519"),
    ("1.3.101.111", "X448"),
    ("1.3.101.112", "Ed25519"),
    ("1.3.101.113", "Ed448"),
    ("2.16.840.1.101.3.4.3.17", "ML-DSA-44"),
    ("2.16.840.1.101.3.4.3.18", "ML-DSA-65"),
    ("2.16.840.1.101.3.4.3.19", "ML-DSA-87"),
];

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo in DER. `None` if it is something else. The key itself is not checked.
    #[must_use]
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let info = Element::only(der).filter(|info| info.is(Tag::Sequence))?;
        let [algorithm, key] = info.children()?.try_into().ok()?;
        let mut algorithm = algorithm.children()?.into_iter();
        let algorithm_identifier = identifier(&algorithm.next()?)?;
        let parameters = algorithm.next();
        // A BIT STRING begins with the number of bits that its last byte does not use.
        let (_unused, key) = Some(key).filter(|key| key.is(Tag::BitString))?.contents.split_first()?;
        match algorithm_identifier.as_str() {
            "1.2.840.113549.1.1.1" => Some(Self::Sized("RSA", first_integer_bits(Element::only(key)?)?)),
            "1.2.840.113549.1.1.10" => Some(Self::Sized("RSA-PSS", first_integer_bits(Element::only(key)?)?)),
            "1.2.840.10040.4.1" => match parameters {
                Some(parameters) => Some(Self::Sized("DSA", first_integer_bits(parameters)?)),
                None => Some(Self::Named("DSA")),
            },
            "1.2.840.10045.2.1" => match parameters? {
                curve if curve.is(Tag::Oid) => Some(Self::named(identifier(&curve)?, Self::Curve)),
                _ => Some(Self::Named("EC with a curve of its own parameters")),
            },
            _ => Some(Self::named(algorithm_identifier, Self::Algorithm)),
        }
    }

    fn named(identifier: ObjectIdentifier, otherwise: fn(ObjectIdentifier) -> Self) -> Self {
        let known = NAMES.iter().find(|(known, _)| *known == identifier.as_str());
        known.map_or_else(|| otherwise(identifier), |(_, name)| Self::Named(name))
    }
}

fn identifier(element: &Element<'_>) -> Option<ObjectIdentifier> {
    element.is(Tag::Oid).then(|| ObjectIdentifier::from_contents(element.contents))?
}

/// The bits of the first INTEGER in a SEQUENCE: an RSA key's modulus, or the prime of DSA's parameters.
fn first_integer_bits(sequence: Element<'_>) -> Option<usize> {
    let number = *sequence.children()?.first().filter(|number| number.is(Tag::Integer))?;
    let zeros = number.contents.iter().take_while(|byte| **byte == 0).count();
    let first = number.contents.get(zeros)?;
    let bits = number.contents.len().checked_sub(zeros)?.checked_mul(8)?;
    bits.checked_sub(usize::try_from(first.leading_zeros()).ok()?)
}

impl fmt::Display for PublicKey {
    /// `RSA 2048`, `EC P-256`, `Ed25519`; or the object identifier, if there is no name here.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sized(name, bits) => write!(formatter, "{name} {bits}"),
            Self::Named(name) => formatter.write_str(name),
            Self::Curve(identifier) => write!(formatter, "EC {identifier}"),
            Self::Algorithm(identifier) => write!(formatter, "{identifier}"),
        }
    }
}
