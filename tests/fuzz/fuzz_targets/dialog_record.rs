//! A dialog record.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| holdline_fuzz::record::check(data));
