// SPDX-License-Identifier: Apache-2.0

//! The signature of a certificate (RFC 5280 §4.1.1).

use super::der::Element;
use super::to_be_signed::ToBeSigned;

/// What is signed in a certificate, how, and the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed<'a> {
    /// The DER of the TBSCertificate.
    pub message: &'a [u8],
    /// The DER of the AlgorithmIdentifier. The one outside of the signature is the one within.
    pub algorithm: &'a [u8],
    /// The bytes of the signature; of ECDSA a SEQUENCE (RFC 5758 §3.2).
    pub signature: &'a [u8],
}

impl<'a> Signed<'a> {
    /// The parts of the certificate `der`. `None` if it has others, or if it names two algorithms (RFC 5280 §4.1.1.2).
    #[must_use]
    pub fn of_certificate(der: &'a [u8]) -> Option<Self> {
        let [message, algorithm, signature] = Element::only(der)?.children()?.try_into().ok()?;
        let (algorithm, signature) = (algorithm.whole, signature.whole_bytes()?);
        let is_named = ToBeSigned::of_certificate(der)?.signature == algorithm;
        is_named.then_some(Self { message: message.whole, algorithm, signature })
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::super::thumbprint::APPENDIX_A;
    use super::*;

    /// `ecdsa-with-SHA256` (RFC 5758 §3.2).
    const ALGORITHM: [u8; 12] = [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

    /// Where the certificate names its algorithm, as `openssl asn1parse` says.
    const PLACES: [usize; 2] = [0x0a, 0xb3];

    #[test]
    fn the_parts_of_a_certificate_are_its_bytes() {
        let der = STANDARD.decode(APPENDIX_A).unwrap();
        let signed = Signed::of_certificate(&der).unwrap();
        assert_eq!(signed.message, &der[4..PLACES[1]]);
        assert_eq!(signed.algorithm, ALGORITHM);
        assert_eq!(signed.signature, &der[PLACES[1] + 12 + 3..]);
    }

    #[test]
    fn a_certificate_with_two_algorithms_or_other_parts_has_no_signature() {
        let der = STANDARD.decode(APPENDIX_A).unwrap();
        for place in PLACES {
            let mut wrong = der.clone();
            assert_eq!(wrong[place..place + 12], ALGORITHM);
            wrong[place + 11] = 3;
            assert_eq!(Signed::of_certificate(&wrong), None);
        }
        let mut unused = der.clone();
        unused[PLACES[1] + 12 + 2] = 1;
        assert_eq!(Signed::of_certificate(&unused), None);
        for length in 0..der.len() {
            assert_eq!(Signed::of_certificate(&der[..length]), None, "{length}");
        }
        assert_eq!(Signed::of_certificate(&[&der[..], &[0]].concat()), None);
    }
}
