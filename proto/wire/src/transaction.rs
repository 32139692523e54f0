//! The four transactions (RFC 3261 section 17, with RFC 6026) behind one layer, as pure state
//! machines. (Becomes a folder: one file for each machine, one for the layer.)

use crate::message::Message;
use crate::time::Time;
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

/// All transactions of one core.
#[derive(Debug)]
pub struct Layer<O> {
    #[allow(dead_code)]
    owner: std::marker::PhantomData<O>,
}

impl<O: Copy> Layer<O> {
    /// An empty layer; `timers` are the defaults for every transaction.
    pub fn new(_timers: Timers) -> Layer<O> {
        todo!()
    }
    /// Takes a parsed message from the network. Retransmissions are absorbed (and answered
    /// again). Matching follows RFC 3261 17.1.3 and 17.2.3, the sent-by included; requests from
    /// RFC 2543 peers (no cookie) match by their headers.
    pub fn receive(&mut self, _now: Time, _from: TransportKey, _message: Message) {
        todo!()
    }
    /// Sends a request other than ACK in a new client transaction. `bytes` is the whole request
    /// with its Via; `timers` overrides the defaults (spec: X24).
    pub fn request(
        &mut self,
        _now: Time,
        _to: TransportKey,
        _bytes: Bytes,
        _owner: O,
        _timers: Option<Timers>,
    ) -> ClientId {
        todo!()
    }
    /// Sends CANCEL for an INVITE that has had a provisional response (RFC 3261 9.1); before
    /// that it waits for one. No-op once a final response came.
    pub fn cancel(&mut self, _now: Time, _client: ClientId, _extra: &[(&str, &str)]) {
        todo!()
    }
    /// Forgets a client transaction without a word: its node is dead.
    pub fn abandon(&mut self, _client: ClientId) {
        todo!()
    }
    /// Answers a request: provisional or final. After a final answer the transaction lives on by
    /// itself. A second final answer is ignored. For a 2xx to an INVITE the **layer** repeats it
    /// (T1 doubling up to T2, 64*T1 long) until `acked` is called (RFC 3261 13.3.1.4).
    pub fn respond(&mut self, _now: Time, _server: ServerId, _status: u16, _bytes: Bytes) {
        todo!()
    }
    /// The ACK for the 2xx of this INVITE came.
    pub fn acked(&mut self, _server: ServerId) {
        todo!()
    }
    /// The request of a server transaction that is still there.
    pub fn request_of(&self, _server: ServerId) -> Option<(&Message, TransportKey)> {
        todo!()
    }
    /// The transport to this peer failed (a refused datagram): client transactions towards it
    /// that still wait for a first response end with `Timeout { transport: true }`.
    pub fn transport_failed(&mut self, _now: Time, _key: TransportKey) {
        todo!()
    }
    /// Does what is due.
    pub fn handle_deadline(&mut self, _now: Time) {
        todo!()
    }
    /// When something is due next.
    pub fn poll_deadline(&self) -> Option<Time> {
        todo!()
    }
    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output<O>> {
        todo!()
    }
    /// Live client and server transactions, for metrics and leak checks.
    pub fn len(&self) -> (usize, usize) {
        todo!()
    }
    /// Whether no transaction is live.
    pub fn is_empty(&self) -> bool {
        self.len() == (0, 0)
    }
}
