// SPDX-License-Identifier: Apache-2.0

//! What `certbound check` says: of every example that is shipped, of every mistake, and of what around the filter works
//! against it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]

use std::fs;
use std::path::{Path, PathBuf};

use certbound::desk::check::{CAPABILITIES, Report, Warning, check};
use certbound::desk::schema::{file_schema, schema};

/// RFC 7517 appendix A.1.
pub(crate) const KEY: &str = r#"{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}"#;

const SECRET_OF_A_TERMINATOR: &str = "secret_header: X-Edge-Secret, secret: { environment: EDGE_SECRET }";
const CERTIFICATE_OF_A_TERMINATOR: &str = "terminator_certificates: [A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0]";

fn one(name: &str, text: &str) -> Report {
    check(&[(name.to_owned(), text.to_owned())])
}

/// The files of a folder that end so, with their names from the root of the repository.
fn files(folder: &str, end: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.to_str().unwrap().ends_with(end));
    files.sort();
    assert!(!files.is_empty(), "{folder}");
    files
}

/// The example of an API, with a key in place of the empty set.
fn resource_server() -> String {
    let shipped = fs::read_to_string("envoy/resource-server.yaml").unwrap();
    shipped.replace("jwks: { keys: [] }", &format!("jwks: {{ keys: [{KEY}] }}"))
}

fn authorization_server() -> String {
    fs::read_to_string("envoy/authorization-server.yaml").unwrap()
}

/// The file with one role in place of its policies.
fn one_role(text: &str) -> String {
    let (before, policies) = text.split_once("                  value:\n").unwrap();
    let (_, after) = policies.split_once("          - name: envoy.filters.http.router").unwrap();
    format!(
        "{before}                  value: {{ clean_only: {{}} }}\n          - name: envoy.filters.http.router{after}"
    )
}

/// Compares with a file, or writes it where that is asked for.
fn golden(path: &Path, found: &str) {
    if std::env::var_os("WRITE_GOLDEN").is_some() {
        fs::write(path, found).unwrap();
    }
    let expected = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(found, expected, "{}", path.display());
}

#[test]
fn a_key_of_a_clients_jwks_without_a_certificate_is_named_with_its_line() {
    let certificate = fs::read_to_string("tests/desk/configurations/valid/client-authentication.yaml").unwrap();
    let certificate = certificate.split("x5c: [ ").nth(1).unwrap().split(' ').next().unwrap();
    let server = format!(
        "authorization_server:\n  forward_certificate: [ {{ dialect: rfc9440 }} ]\n  client_authentication:\n    \
         unlisted_clients: refuse\n    request_body: headers_wait\n    clients:\n    - client_id: s6BhdRkqt3\n      token_endpoint_auth_method: \
         self_signed_tls_client_auth\n      jwks:\n        keys:\n        - {{ kid: a, x5c: [ {certificate} ] }}\n        - \
         {{ kid: b, kty: EC }}\n"
    );
    let indented = server.replace('\n', "\n    ");
    for (text, policy) in
        [(server.clone(), "authorization_server"), (format!("policies:\n  tokens:\n    {indented}\n"), "tokens")]
    {
        let report = one("envoy.yaml", &text);
        let line = 1 + text.lines().position(|line| line.contains("kid: b")).unwrap();
        let [finding] = report.findings() else { panic!("{report}") };
        let shown = finding.to_string();
        assert_eq!(finding.warning.map(Warning::name), Some("client_key_left_out"));
        assert!(shown.starts_with(&format!("envoy.yaml:{line}:")), "{shown}");
        let told = format!(
            ": warning: under the policy {policy}, the client \"s6BhdRkqt3\" has a key in its jwks that is left out: keys[1], kid \
             \"b\": it has no x5c, and so no certificate; give it x5c, or leave it out (client_key_left_out)"
        );
        assert!(shown.ends_with(&told), "{shown}");
    }
}

pub(crate) fn replaced(text: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(text.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "{old}");
        text.replace(old, new)
    })
}

/// The name of each finding, and the text of the line at which it is.
fn findings(text: &str) -> Vec<(String, String)> {
    let report = one("envoy.yaml", text);
    let found = report.findings().iter().map(|finding| {
        let shown = finding.to_string();
        let line: usize = shown.strip_prefix("envoy.yaml:").unwrap().split(':').next().unwrap().parse().unwrap();
        let line = text.lines().take(line).last().unwrap().trim().trim_start_matches("- ").to_owned();
        (finding.warning.map_or("error", Warning::name).to_owned(), line)
    });
    found.collect()
}

#[test]
fn every_invalid_configuration_is_refused_with_the_sentence_beside_it() {
    let mut seen = 0;
    for folder in ["tests/desk/configurations/invalid", "tests/desk/configurations/invalid/beyond-the-schema"] {
        for path in files(folder, ".yaml") {
            let name = path.file_name().unwrap().to_str().unwrap();
            let report = one(name, &fs::read_to_string(&path).unwrap());
            golden(&path.with_extension("txt"), &report.to_string());
            assert_eq!(report.exit_code(false), 2, "{name}");
            seen += 1;
        }
    }
    assert!(seen >= 90, "{seen}");
}

#[test]
fn every_valid_configuration_is_described_with_the_sentences_beside_it() {
    for path in files("tests/desk/configurations/valid", ".yaml") {
        let name = path.file_name().unwrap().to_str().unwrap();
        let report = one(name, &fs::read_to_string(&path).unwrap());
        golden(&path.with_extension("txt"), &report.to_string());
        assert_eq!(report.exit_code(true), 0, "{name}");
    }
}

/// A file that is shipped with an empty key set says that it must be changed; with keys it is flawless. What ECDS brings
/// belongs to the file that watches it.
#[test]
fn every_example_has_its_sentences_and_no_warning() {
    let with_keys = |text: &str| text.replace("{ keys: [] }", &format!("{{ keys: [{KEY}] }}"));
    for path in files("envoy", ".yaml") {
        let name = path.to_str().unwrap();
        let sentences =
            Path::new("tests/desk/configurations/examples").join(path.with_extension("txt").file_name().unwrap());
        let with = match name {
            "envoy/policies-by-ecds.yaml" => vec![name, "envoy/certbound.ecds.yaml"],
            _ => vec![name],
        };
        let read = |name: &&str| ((*name).to_owned(), fs::read_to_string(name).unwrap());
        let shipped: Vec<_> = with.iter().map(read).collect();
        let changed: Vec<_> = shipped.iter().map(|(name, text)| (name.clone(), with_keys(text))).collect();
        let report = check(&changed);
        golden(&sentences, &report.to_string());
        assert_eq!(report.exit_code(true), 0, "{name}");
        if shipped != changed {
            let report = check(&shipped);
            assert_eq!(report.exit_code(false), 2, "{name}");
            assert!(
                report.findings().iter().all(|finding| finding.to_string().contains("the key set is empty")),
                "{report}"
            );
        }
    }
}

