// SPDX-License-Identifier: Apache-2.0

//! Chooses the policy that governs a request, and removes forged headers, which every policy does first.

pub mod clean_only;
pub mod route;
#[cfg(not(target_arch = "wasm32"))]
pub mod run;
pub mod step;

use std::borrow::Borrow;
use std::fmt;
use std::rc::Rc;

use serde::Deserialize;

use self::clean_only::CleanOnly;
use self::step::Step;
use crate::authorization_server::AuthorizationServer;
use crate::certificate::thumbprint::Thumbprint;
use crate::collections::sorted_map::SortedMap;
use crate::config;
use crate::config::secret::Environment;
#[cfg(not(target_arch = "wasm32"))]
use crate::config::shape;
use crate::handover::client_certificates::{ClientCertificates, Counted};
use crate::handover::forwarded_certificate::{ForwardedCertificate, X_FORWARDED_CLIENT_CERT};
use crate::handover::forwarding_headers::{Claim, claim_of};
use crate::handover::terminator::{Received, Source};
use crate::http::edit::Edit;
use crate::http::header_map::Headers;
use crate::http::header_name::{OwnNames, RemovedHeader, is_token};
use crate::http::host_map;
use crate::http::path;
use crate::http::request::{Caller, Request};
use crate::keys::KeySource;
use crate::outcome::decision::Ground;
use crate::outcome::forward::SanitizedHeaders;
use crate::outcome::identity::Identity;
use crate::outcome::refusal::Refusal;
use crate::outcome::refusal_log::LinesPerMinute;
use crate::outcome::refused::Refused;
use crate::outcome::scene::Scene;
use crate::policy::route::Routes;
use crate::reason::Reason;
use crate::resource_server::introspection::Introspection;
use crate::resource_server::token_cache::TokenCacheSize;
use crate::resource_server::{Context, ResourceServer};
use crate::text::https_url::redacted;

/// The header whose options are names of headers (RFC 9110 §7.6.1).
const CONNECTION: &str = "connection";

/// So many characters of the name of a forged header are told.
const LONGEST_TOLD: usize = 80;

/// Every header of every request is compared with each of them.
const MOST_ADDITIONAL: usize = 32;

/// Every policy of one plugin configuration, and what chooses among them.
#[derive(Debug)]
pub struct Policies {
    named: SortedMap<PolicyName, Policy>,
    choice: Choice,
    refusal_lines_per_minute: LinesPerMinute,
    token_cache_size: TokenCacheSize,
    /// The headers that this configuration writes, and those that the operator adds: removed on every route.
    own_names: OwnNames,
    on_forged: OnForged,
    key_sources: Vec<KeySource>,
}

/// What chooses the policy of a request.
#[derive(Debug)]
pub enum Choice {
    /// Nothing: the configuration is one role, without a name.
    Only(PolicyName),
    /// Metadata. This policy governs if metadata names none.
    Default(PolicyName),
    /// The configuration's own routes. Metadata must not name a policy as well.
    ByRoute(Routes),
}

impl fmt::Display for Choice {
    /// Its form in the log, after the number of policies.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only(_) => Ok(()),
            Self::Default(name) => write!(formatter, ", default_policy={name}"),
            Self::ByRoute(routes) => write!(formatter, ", routes={}", routes.count()),
        }
    }
}

/// What becomes of a request with a header of the client's own making that claims something about a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema, serde::Serialize))]
pub enum OnForged {
    /// It goes on without the header.
    #[default]
    Remove,
    /// It is refused with 400 (RFC 9440 §2.4), on every route, where the header claims a certificate or that one was verified,
    /// or is one of the configuration's own. X-Forwarded-Client-Cert is removed all the same, since Envoy may have written it,
    /// and so are mere facts about a certificate or its connection, and trailers: the request is on its way when they come.
    Refuse,
}

/// The name of a policy: 1 to 64 letters, digits, `-`, `_` and `.`, so that it can stand in logs and metrics as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(!try_from))]
pub struct PolicyName(
    #[cfg_attr(not(target_arch = "wasm32"), schemars(regex(pattern = r"^[A-Za-z0-9._-]{1,64}$")))] String,
);

