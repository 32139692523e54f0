//! One header value, read by every view.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| holdline_fuzz::views::check(data));
