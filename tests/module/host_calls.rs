// SPDX-License-Identifier: Apache-2.0

//! What a request asks of the host, call by call.

use crate::case_list::CaseList;
use crate::fake_host::Request;
use crate::run::{acquainted, module, request, start, text, told, with_headers};

/// The host calls of one case.
fn calls(sentence: &str) -> Vec<String> {
    let list = CaseList::read();
    let case = list.case(sentence);
    let configuration = &list.configurations[&case.configuration];
    let mut vm = start(&module(), &configuration.protobuf, None);
    let mut calls = vm.request(&request(case)).calls;
    // Once for each counter.
    calls.retain(|call| call != "proxy_define_metric certbound_decisions_total");
    calls
}

/// Where no metadata says anything.
const FACTS: [&str; 6] = [
    "proxy_get_header_map_pairs request",
    "proxy_get_property xds.route_metadata.filter_metadata.certbound",
    "proxy_get_property xds.virtual_host_metadata.filter_metadata.certbound",
    "proxy_get_property xds.listener_metadata.filter_metadata.certbound",
    "proxy_get_property connection.sha256_peer_certificate_digest",
    "proxy_get_current_time_nanoseconds",
];

/// How a decision is told: by one property, whatever the decision. It is counted with the next tick.
const TOLD: [&str; 1] = ["proxy_set_property certbound"];

/// How a refusal comes to the log.
const LOGGED: [&str; 2] = ["proxy_get_property xds.route_name", "proxy_log info"];

#[test]
fn a_new_bound_token_costs_eight_host_calls() {
    let expected = [&FACTS[..], &["proxy_call_foreign_function verify_signature"], &TOLD].concat();
    assert_eq!(calls("a token on the certificate that it is bound to passes"), expected);
}

#[test]
fn a_token_seen_before_costs_seven_host_calls_and_no_cryptography() {
    let list = CaseList::read();
    let case = list.case("a token on the certificate that it is bound to passes");
    let mut vm = acquainted(&list, case);
    assert_eq!(vm.request(&request(case)).calls, [&FACTS[..], &TOLD].concat());
}

#[test]
fn a_configuration_of_one_role_governs_every_request_and_reads_no_metadata() {
    let metadata = ["xds", "route_metadata", "filter_metadata", "certbound"];
    let mut vm = start(&module(), br#"{"clean_only": {}}"#, None);
    let mut request = || vm.request(&Request::new("GET", "/").with_property(&metadata, "whatever it says"));
    request();
    let exchange = request();
    assert_eq!(told(&exchange)["reason"], "clean_only");
    let expected: Vec<_> = FACTS.iter().chain(&TOLD).filter(|call| !call.contains("_metadata.")).collect();
    assert_eq!(exchange.calls.iter().collect::<Vec<_>>(), expected);
}

/// Where the route's metadata names the policy, the further ones are not read.
fn facts_of_a_named_route() -> Vec<&'static str> {
    FACTS
        .into_iter()
        .filter(|call| !call.contains("virtual_host_metadata") && !call.contains("listener_metadata"))
        .collect()
}

#[test]
fn metadata_is_read_from_the_nearest_outwards_until_it_says_something() {
    let metadata = |sentence: &str| -> Vec<String> {
        let calls = calls(sentence).into_iter().filter_map(|call| {
            let path =
                call.strip_prefix("proxy_get_property xds.")?.strip_suffix("_metadata.filter_metadata.certbound")?;
            Some(path.to_owned())
        });
        calls.collect()
    };
    assert_eq!(metadata("a request without a token passes an open route, which removes forged headers"), ["route"]);
    assert_eq!(metadata("a virtual host's metadata sets the policy of its routes"), ["route", "virtual_host"]);
    assert_eq!(metadata("a listener's metadata sets the policy of its routes"), ["route", "virtual_host", "listener"]);
}