/// What is done with the requests of a route.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Roles")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "Roles"))]
pub enum Policy {
    /// In front of an API: the access token must be bound to this connection's certificate.
    ResourceServer(Box<ResourceServer>),
    /// In front of an authorization server: it learns which certificate the client proved to hold.
    AuthorizationServer(Box<AuthorizationServer>),
    /// An open route: forged certificate headers are removed and nothing else is done.
    CleanOnly(Box<CleanOnly>),
}

/// What is done with the requests of a route: exactly one role.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "Policy", transform = shape::one_role))]
struct Roles {
    /// In front of an API.
    resource_server: Option<Box<ResourceServer>>,
    /// In front of an authorization server.
    authorization_server: Option<Box<AuthorizationServer>>,
    /// An open route: forged certificate headers are removed and nothing else is done.
    clean_only: Option<Box<CleanOnly>>,
}

/// The configuration of certbound, an Envoy filter for OAuth 2.0 bound to mutual TLS (RFC 8705).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(title = "certbound", example = shape::example(), transform = shape::policies_or_one_role))]
pub(crate) struct Document {
    /// The policies by name: 1 to 64 letters, digits, `-`, `_` and `.`.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "Option<NamedPolicies>"))]
    policies: Option<SortedMap<PolicyName, Policy>>,
    /// What governs a route that names no policy; required where there are several, and no `routes`.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(example = &"api"))]
    default_policy: Option<PolicyName>,
    /// What chooses the policy of a request where the platform cannot write route metadata: the first route that matches
    /// its host and path. Without a match it is refused.
    routes: Option<Routes>,
    /// How many refusals of one policy and reason get a line in the log, in each worker.
    #[serde(default)]
    refusal_lines_per_minute: LinesPerMinute,
    /// How much memory verified tokens may take in each worker, with an eighth of it for refused ones; 0 for none.
    #[serde(default)]
    token_cache_bytes: TokenCacheSize,
    /// Headers that are removed from every request besides those that are known: names that your servers read, or with `*`
    /// at its end the beginning of names (`X-Corp-Cert-*`). Each goes in any case, and with any other character for `-` that
    /// is no letter or digit.
    #[serde(default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(max = MOST_ADDITIONAL)))]
    additional_headers: Vec<RemovedHeader>,
    /// What becomes of a request in which a client made up such a header.
    #[serde(default)]
    on_forged: OnForged,
    // A configuration of one role may drop `policies` and name the role at the top.
    /// In front of an API, where that is the only role.
    resource_server: Option<Box<ResourceServer>>,
    /// In front of an authorization server, where that is the only role.
    authorization_server: Option<Box<AuthorizationServer>>,
    /// Forged certificate headers are removed and nothing else is done, on every route.
    clean_only: Option<Box<CleanOnly>>,
}

/// Its form in the schema.
#[cfg(not(target_arch = "wasm32"))]
#[derive(schemars::JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "it is there for its schema")]
struct NamedPolicies(#[schemars(extend("minProperties" = 1))] std::collections::BTreeMap<PolicyName, Policy>);

impl TryFrom<String> for PolicyName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
            Ok(Self(name))
        } else {
            Err(format!("{name:?} is no name for a policy: 1 to 64 letters, digits, '-', '_' and '.' are"))
        }
    }
}

impl PolicyName {
    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Lets a name be looked up as a `str`.
impl Borrow<str> for PolicyName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl TryFrom<Roles> for Policy {
    type Error = &'static str;

    fn try_from(roles: Roles) -> Result<Self, Self::Error> {
        match (roles.resource_server, roles.authorization_server, roles.clean_only) {
            (Some(resource_server), None, None) => Ok(Self::ResourceServer(resource_server)),
            (None, Some(authorization_server), None) => Ok(Self::AuthorizationServer(authorization_server)),
            (None, None, Some(clean_only)) => Ok(Self::CleanOnly(clean_only)),
            _ => Err("a policy has exactly one of resource_server, authorization_server and clean_only"),
        }
    }
}

impl Policy {
    /// The role's key in the configuration.
    #[must_use]
    pub fn role(&self) -> &'static str {
        match self {
            Self::ResourceServer(_) => "resource_server",
            Self::AuthorizationServer(_) => "authorization_server",
            Self::CleanOnly(_) => "clean_only",
        }
    }

    /// Which certificates count as a client's; `None` for those of connections.
    pub(crate) fn client_certificates(&self) -> Option<&ClientCertificates> {
        match self {
            Self::ResourceServer(server) => Some(server.client_certificates()),
            Self::AuthorizationServer(server) => Some(server.client_certificates()),
            Self::CleanOnly(_) => None,
        }
    }