#[test]
fn what_works_against_the_filter_is_named_at_its_place() {
    let (api, clients) = (resource_server(), authorization_server());
    let no_context = |text: &str| {
        let (before, rest) = text.split_once("            validation_context:").unwrap();
        let (_, after) = rest.split_once("      filters:").unwrap();
        format!("{before}            validation_context: {{}}\n      filters:{after}")
    };
    let subject = "tls_client_auth_subject_dn: CN=client-1, O=Example Bank, C=NL";
    let fetched = replaced(&api, &[(&format!("jwks: {{ keys: [{KEY}] }}"), "jwks_uri: https://as.example.com/jwks, cluster: api")])
        .replace("                              jwks_uri: https://as.example.com/jwks, cluster: api", "                              jwks_uri: https://as.example.com/jwks\n                              cluster: api");
    let router = "          - name: envoy.filters.http.router";
    let later = |kind: &str| {
        let filter = format!(
            "          - name: later\n            typed_config: {{ \"@type\": type.googleapis.com/{kind} }}\n{router}"
        );
        replaced(&api, &[(router, &filter)])
    };
    let no_requests = "          normalize_path: true\n";
    let audiences = "audiences: [https://api.example.com]";
    let without_tls = |text: &str| {
        replaced(
            text,
            &[
                ("name: envoy.transport_sockets.tls", "name: raw"),
                ("tls.v3.DownstreamTlsContext", "raw_buffer.v3.RawBuffer"),
            ],
        )
    };
    let by_terminator = |proof: &str| {
        let source =
            format!("client_certificate_source: {{ header: X-Edge-Cert, encoding: pem_url, proof: {{ {proof} }} }}");
        let stated = "client_certificate: validated_by_listener";
        replaced(
            &clients,
            &[("client_certificate: validated\n", &format!("{stated}\n                          {source}\n"))],
        )
    };
    let of_api = |text: &str, key: &str| {
        let binding = "                          certificate_binding: required\n";
        replaced(text, &[(binding, &format!("{binding}                          {key}\n"))])
    };
    let trusted = "trusted_ca: { filename: /etc/certbound/client-ca.pem }";
    let untrusting = replaced(
        &api,
        &[(
            trusted,
            &format!(
                "trust_chain_verification: ACCEPT_UNTRUSTED\n              suppress_client_ca_list: true\n              {trusted}"
            ),
        )],
    );
    let untouched_by_name = replaced(
        &clients,
        &[
            ("client_certificate: validated\n", "client_certificate: validated_by_listener\n"),
            ("              trust_chain_verification: ACCEPT_UNTRUSTED\n", ""),
        ],
    );
    let self_signed = fs::read_to_string("envoy/client-authentication.yaml").unwrap();
    let http3 = fs::read_to_string("envoy/resource-server-http3.yaml").unwrap();
    let http3 = http3.replace("jwks: { keys: [] }", &format!("jwks: {{ keys: [{KEY}] }}"));
    let names_no_policy = |line: &&str| !line.contains("filter_metadata: { certbound:");
    let redirecting = |text: &str| {
        let timeout = "          stream_idle_timeout: 60s\n";
        replaced(text, &[(timeout, &format!("{timeout}          internal_redirect_policy: {{}}\n"))])
    };
    let one_api = |token: &str| {
        let issuer = format!(
            "{{ issuer: https://as.example.com, audiences: [https://api.example.com], keys: {{ jwks: {{ keys: [{KEY}] }} }} }}"
        );
        let server = format!("{{ issuers: [{issuer}], certificate_binding: required, forward_token: {token} }}");
        let one = one_role(&api).lines().filter(names_no_policy).collect::<Vec<_>>().join("\n");
        replaced(&one, &[("clean_only: {}", &format!("resource_server: {server}"))])
    };
    let allowing = |before: &str, capabilities: &[&str]| {
        let indent = " ".repeat(before.len() - before.trim_start().len());
        let allowed: String = capabilities.iter().map(|name| format!("{indent}    {name}: {{}}\n")).collect();
        let list = format!("{indent}capability_restriction_config:\n{indent}  allowed_capabilities:\n{allowed}");
        replaced(&api, &[(before, &format!("{before}{list}"))])
    };
    let (of_vm, of_plugin) = ("                  vm_id: certbound\n", "                root_id: certbound\n");
    let open = no_context(&one_role(&api)).lines().filter(names_no_policy).collect::<Vec<_>>().join("\n");
    for (what, text, expected) in [
        ("nothing", api.clone(), vec![]),
        ("an open route without a certificate", open.clone(), vec![]),
        ("fetched keys", fetched.clone(), vec![]),
        ("no certificate", no_context(&api), vec![("certificate_not_requested", "common_tls_context:")]),
        (
            "no certificate for the server",
            no_context(&clients),
            vec![("certificate_not_requested", "common_tls_context:")],
        ),
        (
            "no TLS",
            replaced(
                &api,
                &[
                    ("name: envoy.transport_sockets.tls", "name: raw"),
                    ("tls.v3.DownstreamTlsContext", "raw_buffer.v3.RawBuffer"),
                ],
            ),
            vec![("certificate_not_requested", "transport_socket:")],
        ),
        (
            "a list without Ed25519",
            replaced(&api, &[("              - ed25519\n", "")]),
            vec![("signature_algorithm_not_offered", "signature_algorithms:")],
        ),
        (
            "FAIL_OPEN",
            replaced(&api, &[("FAIL_RELOAD", "FAIL_OPEN")]),
            vec![("fail_open", "failure_policy: FAIL_OPEN")],
        ),
        (
            "fail_open",
            replaced(&api, &[("failure_policy: FAIL_RELOAD", "fail_open: true")]),
            vec![("fail_open", "fail_open: true")],
        ),
        (
            "FAIL_CLOSED",
            replaced(&api, &[("FAIL_RELOAD", "FAIL_CLOSED")]),
            vec![("fail_closed_for_ever", "failure_policy: FAIL_CLOSED")],
        ),
        ("FAIL_RELOAD by number", replaced(&api, &[("FAIL_RELOAD", "1")]), vec![]),
        ("FAIL_OPEN by number", replaced(&api, &[("FAIL_RELOAD", "3")]), vec![("fail_open", "failure_policy: 3")]),
        (
            "escaped slashes that are rejected by number",
            replaced(&api, &[("escaped_slashes_action: REJECT_REQUEST", "escaped_slashes_action: 2")]),
            vec![],
        ),
        (
            "a client's own X-Forwarded-Client-Cert, by number",
            replaced(&api, &[(no_requests, &format!("{no_requests}          forward_client_cert_details: 4\n"))]),
            vec![("forwarded_certificate_believed", "forward_client_cert_details: 4")],
        ),
        (
            "X-Forwarded-Client-Cert that is set, by number",
            replaced(&api, &[(no_requests, &format!("{no_requests}          forward_client_cert_details: 3\n"))]),
            vec![],
        ),
        (
            "validated by a listener that does not",
            replaced(&clients, &[("client_certificate: validated\n", "client_certificate: validated_by_listener\n")]),
            vec![("untrusted_certificate_handed_over", "trust_chain_verification: ACCEPT_UNTRUSTED")],
        ),
        (
            "presented",
            replaced(&clients, &[("client_certificate: validated\n", "client_certificate: presented\n")]),
            vec![
                ("untrusted_certificate_handed_over", "trust_chain_verification: ACCEPT_UNTRUSTED"),
                ("client_ca_list_sent", "trust_chain_verification: ACCEPT_UNTRUSTED"),
            ],
        ),
        (
            "a certificate for an API that the listener does not validate",
            of_api(&untrusting, "forward_certificate: [ { dialect: tomcat } ]"),
            vec![("untrusted_certificate_handed_over", "trust_chain_verification: ACCEPT_UNTRUSTED")],
        ),
        (
            "X-Forwarded-Client-Cert for an API that the listener does not validate",
            of_api(&untrusting, "x_forwarded_client_cert: rebuild"),
            vec![("untrusted_certificate_handed_over", "trust_chain_verification: ACCEPT_UNTRUSTED")],
        ),
        (
            "a name for an API that the listener does not validate",
            of_api(&untrusting, "facts: { san_dns: X-Dns }"),
            vec![("untrusted_certificate_handed_over", "trust_chain_verification: ACCEPT_UNTRUSTED")],
        ),
        (
            "a certificate for any server that the listener does not validate",
            replaced(
                &untrusting,
                &[("clean_only: {}", "clean_only: { forward_certificate: [ { dialect: tomcat } ] }")],
            ),
            vec![("untrusted_certificate_handed_over", "trust_chain_verification: ACCEPT_UNTRUSTED")],
        ),
        (
            "the thumbprint for any server",
            replaced(&untrusting, &[("clean_only: {}", "clean_only: { facts: { x5t_s256: X-Thumbprint } }")]),
            vec![],
        ),
        (
            "a certificate for an API that is told whether it is validated",
            of_api(&untrusting, "forward_certificate: [ { dialect: keycloak_nginx } ]"),
            vec![],
        ),
        (
            "a thumbprint for an API that the listener does not validate",
            of_api(&untrusting, "facts: { x5t_s256: X-X5t, sha256: X-Sha256 }"),
            vec![],
        ),
        (
            "a chain for an API that is not set",
            of_api(&api, "forward_certificate: [ { dialect: rfc9440 } ]"),
            vec![("chain_not_handed_over", "typed_config:")],
        ),
        (
            "an open route that rebuilds X-Forwarded-Client-Cert without a certificate",
            replaced(&open, &[("clean_only: {}", "clean_only: { x_forwarded_client_cert: rebuild }")]),
            vec![("certificate_not_requested", "common_tls_context:")],
        ),
        (
            "resumption",
            replaced(
                &clients,
                &[("disable_stateful_session_resumption: true", "disable_stateful_session_resumption: false")],
            ),
            vec![("validated_certificate_lost_on_resumption", "typed_config:")],
        ),
        (
            "the names of CAs to clients with self-signed certificates",
            replaced(&self_signed, &[("              suppress_client_ca_list: true\n", "")]),
            vec![("client_ca_list_sent", "trust_chain_verification: ACCEPT_UNTRUSTED")],
        ),
        (
            "the names of CAs before an API that accepts any certificate",
            replaced(&untrusting, &[("              suppress_client_ca_list: true\n", "")]),
            vec![("client_ca_list_sent", "trust_chain_verification: ACCEPT_UNTRUSTED")],
        ),
        ("HTTP/3", http3.clone(), vec![]),
        (
            "HTTP/3 without certificates",
            replaced(&http3, &[("              validation_context: *client_certificates\n", "")]),
            vec![
                ("alt_svc_without_certificate", "header: { key: alt-svc, value: 'h3=\":8454\"; ma=86400' }"),
                ("certificate_not_requested", "common_tls_context:"),
            ],
        ),
        (
            "HTTP/3 at another port",
            replaced(&http3, &[("h3=\":8454\"", "h3=\":443\"")]),
            vec![("alt_svc_without_certificate", "header: { key: alt-svc, value: 'h3=\":443\"; ma=86400' }")],
        ),
        ("an alternative of HTTP/2", replaced(&http3, &[("h3=\":8454\"", "h2=\":443\"")]), vec![]),
        (
            "early data, with a validation context that is there from the start",
            replaced(
                &http3,
                &[
                    ("enable_early_data: false", "enable_early_data: true"),
                    ("enable_resumption: false", "enable_resumption: true"),
                ],
            ),
            vec![("early_data_accepted", "typed_config:"), ("session_resumption", "typed_config:")],
        ),
        (
            "resumption over HTTP/3 without early data",
            replaced(&http3, &[("enable_resumption: false", "enable_resumption: true")]),
            vec![("session_resumption", "typed_config:")],
        ),
        (
            "what Envoy does over HTTP/3 by default, with a validation context that is there from the start",
            replaced(
                &http3,
                &[("          enable_early_data: false\n", ""), ("          enable_resumption: false\n", "")],
            ),
            vec![],
        ),
        (
            "what Envoy does over HTTP/3 by default, with a validation context by SDS",
            replaced(
                &http3,
                &[
                    ("          enable_early_data: false\n", ""),
                    ("          enable_resumption: false\n", ""),
                    (
                        "              validation_context: *client_certificates\n",
                        "              validation_context_sds_secret_config: { name: ca, sds_config: { ads: {} } }\n",
                    ),
                ],
            ),
            vec![("early_data_accepted", "typed_config:"), ("session_resumption", "typed_config:")],
        ),
        (
            "resumption before an API",
            replaced(
                &api,
                &[("disable_stateless_session_resumption: true", "disable_stateless_session_resumption: false")],
            ),
            vec![("session_resumption", "typed_config:")],
        ),
        (
            "resumption under a policy for which the listener validates",
            replaced(&untouched_by_name, &[("          disable_stateful_session_resumption: true\n", "")]),
            vec![("session_resumption", "typed_config:")],
        ),
        (
            "no chain",
            replaced(&clients, &[("set_current_client_cert_details: { chain: true }", "server_name: clients")]),
            vec![("chain_not_handed_over", "typed_config:")],
        ),
        (
            "no chain for the key of an issuer",
            replaced(
                &self_signed,
                &[
                    ("                          - dialect: rfc9440    # Client-Cert\n", ""),
                    ("set_current_client_cert_details: { chain: true }", "server_name: clients"),
                    (
                        "tls_client_auth_subject_dn: CN=client-1, O=Example Bank, C=NL\n",
                        "tls_client_auth_san_dns: a.example.com\n                              issuer_key_sha256: \
                         [FaNzKiiHB9RFbgnyCTLoOQ70fpL5nd3i9XLjYp8FFbY]\n",
                    ),
                ],
            ),
            vec![("chain_not_handed_over", "typed_config:")],
        ),
        (
            "a chain that is not set",
            replaced(&clients, &[("SANITIZE_SET", "SANITIZE")]),
            vec![("chain_not_handed_over", "set_current_client_cert_details: { chain: true }")],
        ),
        (
            "a terminator that anybody can be",
            by_terminator("terminator_san: { dns: edge.example.com, chain: validated_by_listener }"),
            vec![("terminator_not_proved", "trust_chain_verification: ACCEPT_UNTRUSTED")],
        ),
        ("a terminator with a secret and no TLS", without_tls(&by_terminator(SECRET_OF_A_TERMINATOR)), vec![]),
        (
            "a terminator with a certificate and no TLS",
            without_tls(&by_terminator(CERTIFICATE_OF_A_TERMINATOR)),
            vec![("certificate_not_requested", "transport_socket:")],
        ),
        ("a terminator with a certificate", by_terminator(CERTIFICATE_OF_A_TERMINATOR), vec![]),
        (
            "a terminator whose session is resumed",
            replaced(
                &by_terminator("terminator_san: { dns: edge.example.com }"),
                &[("disable_stateful_session_resumption: true", "disable_stateful_session_resumption: false")],
            ),
            vec![("validated_certificate_lost_on_resumption", "typed_config:")],
        ),
        (
            "no tls_inspector",
            replaced(&api, &[("certificate_binding: required", "server_name: must_match")]),
            vec![("server_name_unknown", "name: api")],
        ),
        (
            "X-Forwarded-Client-Cert believed",
            replaced(&api, &[("codec_type: AUTO", "forward_client_cert_details: APPEND_FORWARD")]),
            vec![("forwarded_certificate_believed", "forward_client_cert_details: APPEND_FORWARD")],
        ),
        (
            "no timeout",
            replaced(&fetched, &[("          stream_idle_timeout: 60s\n", "")]),
            vec![("stream_idle_timeout_missing", "typed_config:")],
        ),
        (
            "a timeout that is off",
            replaced(&api, &[("stream_idle_timeout: 60s", "stream_idle_timeout: 0s")]),
            vec![("stream_idle_timeout_missing", "stream_idle_timeout: 0s")],
        ),
        ("an internal redirect", redirecting(&api), vec![("internal_redirect", "internal_redirect_policy: {}")]),
        ("an internal redirect under one policy that keeps the token", redirecting(&one_api("keep")), vec![]),
        ("an internal redirect under one policy that removes the token", redirecting(&one_api("remove")), vec![]),
        ("a list of capabilities with nothing in it, which allows all", allowing(of_vm, &[]), vec![]),
        ("every capability", allowing(of_vm, CAPABILITIES), vec![]),
        (
            "a capability too few for the VM",
            allowing(of_vm, CAPABILITIES.split_last().unwrap().1),
            vec![("capability_missing", "allowed_capabilities:")],
        ),
        (
            "a capability too few for the plugin",
            allowing(of_plugin, CAPABILITIES.split_first().unwrap().1),
            vec![("capability_missing", "allowed_capabilities:")],
        ),
        ("a path as it came", replaced(&api, &[(no_requests, "")]), vec![("path_not_normalized", "typed_config:")]),
        (
            "a route by a certificate header",
            replaced(
                &api,
                &[(
                    "match: { path: /health }",
                    "match: { path: /health, headers: [ { name: X-SSL-Client-Verify, present_match: true } ] }",
                )],
            ),
            vec![(
                "route_matches_certificate_header",
                "match: { path: /health, headers: [ { name: X-SSL-Client-Verify, present_match: true } ] }",
            )],
        ),
        (
            "a route by a header that the configuration removes",
            replaced(
                &api,
                &[
                    (
                        "match: { path: /health }",
                        "match: { path: /health, headers: [ { name: x_corp_cert, present_match: true } ] }",
                    ),
                    ("default_policy: api", "default_policy: api\n                    additional_headers: [X-Corp-*]"),
                ],
            ),
            vec![(
                "route_matches_certificate_header",
                "match: { path: /health, headers: [ { name: x_corp_cert, present_match: true } ] }",
            )],
        ),
        (
            "Lua after",
            later("envoy.extensions.filters.http.lua.v3.Lua"),
            vec![("changed_after_decision", "name: later")],
        ),
        ("CORS after", later("envoy.extensions.filters.http.cors.v3.Cors"), vec![]),
        (
            "the router before",
            {
                let (before, rest) = api.split_once("          - name: certbound\n").unwrap();
                let (own, after) = rest.split_once(router).unwrap();
                let (typed, after) = after.split_once("          route_config:").unwrap();
                format!("{before}{router}{typed}          - name: certbound\n{own}          route_config:{after}")
            },
            vec![("error", "name: certbound")],
        ),
        (
            "a policy that nothing chooses",
            replaced(&api, &[("metadata: { filter_metadata: { certbound: { policy: gluu } } }", "")]),
            vec![("policy_never_chosen", "value:")],
        ),
        (
            "metadata beside routes",
            replaced(
                &api,
                &[
                    ("default_policy: api", "routes: [ { policy: api, path_prefix: / } ]"),
                    ("                metadata: { filter_metadata: { certbound: { policy: migration } } }\n", ""),
                    ("                metadata: { filter_metadata: { certbound: { policy: gluu } } }\n", ""),
                ],
            ),
            vec![
                ("error", "metadata: { filter_metadata: { certbound: { policy: open } } }"),
                ("policy_never_chosen", "value:"),
                ("policy_never_chosen", "value:"),
                ("policy_never_chosen", "value:"),
            ],
        ),
        (
            "a filter that runs nowhere unless a route enables it",
            replaced(
                &api,
                &[("          - name: certbound\n", "          - name: certbound\n            disabled: true\n")],
            ),
            vec![("filter_disabled", "name: certbound")],
        ),
        (
            "a filter that a route disables",
            replaced(
                &api,
                &[(
                    "match: { path: /health }",
                    "match: { path: /health }\n                typed_per_filter_config: { certbound: { \"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true } }",
                )],
            ),
            vec![(
                "filter_disabled",
                "typed_per_filter_config: { certbound: { \"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, disabled: true } }",
            )],
        ),
        (
            "a policy that is not there",
            replaced(&api, &[("certbound: { policy: open }", "certbound: { policy: opne }")]),
            vec![
                ("error", "metadata: { filter_metadata: { certbound: { policy: opne } } }"),
                ("policy_never_chosen", "value:"),
            ],
        ),
        (
            "metadata beside one role",
            one_role(&api),
            vec![
                ("error", "metadata: { filter_metadata: { certbound: { policy: open } } }"),
                ("error", "metadata: { filter_metadata: { certbound: { policy: migration } } }"),
                ("error", "metadata: { filter_metadata: { certbound: { policy: gluu } } }"),
            ],
        ),
        (
            "another key in the metadata",
            replaced(&api, &[("certbound: { policy: open }", "certbound: { policy: open, mode: x }")]),
            vec![
                ("error", "metadata: { filter_metadata: { certbound: { policy: open, mode: x } } }"),
                ("policy_never_chosen", "value:"),
            ],
        ),
        (
            "a cluster that is not there",
            replaced(
                &fetched,
                &[(
                    "cluster: api\n                            algorithms",
                    "cluster: apo\n                            algorithms",
                )],
            ),
            vec![("error", "name: certbound")],
        ),
        (
            "headers that cannot wait",
            replaced(
                &fs::read_to_string("envoy/client-authentication.yaml").unwrap(),
                &[("                allow_on_headers_stop_iteration: true\n", "")],
            ),
            vec![("headers_cannot_wait", "config:")],
        ),
        (
            "a client's subject that begins with the country",
            replaced(
                &fs::read_to_string("envoy/client-authentication.yaml").unwrap(),
                &[(subject, "tls_client_auth_subject_dn: \"C=JP,O=Client,CN=client.example.org\"")],
            ),
            vec![("distinguished_name_doubtful", "value:")],
        ),
        (
            "a client's subject in the order of Go",
            replaced(
                &fs::read_to_string("envoy/client-authentication.yaml").unwrap(),
                &[(subject, "tls_client_auth_subject_dn: \"CN=a,C=JP,2.5.4.97=#0c0161\"")],
            ),
            vec![("distinguished_name_doubtful", "value:")],
        ),
        (
            "a client's subject with a letter that keytool could not print",
            replaced(
                &fs::read_to_string("envoy/client-authentication.yaml").unwrap(),
                &[(subject, "tls_client_auth_subject_dn: \"CN=a,O=A??o,C=JP\"")],
            ),
            vec![("distinguished_name_doubtful", "value:")],
        ),
        (
            "an audience that may be a client's id",
            replaced(&api, &[(audiences, "audiences: [https://api.example.com, c1]")]),
            vec![("id_token_may_pass", "value:")],
        ),
        (
            "an audience that may be a client's id, of tokens that are only observed",
            replaced(&api, &[(audiences, "audiences: [c1]"), ("if_present", "observe")]),
            vec![("id_token_may_pass", "value:")],
        ),
        (
            "an audience that may be a client's id, of tokens that must be bound",
            replaced(&api, &[(audiences, "audiences: [c1]"), ("if_present", "required")]),
            vec![],
        ),
        (
            "an audience that may be a client's id, of tokens that say that they are access tokens",
            replaced(
                &api,
                &[(
                    &format!(
                        "- issuer: https://as.example.com          # CHANGE\n                            {audiences}"
                    ),
                    "- issuer: https://as.example.com\n                            audiences: [c1]\n                            token_type: at+jwt",
                )],
            ),
            vec![],
        ),
        (
            "an audience that may be a client's id, of tokens that need a scope",
            replaced(
                &api,
                &[
                    (audiences, "audiences: [c1]"),
                    ("if_present", "if_present\n                          required_scopes: [a]"),
                ],
            ),
            vec![],
        ),
        (
            "typed_per_filter_config",
            replaced(
                &api,
                &[(
                    "match: { path: /health }",
                    "match: { path: /health }\n                typed_per_filter_config: { certbound: { \"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm } }",
                )],
            ),
            vec![(
                "error",
                "typed_per_filter_config: { certbound: { \"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm } }",
            )],
        ),
    ] {
        let expected: Vec<_> = expected.into_iter().map(|(name, line)| (name.to_owned(), line.to_owned())).collect();
        assert_eq!(findings(&text), expected, "{what}");
    }
}

