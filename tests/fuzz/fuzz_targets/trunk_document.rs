//! A trunk document.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| holdline_fuzz::trunk::check(data));
