// SPDX-License-Identifier: Apache-2.0

//! What stands around the filter in an Envoy configuration and works against it.

use std::collections::BTreeSet;

use super::enumeration::{
    ESCAPED_SLASHES, FAILURE_POLICY, FORWARD_CLIENT_CERT_DETAILS, TRUST_CHAIN_VERIFICATION, value_of,
};
use super::finding::{Finding, Warning};
use super::installation::{HttpFilter, Manager, Managers, is_certbound_filter, message};
use super::needing_certificate;
use crate::authorization_server::ClientCertificate;
use crate::config::file::Place;
use crate::handover::terminator::Source;
use crate::policy::{Policies, Policy};
use crate::resource_server::introspection::Introspection;
use crate::resource_server::issuer_identifier::IssuerIdentifier;
use crate::text::list::listed;

/// Filters that can change the headers, the route or the token of a request.
const CHANGING: &[&str] = &[
    "AwsRequestSigning",
    "Composite",
    "CredentialInjector",
    "CustomResponse",
    "DynamicModuleFilter",
    "ExtAuthz",
    "ExternalProcessor",
    "FilterChainConfig",
    "GcpAuthnFilterConfig",
    "HeaderMutation",
    "JwtAuthentication",
    "Lua",
    "LuaPerRoute",
    "OAuth2",
    "Wasm",
];

/// What a client's certificate may be signed with that Envoy does not offer to accept unless told.
const NOT_OFFERED: &[&str] = &["ed25519", "ecdsa_secp521r1_sha512"];

/// What a request may need of the host, and the host of the module.
pub const CAPABILITIES: &[&str] = &[
    "proxy_log",
    "proxy_get_property",
    "proxy_set_property",
    "proxy_get_buffer_bytes",
    "proxy_set_buffer_bytes",
    "proxy_get_header_map_pairs",
    "proxy_get_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_remove_header_map_value",
    "proxy_send_local_response",
    "proxy_continue_stream",
    "proxy_set_effective_context",
    "proxy_call_foreign_function",
    "proxy_http_call",
    "proxy_get_shared_data",
    "proxy_set_shared_data",
    "proxy_set_tick_period_milliseconds",
    "proxy_get_current_time_nanoseconds",
    "proxy_define_metric",
    "proxy_increment_metric",
    "proxy_record_metric",
    "proxy_on_context_create",
    "proxy_on_vm_start",
    "proxy_on_configure",
    "proxy_on_memory_allocate",
    "proxy_on_tick",
    "proxy_on_http_call_response",
    "proxy_on_request_headers",
    "proxy_on_request_body",
    "proxy_on_request_trailers",
    "proxy_on_response_headers",
    "proxy_on_response_body",
    "proxy_on_response_trailers",
    "proxy_on_delete",
    "random_get",
    "environ_get",
    "environ_sizes_get",
    "fd_write",
    "proc_exit",
];

/// The plugin itself: what becomes of requests when it fails.
pub(super) fn of_plugin(plugin: Place<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let policy = plugin.at(&["failure_policy"]);
    let name = policy.and_then(|policy| value_of(policy, FAILURE_POLICY));
    if plugin.is_true_at(&["fail_open"]) || name == Some("FAIL_OPEN") {
        found.push(Finding::warning(
            policy.or(plugin.at(&["fail_open"])).unwrap_or(plugin),
            Warning::FailOpen,
            "after a crash of the filter requests pass unjudged, with forged certificate headers; use FAIL_RELOAD",
        ));
    } else if name != Some("FAIL_RELOAD") {
        found.push(Finding::warning(
            policy.unwrap_or(plugin),
            Warning::FailClosedForEver,
            "after a crash of the filter its worker answers 503 until Envoy is restarted; use failure_policy: \
             FAIL_RELOAD",
        ));
    }
    found.extend(of_capabilities(plugin));
    found
}

/// Whether the module may call what it calls. An empty list allows everything.
fn of_capabilities(plugin: Place<'_>) -> Vec<Finding> {
    let places = [Some(plugin), plugin.at(&["vm_config"])].into_iter().flatten();
    let lists = places.filter_map(|place| place.at(&["capability_restriction_config", "allowed_capabilities"]));
    let missing = lists.filter_map(|list| {
        list.entries().next()?;
        let missing: Vec<_> = CAPABILITIES.iter().copied().filter(|name| list.get(name).is_none()).collect();
        let sentence = format!(
            "certbound needs {}, which this list does not allow: requests that need it are refused",
            listed(&missing, "and")
        );
        (!missing.is_empty()).then(|| Finding::warning(list, Warning::CapabilityMissing, sentence))
    });
    missing.collect()
}

