// SPDX-License-Identifier: Apache-2.0

//! The file that is shipped: its size, its exports, how it starts and how it stops.

use crate::case_list::{CaseList, target};
use crate::fake_host::Vm;
use crate::run::{module, start};

/// In bytes, as it is shipped. Every VM compiles all of it: what grows it must be worth that.
/// Signatures by ES256, for private_key_jwt, are 40 kB of it: an introspection without a secret that two servers know.
const LARGEST: u64 = 945_000;

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
