//! Depth 2 of the one list of cases: the module as it is shipped, in a fake host where every call that is not meant is a
//! failure.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on must stop"
)]

mod case_list;
mod fake_host;

use std::time::Duration;

use case_list::{Case, CaseList, Outcome, target};
use fake_host::{Exchange, Host, Module, Request, Vm};

fn module() -> Module {
    Module::from_file(&target().join("certbound.wasm"))
}

fn start(module: &Module, configuration: &[u8], case: Option<&Case>) -> Vm {
    let host = match case {
        Some(case) if case.without_host_cryptography => Host::default().without_foreign_functions(),
        _ => Host::default(),
    };
    host.start(module, configuration).unwrap_or_else(|refused| panic!("{:?}", refused.log))
}

fn request(case: &Case) -> Request {
    Request {
        headers: case.headers().into_iter().map(|(name, value)| (name.into_bytes(), value)).collect(),
        properties: case.properties(),
        now: Duration::from_secs(case.now),
        end_of_stream: true,
    }
}

fn outcome(exchange: &Exchange) -> Outcome {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let reason_after = |prefix: &str| {
        let line = exchange.log.iter().find_map(|line| line.text.strip_prefix(prefix));
        line.and_then(|line| line.split(' ').next()).map(str::to_owned)
    };
    match &exchange.outcome {
        fake_host::Outcome::Forwarded { headers } => Outcome::Forwarded {
            headers: headers.iter().map(|(name, value)| (text(name), value.clone())).collect(),
            note: reason_after("would have refused: reason="),
        },
        fake_host::Outcome::Replied { status, headers, body } => {
            let values = |wanted: &'static str| {
                let named = headers.iter().filter(move |(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()));
                named.map(|(_, value)| text(value))
            };
            Outcome::Refused {
                reason: reason_after("refused: reason=").unwrap_or_default(),
                grpc_status: values("grpc-status").next().map(|status| status.parse().unwrap()),
                status: u16::try_from(*status).unwrap(),
                challenges: values("www-authenticate").collect(),
                body: body.clone(),
            }
        }
    }
}

#[test]
fn every_case_of_the_list_comes_out_as_it_says() {
    let list = CaseList::read();
    let module = module();
    let mut wrong = Vec::new();
    for (name, configuration) in &list.configurations {
        if name == "fetched-keys" {
            // The fake host makes no calls to other servers; tests/test_keys.py has a real host and real servers.
            continue;
        }
        for bytes in [configuration.json.as_bytes(), &configuration.protobuf] {
            // One VM for all of them, as one worker of a proxy serves one request after the other.
            let mut with = start(&module, bytes, None);
            for case in list.cases.iter().filter(|case| case.configuration == *name) {
                let exchange = match case.without_host_cryptography {
                    true => start(&module, bytes, Some(case)).request(&request(case)),
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
    let case = list.cases.iter().find(|case| case.sentence == sentence).expect(sentence);
    let configuration = &list.configurations[&case.configuration];
    start(&module(), &configuration.protobuf, None).request(&request(case)).calls
}

const FACTS: [&str; 4] = [
    "proxy_get_header_map_pairs request",
    "proxy_get_property xds.route_metadata.filter_metadata.certbound",
    "proxy_get_property connection.sha256_peer_certificate_digest",
    "proxy_get_current_time_nanoseconds",
];

#[test]
fn a_bound_token_costs_five_host_calls() {
    let expected = [&FACTS[..], &["proxy_call_foreign_function verify_signature"]].concat();
    assert_eq!(calls("a token on the certificate that it is bound to passes"), expected);
}

#[test]
fn a_token_seen_before_costs_four_host_calls_and_no_cryptography() {
    let list = CaseList::read();
    let sentence = "a token on the certificate that it is bound to passes";
    let case = list.cases.iter().find(|case| case.sentence == sentence).expect(sentence);
    let mut vm = start(&module(), &list.configurations[&case.configuration].protobuf, None);
    vm.request(&request(case));
    assert_eq!(vm.request(&request(case)).calls, FACTS);
}

#[test]
fn a_policy_asks_the_host_for_what_it_checks_and_nothing_else() {
    let asked = |fact| [&FACTS[..], &["proxy_call_foreign_function verify_signature", fact]].concat();
    let server_name = "proxy_get_property connection.requested_server_name";
    assert_eq!(calls("localhost is the server name"), asked(server_name));
    let certificate = "proxy_get_property connection.peer_certificate";
    assert_eq!(calls("a certificate that is valid passes"), asked(certificate));
    let revoked = [&FACTS[..], &["proxy_log info", "proxy_send_local_response 401"]].concat();
    assert_eq!(calls("a certificate that is listed as x5t#S256 is refused with a token that is bound to it"), revoked);
    assert_eq!(calls("an observed token on another certificate is noted"), asked("proxy_log info"));
    assert_eq!(calls("a preflight passes where the policy says so"), FACTS);
}

#[test]
fn a_refusal_costs_its_log_line_and_its_answer() {
    let expected = [&FACTS[..], &["proxy_log info", "proxy_send_local_response 401"]].concat();
    assert_eq!(calls("a request without a token is challenged without an error code"), expected);
}

#[test]
fn a_certificate_is_read_only_where_it_is_handed_over() {
    let expected = [
        &FACTS[..],
        &[
            "proxy_get_property connection.peer_certificate_valid",
            "proxy_get_property connection.peer_certificate",
            "proxy_replace_header_map_value request x-clientcert",
            "proxy_replace_header_map_value request client-cert",
        ],
    ]
    .concat();
    assert_eq!(calls("a validated certificate is handed over in every dialect"), expected);
    assert_eq!(calls("without a certificate nothing is handed over"), FACTS);
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
