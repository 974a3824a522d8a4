// SPDX-License-Identifier: Apache-2.0

//! The reasons for refusals: one closed enum, with the same names in the log, the tests and docs/reasons.md.

use std::fmt;

/// An error code that a client sees (RFC 6750 §3.1, RFC 9470 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// The request is malformed; status 400.
    InvalidRequest,
    /// The client did not authenticate as it must (RFC 6749 §5.2); status 401 where it used `Authorization`, else 400.
    InvalidClient,
    /// The access token is expired, malformed, bound to another certificate, or otherwise of no use; status 401.
    InvalidToken,
    /// The access token is good, and lacks a scope that this API requires; status 403.
    InsufficientScope,
    /// The access token is good, and this API requires another authentication of the user, or a later one; status 401.
    InsufficientUserAuthentication,
}

impl ErrorCode {
    /// The code as it stands in `WWW-Authenticate` and in the body.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidToken => "invalid_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::InsufficientUserAuthentication => "insufficient_user_authentication",
        }
    }
}

/// Whose fault a refusal is. It decides the status and the challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The client presented no access token: 401 and a challenge without an error code (RFC 6750 §3.1).
    Challenge,
    /// The client made a mistake: 400, 401 or 403, a challenge with this code.
    Client(ErrorCode),
    /// The client asks on a connection that it made for another server name: 421 (RFC 9110 §15.5.20), no challenge.
    Misdirected,
    /// The client may send the request again once the TLS handshake is complete: 425 (RFC 8470 §5.2), no challenge.
    TooEarly,
    /// The proxy serves nothing there: 404, no challenge.
    Unknown,
    /// The headers that the upstream would get are too large: 431 (RFC 6585 §5, RFC 9440 §3.2), no challenge.
    TooLarge,
    /// The proxy cannot decide, for want of something the operator must provide: 500, no challenge.
    Operator,
    /// The proxy cannot decide now, for want of something another server must provide: 503 and `Retry-After`.
    Later,
}

macro_rules! reasons {
    ($($(#[doc = $meaning:literal])+ $variant:ident, $name:literal, $fault:expr, $description:literal;)+) => {
        /// Why a request was refused.
        ///
        /// The name is stable from 1.0 on: dashboards and alerts may be built on it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[doc = $meaning])+ $variant,)+
        }

        impl Reason {
            /// Every reason there is.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name in the log, the tests and the documentation: `snake_case`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Whose fault it is.
            #[must_use]
            pub const fn fault(self) -> Fault {
                match self { $(Self::$variant => $fault,)+ }
            }

            /// One sentence for the client, in the characters that RFC 6750 §3 allows in `error_description`.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self { $(Self::$variant => $description,)+ }
            }
        }
    };
}

use ErrorCode::{InsufficientScope, InsufficientUserAuthentication, InvalidClient, InvalidRequest, InvalidToken};
use Fault::{Challenge, Client, Later, Misdirected, Operator, TooEarly, TooLarge, Unknown};

