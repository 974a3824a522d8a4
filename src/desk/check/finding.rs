// SPDX-License-Identifier: Apache-2.0

//! What is wrong, where.

use std::fmt;
use std::rc::Rc;

use crate::config::file::Place;
use crate::desk::sentence::shown;
use crate::text::https_url::redacted;

/// One thing that is wrong at one place of a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// Which warning it is, if it is one.
    pub warning: Option<Warning>,
    file: Rc<str>,
    /// Line and column, from 1, where they are known.
    position: Option<(usize, usize)>,
    sentence: String,
}

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// It would not load, or would refuse requests that should pass.
    Error,
    /// It loads, and may let pass or refuse what its author did not mean.
    Warning,
}

macro_rules! warnings {
    ($($(#[doc = $meaning:literal])+ $variant:ident, $name:literal;)+) => {
        /// What works against the filter. The name is stable from 1.0 on.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Warning {
            $($(#[doc = $meaning])+ $variant,)+
        }

        impl Warning {
            /// Every warning there is.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name behind the sentence: `snake_case`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What it means, in a sentence.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($meaning),+).trim_ascii(),)+ }
            }
        }
    };
}

warnings! {
    /// The listener never asks a client for its certificate, and a policy needs one.
    CertificateNotRequested, "certificate_not_requested";
    /// The listener does not offer to accept Ed25519 or P-521, so such a client seems to have no certificate.
    SignatureAlgorithmNotOffered, "signature_algorithm_not_offered";
    /// An authorization server or an API gets certificates that nobody validated.
    UntrustedCertificateHandedOver, "untrusted_certificate_handed_over";
    /// A validated certificate does not count as validated any more once its TLS session is resumed.
    ValidatedCertificateLostOnResumption, "validated_certificate_lost_on_resumption";
    /// Clients that choose their certificate by the CAs which the listener names send no self-signed one.
    ClientCaListSent, "client_ca_list_sent";
    /// A resumed TLS session shows the certificate that the client had before it renewed it.
    SessionResumption, "session_resumption";
    /// A QUIC listener takes requests that others can send again.
    EarlyDataAccepted, "early_data_accepted";
    /// `Alt-Svc` leads clients to an HTTP/3 listener that does not ask for their certificate.
    AltSvcWithoutCertificate, "alt_svc_without_certificate";
    /// A policy hands over the chain behind a certificate, and nothing hands it to the filter.
    ChainNotHandedOver, "chain_not_handed_over";
    /// The certificate of a proxy in the mesh is taken for that of each of its clients.
    MeshCertificateJudged, "mesh_certificate_judged";
    /// The name by which a terminator in front proves itself can be in anybody's certificate.
    TerminatorNotProved, "terminator_not_proved";
    /// A policy compares the TLS server name, which nothing reads.
    ServerNameUnknown, "server_name_unknown";
    /// Envoy believes the `X-Forwarded-Client-Cert` of a client.
    ForwardedCertificateBelieved, "forwarded_certificate_believed";
    /// Nothing ends a request that waits for ever.
    StreamIdleTimeoutMissing, "stream_idle_timeout_missing";
    /// A request is judged again after an internal redirect, and refused for what the first judgement did.
    InternalRedirect, "internal_redirect";
    /// The path that chooses the policy is not the path that the server gets.
    PathNotNormalized, "path_not_normalized";
    /// A client chooses the route by a header that is removed only afterwards.
    RouteMatchesCertificateHeader, "route_matches_certificate_header";
    /// On some routes nothing removes forged certificate headers, since the filter does not run there.
    FilterDisabled, "filter_disabled";
    /// Nothing in these files chooses the policy.
    PolicyNeverChosen, "policy_never_chosen";
    /// A later filter may change what was judged.
    ChangedAfterDecision, "changed_after_decision";
    /// A filter that fails lets requests pass.
    FailOpen, "fail_open";
    /// The host does not let the module call what a request needs.
    CapabilityMissing, "capability_missing";
    /// A filter that crashed once is not started again.
    FailClosedForEver, "fail_closed_for_ever";
    /// No `jwt_authn` runs before the filter that relies on it.
    JwtAuthnMissing, "jwt_authn_missing";
    /// No provider of it leaves the payload that is relied on.
    JwtAuthnPayloadMissing, "jwt_authn_payload_missing";
    /// Two providers leave their payloads under one name.
    JwtAuthnPayloadAmbiguous, "jwt_authn_payload_ambiguous";
    /// The provider is for another issuer.
    JwtAuthnIssuerDiffers, "jwt_authn_issuer_differs";
    /// The provider takes tokens from where nobody judges them.
    JwtAuthnTakesOtherTokens, "jwt_authn_takes_other_tokens";
    /// Payloads are left that nobody verified.
    JwtAuthnDoesNotVerify, "jwt_authn_does_not_verify";
    /// A client may write a header itself into which `jwt_authn` writes a claim.
    ClaimHeaderNotRemoved, "claim_header_not_removed";
    /// An ID token may pass for an access token that need not be bound, where nothing in it says what it is.
    IdTokenMayPass, "id_token_may_pass";
    /// A policy has headers wait for the body, and the proxy does not let them.
    HeadersCannotWait, "headers_cannot_wait";
    /// The platform leaves the filter out, so that requests pass unjudged.
    ExtensionLeftOut, "extension_left_out";
    /// Requests to other ports pass unjudged.
    OtherPortsUnjudged, "other_ports_unjudged";
    /// The calls that an application makes itself are judged, too.
    OutboundJudged, "outbound_judged";
    /// Two filters judge the same requests.
    InstalledTwice, "installed_twice";
    /// Something before the filter sees the certificate headers that a client made up.
    ForgedHeadersSeenBefore, "forged_headers_seen_before";
    /// Keys or answers about tokens come from a server that nothing proves to be the right one.
    ClusterWithoutTls, "cluster_without_tls";
    /// The module that is fetched may change.
    ModuleNotPinned, "module_not_pinned";
    /// A key of a client's `jwks` has no certificate, so it does not serve.
    ClientKeyLeftOut, "client_key_left_out";
    /// A client's distinguished name has an order or a character that is more often a tool's than a certificate's.
    DistinguishedNameDoubtful, "distinguished_name_doubtful";
}

impl Severity {
    /// As it is written.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl Finding {
    /// The name of the file.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// Line and column, from 1 and in characters, where they are known.
    pub(super) fn position(&self) -> Option<(usize, usize)> {
        self.position
    }

    /// What is wrong, and what to do.
    pub(super) fn sentence(&self) -> &str {
        &self.sentence
    }

    pub(super) fn is_in(&self, file: &str) -> bool {
        &*self.file == file
    }

    pub(super) fn error(file: impl Into<Rc<str>>, position: Option<(usize, usize)>, sentence: String) -> Self {
        let sentence = redacted(&sentence).into_owned();
        Self { severity: Severity::Error, warning: None, file: file.into(), position, sentence }
    }

    pub(super) fn error_at(place: Place<'_>, sentence: String) -> Self {
        Self::error(place.shared_file(), Some(place.position()), sentence)
    }

    pub(super) fn warning(place: Place<'_>, warning: Warning, sentence: impl AsRef<str>) -> Self {
        let (file, position) = (place.shared_file(), Some(place.position()));
        let sentence = redacted(sentence.as_ref()).into_owned();
        Self { severity: Severity::Warning, warning: Some(warning), file, position, sentence }
    }
}

impl fmt::Display for Finding {
    /// `envoy.yaml:12:5: warning: what is wrong and what to do (name_of_the_warning)`
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", shown(&self.file))?;
        if let Some((line, column)) = self.position {
            write!(formatter, ":{line}:{column}")?;
        }
        write!(formatter, ": {}: {}", self.severity.name(), shown(&self.sentence))?;
        self.warning.map_or(Ok(()), |warning| write!(formatter, " ({})", warning.name()))
    }
}
