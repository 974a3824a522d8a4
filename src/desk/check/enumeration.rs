// SPDX-License-Identifier: Apache-2.0

//! Enumerations of Envoy's messages, whose values may be written by their names or by their numbers.

use crate::config::file::Place;

/// The names of an enumeration's values, in the order of their numbers.
pub(super) type Enumeration = &'static [&'static str];

/// `CertificateValidationContext.TrustChainVerification`.
pub(super) const TRUST_CHAIN_VERIFICATION: Enumeration = &["VERIFY_TRUST_CHAIN", "ACCEPT_UNTRUSTED"];

/// `HttpConnectionManager.ForwardClientCertDetails`.
pub(super) const FORWARD_CLIENT_CERT_DETAILS: Enumeration =
    &["SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"];

/// `HttpConnectionManager.PathWithEscapedSlashesAction`.
pub(super) const ESCAPED_SLASHES: Enumeration = &[
    "IMPLEMENTATION_SPECIFIC_DEFAULT",
    "KEEP_UNCHANGED",
    "REJECT_REQUEST",
    "UNESCAPE_AND_REDIRECT",
    "UNESCAPE_AND_FORWARD",
];

/// `PluginConfig.failure_policy` (`envoy.extensions.wasm.v3.FailurePolicy`).
pub(super) const FAILURE_POLICY: Enumeration = &["UNSPECIFIED", "FAIL_RELOAD", "FAIL_CLOSED", "FAIL_OPEN"];

/// The name of the value that stands here.
pub(super) fn value_of(place: Place<'_>, names: Enumeration) -> Option<&'static str> {
    let by_number = || names.get(place.number_at(&[])?.parse::<usize>().ok()?).copied();
    let text = place.text();
    names.iter().copied().find(|name| text == Some(*name)).or_else(by_number)
}
