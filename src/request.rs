//! The request as the core sees it: values, read from the host before the judgement starts.

use crate::certificate::thumbprint::Thumbprint;
use crate::reason::Reason;

/// One request, at its headers.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Every header in the order of arrival, pseudo-headers included. Values are any bytes.
    pub headers: &'a [(String, Vec<u8>)],
    /// What the route's metadata says under `certbound`, as the host encodes a map; see [`crate::policy`].
    pub route_metadata: Option<&'a [u8]>,
    /// The SHA-256 of the DER of the certificate that the client proved to hold in the TLS handshake, as 64
    /// hexadecimal digits; `None` or empty where it presented none.
    pub peer_digest: Option<&'a [u8]>,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub now: u64,
}

impl<'a> Request<'a> {
    /// All values of a header, in order. `name` in lower case.
    pub(crate) fn values(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
    }

    /// The thumbprint of the certificate that the client proved to hold, if it presented one.
    ///
    /// # Errors
    /// [`Reason::PeerDigestMalformed`] where the host says something that is not a digest.
    pub(crate) fn presented(&self) -> Result<Option<Thumbprint>, Reason> {
        match self.peer_digest {
            None | Some([]) => Ok(None),
            Some(digest) => Thumbprint::from_hex(digest).map(Some).ok_or(Reason::PeerDigestMalformed),
        }
    }
}
