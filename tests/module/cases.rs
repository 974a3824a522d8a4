// SPDX-License-Identifier: Apache-2.0

//! Every case of the list, in the module as it is shipped, in a fake host where every call that is not meant is a failure.

use std::collections::BTreeMap;

use crate::case_list::{Case, CaseList};
use crate::fake_host::Request;
use crate::run::{answered, in_bytes, module, outcome, request, start, told};

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
