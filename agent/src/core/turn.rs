//! What is done with calls at a pace, and why calls are ended.

use holdline_b2bua::Cause;
use holdline_leg::Passage;

/// Why the agent ends a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nobody is heard.
    NoMedia,
    /// It has lasted for as long as calls may.
    TooLong,
    /// Its calling server does not know it any more, or is gone.
    CallerLost,
}

impl Why {
    /// The cause in logs and metrics.
    pub fn cause(self) -> Cause {
        match self {
            Why::NoMedia => Cause::NoMedia,
            Why::TooLong => Cause::TooLong,
            Why::CallerLost => Cause::CallerLost,
        }
    }

    /// The Reason (RFC 3326) for both sides.
    pub fn reason(self) -> Passage {
        Passage::reason(match self {
            Why::NoMedia => "SIP;cause=408;text=\"no media\"",
            Why::TooLong => "SIP;cause=408;text=\"call too long\"",
            Why::CallerLost => "SIP;cause=408;text=\"calling side lost\"",
        })
    }
}

/// What is done when a call has its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Its calling server is asked about it.
    Ask,
    /// It ends.
    End(Why),
}
