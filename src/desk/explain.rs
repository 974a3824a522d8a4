// SPDX-License-Identifier: Apache-2.0

//! What the filter would do with a request, and why, step by step.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::check;
use super::edits::Edits;
use super::sentence::shown;
use super::server_response::{Explained, ServerResponse};
use super::signature::DeskEngine;
use super::stage::{self, Stage};
use crate::certificate::Certificate;
use crate::certificate::thumbprint::Thumbprint;
use crate::config;
use crate::config::file::Document;
use crate::handover::header_cache::HeaderCache;
use crate::http::connection::{Connection, GivenConnection};
use crate::http::header_map::borrowed;
use crate::http::host_map;
use crate::http::request::Request;
use crate::jose::left_out::LeftOut;
use crate::keys::{KeyRing, KeySource};
use crate::outcome::refusal::Refusal;
use crate::policy::run::{Asked, End, Given, Missing, run};
use crate::policy::{Choice, Policies, Policy};
use crate::resource_server::Context;
use crate::resource_server::introspection::Introspected;
use crate::resource_server::token_cache::TokenCache;
use crate::text::https_url::redacted;
use crate::text::list::listed;
use crate::text::quoted::Quoted;
use crate::time::UnixTime;

/// A configuration, a request, and what the proxy and other servers say about it.
#[derive(Debug)]
pub struct Question {
    policies: Policies,
    policy: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    certificate: Option<Vec<u8>>,
    validated: Option<bool>,
    server_name: Option<String>,
    verified_payloads: Vec<(String, Vec<u8>)>,
    keys: KeyRing,
    /// The keys that were left out of the given key sets.
    left_out: Vec<String>,
    introspection: Option<Vec<u8>>,
    response: Option<ServerResponse>,
    now: UnixTime,
}

/// A connection as a person describes it. Something that matters may be missing.
struct DeskConnection {
    given: GivenConnection,
    /// Whether the core asked for the validation of the certificate's chain.
    was_asked: Cell<bool>,
}

impl Connection for DeskConnection {
    fn certificate(&self) -> Option<Vec<u8>> {
        self.given.certificate()
    }

    fn is_chain_validated(&self) -> Option<bool> {
        self.was_asked.set(true);
        self.given.is_chain_validated()
    }

    fn server_name(&self) -> Option<Vec<u8>> {
        self.given.server_name()
    }

    fn verified_payload(&self, name: &str) -> Option<Vec<u8>> {
        self.given.verified_payload(name)
    }

    fn verified_claim(&self, name: &str, claim: &str) -> Option<Vec<u8>> {
        self.given.verified_claim(name, claim)
    }
}

/// A request as a file has it: `{"method", "path", "headers": [[name, value], ...], "body"}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestFile {
    method: String,
    path: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    /// Only a policy that authenticates clients reads it.
    body: Option<String>,
}

/// What the filter would do. As JSON it has the members `decision`, `policy`, `status`, `headers`, `edits`, `reason`, `steps`,
/// and, if an authorization server's response was given, `answer`.
#[derive(Debug, Serialize)]
pub struct Explanation {
    decision: &'static str,
    /// The name of the policy; `None` if no policy governs.
    policy: Option<String>,
    /// The HTTP status of the filter's own response.
    status: Option<u16>,
    /// The headers of that response.
    headers: Vec<(String, String)>,
    /// What becomes of the request's headers.
    edits: Edits,
    reason: &'static str,
    /// What was looked at, in order.
    steps: Vec<String>,
    /// What the filter would do with the authorization server's response.
    #[serde(rename = "answer", skip_serializing_if = "Option::is_none")]
    response: Option<Explained>,
}

impl Question {
    /// A request under the configuration in a file: a plugin configuration, or a file with one in it.
    ///
    /// # Errors
    /// A sentence that names the file, if a file cannot be read.
    pub fn new(
        (config_file, config): (&str, &str),
        (request_file, request): (&str, &str),
        now: UnixTime,
    ) -> Result<Self, String> {
        let policies = check::only_configuration(config_file, config)?;
        let (headers, body) = message(request_file, request)?;
        Ok(Self {
            policies,
            policy: None,
            headers,
            body,
            certificate: None,
            validated: None,
            server_name: None,
            verified_payloads: Vec::new(),
            keys: KeyRing::default(),
            left_out: Vec::new(),
            introspection: None,
            response: None,
            now,
        })
    }