/// Wherever it stands what a listener trusts: in its own context, in a secret of the bootstrap, or in a file that SDS watches.
#[test]
fn what_a_listener_trusts_is_found_wherever_it_stands() {
    let stated = ("client_certificate: validated\n", "client_certificate: validated_by_listener\n");
    let shipped = replaced(&authorization_server(), &[stated]);
    let (before, rest) = shipped.split_once("            validation_context:\n").unwrap();
    let (context, after) = rest.split_once("      filters:\n").unwrap();
    let with = |own: &str| format!("{before}{own}      filters:\n{after}");
    let by_sds = "            validation_context_sds_secret_config: { name: clients }\n";
    let combined = "            combined_validation_context:\n              default_validation_context: { max_verify_depth: 3 }\n              validation_context_sds_secret_config: { name: clients }\n";
    let accepts = "trust_chain_verification: ACCEPT_UNTRUSTED";
    let secret = |context: &str| format!("  secrets: [ {{ name: clients, validation_context: {{ {context} }} }} ]\n");
    let static_secret = |own: &str, context: &str| {
        replaced(&with(own), &[("static_resources:\n", &format!("static_resources:\n{}", secret(context)))])
    };
    let ca = "trusted_ca: { filename: ca.pem }";
    let untrusted = Some("untrusted_certificate_handed_over");
    let unasked = Some("certificate_not_requested");
    for (what, text, expected) in [
        ("its own", shipped.clone(), untrusted),
        ("by number", replaced(&shipped, &[(accepts, "trust_chain_verification: 1")]), untrusted),
        (
            "its own, verified",
            with(&format!("            validation_context:\n{}", context.replace(accepts, "max_verify_depth: 3"))),
            None,
        ),
        ("a static secret", static_secret(by_sds, &format!("{ca}, {accepts}")), untrusted),
        ("a static secret, verified", static_secret(by_sds, ca), None),
        ("a static secret, combined", static_secret(combined, &format!("{ca}, {accepts}")), untrusted),
        ("a secret that is not here", with(by_sds), None),
        ("nobody", with("            validation_context: { max_verify_depth: 3 }\n"), unasked),
        ("nobody, in a static secret", static_secret(by_sds, "max_verify_depth: 3"), unasked),
        (
            "nobody, and a certificate is required",
            replaced(&with(""), &[("require_client_certificate: false", "require_client_certificate: true")]),
            unasked,
        ),
    ] {
        let names: Vec<_> = findings(&text).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, expected.into_iter().collect::<Vec<_>>(), "{what}");
    }
    let kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret";
    let watched =
        format!("resources: [ {{ \"@type\": {kind}, name: clients, validation_context: {{ {ca}, {accepts} }} }} ]\n");
    let report = check(&[("envoy.yaml".to_owned(), with(by_sds)), ("secret.yaml".to_owned(), watched)]);
    let [finding] = report.findings() else { panic!("{report}") };
    assert_eq!(finding.warning.map(Warning::name), untrusted);
    assert!(finding.to_string().starts_with("secret.yaml:1:"), "{finding}");
    // A socket around it that records what it has.
    let (socket, rest) = shipped.split_once("    - transport_socket:\n").unwrap();
    let (inner, rest) = rest.split_once("      filters:\n").unwrap();
    let inner: String = inner.lines().map(|line| format!("      {line}\n")).collect();
    let kind = "type.googleapis.com/envoy.extensions.transport_sockets.tap.v3.Tap";
    let tapped = format!(
        "{socket}    - transport_socket:\n        name: tap\n        typed_config:\n          \"@type\": {kind}\n          transport_socket:\n{inner}      filters:\n{rest}"
    );
    let names: Vec<_> = findings(&tapped).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["untrusted_certificate_handed_over"]);
}

