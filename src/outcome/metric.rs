// SPDX-License-Identifier: Apache-2.0

//! The metrics.

use std::fmt::Write;

use crate::http::call::Outcome;
use crate::jose::algorithm::Algorithm;
use crate::outcome::decision::Verdict;
use crate::outcome::lookup::Lookup;
use crate::outcome::server_response::{IssuanceOutcome, MetadataOutcome, Passage};

/// One metric with its labels. The names are stable from 1.0 on, like those of the reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Decided requests, by verdict with its ground or reason, by the algorithm of an accepted token, and by whether the token
    /// was in the cache.
    Decisions(Verdict, Option<Algorithm>, Option<Lookup>),
    /// Forged headers and trailers that were removed. `X-Forwarded-Client-Cert` is not among them, since Envoy may have written
    /// it itself.
    ForgedHeadersRemoved,
    /// Fetches of keys, by their outcome.
    KeyFetches(Outcome),
    /// How long these took, in milliseconds.
    KeyFetchMilliseconds(Outcome),
    /// Introspections of tokens, by their outcome.
    Introspections(Outcome),
    /// How long these took, in milliseconds.
    IntrospectionMilliseconds(Outcome),
    /// Responses to requests for an authorization server's metadata, by outcome.
    MetadataResponses(MetadataOutcome),
    /// Token responses that were read, by verdict and content.
    IssuedTokens(Passage, IssuanceOutcome),
    /// Requests that were still in flight when their token expired.
    OutlivedTokens,
}

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Values are added up.
    Counter,
    /// Values are sorted into ranges.
    Histogram,
}

impl Metric {
    /// Its kind.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Decisions(..)
            | Self::ForgedHeadersRemoved
            | Self::KeyFetches(_)
            | Self::Introspections(_)
            | Self::MetadataResponses(_)
            | Self::IssuedTokens(..)
            | Self::OutlivedTokens => Kind::Counter,
            Self::KeyFetchMilliseconds(_) | Self::IntrospectionMilliseconds(_) => Kind::Histogram,
        }
    }

    /// The host's name of it, with labels in the form that `stats_config.stats_tags` of the shipped files extracts:
    /// `certbound_decisions_total_.=.policy.=.api;.;` and so on. `policy` is empty if none governs.
    #[must_use]
    pub fn name(self, policy: &str) -> String {
        let mut name = match self {
            Self::Decisions(..) => "certbound_decisions_total",
            Self::ForgedHeadersRemoved => "certbound_forged_headers_removed_total",
            Self::KeyFetches(_) => "certbound_key_fetches_total",
            Self::KeyFetchMilliseconds(_) => "certbound_key_fetch_milliseconds",
            Self::Introspections(_) => "certbound_introspections_total",
            Self::IntrospectionMilliseconds(_) => "certbound_introspection_milliseconds",
            Self::MetadataResponses(_) => "certbound_metadata_answers_total",
            Self::IssuedTokens(..) => "certbound_issued_tokens_total",
            Self::OutlivedTokens => "certbound_outlived_tokens_total",
        }
        .to_owned();
        let mut label = |key: &str, value: &str| {
            // Writing to a string cannot fail.
            let _ = write!(name, "_.=.{key}.=.{value};.;");
        };
        if !policy.is_empty() {
            label("policy", policy);
        }
        match self {
            Self::Decisions(verdict, algorithm, lookup) => {
                label("verdict", verdict.name());
                label("reason", verdict.reason());
                if let Some(algorithm) = algorithm {
                    label("algorithm", algorithm.name());
                }
                if let Some(lookup) = lookup {
                    label("token_cache", lookup.name());
                }
            }
            Self::KeyFetches(outcome)
            | Self::KeyFetchMilliseconds(outcome)
            | Self::Introspections(outcome)
            | Self::IntrospectionMilliseconds(outcome) => label("outcome", outcome.name()),
            Self::MetadataResponses(outcome) => label("outcome", outcome.name()),
            Self::IssuedTokens(passage, outcome) => {
                label("verdict", passage.name());
                label("outcome", outcome.name());
            }
            Self::ForgedHeadersRemoved | Self::OutlivedTokens => {}
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::decision::Ground;
    use crate::reason::Reason;

    #[test]
    fn a_metric_carries_its_labels_in_its_name() {
        let forwarded = Verdict::Forwarded(Ground::TokenBound);
        for (metric, policy, expected) in [
            (
                Metric::Decisions(forwarded, Some(Algorithm::ES256), Some(Lookup::Hit)),
                "api",
                "certbound_decisions_total_.=.policy.=.api;.;_.=.verdict.=.forwarded;.;_.=.reason.=.token_bound;.;\
                 _.=.algorithm.=.ES256;.;_.=.token_cache.=.hit;.;",
            ),
            (
                Metric::Decisions(Verdict::Observed(Reason::CertificateMismatch), None, Some(Lookup::Miss)),
                "api",
                "certbound_decisions_total_.=.policy.=.api;.;_.=.verdict.=.observed;.;\
                 _.=.reason.=.certificate_mismatch;.;_.=.token_cache.=.miss;.;",
            ),
            (
                Metric::Decisions(Verdict::Refused(Reason::UnknownPolicy), None, None),
                "",
                "certbound_decisions_total_.=.verdict.=.refused;.;_.=.reason.=.unknown_policy;.;",
            ),
            (Metric::ForgedHeadersRemoved, "a.b", "certbound_forged_headers_removed_total_.=.policy.=.a.b;.;"),
            (Metric::KeyFetches(Outcome::Succeeded), "", "certbound_key_fetches_total_.=.outcome.=.succeeded;.;"),
            (
                Metric::KeyFetchMilliseconds(Outcome::Failed),
                "",
                "certbound_key_fetch_milliseconds_.=.outcome.=.failed;.;",
            ),
        ] {
            assert_eq!(metric.name(policy), expected);
        }
    }
}
