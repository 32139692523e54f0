//! One datagram as a SIP message.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| holdline_fuzz::message::check(data));
