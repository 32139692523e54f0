//! What must hold for whatever others send, one module for each reader. The targets in
//! `fuzz_targets/` hand bytes to them; `scripts/fuzz` builds and runs those.
//!
//! A property that does not hold panics, which libFuzzer takes for a crash.

pub mod memory;
pub mod message;
pub mod record;
pub mod rtcp;
pub mod rtp;
pub mod script;
pub mod sdp;
pub mod stream;
pub mod trunk;
pub mod views;

/// How many lines a message has before its body, folds taken as part of theirs. One more than
/// were written is a header that somebody smuggled in.
pub(crate) fn lines(message: &[u8]) -> usize {
    let mut count = 0;
    for line in message.split(|byte| *byte == b'\n') {
        match line {
            [] | [b'\r'] => break,
            [b' ' | b'\t', ..] => {}
            _ => count += 1,
        }
    }
    count
}