/// The filter's surroundings, seen with its policies.
pub(super) fn of_filter<'d>(filter: HttpFilter<'d>, managers: &Managers<'d>, policies: &Policies) -> Vec<Finding> {
    let mut found = of_certificates(filter.manager, managers, policies);
    found.extend(of_manager(filter.manager, managers, policies));
    found.extend(of_order(filter));
    found.extend(of_disabled(filter));
    found.extend(policies.iter().flat_map(|(_, policy)| of_jwt_authn(filter, policy)));
    found.extend(of_key_clusters(filter, policies));
    found
}

/// The filter as it is wrongly configured for a route: Envoy refuses the file.
pub(super) fn of_per_route_configuration(root: Place<'_>) -> Vec<Finding> {
    let of_routes = root.everything().into_iter().filter_map(|place| place.at(&["typed_per_filter_config"]));
    let wasm = of_routes.flat_map(Place::entries).filter(|(_, config)| {
        config.text_at(&["@type"]).is_some_and(|kind| kind.ends_with("wasm.v3.Wasm") || kind.ends_with(".PluginConfig"))
    });
    wasm.map(|(_, config)| {
        let sentence = "Envoy refuses a Wasm filter in typed_per_filter_config; a route names its policy in its \
                        metadata: `filter_metadata: { certbound: { policy: NAME } }`";
        Finding::error_at(config, sentence.to_owned())
    })
    .collect()
}

/// What becomes of the clients' certificates before a policy sees them.
fn of_certificates<'d>(manager: Manager<'d>, managers: &Managers<'d>, policies: &Policies) -> Vec<Finding> {
    let Some(name) = needing_certificate(policies) else { return Vec::new() };
    let Some(Tls { context: tls, quic }) = Tls::of(manager.filter_chain) else {
        let sentence = format!(
            "this listener has no TLS of its own, so no client can present the certificate that the policy {name} needs"
        );
        return vec![Finding::warning(manager.filter_chain, Warning::CertificateNotRequested, sentence)];
    };
    let common = tls.at(&["common_tls_context"]).unwrap_or(tls);
    let validation = Validation::of(common, managers);
    if !validation.may_ask() {
        let sentence = format!(
            "this listener never asks for a certificate, require_client_certificate or not, and the policy {name} needs one; give \
             it a validation_context with trusted_ca, or with ACCEPT_UNTRUSTED"
        );
        return vec![Finding::warning(common, Warning::CertificateNotRequested, sentence)];
    }
    let untrusted = validation.accepts_untrusted();
    let resumes = match quic {
        None => may_resume(tls),
        // Where Envoy knows when it starts that clients are asked for certificates, it resumes nothing unless told.
        Some(quic) => has_quic(quic, "enable_resumption", validation.by_sds),
    };
    let mut found = Vec::new();
    match quic {
        // Over QUIC no list changes what a client may sign with.
        None => found.extend(of_signature_algorithms(common)),
        Some(quic) => found.extend(of_early_data(name, quic, validation.by_sds)),
    }
    let at = quic.unwrap_or(tls);
    found.extend(policies.iter().filter_map(|(name, policy)| of_validation(name, policy, at, untrusted, resumes)));
    // Those that lose a certificate are told what to set.
    if !found.iter().any(|finding| finding.warning == Some(Warning::ValidatedCertificateLostOnResumption)) {
        found.extend(resumes.then(|| of_resumption(name, at, quic.is_some())));
    }
    found.extend(untrusted.and_then(|place| of_client_ca_list(place, &validation, policies)));
    found.extend(of_server_name(manager, policies));
    found
}

