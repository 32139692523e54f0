//! The log without its thread.

use super::redact::redact;
use std::io::{self, Write};

/// The thread that writes.
pub(crate) const THREAD: &str = "holdline-log";

/// For what must be said though nobody writes the log any more.
pub(crate) fn write_directly(line: &str) {
    let _ = io::stderr().write_all(redact(line).as_bytes());
}