    /// Has this policy govern the request, as the metadata of a route would.
    ///
    /// # Errors
    /// A sentence, if the configuration has no such policy, or has routes that choose.
    pub fn under(self, policy: &str) -> Result<Self, String> {
        if matches!(self.policies.choice(), Choice::ByRoute(_)) {
            return Err("the routes of this configuration choose the policy: leave --policy out".to_owned());
        }
        let known: Vec<_> = self.policies.iter().map(|(name, _)| name).collect();
        if known.contains(&policy) {
            Ok(Self { policy: Some(policy.to_owned()), ..self })
        } else {
            Err(config::unknown("policy", policy, &known))
        }
    }

    /// What the host would know of the connection.
    fn connection(&self) -> DeskConnection {
        let given = GivenConnection {
            certificate: self.certificate.as_deref().map(pem),
            is_chain_validated: self.validated,
            server_name: self.server_name.clone().map(String::into_bytes),
            verified_payloads: self.verified_payloads.clone(),
        };
        DeskConnection { given, was_asked: Cell::new(false) }
    }

    /// The certificate of the connection, in DER, and whether the proxy validated its chain, if that is known.
    #[must_use]
    pub fn presenting(self, certificate: Vec<u8>, validated: Option<bool>) -> Self {
        Self { certificate: Some(certificate), validated, ..self }
    }

    /// The server name of the TLS handshake.
    #[must_use]
    pub fn for_server(self, name: String) -> Self {
        Self { server_name: Some(name), ..self }
    }

