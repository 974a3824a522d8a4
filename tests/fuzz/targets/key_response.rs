#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::key_response::check(input));
