//! The authentication schemes (RFC 9110 §11.1) under which access tokens are sent.

/// A scheme. The order is that in which a client is offered them: some clients overlook a challenge for `DPoP` that follows
/// one for `Bearer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuthScheme {
    /// RFC 9449 §7.1.
    Dpop,
    /// RFC 6750.
    Bearer,
    /// Microsoft Entra's for tokens that are bound to the client's certificate, as RFC 8705 §3 has them.
    MtlsPop,
}

impl AuthScheme {
    /// Every scheme, in its order.
    pub const ALL: [Self; 3] = [Self::Dpop, Self::Bearer, Self::MtlsPop];

    /// Its name, in the spelling in which it was introduced. In requests the case does not matter (RFC 9110 §11.1).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dpop => "DPoP",
            Self::Bearer => "Bearer",
            Self::MtlsPop => "mtls_pop",
        }
    }
}