/// Whether clients are kept from sending the self-signed certificates that this listener accepts and a policy takes.
fn of_client_ca_list<'d>(untrusted: Place<'d>, validation: &Validation<'d>, policies: &Policies) -> Option<Finding> {
    let takes = |policy: &Policy| match policy {
        Policy::ResourceServer(_) => policy.needs_certificate(),
        Policy::AuthorizationServer(server) => server.takes_self_signed(),
        Policy::CleanOnly(_) => false,
    };
    let (name, _) = policies.iter().find(|(_, policy)| takes(policy) && policy.source().is_none())?;
    let sentence = format!(
        "the policy {name} takes self-signed certificates, and this listener names the CAs of trusted_ca to clients: Java, Go, \
         wget and NSS then send none; set suppress_client_ca_list: true beside trusted_ca (Envoy 1.39)"
    );
    let suppresses = validation.contexts.iter().any(|context| context.is_true_at(&["suppress_client_ca_list"]));
    (validation.has("trusted_ca") && !suppresses)
        .then(|| Finding::warning(untrusted, Warning::ClientCaListSent, sentence))
}

/// A client that renewed its certificate is seen with the one before.
fn of_resumption<'d>(name: &str, tls: Place<'d>, is_quic: bool) -> Finding {
    let settings = match is_quic {
        true => "enable_resumption: false beside downstream_tls_context",
        false => "disable_stateless_session_resumption and disable_stateful_session_resumption",
    };
    let sentence = format!(
        "a resumed TLS session shows the certificate of its first handshake, so to the policy {name} a client that renewed its \
         certificate comes with the one before, for days; set {settings}"
    );
    Finding::warning(tls, Warning::SessionResumption, sentence)
}

/// Whether requests are taken that may be sent again by whoever saw them (RFC 8470 §3).
fn of_early_data<'d>(name: &str, quic: Place<'d>, by_default: bool) -> Option<Finding> {
    let sentence = format!(
        "this listener takes early data (0-RTT), which others can send again as often as they like, and the policy {name} would \
         judge it alike; set enable_early_data: false"
    );
    let takes = has_quic(quic, "enable_early_data", by_default) && has_quic(quic, "enable_resumption", by_default);
    takes.then(|| Finding::warning(quic, Warning::EarlyDataAccepted, sentence))
}

/// What a switch of a QUIC listener stands at.
fn has_quic(quic: Place<'_>, switch: &str, by_default: bool) -> bool {
    quic.is_true_at(&[switch]) || (by_default && !quic.is_false_at(&[switch]))
}

/// By what a listener validates the certificates of clients.
struct Validation<'d> {
    /// Those that these files have: the listener's own, and the one that comes by SDS.
    contexts: Vec<Place<'d>>,
    by_sds: bool,
    /// Whether one comes by SDS that these files do not have.
    is_elsewhere: bool,
}

impl<'d> Validation<'d> {
    fn of(common: Place<'d>, managers: &Managers<'d>) -> Self {
        let combined = common.at(&["combined_validation_context"]);
        let own =
            common.at(&["validation_context"]).or(combined.and_then(|own| own.at(&["default_validation_context"])));
        let by_sds = [Some(common), combined].into_iter().flatten();
        let by_sds = by_sds.filter_map(|place| place.at(&["validation_context_sds_secret_config"])).next();
        let secret = by_sds.and_then(|secret| managers.validation_context(secret.text_at(&["name"])?));
        Self {
            contexts: [own, secret].into_iter().flatten().collect(),
            by_sds: by_sds.is_some(),
            is_elsewhere: by_sds.is_some() && secret.is_none(),
        }
    }

    fn has(&self, key: &str) -> bool {
        self.contexts.iter().any(|context| context.at(&[key]).is_some())
    }

    /// Whether clients are asked for a certificate, as far as these files tell: somebody is trusted, or everybody.
    fn may_ask(&self) -> bool {
        let trusting = [
            "trusted_ca",
            "ca_certificate_provider_instance",
            "system_root_certs",
            "verify_certificate_hash",
            "verify_certificate_spki",
            "custom_validator_config",
        ];
        self.is_elsewhere || trusting.iter().any(|key| self.has(key)) || self.accepts_untrusted().is_some()
    }

    /// Where it says that any certificate is accepted.
    fn accepts_untrusted(&self) -> Option<Place<'d>> {
        let mut places = self.contexts.iter().filter_map(|context| context.at(&["trust_chain_verification"]));
        places.find(|place| value_of(*place, TRUST_CHAIN_VERIFICATION) == Some("ACCEPT_UNTRUSTED"))
    }
}

