//! What the core takes in and gives out beside SIP messages.

use crate::store::{StoreReply, StoreRequest};
use holdline_b2bua::{Cause, Ignored};
use holdline_relay::{Command, Report};
use std::net::SocketAddr;
use std::time::Duration;

/// An input that is no SIP message.
#[derive(Clone, Debug)]
pub enum In {
    /// The relay reports.
    Media(Report),
    /// The store replies.
    Store(StoreReply),
    /// The operator commands.
    Operator(Operator),
    /// The loop that runs the core was late by this much.
    LoopLate(Duration),
}

/// What an operator can ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Take no new calls; the calls that are there go on.
    Drain,
    /// Take new calls again.
    Resume,
}

/// An output that is no SIP message.
#[derive(Clone, Debug)]
pub enum Out {
    /// For the relay.
    Relay(Command),
    /// For the store.
    Store(StoreRequest),
    /// For logs, metrics and records.
    Event(Event),
}

/// A call's number in this run of the node, for logs.
pub type CallNumber = u64;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A new call was placed downstream.
    Placed(CallNumber),
    /// A call is up.
    Up {
        /// The call.
        call: CallNumber,
        /// From the INVITE to the answer.
        setup: Duration,
    },
    /// A call is over.
    Over {
        /// The call.
        call: CallNumber,
        /// From the INVITE on.
        lasted: Duration,
        /// Why.
        cause: Cause,
    },
    /// Nothing is heard of an agent that has calls here (spec: X42).
    AgentGone {
        /// Its name.
        agent: Box<str>,
        /// How many calls it has.
        calls: usize,
        /// Another process speaks in its name.
        restarted: bool,
    },
    /// It is heard again.
    AgentBack {
        /// Its name.
        agent: Box<str>,
        /// How many calls it has.
        calls: usize,
    },
    /// A failover call asks for a dialog (spec: D31).
    ClaimAsked(CallNumber),
    /// A failover call is up (spec: D31).
    ClaimDone {
        /// The call.
        call: CallNumber,
        /// How often it has moved now.
        generation: u32,
        /// From its INVITE to the downstream answer.
        took: Duration,
    },
    /// A failover call was refused upstream.
    ClaimRefused {
        /// The call.
        call: CallNumber,
        /// With this status.
        status: u16,
    },
    /// A call belongs to another node now: dropped without a word (spec: X28).
    Moved(CallNumber),
    /// An INVITE was refused before it became a call.
    Refused {
        /// With this status.
        status: u16,
    },
    /// A message was not acted upon (spec: X40).
    Ignored {
        /// Where it came from.
        from: SocketAddr,
        /// Why.
        why: Ignored,
    },
    /// A session description could not be carried.
    Uncarried {
        /// The call.
        call: CallNumber,
        /// Why.
        why: String,
    },
    /// The relay could not open a port.
    BindFailed {
        /// The address.
        local: SocketAddr,
        /// The operating system's error number.
        errno: i32,
    },
    /// The store did not commit a call in time; its answer went upstream all the same.
    StoreLate(CallNumber),
    /// The store failed, or was asked too much.
    StoreDown,
    /// The store works again.
    StoreUp,
    /// The node had stood still and asks who owns its calls (spec: X28).
    Paused {
        /// How many calls it asks about.
        calls: usize,
        /// How long it stood still.
        lasted: Duration,
    },
    /// A message came while that was asked and too many were waiting: dropped.
    ParkingFull,
}

/// The core at one moment, for `/status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Live calls, those being set up included.
    pub calls: usize,
    /// Calls at most.
    pub capacity: usize,
    /// What `Instance-Utilization` says, percent.
    pub utilization: u8,
    /// Media port pairs in use, and all.
    pub ports: (usize, usize),
    /// Client and server transactions.
    pub transactions: (usize, usize),
    /// Whether the store answered last time.
    pub store_up: bool,
    /// Operations that wait for the store.
    pub store_waiting: usize,
    /// Whether new calls are refused.
    pub draining: bool,
    /// Agents that have not heard of that yet, and are to.
    pub untold: usize,
}