#[test]
fn a_policy_asks_the_host_for_what_it_checks_and_nothing_else() {
    let facts = facts_of_a_named_route();
    let asked =
        |fact: &[&'static str]| [&facts[..], &["proxy_call_foreign_function verify_signature"], fact, &TOLD].concat();
    let server_name = ["proxy_get_property connection.requested_server_name"];
    assert_eq!(calls("the host localhost passes with the server name localhost under must_match"), asked(&server_name));
    let certificate = ["proxy_get_property connection.peer_certificate"];
    assert_eq!(calls("a certificate within its validity passes"), asked(&certificate));
    let revoked = [&facts[..], &LOGGED, &TOLD, &["proxy_send_local_response 401"]].concat();
    assert_eq!(
        calls("a certificate that revoked_certificates lists as x5t#S256 is refused with its own token"),
        revoked
    );
    assert_eq!(calls("a bound token on another certificate is forwarded and noted under observe"), asked(&LOGGED));
    assert_eq!(
        calls("a CORS preflight without a token passes under cors_preflight: forward"),
        [&facts[..], &TOLD].concat()
    );
}

#[test]
fn a_refusal_costs_its_log_line_its_route_name_and_its_response() {
    let expected = [&FACTS[..], &LOGGED, &TOLD, &["proxy_send_local_response 401"]].concat();
    assert_eq!(calls("a request without a token is challenged without an error code"), expected);
}

#[test]
fn an_open_route_costs_the_facts_and_a_call_for_each_header_that_is_removed() {
    let facts = facts_of_a_named_route();
    let removed = |call: &String| call.starts_with("proxy_remove_header_map_value request ");
    let calls = calls("a request without a token passes an open route, which removes forged headers");
    let defined = "proxy_define_metric certbound_forged_headers_removed_total";
    let expected = [&facts[..], &[defined], &TOLD].concat();
    assert!(calls.iter().skip(facts.len()).take_while(|call| removed(call)).count() > 20);
    assert_eq!(calls.iter().filter(|call| !removed(call)).collect::<Vec<_>>(), expected);
}

#[test]
fn a_token_that_jwt_authn_verified_costs_its_payload_and_no_cryptography() {
    let payload = "proxy_get_property metadata.filter_metadata.envoy.filters.http.jwt_authn.access_token";
    let expected = [&FACTS[..], &[payload], &TOLD].concat();
    assert_eq!(calls("a token that jwt_authn verified passes"), expected);
}

#[test]
fn a_token_seen_before_that_jwt_authn_verified_costs_one_claim_of_its_payload() {
    let list = CaseList::read();
    let case = list.case("a token that jwt_authn verified passes");
    let mut vm = acquainted(&list, case);
    let claim = "proxy_get_property metadata.filter_metadata.envoy.filters.http.jwt_authn.access_token.jti";
    let expected = [&FACTS[..], &[claim], &TOLD].concat();
    assert_eq!(vm.request(&request(case)).calls, expected);
    // That claim alone speaks for it: another payload with the same one does too.
    let properties = request(list.case("a removed token for another audience is refused")).properties;
    assert_eq!(vm.request(&Request { properties, ..request(case) }).calls, expected);
}

#[test]
fn a_client_that_authenticates_costs_its_body_and_its_certificate() {
    let facts = facts_of_a_named_route();
    let expected = [
        &facts[..],
        &[
            "proxy_get_property connection.peer_certificate_valid",
            "proxy_get_property connection.peer_certificate",
            "proxy_get_buffer_bytes http_request_body",
            "proxy_replace_header_map_value request x-clientcert",
            "proxy_replace_header_map_value request client-cert",
        ],
        &TOLD,
    ]
    .concat();
    assert_eq!(calls("a client whose certificate has its registered subject is forwarded"), expected);
}

#[test]
fn a_client_of_a_pinned_issuer_costs_one_signature_for_each_certificate() {
    let list = CaseList::read();
    for sentence in [
        "a client of one of the issuers whose certificates are pinned is forwarded",
        "a client of the issuer whose key is pinned is forwarded with its chain",
        "a client of another issuer is refused with the pinned one in its chain",
    ] {
        let case = list.case(sentence);
        let mut vm = start(&module(), &list.configurations[&case.configuration].protobuf, None);
        let mut verified = || {
            let calls = vm.request(&request(case)).calls;
            calls.iter().filter(|call| call.ends_with("verify_signature")).count()
        };
        assert_eq!((verified(), verified(), verified()), (1, 0, 0), "{sentence}");
    }
}

#[test]
fn only_a_name_of_ours_in_connection_costs_a_call() {
    let list = CaseList::read();
    let case = list.case("a token on the certificate that it is bound to passes");
    let mut vm = acquainted(&list, case);
    let plain = vm.request(&request(case)).calls;
    let (replaces, removes) =
        ("proxy_replace_header_map_value request connection", "proxy_remove_header_map_value request connection");
    for (values, more, left) in [
        (&["upgrade"][..], &[][..], &["upgrade"][..]),
        (&["upgrade, x-other", "close"], &[], &["upgrade, x-other", "close"]),
        (&["upgrade, x-clientcert"], &[replaces], &["upgrade"]),
        (&["upgrade", "X_ClientCert, client-cert"], &[replaces], &["upgrade"]),
        (&["x-clientcert"], &[removes], &[]),
    ] {
        let headers: Vec<_> = values.iter().map(|value| ("connection", *value)).collect();
        let exchange = vm.request(&with_headers(case, &headers));
        let (edits, others): (Vec<_>, Vec<_>) =
            exchange.calls.into_iter().partition(|call| call.contains("_header_map_value "));
        assert_eq!(
            (others, edits),
            (plain.clone(), more.iter().map(|call| (*call).to_owned()).collect()),
            "{values:?}"
        );
        let crate::fake_host::Outcome::Forwarded { headers } = exchange.outcome else { panic!("{values:?}") };
        let seen = headers.iter().filter(|(name, _)| name == b"connection").map(|(_, value)| text(value));
        assert_eq!(seen.collect::<Vec<_>>(), left, "{values:?}");
    }
}

#[test]
fn a_certificate_is_read_only_where_it_is_handed_over() {
    let facts = facts_of_a_named_route();
    let expected = [
        &facts[..],
        &[
            "proxy_get_property connection.peer_certificate_valid",
            "proxy_get_property connection.peer_certificate",
            "proxy_replace_header_map_value request x-clientcert",
            "proxy_replace_header_map_value request client-cert",
        ],
        &TOLD,
    ]
    .concat();
    assert_eq!(calls("a validated certificate is handed over in every dialect"), expected);
    assert_eq!(calls("no header is written without a client certificate"), [&facts[..], &TOLD].concat());
}

#[test]
fn an_api_costs_its_certificate_once_and_its_headers_each_time() {
    let list = CaseList::read();
    let case = list.case("an API gets the certificate that the token is bound to, in every form");
    let mut vm = start(&module(), &list.configurations[&case.configuration].protobuf, None);
    let told = ["x-client-thumbprint", "x-fact-verified", "ssl_client_cert", "ssl_client_escaped_cert", "client-cert"];
    let told = told.iter().chain(&["x-forwarded-client-cert", "x-fact-subject"]);
    let told: Vec<_> = told.map(|name| format!("proxy_replace_header_map_value request {name}")).collect();
    let told: Vec<_> = told.iter().map(String::as_str).collect();
    let validated = ["proxy_get_property connection.peer_certificate_valid"];
    let read = ["proxy_get_property connection.peer_certificate"];
    let verified = ["proxy_call_foreign_function verify_signature"];
    let mut calls = || {
        let mut calls = vm.request(&request(case)).calls;
        calls.retain(|call| !call.starts_with("proxy_define_metric"));
        calls
    };
    assert_eq!(calls(), [&FACTS[..], &verified, &validated, &read, &told, &TOLD].concat());
    assert_eq!(calls(), [&FACTS[..], &validated, &told, &TOLD].concat());
}

#[test]
fn the_next_request_of_a_connection_reads_no_certificate() {
    let list = CaseList::read();
    for sentence in
        ["a validated certificate is handed over in every dialect", "every form has the chain that Envoy hands over"]
    {
        let case = list.case(sentence);
        let mut vm = start(&module(), &list.configurations[&case.configuration].protobuf, None);
        let read = "proxy_get_property connection.peer_certificate";
        let (first, second) = (vm.request(&request(case)), vm.request(&request(case)));
        let without_read: Vec<_> =
            first.calls.iter().filter(|call| *call != read && !call.starts_with("proxy_define_metric")).collect();
        assert_eq!(second.calls.iter().collect::<Vec<_>>(), without_read, "{sentence}");
        assert_eq!(first.outcome, second.outcome);
        // Whether the chain was validated is asked each time.
        assert!(second.calls.iter().any(|call| call.ends_with("connection.peer_certificate_valid")));
    }
}
