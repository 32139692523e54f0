//! The four transactions (RFC 3261 section 17, with RFC 6026) behind one layer, as pure state
//! machines.
//!
//! Each machine is written state by state after the RFC's diagram and answers every input with
//! `effects::Effects`; the [`Layer`] owns the tables, the timer queue and the outputs, and is
//! the only place that carries effects out.

mod client_invite;
mod client_other;
mod derived;
mod effects;
mod key;
mod layer;
mod server_invite;
mod server_other;
#[cfg(test)]
mod tests;

pub use layer::Layer;

use crate::message::Message;
use crate::transport::TransportKey;
use bytes::Bytes;
use std::time::Duration;

/// The timers of RFC 3261 table 4, from which all others follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Round-trip estimate (RFC 3261 17.1.1.1): 500 ms.
    pub t1: Duration,
    /// Longest retransmit interval: 4 s.
    pub t2: Duration,
    /// Longest time a message stays in the network: 5 s.
    pub t4: Duration,
}

impl Default for Timers {
    fn default() -> Timers {
        Timers {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            t4: Duration::from_secs(5),
        }
    }
}

/// How much the layer keeps for requests from the network (RFC 3261 17.2). An eighth of each is
/// kept back for requests inside dialogs: a flood of others must not keep anybody from hanging up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most live server transactions: 100,000.
    pub servers: usize,
    /// The most bytes of requests kept by them: 256 MiB.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            servers: 100_000,
            bytes: 256 << 20,
        }
    }
}

impl Limits {
    /// What requests outside any dialog may take of it.
    fn outside_dialogs(self) -> Limits {
        Limits {
            servers: self.servers - self.servers / 8,
            bytes: self.bytes - self.bytes / 8,
        }
    }
}

/// A client transaction; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// A server transaction; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerId(pub u64);

/// What the layer tells the transaction user. `O` is the owner given with the request.
#[derive(Debug)]
pub enum Event<O> {
    /// A new request. For CANCEL, `cancels` is the INVITE's server transaction if it matches one
    /// that is not yet answered (the user answers both).
    Request {
        /// Its transaction, to answer with.
        server: ServerId,
        /// The request.
        message: Message,
        /// Where it came from.
        from: TransportKey,
        /// For CANCEL: what it cancels.
        cancels: Option<ServerId>,
    },
    /// An ACK that ends no server transaction of a non-2xx: it is for a 2xx.
    Ack {
        /// The ACK.
        message: Message,
        /// Where it came from.
        from: TransportKey,
    },
    /// A response to a request of ours. Every 2xx to an INVITE is passed up, also repeated ones
    /// (RFC 6026); of others, only the first final one.
    Response {
        /// The transaction.
        client: ClientId,
        /// Who sent the request.
        owner: O,
        /// The response.
        message: Message,
        /// Where it came from.
        from: TransportKey,
    },
    /// No final response came in time (timer B or F), or the transport failed.
    Timeout {
        /// The transaction.
        client: ClientId,
        /// Who sent the request.
        owner: O,
        /// Whether the transport failed instead.
        transport: bool,
    },
    /// No ACK came for the 2xx of this INVITE in 64*T1 (timer L, RFC 6026): the dialog is up on
    /// our side only and is to be ended with BYE (RFC 3261 13.3.1.4). The transaction is gone. A
    /// missing ACK for any other final answer is not told: no dialog stands behind it.
    NoAck {
        /// The INVITE's server transaction.
        server: ServerId,
        /// The INVITE: by its To tag the dialog is found.
        invite: Message,
    },
    /// A response that matches nothing (also a 2xx after its transaction ended).
    Stray {
        /// The response.
        message: Message,
        /// Where it came from.
        from: TransportKey,
    },
}

/// What the layer wants done.
#[derive(Debug)]
pub enum Output<O> {
    /// Send these bytes.
    Send(TransportKey, Bytes),
    /// Tell the transaction user.
    Event(Event<O>),
}
