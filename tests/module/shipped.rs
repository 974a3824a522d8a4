//! Depth 2 of the one list of cases: the module as it is shipped, in a fake host where every call that is not meant is a
//! failure.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use crate::case_list::{Case, CaseList, Outcome, target};
use crate::fake_host::{Cluster, Exchange, Header, Host, Module, Received, Request, Vm};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

fn module() -> Module {
    Module::from_file(&target().join("certbound.wasm"))
}

fn start(module: &Module, configuration: &[u8], case: Option<&Case>) -> Vm {
    let host = match case {
        Some(case) if case.without_host_cryptography => Host::default().without_foreign_functions(),
        Some(case) if case.introspection.is_some() => Host::default().with_cluster("no such cluster", Cluster::Waits),
        _ => Host::default(),
    };
    host.start(module, configuration).unwrap_or_else(|refused| panic!("{:?}", refused.log))
}

fn in_bytes(headers: Vec<(String, Vec<u8>)>) -> Vec<(Vec<u8>, Vec<u8>)> {
    headers.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect()
}

fn request(case: &Case) -> Request {
    Request {
        headers: in_bytes(case.headers()),
        properties: case.properties(),
        now: Duration::from_secs(case.now),
        end_of_stream: case.body().is_empty(),
        body: case.body().to_vec(),
        response: Vec::new(),
        response_body: Vec::new(),
        is_answered_at_once: false,
    }
}

/// What an access log would print of it.
fn told(exchange: &Exchange) -> serde_json::Value {
    serde_json::from_slice(&exchange.properties["certbound"]).unwrap()
}

fn outcome(exchange: &Exchange) -> Outcome {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    // Not from the log, where not every refusal has a line. One that is there says the same.
    let told = told(exchange);
    let verdict = told["verdict"].as_str().unwrap();
    let reason = told["reason"].as_str().unwrap().to_owned();
    let beginning = match verdict {
        "refused" => format!("refused: reason={reason} policy="),
        "observed" => format!("would have refused: reason={reason} policy="),
        _ => "nothing".to_owned(),
    };
    let of_others = ["refusals not logged: ", "keys not fetched: "];
    for line in exchange.log.iter().filter(|line| !of_others.iter().any(|own| line.text.starts_with(own))) {
        assert!(line.text.starts_with(&beginning), "{verdict} for {reason}, and logged: {line}");
    }
    match &exchange.outcome {
        crate::fake_host::Outcome::Forwarded { headers } => Outcome::Forwarded {
            headers: headers.iter().map(|(name, value)| (text(name), value.clone())).collect(),
            note: (verdict != "forwarded").then_some(reason),
        },
        crate::fake_host::Outcome::Replied { status, headers, body } => {
            let values = |wanted: &'static str| {
                let named = headers.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()));
                named.map(|(_, value)| text(value))
            };
            assert_eq!(verdict, "refused");
            Outcome::Refused {
                reason,
                grpc_status: values("grpc-status").next().map(|status| status.parse().unwrap()),
                status: u16::try_from(*status).unwrap(),
                challenges: values("www-authenticate").collect(),
                body: body.clone(),
            }
        }
        crate::fake_host::Outcome::Waits => panic!("it waits for ever"),
    }
}

/// A good answer of another server.
fn answered(body: &str) -> (Vec<Header>, Vec<u8>) {
    (vec![(b":status".to_vec(), b"200".to_vec())], body.as_bytes().to_vec())
}

/// In bytes, as it is shipped. Every VM compiles all of it: what grows it must be worth that.
const LARGEST: u64 = 790_000;

#[test]
fn the_module_is_small() {
    let size = std::fs::metadata(target().join("certbound.wasm")).unwrap().len();
    assert!(size <= LARGEST, "target/certbound.wasm has {size} bytes");
}

#[test]
fn the_module_exports_what_does_something_and_nothing_that_envoy_would_call_in_vain() {
    let module = module();
    let mut exports = module.exports();
    exports.sort_unstable();
    let expected = [
        "_initialize",
        "memory",
        "proxy_abi_version_0_2_1",
        "proxy_on_configure",
        "proxy_on_context_create",
        "proxy_on_delete",
        "proxy_on_http_call_response",
        "proxy_on_memory_allocate",
        "proxy_on_request_body",
        "proxy_on_request_headers",
        "proxy_on_request_trailers",
        "proxy_on_response_body",
        "proxy_on_response_headers",
        "proxy_on_response_trailers",
        "proxy_on_tick",
        "proxy_on_vm_start",
    ];
    assert_eq!(exports, expected);
}

