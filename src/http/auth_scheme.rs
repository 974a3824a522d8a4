// SPDX-License-Identifier: Apache-2.0

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

/// Some of the schemes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthSchemes {
    /// Whether [`AuthScheme::Dpop`] is one of them.
    pub dpop: bool,
    /// Whether [`AuthScheme::Bearer`] is.
    pub bearer: bool,
    /// Whether [`AuthScheme::MtlsPop`] is.
    pub mtls_pop: bool,
}

impl AuthSchemes {
    /// Whether this scheme is one of them.
    #[must_use]
    pub const fn has(self, scheme: AuthScheme) -> bool {
        match scheme {
            AuthScheme::Dpop => self.dpop,
            AuthScheme::Bearer => self.bearer,
            AuthScheme::MtlsPop => self.mtls_pop,
        }
    }

    /// All of them, in their order.
    pub fn iter(self) -> impl Iterator<Item = AuthScheme> {
        AuthScheme::ALL.into_iter().filter(move |scheme| self.has(*scheme))
    }

    /// The one under which the credentials in this value of `Authorization` stand, if it is one of them.
    #[must_use]
    pub fn of_credentials(self, value: &[u8]) -> Option<AuthScheme> {
        let name = value.split(|byte| *byte == b' ').next().unwrap_or_default();
        self.iter().find(|scheme| name.eq_ignore_ascii_case(scheme.name().as_bytes()))
    }
}
