// SPDX-License-Identifier: Apache-2.0

//! The policy in front of an API: an access token is accepted only with the certificate that it is bound to (RFC 8705 §3).
//!
//! Each check has a type that only it makes: the syntax check a `BearerToken`, verification an `AccessToken`, and the
//! comparison with the client's certificate an `Admitted`. Only an `Admitted` token is forwarded.

mod access_token;
pub mod bearer_token;
mod binding;
mod claim_path;
mod claims;
#[cfg(not(target_arch = "wasm32"))]
mod description;
mod dpop_algorithms;
pub(crate) mod forwarding;
pub mod introspection;
mod issuer;
pub(crate) mod issuer_identifier;
mod judgement;
mod metadata;
mod prepared;
mod schemes;
mod scope;
mod stop;
pub mod token_cache;
mod token_kind;
mod unnamed_key_checks;
mod user_authentication;
mod verification;
pub mod verified_payload;

use std::borrow::Cow;
use std::collections::HashSet;
use std::rc::Rc;

use serde::Deserialize;

use crate::certificate::thumbprint::Thumbprint;
use crate::config::seconds::Leeway;
use crate::config::secret::Environment;
#[cfg(not(target_arch = "wasm32"))]
use crate::handover::client_certificates;
use crate::handover::client_certificates::ClientCertificates;
use crate::handover::facts::Facts;
use crate::handover::forwarded_certificate::{ForwardedCertificate, PresentedBy, XForwardedClientCert};
use crate::handover::forwarding::Forwarding;
use crate::handover::header_cache::HeaderCache;
use crate::handover::proxy_name::ProxyName;
use crate::handover::terminator::{Received, Source};
use crate::http::auth_scheme::{AuthScheme, AuthSchemes};
use crate::http::connection::{Connection, UNKNOWN};
use crate::http::header_name::{OwnName, written_twice};
use crate::http::request::Request;
use crate::jose::confirmation::Dpop;
use crate::jose::jws;
use crate::jose::signature::SignatureEngine;
use crate::keys::{KeyRing, KeySource};
use crate::outcome::forward::Forward;
use crate::outcome::identity::Identity;
use crate::outcome::lookup::Lookup;
use crate::outcome::refusal::Refusal;
use crate::outcome::refused::Refused;
use crate::outcome::scene::{AccessTokenChallenge, Challenge, Scene};
use crate::reason::Reason;
use crate::text::https_url;
use crate::time::UnixTime;
use bearer_token::Credentials;
use dpop_algorithms::DpopAlgorithms;
use forwarding::{ForwardToken, ForwardedClaim, OwnHeader};
use introspection::{Introspected, Introspection, Tokens};
use issuer::Issuer;
use judgement::{Candidate, Judgement};
use metadata::ProtectedResourceMetadata;
use prepared::{Expected, Prepared};
use schemes::SchemeList;
use scope::{Scope, ScopeClaims};
pub(crate) use stop::Stop;
use token_cache::{Holds, Known, TokenCache};
use user_authentication::{ContextClass, MaxAuthAge, RequiredAuthentication};
use verification::Asked;

/// Each takes 32 bytes in every VM; so many are some 700 kB of configuration.
const MOST_REVOKED: usize = 10_000;

/// Each of them is compared with every other one.
const MOST_TEMPLATES: usize = 64;

/// What judging a request needs besides the policy: signature engine, connection, known keys, caches, and the introspection
/// response if there is one.
pub struct Context<'m> {
    /// Verifies signatures.
    pub engine: &'m dyn SignatureEngine,
    /// What the host knows of the request's connection.
    pub connection: &'m dyn Connection,
    /// The keys that were fetched so far.
    pub keys: &'m KeyRing,
    /// The tokens that were verified so far.
    pub tokens: &'m mut TokenCache,
    /// The headers that were written for certificates so far.
    pub header_cache: &'m mut HeaderCache,
    /// The introspection of the request's token, if there was one.
    pub introspected: Option<&'m Introspected>,
    /// The name of the policy that judged the request before an internal redirect, if there was one.
    pub judged_under: Option<&'m str>,
}