#[test]
fn a_panic_is_told_by_its_place_and_the_words_that_stand_there() {
    let vm = start(&module(), br#"{"clean_only": {}}"#, None);
    let log = vm.stopped_by_a_context_given_twice();
    let [line] = log.as_slice() else { panic!("{log:?}") };
    let text = line.to_string();
    assert!(text.contains("panicked: ") && text.contains("dispatcher.rs:"), "{text}");
    assert!(text.ends_with(": duplicate context_id"), "{text}");
}

#[test]
fn every_case_of_the_list_comes_out_as_it_says() {
    let list = CaseList::read();
    let module = module();
    let mut wrong = Vec::new();
    for (name, configuration) in &list.configurations {
        for bytes in [configuration.json.as_bytes(), &configuration.protobuf] {
            // One VM for all of them, as one worker of a proxy serves one request after the other.
            let mut with = start(&module, bytes, None);
            for case in list.cases.iter().filter(|case| case.configuration == *name) {
                for headers in case.before() {
                    with.request(&Request { headers: in_bytes(headers), ..request(case) });
                }
                let answers = |_: &_| answered(case.introspection.as_deref().unwrap_or_default());
                let exchange = match case.without_host_cryptography || case.introspection.is_some() {
                    true => start(&module, bytes, Some(case)).request_with(&request(case), &answers),
                    false => with.request(&request(case)),
                };
                if let Err(why) = case.judge(&outcome(&exchange), &list.forged) {
                    wrong.push(format!("{}: {why}", case.sentence));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

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

/// A VM that the case's request came to twice: the first hit defines its counter.
fn acquainted(list: &CaseList, case: &Case) -> Vm {
    let mut vm = start(&module(), &list.configurations[&case.configuration].protobuf, None);
    vm.request(&request(case));
    vm.request(&request(case));
    vm
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
fn a_refusal_costs_its_log_line_its_route_name_and_its_answer() {
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
fn a_counter_is_defined_with_its_first_use_and_nothing_is_counted_before_a_request() {
    let list = CaseList::read();
    let case = list.case("a token on the certificate that it is bound to passes");
    let mut vm = start(&module(), &list.configurations[&case.configuration].protobuf, None);
    let named_metric = |call: &&String| call.contains("metric");
    assert_eq!(vm.start_calls().iter().filter(named_metric).count(), 0);
    for defined in [1, 1, 0] {
        let calls = vm.request(&request(case)).calls;
        assert_eq!(calls.iter().filter(|call| call.starts_with("proxy_define_metric ")).count(), defined);
    }
    let name = |token_cache: &str| {
        format!(
            "certbound_decisions_total_.=.policy.=.api;.;_.=.verdict.=.forwarded;.;_.=.reason.=.token_bound;.;\
             _.=.algorithm.=.ES256;.;_.=.token_cache.=.{token_cache};.;"
        )
    };
    assert_eq!(vm.counters(), &BTreeMap::from([(name("miss"), 1), (name("hit"), 2)]));
    assert!(vm.histograms().is_empty());
}

#[test]
fn what_is_counted_is_told_with_a_tick_or_at_the_end_by_one_call_for_each_counter() {
    let list = CaseList::read();
    let case = list.case("a token on the certificate that it is bound to passes");
    let mut vm = start(&module(), &list.configurations[&case.configuration].protobuf, None);
    let told = |exchange: Exchange| exchange.calls.iter().filter(|call| call.contains("increment_metric")).count();
    assert_eq!(told(vm.request(&request(case))) + told(vm.request(&request(case))), 0);
    vm.tick(Duration::from_secs(case.now));
    assert_eq!(told(vm.request(&request(case))), 2);
    vm.tick(Duration::from_secs(case.now));
    vm.tick(Duration::from_secs(case.now));
    assert_eq!(told(vm.request(&request(case))), 1);
    vm.request(&request(case));
    assert_eq!(vm.counters_at_its_end().into_values().collect::<Vec<_>>(), [4, 1]);
}

#[test]
fn every_case_is_counted_once_by_its_policy_and_its_reason() {
    let list = CaseList::read();
    let module = module();
    for (name, configuration) in &list.configurations {
        let mut vm = start(&module, &configuration.protobuf, None);
        let mut expected: BTreeMap<String, u64> = BTreeMap::new();
        // What an authorization server says of a token is kept, and of one token the cases have it say many things.
        let plays =
            |case: &&Case| !case.without_host_cryptography && case.introspection.is_none() && case.before().is_empty();
        for case in list.cases.iter().filter(|case| case.configuration == *name).filter(plays) {
            let told = told(&vm.request(&request(case)));
            let text = |key: &str| told[key].as_str().unwrap().to_owned();
            let verdict = match (&case.refusal, &case.note) {
                (Some(_), _) => "refused",
                (None, Some(_)) => "observed",
                (None, None) => "forwarded",
            };
            assert_eq!(text("verdict"), verdict);
            let policy = told["policy"].as_str().map(|name| format!("_.=.policy.=.{name};.;")).unwrap_or_default();
            let labels = format!("{policy}_.=.verdict.=.{};.;_.=.reason.=.{};.;", text("verdict"), text("reason"));
            *expected.entry(labels).or_default() += 1;
        }
        let mut counted: BTreeMap<String, u64> = BTreeMap::new();
        for (name, count) in vm.counters() {
            if let Some(labels) = name.strip_prefix("certbound_decisions_total") {
                let labels = labels.split("_.=.algorithm").next().unwrap();
                let labels = labels.split("_.=.token_cache").next().unwrap().to_owned();
                *counted.entry(labels).or_default() += count;
            }
        }
        assert_eq!(counted, expected);
    }
}

/// A good request for the policy `api`, with more headers.
fn with_headers(case: &Case, headers: &[(&str, &str)]) -> Request {
    headers.iter().fold(request(case), |request, (name, value)| request.with_header(name, value))
}

#[test]
fn forged_headers_are_counted_and_envoys_own_is_not_among_them() {
    let list = CaseList::read();
    let case = list.case("a token on the certificate that it is bound to passes");
    let mut vm = start(&module(), &list.configurations[&case.configuration].protobuf, None);
    let counter = "certbound_forged_headers_removed_total_.=.policy.=.api;.;";
    vm.request(&with_headers(case, &[("x-forwarded-client-cert", "Hash=00")]));
    assert_eq!(vm.counters().get(counter), None);
    let exchange = vm.request(&with_headers(
        case,
        &[
            ("x-forwarded-client-cert", "Hash=00"),
            ("client-cert", "1"),
            ("client-cert", "2"),
            ("x_clientcert", "3"),
            ("x_forwarded_client_cert", "4"),
        ],
    ));
    assert_eq!(vm.counters().get(counter), Some(&4));
    let crate::fake_host::Outcome::Forwarded { headers } = exchange.outcome else { panic!("{exchange:?}") };
    assert_eq!(headers.iter().filter(|(name, _)| name.ends_with(b"cert")).count(), 0);
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
fn the_access_log_learns_who_came_and_how_it_ended() {
    let list = CaseList::read();
    let configuration = &list.configurations["resource-server"];
    let mut vm = start(&module(), &configuration.protobuf, None);
    let mut told = |sentence: &str| told(&vm.request(&request(list.case(sentence))));
    let passed = told("a token on the certificate that it is bound to passes");
    let thumbprint = passed["thumbprint"].as_str().unwrap();
    assert_eq!(thumbprint.len(), 43);
    assert_eq!(
        passed,
        serde_json::json!({
            "verdict": "forwarded", "reason": "token_bound", "policy": "api", "thumbprint": thumbprint,
            "client": null, "subject": "client-1",
        })
    );
    let stolen = told("a stolen token on another certificate of the same CA is refused");
    assert_eq!((&stolen["reason"], &stolen["subject"]), (&"certificate_mismatch".into(), &"client-1".into()));
    assert_ne!(stolen["thumbprint"], passed["thumbprint"]);
    // Its claims were never the issuer's word.
    let changed = told("a token signed with ES256 whose claims were changed is refused");
    assert_eq!((&changed["reason"], &changed["subject"]), (&"signature_invalid".into(), &serde_json::Value::Null));
}

#[test]
fn a_flood_of_refusals_gets_ten_lines_and_the_next_request_after_the_minute_tells_the_rest() {
    let list = CaseList::read();
    let refused = list.case("a request without a token is challenged without an error code");
    let good = list.case("a token on the certificate that it is bound to passes");
    let mut vm = start(&module(), &list.configurations["resource-server"].protobuf, None);
    let mut at = |case: &Case, seconds: u64| {
        let mut request = request(case);
        request.now = Duration::from_secs(case.now + seconds);
        vm.request(&request).log.into_iter().map(|line| line.to_string()).collect::<Vec<_>>()
    };
    let lines: usize = (0..1000).map(|_| at(refused, 0).len()).sum();
    assert_eq!(lines, 10);
    assert!(at(good, 59).is_empty());
    assert_eq!(at(good, 60), ["Info: refusals not logged: reason=token_missing policy=api count=990"]);
    assert!(at(good, 61).is_empty());
    assert_eq!(at(refused, 62).len(), 1);
}

#[test]
fn a_refusal_is_told_in_one_line_with_all_that_is_known() {
    let list = CaseList::read();
    let case = list.case("a stolen token on another certificate of the same CA is refused");
    let mut vm = start(&module(), &list.configurations["resource-server"].protobuf, None);
    let request = with_headers(case, &[("x-request-id", "7\"\u{e4}")]).with_property(&["xds", "route_name"], "a\nb");
    let exchange = vm.request(&request);
    let [line] = exchange.log.as_slice() else { panic!("{exchange:?}") };
    let told = told(&exchange);
    let presented = told["thumbprint"].as_str().unwrap();
    let text = &line.text;
    let expected = text.split(" expected=").nth(1).unwrap().split(' ').next().unwrap();
    assert!(expected.len() == 43 && expected != presented);
    assert_eq!(
        *text,
        format!(
            "refused: reason=certificate_mismatch policy=api route=\"a\\u000ab\" presented={presented} \
             expected={expected} client_id=- subject=\"client-1\" issuer=\"https://as.example.com\" \
             request_id=\"7\\\"\\u00e4\" detail=-"
        )
    );
}

#[test]
fn a_start_is_told_in_one_line() {
    let list = CaseList::read();
    for (name, expected) in
        [("resource-server", "policies=4, default_policy=api"), ("policies-by-path", "policies=3, routes=3")]
    {
        let vm = start(&module(), &list.configurations[name].protobuf, None);
        let lines: Vec<_> = vm.start_log().iter().map(ToString::to_string).collect();
        assert_eq!(lines, [format!("Info: started: certbound {}, {expected}", env!("CARGO_PKG_VERSION"))]);
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

#[test]
fn the_answer_of_a_server_that_gets_client_cert_varies_with_everything() {
    let list = CaseList::read();
    let answered = |sentence: &str| {
        let case = list.case(sentence);
        let mut vm = start(&module(), &list.configurations[&case.configuration].protobuf, None);
        let request =
            request(case).with_response_header("vary", "accept, Client-Cert").with_response_header("client-cert", "x");
        let exchange = vm.request_and_response(&request);
        let calls = exchange.calls.into_iter().filter(|call| call.contains(" response")).collect::<Vec<_>>();
        let Some(Received::Answer { headers, .. }) = exchange.received else { panic!("{:?}", exchange.received) };
        let headers = headers
            .into_iter()
            .map(|(name, value)| (String::from_utf8(name).unwrap(), String::from_utf8(value).unwrap()));
        (calls, headers.collect::<Vec<_>>())
    };
    let edits = [
        "proxy_get_header_map_pairs response",
        "proxy_remove_header_map_value response client-cert",
        "proxy_replace_header_map_value response vary",
    ];
    for sentence in
        ["a validated certificate is handed over in every dialect", "no header is written without a client certificate"]
    {
        let (calls, headers) = answered(sentence);
        assert_eq!(calls, edits);
        assert_eq!(headers, [("vary".to_owned(), "*".to_owned())]);
    }
    // No call for any other policy.
    for sentence in [
        "a request without a token passes an open route, which removes forged headers",
        "a self-signed certificate is handed over under client_certificate: presented",
    ] {
        assert!(answered(sentence).0.is_empty());
    }
}

#[test]
fn a_request_that_outlives_its_token_is_counted_once_and_one_that_has_ended_is_not() {
    let list = CaseList::read();
    let case = list.case("a token on the certificate that it is bound to passes");
    let mut vm = start(&module(), &list.configurations[&case.configuration].protobuf, None);
    let counter = "certbound_outlived_tokens_total_.=.policy.=.api;.;";
    let (ended, _) = vm.begin(&request(case));
    vm.end(ended);
    let (open, _) = vm.begin(&request(case));
    let (refused, _) = vm.begin(&request(list.case("a request without a token is challenged without an error code")));
    vm.tick(Duration::from_secs(case.now));
    assert_eq!(vm.counters().get(counter), None);
    for _ in 0..2 {
        vm.tick(Duration::from_secs(case.now + 100_000_000));
        assert_eq!(vm.counters().get(counter), Some(&1));
    }
    vm.end(open);
    vm.end(refused);
}

/// In front of an authorization server whose answers are read.
fn reading(response_headers: &str) -> Vm {
    let configuration = serde_json::json!({"authorization_server": {
        "forward_certificate": [{"dialect": "rfc9440"}],
        "metadata": {
            "client_authentication_methods": ["tls_client_auth"],
            "mtls_endpoint_aliases": [{"endpoint": "token_endpoint", "base_url": "https://mtls.example.com"}],
        },
        "issued_tokens": {
            "certificate_binding": "required", "token_endpoints": ["/token"], "response_headers": response_headers,
        },
    }});
    start(&module(), configuration.to_string().as_bytes(), None)
}

/// An answer of a token endpoint with a JWT that has these claims.
fn issued(claims: &serde_json::Value) -> Request {
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = format!("{}.{}.AA", part(&serde_json::json!({"alg": "ES256"})), part(claims));
    Request::new("POST", "/token")
        .with_property(&["connection", "sha256_peer_certificate_digest"], "1f".repeat(32))
        .with_property(&["connection", "peer_certificate_valid"], [0])
        .with_response_header(":status", "200")
        .with_response_header("content-type", "application/json")
        .with_response_body(serde_json::json!({"access_token": token, "token_type": "Bearer"}).to_string())
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn a_token_that_is_not_bound_to_the_certificate_of_its_request_does_not_leave_the_module() {
    let bound = serde_json::json!({"cnf": {"x5t#S256": URL_SAFE_NO_PAD.encode([0x1f; 32])}});
    for (response_headers, is_late) in [("wait", false), ("leave", true)] {
        let mut vm = reading(response_headers);
        let request = issued(&bound);
        match vm.request_and_response(&request).received {
            Some(Received::Answer { body, .. }) => assert_eq!(body, request.response_body),
            other => panic!("{other:?}"),
        }
        match vm.request_and_response(&issued(&serde_json::json!({"sub": "a"}))).received {
            Some(Received::BrokenOff { body, .. }) if is_late => assert!(body.is_empty()),
            Some(Received::Replied { status: 502, body, .. }) if !is_late => {
                assert!(text(&body).contains("server_error"));
            }
            other => panic!("{other:?}"),
        }
        let mut counted = |verdict: &str, outcome: &str| {
            let labels = format!("verdict.=.{verdict};.;_.=.outcome.=.{outcome};.;");
            vm.counters()[&format!("certbound_issued_tokens_total_.=.policy.=.authorization_server;.;_.=.{labels}")]
        };
        assert_eq!((counted("forwarded", "bound"), counted("withheld", "confirmation_missing")), (1, 1));
    }
}

#[test]
fn metadata_leaves_the_module_with_what_is_added_and_with_no_length_that_is_wrong() {
    let metadata = r#"{"issuer":"https://as.example.com","token_endpoint":"https://as.example.com/token"}"#;
    let request = Request::new("GET", "/.well-known/openid-configuration")
        .with_response_header(":status", "200")
        .with_response_header("content-type", "application/json")
        .with_response_header("content-length", metadata.len().to_string())
        .with_response_header("etag", "\"1\"")
        .with_response_body(metadata);
    let Some(Received::Answer { headers, body }) = reading("leave").request_and_response(&request).received else {
        panic!("it does not pass")
    };
    let found: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(found["mtls_endpoint_aliases"]["token_endpoint"], "https://mtls.example.com/token");
    assert_eq!(found["issuer"], "https://as.example.com");
    let value = |wanted: &str| headers.iter().find(|(name, _)| text(name) == wanted).map(|(_, value)| text(value));
    assert_eq!(value("content-length"), None);
    assert!(value("etag").is_some_and(|etag| etag.starts_with("W/") && etag != "W/\"1\""));
}

#[test]
fn a_configuration_that_does_not_load_is_refused_with_its_sentence() {
    for (configuration, sentence) in [
        (&b""[..], "the configuration is refused: the plugin configuration is empty"),
        (
            b"{\"polices\": {}}",
            "the configuration is refused: polices: unknown key \"polices\"; did you mean \"policies\"? (line 1, column 2)",
        ),
    ] {
        let Err(refused) = Vm::start(&module(), configuration) else { panic!("it loads: {sentence}") };
        let lines: Vec<_> = refused.log.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(lines, [sentence]);
    }
}
