//! Why the node ends calls by itself.

use holdline_b2bua::Cause;

/// Why the node ends a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Its calling side is gone.
    Lost,
    /// Nobody is heard.
    NoMedia,
    /// It has lasted for as long as calls may.
    TooLong,
}

impl Why {
    /// The cause in logs and metrics.
    pub fn cause(self) -> Cause {
        match self {
            Why::Lost => Cause::AgentLost,
            Why::NoMedia => Cause::NoMedia,
            Why::TooLong => Cause::TooLong,
        }
    }

    /// The text of the Reason (RFC 3326) for both sides.
    pub fn text(self) -> &'static str {
        match self {
            Why::Lost => "calling side lost",
            Why::NoMedia => "no media",
            Why::TooLong => "call too long",
        }
    }
}
