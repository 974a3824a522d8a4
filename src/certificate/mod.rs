//! The client's certificate: one DER leaf, its thumbprint, and the forms in which proxies hand it over.

pub mod dialect;
pub mod forwarding_headers;
mod pem;
pub mod thumbprint;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::reason::Reason;
use thumbprint::Thumbprint;

/// The certificate that the client proved to hold.
///
/// The DER is kept as it came: a thumbprint is over its bytes, and RFC 8705's own example (Appendix A) is an X.509
/// version 1 certificate that strict parsers refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    thumbprint: Thumbprint,
}

impl Certificate {
    /// Reads what the host hands over for the connection, PEM as it is or percent-encoded, and proves that it is
    /// the certificate which the TLS connection was made with.
    ///
    /// # Errors
    /// [`Reason::CertificateMalformed`] where it is not exactly one certificate, and
    /// [`Reason::CertificateDigestMismatch`] where it is another one than `presented`.
    pub fn of_connection(pem: &[u8], presented: &Thumbprint) -> Result<Self, Reason> {
        let der = pem::certificate_der(pem).ok_or(Reason::CertificateMalformed)?;
        let thumbprint = Thumbprint::of_der(&der);
        if thumbprint != *presented {
            return Err(Reason::CertificateDigestMismatch);
        }
        Ok(Self { der, thumbprint })
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