/// The TLS of a filter chain.
struct Tls<'d> {
    /// The `DownstreamTlsContext`.
    context: Place<'d>,
    /// What it stands in, where the listener is for HTTP/3: the `QuicDownstreamTransport`.
    quic: Option<Place<'d>>,
}

impl<'d> Tls<'d> {
    fn of(filter_chain: Place<'d>) -> Option<Self> {
        let mut socket = filter_chain.at(&["transport_socket"])?;
        // A socket around it that records what it has.
        while let Some(inner) = socket.at(&["typed_config", "transport_socket"]) {
            socket = inner;
        }
        if let Some(quic) = message(socket, "QuicDownstreamTransport") {
            let context = quic.at(&["downstream_tls_context"])?;
            return Some(Self { context, quic: Some(quic) });
        }
        message(socket, "DownstreamTlsContext").map(|context| Self { context, quic: None })
    }
}

fn may_resume(tls: Place<'_>) -> bool {
    let settings = ["disable_stateless_session_resumption", "disable_stateful_session_resumption"];
    !settings.iter().all(|setting| tls.is_true_at(&[setting]))
}

fn of_signature_algorithms(common: Place<'_>) -> Option<Finding> {
    let list = ["tls_params", "signature_algorithms"];
    let offered: Vec<_> = common.list(&list).filter_map(Place::text).collect();
    let missing: Vec<_> = NOT_OFFERED.iter().copied().filter(|wanted| !offered.contains(wanted)).collect();
    let sentence = format!(
        "a client whose certificate is signed with {} seems to have none; name it in tls_params.signature_algorithms, \
         with all the others, since the list replaces Envoy's own",
        listed(&missing, "or")
    );
    let place = common.at(&list).unwrap_or(common);
    (!missing.is_empty()).then(|| Finding::warning(place, Warning::SignatureAlgorithmNotOffered, sentence))
}

/// Whether the certificates that an authorization server gets are what its policy says. `untrusted` is where the listener
/// accepts others than those that it can validate.
fn of_validation<'d>(
    name: &str,
    policy: &Policy,
    tls: Place<'d>,
    untrusted: Option<Place<'d>>,
    resumes: bool,
) -> Option<Finding> {
    if let Some(source) = policy.source() {
        return of_terminator(name, source, tls, untrusted, resumes);
    }
    let server = match policy {
        Policy::AuthorizationServer(server) => server,
        Policy::ResourceServer(_) => {
            return of_names(name, policy, untrusted, "an API that looks at names in them, and not at the token,");
        }
        Policy::CleanOnly(_) => return of_names(name, policy, untrusted, "a server that looks at names in them"),
    };
    // Clients that are listed here are judged here, and a registered certificate needs no chain.
    let judged_here = server.authenticates_by_name();
    match (server.client_certificate(), untrusted) {
        (ClientCertificate::ValidatedByListener, Some(place)) => Some(Finding::warning(
            place,
            Warning::UntrustedCertificateHandedOver,
            format!(
                "the policy {name} says `client_certificate: validated_by_listener`, and this listener accepts \
                 certificates that it cannot validate: whoever makes one with a client's name in it is taken for that \
                 client (tls_client_auth){}",
                if judged_here { ", by certbound itself; say `client_certificate: validated`" } else { "" }
            ),
        )),
        (ClientCertificate::Presented, Some(_)) if server.refuses_unlisted() => None,
        (ClientCertificate::Presented, Some(place)) => Some(Finding::warning(
            place,
            Warning::UntrustedCertificateHandedOver,
            format!(
                "the policy {name} hands over certificates that this listener cannot validate: an authorization server \
                 that looks at names in them (tls_client_auth) takes anybody for anybody{}",
                if server.authenticates() {
                    ", where it authenticates clients that are not listed; say `unlisted_clients: refuse` or \
                     `client_certificate: validated`"
                } else {
                    ""
                }
            ),
        )),
        (ClientCertificate::Validated, _) if resumes => Some(Finding::warning(
            tls,
            Warning::ValidatedCertificateLostOnResumption,
            format!(
                "the certificate of a resumed TLS session never counts as validated, so the policy {name} does not \
                 hand it over; set disable_stateless_session_resumption and disable_stateful_session_resumption, or \
                 `client_certificate: validated_by_listener` where every certificate is validated"
            ),
        )),
        _ => None,
    }
}

