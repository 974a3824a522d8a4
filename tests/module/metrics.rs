// SPDX-License-Identifier: Apache-2.0

//! What the module counts, and when it tells the host.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::case_list::CaseList;
use crate::fake_host::Exchange;
use crate::run::{module, request, start, with_headers};

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
