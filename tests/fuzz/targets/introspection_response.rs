#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::introspection_response::check(input));