/// Whether a server gets names in certificates that nobody validated, and is not told so. The token that comes with one is judged
/// all the same, since its binding needs no valid chain (RFC 8705 §6.2).
fn of_names<'d>(name: &str, policy: &Policy, untrusted: Option<Place<'d>>, who: &str) -> Option<Finding> {
    let forwarded = policy.forwarded();
    let place = untrusted.filter(|_| forwarded.has_names() && !forwarded.says_verified())?;
    let sentence = format!(
        "the policy {name} hands over certificates that this listener cannot validate: {who} takes anybody for anybody; \
         `facts: {{ verified: HEADER }}` tells it which are validated"
    );
    Some(Finding::warning(place, Warning::UntrustedCertificateHandedOver, sentence))
}

/// Whether a name in a certificate proves on this listener that its sender is the terminator in front.
fn of_terminator<'d>(
    name: &str,
    source: &Source,
    tls: Place<'d>,
    untrusted: Option<Place<'d>>,
    resumes: bool,
) -> Option<Finding> {
    match untrusted {
        Some(place) if source.counts_on_listener() => Some(Finding::warning(
            place,
            Warning::TerminatorNotProved,
            format!(
                "the policy {name} knows the terminator in front by a name, and says that the listener validates its \
                 certificate; this one accepts any: whoever makes one with that name is believed in {}",
                source.header()
            ),
        )),
        _ if source.asks_for_validation() && resumes => Some(Finding::warning(
            tls,
            Warning::ValidatedCertificateLostOnResumption,
            format!(
                "the certificate of a resumed TLS session never counts as validated, so to the policy {name} the terminator \
                 in front does not prove to be itself; set disable_stateless_session_resumption and \
                 disable_stateful_session_resumption, or name its certificates by their thumbprints"
            ),
        )),
        _ => None,
    }
}

fn of_server_name(manager: Manager<'_>, policies: &Policies) -> Option<Finding> {
    let asks = |policy: &Policy| matches!(policy, Policy::ResourceServer(server) if server.needs_server_name());
    let (name, _) = policies.iter().find(|(_, policy)| asks(policy))?;
    let mut filters = manager.listener.list(&["listener_filters"]);
    let sentence = format!(
        "the policy {name} compares the TLS server name, which Envoy does not know without the listener filter \
         envoy.filters.listener.tls_inspector: every request would get 421"
    );
    let inspected = filters.any(|filter| message(filter, "TlsInspector").is_some());
    (!inspected).then(|| Finding::warning(manager.listener, Warning::ServerNameUnknown, sentence))
}

/// Whether an internal redirect, after which a request is judged again, is refused for what the first judgement did.
fn of_redirects<'d>(manager: Place<'d>, policies: &Policies) -> Vec<Finding> {
    if policies.count() == 1 {
        return Vec::new();
    }
    let sentence = "a request that is redirected internally to a route with another policy is refused (policy_changed)";
    let redirects = manager.everything().into_iter().filter_map(|place| place.at(&["internal_redirect_policy"]));
    redirects.map(|place| Finding::warning(place, Warning::InternalRedirect, sentence)).collect()
}

/// Whether a chain that is handed over comes to the filter.
fn of_chain(manager: Place<'_>, policies: &Policies) -> Option<Finding> {
    // A chain that a terminator hands over comes in its own header.
    let reads = |policy: &Policy| match policy {
        Policy::AuthorizationServer(server) => server.reads_chain(),
        Policy::ResourceServer(_) | Policy::CleanOnly(_) => policy.forwarded().has_chain(),
    };
    let needs = |policy: &Policy| reads(policy) && policy.source().is_none();
    let (name, _) = policies.iter().find(|(_, policy)| needs(policy))?;
    let details = manager.at(&["forward_client_cert_details"]);
    let details = details.and_then(|place| value_of(place, FORWARD_CLIENT_CERT_DETAILS));
    let sets = matches!(details, Some("SANITIZE_SET" | "APPEND_FORWARD"));
    let sentence = format!(
        "the policy {name} needs the chain behind a certificate, and Envoy does not hand it to the filter: set \
         `forward_client_cert_details: SANITIZE_SET` and `set_current_client_cert_details: {{ chain: true }}`"
    );
    let comes = sets && manager.is_true_at(&["set_current_client_cert_details", "chain"]);
    let place = manager.at(&["set_current_client_cert_details"]).unwrap_or(manager);
    (!comes).then(|| Finding::warning(place, Warning::ChainNotHandedOver, sentence))
}

