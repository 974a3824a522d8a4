//! What would become of an authorization server's answer.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::edits::Edits;
use super::explain::parsed;
use super::sentence::shown;
use crate::authorization_server::{AtBody, AtHeaders, ResponseReader, Told, response_edits};
use crate::http::edit::Edit;
use crate::http::header_map::borrowed;
use crate::outcome::metric::Metric;

/// An answer as a file has it: `{"status", "headers": [[name, value], ...], "body"}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerFile {
    status: u16,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
}

/// An answer as the proxy hands it over.
#[derive(Debug)]
pub(super) struct ServerAnswer {
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

/// What becomes of it.
#[derive(Debug, Serialize)]
pub(super) struct Explained {
    /// `forward`, `replace` or `withhold`.
    becomes: &'static str,
    /// As the counters name it; `None` where nothing is read of it.
    outcome: Option<&'static str>,
    /// What becomes of its headers.
    edits: Edits,
    /// The body in place of its own; never one with a token.
    body: Option<String>,
}

impl ServerAnswer {
    /// Reads a file of this name.
    pub(super) fn read(file: &str, text: &str) -> Result<Self, String> {
        let AnswerFile { status, headers, body } = parsed(file, text, "an answer")?;
        let status = (":status".to_owned(), status.to_string().into_bytes());
        let others = headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value.into_bytes()));
        Ok(Self { headers: std::iter::once(status).chain(others).collect(), body: body.into_bytes() })
    }

    /// What becomes of it, where it is read so, and where the server gets `Client-Cert`.
    pub(super) fn explain(&self, answering: Option<&ResponseReader>, has_edits: bool) -> Explained {
        let headers = borrowed(&self.headers);
        let edits = if has_edits { response_edits(&headers) } else { Vec::new() };
        let Some(answering) = answering else { return Explained::new("forward", None, edits) };
        match answering.headers(&headers, self.body.is_empty()) {
            AtHeaders::Pass(told) => Explained::new("forward", told, edits),
            AtHeaders::Withhold(told) => Explained::new("withhold", Some(told), edits),
            AtHeaders::AwaitBody { edits: own, .. } => {
                let edits = edits.into_iter().chain(own).collect();
                match answering.body(Some(&self.body)) {
                    AtBody::Pass(told) => Explained::new("forward", Some(told), edits),
                    AtBody::Withhold(told) => Explained::new("withhold", Some(told), edits),
                    AtBody::Replace(text, told) => {
                        Explained { body: Some(text), ..Explained::new("replace", Some(told), edits) }
                    }
                }
            }
        }
    }
}

impl Explained {
    fn new(becomes: &'static str, told: Option<Told>, edits: Vec<Edit>) -> Self {
        let outcome = told.and_then(|told| match told.metric {
            Metric::IssuedTokens(_, outcome) => Some(outcome.name()),
            Metric::MetadataAnswers(outcome) => Some(outcome.name()),
            _ => None,
        });
        Self { becomes, outcome, edits: edits.into(), body: None }
    }

    pub(super) fn sentence(&self) -> String {
        let what = match self.becomes {
            "replace" => "the answer goes on with what is added to it",
            "withhold" => "the answer is withheld: the client gets 502, or where its headers have left no more of it",
            _ => "the answer goes on",
        };
        self.outcome.map_or_else(|| what.to_owned(), |outcome| format!("{what}: {outcome}"))
    }
}

impl fmt::Display for Explained {
    /// What the client gets besides what the answer has.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.becomes == "withhold" {
            return Ok(());
        }
        self.edits.write(formatter, "the client gets the answer with")?;
        match &self.body {
            Some(body) => writeln!(formatter, "{}", shown(body)),
            None => Ok(()),
        }
    }
}
