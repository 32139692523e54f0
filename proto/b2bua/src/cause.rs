//! Why things end, or are not looked at: the words of logs and metrics.

use std::fmt;

/// Why a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// One side hung up.
    Hangup,
    /// The far end hung up within a second of a move, which is rarely a person.
    HangupAfterMove,
    /// The caller gave up before it was answered.
    Cancelled,
    /// It was not answered: somebody refused it, or nobody was there.
    Refused,
    /// It was up and could not go on.
    Failed,
    /// Its node died and no other could take it over.
    Lost,
    /// Nobody was heard for too long.
    NoMedia,
    /// It had lasted for as long as calls may.
    TooLong,
    /// Its agent was gone for too long.
    AgentLost,
    /// Its calling server was gone, or did not know it any more.
    CallerLost,
}

impl Cause {
    /// The word in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Cause::Hangup => "hangup",
            Cause::HangupAfterMove => "hangup_after_move",
            Cause::Cancelled => "cancelled",
            Cause::Refused => "refused",
            Cause::Failed => "failed",
            Cause::Lost => "lost",
            Cause::NoMedia => "no_media",
            Cause::TooLong => "too_long",
            Cause::AgentLost => "agent_lost",
            Cause::CallerLost => "caller_lost",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a message was not acted upon, nor (but for a malformed request of a peer) answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ignored {
    /// It came from somebody who may not speak to us (spec: X40).
    Source,
    /// It is no SIP message.
    Garbage,
    /// It is one that is refused as it stands, and was.
    Malformed,
    /// Too many transactions are live: its sender repeats it.
    Overload,
}

impl Ignored {
    /// The word in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Ignored::Source => "source",
            Ignored::Garbage => "garbage",
            Ignored::Malformed => "malformed",
            Ignored::Overload => "overload",
        }
    }
}
