// SPDX-License-Identifier: Apache-2.0

//! The key of a certificate's issuer, and how certificates are signed (RFC 3279, RFC 4055, RFC 5758, RFC 8410). The algorithms are
//! those of tokens, but for two things: an ECDSA signature is in DER, and its hash may be any with any curve.

use super::algorithm::Algorithm;
use super::der::RSA;
use super::jwk::{Curve, Material, P256_SPKI, P384_SPKI, P521_SPKI, UNCOMPRESSED, rsa};
use super::signature::{SignatureEngine, Verification};
use crate::certificate::der::Element;
use crate::certificate::signed::Signed;
use crate::certificate::thumbprint::Thumbprint;

/// What stands before an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410 §4): the AlgorithmIdentifier is in it, which that of a
/// signature is, too.
const ED25519_SPKI: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// `AlgorithmIdentifier { ecdsa-with-SHA256 }` (RFC 5758 §3.2). The last byte names the hash.
const ECDSA: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// `AlgorithmIdentifier { id-RSASSA-PSS }` with SHA-256 for message and mask, and a salt as long as it (RFC 4055 §3.1).
const PSS: &[u8] = &[
    0x30, 0x41, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a, 0x30, 0x34, 0xa0, 0x0f, 0x30, 0x0d,
    0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0xa1, 0x1c, 0x30, 0x1a, 0x06, 0x09,
    0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x08, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03,
    0x04, 0x02, 0x01, 0x05, 0x00, 0xa2, 0x03, 0x02, 0x01, 0x20,
];

/// A public key that signs certificates.
#[derive(Debug)]
pub(crate) struct IssuerKey {
    /// Or why it verifies nothing.
    material: Result<Material, String>,
    sha256: Thumbprint,
}

impl IssuerKey {
    /// Reads a SubjectPublicKeyInfo in DER.
    pub(crate) fn from_der(info: &[u8]) -> Self {
        Self { material: material(info), sha256: Thumbprint::of_der(info) }
    }

    /// The SHA-256 of the SubjectPublicKeyInfo.
    pub(crate) fn sha256(&self) -> &Thumbprint {
        &self.sha256
    }

    /// Refuses a key that verifies nothing.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.material.as_ref().map(|_| ()).map_err(Clone::clone)
    }

    /// Whether the key signed this certificate; [`Verification::Unavailable`] also where the key or the algorithm is none of those that
    /// are known here.
    pub(crate) fn has_signed(&self, signed: &Signed<'_>, engine: &dyn SignatureEngine) -> Verification {
        use Algorithm::{ES256, ES384, ES512, EdDSA};
        let (Some(algorithm), Ok(material)) = (algorithm(signed.algorithm), &self.material) else {
            return Verification::Unavailable;
        };
        let fits = match material {
            Material::Rsa { .. } => !matches!(algorithm, ES256 | ES384 | ES512 | EdDSA),
            Material::Ec { .. } => matches!(algorithm, ES256 | ES384 | ES512),
            Material::Ed25519(_) => algorithm == EdDSA,
        };
        if fits { engine.verify_certificate(algorithm, signed, material) } else { Verification::Invalid }
    }
}

/// The key in a SubjectPublicKeyInfo. Each prefix has its length.
fn material(info: &[u8]) -> Result<Material, String> {
    let info = Element::only(info).map(|info| info.whole).unwrap_or_default();
    for (curve, prefix) in [(Curve::P256, P256_SPKI), (Curve::P384, P384_SPKI), (Curve::P521, P521_SPKI)] {
        if info.strip_prefix(prefix).is_some_and(|point| point.first() == Some(&UNCOMPRESSED)) {
            return Ok(Material::Ec { curve, spki: info.to_vec() });
        }
    }
    if let Some(key) = info.strip_prefix(ED25519_SPKI).and_then(Material::ed25519) {
        return Ok(key);
    }
    match rsa_numbers(info) {
        Some([modulus, exponent]) => rsa(modulus.contents, exponent.contents),
        None => Err("it is none of RSA, EC P-256, EC P-384, EC P-521 and Ed25519".to_owned()),
    }
}

