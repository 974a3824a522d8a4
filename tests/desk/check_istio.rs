// SPDX-License-Identifier: Apache-2.0

//! What `certbound check` says of Istio's resources in which certbound is left out, stands where it is not meant to, or is not as
//! Istio knows it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test that cannot go on must stop"
)]

use std::fs;

use certbound::desk::check::check;

use crate::check::{KEY, replaced};

/// A shipped file with a key in place of the empty set.
fn shipped(name: &str) -> String {
    let key = format!("{{ keys: [{KEY}] }}");
    replaced(&fs::read_to_string(format!("envoy/{name}.yaml")).unwrap(), &[("{ keys: [] }", &key)])
}

/// The text of the line at which each finding is, and its sentence.
fn found(text: &str, other: &str) -> Vec<(String, String)> {
    let files = [("istio.yaml", text), ("other.yaml", other)];
    let files: Vec<_> = files.into_iter().filter(|(_, text)| !text.is_empty()).collect();
    let report = check(&files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect::<Vec<_>>());
    let shown = |finding: String| {
        let (file, rest) = finding.split_once(':').unwrap();
        let text = files.iter().find(|(name, _)| *name == file).unwrap().1;
        let (line, rest) = rest.split_once(':').unwrap();
        let line = text.lines().nth(line.parse::<usize>().unwrap() - 1).unwrap();
        (line.split('#').next().unwrap().trim().to_owned(), rest.split_once(": ").unwrap().1.to_owned())
    };
    report.findings().iter().map(|finding| shown(finding.to_string())).collect()
}