    /// Where the client's certificate comes from, if not from the connection.
    pub(crate) fn source(&self) -> Option<&Source> {
        self.client_certificates()?.source()
    }

    /// What the server behind gets of the client's certificate.
    pub(crate) fn forwarded(&self) -> &ForwardedCertificate {
        match self {
            Self::ResourceServer(server) => server.forwarded(),
            Self::AuthorizationServer(server) => server.forwarded(),
            Self::CleanOnly(clean_only) => clean_only.forwarded(),
        }
    }

    /// Whether it is of no use on a connection whose client was not asked for a certificate.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn needs_certificate(&self) -> bool {
        let needs = match self {
            Self::ResourceServer(_) | Self::AuthorizationServer(_) => true,
            Self::CleanOnly(clean_only) => !clean_only.forwarded().is_empty(),
        };
        self.source().map_or(needs, Source::needs_certificate)
    }

    /// The first step of a request whose forged headers are removed.
    fn start(&self, scene: Scene<'_>, request: &Request<'_>, context: &mut Context<'_>, received: Received) -> Step {
        match self {
            Self::ResourceServer(server) => match server.judge(&scene, request, context, received) {
                Ok(forward) => Step::forward(&scene, forward, None),
                Err(stop) => Step::at_resource_server(&scene.challenging(server.challenge(request)), stop),
            },
            Self::AuthorizationServer(server) => {
                let scene = scene.challenging(server.challenge(request));
                let host = (context.connection, &mut *context.header_cache);
                Step::at_authorization_server(&scene, server.judge(&scene, request, host, received))
            }
            Self::CleanOnly(clean_only) => match clean_only.cleaned(&scene, request, context, received.cleaned) {
                Ok(cleaned) => Step::forward(&scene, cleaned.forward(Ground::CleanOnly), None),
                Err(reason) => Step::Refuse(scene.refused(reason)),
            },
        }
    }
}

impl Policies {
    /// Reads a plugin configuration: JSON text, or a `google.protobuf.Struct` in its binary form.
    ///
    /// # Errors
    /// The sentence an operator reads: the path of the key, what is wrong with it, the nearest right key, and line
    /// and column where the source is text.
    pub fn load(configuration: &[u8]) -> Result<Self, config::Error> {
        Self::load_with(configuration, Environment::Variables(&|_| None))
    }

    /// The same with the secrets that the configuration names.
    ///
    /// # Errors
    /// As [`Self::load`], and where a variable is not set, empty, or not fit for a header.
    pub fn load_with(configuration: &[u8], environment: Environment<'_>) -> Result<Self, config::Error> {
        Self::read(&config::Source::read(configuration)?, environment)
    }

    /// Reads a plugin configuration that was parsed to a tree.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn read(source: &config::Source, environment: Environment<'_>) -> Result<Self, config::Error> {
        let document: Document = source.parse()?;
        let wrong = |key: &str, message: String| Err(source.error_at(key, message));