/// The modulus and the exponent in the SubjectPublicKeyInfo of an RSA key (RFC 3279 §2.3.1).
fn rsa_numbers(info: &[u8]) -> Option<[Element<'_>; 2]> {
    let [algorithm, key] = Element::only(info)?.children()?.try_into().ok()?;
    let key = key.whole_bytes().filter(|_| algorithm.whole == RSA)?;
    Element::only(key)?.children()?.try_into().ok()
}

/// The algorithm of an AlgorithmIdentifier. Of PSS only the parameters of JOSE are known (RFC 7518 §3.5).
fn algorithm(identifier: &[u8]) -> Option<Algorithm> {
    use Algorithm::{ES256, ES384, ES512, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    if ED25519_SPKI.get(2..9) == Some(identifier) {
        return Some(EdDSA);
    }
    // Where the hash is named, by which numbers, and for which algorithms. `sha256WithRSAEncryption` and the like differ from
    // `rsaEncryption` in nothing else.
    let (pattern, place, first, algorithms) = match identifier.len() {
        12 => (ECDSA, 11, 2, [ES256, ES384, ES512]),
        15 => (RSA, 12, 11, [RS256, RS384, RS512]),
        _ => (PSS, 29, 1, [PS256, PS384, PS512]),
    };
    let hash = *identifier.get(place)?;
    let number = usize::from(hash.checked_sub(first)?);
    let salt = *[32, 48, 64].get(number)?;
    let mut expected = pattern.to_vec();
    // The last two are there in PSS alone: the hash of the mask, and the length of the salt.
    for (place, byte) in [(place, hash), (59, hash), (66, salt)] {
        if let Some(expected) = expected.get_mut(place) {
            *expected = byte;
        }
    }
    algorithms.get(number).copied().filter(|_| expected == identifier)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::certificate::to_be_signed::ToBeSigned;
    use crate::jose::signature::PortableEngine;

    /// Certificates that OpenSSL 3.0 signed with their own keys (`openssl req -x509`), and what is known of their signatures.
    const SELF_SIGNED: &[(&str, Verification)] = &[
        // P-256 with SHA-512.
        (
            "MIIBbDCCARKgAwIBAgIUCisEqjBuqBpOq1Xqu0xUEjnkeSQwCgYIKoZIzj0EAwQwDDEKMAgGA1UEAwwBYTAgFw0yNjExMzAxMDA0MDlaGA8yMDU0MDQx\
            NjEwMDQwOVowDDEKMAgGA1UEAwwBYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABCT20GzQilEOdqKmF78dxAb5oQL7+2U8n2rkzzp6ognKpWH0LoBv\
            5iu0+UXV6Yr9cCp/AT0sKMnHpYEj162s1e2jUDBOMB0GA1UdDgQWBBRotCoKv74XWLXVGgTQBcvbn8PI1jAfBgNVHSMEGDAWgBRotCoKv74XWLXVGgTQ\
            Bcvbn8PI1jAMBgNVHRMEBTADAQH/MAoGCCqGSM49BAMEA0gAMEUCIQDZyOxbFTnx08EnHgRLoFstrULVzsIEce1SVuKH5ZM7HQIgRRGy4kvKOX9WBDrP\
            lrQp/x1AL/88ZoXAkrlJihBTD/4=",
            Verification::Valid,
        ),
        // P-384 with SHA-256.
        (
            "MIIBqTCCAS+gAwIBAgIUbK4X6M7HD9x8fO4fuqK5xOgZJiQwCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBYTAgFw0yNjExMzAxMDA0MDlaGA8yMDU0MDQx\
            NjEwMDQwOVowDDEKMAgGA1UEAwwBYTB2MBAGByqGSM49AgEGBSuBBAAiA2IABCSwXA2iYc16oHKOrW5milPfr6ZiUhYfUX+zAoD6V35i0IgeJbC/KTp2\
            W1YkxbKzsUzivod6YFhtiVLRbBZ2aNsTzhSwB2v8IvPVpWM8BLHBFjGFait0soROAqWewSDGE6NQME4wHQYDVR0OBBYEFN/t0iS+obfxIO5xKdBqAdcf\
            7/qbMB8GA1UdIwQYMBaAFN/t0iS+obfxIO5xKdBqAdcf7/qbMAwGA1UdEwQFMAMBAf8wCgYIKoZIzj0EAwIDaAAwZQIwfkgnUdnCV4RFI5bp3EcH41zV\
            rDAxVbvkYUB2h0/kdhscpTm9pVYTyLoMigNxWX6KAjEA4kQEymjCeNOioZFSl6uTOnlTHm/zX5vYX+N+4glQG2jgLN/eIYIa4q7mMHIvGM2I",
            Verification::Valid,
        ),
        // Ed25519.
        (
            "MIIBKzCB3qADAgECAhQE8bTFtdFCfLPbqpr72YiwR3nK5jAFBgMrZXAwDDEKMAgGA1UEAwwBYTAgFw0yNjExMzAxMDA0MTBaGA8yMDU0MDQxNjEwMDQx\
            MFowDDEKMAgGA1UEAwwBYTAqMAUGAytlcAMhAEYNXzBinjcUOrJgVSrzEDMEePK/+wtovFocotRUyEWfo1AwTjAdBgNVHQ4EFgQUGpvS2hDPb+aNdTJ4\
            cTeThcP60GcwHwYDVR0jBBgwFoAUGpvS2hDPb+aNdTJ4cTeThcP60GcwDAYDVR0TBAUwAwEB/zAFBgMrZXADQQCZ391JeepacgZR7np9Ow2KkbR94bpO\
            hHlue/2G5yfFFFAF2kKQDiIRSJk1n33LDtzhI30sKE/2IS4gu0+TWDgL",
            Verification::Valid,
        ),
        // RSA with SHA-384.
        (
            "MIIC+DCCAeCgAwIBAgIUfS+N7tCxGbM6oVb3xMjtx9e3J4IwDQYJKoZIhvcNAQEMBQAwDDEKMAgGA1UEAwwBYTAgFw0yNjExMzAxMDA0MTBaGA8yMDU0\
            MDQxNjEwMDQxMFowDDEKMAgGA1UEAwwBYTCCASIwDQYJKoZIhvcNAQEBBQADggEPADCCAQoCggEBAKaVeVTuxyrp0o+22aesgRBxPlUdpri34CBouY9L\
            x9iWzgKrOQUZk3RpAKwyvCF4XcVeHqXr3nhHQ51BIjcfxwEO8TXXHLQzp9UX10kKGVjffZqQFxM3c8BXKxRNCUrkk/jiMPt2ku6COEf4Wr6kSXpX+8lO\
            QL6rXiGN0xi3quvV324HTuXKgvtyE+m+OAOCMpodEYsTmgiI3JCTAjDfH5BAtubzi5of0+I0bET3jaZWwcRi91YV5IeZ0e9rVpeGS+uE6tOaVrfDVmHp\
            NT/vheivRZcKptCQUlvwH2TPiyQ6R3HhWoOOUyNql8KaPvk6Uoa4NBbx677gdvvrnfhqR3kCAwEAAaNQME4wHQYDVR0OBBYEFDY6+jWv7HY6RaMqZ2NN\
            xgz/7VcGMB8GA1UdIwQYMBaAFDY6+jWv7HY6RaMqZ2NNxgz/7VcGMAwGA1UdEwQFMAMBAf8wDQYJKoZIhvcNAQEMBQADggEBAAQ/LPjlNatOZ1w+u6NK\
            1dFxkHHVGIpDevmxomJEM/NfIJpep2/askAhqR/JVS64oNgTqOneatQxjEIVdAQWKhULXF3SoFi/jnBgdeGyKJnnnnt9NH8h3gkCha8F19nlwHr4gDwT\
            mxBAdjPNrWXwXWpNRTc1nV7M3ZPyBks3Pme7vTwUubhXMAMpJ9wYHSRIcvI0YjEnvRvIJhtywnhdtshPmSwqYuMDSN+yZP7D1zvZ7+P3dB6AgM/5aVqp\
            fQLdTG6JvHPg/YEKMbH2oPnEMIDpnN976+osMqhisAUbEJC3xBV2TuJn37oD0NgeewzivZi9MCVA/0cEHAT+5Pwdd7Q=",
            Verification::Valid,
        ),
        // the same key with PSS and SHA-256.
        (
            "MIIDYzCCAhegAwIBAgIUO1cF5lKzvpJ+WSLZjDQ4/sg9YBYwQQYJKoZIhvcNAQEKMDSgDzANBglghkgBZQMEAgEFAKEcMBoGCSqGSIb3DQEBCDANBglg\
            hkgBZQMEAgEFAKIDAgEgMAwxCjAIBgNVBAMMAWEwIBcNMjYxMTMwMTAwNDEwWhgPMjA1NDA0MTYxMDA0MTBaMAwxCjAIBgNVBAMMAWEwggEiMA0GCSqG\
            SIb3DQEBAQUAA4IBDwAwggEKAoIBAQCmlXlU7scq6dKPttmnrIEQcT5VHaa4t+AgaLmPS8fYls4CqzkFGZN0aQCsMrwheF3FXh6l6954R0OdQSI3H8cB\
            DvE11xy0M6fVF9dJChlY332akBcTN3PAVysUTQlK5JP44jD7dpLugjhH+Fq+pEl6V/vJTkC+q14hjdMYt6rr1d9uB07lyoL7chPpvjgDgjKaHRGLE5oI\
            iNyQkwIw3x+QQLbm84uaH9PiNGxE942mVsHEYvdWFeSHmdHva1aXhkvrhOrTmla3w1Zh6TU/74Xor0WXCqbQkFJb8B9kz4skOkdx4VqDjlMjapfCmj75\
            OlKGuDQW8eu+4Hb76534akd5AgMBAAGjUzBRMB0GA1UdDgQWBBQ2Ovo1r+x2OkWjKmdjTcYM/+1XBjAfBgNVHSMEGDAWgBQ2Ovo1r+x2OkWjKmdjTcYM\
            /+1XBjAPBgNVHRMBAf8EBTADAQH/MEEGCSqGSIb3DQEBCjA0oA8wDQYJYIZIAWUDBAIBBQChHDAaBgkqhkiG9w0BAQgwDQYJYIZIAWUDBAIBBQCiAwIB\
            IAOCAQEACRGffpIkwD8ewr0zjBZOKZqsf99haU+C5/iW/KpG+vmtZKGIY1V9TtYCQo0pZ3VSUmQHRT2iA+ypbcpl2w6CWe/ojCyZREE0vVOeO0MqUTv3\
            I9NZsWfZJvkeb+Og9LoOHZC6EJSCNSRzkXqvIW2nVZgPObKF50A/SzSAjcDui1wf8YbAQYL/IHAdZKnG7Br8wJjbOmroHiatR5zTGh/Qag34H+lmZ1Xu\
            EEaTGcbSrfij5iXiNFY+k98wlJDL1SEM0E14A+LmDfXavg4xadmP1Kd8fKVoh8bYZpWOUirEznQ65RLeEj3NN4EoRcCmURdJ/aev3x9IfP+CTKU1clPw\
            eQ==",
            Verification::Valid,
        ),
        // P-256 with SHA-1.
        (
            "MIIBazCCARGgAwIBAgIUI6LqiXS51OKT1HEYArug5qWI0rkwCQYHKoZIzj0EATAMMQowCAYDVQQDDAFhMCAXDTI2MTEzMDEwMDQxMFoYDzIwNTQwNDE2\
            MTAwNDEwWjAMMQowCAYDVQQDDAFhMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE2olwYoRaI8bZExbnZBaG+nGIuT8vq1XxfA1/o90DPcgzno8yUDSy\
            fNV8CYeRVlSRaiTYHRAmqGKG7jeGOfKDRqNQME4wHQYDVR0OBBYEFBlCgbmKy4g7nK87XdEu9/szTMpmMB8GA1UdIwQYMBaAFBlCgbmKy4g7nK87XdEu\
            9/szTMpmMAwGA1UdEwQFMAMBAf8wCQYHKoZIzj0EAQNJADBGAiEAkjb6nFdu/gF9/YWjQHHiEXAaUP7bEx/ZTnXdbzy366ACIQCivG6H+bym+hrq7xtC\
            VFVbRlPMSRqanfV1+Z6MrMwVcw==",
            Verification::Unavailable,
        ),
    ];

    fn certificates() -> Vec<(Vec<u8>, Verification)> {
        SELF_SIGNED.iter().map(|(text, verification)| (STANDARD.decode(text).unwrap(), *verification)).collect()
    }

    fn key_of(der: &[u8]) -> IssuerKey {
        IssuerKey::from_der(ToBeSigned::of_certificate(der).unwrap().subject_public_key_info)
    }

    fn has_signed(key: &IssuerKey, der: &[u8]) -> Verification {
        key.has_signed(&Signed::of_certificate(der).unwrap(), &PortableEngine)
    }

    #[test]
    fn a_key_has_signed_what_openssl_signed_with_it_and_nothing_else() {
        for (own, expected) in certificates() {
            let key = key_of(&own);
            key.check().unwrap();
            for (other, _) in certificates() {
                let is_own = key_of(&other).sha256() == key.sha256();
                let found = has_signed(&key, &other);
                assert_eq!(
                    found == Verification::Valid,
                    is_own && has_signed(&key_of(&other), &other) == Verification::Valid
                );
            }
            assert_eq!(has_signed(&key, &own), expected);
        }
    }

    #[test]
    fn a_certificate_with_any_byte_changed_is_not_signed() {
        for (own, _) in certificates().into_iter().filter(|(_, expected)| *expected == Verification::Valid) {
            let key = key_of(&own);
            let signature = own.len() - Signed::of_certificate(&own).unwrap().signature.len();
            // Every byte of the signature is a slow test.
            for place in (0..own.len()).step_by(7).chain([signature, own.len() - 1]) {
                let mut wrong = own.clone();
                wrong[place] ^= 1;
                if let Some(signed) = Signed::of_certificate(&wrong) {
                    assert_ne!(key.has_signed(&signed, &PortableEngine), Verification::Valid, "{place}");
                }
            }
        }
    }

    #[test]
    fn the_parameters_of_pss_are_those_of_jose_to_the_byte() {
        for (hash, salt, expected) in [(1, 32, Algorithm::PS256), (2, 48, Algorithm::PS384), (3, 64, Algorithm::PS512)]
        {
            let mut right = PSS.to_vec();
            (right[29], right[59], right[66]) = (hash, hash, salt);
            assert_eq!(algorithm(&right), Some(expected));
            for place in 0..right.len() {
                let mut wrong = right.clone();
                wrong[place] ^= 1;
                assert_eq!(algorithm(&wrong), None, "{place}");
                assert_eq!(algorithm(&right[..place]), None, "{place}");
            }
        }
    }

    #[test]
    fn a_key_that_is_none_or_of_another_kind_verifies_nothing() {
        for (der, _) in certificates() {
            let info = ToBeSigned::of_certificate(&der).unwrap().subject_public_key_info;
            for length in 0..info.len() {
                let key = IssuerKey::from_der(&info[..length]);
                assert!(key.check().is_err(), "{length}");
                assert_eq!(has_signed(&key, &der), Verification::Unavailable);
            }
            // The algorithm of another kind of key.
            let mut other = info.to_vec();
            other[10] ^= 0x40;
            assert_ne!(has_signed(&IssuerKey::from_der(&other), &der), Verification::Valid);
        }
    }
}