impl<'m> Context<'m> {
    /// A context in which nothing is known about the connection, and no token was introspected.
    pub fn new(
        engine: &'m dyn SignatureEngine,
        keys: &'m KeyRing,
        tokens: &'m mut TokenCache,
        header_cache: &'m mut HeaderCache,
    ) -> Self {
        Self { engine, connection: &UNKNOWN, keys, tokens, header_cache, introspected: None, judged_under: None }
    }
}

/// What an access token must be to pass.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Fields")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "Fields"))]
pub struct ResourceServer {
    issuers: Vec<Issuer>,
    certificate_binding: CertificateBinding,
    schemes: AuthSchemes,
    dpop: Dpop,
    dpop_algorithms: Option<DpopAlgorithms>,
    authentication: RequiredAuthentication,
    required_scopes: Vec<Scope>,
    scope_claims: ScopeClaims,
    access_token_query: AccessTokenQuery,
    cors_preflight: CorsPreflight,
    server_name: ServerName,
    certificate_validity: CertificateValidity,
    revoked_certificates: Revoked,
    leeway: Leeway,
    at_expiry: AtExpiry,
    realm: Realm,
    metadata: Option<ProtectedResourceMetadata>,
    forward_token: ForwardToken,
    forward_claims: Vec<ForwardedClaim>,
    forward_thumbprint: Option<OwnHeader>,
    forwarded: ForwardedCertificate,
    client_certificates: ClientCertificates,
}

/// In front of an API: the access token must be bound to this connection's certificate (RFC 8705 §3).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "ResourceServer", transform = crate::config::shape::names_need_certificates))]
struct Fields {
    /// The issuers whose tokens are accepted. An issuer's keys verify only its own tokens.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(min = 1)))]
    issuers: Vec<Issuer>,
    /// What becomes of a token that is not bound to the connection's certificate.
    #[serde(default)]
    certificate_binding: CertificateBinding,
    /// Under which schemes of `Authorization` tokens are accepted. `dpop` says whether DPoP is one as well.
    #[serde(default)]
    schemes: SchemeList,
    /// What becomes of a token that is bound to a DPoP key (RFC 9449), and of the scheme DPoP.
    #[serde(default)]
    dpop: Dpop,
    /// The algorithms with which the API lets clients sign DPoP proofs, as challenges and metadata tell them; default: they tell
    /// none. No proof is verified here.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(example = ["ES256", "PS256", "EdDSA"]))]
    dpop_algorithms: Option<DpopAlgorithms>,
    /// The token's `acr` must be one of them, in the order in which clients are to prefer them (RFC 9470); default: any.
    #[serde(default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(example = ["urn:example:two-factors"]))]
    required_acr: Vec<ContextClass>,
    /// The longest time since the token's `auth_time`, at which the user was authenticated (RFC 9470); default: any.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(example = 900))]
    max_auth_age_seconds: Option<MaxAuthAge>,
    /// Every one of them must be among the token's scopes.
    #[serde(default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(example = ["accounts"]))]
    required_scopes: Vec<Scope>,
    /// The claims that have the token's scopes, all of them together: names, or JSON pointers where one stands in another.
    /// Default: `scope` and `scp`.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(example = ["scope", "/realm_access/roles"]))]
    scope_claims: Option<ScopeClaims>,
    /// What becomes of a request with `access_token` in its query (RFC 6750 §2.3).
    #[serde(default)]
    access_token_query: AccessTokenQuery,
    /// What becomes of a CORS preflight, which has no token.
    #[serde(default)]
    cors_preflight: CorsPreflight,
    /// What the server name of the TLS handshake must be; needs the listener filter `tls_inspector`.
    #[serde(default)]
    server_name: ServerName,
    /// Whether the dates of the client's certificate are checked.
    #[serde(default)]
    certificate_validity: CertificateValidity,
    /// Certificates that are refused whatever a token says, by their SHA-256: `x5t#S256` or hexadecimal digits.
    #[serde(default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(example = ["A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"]))]
    revoked_certificates: Revoked,
    /// How many seconds the clocks of the issuer and of this proxy may differ.
    #[serde(default)]
    leeway_seconds: Leeway,
    /// What becomes of a request that is still in flight when its token expires: a stream, a WebSocket, a download.
    #[serde(default)]
    at_expiry: AtExpiry,
    /// The protection space of the challenges; default: the first audience.
    #[cfg_attr(not(target_arch = "wasm32"), schemars(example = &"https://api.example.com"))]
    realm: Option<Realm>,
    /// Has this filter serve the metadata of the API (RFC 9728), and name it in its challenges.
    protected_resource_metadata: Option<ProtectedResourceMetadata>,
    /// Whether the API sees the access token.
    #[serde(default)]
    forward_token: ForwardToken,
    /// Claims that the API gets in headers of its own.
    #[serde(default)]
    forward_claims: Vec<ForwardedClaim>,
    /// The header in which the API gets the `x5t#S256` of the client's certificate, where it presented one.
    forward_thumbprint: Option<OwnHeader>,
    /// The forms in which the API gets the client's certificate, any number; no two may write one header. It is the certificate
    /// that the token is compared with, whether its chain is validated or not.
    #[serde(default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(extend("uniqueItems" = true), example = serde_json::json!([{ "dialect": "tomcat" }])))]
    forward_certificate: Vec<Forwarding>,
    /// Headers with what the certificate says.
    #[serde(default)]
    facts: Facts,
    /// What becomes of `X-Forwarded-Client-Cert`.
    #[serde(default)]
    x_forwarded_client_cert: XForwardedClientCert,
    /// Where the client's certificate comes from behind another TLS terminator; default: from the connection.
    client_certificate_source: Option<Box<Source>>,
    /// Names of certificates that count as none, as those of proxies through which clients come.
    #[serde(default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(length(max = client_certificates::MOST_NOT_A_CLIENT)))]
    not_a_client: Vec<ProxyName>,
}