#[test]
fn settings_of_jwt_authn_that_break_verified_by_are_named() {
    let keys = format!("jwks: {{ keys: [{KEY}] }}");
    let api = resource_server();
    let (first, rest) = api.split_once(&keys).unwrap();
    let verified = "verified_by: jwt_authn\n                              payload_in_metadata: verified";
    let api = format!("{first}{verified}{rest}");
    let with = |provider: &str, more: &str| {
        let filter = format!(
            "          - name: jwt_authn\n            typed_config:\n              \"@type\": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication\n              providers:\n                as: {provider}\n{more}          - name: certbound\n"
        );
        replaced(&api, &[("          - name: certbound\n", &filter)])
    };
    let from = "from_headers: [ { name: Authorization, value_prefix: \"Bearer \" } ]";
    let right = format!("{{ issuer: https://as.example.com, payload_in_metadata: verified, {from} }}");
    let extra = format!("                other: {right}\n");
    let open = "              rules: [ { requires: { extract_only_without_validation: {} } } ]\n";
    for (what, text, expected) in [
        ("right", with(&right, ""), None),
        ("none", api.clone(), Some("jwt_authn_missing")),
        ("no payload", with(&right.replace("verified", "payload"), ""), Some("jwt_authn_payload_missing")),
        ("two payloads", with(&right, &extra), Some("jwt_authn_payload_ambiguous")),
        ("another issuer", with(&right.replace("https://as", "https://other"), ""), Some("jwt_authn_issuer_differs")),
        ("tokens from anywhere", with(&right.replace(from, "forward: true"), ""), Some("jwt_authn_takes_other_tokens")),
        (
            "tokens from cookies",
            with(&right.replace(from, &format!("{from}, from_cookies: [ t ]")), ""),
            Some("jwt_authn_takes_other_tokens"),
        ),
        (
            "tokens from another header",
            with(&right.replace("name: Authorization", "name: X-Token"), ""),
            Some("jwt_authn_takes_other_tokens"),
        ),
        ("nobody verifies", with(&right, open), Some("jwt_authn_does_not_verify")),
    ] {
        let names: Vec<_> = findings(&text).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, expected.into_iter().collect::<Vec<_>>(), "{what}\n{text}");
    }
    // Whether a client's own header is left in which a claim is believed.
    let claims =
        right.replace("payload_in", "claim_to_headers: [ { header_name: x-sub, claim_name: sub } ], payload_in");
    let everywhere = "              rules: [ { match: { prefix: / }, requires: { provider_name: as } } ]\n";
    let some = everywhere.replace("prefix: /", "prefix: /api");
    let warned = Some("claim_header_not_removed");
    let removing = |text: &str| {
        replaced(
            text,
            &[(
                "          route_config:\n",
                "          route_config:\n            request_headers_to_remove: [X-Sub]\n",
            )],
        )
    };
    for (what, text, expected) in [
        ("no rule", with(&claims, ""), warned),
        ("a rule for some paths", with(&claims, &some), warned),
        ("a rule for every path", with(&claims, everywhere), None),
        (
            "a rule for every path that a route overrides",
            with(&claims, everywhere).replace(
                "          route_config:\n",
                "          route_config:\n            typed_per_filter_config: { jwt_authn: { disabled: true } }\n",
            ),
            warned,
        ),
        ("removed by the routes", removing(&with(&claims, "")), None),
        ("an open route", one_role(&with(&claims, "")), warned),
    ] {
        // Metadata of the routes names policies that an open route does not have.
        let names = findings(&text).into_iter().map(|(name, _)| name).filter(|name| name != "error");
        assert_eq!(names.collect::<Vec<_>>(), expected.into_iter().collect::<Vec<_>>(), "{what}");
    }
    // Of an issuer with a claim in it, a provider may be for each or for one of them.
    let (issuer, template) = ("- issuer: https://as.example.com", "- issuer: \"https://{tid}.example.com\"");
    for (what, own, expected) in [
        ("each", "", None),
        ("one", "issuer: https://as.example.com, ", None),
        ("another", "issuer: https://as.example.org, ", Some("jwt_authn_issuer_differs")),
        ("the template", "issuer: \"https://{tid}.example.com\", ", Some("jwt_authn_issuer_differs")),
    ] {
        let text = with(&right.replace("issuer: https://as.example.com, ", own), "");
        let (before, after) = text.split_once(issuer).unwrap();
        let names: Vec<_> = findings(&format!("{before}{template}{after}")).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, expected.into_iter().collect::<Vec<_>>(), "{what}");
    }
}

