// SPDX-License-Identifier: Apache-2.0

//! Clients that authenticate by their certificate, judged before the authorization server (RFC 8705 §2).

use std::rc::Rc;
use std::sync::Arc;

use serde::Deserialize;

use super::client::{Client, Clients, Method, Origins, Registered, Registration};
use super::token_request::{Head, Named};
use super::{ClientCertificate, ForwardAnd, ResponseReader, Stop};
use crate::certificate::registered_name::NameMatching;
use crate::certificate::thumbprint::Thumbprint;
use crate::collections::sorted_map::{SortedMap, sorted};
use crate::handover::forwarded_certificate::Keeps;
use crate::handover::header_cache::CertificateHeaders;
use crate::http::body::{self, Unread};
use crate::http::edit::Edit;
use crate::http::leniency;
use crate::http::request::Request;
#[cfg(not(target_arch = "wasm32"))]
use crate::jose::left_out::LeftOut;
use crate::jose::signature::SignatureEngine;
use crate::keys::{ClusterName, FetchReason, KeyRing, KeySource};
use crate::outcome::decision::Ground;
use crate::outcome::forward::{Passed, SanitizedHeaders};
use crate::outcome::identity::Identity;
use crate::outcome::refusal::Refusal;
use crate::reason::Reason;
use crate::time::UnixTime;

/// Which clients must authenticate by a certificate, and with which.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Fields")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(with = "Fields"))]
pub(super) struct ClientAuthentication {
    clients: Clients,
    /// Sorted: every identifier that a server may take for a listed one; empty if unlisted clients are refused. Two clients may
    /// share a reading, since a listed identifier is looked up exactly first.
    readings: Vec<Vec<u8>>,
    /// Whether a client is registered for `self_signed_tls_client_auth`.
    knows_self_signed: bool,
    /// What the names and the issuers of its clients are compared with.
    keeps: Keeps,
    unlisted_clients: UnlistedClients,
    request_body: RequestBody,
    largest_body: usize,
}

/// Clients authenticate here (RFC 8705 §2), at every path of this policy: for the token endpoint, and those of pushed
/// authorization requests, revocation, introspection, device authorization and CIBA.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema), schemars(rename = "ClientAuthentication"))]
struct Fields {
    /// The clients, as they are registered with the authorization server.
    clients: Vec<Registration>,
    /// The Envoy clusters through which the `jwks_uri` of clients are fetched, by their origins. Nothing is fetched from other
    /// origins.
    #[serde(default)]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(with = "std::collections::BTreeMap<String, ClusterName>", example = serde_json::json!({ "https://client.example.org": "client" })))]
    client_keys: SortedMap<String, ClusterName>,
    /// What becomes of the requests of other clients.
    unlisted_clients: UnlistedClients,
    /// How distinguished names are compared.
    #[serde(default)]
    subject_dn_matching: NameMatching,
    /// Whether the headers of a request wait for its body.
    #[serde(default)]
    request_body: RequestBody,
    /// A larger body is refused.
    #[serde(default = "usual_largest_body")]
    #[cfg_attr(not(target_arch = "wasm32"), schemars(range(min = 1024, max = 1_048_576)))]
    largest_body_bytes: u64,
}

fn usual_largest_body() -> u64 {
    65_536
}

/// What becomes of the requests of clients that are not listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub(super) enum UnlistedClients {
    /// They are refused.
    Refuse,
    /// The authorization server authenticates them. One whose identifier a server may take for a listed one is refused: in
    /// another case, with white space around it, or percent-encoded once more.
    Forward,
}

/// Whether the headers of a request wait for its body. The body itself always does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(not(target_arch = "wasm32"), derive(schemars::JsonSchema))]
pub(super) enum RequestBody {
    /// They are forwarded at once, and a refusal breaks off the request. This works with any proxy.
    #[default]
    HeadersLeave,
    /// They wait, and nothing of a refused request reaches the authorization server. The plugin must have
    /// `allow_on_headers_stop_iteration: true`. Without that no request with a body gets a response.
    HeadersWait,
}

