// SPDX-License-Identifier: Apache-2.0

//! The order in which a policy in front of an API looks at a request, as `explain` tells it.

use crate::outcome::refusal::Refusal;
use crate::reason::Reason;
use crate::resource_server::ResourceServer;

/// One thing that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The certificate of the connection.
    Certificate,
    /// The place of the token in the request.
    Carriage,
    /// The form of the token, before anything in it is verified.
    Form,
    /// Who made it.
    Signature,
    /// Whether it is an access token.
    Kind,
    /// How long it lives.
    Lifetime,
    /// Whom it is for.
    Audience,
    /// When it is good.
    Time,
    /// The server name of the TLS handshake.
    ServerName,
    /// The dates of the certificate.
    Dates,
    /// What it is bound to.
    Binding,
    /// How its user was authenticated.
    Authentication,
    /// What it allows.
    Scope,
}

impl Stage {
    /// Every stage, in its order.
    pub(super) const ALL: &[Self] = &[
        Self::Certificate,
        Self::Carriage,
        Self::Form,
        Self::Signature,
        Self::Kind,
        Self::Lifetime,
        Self::Audience,
        Self::Time,
        Self::ServerName,
        Self::Dates,
        Self::Binding,
        Self::Authentication,
        Self::Scope,
    ];

    /// Whether this policy looks at it.
    pub(super) fn is_of(self, server: &ResourceServer) -> bool {
        match self {
            Self::Certificate => server.revokes_certificates(),
            Self::Lifetime => server.bounds_lifetimes(),
            Self::ServerName => server.needs_server_name(),
            Self::Dates => server.checks_dates(),
            Self::Authentication => server.requires_authentication(),
            Self::Scope => server.requires_scopes(),
            Self::Carriage
            | Self::Form
            | Self::Signature
            | Self::Kind
            | Self::Audience
            | Self::Time
            | Self::Binding => true,
        }
    }

    /// What is known of a request that has passed this stage.
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::Certificate => "no revoked certificate is presented",
            Self::Carriage => "there is one token where one may be",
            Self::Form => "the token has the right form and type, a trusted issuer, and an algorithm that is allowed",
            Self::Signature => "its signature was verified, or its issuer says that it is active",
            Self::Kind => "nothing in it says that it is an ID token, a refresh token or another",
            Self::Lifetime => "it does not live too long",
            Self::Audience => "it is for this API",
            Self::Time => "it has not expired, and is valid already",
            Self::ServerName => "the server name of the TLS handshake is the host of the request",
            Self::Dates => "the certificate is valid now",
            Self::Binding => "what it is bound to, the request has",
            Self::Authentication => "its user was authenticated as required",
            Self::Scope => "it has the required scopes",
        }
    }
}

/// The stage at which a request was stopped.
pub(super) fn of(refusal: &Refusal) -> Stage {
    // The subject of a token is known only after its signature is verified.
    let verified = refusal.identity().is_some();
    let claim = refusal.detail().and_then(|detail| detail.split([' ', ',']).next()).unwrap_or_default();
    match refusal.reason() {
        Reason::UnknownPolicy
        | Reason::PolicyChanged
        | Reason::RouteMetadataMalformed
        | Reason::RouteUnknown
        | Reason::TargetAmbiguous
        | Reason::HeaderForged
        | Reason::ChainValidationUnavailable
        | Reason::CertificateUnavailable
        | Reason::CertificateMalformed
        | Reason::ForwardedCertificateMalformed
        | Reason::CertificateDigestMismatch
        | Reason::CertificateTooLarge
        | Reason::PeerDigestMalformed
        | Reason::CertificateRevoked => Stage::Certificate,
        Reason::EarlyData
        | Reason::TokenMissing
        | Reason::SchemeUnsupported
        | Reason::TokenInQuery
        | Reason::AuthorizationRepeated
        | Reason::AuthorizationMalformed => Stage::Carriage,
        Reason::TokenTypeUnsupported if verified => Stage::Kind,
        Reason::ClaimMissing if refusal.detail().is_some_and(|detail| detail.ends_with("max_lifetime_seconds")) => {
            Stage::Lifetime
        }
        Reason::ClaimMalformed if verified && matches!(claim, "acr" | "auth_time") => Stage::Authentication,
        // These are read before any policy looks for scopes.
        Reason::ClaimMalformed
            if verified && !matches!(claim, "sub" | "jti" | "iss" | "aud" | "exp" | "nbf" | "iat") =>
        {
            Stage::Scope
        }
        Reason::TokenTooLong
        | Reason::TokenMalformed
        | Reason::TokenTypeUnsupported
        | Reason::TokenHeaderUnsupported
        | Reason::ClaimMissing
        | Reason::ClaimMalformed
        | Reason::IssuerNotTrusted
        | Reason::AlgorithmNotAllowed => Stage::Form,
        Reason::KeyUnknown
        | Reason::KeysUnavailable
        | Reason::TokenNotVerified
        | Reason::TokenInactive
        | Reason::IntrospectionUnavailable
        | Reason::SignatureEngineUnavailable
        | Reason::SignatureChecksExhausted
        | Reason::SignatureInvalid => Stage::Signature,
        Reason::TokenLifetimeTooLong => Stage::Lifetime,
        Reason::AudienceMismatch => Stage::Audience,
        Reason::TokenExpired | Reason::TokenNotYetValid => Stage::Time,
        Reason::ServerNameMismatch => Stage::ServerName,
        Reason::CertificateExpired | Reason::CertificateNotYetValid => Stage::Dates,
        Reason::ConfirmationMissing
        | Reason::ConfirmationMalformed
        | Reason::ConfirmationUnsupported
        | Reason::ConfirmationAtTopLevel
        | Reason::ConfirmationConflict
        | Reason::DpopSchemeMissing
        | Reason::CertificateNotPresented
        | Reason::TerminatorNotValidated
        | Reason::CertificateMismatch => Stage::Binding,
        Reason::UserAuthenticationInsufficient => Stage::Authentication,
        Reason::ScopeInsufficient => Stage::Scope,
        // No policy in front of an API refuses for these reasons.
        Reason::TokenRequestMalformed
        | Reason::ClientAmbiguous
        | Reason::ClientAuthenticationRepeated
        | Reason::BindingCertificateMissing
        | Reason::ClientIdMissing
        | Reason::ClientUnknown
        | Reason::ClientKeysUnavailable
        | Reason::ClientCertificateMissing
        | Reason::ClientCertificateNotValidated
        | Reason::ClientCertificateMismatch => Stage::Certificate,
    }
}