#[test]
fn what_works_against_the_filter_in_a_cluster_is_named() {
    let key = format!("{{ keys: [{KEY}] }}");
    let istio = replaced(&fs::read_to_string("envoy/istio.yaml").unwrap(), &[("{ keys: [] }", &key)]);
    let gateway = replaced(&fs::read_to_string("envoy/envoy-gateway.yaml").unwrap(), &[("{ keys: [] }", &key)]);
    let verified = "{ verified_by: jwt_authn, payload_in_metadata: verified }";
    let inline = format!("jwks: {key}");
    for (what, text, expected) in [
        ("Istio", istio.clone(), ""),
        ("FAIL_OPEN", istio.replace("FAIL_RELOAD", "FAIL_OPEN"), "fail_open"),
        ("FAIL_CLOSE", istio.replace("FAIL_RELOAD", "FAIL_CLOSE"), "fail_closed_for_ever"),
        (
            "Istio's jwt_authn",
            istio.replace(&inline, "JWKS").replace("{ JWKS }", verified).replace("AUTHZ", "AUTHN"),
            "jwt_authn_missing",
        ),
        ("Istio's Gateway", istio.replace("OPTIONAL_MUTUAL", "SIMPLE"), "certificate_not_requested"),
        ("Envoy Gateway", gateway.clone(), ""),
        ("failOpen", gateway.replace("failOpen: false", "failOpen: true"), "fail_open"),
        (
            "Envoy Gateway's jwt_authn",
            gateway.replace(&inline, "JWKS").replace("{ JWKS }", verified),
            "jwt_authn_missing",
        ),
        ("no clientValidation", gateway.replace("clientValidation:", "cipherSuites:"), "certificate_not_requested"),
    ] {
        let names: std::collections::BTreeSet<_> = findings(&text).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names.into_iter().collect::<Vec<_>>().join(" "), expected, "{what}");
    }
}

