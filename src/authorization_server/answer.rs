//! An answer of the authorization server that is read before it goes on.

use std::sync::Arc;

use super::metadata::{self, Metadata};
use crate::metric::Metric;
use crate::step::Edit;

/// What is to be done with the answer to one request.
#[derive(Clone, Debug)]
pub struct Answering(pub(super) Kind);

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// It is the server's metadata.
    Metadata { metadata: Arc<Metadata>, is_required: bool },
}

/// What becomes of an answer when its headers have come.
#[derive(Debug, PartialEq, Eq)]
pub enum AtHeaders {
    /// It goes on as it is, and this is counted.
    Pass(Metric),
    /// Its body is waited for; these edits are made before its headers leave.
    AwaitBody(Vec<Edit>),
}

/// What becomes of the body of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum AtBody {
    /// It goes on as it is, and this is counted.
    Pass(Metric),
    /// It goes on as this text, and this is counted.
    Replace(String, Metric),
}

impl Answering {
    /// Reads the headers.
    #[must_use]
    pub fn headers(&self, headers: &[(String, Vec<u8>)], end_of_stream: bool) -> AtHeaders {
        match &self.0 {
            Kind::Metadata { metadata, .. } => match metadata.at_headers(headers, end_of_stream) {
                Ok(edits) => AtHeaders::AwaitBody(edits),
                Err(outcome) => AtHeaders::Pass(Metric::MetadataAnswers(outcome)),
            },
        }
    }

    /// How large the body may be, in bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        match self.0 {
            Kind::Metadata { .. } => metadata::LARGEST,
        }
    }

    /// Reads the whole body, trailers apart; `None` where it is larger than the limit, or cannot be read.
    #[must_use]
    pub fn body(&self, body: Option<&[u8]>) -> AtBody {
        match (&self.0, body.filter(|body| body.len() <= self.limit())) {
            (Kind::Metadata { .. }, None) => AtBody::Pass(Metric::MetadataAnswers(metadata::MetadataOutcome::TooLarge)),
            (Kind::Metadata { metadata, is_required }, Some(body)) => {
                let (rewritten, outcome) = metadata.rewrite(body, *is_required);
                let metric = Metric::MetadataAnswers(outcome);
                rewritten.map_or(AtBody::Pass(metric), |text| AtBody::Replace(text, metric))
            }
        }
    }
}

/// The first value of a header.
pub(super) fn field<'a>(headers: &'a [(String, Vec<u8>)], name: &str) -> Option<&'a [u8]> {
    headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
}

/// Whether the body comes in another form than its own (RFC 9110 §8.4).
pub(super) fn is_encoded(headers: &[(String, Vec<u8>)]) -> bool {
    let mut codings = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("content-encoding"));
    codings.any(|(_, value)| !value.trim_ascii().eq_ignore_ascii_case(b"identity"))
}

/// How long the body is, where that is said.
pub(super) fn length(headers: &[(String, Vec<u8>)]) -> Option<usize> {
    std::str::from_utf8(field(headers, "content-length")?).ok()?.trim().parse().ok()
}