    /// The key set that an authorization server or a client publishes. It belongs to an issuer or a client identifier, or to
    /// the only one whose keys are fetched.
    ///
    /// # Errors
    /// A sentence, if the text is no key set, if the issuer's keys are not fetched, or if several are fetched.
    pub fn with_keys(mut self, issuer: Option<&str>, key_set: &[u8]) -> Result<Self, String> {
        let fetching = |policy: &'_ Policy| -> Vec<(String, KeySource)> {
            let owned = |(own, source): (&str, &KeySource)| (own.to_owned(), source.clone());
            match policy {
                Policy::ResourceServer(server) => server.fetching().map(owned).collect(),
                Policy::AuthorizationServer(server) => server.fetching().map(owned).collect(),
                Policy::CleanOnly(_) => Vec::new(),
            }
        };
        let sources: BTreeMap<_, _> = self
            .policies
            .iter()
            .flat_map(|(_, policy)| fetching(policy))
            .filter(|(own, _)| issuer.is_none_or(|issuer| issuer == own))
            .map(|(_, source)| (*source.id(), source))
            .collect();
        match (sources.len(), issuer) {
            (0, None) => return Err("no keys are fetched under this configuration".to_owned()),
            (0, Some(issuer)) => {
                return Err(format!("no keys of {} are fetched under this configuration", redacted(issuer)));
            }
            (1, _) | (_, Some(_)) => {}
            (_, None) => {
                let places: Vec<_> = sources.values().map(|source| source.place()).collect();
                let places: Vec<_> = places.iter().map(String::as_str).collect();
                return Err(format!(
                    "keys come from {}: say whose these are, ISSUER=FILE or CLIENT_ID=FILE",
                    listed(&places, "and")
                ));
            }
        }
        for source in sources.values() {
            self.keys.take_published(source, key_set, self.now)?;
            let left_out = self.keys.left_out(source).into_iter().flat_map(LeftOut::iter);
            self.left_out.extend(left_out.map(|key| format!("left out of {}: {key}", source.place())));
        }
        Ok(self)
    }

    /// The introspection response about the token (RFC 7662 §2.2).
    ///
    /// # Errors
    /// A sentence, if the configuration introspects no tokens.
    pub fn with_introspection(self, response: Vec<u8>) -> Result<Self, String> {
        if self.policies.introspections().next().is_none() {
            return Err("no tokens are introspected under this configuration".to_owned());
        }
        Ok(Self { introspection: Some(response), ..self })
    }

    /// The payload of a token that another filter verified, as JSON, under its name in the metadata.
    ///
    /// # Errors
    /// A sentence, if it is no JSON object, or if no issuer is configured with that name.
    pub fn with_verified_payload(mut self, name: &str, payload: &[u8]) -> Result<Self, String> {
        let known: Vec<_> = self.policies.payloads_in_metadata().collect();
        if !known.contains(&name) {
            return Err(config::unknown("name of a payload", name, &known));
        }
        let payload: Value = serde_json::from_slice(payload).map_err(|error| format!("this is not JSON: {error}"))?;
        if !payload.is_object() {
            return Err("a payload is a JSON object".to_owned());
        }
        self.verified_payloads.push((name.to_owned(), encoded(&payload)));
        Ok(self)
    }

    /// The response of the authorization server behind the filter, in a file of this name.
    ///
    /// # Errors
    /// A sentence that names the file, if it cannot be read.
    pub fn with_response(self, (file, response): (&str, &str)) -> Result<Self, String> {
        Ok(Self { response: Some(ServerResponse::read(file, response)?), ..self })
    }

    /// What the filter would do.
    ///
    /// # Errors
    /// A sentence, if the decision depends on something that was not given.
    pub fn explain(&self) -> Result<Explanation, String> {
        let thumbprint = self.certificate.as_deref().map(Thumbprint::of_der);
        let digest = thumbprint.map(|thumbprint| thumbprint.hex().into_bytes());
        let headers = borrowed(&self.headers);
        let request =
            Request { headers: &headers, route_metadata: None, peer_digest: digest.as_deref(), now: self.now };
        let mut tokens = TokenCache::new(self.policies.token_cache_size());
        let mut header_cache = HeaderCache::default();
        let connection = &self.connection();
        let (engine, keys) = (&DeskEngine, &self.keys);
        let (tokens, header_cache) = (&mut tokens, &mut header_cache);
        let governing = self.policy.as_deref();
        let start = |introspected: Option<&Introspected>| {
            let context = &mut Context { connection, introspected, ..Context::new(engine, keys, tokens, header_cache) };
            let under = governing.and_then(|policy| self.policies.start_under(policy, &request, context));
            // [`Self::under`] knows that there is this policy.
            under.unwrap_or_else(|| self.policies.start(&request, context))
        };
        let given = Given { body: Some(&self.body), introspection: self.introspection.as_deref(), now: self.now };
        let (asked, end) = run(start, (keys, engine), given);
        let mut told = vec![];
        if connection.was_asked.get() {
            let validated = self.validated.ok_or(
                "the policy asks whether the chain of the certificate was validated: say --validated true or false",
            )?;
            let word = if validated { "validated" } else { "did not validate" };
            told.push(format!("the proxy {word} the chain of the certificate"));
        }
        told.extend(asked.iter().map(|asked| match asked {
            Asked::Body => format!("the body of {} bytes is read before any of it goes on", self.body.len()),
            Asked::Introspection(place) => format!("the authorization server is asked about the token ({place})"),
        }));
        let mut steps = self.beginning(&end);
        steps.extend(self.counting(&end, &request, connection));
        steps.extend(self.left_out.iter().cloned());
        steps.append(&mut told);
        steps.extend(self.stages(&end));
        steps.extend(end.missing());
        let response_reader =
            if let End::Forward(.., response_reader) = &end { response_reader.as_ref() } else { None };
        if response_reader.is_some() && self.response.is_none() {
            steps.push("the response of the authorization server would be read: give it with --answer".to_owned());
        }
        steps.push(end.sentence());
        let response = match (&end, &self.response) {
            (End::Forward(_, decision, _), Some(response)) => {
                let has_edits = self.policies.edits_responses(decision.policy());
                let explained = response.explain(response_reader, has_edits);
                steps.push(explained.sentence());
                Some(explained)
            }
            _ => None,
        };
        Ok(Explanation { response, ..end.explanation(steps) })
    }

    fn beginning(&self, end: &End) -> Vec<String> {
        let mut steps = Vec::new();
        let policy = end.policy();
        let governing = self.policies.get(policy);
        let source = governing.and_then(Policy::source);
        if let Some(role) = governing.map(Policy::role) {
            let because = match (&self.policy, self.policies.choice()) {
                (Some(_), _) => "as asked for",
                (None, Choice::Only(_)) => "the only one",
                (None, Choice::Default(_)) if self.policies.count() == 1 => "the only one",
                (None, Choice::Default(_)) => "the default: no metadata names another one here",
                (None, Choice::ByRoute(_)) => "chosen by host and path",
            };
            steps.push(format!("the policy is {policy} ({role}), {because}"));
        }
        let forged: Vec<_> = self
            .headers
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| self.policies.is_forwarding_header(name) && !source.is_some_and(|source| source.reads(name)))
            .collect();
        if !forged.is_empty() {
            steps.push(format!("the client's own {} would be removed", listed(&forged, "and")));
        }
        steps
    }

    /// Whose certificate the sender of the request presented, and which counts as the client's.
    fn counting(&self, end: &End, request: &Request<'_>, connection: &dyn Connection) -> Vec<String> {
        let governing = self.policies.get(end.policy());
        let own = governing.and_then(Policy::client_certificates).filter(|own| !own.are_the_connections());
        let whose = if own.is_some() { "sender of the request" } else { "client" };
        let presented = self.certificate.as_deref().map(Thumbprint::of_der);
        let presented = match presented {
            Some(thumbprint) => format!("the {whose} presented the certificate with x5t#S256 {thumbprint}"),
            None => format!("the {whose} presented no certificate"),
        };
        let counted = own.and_then(|own| own.sentence(request, connection));
        counted.into_iter().chain([presented]).collect()
    }

    /// Everything that a policy in front of an API looks at.
    fn stages(&self, end: &End) -> Vec<String> {
        let Some(Policy::ResourceServer(server)) = self.policies.get(end.policy()) else { return Vec::new() };
        let last = match end {
            End::Serve(..) => return Vec::new(),
            End::Forward(_, decision, _) if decision.verdict().reason() == "preflight" => return Vec::new(),
            End::Forward(_, decision, _) => decision.would_have_refused().map(|refused| stage::of(refused)),
            End::Refuse(refused, _) => Some(stage::of(refused)),
        };
        let passed = Stage::ALL.iter().take_while(|stage| last.is_none_or(|last| last != **stage));
        passed.filter(|stage| stage.is_of(server)).map(|stage| stage.sentence().to_owned()).collect()
    }
}