/// What becomes of a token that is not bound to the connection's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema, serde::Serialize))]
pub enum CertificateBinding {
    /// It is refused.
    #[default]
    Required,
    /// A token that is not bound passes as a bearer token; one that is bound must match. For use during a migration.
    IfPresent,
    /// It passes, and what `required` would have refused is counted and logged. For use before a migration.
    Observe,
}

/// What becomes of a query parameter `access_token` (RFC 6750 §2.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema, serde::Serialize))]
enum AccessTokenQuery {
    /// The request is refused: the API behind might believe a token that nobody judged.
    #[default]
    Refuse,
    /// Nothing: the API has a parameter of its own by that name.
    Ignore,
}

/// What becomes of a CORS preflight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema, serde::Serialize))]
enum CorsPreflight {
    /// It needs a token like every request.
    #[default]
    Refuse,
    /// It passes without one.
    Forward,
}

/// What the server name of the TLS handshake must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema, serde::Serialize))]
enum ServerName {
    /// Anything, or absent.
    #[default]
    Any,
    /// The host of every request on the connection.
    MustMatch,
}

/// What becomes of a request that is still in flight when its token expires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema, serde::Serialize))]
enum AtExpiry {
    /// It is counted.
    #[default]
    Count,
    /// It is counted and ended: with 401 if no response has begun, else its stream is reset.
    End,
}

/// Whether this filter checks the validity period of the client's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema, serde::Serialize))]
enum CertificateValidity {
    /// It does not: RFC 8705 §6.2 has no need of it, and the listener may check it.
    #[default]
    NotChecked,
    /// A certificate that is presented must be valid now.
    Checked,
}

/// Certificates that are refused whatever a token says.
#[derive(Debug, Default, Deserialize)]
#[serde(try_from = "Vec<Thumbprint>")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "RevokedList"))]
struct Revoked(HashSet<[u8; 32]>);