impl TryFrom<Fields> for ClientAuthentication {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let Fields { clients, client_keys, unlisted_clients, .. } = fields;
        let Fields { subject_dn_matching, request_body, largest_body_bytes, .. } = fields;
        let largest_body = usize::try_from(largest_body_bytes).ok().filter(|bytes| (1024..=1_048_576).contains(bytes));
        let clients = Clients::new(clients, subject_dn_matching, &Origins::try_from(client_keys)?)?;
        let mut readings = Vec::new();
        if unlisted_clients == UnlistedClients::Forward {
            clients.iter().for_each(|(client_id, _)| readings.append(&mut leniency::readings(client_id)));
        }
        let knows_self_signed = clients.iter().any(|(_, client)| matches!(client.method, Method::SelfSigned(_)));
        let needs_chain =
            |client: &Client| matches!(&client.method, Method::Pki { issuers, .. } if issuers.need_chain());
        let keeps = match clients.iter().any(|(_, client)| needs_chain(client)) {
            true => Keeps::IssuerKeys,
            false => Keeps::Certificate,
        };
        Ok(Self {
            clients,
            readings: sorted(readings),
            knows_self_signed,
            keeps,
            unlisted_clients,
            request_body,
            largest_body: largest_body.ok_or("largest_body_bytes is 1024 to 1048576")?,
        })
    }
}

impl ClientAuthentication {
    /// Refuses a method that `client_certificate` makes impossible.
    pub(super) fn check(&self, certificates: ClientCertificate) -> Result<(), String> {
        let wrong = self.clients.iter().filter_map(|(client_id, client)| {
            let why = match (&client.method, certificates) {
                (Method::Pki { .. }, ClientCertificate::Presented) => {
                    "tls_client_auth needs a validated chain, and under `client_certificate: presented` none counts as \
                     validated: anybody can make a certificate with any name"
                }
                (Method::SelfSigned(_), ClientCertificate::Validated) if self.request_body == RequestBody::HeadersLeave => {
                    "under `client_certificate: validated` the certificate of self_signed_tls_client_auth is handed over \
                     only once the body has named its client, so the headers must wait: `request_body: headers_wait`, with \
                     allow_on_headers_stop_iteration"
                }
                _ => return None,
            };
            Some((client_id, why))
        });
        wrong.min().map_or(Ok(()), |(client_id, why)| Err(format!("the client {client_id:?}: {why}")))
    }

    /// Whether the headers of its requests wait for the body.
    pub(super) fn has_headers_wait(&self) -> bool {
        self.request_body == RequestBody::HeadersWait
    }

    /// What must be known of a certificate.
    pub(super) fn keeps(&self) -> Keeps {
        self.keeps
    }

    /// Whether a certificate may be a client's without being validated.
    pub(super) fn knows_self_signed(&self) -> bool {
        self.knows_self_signed
    }

    /// The clients whose certificates are fetched, and where.
    pub(super) fn fetching(&self) -> impl Iterator<Item = (&str, &KeySource)> {
        self.clients.iter().filter_map(|(client_id, client)| Some((client_id, client.method.key_source()?)))
    }

