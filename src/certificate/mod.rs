// SPDX-License-Identifier: Apache-2.0

//! The client's certificate: one DER leaf, its thumbprint, and the forms in which proxies hand it over.

mod composed;
pub(crate) mod der;
pub mod distinguished_name;
pub mod names;
pub mod object_identifier;
pub mod pasted_name;
pub(crate) mod pem;
pub mod public_key;
pub mod registered_name;
pub(crate) mod serial_number;
pub mod signed;
pub mod subject_alternative_name;
pub mod thumbprint;
pub mod to_be_signed;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use x509_parser::asn1_rs::FromDer;
use x509_parser::certificate::Validity;

use crate::reason::Reason;
use crate::time::UnixTime;
use thumbprint::Thumbprint;
use to_be_signed::ToBeSigned;

/// A certificate that a client proved to hold.
///
/// The DER is kept as it came, since a thumbprint is a hash of its bytes. RFC 8705's own example (Appendix A) is an X.509
/// version 1 certificate, which strict parsers refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    thumbprint: Thumbprint,
}

impl Certificate {
    /// Reads what the host hands over for the connection, as PEM or percent-encoded PEM, and proves that it is the certificate
    /// of the TLS connection.
    ///
    /// # Errors
    /// [`Reason::CertificateMalformed`] if it is not exactly one certificate, and [`Reason::CertificateDigestMismatch`] if it
    /// is not the certificate `presented`.
    pub fn of_connection(pem: &[u8], presented: &Thumbprint) -> Result<Self, Reason> {
        let der = pem::certificate_der(pem).ok_or(Reason::CertificateMalformed)?;
        let thumbprint = Thumbprint::of_der(&der);
        if thumbprint != *presented {
            return Err(Reason::CertificateDigestMismatch);
        }
        Ok(Self { der, thumbprint })
    }

    /// A certificate on the desk, with `der` as it is. Nobody proved to hold it, so the module has no such function.
    #[cfg(not(target_arch = "wasm32"))]
    #[must_use]
    pub fn on_the_desk(der: Vec<u8>) -> Self {
        Self { thumbprint: Thumbprint::of_der(&der), der }
    }

    /// The certificate with exactly these bytes.
    pub(crate) fn from_der(der: Vec<u8>) -> Option<Self> {
        Self::is_certificate(&der).then(|| Self { thumbprint: Thumbprint::of_der(&der), der })
    }

    /// Whether these bytes are one certificate by their form, and nothing more.
    pub(crate) fn is_certificate(der: &[u8]) -> bool {
        pem::is_one_sequence(der) && ToBeSigned::of_certificate(der).is_some()
    }

    /// Whether the certificate is valid at this time, both ends included (RFC 5280 §4.1.2.5).
    ///
    /// # Errors
    /// [`Reason::CertificateExpired`], [`Reason::CertificateNotYetValid`], and [`Reason::CertificateMalformed`] if the dates
    /// cannot be read.
    pub fn check_validity(&self, now: UnixTime) -> Result<(), Reason> {
        let validity = validity(&self.der).ok_or(Reason::CertificateMalformed)?;
        let now = i64::try_from(now.seconds()).map_err(|_| Reason::CertificateExpired)?;
        if now < validity.not_before.timestamp() {
            Err(Reason::CertificateNotYetValid)
        } else if now > validity.not_after.timestamp() {
            Err(Reason::CertificateExpired)
        } else {
            Ok(())
        }
    }

    /// The first and the last second of its validity, in RFC 3339 and UTC; `None` if they cannot be read.
    #[must_use]
    pub fn dates(&self) -> Option<(String, String)> {
        let Validity { not_before, not_after } = validity(&self.der)?;
        let shown = |time: x509_parser::time::ASN1Time| {
            let time = time.to_datetime();
            let (year, month, day) = (time.year(), u8::from(time.month()), time.day());
            let (hour, minute, second) = (time.hour(), time.minute(), time.second());
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
        };
        Some((shown(not_before), shown(not_after)))
    }

    /// The bytes of the certificate.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The SHA-256 of the DER.
    #[must_use]
    pub fn thumbprint(&self) -> &Thumbprint {
        &self.thumbprint
    }

    /// The DER in base64 (RFC 4648 §4), on one line.
    #[must_use]
    pub fn base64(&self) -> String {
        STANDARD.encode(&self.der)
    }

    /// The lines of the certificate's PEM (RFC 7468), the markers included, without line ends.
    pub(crate) fn pem_lines(base64: &str) -> impl Iterator<Item = &str> {
        let body = base64.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok());
        std::iter::once(pem::BEGIN).chain(body).chain(std::iter::once(pem::END))
    }
}

/// The validity of a certificate (RFC 5280 §4.1.2.5). The other fields are skipped: the handshake has judged them, and a parser
/// of all fields would make the module a ninth larger.
fn validity(der: &[u8]) -> Option<Validity> {
    Validity::from_der(ToBeSigned::of_certificate(der)?.validity).ok().map(|(_, validity)| validity)
}

#[cfg(test)]
mod tests {
    use super::thumbprint::APPENDIX_A;
    use super::*;

    #[test]
    fn the_dates_of_a_version_1_certificate_are_read_with_both_ends() {
        // From 2018-10-18 12:37:09Z to 2022-05-02 12:37:09Z, as `openssl x509 -dates` has them.
        let certificate = Certificate::on_the_desk(STANDARD.decode(APPENDIX_A).unwrap());
        let (not_before, not_after) = certificate.dates().unwrap();
        assert_eq!((not_before.as_str(), not_after.as_str()), ("2018-10-18T12:37:09Z", "2022-05-02T12:37:09Z"));
        let (first, last) = (1_539_866_229, 1_651_495_029);
        for (now, answer) in [
            (0, Err(Reason::CertificateNotYetValid)),
            (first - 1, Err(Reason::CertificateNotYetValid)),
            (first, Ok(())),
            (last, Ok(())),
            (last + 1, Err(Reason::CertificateExpired)),
            (u64::MAX, Err(Reason::CertificateExpired)),
        ] {
            assert_eq!(certificate.check_validity(UnixTime::from_seconds(now)), answer, "{now}");
        }
    }

    #[test]
    fn what_has_no_readable_dates_is_malformed_and_not_valid() {
        let der = STANDARD.decode(APPENDIX_A).unwrap();
        // Up to the end of the dates.
        for length in 0..0x44 {
            assert_eq!(
                Certificate::on_the_desk(der[..length].to_vec()).check_validity(UnixTime::from_seconds(1_600_000_000)),
                Err(Reason::CertificateMalformed)
            );
        }
    }
}
