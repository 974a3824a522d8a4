//! An answer of the authorization server that is read before it goes on.

use std::sync::Arc;

use super::issuance::{self, IssuedTokens};
use super::metadata::{self, Metadata};
use crate::certificate::thumbprint::Thumbprint;
use crate::http::edit::Edit;
use crate::http::header_map::Headers;
use crate::http::request::Request;
use crate::outcome::metric::Metric;
use crate::outcome::server_response::IssuanceOutcome;
use crate::outcome::server_response::MetadataOutcome;
use crate::outcome::server_response::{Finding, Passage};

/// What is to be done with the answer to one request.
#[derive(Clone, Debug)]
pub struct ResponseReader(pub(super) Kind);

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// It is the server's metadata.
    Metadata { metadata: Arc<Metadata>, is_required: bool },
    /// It may have a token for the client with this certificate.
    Issuance { issued: Arc<IssuedTokens>, presented: Option<Thumbprint> },
}

/// What becomes of an answer when its headers have come.
#[derive(Debug, PartialEq, Eq)]
pub enum AtHeaders {
    /// It goes on as it is, and this is told.
    Pass(Option<Told>),
    /// Its body is waited for.
    AwaitBody {
        /// They are made before its headers leave.
        edits: Vec<Edit>,
        /// Whether these wait for the body.
        headers_wait: bool,
    },
    /// The client does not get it, and this is told.
    Withhold(Told),
}

/// What becomes of the body of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum AtBody {
    /// It goes on as it is, and this is told.
    Pass(Told),
    /// It goes on as this text, and this is told.
    Replace(String, Told),
    /// The client does not get it, and this is told.
    Withhold(Told),
}

/// What is told of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// To be counted.
    pub metric: Metric,
    /// To be logged.
    pub finding: Option<Finding>,
}

impl From<MetadataOutcome> for Told {
    fn from(outcome: MetadataOutcome) -> Self {
        Self { metric: Metric::MetadataAnswers(outcome), finding: None }
    }
}

/// What is told of an answer of a token endpoint, and whether it is withheld.
fn told(issued: &IssuedTokens, outcome: IssuanceOutcome, presented: Option<Thumbprint>) -> (Told, bool) {
    let is_withheld = outcome.reason().is_some() && issued.is_required();
    let passage = match (outcome.reason(), is_withheld) {
        (None, _) => Passage::Forwarded,
        (Some(_), false) => Passage::Observed,
        (Some(_), true) => Passage::Withheld,
    };
    let finding = outcome.reason().map(|reason| Finding { reason, is_withheld, presented });
    (Told { metric: Metric::IssuedTokens(passage, outcome), finding }, is_withheld)
}

impl ResponseReader {
    /// What the request for it must not ask.
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
                Err(outcome) => match told(issued, outcome, *presented) {
                    (told, true) => AtHeaders::Withhold(told),
                    (told, false) => AtHeaders::Pass(Some(told)),
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

    /// What is told of an answer that ends while its body is waited for: the client got nothing of it.
    #[must_use]
    pub fn interrupted(&self) -> Told {
        match &self.0 {
            Kind::Metadata { .. } => MetadataOutcome::Interrupted.into(),
            Kind::Issuance { .. } => {
                let metric = Metric::IssuedTokens(Passage::Withheld, IssuanceOutcome::Interrupted);
                Told { metric, finding: None }
            }
        }
    }

    /// Reads the whole body, trailers apart; `None` where it is larger than the limit, or cannot be read.
    #[must_use]
    pub fn body(&self, body: Option<&[u8]>) -> AtBody {
        let body = body.filter(|body| body.len() <= self.limit());
        match (&self.0, body) {
            (Kind::Metadata { .. }, None) => AtBody::Pass(MetadataOutcome::TooLarge.into()),
            (Kind::Metadata { metadata, is_required }, Some(body)) => {
                let (rewritten, outcome) = metadata.rewrite(body, *is_required);
                rewritten.map_or(AtBody::Pass(outcome.into()), |text| AtBody::Replace(text, outcome.into()))
            }
            (Kind::Issuance { issued, presented }, body) => {
                match told(issued, issued.judge(body, *presented), *presented) {
                    (told, true) => AtBody::Withhold(told),
                    (told, false) => AtBody::Pass(told),
                }
            }
        }
    }
}

/// The first value of a header.
pub(super) fn field<'a>(headers: &Headers<'a>, name: &str) -> Option<&'a [u8]> {
    headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
}

/// Whether the body comes in another form than its own (RFC 9110 §8.4).
pub(super) fn is_encoded(headers: &Headers<'_>) -> bool {
    let mut codings = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("content-encoding"));
    codings.any(|(_, value)| !value.trim_ascii().eq_ignore_ascii_case(b"identity"))
}

/// How long the body is, where that is said.
pub(super) fn length(headers: &Headers<'_>) -> Option<usize> {
    std::str::from_utf8(field(headers, "content-length")?).ok()?.trim().parse().ok()
}
