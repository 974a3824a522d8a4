#![no_main]
// SPDX-License-Identifier: Apache-2.0

libfuzzer_sys::fuzz_target!(|input: &[u8]| checks::xfcc::check(input));
