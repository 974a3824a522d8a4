// SPDX-License-Identifier: Apache-2.0

//! The key of a certificate's issuer, and how certificates are signed (RFC 3279, RFC 4055, RFC 5758, RFC 8410). The algorithms are
//! those of tokens, but for two things: an ECDSA signature is in DER, and its hash may be any with any curve.

use x509_parser::asn1_rs::Tag;

use super::algorithm::Algorithm;
use super::der::RSA;
use super::jwk::{Curve, Material, P256_SPKI, P384_SPKI, P521_SPKI, UNCOMPRESSED, rsa};
use super::signature::{SignatureEngine, Verification};
use crate::certificate::der::Element;
use crate::certificate::signed::Signed;
use crate::certificate::thumbprint::Thumbprint;

/// `AlgorithmIdentifier { id-Ed25519 }` (RFC 8410 §3).
const ED25519: &[u8] = &[0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];

/// What stands before an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410 §4).
const ED25519_SPKI: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// `AlgorithmIdentifier { ecdsa-with-SHA }` without the last byte (RFC 5758 §3.2).
const ECDSA: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];

/// The first twelve bytes of `sha256WithRSAEncryption` and its like are those of `rsaEncryption` (RFC 4055 §5), and so are the
/// parameters.
const LAST_OF_RSA: usize = 12;

/// `AlgorithmIdentifier { id-RSASSA-PSS }` (RFC 4055 §3.1) with one hash for message and mask, and a salt as long as it. Zeros stand
/// for the last bytes of the hash, and of the salt's length.
const PSS: &[u8] = &[
    0x30, 0x41, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a, 0x30, 0x34, 0xa0, 0x0f, 0x30, 0x0d,
    0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x00, 0x05, 0x00, 0xa1, 0x1c, 0x30, 0x1a, 0x06, 0x09,
    0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03,
    0x04, 0x02, 0x00, 0x05, 0x00, 0xa2, 0x03, 0x02, 0x01, 0x00,
];

/// A public key that signs certificates.
#[derive(Debug)]
pub(crate) struct IssuerKey {
    material: Material,
    sha256: Thumbprint,
}

impl IssuerKey {
    /// Reads a SubjectPublicKeyInfo in DER.
    ///
    /// # Errors
    /// Why it verifies nothing.
    pub(crate) fn from_der(info: &[u8]) -> Result<Self, String> {
        let point = |curve, prefix| {
            let point: &[u8] = info.strip_prefix::<[u8]>(prefix)?;
            let is_point =
                point.first() == Some(&UNCOMPRESSED) && point.len() == 1 + 2 * Curve::coordinate_length(curve);
            is_point.then(|| Material::Ec { curve, spki: info.to_vec() })
        };
        let ed25519 = || Material::ed25519(info.strip_prefix::<[u8]>(ED25519_SPKI)?);
        let known = [(Curve::P256, P256_SPKI), (Curve::P384, P384_SPKI), (Curve::P521, P521_SPKI)];
        let known = known.into_iter().find_map(|(curve, prefix)| point(curve, prefix)).or_else(ed25519);
        let material = match (known, rsa_numbers(info)) {
            (Some(material), _) => material,
            (None, Some([modulus, exponent])) => rsa(modulus, exponent)?,
            (None, None) => {
                return Err("it is none of RSA, EC P-256, EC P-384, EC P-521 and Ed25519".to_owned());
            }
        };
        Ok(Self { material, sha256: Thumbprint::of_der(info) })
    }

    /// The SHA-256 of the SubjectPublicKeyInfo.
    pub(crate) fn sha256(&self) -> &Thumbprint {
        &self.sha256
    }

    /// Whether the key signed this certificate. Without an algorithm, or with one that the engine does not know, it is not known.
    pub(crate) fn has_signed(&self, signed: &Signed<'_>, engine: &dyn SignatureEngine) -> Verification {
        let Some(algorithm) = algorithm(signed.algorithm) else { return Verification::Unavailable };
        use Algorithm::{ES256, ES384, ES512, EdDSA};
        let fits = match &self.material {
            Material::Rsa { .. } => !matches!(algorithm, ES256 | ES384 | ES512 | EdDSA),
            Material::Ec { .. } => matches!(algorithm, ES256 | ES384 | ES512),
            Material::Ed25519(_) => algorithm == EdDSA,
        };
        if fits { engine.verify_certificate(algorithm, signed, &self.material) } else { Verification::Invalid }
    }
}

/// The modulus and the exponent in the SubjectPublicKeyInfo of an RSA key (RFC 3279 §2.3.1).
fn rsa_numbers(info: &[u8]) -> Option<[&[u8]; 2]> {
    let [algorithm, key] = Element::only(info)?.children()?.try_into().ok()?;
    let key = Some(key).filter(|key| key.is(Tag::BitString) && algorithm.whole == RSA)?.primitive()?;
    let numbers: [Element<'_>; 2] = Element::only(key.strip_prefix(&[0])?)?.children()?.try_into().ok()?;
    Some(numbers.map(|number| number.contents))
}

/// The algorithm of an AlgorithmIdentifier. Of PSS only the parameters of JOSE are known (RFC 7518 §3.5).
fn algorithm(identifier: &[u8]) -> Option<Algorithm> {
    use Algorithm::{ES256, ES384, ES512, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    let rsa =
        |last: u8| RSA.iter().enumerate().map(move |(place, byte)| if place == LAST_OF_RSA { last } else { *byte });
    let pss = |hash: u8| {
        // SHA-256, SHA-384 and SHA-512 end with 1, 2 and 3 (RFC 5754 §2), and are 32, 48 and 64 bytes long.
        let salt = hash.saturating_add(1).saturating_mul(16);
        PSS.iter().enumerate().map(move |(place, byte)| match place {
            29 | 59 => hash,
            66 => salt,
            _ => *byte,
        })
    };
    match identifier.strip_prefix::<[u8]>(ECDSA) {
        Some([2]) => return Some(ES256),
        Some([3]) => return Some(ES384),
        Some([4]) => return Some(ES512),
        _ => {}
    }
    let own = || identifier.iter().copied();
    let of_rsa = [(0x0b, RS256), (0x0c, RS384), (0x0d, RS512)];
    let of_rsa = of_rsa.into_iter().find_map(|(last, known)| own().eq(rsa(last)).then_some(known));
    let of_pss = || {
        [(1, PS256), (2, PS384), (3, PS512)].into_iter().find_map(|(hash, known)| own().eq(pss(hash)).then_some(known))
    };
    of_rsa.or_else(of_pss).or_else(|| (identifier == ED25519).then_some(EdDSA))
}