/// Whether clients are led to an HTTP/3 listener (RFC 7838) that does not ask for their certificate, as far as these files tell.
fn of_alternative<'d>(manager: Place<'d>, managers: &Managers<'d>, policies: &Policies) -> Option<Finding> {
    let name = needing_certificate(policies)?;
    let mut added = manager.everything().into_iter().flat_map(|place| place.list(&["response_headers_to_add"]));
    let (header, ports) = added.find_map(|added| {
        let header = added.at(&["header"])?;
        let key = header.text_at(&["key"]).filter(|key| key.eq_ignore_ascii_case("alt-svc"));
        let value = key.and_then(|_| header.text_at(&["value"]))?;
        Some((header, value.split(',').filter_map(h3_port).collect::<Vec<_>>()))
    })?;
    let asking: BTreeSet<_> =
        manager.root().everything().into_iter().filter_map(|place| asking_over_quic(place, managers)).collect();
    let missing = ports.into_iter().find(|port| !asking.contains(*port))?;
    let sentence = format!(
        "clients are led to port {missing} for HTTP/3, where no listener of this file asks for the certificate that the policy \
         {name} needs: they come back without one; give that listener a validation_context, or remove alt-svc"
    );
    Some(Finding::warning(header, Warning::AltSvcWithoutCertificate, sentence))
}

/// The port of an alternative for HTTP/3 on the same host: `h3=":8443"; ma=86400`.
fn h3_port(alternative: &str) -> Option<&str> {
    let authority = alternative.trim().strip_prefix("h3=\"")?.split('"').next()?;
    authority.strip_prefix(':')
}

/// The port of a listener that asks clients for certificates over QUIC.
fn asking_over_quic<'d>(listener: Place<'d>, managers: &Managers<'d>) -> Option<String> {
    let port = listener.number_at(&["address", "socket_address", "port_value"])?;
    let chains = listener.list(&["filter_chains"]).chain(listener.at(&["default_filter_chain"]));
    let mut contexts = chains.filter_map(Tls::of).filter(|tls| tls.quic.is_some());
    let asks = |tls: Tls<'d>| {
        tls.context.at(&["common_tls_context"]).is_some_and(|own| Validation::of(own, managers).may_ask())
    };
    contexts.any(asks).then_some(port)
}

fn of_manager<'d>(Manager { manager, .. }: Manager<'d>, managers: &Managers<'d>, policies: &Policies) -> Vec<Finding> {
    let mut found = Vec::new();
    let details = manager.at(&["forward_client_cert_details"]);
    let believes = |place: &Place<'_>| {
        let value = value_of(*place, FORWARD_CLIENT_CERT_DETAILS);
        matches!(value, Some("FORWARD_ONLY" | "APPEND_FORWARD" | "ALWAYS_FORWARD_ONLY"))
    };
    if let Some(place) = details.filter(believes) {
        let sentence = "X-Forwarded-Client-Cert of a client's own making is believed by every filter before certbound, \
                        and by the upstream wherever certbound does not run; use SANITIZE or SANITIZE_SET";
        found.push(Finding::warning(place, Warning::ForwardedCertificateBelieved, sentence));
    }
    found.extend(of_chain(manager, policies));
    found.extend(of_alternative(manager, managers, policies));
    let waits = policies.key_sources().chain(policies.client_key_sources()).next().is_some();
    match manager.at(&["stream_idle_timeout"]) {
        None if waits => found.push(Finding::warning(
            manager,
            Warning::StreamIdleTimeoutMissing,
            "a request that waits for keys when the filter crashes waits for Envoy's five minutes; set \
             stream_idle_timeout to a minute or less",
        )),
        Some(place) if place.text().is_some_and(|text| text.trim_end_matches(['0', '.', 's']).is_empty()) => {
            found.push(Finding::warning(
                place,
                Warning::StreamIdleTimeoutMissing,
                "stream_idle_timeout is off, so a request that waits when the filter crashes waits for ever",
            ));
        }
        _ => {}
    }
    if policies.count() > 1 {
        let path = manager.at(&["path_with_escaped_slashes_action"]);
        let path = path.and_then(|place| value_of(place, ESCAPED_SLASHES));
        let normal = manager.is_true_at(&["normalize_path"]) && manager.is_true_at(&["merge_slashes"]);
        let slashes = matches!(path, Some("REJECT_REQUEST" | "UNESCAPE_AND_REDIRECT" | "UNESCAPE_AND_FORWARD"));
        if !normal || !slashes {
            found.push(Finding::warning(
                manager,
                Warning::PathNotNormalized,
                "with /one/../other a client takes the policy of one route to the resources of another; set \
                 normalize_path, merge_slashes and path_with_escaped_slashes_action: REJECT_REQUEST",
            ));
        }
    }
    found.extend(of_redirects(manager, policies));
    for matched in manager.everything().into_iter().flat_map(|place| place.list(&["match", "headers"])) {
        if matched.text_at(&["name"]).is_some_and(|name| policies.is_forwarding_header(name)) {
            found.push(Finding::warning(
                matched,
                Warning::RouteMatchesCertificateHeader,
                "Envoy chooses the route before certbound removes this header, so a client chooses its policy",
            ));
        }
    }
    found
}