/// The file for a sidecar, with a key in place of the empty set.
fn sidecar() -> String {
    let key = format!("{{ keys: [{KEY}] }}");
    replaced(&fs::read_to_string("envoy/istio-sidecar.yaml").unwrap(), &[("{ keys: [] }", &key)])
}

/// The same without `client_certificate_source`, and with this in its place.
fn sidecar_without_source(instead: &str) -> String {
    let shipped = sidecar();
    let (before, rest) = shipped.split_once("            client_certificate_source:\n").unwrap();
    let (_, after) = rest.split_once("              # from_others: connection\n").unwrap();
    format!("{before}{instead}{after}")
}

#[test]
fn a_sidecar_that_takes_a_gateway_for_its_clients_is_named() {
    let (shipped, bare) = (sidecar(), sidecar_without_source(""));
    let not_a_client = "            not_a_client: [ { uri: spiffe://cluster.local/ns/istio-ingress/sa/gateway } ]\n";
    let server = "authorization_server: { forward_certificate: [ { dialect: gluu } ], client_certificate: presented }";
    let role = |text: &str, role: &str| {
        let (before, rest) = text.split_once("        api:\n").unwrap();
        let (_, after) = rest.split_once("        # An authorization server").unwrap();
        format!("{before}        api: {{ {role} }}\n        # {after}")
    };
    let resource = |text: &str| {
        let text = replaced(text, &[("kind: TrafficExtension", "kind: WasmPlugin"), ("  wasm:\n", "")]);
        let (before, after) = text.split_once("    url: oci").unwrap();
        let after: String =
            after.lines().map(|line| format!("{}\n", line.strip_prefix("  ").unwrap_or(line))).collect();
        format!("{before}  url: oci{after}")
    };
    let labels = |text: &str, labels: &str| {
        let (before, after) = text.split_once("kind: TrafficExtension").unwrap();
        format!("{before}kind: TrafficExtension{}", after.replacen("app: accounts", labels, 1))
    };
    let here = "selector: { matchLabels: { app: accounts } }           # CHANGE";
    for (what, text, expected) in [
        ("as it is shipped", shipped.clone(), vec![]),
        ("without a source", bare.clone(), vec![("mesh_certificate_judged", here)]),
        ("WasmPlugin", resource(&bare), vec![("mesh_certificate_judged", here)]),
        ("an authorization server", role(&bare, server), vec![("mesh_certificate_judged", here)]),
        ("clean_only", role(&bare, "clean_only: {}"), vec![]),
        ("the gateway is no client", sidecar_without_source(not_a_client), vec![]),
        ("a gateway by its label", labels(&bare, "istio: ingressgateway"), vec![]),
        (
            "a gateway by its Gateway",
            replaced(&labels(&bare, "edge: a, app: b"), &[("{ istio: ingressgateway }", "{ edge: a }")]),
            vec![],
        ),
        (
            "a Gateway for other pods",
            replaced(&bare, &[("{ istio: ingressgateway }", "{ edge: a }")]),
            vec![("mesh_certificate_judged", here)],
        ),
        (
            "a Gateway for all pods",
            replaced(&bare, &[("selector: { istio: ingressgateway }", "selector: {}")]),
            vec![("mesh_certificate_judged", here)],
        ),
        ("no selector", labels(&bare, "").replace("selector: { matchLabels: {  } }", "priority: 1"), vec![]),
        ("a waypoint", bare.replace(here, "targetRefs: []"), vec![]),
    ] {
        let found = findings(&text);
        let found = found.iter().map(|(name, line)| (name.as_str(), line.as_str()));
        // What else is wrong with these is in check_istio.rs.
        let found: Vec<_> = found.filter(|(name, _)| *name == "mesh_certificate_judged").collect();
        assert_eq!(found, expected, "{what}\n{text}");
    }
    let said = |text: &str| one("envoy.yaml", text).to_string();
    assert!(said(&bare).contains("a token that is bound to that one certificate passes for everybody"));
    assert!(said(&role(&bare, server)).contains("binds everybody's tokens to that one certificate"));
}

