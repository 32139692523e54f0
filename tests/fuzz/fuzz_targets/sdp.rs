//! A session description and its edits.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| holdline_fuzz::sdp::check(data));