fn of_order(HttpFilter { manager, index }: HttpFilter<'_>) -> Vec<Finding> {
    let own = manager.filters().nth(index);
    let later = manager.filters().skip(index.saturating_add(1)).filter(|filter| {
        let kind = filter.text_at(&["typed_config", "@type"]).and_then(|url| url.rsplit(['.', '/']).next());
        let discovered = filter.at(&["config_discovery"]).is_some();
        let ours = is_certbound_filter(*filter);
        !ours && (discovered || kind.is_some_and(|kind| CHANGING.contains(&kind)))
    });
    let mut found: Vec<_> = later
        .map(|filter| {
            let name = filter.text_at(&["name"]).unwrap_or("without a name");
            let sentence = format!(
                "the filter {name} comes after certbound and may change the route, the token or a \
                                    certificate header after the decision; put it before certbound if it does"
            );
            Finding::warning(filter, Warning::ChangedAfterDecision, sentence)
        })
        .collect();
    let router = manager.filters().position(|filter| message(filter, "Router").is_some());
    if let (Some(own), true) = (own, router.is_some_and(|router| router < index)) {
        found.push(Finding::error_at(own, "this filter stands behind the router, so it is never run".to_owned()));
    }
    found
}

/// Routes on which neither this filter nor another one of ours runs.
fn of_disabled(HttpFilter { manager, index }: HttpFilter<'_>) -> Vec<Finding> {
    let Some(own) = manager.filters().nth(index) else { return Vec::new() };
    let runs = |filter: &Place<'_>| is_certbound_filter(*filter) && !filter.is_true_at(&["disabled"]);
    let what = "forged certificate headers reach the server, and nothing is judged";
    if own.is_true_at(&["disabled"]) {
        let sentence = format!(
            "on routes that do not enable this filter {what}; put a filter with clean_only before it, \
                                which is always enabled"
        );
        let alone = !manager.filters().any(|filter| runs(&filter));
        return alone.then(|| Finding::warning(own, Warning::FilterDisabled, sentence)).into_iter().collect();
    }
    let name = own.text_at(&["name"]).unwrap_or_default();
    let others = manager.filters().filter(runs).any(|filter| !filter.is(own));
    let routes =
        manager.manager.everything().into_iter().filter_map(|place| place.at(&["typed_per_filter_config"])?.get(name));
    let disabled = routes.filter(|config| !others && config.is_true_at(&["disabled"]));
    let sentence = format!("on this route {what}; name a policy with clean_only in its metadata in place of this");
    disabled.map(|config| Finding::warning(config, Warning::FilterDisabled, sentence.clone())).collect()
}

fn of_jwt_authn(filter: HttpFilter<'_>, policy: &Policy) -> Vec<Finding> {
    let Policy::ResourceServer(server) = policy else { return Vec::new() };
    server.verified_before().flat_map(|(issuer, payload)| of_verifier(filter, issuer, payload)).collect()
}