impl End {
    fn policy(&self) -> &str {
        match self {
            Self::Forward(_, decision, _) | Self::Serve(_, decision) => decision.policy(),
            Self::Refuse(refusal, _) => refusal.policy(),
        }
    }

    /// What must be given so that the request can be judged further.
    fn missing(&self) -> Option<String> {
        let Self::Refuse(_, Some(missing)) = self else { return None };
        Some(match missing {
            Missing::Keys(place) => {
                format!(
                    "keys would be fetched now ({place}), and the request would wait for them: give them with --keys"
                )
            }
            Missing::Introspection(place) => format!(
                "the authorization server would be asked about the token now ({place}): give its response with --introspection"
            ),
        })
    }

    fn sentence(&self) -> String {
        match self {
            Self::Forward(_, decision, _) => match decision.would_have_refused() {
                None => format!("forwarded: {}", decision.verdict().reason()),
                Some(refusal) => {
                    format!("forwarded, since the policy only observes; required would refuse: {}", because(refusal))
                }
            },
            Self::Refuse(refusal, _) => format!("refused: {}", because(refusal)),
            Self::Serve(served, decision) => format!("served: {}: {}", decision.verdict().reason(), served.body),
        }
    }

    fn explanation(self, steps: Vec<String>) -> Explanation {
        let policy = Some(self.policy().to_owned()).filter(|policy| !policy.is_empty());
        match self {
            Self::Forward(edits, decision, _) => Explanation {
                decision: "forward",
                policy,
                status: None,
                headers: Vec::new(),
                edits: edits.into(),
                reason: decision.verdict().reason(),
                steps,
                response: None,
            },
            Self::Serve(served, decision) => Explanation {
                decision: "serve",
                policy,
                status: Some(200),
                headers: served.headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
                edits: Edits::default(),
                reason: decision.verdict().reason(),
                steps,
                response: None,
            },
            Self::Refuse(refusal, _) => {
                let own = refusal.headers().into_iter().map(|(name, value)| (name.to_owned(), value));
                let grpc = refusal.grpc_status();
                let status = grpc.map(|status| ("grpc-status".to_owned(), (status as u32).to_string()));
                Explanation {
                    decision: "refuse",
                    policy,
                    // A gRPC response has the HTTP status 200, whatever its gRPC status.
                    status: Some(if grpc.is_some() { 200 } else { refusal.status() }),
                    headers: status.into_iter().chain(own).collect(),
                    edits: Edits::default(),
                    reason: refusal.reason().name(),
                    steps,
                    response: None,
                }
            }
        }
    }
}