    /// Whether it authenticates clients by names in their certificates.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn knows_names(&self) -> bool {
        self.clients.iter().any(|(_, client)| matches!(client.method, Method::Pki { .. }))
    }

    /// What is doubtful in the distinguished names of clients: the client, the key, and why.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn doubts(&self) -> Vec<(&str, &'static str, &'static str)> {
        let of_client = |(client_id, client): (_, &Client)| -> Vec<_> {
            client.method.doubts().map(|(key, why)| (client_id, key, why)).collect()
        };
        sorted(self.clients.iter().flat_map(of_client).collect())
    }

    /// The keys of clients' `jwks` that are left out: the client, the place of the key, and the key and why.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn left_out_keys(&self) -> Vec<(&str, usize, String)> {
        let of_client = |(client_id, client): (_, &'_ Client)| -> Vec<_> {
            let keys = client.method.left_out().into_iter().flat_map(LeftOut::iter);
            keys.map(|key| (client_id, key.place, key.to_string())).collect()
        };
        sorted(self.clients.iter().flat_map(of_client).collect())
    }

    /// Whether the authorization server may authenticate clients that are not listed.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn forwards_unlisted(&self) -> bool {
        self.unlisted_clients == UnlistedClients::Forward
    }

    /// Reads the headers of a request.
    // Not inlined, to keep it out of the path of requests that do not need it.
    #[inline(never)]
    pub(super) fn begin(self: &Arc<Self>, request: &Request<'_>) -> Result<Begun, Refusal> {
        Ok(Begun { head: Head::read(request)?, authentication: Arc::clone(self) })
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn sentences(&self) -> Vec<String> {
        let count = |is: &dyn Fn(&Method) -> bool| self.clients.iter().filter(|(_, client)| is(&client.method)).count();
        let unlisted = match self.unlisted_clients {
            UnlistedClients::Refuse => "every other client is refused",
            UnlistedClients::Forward => {
                "every other client is the authorization server's to authenticate, unless it may take it for one of these"
            }
        };
        let headers = match self.request_body {
            RequestBody::HeadersLeave => {
                "The headers of a request go on before its body has named the client; the body waits, and a refusal breaks \
                 the request off."
            }
            RequestBody::HeadersWait => {
                "Nothing of a request goes on before its body has named the client: the plugin must have \
                 allow_on_headers_stop_iteration. Envoy before 1.39.3 can lose a part of such a body."
            }
        };
        let fetched = match self.fetching().count() {
            0 => String::new(),
            count => format!(
                "The certificates of {count} of them are fetched through the clusters of `client_keys` when one authenticates, \
                 and are used for as long as the response is fresh; while they cannot be fetched, the client gets 503."
            ),
        };
        let pinned = match count(&|method| matches!(method, Method::Pki { issuers, .. } if !issuers.pin_none())) {
            0 => String::new(),
            count => format!("The certificate of {count} of them must be signed by an issuer's key that is pinned."),
        };
        let sentences = vec![
            format!(
                "Clients authenticate here: {} by a name in a validated certificate, {} by a registered certificate, {} at the \
                 authorization server; {unlisted}.",
                count(&|method| matches!(method, Method::Pki { .. })),
                count(&|method| matches!(method, Method::SelfSigned(_))),
                count(&|method| matches!(method, Method::AtTheServer)),
            ),
            pinned,
            headers.to_owned(),
            fetched,
        ];
        sentences.into_iter().filter(|sentence| !sentence.is_empty()).collect()
    }
}

/// The certificate that the client presented, and what handing it over takes.
#[derive(Debug, Default)]
pub(super) struct PresentedCertificate {
    /// `None` if the client presented none.
    pub(super) thumbprint: Option<Thumbprint>,
    /// Whether its chain was validated.
    pub(super) is_validated: bool,
    /// What is known of it, if it may be a client's.
    pub(super) handed: Option<Rc<CertificateHeaders>>,
    /// The edits that hand it over.
    pub(super) edits: Vec<Edit>,
    /// Whether the authorization server gets it for any client, or only for one that authenticates with it.
    pub(super) for_any_client: bool,
}

/// A request whose headers were read.
pub(super) struct Begun {
    authentication: Arc<ClientAuthentication>,
    head: Head,
}

impl Begun {
    /// The same, on a connection with this certificate.
    pub(super) fn about(
        self,
        mut certificate: PresentedCertificate,
        mut cleaned: SanitizedHeaders,
        response_reader: Option<ResponseReader>,
        ground: Ground,
    ) -> UntilBody {
        if certificate.for_any_client {
            cleaned.edits.append(&mut certificate.edits);
        }
        let Self { authentication, head } = self;
        UntilBody { authentication, head, certificate, cleaned, response_reader, ground }
    }
}

/// The judgement of a request whose body names its client.
#[derive(Debug)]
pub(crate) struct UntilBody {
    authentication: Arc<ClientAuthentication>,
    head: Head,
    certificate: PresentedCertificate,
    /// The edits that do not depend on the body and were not made yet.
    cleaned: SanitizedHeaders,
    response_reader: Option<ResponseReader>,
    ground: Ground,
}

impl UntilBody {
    /// Whether the headers must wait for the body.
    pub(crate) fn headers_wait(&self) -> bool {
        self.authentication.has_headers_wait()
    }

    /// The edits to make before headers leave that do not wait. Returned once.
    pub(crate) fn early_edits(&mut self) -> Vec<Edit> {
        std::mem::take(&mut self.cleaned.edits)
    }

