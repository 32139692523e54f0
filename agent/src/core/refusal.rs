//! Whose refusal it is that a node says: its own, so that others are asked and it is spared for a
//! while, or that of the far end behind it, which would say the same to any node (spec: X53).

use holdline_wire::Message;
use holdline_wire::header::{InstanceRefusal, Name};
use std::time::Duration;

/// Who refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The node, which says so.
    Node,
    /// The far end: the node is of our make, and would say if it were its own.
    FarEnd,
    /// One of them: the node is of another make.
    Unsure,
}

impl Whose {
    /// Whose the refusal `response` of a node is.
    pub fn of(response: &Message) -> Whose {
        let has = |name| response.header(name).is_some();
        match (has(Name::InstanceRefusal), has(Name::InstanceIncarnation)) {
            (true, _) => Whose::Node,
            (false, true) => Whose::FarEnd,
            (false, false) => Whose::Unsure,
        }
    }
}

/// A node's refusal of an INVITE, beside what a signal tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub whose: Whose,
    /// The node cannot go on since a port of its own is another socket's.
    pub no_port: bool,
    /// When to ask again.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    /// What `response` says.
    pub fn of(response: &Message) -> Refusal {
        let mark = response.header(Name::InstanceRefusal);
        Refusal {
            whose: Whose::of(response),
            no_port: mark
                .is_some_and(|mark| InstanceRefusal::parse(mark) == InstanceRefusal::NoPort),
            retry_after: retry_after(response),
        }
    }
}

/// For how long the sender wants no further request (RFC 3261 20.33); a comment and parameters may
/// follow the seconds.
pub fn retry_after(response: &Message) -> Option<Duration> {
    let value = response.text(Name::RetryAfter)?;
    let digits = value.trim_start();
    let end = digits.find(|c: char| !c.is_ascii_digit());
    let seconds = digits[..end.unwrap_or(digits.len())].parse::<u32>().ok()?;
    Some(Duration::from_secs(seconds.into()))
}

/// Whether a far end may say something else a moment later.
pub fn may_pass(status: u16) -> bool {
    matches!(status, 408 | 480 | 487 | 491 | 500..=599)
}

/// RFC 3261 21.6: no other node would say anything else.
pub fn decides(status: u16) -> bool {
    matches!(status, 600..=699)
}