impl Explanation {
    /// The explanation as JSON.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

impl fmt::Display for Explanation {
    /// One line for each step, and then what the client or the upstream gets.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in (1_usize..).zip(&self.steps) {
            writeln!(formatter, "{number:2}. {}", shown(step))?;
        }
        if let Some(status) = self.status {
            writeln!(formatter, "the client gets {status}")?;
        }
        for (name, value) in &self.headers {
            writeln!(formatter, "  {name}: {}", shown(value))?;
        }
        self.edits.write(formatter, "the upstream gets the request with")?;
        self.response.as_ref().map_or(Ok(()), |response| response.fmt(formatter))
    }
}

fn because(refusal: &Refusal) -> String {
    let mut sentence = format!("{}: {}", refusal.reason(), refusal.reason().description());
    if let Some(expected) = refusal.expected() {
        sentence.push_str(&format!("; the token is bound to {expected}"));
    }
    if let Some(detail) = refusal.detail() {
        sentence.push_str(&format!("; {}", Quoted(detail)));
    }
    sentence
}

/// The headers of a request, and its body.
type Message = (Vec<(String, Vec<u8>)>, Vec<u8>);

/// Every header as the proxy hands it over: names in lower case, and pseudo-headers as in HTTP/2.
fn message(file: &str, text: &str) -> Result<Message, String> {
    let RequestFile { method, path, headers, body } = parsed(file, text, "a request")?;
    let pseudo = [(":method".to_owned(), method.into_bytes()), (":path".to_owned(), path.into_bytes())];
    let others = headers.into_iter().map(|(name, value)| {
        let name = name.to_ascii_lowercase();
        (if name == "host" { ":authority".to_owned() } else { name }, value.into_bytes())
    });
    Ok((pseudo.into_iter().chain(others).collect(), body.unwrap_or_default().into_bytes()))
}

/// Reads one JSON object from the text of a file, or says where the text is wrong. `what` names the object in a sentence.
pub(super) fn parsed<T: DeserializeOwned>(file: &str, text: &str, what: &str) -> Result<T, String> {
    let located = |error: &config::Error| match error.position() {
        Some((line, column)) => format!("{file}:{line}:{column}: {}", error.sentence()),
        None => format!("{file}: {}", error.sentence()),
    };
    let documents = Document::read(file, text).map_err(|error| located(&error))?;
    let [document] = documents.as_slice() else { return Err(format!("{file}: {what} is one JSON object")) };
    document.root().source().and_then(|source| source.parse()).map_err(|error| located(&error))
}

fn pem(der: &[u8]) -> Vec<u8> {
    let base64 = STANDARD.encode(der);
    Certificate::pem_lines(&base64).flat_map(|line| line.bytes().chain(*b"\n")).collect()
}

/// A value of metadata as the host encodes it. A null makes it unreadable.
fn encoded(value: &Value) -> Vec<u8> {
    match value {
        Value::Null => vec![0xff],
        Value::Bool(value) => vec![u8::from(*value)],
        Value::Number(value) => value.as_f64().unwrap_or(f64::NAN).to_le_bytes().to_vec(),
        Value::String(value) => value.as_bytes().to_vec(),
        Value::Array(items) => {
            host_map::encoded(&items.iter().map(|item| (encoded(item), Vec::new())).collect::<Vec<_>>())
        }
        Value::Object(members) if members.values().any(Value::is_null) => vec![0xff],
        Value::Object(members) => {
            let entry = |(name, value): (&String, &Value)| (name.as_bytes().to_vec(), encoded(value));
            host_map::encoded(&members.iter().map(entry).collect::<Vec<_>>())
        }
    }
}