    /// What to do with the response, which may come before the body. Returned once.
    pub(crate) fn take_response_reader(&mut self) -> Option<ResponseReader> {
        self.response_reader.take()
    }

    /// How large the body may be, in bytes.
    pub(crate) fn limit(&self) -> usize {
        self.authentication.largest_body
    }

    /// Continues with the whole body, without trailers.
    pub(crate) fn resume(
        self,
        body: Result<&[u8], Unread>,
        (keys, engine): (&KeyRing, &dyn SignatureEngine),
        now: &dyn Fn() -> UnixTime,
    ) -> Result<ForwardAnd, Stop> {
        match self.judge(body, engine)? {
            Judged::Forward(ground, client_id) => Ok(self.forward(ground, client_id)),
            Judged::Fetched(source, presented, client_id) => {
                Box::new(UntilKeys { before: self, source, presented, client_id }).resume(keys, now())
            }
        }
    }

    /// Forwards the request. `client_id` is the authenticated client, if there is one.
    fn forward(mut self, ground: Ground, client_id: Option<String>) -> ForwardAnd {
        if ground == Ground::ClientAuthenticated {
            self.cleaned.edits.append(&mut self.certificate.edits);
        }
        let identity = client_id.map(|client_id| Rc::new(Identity::of_client(client_id)));
        (self.cleaned.forward(Passed { identity, ..ground.into() }), self.response_reader)
    }

    fn judge(&self, body: Result<&[u8], Unread>, engine: &dyn SignatureEngine) -> Result<Judged, Refusal> {
        let ClientAuthentication { clients, readings, unlisted_clients, largest_body, .. } = &*self.authentication;
        let body = body::within(body, *largest_body).map_err(|unread| {
            let detail = match unread {
                Unread::TooLarge => format!("the body is larger than {largest_body} bytes"),
                Unread::NotGiven => body::NOT_GIVEN.to_owned(),
            };
            Refusal::because(Reason::TokenRequestMalformed, detail)
        })?;
        let Named { client_id, is_claim, verbatim, has_credentials } = self.head.named(body)?;
        let of_client = |reason: Reason| of_client(reason, &client_id);
        if verbatim.is_some_and(|verbatim| clients.get(&verbatim).is_some()) {
            return Err(of_client(Reason::ClientAmbiguous));
        }
        let Some(client) = clients.get(&client_id) else {
            let is_taken = |reading| readings.binary_search(reading).is_ok();
            let reason = match unlisted_clients {
                UnlistedClients::Refuse => Reason::ClientUnknown,
                UnlistedClients::Forward if leniency::readings(&client_id).iter().any(is_taken) => {
                    Reason::ClientAmbiguous
                }
                UnlistedClients::Forward => return Ok(Judged::Forward(self.ground, None)),
            };
            // An identifier of a client assertion is not logged, since nobody has verified the assertion.
            return Err(if is_claim { reason.into() } else { of_client(reason) });
        };
        let certificate = &self.certificate;
        if let Method::AtTheServer = client.method {
            return if client.bound && !(certificate.for_any_client && certificate.thumbprint.is_some()) {
                Err(of_client(Reason::BindingCertificateMissing))
            } else {
                Ok(Judged::Forward(self.ground, None))
            };
        }
        // A client uses one method in a request (RFC 6749 §2.3).
        if has_credentials {
            return Err(of_client(Reason::ClientAuthenticationRepeated));
        }
        let Some(presented) = certificate.thumbprint else { return Err(of_client(Reason::ClientCertificateMissing)) };
        let is_own = match &client.method {
            Method::Pki { .. } if !certificate.is_validated => {
                return Err(of_client(Reason::ClientCertificateNotValidated));
            }
            Method::Pki { subject, issuer, issuers } => {
                let handed = certificate.handed.as_deref().ok_or_else(|| of_client(Reason::CertificateUnavailable))?;
                Method::check_names(subject, issuer.as_ref(), handed.certificate.as_ref())
                    .map_err(|found| (Reason::ClientCertificateMismatch, found))
                    .and_then(|()| issuers.check(handed, engine))
                    .map_err(|(reason, found)| {
                        Refusal::because(reason, format!("client_id {client_id:.128}; {found}"))
                    })?;
                true
            }
            Method::SelfSigned(Registered::Inline(keys)) => keys.certificates.contains(&presented),
            Method::SelfSigned(Registered::Fetched(source)) => {
                return Ok(Judged::Fetched(source.clone(), presented, client_id));
            }
            Method::AtTheServer => false,
        };
        if is_own {
            Ok(Judged::Forward(Ground::ClientAuthenticated, Some(client_id)))
        } else {
            Err(of_client(Reason::ClientCertificateMismatch))
        }
    }
}

