// SPDX-License-Identifier: Apache-2.0

//! The lines of the log, and what an access log learns.

use std::time::Duration;

use crate::case_list::{Case, CaseList};
use crate::run::{module, request, start, told, with_headers};

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
            "client": null, "subject": "client-1", "issuer": "https://as.example.com",
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