/// The settings of Envoy's jwt_authn on which `verified_by` depends.
fn of_verifier(
    HttpFilter { manager, index }: HttpFilter<'_>,
    identifier: &IssuerIdentifier,
    payload: &str,
) -> Vec<Finding> {
    let issuer = identifier.as_str();
    let before = manager.filters().take(index).find_map(|filter| message(filter, "JwtAuthentication"));
    let Some(own) = manager.filters().nth(index) else { return Vec::new() };
    let Some(jwt_authn) = before else {
        let sentence = format!(
            "tokens of {issuer} are verified by jwt_authn, and no such filter comes before certbound: \
                                every one of them would be refused"
        );
        return vec![Finding::warning(own, Warning::JwtAuthnMissing, sentence)];
    };
    let providers = jwt_authn.at(&["providers"]).into_iter().flat_map(Place::entries);
    let mut leaving = providers.filter(|(_, provider)| provider.text_at(&["payload_in_metadata"]) == Some(payload));
    let Some((name, provider)) = leaving.next() else {
        let sentence = format!(
            "no provider of jwt_authn has payload_in_metadata: {payload}, so every token of {issuer} \
                                would be refused"
        );
        return vec![Finding::warning(jwt_authn, Warning::JwtAuthnPayloadMissing, sentence)];
    };
    let mut found = Vec::new();
    let mut warn = |place: Place<'_>, name, sentence: String| found.push(Finding::warning(place, name, sentence));
    if let Some((other, second)) = leaving.next() {
        let sentence = format!("the providers {name} and {other} leave their payloads under one name, {payload}");
        warn(second, Warning::JwtAuthnPayloadAmbiguous, sentence);
    }
    if provider.text_at(&["issuer"]).is_some_and(|own| !identifier.may_be(own)) {
        let sentence = format!("the provider {name} is for another issuer than {issuer}");
        warn(provider, Warning::JwtAuthnIssuerDiffers, sentence);
    }
    let headers: Vec<_> = provider.list(&["from_headers"]).filter_map(|header| header.text_at(&["name"])).collect();
    let authorization = headers.iter().all(|header| header.eq_ignore_ascii_case("authorization"));
    let elsewhere = ["from_params", "from_cookies"].iter().find_map(|from| provider.at(&[from]));
    if headers.is_empty() || !authorization || elsewhere.is_some() {
        let sentence = format!(
            "the provider {name} takes tokens from elsewhere than Authorization, as it does unless \
                                told: set from_headers: [ {{ name: Authorization, value_prefix: \"Bearer \" }} ] and \
                                nothing else"
        );
        warn(elsewhere.unwrap_or(provider), Warning::JwtAuthnTakesOtherTokens, sentence);
    }
    let unverified = jwt_authn.everything().into_iter();
    if let Some(place) = unverified.filter_map(|place| place.at(&["extract_only_without_validation"])).next() {
        let sentence = "extract_only_without_validation leaves payloads that nobody verified".to_owned();
        warn(place, Warning::JwtAuthnDoesNotVerify, sentence);
    }
    found
}

/// The clusters through which keys are fetched and tokens introspected. Many clients may have one cluster.
pub(super) fn clusters(policies: &Policies) -> BTreeSet<&str> {
    let sources = policies.key_sources().chain(policies.client_key_sources());
    let of_keys = sources.flat_map(|source| source.clusters().into_iter());
    of_keys.chain(policies.introspections().map(Introspection::cluster)).collect()
}

/// Those of these clusters that are not there, where the file has all clusters.
fn of_key_clusters(HttpFilter { manager, index }: HttpFilter<'_>, policies: &Policies) -> Vec<Finding> {
    let root = manager.manager.root();
    if root.at(&["dynamic_resources", "cds_config"]).is_some() || root.at(&["static_resources"]).is_none() {
        return Vec::new();
    }
    let known: Vec<_> =
        root.list(&["static_resources", "clusters"]).filter_map(|cluster| cluster.text_at(&["name"])).collect();
    let missing = clusters(policies).into_iter().filter(|cluster| !known.contains(cluster));
    let own = manager.filters().nth(index).unwrap_or(root);
    missing.map(|cluster| Finding::error_at(own, crate::config::unknown("cluster", cluster, &known))).collect()
}