fn of_client(reason: Reason, client_id: &str) -> Refusal {
    Refusal::because(reason, format!("client_id {client_id:.128}"))
}

/// What follows from the body of a request.
enum Judged {
    /// The request is forwarded. The text is the authenticated client, if there is one.
    Forward(Ground, Option<String>),
    /// The client publishes its certificates at this source. The presented one is still to be compared with them.
    Fetched(Box<KeySource>, Thumbprint, String),
}

/// The judgement of a request whose client publishes its certificates: the presented one is still to be compared with them. The
/// body was read, and nothing of it was forwarded.
#[derive(Debug)]
pub(crate) struct UntilKeys {
    before: UntilBody,
    source: Box<KeySource>,
    presented: Thumbprint,
    client_id: String,
}

impl UntilKeys {
    /// Continues with the known keys.
    pub(crate) fn resume(self: Box<Self>, keys: &KeyRing, now: UnixTime) -> Result<ForwardAnd, Stop> {
        let (why, reason) = match keys.certificates(&self.source, now) {
            Some(own) if own.contains(&self.presented) => {
                let Self { before, client_id, .. } = *self;
                return Ok(before.forward(Ground::ClientAuthenticated, Some(client_id)));
            }
            // The client may have published a new certificate.
            Some(_) => (FetchReason::UnknownKey, Reason::ClientCertificateMismatch),
            None => (FetchReason::Routine, Reason::ClientKeysUnavailable),
        };
        // No key of such a set has a fault, so the log has no line about it.
        let has_none = keys.certificates(&self.source, now).is_some_and(<[_]>::is_empty);
        let refusal = if has_none {
            let client_id = &self.client_id;
            Refusal::because(reason, format!("client_id {client_id:.128}, whose key set has no certificate (x5c)"))
        } else {
            of_client(reason, &self.client_id)
        };
        let unavailable = of_client(Reason::ClientKeysUnavailable, &self.client_id);
        Err(Stop::NeedsKeys { source: self.source.clone(), why, refusal, unavailable, until: self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_how_its_clients_authenticate() {
        let with = |clients: serde_json::Value| {
            let fields = serde_json::json!({
                "clients": clients, "unlisted_clients": "refuse", "client_keys": {"https://client": "client"},
            });
            serde_json::from_value::<ClientAuthentication>(fields).unwrap()
        };
        let by_name = serde_json::json!(
            {"client_id": "a", "token_endpoint_auth_method": "tls_client_auth", "tls_client_auth_san_dns": "a"}
        );
        let self_signed = serde_json::json!(
            {"client_id": "b", "token_endpoint_auth_method": "self_signed_tls_client_auth", "jwks_uri": "https://client/b"}
        );
        let at_the_server = serde_json::json!({"client_id": "c", "token_endpoint_auth_method": "private_key_jwt"});
        let known = |own: &ClientAuthentication| {
            let fetching: Vec<_> = own.fetching().map(|(client_id, _)| client_id.to_owned()).collect();
            (own.knows_names(), own.knows_self_signed(), fetching)
        };
        assert_eq!(known(&with(serde_json::json!([at_the_server]))), (false, false, vec![]));
        assert_eq!(known(&with(serde_json::json!([by_name, at_the_server]))), (true, false, vec![]));
        assert_eq!(known(&with(serde_json::json!([self_signed]))), (false, true, vec!["b".to_owned()]));
        let all = with(serde_json::json!([by_name, self_signed, at_the_server]));
        assert_eq!(known(&all), (true, true, vec!["b".to_owned()]));
        assert_eq!(all.keeps(), Keeps::Certificate);
    }
}
