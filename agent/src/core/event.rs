//! What goes into the core and comes out of it beside SIP messages.

use crate::cluster::{NodeStore, Verdict};
use crate::core::pacing::FarEndTold;
use holdline_b2bua::{Cause, Ignored};
use holdline_relay::{Command, Report};
use holdline_wire::machine::LocalFault;
use std::net::SocketAddr;
use std::time::Duration;

/// An input.
#[derive(Clone, Debug)]
pub enum In {
    /// The relay's report.
    Media(Report),
    /// The trunk document as fetched.
    Trunk(bytes::Bytes),
    /// The program's own loop was this late: evidence of that time is void (spec: X21).
    LoopLate(Duration),
    /// The operator's wish.
    Operator(Operator),
}

/// An operator's wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Take no new calls; those that run go on.
    Drain,
}

/// An output.
#[derive(Clone, Debug)]
pub enum Out {
    /// For the relay.
    Relay(Command),
    /// For logs, metrics and records.
    Event(Event),
}

/// How long after a verdict the steps of its failover came; those that came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// The first INVITE left.
    pub first_invite: Option<Duration>,
    /// The first new node gave a media address.
    pub first_media: Option<Duration>,
    /// The first call had moved.
    pub first_moved: Option<Duration>,
    /// The last call had.
    pub last_moved: Option<Duration>,
}

/// Something worth telling. Calls are named by the Call-ID towards the calling server; no event
/// holds a phone number.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A call was placed through a node.
    CallPlaced {
        /// The call.
        call: Box<str>,
        /// The node.
        node: SocketAddr,
    },
    /// A call was answered.
    CallAnswered {
        /// The call.
        call: Box<str>,
    },
    /// A call ended; exactly once for each that was placed or refused.
    CallEnded {
        /// The call.
        call: Box<str>,
        /// Why.
        cause: Cause,
        /// How often it had moved.
        generation: u32,
    },
    /// Evidence against a node; a burst of probes is under way.
    NodeSuspect {
        /// The node.
        node: SocketAddr,
        /// The kind of what was seen, a stable name.
        kind: &'static str,
        /// What was seen.
        evidence: String,
    },
    /// The suspicion was wrong.
    NodeCleared {
        /// The node.
        node: SocketAddr,
        /// The kind of what had raised it.
        kind: &'static str,
        /// How long it lasted.
        after: Duration,
    },
    /// Nothing that we send leaves this machine for any node: nobody is judged (spec: X52).
    Blind {
        /// Why.
        kind: LocalFault,
    },
    /// A node answers again.
    Sighted {
        /// How long we were blind.
        after: Duration,
    },
    /// A node is used from now on.
    NodeAlive {
        /// The node.
        node: SocketAddr,
    },
    /// A node takes no new calls and is about to leave, as it says (spec: D34).
    NodeDraining {
        /// The node.
        node: SocketAddr,
    },
    /// A node is used no more, with calls or without.
    NodeGone {
        /// The node.
        node: SocketAddr,
        /// What became of it, and why that is known.
        verdict: Verdict,
    },
    /// Two nodes do not share a store (spec: X59).
    StoresDiffer {
        /// One node and its store.
        one: NodeStore,
        /// Another one.
        other: NodeStore,
    },
    /// A node's calls move. Not told of a node that has none.
    FailoverStarted {
        /// Names the failover in logs, metrics and records.
        failover: u64,
        /// The node that died.
        node: SocketAddr,
        /// How many calls.
        calls: usize,
        /// The verdict; `None` for a restart (spec: X39).
        verdict: Option<Verdict>,
    },
    /// A node's calls would move, were this not a dry run.
    FailoverWithheld {
        /// Names the verdict in logs and `/status`.
        failover: u64,
        /// The node.
        node: SocketAddr,
        /// How many calls.
        calls: usize,
        /// The verdict; `None` for a restart (spec: X39).
        verdict: Option<Verdict>,
    },
    /// A call was moved.
    CallMoved {
        /// The failover.
        failover: u64,
        /// The call.
        call: Box<str>,
        /// Its new node.
        node: SocketAddr,
        /// From the verdict to the new answer.
        after: Duration,
    },
    /// A call could not be moved.
    CallLost {
        /// The failover.
        failover: u64,
        /// The call.
        call: Box<str>,
        /// The last refusal, 0 where there was none.
        status: u16,
    },
    /// A call has waited so long for its far end, which is asked to take only so many over at a
    /// time, that it cannot be called protected (spec: X57).
    MoveLate {
        /// The failover.
        failover: u64,
        /// The call.
        call: Box<str>,
        /// Whom it waits for.
        far_end: FarEndTold,
        /// Whether it is the first of those that wait for this far end.
        first: bool,
    },
    /// The far end hung up a moment after the call had moved.
    HangupAfterMove {
        /// The call.
        call: Box<str>,
        /// How long after.
        after: Duration,
    },
    /// No call of the failover is moving any more.
    FailoverDone {
        /// The failover.
        failover: u64,
        /// Calls moved.
        moved: usize,
        /// Calls lost.
        lost: usize,
        /// Calls that were hung up meanwhile.
        ended: usize,
        /// From the verdict to the first INVITE to another node, to the first media address of
        /// one, and to the first and the last call moved.
        steps: Steps,
        /// From the verdict to the last call moved.
        took: Duration,
    },
    /// The cluster changed.
    TrunkChanged {
        /// The document's version.
        version: u64,
        /// How many instances it lists.
        instances: usize,
    },
    /// A document was refused; the one before stays in force (spec: X10).
    TrunkRefused {
        /// What is wrong with it.
        reason: String,
    },
    /// A message was not answered (spec: X40).
    Ignored {
        /// Where it came from.
        from: SocketAddr,
        /// Why.
        why: Ignored,
    },
    /// An INVITE was refused before it became a call.
    CallRefused {
        /// With this status.
        status: u16,
    },
    /// A media port could not be opened.
    PortRefused {
        /// The address.
        local: SocketAddr,
        /// The operating system's error number.
        errno: i32,
    },
    /// There was no room to remember more of what calls left behind: the oldest of it is forgotten.
    Forgotten {
        /// What it was.
        what: &'static str,
    },
}
