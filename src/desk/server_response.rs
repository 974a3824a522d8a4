// SPDX-License-Identifier: Apache-2.0

//! What the filter would do with an authorization server's response.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::edits::Edits;
use super::explain::parsed;
use super::sentence::shown;
use crate::authorization_server::{AtBody, AtHeaders, Report, ResponseReader};
use crate::handover::response::response_edits;
use crate::http::edit::Edit;
use crate::http::header_map::borrowed;
use crate::outcome::metric::Metric;

/// A response in a file: `{"status", "headers": [[name, value], ...], "body"}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResponseFile {
    status: u16,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
}

/// A response as the proxy hands it over.
#[derive(Debug)]
pub(super) struct ServerResponse {
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// What the filter would do with it.
#[derive(Debug, Serialize)]
pub(super) struct Explained {
    /// `forward`, `replace` or `withhold`.
    becomes: &'static str,
    /// The word for it in the counters; `None` if the response is not read.
    outcome: Option<&'static str>,
    /// What was seen of a token that is not bound, where the outcome does not say it all.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
    /// The edits of its headers.
    edits: Edits,
    /// The body that replaces its own; it never has a token.
    body: Option<String>,
}

impl ServerResponse {
    /// Reads a file of this name.
    pub(super) fn read(file: &str, text: &str) -> Result<Self, String> {
        let ResponseFile { status, headers, body } = parsed(file, text, "a response")?;
        let status = (":status".to_owned(), status.to_string().into_bytes());
        let others = headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value.into_bytes()));
        Ok(Self { headers: std::iter::once(status).chain(others).collect(), body: body.into_bytes() })
    }

    /// What the filter would do with it. `reader` reads it, if anything does. With `has_edits` the server gets `Client-Cert`.
    pub(super) fn explain(&self, reader: Option<&ResponseReader>, has_edits: bool) -> Explained {
        let headers = borrowed(&self.headers);
        let edits = if has_edits { response_edits(&headers) } else { Vec::new() };
        let Some(reader) = reader else { return Explained::new("forward", None, edits) };
        match reader.headers(&headers, self.body.is_empty()) {
            AtHeaders::Pass(report) => Explained::new("forward", report, edits),
            AtHeaders::Withhold(report) => Explained::new("withhold", Some(report), edits),
            AtHeaders::AwaitBody { edits: own, .. } => {
                let edits = edits.into_iter().chain(own).collect();
                match reader.body(Ok(&self.body)) {
                    AtBody::Pass(report) => Explained::new("forward", Some(report), edits),
                    AtBody::Withhold(report) => Explained::new("withhold", Some(report), edits),
                    AtBody::Replace(text, report) => {
                        Explained { body: Some(text), ..Explained::new("replace", Some(report), edits) }
                    }
                }
            }
        }
    }
}

impl Explained {
    fn new(becomes: &'static str, report: Option<Report>, edits: Vec<Edit>) -> Self {
        let detail = report.as_ref().and_then(|report| report.finding.as_ref()).map(|finding| finding.detail);
        let detail = detail.filter(|detail| !detail.is_empty());
        let outcome = report.and_then(|report| match report.metric {
            Metric::IssuedTokens(_, outcome) => Some(outcome.name()),
            Metric::MetadataResponses(outcome) => Some(outcome.name()),
            _ => None,
        });
        Self { becomes, outcome, detail, edits: edits.into(), body: None }
    }

    pub(super) fn sentence(&self) -> String {
        let what = match self.becomes {
            "replace" => "the response is passed on with what is added to it",
            "withhold" => {
                "the response is withheld: the client gets 502, or no more of the response if its headers have left"
            }
            _ => "the response is passed on",
        };
        let outcome = self.outcome.map(|outcome| format!(": {outcome}")).unwrap_or_default();
        let detail = self.detail.map(|detail| format!("; {detail}")).unwrap_or_default();
        format!("{what}{outcome}{detail}")
    }
}

impl fmt::Display for Explained {
    /// The changes that the client sees.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.becomes == "withhold" {
            return Ok(());
        }
        self.edits.write(formatter, "the client gets the response with")?;
        match &self.body {
            Some(body) => writeln!(formatter, "{}", shown(body)),
            None => Ok(()),
        }
    }
}