#[test]
fn what_istio_loses_when_it_resumes_a_session_is_named() {
    let own = |policy: &str| {
        format!(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: TrafficExtension\nspec:\n  selector: {{ matchLabels: {{ istio: \
             gateway }} }}\n  wasm:\n    failStrategy: FAIL_RELOAD\n    url: file:///certbound.wasm\n    pluginConfig:\n      \
             authorization_server: {{ forward_certificate: [ {{ dialect: gluu }} ], {policy} }}\n"
        )
    };
    let behind = |proof: &str| {
        format!(
            "client_certificate: validated_by_listener, client_certificate_source: {{ header: x-client, encoding: xfcc, proof: {{ \
             {proof} }} }}"
        )
    };
    for (what, policy, expected) in [
        (
            "the connection's",
            "client_certificate: validated".to_owned(),
            "client_certificate: validated_by_listener where",
        ),
        ("all", "client_certificate: validated_by_listener".to_owned(), ""),
        ("a name", behind("terminator_san: { dns: a.example }"), "chain: validated_by_listener of terminator_san"),
        (
            "one of two names",
            behind("terminator_san: [ { dns: a.example, chain: validated_by_listener }, { dns: b.example } ]"),
            "chain: validated_by_listener of terminator_san",
        ),
        ("the listener's word", behind("terminator_san: { dns: a.example, chain: validated_by_listener }"), ""),
        ("certificates", behind(CERTIFICATE_OF_A_TERMINATOR), ""),
        ("a secret", behind(SECRET_OF_A_TERMINATOR), ""),
    ] {
        let report = one("istio.yaml", &own(&policy)).to_string();
        let name =
            if expected.is_empty() { "0 errors, 0 warnings" } else { "(validated_certificate_lost_on_resumption)" };
        assert!(report.contains(name) && report.contains(expected), "{what}\n{report}");
    }
}