        let roles = Roles {
            resource_server: document.resource_server,
            authorization_server: document.authorization_server,
            clean_only: document.clean_only,
        };
        let single =
            roles.resource_server.is_some() || roles.authorization_server.is_some() || roles.clean_only.is_some();
        let mut named = match (document.policies, single) {
            (Some(_), true) => {
                return wrong("policies", "a role at the top and `policies` exclude each other".to_owned());
            }
            (Some(named), false) if named.is_empty() => {
                return wrong("policies", "there is no policy".to_owned());
            }
            (Some(named), false) => named,
            (None, true) => match Policy::try_from(roles) {
                Ok(policy) => [(PolicyName(policy.role().to_owned()), policy)].into_iter().collect(),
                Err(message) => {
                    return wrong("", format!("{message}; several policies stand under `policies`"));
                }
            },
            (None, false) => {
                let message = "nothing is configured: `policies`, or a role (resource_server, authorization_server, \
                               clean_only), is required";
                return wrong("", message.to_owned());
            }
        };
        for (name, policy) in named.iter_mut() {
            let resolved = match policy {
                Policy::AuthorizationServer(server) => server.resolve(environment),
                Policy::ResourceServer(server) => server.resolve(environment),
                Policy::CleanOnly(clean_only) => clean_only.resolve(environment),
            };
            if let Err(message) = resolved {
                return match single {
                    true => wrong(policy.role(), message),
                    false => wrong("policies", format!("{name}: {message}")),
                };
            }
        }
        let unknown = |name: &PolicyName| {
            let known: Vec<_> = named.keys().map(|name| name.0.as_str()).collect();
            config::unknown("policy", &name.0, &known)
        };
        let choice = match (document.routes, document.default_policy, named.first()) {
            (Some(_), _, _) if single => {
                return wrong("routes", "routes choose among `policies`, and there is one role at the top".to_owned());
            }
            (Some(_), Some(_), _) => {
                let message = "`routes` and `default_policy` exclude each other: a last route `path_prefix: /` is for \
                               all that no other one is for";
                return wrong("default_policy", message.to_owned());
            }
            (Some(routes), None, _) => {
                let misnamed = routes.policies().enumerate().find(|(_, name)| !named.contains_key(*name));
                if let Some((index, name)) = misnamed {
                    return Err(source.error_in_item("routes", index, "policy", unknown(name)));
                }
                if let Some((index, earlier)) = routes.unreachable() {
                    let message = format!("no request comes here, since routes[{earlier}] takes them all");
                    return Err(source.error_in_item("routes", index, "", message));
                }
                Choice::ByRoute(routes)
            }
            (None, None, Some((only, _))) if single => Choice::Only(only.clone()),
            (None, Some(default), _) if named.contains_key(&default) => Choice::Default(default),
            (None, Some(default), _) => return wrong("default_policy", unknown(&default)),
            (None, None, Some((only, _))) if named.len() == 1 => Choice::Default(only.clone()),
            (None, None, _) => {
                let message = "`default_policy` is required where there are several policies: it governs every route \
                               that names none";
                return wrong("", message.to_owned());
            }
        };
        if document.additional_headers.len() > MOST_ADDITIONAL {
            return wrong("additional_headers", format!("at most {MOST_ADDITIONAL} additional headers"));
        }
        let written = named.values().flat_map(|policy| policy.forwarded().names());
        let written = written.chain(resource_servers(&named).flat_map(ResourceServer::own_headers));
        let read = named.values().filter_map(Policy::source).flat_map(Source::names);
        let own_names = OwnNames::gathered(written.chain(read), document.additional_headers);
        Ok(Self {
            key_sources: KeySource::joined(resource_servers(&named).flat_map(ResourceServer::key_sources)),
            named,
            choice,
            refusal_lines_per_minute: document.refusal_lines_per_minute,
            token_cache_size: document.token_cache_bytes,
            own_names,
            on_forged: document.on_forged,
        })
    }

    /// The names under which another filter leaves the payloads of verified tokens, each once.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn payloads_in_metadata(&self) -> impl Iterator<Item = &str> {
        let names = resource_servers(&self.named).flat_map(ResourceServer::verified_before);
        names.map(|(_, name)| (name, name)).collect::<SortedMap<_, _>>().into_values()
    }

    /// Where the keys of issuers are fetched, each source once.
    pub fn key_sources(&self) -> impl Iterator<Item = &KeySource> + Clone {
        self.key_sources.iter()
    }

    /// Where the keys of clients are fetched, when one of them authenticates.
    pub fn client_key_sources(&self) -> impl Iterator<Item = &KeySource> {
        authorization_servers(&self.named).flat_map(AuthorizationServer::fetching).map(|(_, source)| source)
    }

    /// Where tokens are introspected, under each policy.
    pub fn introspections(&self) -> impl Iterator<Item = &Introspection> {
        resource_servers(&self.named).flat_map(ResourceServer::introspections)
    }

    /// How much memory verified tokens may take.
    #[must_use]
    pub fn token_cache_size(&self) -> TokenCacheSize {
        self.token_cache_size
    }

    /// Every policy by its name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Policy)> {
        self.named.iter().map(|(name, policy)| (name.0.as_str(), policy))
    }

    /// The policy of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Policy> {
        self.named.get(name)
    }

    /// How many policies there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.named.len()
    }

    /// Whether metadata may name a policy.
    #[must_use]
    pub fn reads_metadata(&self) -> bool {
        !matches!(self.choice, Choice::Only(_))
    }

    /// What chooses among them.
    #[must_use]
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// How many refusals of one policy and reason get a line in the log.
    #[must_use]
    pub fn refusal_lines_per_minute(&self) -> LinesPerMinute {
        self.refusal_lines_per_minute
    }

    /// The first step of a request. Every policy removes forged certificate headers.
    #[must_use]
    pub fn start(&self, request: &Request<'_>, context: &mut Context<'_>) -> Step {
        let refused = |policy, refusal| Step::Refuse(scene(policy, request).refused(refusal));
        match self.governing(request) {
            Ok((name, policy)) => match check_redirect(name, context.judged_under) {
                Ok(()) => self.start_policy(name, policy, request, context),
                Err(refusal) => refused(name, refusal),
            },
            Err(refusal) => refused("", refusal),
        }
    }

    fn start_policy(&self, name: &str, policy: &Policy, request: &Request<'_>, context: &mut Context<'_>) -> Step {
        match policy.client_certificates().filter(|own| !own.are_the_connections()) {
            None => {
                let received = Received { cleaned: self.cleaned(request.headers), ..Received::default() };
                self.start_cleaned((name, policy), request, context, received)
            }
            Some(own) => self.start_counting((name, policy), own, request, context),
        }
    }

    /// Judges a request where the certificate of the connection is not the client's, or not always.
    fn start_counting(
        &self,
        (name, policy): (&str, &Policy),
        client_certificates: &ClientCertificates,
        request: &Request<'_>,
        context: &mut Context<'_>,
    ) -> Step {
        match client_certificates.count(request, context.connection) {
            Ok(Counted { thumbprint, terminator, terminated, why_none }) => {
                let digest = thumbprint.map(|thumbprint| thumbprint.hex().into_bytes());
                let request = &Request { peer_digest: digest.as_deref(), ..*request };
                let cleaned = self.cleaned_but(request.headers, terminator);
                self.start_cleaned((name, policy), request, context, Received { cleaned, terminated, why_none })
            }
            Err(refusal) => {
                let nobody = &Request { peer_digest: None, ..*request };
                Step::Refuse(scene(name, nobody).refused(refusal))
            }
        }
    }

    fn start_cleaned(
        &self,
        (name, policy): (&str, &Policy),
        request: &Request<'_>,
        context: &mut Context<'_>,
        mut received: Received,
    ) -> Step {
        let scene = scene(name, request).without_certificate(received.why_none);
        let cleaned = &mut received.cleaned;
        // After an internal redirect: the forged headers were removed and counted before it.
        if context.judged_under.is_some() {
            cleaned.forged_headers = 0;
            cleaned.refusable = None;
        }
        if self.on_forged == OnForged::Refuse
            && let Some(name) = cleaned.refusable.take()
        {
            return Step::Refuse(scene.refused(Refusal::because(Reason::HeaderForged, name)));
        }
        policy.start(scene, request, context, received)
    }

    /// Whether a header of this name claims something about a client certificate, in general or in this configuration.
    #[must_use]
    pub fn is_forwarding_header(&self, name: &str) -> bool {
        self.claim_of(name).is_some()
    }

    /// What a header of this name claims. One that the configuration names counts as a claim to a certificate, so it may be
    /// refused.
    fn claim_of(&self, name: &str) -> Option<Claim> {
        match claim_of(name) {
            None | Some(Claim::Fact) if self.own_names.has(name) => Some(Claim::Certificate),
            claim => claim,
        }
    }

    /// Removes every header that claims something about a client certificate, in headers or trailers.
    #[must_use]
    pub fn cleaned(&self, headers: &Headers<'_>) -> SanitizedHeaders {
        self.cleaned_but(headers, None)
    }

    /// The same, but headers that are read from `terminator` do not count as forged, since it has proved to be itself.
    fn cleaned_but(&self, headers: &Headers<'_>, terminator: Option<&Source>) -> SanitizedHeaders {
        let mut cleaned = SanitizedHeaders::default();
        let mut nominates = false;
        for (name, value) in headers {
            if name.eq_ignore_ascii_case(X_FORWARDED_CLIENT_CERT) {
                // Envoy may have written it.
                cleaned.edits.push(Edit::remove(*name));
            } else if let Some(claim) = self.claim_of(name) {
                if !terminator.is_some_and(|own| own.reads(name)) {
                    cleaned.forged_headers = cleaned.forged_headers.saturating_add(1);
                    if claim.is_refused() && cleaned.refusable.is_none() {
                        cleaned.refusable = Some(name.chars().take(LONGEST_TOLD).collect());
                    }
                }
                cleaned.edits.push(Edit::remove(*name));
            } else if name.eq_ignore_ascii_case(CONNECTION) {
                nominates |= self.nominates(value);
            }
        }
        if nominates {
            cleaned.edits.push(self.without_nominations(headers));
        }
        cleaned
    }

    /// Whether a value of `Connection` names a header that is removed or written here. A server behind the proxy removes the
    /// headers that are named there before it forwards a request (RFC 9110 §7.6.1). Any other character counts as a separator,
    /// since some server may find the name.
    fn nominates(&self, value: &[u8]) -> bool {
        let mut options = value.split(|byte| !is_token(*byte)).filter_map(|option| std::str::from_utf8(option).ok());
        options.any(|option| self.is_forwarding_header(option))
    }

    /// `Connection` without those names. Its other options stay, since Envoy needs it for an upgrade.
    // Not inlined, since few requests need it.
    #[cold]
    fn without_nominations(&self, headers: &Headers<'_>) -> Edit {
        let mut left = String::new();
        for (_, value) in headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(CONNECTION)) {
            for option in value.split(|byte| *byte == b',') {
                let option = std::str::from_utf8(option).unwrap_or_default().trim_ascii();
                // Malformed options are left out too, since a server might find a name in one.
                if option.bytes().all(is_token) && !option.is_empty() && !self.is_forwarding_header(option) {
                    let separator = if left.is_empty() { "" } else { ", " };
                    left.push_str(separator);
                    left.push_str(option);
                }
            }
        }
        if left.is_empty() { Edit::remove(CONNECTION) } else { Edit::set(CONNECTION, left) }
    }

    /// The refusal of a request under the policy of this name, from this caller with this certificate, whose token expired while
    /// it was in flight.
    #[must_use]
    pub fn outlived(
        &self,
        policy: &str,
        caller: Caller,
        presented: Option<Thumbprint>,
        identity: Option<Rc<Identity>>,
    ) -> Option<Refused> {
        match self.get(policy) {
            Some(Policy::ResourceServer(server)) => {
                Some(server.outlived(Scene::new(policy, caller, Ok(presented)), identity))
            }
            Some(Policy::AuthorizationServer(_) | Policy::CleanOnly(_)) | None => None,
        }
    }

    /// Whether the policy of this name edits the headers of responses.
    #[must_use]
    pub fn edits_responses(&self, policy: &str) -> bool {
        self.get(policy).is_some_and(|policy| policy.forwarded().edits_responses())
    }

    /// What becomes of a request with a forged header.
    #[must_use]
    pub fn on_forged(&self) -> OnForged {
        self.on_forged
    }

    /// The first step of a request under the policy of this name, whatever policy would be chosen; `None` if there is no such
    /// policy.
    #[must_use]
    pub fn start_under(&self, name: &str, request: &Request<'_>, context: &mut Context<'_>) -> Option<Step> {
        let (name, policy) = self.named.get_key_value(name)?;
        Some(self.start_policy(name.as_str(), policy, request, context))
    }

    /// The policy that governs a request. An unknown name is refused, so that a misspelt name does not open a route.
    fn governing(&self, request: &Request<'_>) -> Result<(&str, &Policy), Refusal> {
        let metadata = request.route_metadata.filter(|_| self.reads_metadata()).unwrap_or_default();
        let in_metadata = policy_in_metadata(metadata).ok_or(Reason::RouteMetadataMalformed)?;
        // Envoy chose the route, and with it the policy, by a path that not every Envoy brings into order.
        if let Choice::Default(_) = self.choice {
            path::check_dots(request).map_err(|why| Refusal::because(Reason::TargetAmbiguous, why))?;
        }
        let found = match (&self.choice, in_metadata) {
            (Choice::Only(policy) | Choice::Default(policy), None) => self.named.get_key_value(policy),
            (Choice::Only(_) | Choice::Default(_), Some(name)) => {
                std::str::from_utf8(name).ok().and_then(|name| self.named.get_key_value(name))
            }
            (Choice::ByRoute(routes), None) => self.named.get_key_value(routes.policy_of(request)?),
            (Choice::ByRoute(_), Some(_)) => {
                let detail = "metadata names a policy, and the configuration has routes: one of them must go";
                return Err(Refusal::because(Reason::RouteMetadataMalformed, detail));
            }
        };
        found.map(|(name, policy)| (name.0.as_str(), policy)).ok_or_else(|| {
            let named = String::from_utf8_lossy(in_metadata.unwrap_or_default());
            Refusal::because(Reason::UnknownPolicy, format!("metadata names the policy {:.64}", redacted(&named)))
        })
    }
}

