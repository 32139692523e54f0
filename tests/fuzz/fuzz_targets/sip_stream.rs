//! Bytes of a stream, cut into SIP messages.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| holdline_fuzz::stream::check(data));
