//! What goes wrong around the programs, in words.

use std::fmt;
use std::io;

/// What goes wrong in a run, in words.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// A failure with the ends of the logs, readable also where a test unwraps it.
pub(crate) struct Failure(pub(crate) String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {}

/// An I/O error that says what was tried.
pub(crate) fn said(what: &str) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}
