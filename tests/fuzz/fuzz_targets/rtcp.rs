//! RTCP of both ends beside their RTP.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| holdline_fuzz::rtcp::check(data));
