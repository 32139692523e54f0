//! RTP of several sources through one continuous stream.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| holdline_fuzz::rtp::check(data));