/// Its comments have Istio's other resource, with the same configuration.
#[test]
fn the_wasm_plugin_in_the_comments_of_the_sidecar_is_the_traffic_extension() {
    let shipped = sidecar();
    let (before, commented) = shipped.split_once("# ---\n").unwrap();
    let plugin: String = commented
        .lines()
        .map(|line| format!("{}\n", line.strip_prefix("# ").unwrap_or_else(|| panic!("{line}"))))
        .collect();
    let described = |text: &str| {
        let report = one("sidecar.yaml", text);
        assert_eq!(report.exit_code(true), 0, "{report}");
        let described = report.to_string();
        let lines = described.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
        assert!(lines.len() > 8, "{described}");
        lines
    };
    assert_eq!(described(&plugin), described(before));
}

/// Its comments have more policies, and more keys.
#[test]
fn what_stands_in_the_comments_of_the_sidecar_is_right() {
    let text =
        replaced(&sidecar(), &[("# from_others: connection", "from_others: connection"), ("# hops: [ {", "hops: [ {")]);
    let mut is_inside = false;
    let live: String = text
        .lines()
        .map(|line| {
            is_inside = match line.strip_prefix("        # ") {
                Some("as:" | "mesh:") => true,
                Some(inner) => is_inside && inner.starts_with("  "),
                None => false,
            };
            let line = if is_inside { line.replacen("# ", "", 1) } else { line.to_owned() };
            format!("{line}\n")
        })
        .collect();
    let unused = findings(&live).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(unused, ["policy_never_chosen", "policy_never_chosen"], "{}", one("x.yaml", &live));
}

#[test]
fn a_file_without_a_configuration_and_one_that_cannot_be_read_are_errors() {
    for (text, expected) in [
        (
            "static_resources: {}\n",
            "x.yaml: error: there is no configuration of certbound in this file; where it comes by ECDS, give that file too\n1 error, 0 warnings\n",
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\n",
            "x.yaml: error: there is no configuration of certbound in this file; where it comes by ECDS, give that file too\n1 error, 0 warnings\n",
        ),
    ] {
        let report = one("x.yaml", text);
        assert_eq!((report.to_string().as_str(), report.exit_code(false)), (expected, 2), "{text}");
    }
}

#[test]
fn resources_of_a_platform_are_one_set_in_which_some_file_has_certbound() {
    let peers = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nspec: { mtls: { mode: STRICT } }\n---\napiVersion: v1\nkind: Namespace\n";
    let istio =
        fs::read_to_string("envoy/istio.yaml").unwrap().replace("{ keys: [] }", &format!("{{ keys: [{KEY}] }}"));
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let together = check(&[file("peers.yaml", peers), file("istio.yaml", &istio)]);
    assert_eq!(together.exit_code(false), 0, "{together}");
    // A file that is no resource is there for certbound, and so is one set without it.
    for files in [
        vec![file("envoy.yaml", "static_resources: {}\n"), file("istio.yaml", &istio)],
        vec![file("mixed.yaml", &format!("{peers}---\nadmin: {{}}\n")), file("istio.yaml", &istio)],
        vec![file("empty.yaml", "# nothing\n"), file("istio.yaml", &istio)],
        vec![file("peers.yaml", peers), file("more.yaml", peers)],
    ] {
        let report = check(&files);
        assert!(
            report.exit_code(false) == 2 && report.to_string().contains("there is no configuration of certbound"),
            "{report}"
        );
    }
}

#[test]
fn a_warning_is_exit_code_1_only_when_it_is_asked_for() {
    let report = one("envoy.yaml", &replaced(&resource_server(), &[("FAIL_RELOAD", "FAIL_OPEN")]));
    assert_eq!((report.exit_code(false), report.exit_code(true)), (0, 1));
}

#[test]
fn json_in_a_string_value_is_placed_in_the_file() {
    let (before, rest) = authorization_server()
        .split_once("                  \"@type\": type.googleapis.com/google.protobuf.Struct\n")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let (_, after) = rest.split_once("          - name: envoy.filters.http.router").unwrap();
    let json = "                  value: |\n                    {\n                      \"clean_onyl\": {}\n                    }\n";
    let text = format!(
        "{before}                  \"@type\": type.googleapis.com/google.protobuf.StringValue\n{json}          - name: envoy.filters.http.router{after}"
    );
    let line = text.lines().position(|line| line.contains("clean_onyl")).unwrap() + 1;
    let report = one("envoy.yaml", &text).to_string();
    assert!(
        report.starts_with(&format!(
            "envoy.yaml:{line}:23: error: clean_onyl: unknown key \"clean_onyl\"; did you mean \"clean_only\"?\n"
        )),
        "{report}"
    );
}

#[test]
fn the_schemas_that_are_shipped_are_those_that_the_types_make() {
    for (name, made) in [("certbound", schema()), ("file", file_schema())] {
        let shipped = fs::read_to_string(format!("envoy/{name}.schema.json")).unwrap();
        assert_eq!(shipped, made, "write it anew: make schema");
    }
}

#[test]
fn certificates_that_nobody_validated_are_warned_of_where_a_name_in_them_could_pass() {
    let shipped = fs::read_to_string("envoy/client-authentication.yaml").unwrap();
    let (before, rest) = shipped.split_once("                            # A certificate from the CA above").unwrap();
    let (_, after) = rest.split_once("                            # This very certificate").unwrap();
    let registered = format!("{before}                            # This very certificate{after}");
    let found = |text: &str| -> Vec<String> {
        let report = check(&[("clients.yaml".to_owned(), text.to_owned())]);
        report
            .findings()
            .iter()
            .map(ToString::to_string)
            .filter(|text| text.contains("untrusted_certificate"))
            .collect()
    };
    let certificates = |text: &str, value: &str| {
        replaced(text, &[("client_certificate: validated\n", &format!("client_certificate: {value}\n"))])
    };
    // What the listener did not validate is nobody's under this.
    assert!(found(&shipped).is_empty());
    let by_listener = found(&certificates(&shipped, "validated_by_listener"));
    assert!(
        by_listener.len() == 1 && by_listener[0].contains("by certbound itself; say `client_certificate: validated`"),
        "{by_listener:?}"
    );
    // Of registered certificates none needs a chain, and no other client comes through.
    let presented = certificates(&registered, "presented");
    assert!(found(&presented).is_empty());
    let forwarded = found(&replaced(&presented, &[("unlisted_clients: refuse", "unlisted_clients: forward")]));
    assert!(forwarded.len() == 1 && forwarded[0].contains("say `unlisted_clients: refuse` or"), "{forwarded:?}");
}
