// SPDX-License-Identifier: Apache-2.0

//! A response of the authorization server that is read before it is passed on.

use std::sync::Arc;

use super::issuance::{self, IssuedTokens};
use super::metadata::{self, Metadata};
use crate::certificate::thumbprint::Thumbprint;
use crate::http::body::{self, Unread};
use crate::http::edit::Edit;
use crate::http::header_map::Headers;
use crate::http::request::Request;
use crate::outcome::metric::Metric;
use crate::outcome::server_response::IssuanceOutcome;
use crate::outcome::server_response::MetadataOutcome;
use crate::outcome::server_response::{Finding, Judged, Passage};

/// What to do with the response to one request.
#[derive(Clone, Debug)]
pub struct ResponseReader(pub(super) Kind);

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// The response is the server's metadata.
    Metadata { metadata: Arc<Metadata>, is_required: bool },
    /// The response may have a token for the client with this certificate.
    Issuance { issued: Arc<IssuedTokens>, presented: Option<Thumbprint> },
}

/// What to do once the headers of a response have come.
#[derive(Debug, PartialEq, Eq)]
pub enum AtHeaders {
    /// Pass the response on as it is.
    Pass(Option<Report>),
    /// Wait for the body.
    AwaitBody {
        /// Make these edits before the headers leave.
        edits: Vec<Edit>,
        /// Whether the headers wait for the body.
        headers_wait: bool,
    },
    /// Withhold the response from the client.
    Withhold(Report),
}

/// What to do once the body of a response has come.
#[derive(Debug, PartialEq, Eq)]
pub enum AtBody {
    /// Pass it on as it is.
    Pass(Report),
    /// Pass this text on in its place.
    Replace(String, Report),
    /// Withhold the response from the client.
    Withhold(Report),
}

/// The metric and, if any, the log line for one response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The counter to increment.
    pub metric: Metric,
    /// The finding to log.
    pub finding: Option<Finding>,
}

impl From<MetadataOutcome> for Report {
    fn from(outcome: MetadataOutcome) -> Self {
        Self { metric: Metric::MetadataResponses(outcome), finding: None }
    }
}

/// The report on a token response, and whether the response is withheld.
fn report(issued: &IssuedTokens, judged: Judged, presented: Option<Thumbprint>) -> (Report, bool) {
    let Judged { outcome, expected, detail, identity } = judged;
    let is_withheld = outcome.reason().is_some() && issued.is_required();
    let passage = match (outcome.reason(), is_withheld) {
        (None, _) => Passage::Forwarded,
        (Some(_), false) => Passage::Observed,
        (Some(_), true) => Passage::Withheld,
    };
    let finding = outcome.reason().map(|reason| Finding { reason, is_withheld, presented, expected, detail, identity });
    (Report { metric: Metric::IssuedTokens(passage, outcome), finding }, is_withheld)
}

impl ResponseReader {
    /// Removes request headers because of which the response could not be read.
    pub(super) fn request_edits(&self, request: &Request<'_>) -> impl Iterator<Item = Edit> {
        let unwanted = match self.0 {
            Kind::Metadata { .. } => metadata::STRIPPED_REQUEST_HEADERS,
            Kind::Issuance { .. } => issuance::STRIPPED_REQUEST_HEADERS,
        };
        unwanted.iter().copied().filter(|name| request.values(name).next().is_some()).map(Edit::remove)
    }

    /// Reads the headers.
    #[must_use]
    pub fn headers(&self, headers: &Headers<'_>, end_of_stream: bool) -> AtHeaders {
        match &self.0 {
            Kind::Metadata { metadata, .. } => match metadata.at_headers(headers, end_of_stream) {
                Ok(edits) => AtHeaders::AwaitBody { edits, headers_wait: false },
                Err(outcome) => AtHeaders::Pass(Some(outcome.into())),
            },
            Kind::Issuance { issued, presented } => match IssuedTokens::at_headers(headers, end_of_stream) {
                Ok(true) => AtHeaders::AwaitBody { edits: Vec::new(), headers_wait: issued.has_headers_wait() },
                Ok(false) => AtHeaders::Pass(None),
                Err(judged) => match report(issued, judged, *presented) {
                    (report, true) => AtHeaders::Withhold(report),
                    (report, false) => AtHeaders::Pass(Some(report)),
                },
            },
        }
    }

    /// How large the body may be, in bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        match self.0 {
            Kind::Metadata { .. } => metadata::LARGEST,
            Kind::Issuance { .. } => issuance::LARGEST,
        }
    }

    /// The report on a response that ended while its body was awaited. The client got nothing of the body.
    #[must_use]
    pub fn interrupted(&self) -> Report {
        match &self.0 {
            Kind::Metadata { .. } => MetadataOutcome::Interrupted.into(),
            Kind::Issuance { .. } => {
                let metric = Metric::IssuedTokens(Passage::Withheld, IssuanceOutcome::Interrupted);
                Report { metric, finding: None }
            }
        }
    }

    /// Reads the whole body, without trailers.
    #[must_use]
    pub fn body(&self, body: Result<&[u8], Unread>) -> AtBody {
        match (&self.0, body::within(body, self.limit())) {
            (Kind::Metadata { .. }, Err(Unread::TooLarge)) => AtBody::Pass(MetadataOutcome::TooLarge.into()),
            (Kind::Metadata { .. }, Err(Unread::NotGiven)) => AtBody::Pass(MetadataOutcome::NotGiven.into()),
            (Kind::Metadata { metadata, is_required }, Ok(body)) => {
                let (rewritten, outcome) = metadata.rewrite(body, *is_required);
                rewritten.map_or(AtBody::Pass(outcome.into()), |text| AtBody::Replace(text, outcome.into()))
            }
            (Kind::Issuance { issued, presented }, body) => {
                match report(issued, issued.judge(body, *presented), *presented) {
                    (report, true) => AtBody::Withhold(report),
                    (report, false) => AtBody::Pass(report),
                }
            }
        }
    }
}

/// The first value of a header.
pub(super) fn field<'a>(headers: &Headers<'a>, name: &str) -> Option<&'a [u8]> {
    headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
}

/// Whether the body has a content coding (RFC 9110 §8.4).
pub(super) fn is_encoded(headers: &Headers<'_>) -> bool {
    let mut codings = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("content-encoding"));
    codings.any(|(_, value)| !value.trim_ascii().eq_ignore_ascii_case(b"identity"))
}

/// The length of the body, if the headers say it.
pub(super) fn length(headers: &Headers<'_>) -> Option<usize> {
    std::str::from_utf8(field(headers, "content-length")?).ok()?.trim().parse().ok()
}