reasons! {
    /// The metadata of the route, its virtual host or the listener names a policy that the configuration does not have.
    UnknownPolicy, "unknown_policy", Operator, "the proxy has no policy for this route";
    /// The metadata under `certbound` holds something else than `policy: NAME`, or something at all beside `routes`.
    RouteMetadataMalformed, "route_metadata_malformed", Operator, "the proxy has no policy for this route";
    /// The proxy redirected the request internally, and another policy governs it now than the one that judged it first.
    PolicyChanged, "policy_changed", Operator, "the proxy has no policy for this redirect";
    /// The configuration has `routes`, and none is for this host and path.
    RouteUnknown, "route_unknown", Unknown, "no route for this host and path";
    /// Servers may differ about which host or path this is, so `routes` cannot choose a policy.
    TargetAmbiguous, "target_ambiguous", Client(InvalidRequest), "the host or the path of the request is ambiguous";
    /// The client made up a header about a certificate, and the configuration refuses such requests.
    HeaderForged, "header_forged", Client(InvalidRequest), "the request has a header that only the proxy may set";
    /// The host's digest of the client certificate is not 64 hexadecimal digits.
    PeerDigestMalformed, "peer_digest_malformed", Operator, "the proxy cannot identify the client certificate";
    /// The policy forwards validated certificates only, and this host does not say which are (Envoy before 1.39).
    ChainValidationUnavailable, "chain_validation_unavailable", Operator, "the proxy cannot tell whether the client certificate is valid";
    /// A certificate was presented, and the host does not hand it over (Envoy before 1.38).
    CertificateUnavailable, "certificate_unavailable", Operator, "the proxy cannot read the client certificate";
    /// What the terminator in front handed over as the client's certificate cannot be read, which a client may have caused.
    ForwardedCertificateMalformed, "forwarded_certificate_malformed", Client(InvalidRequest), "the client certificate cannot be read as it was handed over";
    /// What the host handed over as the client's certificate is not one.
    CertificateMalformed, "certificate_malformed", Operator, "the proxy cannot read the client certificate";
    /// The certificate handed over is not the one that the TLS connection was made with.
    CertificateDigestMismatch, "certificate_digest_mismatch", Operator, "the proxy cannot read the client certificate";
    /// The certificate is longer than one of the policy's forms may be.
    CertificateTooLarge, "certificate_too_large", TooLarge, "the client certificate is too large";
    /// This host cannot verify signatures of the algorithm of a token or a certificate.
    SignatureEngineUnavailable, "signature_engine_unavailable", Operator, "the proxy cannot verify this signature";

    /// The issuer's keys could not be fetched yet, or not for longer than the last ones may be used.
    KeysUnavailable, "keys_unavailable", Later, "the proxy cannot verify this access token now";
    /// The token could not be introspected: there was no response, or none that can be believed.
    IntrospectionUnavailable, "introspection_unavailable", Later, "the proxy cannot verify this access token now";
    /// The token does not name one key, and the time is used up in which one may be tried with several.
    SignatureChecksExhausted, "signature_checks_exhausted", Later, "the proxy cannot verify this access token now";
    /// The request came as early data, which others can send again (RFC 8470 §3).
    EarlyData, "early_data", TooEarly, "the request came before the TLS handshake was complete";
    /// The policy demands that the TLS server name is the host of the request, and it is another one or none.
    ServerNameMismatch, "server_name_mismatch", Misdirected, "the connection was made for another server name";

    /// The request has no `Authorization` header.
    TokenMissing, "token_missing", Challenge, "an access token is required";
    /// The `Authorization` header uses another scheme than those that the policy accepts.
    SchemeUnsupported, "scheme_unsupported", Challenge, "the authentication scheme is not accepted";
    /// The query has a parameter `access_token`, where a token would stand in logs and histories (RFC 9700 §4.3.2).
    TokenInQuery, "token_in_query", Client(InvalidRequest), "an access token must not stand in the query";
    /// The request has more than one `Authorization` value, or a list in one.
    AuthorizationRepeated, "authorization_repeated", Client(InvalidRequest), "the request carries more than one access token";
    /// The `Authorization` value is not a scheme and one token of RFC 6750's characters.
    AuthorizationMalformed, "authorization_malformed", Client(InvalidRequest), "the Authorization header is malformed";

    /// The token is longer than the filter reads.
    TokenTooLong, "token_too_long", Client(InvalidToken), "the access token is too long";
    /// The token is not a JWS in compact form with strict base64url and strict JSON objects inside.
    TokenMalformed, "token_malformed", Client(InvalidToken), "the access token is malformed";
    /// The token's `typ` says that it is for another purpose, or is not the one that the issuer's tokens must have.
    TokenTypeUnsupported, "token_type_unsupported", Client(InvalidToken), "the access token is of another type";
    /// The token's header has `crit`, or brings or points at a key of its own (`jwk`, `jku`, `x5u`).
    TokenHeaderUnsupported, "token_header_unsupported", Client(InvalidToken), "the access token has a header parameter that is not supported";
    /// No issuer of the policy has the token's `iss`.
    IssuerNotTrusted, "issuer_not_trusted", Client(InvalidToken), "the access token is from another issuer";
    /// The token's algorithm is not one that the issuer may use.
    AlgorithmNotAllowed, "algorithm_not_allowed", Client(InvalidToken), "the access token is signed with an algorithm that is not allowed";
    /// None of the issuer's keys fits the token's algorithm and has its `kid`, where they have any.
    KeyUnknown, "key_unknown", Client(InvalidToken), "the access token is signed with an unknown key";
    /// The filter that should have verified the token left nothing, or verified another one.
    TokenNotVerified, "token_not_verified", Client(InvalidToken), "the access token was not verified";
    /// The authorization server says that the token is not active (RFC 7662 §2.2).
    TokenInactive, "token_inactive", Client(InvalidToken), "the access token is not active";
    /// The signature is not right.
    SignatureInvalid, "signature_invalid", Client(InvalidToken), "the signature of the access token is invalid";

    /// A claim that must be there is not: `iss`, `aud` or `exp`; `iat` where lifetimes are bounded.
    ClaimMissing, "claim_missing", Client(InvalidToken), "the access token lacks a required claim";
    /// A claim has a value of the wrong type or out of bounds.
    ClaimMalformed, "claim_malformed", Client(InvalidToken), "a claim of the access token is malformed";
    /// None of the token's audiences is one of the policy's.
    AudienceMismatch, "audience_mismatch", Client(InvalidToken), "the access token is for another audience";
    /// The token's `exp` has passed.
    TokenExpired, "token_expired", Client(InvalidToken), "the access token is expired";
    /// The token's `nbf` or `iat` has not come yet.
    TokenNotYetValid, "token_not_yet_valid", Client(InvalidToken), "the access token is not valid yet";
    /// The token lives longer, from `iat` to `exp`, than the issuer's tokens may.
    TokenLifetimeTooLong, "token_lifetime_too_long", Client(InvalidToken), "the lifetime of the access token is too long";
    /// The user was authenticated otherwise than the policy requires, or too long ago, or the token does not say (RFC 9470).
    UserAuthenticationInsufficient, "user_authentication_insufficient", Client(InsufficientUserAuthentication), "the user must be authenticated again or in another way";
    /// The token lacks a scope that the policy requires.
    ScopeInsufficient, "scope_insufficient", Client(InsufficientScope), "the access token lacks a required scope";

    /// The policy or the scheme requires a certificate-bound token, and this one is not bound.
    ConfirmationMissing, "confirmation_missing", Client(InvalidToken), "the access token is not bound to a certificate";
    /// The confirmation is not 43 characters of canonical base64url where RFC 8705 §3.1 puts them.
    ConfirmationMalformed, "confirmation_malformed", Client(InvalidToken), "the confirmation of the access token is malformed";
    /// The token is bound to something else than a certificate, alone or as well (a DPoP key, say).
    ConfirmationUnsupported, "confirmation_unsupported", Client(InvalidToken), "the confirmation method of the access token is not supported";
    /// The token has `x5t#S256` at the top level, and the issuer is not configured with `confirmation: top_level`.
    ConfirmationAtTopLevel, "confirmation_at_top_level", Client(InvalidToken), "the confirmation of the access token is not where it is expected";
    /// The token names two certificates, one in `cnf` and another at the top level.
    ConfirmationConflict, "confirmation_conflict", Client(InvalidToken), "the access token is bound to two certificates";
    /// The token is bound to a DPoP key and came under another scheme than `DPoP` (RFC 9449 §7.2).
    DpopSchemeMissing, "dpop_scheme_missing", Client(InvalidToken), "the access token is bound to a DPoP key and needs the DPoP scheme";
    /// The client presented a certificate that the policy lists as revoked.
    CertificateRevoked, "certificate_revoked", Client(InvalidToken), "the client certificate is revoked";
    /// The policy checks the validity of certificates, and the one presented has expired.
    CertificateExpired, "certificate_expired", Client(InvalidToken), "the client certificate is expired";
    /// The policy checks the validity of certificates, and the one presented is not valid yet.
    CertificateNotYetValid, "certificate_not_yet_valid", Client(InvalidToken), "the client certificate is not valid yet";
    /// The token is bound to a certificate, and the client presented none.
    CertificateNotPresented, "certificate_not_presented", Client(InvalidToken), "the access token is bound to a certificate, and none was presented";
    /// The token is bound to a certificate, and the sender has the name of the terminator in front, whose chain was not
    /// validated on this connection.
    TerminatorNotValidated, "terminator_not_validated", Client(InvalidToken), "the access token is bound to a certificate, and none was presented";
    /// The token is bound to another certificate than the client presented.
    CertificateMismatch, "certificate_mismatch", Client(InvalidToken), "the access token is bound to another certificate";

    /// The body of a request to an authorization server, its credentials or its assertion cannot be read here.
    TokenRequestMalformed, "token_request_malformed", Client(InvalidRequest), "the request cannot be read";
    /// The request may name different clients to different readers: twice, differently, in the query, or in an odd way.
    ClientAmbiguous, "client_ambiguous", Client(InvalidRequest), "the request does not name one client once";
    /// A client that authenticates by its certificate sent something else to authenticate as well (RFC 6749 §2.3).
    ClientAuthenticationRepeated, "client_authentication_repeated", Client(InvalidRequest), "the request uses more than one method of client authentication";
    /// The client's tokens are to be bound to its certificate, and none can be handed over.
    BindingCertificateMissing, "binding_certificate_missing", Client(InvalidRequest), "the access tokens of this client need a client certificate";
    /// The request names no client.
    ClientIdMissing, "client_id_missing", Client(InvalidClient), "the request names no client";
    /// The policy refuses clients that it does not list.
    ClientUnknown, "client_unknown", Client(InvalidClient), "the client is not known";
    /// The client authenticates by its certificate, and presented none.
    ClientCertificateMissing, "client_certificate_missing", Client(InvalidClient), "the client must present its certificate";
    /// The client authenticates by a name in its certificate, whose chain was not validated (RFC 8705 §2.1).
    ClientCertificateNotValidated, "client_certificate_not_validated", Client(InvalidClient), "the client certificate is not valid";
    /// The client publishes its certificates, and they could not be fetched.
    ClientKeysUnavailable, "client_keys_unavailable", Later, "the proxy cannot authenticate this client now";
    /// The client presented another certificate than the one it is registered with.
    ClientCertificateMismatch, "client_certificate_mismatch", Client(InvalidClient), "the client certificate is another client's";
}

impl Reason {
    /// The same of a certificate that a terminator handed over: what is wrong with it a client may have caused.
    pub(crate) fn of_forwarded(self) -> Self {
        if self == Self::CertificateMalformed { Self::ForwardedCertificateMalformed } else { self }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_is_unique_and_snake_case() {
        let names: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
        for name in names {
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        }
    }

    #[test]
    fn every_description_keeps_to_the_characters_of_rfc_6750() {
        for reason in Reason::ALL {
            let allowed = |byte: u8| matches!(byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
            assert!(reason.description().bytes().all(allowed), "{reason}");
        }
    }
}