/// Each change of a file, where it is named, and a part of what is said.
#[test]
fn mistakes_in_istios_resources_are_named_where_they_are() {
    let (gateway, plugin, sidecar) = (shipped("istio"), shipped("istio-wasmplugin"), shipped("istio-sidecar"));
    for text in [&gateway, &plugin, &sidecar] {
        assert_eq!(found(text, ""), []);
    }
    let phase = "  phase: AUTHN\n";
    let with = |text: &str, line: &str| replaced(text, &[(phase, &format!("{phase}{line}\n"))]);
    let server = "  match: [ { mode: SERVER } ]";
    let label = "{ matchLabels: { istio: ingressgateway } }";
    let digest = "@sha256:0000000000000000000000000000000000000000000000000000000000000000";
    let target = "  targetRefs: [ { group: gateway.networking.k8s.io, kind: Gateway, name: apy } ]";
    let of_kubernetes = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: { name: api }\n";
    let by_target = replaced(&gateway, &[(&format!("  selector: {label}"), target)]);
    let custom = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nspec: { action: CUSTOM }\n";
    let cases = [
        (with(&gateway, server), "", server, "warning: to Istio a gateway is a client", "extension_left_out"),
        (with(&plugin, server), "", server, "warning: to Istio a gateway is a client", "extension_left_out"),
        (with(&plugin, "  type: NETWORK"), "", "type: NETWORK", "warning: a NETWORK extension", "extension_left_out"),
        (
            replaced(&gateway, &[("  wasm:\n", "  wasm:\n    type: NETWORK\n")]),
            "",
            "type: NETWORK",
            "warning: a NETWORK extension",
            "extension_left_out",
        ),
        (
            replaced(&gateway, &[(label, "{ matchLabels: { istio: ingresgateway } }")]),
            "",
            "selector: { matchLabels: { istio: ingresgateway } }",
            "theirs have istio: ingressgateway",
            "extension_left_out",
        ),
        (
            by_target.clone(),
            of_kubernetes,
            target,
            "there is no Gateway of this name in these files, which have api",
            "extension_left_out",
        ),
        (
            replaced(&sidecar, &[(&format!("{server}\n"), "")]),
            "",
            "spec:",
            "judges the calls of the application itself",
            "outbound_judged",
        ),
        (
            replaced(&sidecar, &[(server, "  match: [ { mode: CLIENT_AND_SERVER } ]")]),
            "",
            "match: [ { mode: CLIENT_AND_SERVER } ]",
            "judges the calls of the application itself",
            "outbound_judged",
        ),
        (
            replaced(&sidecar, &[(server, "  match: [ { mode: SERVER, ports: [ { number: 80 } ] } ]")]),
            "",
            "match: [ { mode: SERVER, ports: [ { number: 80 } ] } ]",
            "requests to any other port pass unjudged",
            "other_ports_unjudged",
        ),
        (gateway.clone(), &plugin, "spec:", "two extensions have certbound for the same pods", "installed_twice"),
        (
            gateway.clone(),
            custom,
            "spec: { action: CUSTOM }",
            "is asked before the phase AUTHN",
            "forged_headers_seen_before",
        ),
        (
            replaced(&gateway, &[(digest, ":1.0")]),
            "",
            "url: oci://registry.example.com/certbound:1.0",
            "name it by its digest",
            "module_not_pinned",
        ),
        (
            replaced(&gateway, &[("oci://", "https://"), (digest, ".wasm")]),
            "",
            "url: https://registry.example.com/certbound.wasm",
            "add sha256, the SHA-256 of the file",
            "module_not_pinned",
        ),
        (
            replaced(&gateway, &[("phase: AUTHN", "phase: AUTHENTICATION")]),
            "",
            "phase: AUTHENTICATION",
            "error: unknown phase \"AUTHENTICATION\"",
            "",
        ),
        (
            replaced(&gateway, &[("FAIL_RELOAD", "FAIL_RELOADS")]),
            "",
            "failStrategy: FAIL_RELOADS",
            "error: unknown failStrategy \"FAIL_RELOADS\"; did you mean \"FAIL_RELOAD\"?",
            "",
        ),
        (
            with(&gateway, "  prioritty: 10"),
            "",
            "prioritty: 10",
            "error: unknown key \"prioritty\"; did you mean \"priority\"?",
            "",
        ),
        (
            replaced(&gateway, &[("    pluginName:", "    allowOnHeadersStopIteration: true\n    pluginName:")]),
            "",
            "allowOnHeadersStopIteration: true",
            "error: unknown key \"allowOnHeadersStopIteration\"",
            "",
        ),
        (
            replaced(&plugin, &[("  pluginName:", "  poolicy: a\n  pluginName:")]),
            "",
            "poolicy: a",
            "error: unknown key \"poolicy\"",
            "",
        ),
        (
            replaced(&sidecar, &[("mode: SERVER }", "mode: SERVERS }")]),
            "",
            "match: [ { mode: SERVERS } ]",
            "error: unknown mode \"SERVERS\"; did you mean \"SERVER\"?",
            "",
        ),
    ];
    for (text, other, line, said, name) in cases {
        let found = found(&text, other);
        let names = format!("({name})");
        let is_right = |(own, sentence): &(String, String)| {
            own == line.trim() && sentence.contains(said) && (name.is_empty() || sentence.ends_with(&names))
        };
        assert!(found.iter().any(is_right), "{line}: {said}: {found:#?}");
    }
    // What is right is not doubted.
    for (text, other) in [
        (replaced(&by_target, &[("apy", "api")]), of_kubernetes),
        (by_target, ""),
        (with(&gateway, "  match: [ { mode: CLIENT } ]"), ""),
        (replaced(&gateway, &[("oci://registry.example.com/certbound", "file:///certbound.wasm"), (digest, "")]), ""),
        (
            replaced(
                &gateway,
                &[("oci://", "http://"), ("    failStrategy", "    sha256: aa\n    failStrategy"), (digest, "")],
            ),
            "",
        ),
        (gateway.clone(), &*custom.replace("CUSTOM", "ALLOW")),
        (gateway.clone(), &*plugin.replace("namespace: istio-ingress", "namespace: other")),
    ] {
        assert_eq!(found(&text, other), []);
    }
}