/// Refuses an internal redirect to a route with another policy. The request is judged again after a redirect, and the edits and
/// checks of the first policy are not those of another one.
fn check_redirect(name: &str, first: Option<&str>) -> Result<(), Refusal> {
    match first {
        Some(first) if first != name => {
            let detail = format!("an internal redirect leads from the policy {first:.64} to {name}");
            Err(Refusal::because(Reason::PolicyChanged, detail))
        }
        _ => Ok(()),
    }
}

/// What is known of a request before the policy of this name judges it.
fn scene<'p>(policy: &'p str, request: &Request<'_>) -> Scene<'p> {
    Scene::new(policy, request.caller(), request.presented())
}

fn authorization_servers(named: &SortedMap<PolicyName, Policy>) -> impl Iterator<Item = &AuthorizationServer> {
    named.values().filter_map(|policy| match policy {
        Policy::AuthorizationServer(server) => Some(server.as_ref()),
        Policy::ResourceServer(_) | Policy::CleanOnly(_) => None,
    })
}

fn resource_servers(named: &SortedMap<PolicyName, Policy>) -> impl Iterator<Item = &ResourceServer> {
    named.values().filter_map(|policy| match policy {
        Policy::ResourceServer(server) => Some(server.as_ref()),
        Policy::AuthorizationServer(_) | Policy::CleanOnly(_) => None,
    })
}

