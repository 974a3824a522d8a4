// SPDX-License-Identifier: Apache-2.0

//! Why a certificate that is there is not the client's.

/// Why a certificate that is there does not count as the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoCertificate {
    /// The sender of the request did not prove to be the terminator that the policy names.
    SenderUnknown,
    /// The sender presented the terminator's name in a certificate whose chain was not validated on this connection.
    TerminatorNotValidated,
    /// It is a terminator's own.
    OfTerminator,
    /// It has a name that the policy lists as no client's.
    NotAClient,
}

impl NoCertificate {
    /// For the log.
    pub(crate) const fn detail(self) -> &'static str {
        match self {
            Self::SenderUnknown => "the sender of the request did not prove to be the terminator in front",
            Self::TerminatorNotValidated => {
                "the sender presented the name of the terminator in front, but its chain was not validated on this \
                 connection, as after the resumption of a TLS session; where the listener validates every certificate, say \
                 chain: validated_by_listener"
            }
            Self::OfTerminator => "the only certificate is a terminator's own",
            Self::NotAClient => "the only certificate has a name of not_a_client",
        }
    }
}