#[test]
fn a_configuration_that_is_missing_is_named_so() {
    for (file, key) in
        [("istio", "    pluginConfig:"), ("istio-wasmplugin", "  pluginConfig:"), ("envoy-gateway", "    config:")]
    {
        let text = shipped(file);
        let (before, _) = text.split_once(&format!("\n{key}\n")).unwrap();
        let found = found(&format!("{before}\n"), "");
        let said: Vec<_> = found.iter().map(|(_, said)| said.as_str()).collect();
        let sentence =
            format!("error: {} is missing here, so the module would refuse to start", key.trim().trim_end_matches(':'));
        assert!(said.contains(&&*sentence), "{file}: {said:#?}");
    }
}

/// istio.io's own name for what a ServiceEntry makes.
#[test]
fn keys_that_istio_fetches_without_tls_are_named() {
    let keys = "keys: { jwks_uri: https://as.example.com/jwks, cluster: \"outbound|443||as.example.com\" }";
    let text = replaced(&shipped("istio"), &[(&format!("keys: {{ jwks: {{ keys: [{KEY}] }} }}"), keys)]);
    let entry = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nspec:\n  hosts: [as.example.com]\n  ports:\n  - { number: 443, name: https, protocol: HTTPS }\n";
    let rule = |policy: &str| {
        format!(
            "{entry}---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nspec: {{ host: as.example.com, trafficPolicy: {policy} }}\n"
        )
    };
    let port = "- { number: 443, name: https, protocol: HTTPS }".to_owned();
    for other in [
        entry.to_owned(),
        rule("{ tls: { mode: DISABLE } }"),
        rule("{ tls: { mode: SIMPLE } }").replace("host: as.example.com", "host: other.example.com"),
    ] {
        let found = found(&text, &other);
        let [(line, said)] = found.as_slice() else { panic!("{found:#?}") };
        assert_eq!(*line, port);
        assert!(
            said.starts_with("warning: Istio speaks plain HTTP to as.example.com:443")
                && said.ends_with(&format!("({})", "cluster_without_tls")),
            "{said}"
        );
    }
    for other in [
        rule("{ tls: { mode: SIMPLE } }"),
        rule("{ portLevelSettings: [ { port: { number: 443 }, tls: { mode: MUTUAL } } ] }"),
        entry.replace("443", "8443"),
        entry.replace("[as.example.com]", "[other.example.com]"),
        "apiVersion: v1\nkind: Namespace\n".to_owned(),
    ] {
        assert_eq!(found(&text, &other), []);
    }
}

#[test]
fn headers_that_cannot_wait_are_named_as_the_configuration_has_them() {
    let server = |more: &str| {
        format!(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: TrafficExtension\nspec:\n  selector: {{ matchLabels: {{ istio: gateway }} \
             }}\n  wasm:\n    failStrategy: FAIL_RELOAD\n    url: file:///certbound.wasm\n    pluginConfig:\n      authorization_server: \
             {{ forward_certificate: [ {{ dialect: gluu }} ], client_certificate: validated_by_listener, {more} }}\n"
        )
    };
    let client = "client_id: a, token_endpoint_auth_method: tls_client_auth, tls_client_auth_san_dns: a.example";
    for (more, said) in [
        (
            format!(
                "client_authentication: {{ unlisted_clients: refuse, request_body: headers_wait, clients: [ {{ {client} }} ] }}"
            ),
            "says `request_body: headers_wait`",
        ),
        (
            "issued_tokens: { certificate_binding: observe, token_endpoints: [/token], response_headers: wait }"
                .to_owned(),
            "says `response_headers: wait`",
        ),
    ] {
        let found = found(&server(&more), "");
        assert!(found.iter().any(|(line, sentence)| line == "wasm:" && sentence.contains(said)), "{found:#?}");
    }
}