/// Its form in the schema.
#[cfg(not(target_arch = "wasm32"))]
#[derive(schemars::JsonSchema)]
#[schemars(inline)]
#[expect(dead_code, reason = "it is there for its schema")]
struct RevokedList(#[schemars(length(max = MOST_REVOKED))] Vec<Thumbprint>);

/// The protection space of the challenges (RFC 9110 §11.5), in the characters of a quoted string that need no escape.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(!try_from))]
struct Realm(#[cfg_attr(not(target_arch = "wasm32"), schemars(regex(pattern = r"^[ !#-\[\]-~]+$")))] String);

impl TryFrom<String> for Realm {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let allowed = |byte: u8| matches!(byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        if text.is_empty() || !text.bytes().all(allowed) {
            Err("a realm is visible ASCII text without '\"' and '\\'")
        } else if https_url::redacted(&text) != text {
            Err("a realm is told to every client, and this is a URL with a user in it")
        } else {
            Ok(Self(text))
        }
    }
}

impl TryFrom<Vec<Thumbprint>> for Revoked {
    type Error = String;

    fn try_from(thumbprints: Vec<Thumbprint>) -> Result<Self, String> {
        if thumbprints.len() > MOST_REVOKED {
            return Err(format!(
                "at most {MOST_REVOKED} certificates can be listed; a CRL of the listener has no limit"
            ));
        }
        Ok(Self(thumbprints.iter().map(Thumbprint::bytes).collect()))
    }
}

impl TryFrom<Fields> for ResourceServer {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        for (position, issuer) in fields.issuers.iter().enumerate() {
            let earlier = || fields.issuers.iter().take(position);
            if let Some(earlier) = earlier().find(|earlier| earlier.identifier.may_be_also(&issuer.identifier)) {
                return Err(match earlier.identifier() == issuer.identifier() {
                    true => format!("the issuer {:?} is listed twice", issuer.identifier()),
                    false => format!(
                        "a token may be of the issuers {:?} and {:?} at once",
                        earlier.identifier(),
                        issuer.identifier()
                    ),
                });
            }
            let templates = earlier().filter(|earlier| earlier.identifier.is_template()).count();
            if issuer.identifier.is_template() && templates >= MOST_TEMPLATES {
                return Err(format!("at most {MOST_TEMPLATES} issuers can have claims in braces"));
            }
        }
        if fields.issuers.iter().filter(|issuer| issuer.introspection.is_some()).count() > 1 {
            return Err(
                "two issuers have `introspection`: a token that is no JWT does not say which of them to ask".to_owned()
            );
        }
        let forwarded =
            ForwardedCertificate::new(fields.forward_certificate, fields.facts, fields.x_forwarded_client_cert);
        let names = fields.forward_claims.iter().map(ForwardedClaim::header).chain(&fields.forward_thumbprint);
        if let Some(twice) = written_twice(names.map(OwnHeader::own_name).chain(forwarded.names())) {
            return Err(format!("the header {} would be set twice", twice.text()));
        }
        if !fields.forward_claims.is_empty()
            && fields.issuers.iter().any(|issuer| issuer.payload_in_metadata().is_some())
        {
            return Err(
                "forward_claims cannot read what jwt_authn leaves (`verified_by`); its own claim_to_headers does \
                        that"
                    .to_owned(),
            );
        }
        let forwards = |scopes: &ScopeClaims| fields.forward_claims.iter().any(|claim| scopes.has(claim.name()));
        if fields.required_scopes.is_empty() && fields.scope_claims.as_ref().is_some_and(|scopes| !forwards(scopes)) {
            return Err("scope_claims has no effect without `required_scopes`".to_owned());
        }
        let is_bound = fields.certificate_binding == CertificateBinding::Required || !fields.required_scopes.is_empty();
        if !is_bound && fields.issuers.iter().any(Issuer::takes_tokens_for_clients) {
            return Err(
                "`audience: any_client` needs `certificate_binding: required` or `required_scopes`: an ID token is for its \
                 client, too"
                    .to_owned(),
            );
        }
        if fields.dpop == Dpop::VerifiedUpstream && fields.forward_token == ForwardToken::Remove {
            return Err("with dpop: verified_upstream the API needs the token: forward_token is `keep`".to_owned());
        }
        if fields.dpop == Dpop::Refuse && fields.dpop_algorithms.is_some() {
            return Err("dpop_algorithms are those of the scheme DPoP, which is accepted with dpop: verified_upstream"
                .to_owned());
        }
        let is_digest = fields.client_certificate_source.as_ref().is_some_and(|source| source.is_digest());
        if is_digest && fields.certificate_validity == CertificateValidity::Checked {
            return Err(
                "with `certificate_validity: checked` the encoding of client_certificate_source is one with the \
                        certificate itself"
                    .to_owned(),
            );
        }
        if is_digest && !forwarded.is_empty() {
            return Err(
                "a digest is no certificate that could be handed over: the encoding of client_certificate_source \
                        is one with the certificate itself, or `forward_thumbprint` is enough"
                    .to_owned(),
            );
        }
        let Some(first) = fields.issuers.first() else {
            return Err("issuers is empty, so every token would be refused".to_owned());
        };
        // The audience names the API, as a realm does.
        let realm = fields.realm.or_else(|| Realm::try_from(first.first_audience().to_owned()).ok());
        let realm = realm.ok_or("the first audience cannot stand in a challenge; give a `realm`")?;
        Ok(Self {
            issuers: fields.issuers,
            certificate_binding: fields.certificate_binding,
            schemes: fields.schemes.with(fields.dpop),
            dpop: fields.dpop,
            dpop_algorithms: fields.dpop_algorithms,
            authentication: RequiredAuthentication {
                classes: fields.required_acr,
                max_age: fields.max_auth_age_seconds,
            },
            required_scopes: fields.required_scopes,
            scope_claims: fields.scope_claims.unwrap_or_default(),
            access_token_query: fields.access_token_query,
            cors_preflight: fields.cors_preflight,
            server_name: fields.server_name,
            certificate_validity: fields.certificate_validity,
            revoked_certificates: fields.revoked_certificates,
            leeway: fields.leeway_seconds,
            at_expiry: fields.at_expiry,
            realm,
            metadata: fields.protected_resource_metadata,
            forward_token: fields.forward_token,
            forward_claims: fields.forward_claims,
            forward_thumbprint: fields.forward_thumbprint,
            forwarded,
            client_certificates: ClientCertificates::new(fields.client_certificate_source, fields.not_a_client)?,
        })
    }
}

impl ResourceServer {
    /// Where this policy's keys are fetched.
    pub(crate) fn key_sources(&self) -> impl Iterator<Item = &KeySource> {
        self.issuers.iter().filter_map(Issuer::key_source)
    }

    /// Where this policy's tokens are introspected.
    pub(crate) fn introspections(&self) -> impl Iterator<Item = &Introspection> {
        self.issuers.iter().filter_map(|issuer| issuer.introspection.as_deref())
    }

    /// What the API gets of the client's certificate.
    pub(crate) fn forwarded(&self) -> &ForwardedCertificate {
        &self.forwarded
    }

    /// The headers that this policy writes besides, and no client may.
    pub(crate) fn own_headers(&self) -> impl Iterator<Item = OwnName> {
        let claims = self.forward_claims.iter().map(ForwardedClaim::header);
        claims.chain(&self.forward_thumbprint).map(OwnHeader::own_name)
    }

    /// Reads the credentials from the environment.
    pub(crate) fn resolve(&mut self, environment: Environment<'_>) -> Result<(), String> {
        self.issuers.iter_mut().try_for_each(|issuer| issuer.resolve(environment))?;
        self.forwarded.resolve(environment)?;
        self.client_certificates.resolve(environment)
    }

    /// Which certificates count as a client's.
    pub(crate) fn client_certificates(&self) -> &ClientCertificates {
        &self.client_certificates
    }

    /// Where the client's certificate comes from, if not from the connection.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn source(&self) -> Option<&Source> {
        self.client_certificates.source()
    }

    /// The challenges to the client of this request.
    pub(crate) fn challenge(&self, request: &Request<'_>) -> Challenge<'_> {
        self.challenge_under(schemes::of_error(self.schemes, request))
    }

    /// The same, where an error is told under this scheme.
    fn challenge_under(&self, told_under: AuthScheme) -> Challenge<'_> {
        Challenge::AccessToken(AccessTokenChallenge {
            realm: Cow::Borrowed(&self.realm.0),
            schemes: self.schemes,
            told_under,
            dpop_algorithms: self.dpop_algorithms.as_ref().map(|algorithms| Cow::Owned(algorithms.names().join(" "))),
            resource_metadata: self.metadata.as_ref().map(|metadata| Cow::Owned(metadata.url())),
        })
    }

    /// The refusal of a request whose token expired while it was in flight.
    pub(crate) fn outlived(&self, scene: Scene<'_>, identity: Option<Rc<Identity>>) -> Refused {
        let refusal = Refusal::because(Reason::TokenExpired, "it expired while the request was in flight");
        let refusal = identity.into_iter().fold(refusal, Refusal::about);
        // Its headers are gone, and with them the scheme that it used.
        scene.challenging(self.challenge_under(schemes::usual(self.schemes))).refused(refusal)
    }

    /// Judges a request.
    pub(crate) fn judge(
        &self,
        scene: &Scene<'_>,
        request: &Request<'_>,
        context: &mut Context<'_>,
        Received { cleaned, terminated, .. }: Received,
    ) -> Result<Forward, Stop> {
        if let Some(metadata) = self.metadata.as_ref().filter(|metadata| metadata.is_asked_for(request)) {
            return Err(self.serve(metadata));
        }
        let candidate = self.candidate(scene, request, context)?;
        let known = terminated.as_ref().and_then(|terminated| terminated.certificate.as_ref());
        let judgement = Judgement { server: self, presented: scene.presented(), request, known };
        let mut forward = judgement.conclude(candidate, context.connection, cleaned)?;
        if !self.forwarded.is_empty() {
            let (policy, connection, terminated) = (scene.policy(), context.connection, terminated.as_ref());
            let presented = scene.presented();
            let presented =
                presented.map(|thumbprint| PresentedBy { policy, request, connection, thumbprint, terminated });
            self.hand_over(presented, context.header_cache, &mut forward)?;
        }
        Ok(forward)
    }

    /// Adds the headers with the certificate that the token was compared with. Where there is none they are only removed.
    // Not inlined: as `serve`.
    #[inline(never)]
    fn hand_over(
        &self,
        presented: Option<PresentedBy<'_>>,
        header_cache: &mut HeaderCache,
        forward: &mut Forward,
    ) -> Result<(), Refusal> {
        let passed = &forward.passed;
        let edits = self.forwarded.edits(presented, header_cache).map_err(|reason| {
            let refusal = Refusal::from(reason).looked_up(passed.lookup);
            match &passed.identity {
                Some(identity) => refusal.about(Rc::clone(identity)),
                None => refusal,
            }
        })?;
        forward.headers.edits.extend(edits);
        Ok(())
    }

    /// Serves the API's metadata, which is public.
    // Not inlined, like everything that few requests need: V8 compiles two functions in less time than one of that size.
    #[inline(never)]
    fn serve(&self, metadata: &ProtectedResourceMetadata) -> Stop {
        // A template is the identifier of no server.
        let issuers = self.issuers.iter().filter(|issuer| !issuer.identifier.is_template()).map(Issuer::identifier);
        let scopes: Vec<_> = self.required_scopes.iter().map(|scope| scope.as_str()).collect();
        let proofs = self.dpop_algorithms.as_ref().map(DpopAlgorithms::names).unwrap_or_default();
        Stop::Serve(metadata.document(issuers, &scopes, self.schemes, &proofs))
    }

    /// Judges the request's headers.
    fn candidate(
        &self,
        scene: &Scene<'_>,
        request: &Request<'_>,
        context: &mut Context<'_>,
    ) -> Result<Candidate, Stop> {
        let (policy, presented) = (scene.policy(), scene.certificate()?);
        if presented.is_some_and(|presented| self.revoked_certificates.0.contains(&presented.bytes())) {
            return Err(Reason::CertificateRevoked.into());
        }
        if self.cors_preflight == CorsPreflight::Forward && request.is_preflight() {
            return Ok(Candidate::Preflight);
        }
        // A DPoP proof that is sent again would be taken again.
        if self.schemes.dpop && request.may_be_early() {
            return Err(Reason::EarlyData.into());
        }
        if self.access_token_query == AccessTokenQuery::Refuse && bearer_token::stands_in_query(request) {
            return Err(Reason::TokenInQuery.into());
        }
        let (token, scheme, lookup) = match Credentials::of(request, self.schemes) {
            Ok(credentials) => {
                let (token, lookup) = self.verified(policy, credentials, request, context)?;
                (token, credentials.scheme(), Some(lookup))
            }
            Err(missing @ Reason::TokenMissing) => {
                let left = verification::verified_before(&self.issuers, self.expected(policy), context.connection)?;
                (Rc::new(left.ok_or(missing)?), schemes::of_removed_token(self.schemes), None)
            }
            Err(Reason::SchemeUnsupported) => return Err(schemes::unsupported(self.schemes, request).into()),
            Err(reason) => return Err(reason.into()),
        };
        token
            .access_token
            .judge(self.leeway.duration(), request.now)
            .map_err(|refusal| refusal.about(token.identity()).looked_up(lookup))?;
        Ok(Candidate::Token(token, scheme, lookup))
    }

    /// The token, from the cache or verified now.
    // Not inlined: as `serve`.
    #[inline(never)]
    fn verified(
        &self,
        policy: &str,
        credentials: Credentials<'_>,
        request: &Request<'_>,
        context: &mut Context<'_>,
    ) -> Result<(Rc<Prepared>, Lookup), Stop> {
        if let Some(claims) = context.tokens.verified(policy, credentials.bytes())
            && claims.access_token.is_current(&self.issuers, request.now, context)
        {
            return Ok((claims, Lookup::Hit));
        }
        if let Some((refusal, holds)) = context.tokens.refused(policy, credentials.bytes())
            && let Some(refused) = self.remembered(&refusal, holds, request.now, context.keys)
        {
            return Err(refused);
        }
        let bearer_token = &credentials.check()?;
        let verified = match self.introspecting(bearer_token.text()) {
            Some(asked) => {
                verification::by_introspection(bearer_token, asked, self.expected(policy), request.now, context)
            }
            None => verification::verify(bearer_token, &self.issuers, self.expected(policy), request, context),
        };
        let verified = verified.map_err(|stop| stop.map(|refusal| refusal.looked_up(Some(Lookup::Miss))))?;
        let verified = Rc::new(verified);
        context.tokens.insert(policy, bearer_token.text(), Known::Claims(Rc::clone(&verified)));
        Ok((verified, Lookup::Miss))
    }

    /// Refuses a token that was refused before, if that still holds.
    // Not inlined: as `serve`.
    #[inline(never)]
    fn remembered(&self, refusal: &Refusal, holds: Holds, now: UnixTime, keys: &KeyRing) -> Option<Stop> {
        let refusal = refusal.clone().looked_up(Some(Lookup::Hit));
        match holds {
            Holds::Until(until) => (now < until).then(|| refusal.into()),
            Holds::WithKeys { issuer, keys: tried, is_named } => {
                let issuer = self.issuers.get(issuer)?;
                let is_current = issuer.keys(keys, now).is_ok_and(|keys| keys.digest() == tried);
                is_current.then(|| Stop::by_keys_of(issuer, is_named, refusal))
            }
        }
    }

    fn expected<'p>(&'p self, policy: &'p str) -> Expected<'p> {
        Expected {
            policy,
            dpop: self.dpop,
            authentication: &self.authentication,
            required_scopes: &self.required_scopes,
            scope_claims: &self.scope_claims,
            forwarded_claims: &self.forward_claims,
        }
    }

    /// The issuer that must introspect a token, if one must. At most one issuer introspects, since an opaque token does not say
    /// who issued it.
    // Not inlined: as `serve`.
    #[inline(never)]
    fn introspecting(&self, token: &str) -> Option<Asked<'_>> {
        let asked = self.issuers.iter().enumerate().find_map(|(place, issuer)| {
            let source = issuer.introspection.as_ref()?;
            Some(Asked { place, issuer, source })
        })?;
        let is_asked = match asked.source.tokens() {
            Tokens::Opaque => !jws::is_meant_for_jwt(token) || jws::is_encrypted(token),
            Tokens::All => !self.issuers.iter().any(|other| {
                other.introspection.is_none()
                    && jws::CompactJws::parse(token, &mut Vec::new())
                        .is_ok_and(|jwt| other.identifier.is_of(jwt.payload()))
            }),
        };
        is_asked.then_some(asked)
    }
}
