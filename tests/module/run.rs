// SPDX-License-Identifier: Apache-2.0

//! How a case is run through the module.

use std::time::Duration;

use crate::case_list::{Case, CaseList, Outcome, target};
use crate::fake_host::{Cluster, Exchange, Header, Host, Module, Request, Vm};

pub(crate) fn module() -> Module {
    Module::from_file(&target().join("certbound.wasm"))
}

pub(crate) fn start(module: &Module, configuration: &[u8], case: Option<&Case>) -> Vm {
    let host = match case {
        Some(case) if case.without_host_cryptography => Host::default().without_foreign_functions(),
        Some(case) if case.introspection.is_some() => Host::default().with_cluster("no such cluster", Cluster::Waits),
        _ => Host::default(),
    };
    host.start(module, configuration).unwrap_or_else(|refused| panic!("{:?}", refused.log))
}

pub(crate) fn in_bytes(headers: Vec<(String, Vec<u8>)>) -> Vec<(Vec<u8>, Vec<u8>)> {
    headers.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect()
}

pub(crate) fn request(case: &Case) -> Request {
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
pub(crate) fn told(exchange: &Exchange) -> serde_json::Value {
    serde_json::from_slice(&exchange.properties["certbound"]).unwrap()
}

pub(crate) fn outcome(exchange: &Exchange) -> Outcome {
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

/// A good response of another server.
pub(crate) fn answered(body: &str) -> (Vec<Header>, Vec<u8>) {
    (vec![(b":status".to_vec(), b"200".to_vec())], body.as_bytes().to_vec())
}

/// A VM that the case's request came to twice: the first hit defines its counter.
pub(crate) fn acquainted(list: &CaseList, case: &Case) -> Vm {
    let mut vm = start(&module(), &list.configurations[&case.configuration].protobuf, None);
    vm.request(&request(case));
    vm.request(&request(case));
    vm
}

/// A good request for the policy `api`, with more headers.
pub(crate) fn with_headers(case: &Case, headers: &[(&str, &str)]) -> Request {
    headers.iter().fold(request(case), |request, (name, value)| request.with_header(name, value))
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