/// The first metadata under `certbound` that is not empty. In order they are the metadata of the route, of its virtual host and
/// of the listener.
#[must_use]
pub fn nearest(mut metadata: impl Iterator<Item = Option<Vec<u8>>>) -> Option<Vec<u8>> {
    // An empty map is encoded as the number 0 in four bytes.
    metadata.find_map(|level| level.filter(|map| !matches!(map.as_slice(), [] | [0, 0, 0, 0])))
}

/// The policy that metadata names: `certbound: { policy: NAME }`. The outer `None` is an error: it is something else, or has
/// another key. A misspelt key must not be ignored.
#[expect(clippy::option_option, reason = "the outer one is an error of the caller's choice")]
fn policy_in_metadata(map: &[u8]) -> Option<Option<&[u8]>> {
    if map.is_empty() {
        return Some(None);
    }
    match host_map::entries(map)?.as_slice() {
        [] => Some(None),
        [(b"policy", value)] => Some(Some(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handover::header_cache::HeaderCache;
    use crate::jose::signature::PortableEngine;
    use crate::keys::KeyRing;
    use crate::resource_server::token_cache::TokenCache;
    use crate::time::UnixTime;

    fn map(entries: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = u32::try_from(entries.len()).unwrap().to_le_bytes().to_vec();
        for (key, value) in entries {
            bytes.extend(u32::try_from(key.len()).unwrap().to_le_bytes());
            bytes.extend(u32::try_from(value.len()).unwrap().to_le_bytes());
        }
        for (key, value) in entries {
            bytes.extend([key.as_bytes(), &[0], value.as_bytes(), &[0]].concat());
        }
        bytes
    }

    #[test]
    fn route_metadata_names_a_policy() {
        assert_eq!(policy_in_metadata(&map(&[("policy", "api")])), Some(Some(&b"api"[..])));
        assert_eq!(policy_in_metadata(&map(&[])), Some(None));
    }

    #[test]
    fn the_nearest_metadata_that_says_anything_decides_and_what_is_further_is_not_read() {
        let says = |name| Some(map(&[("policy", name)]));
        let mut read = 0;
        let mut first = |levels: [Option<Vec<u8>>; 3]| {
            read = 0;
            let found = nearest(levels.into_iter().inspect(|_| read += 1));
            (found, read)
        };
        assert_eq!(first([says("route"), says("host"), says("listener")]), (says("route"), 1));
        assert_eq!(first([None, says("host"), says("listener")]), (says("host"), 2));
        assert_eq!(first([Some(map(&[])), Some(vec![]), says("listener")]), (says("listener"), 3));
        assert_eq!(first([None, None, None]), (None, 3));
        let malformed = Some(vec![0xff]);
        assert_eq!(first([malformed.clone(), says("host"), None]), (malformed, 1));
    }

    #[test]
    fn the_first_forged_header_is_told_and_of_a_long_name_its_beginning() {
        let policies = br#"{"clean_only": {}, "on_forged": "refuse"}"#;
        let policies = Policies::load(policies).unwrap();
        let long = format!("client-cert{}", "x".repeat(200));
        for (names, told) in [
            (vec!["x-other", "x-ssl-client-cert", "client-cert"], "x-ssl-client-cert"),
            (vec![&*long], long.get(..80).unwrap()),
        ] {
            let headers: Vec<_> = names.iter().map(|name| (*name, &b"x"[..])).collect();
            let request = Request { headers: &headers, route_metadata: None, peer_digest: None, now: UnixTime::EPOCH };
            let (keys, mut tokens) = (KeyRing::default(), TokenCache::new(policies.token_cache_size()));
            let mut header_cache = HeaderCache::default();
            let context = &mut Context::new(&PortableEngine, &keys, &mut tokens, &mut header_cache);
            let Step::Refuse(refused) = policies.start(&request, context) else { panic!("{names:?}") };
            assert_eq!((refused.reason(), refused.detail()), (Reason::HeaderForged, Some(told)));
        }
    }

    #[test]
    fn no_name_of_ours_is_left_in_connection() {
        let policies = br#"{"clean_only": {}, "additional_headers": ["x-subject", "x-corp-*"]}"#;
        let policies = Policies::load(policies).unwrap();
        let edits = |values: &[&str]| {
            let headers: Vec<_> = values.iter().map(|value| ("Connection", value.as_bytes())).collect();
            let cleaned = policies.cleaned(&headers);
            assert_eq!((cleaned.forged_headers, cleaned.refusable), (0, None));
            cleaned.edits
        };
        let none: [Edit; 0] = [];
        for value in
            ["", "upgrade", "keep-alive, Upgrade", "close,te", "upgrade, x-other, x-client-id", "client, cert", ",,"]
        {
            assert_eq!(edits(&[value]), none, "{value}");
        }
        for (values, left) in [
            (&["upgrade, x-subject"][..], "upgrade"),
            (&["X_Subject,Upgrade"], "Upgrade"),
            (&["x-clientcert , upgrade,\tx!clientcert ,$WSCC,x-corp-1"], "upgrade"),
            (&["upgrade", "client-cert"], "upgrade"),
            (&["x-forwarded-client-cert", "upgrade, http2-settings"], "upgrade, http2-settings"),
            // What is no option goes with them, whatever a server would have made of it.
            (&["upgrade, \"x-subject\""], "upgrade"),
            (&["upgrade, x-subject;a=b, , x y"], "upgrade"),
            (&["a x-subject, upgrade"], "upgrade"),
            (&["upgrade, x-subject, caf\u{e9}"], "upgrade"),
        ] {
            assert_eq!(edits(values), [Edit::set("connection", left.to_owned())], "{values:?}");
        }
        for values in [&["x-subject"][..], &["x-subject", "client-cert"], &["\"ssl_client_cert\""]] {
            assert_eq!(edits(values), [Edit::remove("connection")], "{values:?}");
        }
    }

    #[test]
    fn route_metadata_of_any_other_shape_is_an_error() {
        let right = map(&[("policy", "api")]);
        for wrong in [
            map(&[("polcy", "api")]),
            map(&[("policy", "api"), ("mode", "off")]),
            map(&[("mode", "off"), ("policy", "api")]),
            right[..right.len() - 1].to_vec(),
            [right.clone(), vec![0]].concat(),
            vec![1, 0, 0, 0],
            vec![1],
            vec![0, 0, 0, 0, 0],
            [&[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 3, 0, 0, 0][..], b"policy\0api\0"].concat(),
            b"api".to_vec(),
        ] {
            assert_eq!(policy_in_metadata(&wrong), None, "{wrong:?}");
        }
        for length in 1..right.len() {
            assert_eq!(policy_in_metadata(&right[..length]), None, "{length}");
        }
    }
}
