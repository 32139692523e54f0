//! What one leg tells the other: what happened, never how it was written.

use crate::passage::Passage;
use bytes::Bytes;
use holdline_wire::Method;
use holdline_wire::transaction::ServerId;

/// Names a request that travels from one leg to the other until its reply comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub ServerId);

/// Why a leg ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndCause {
    /// The peer hung up: BYE, or CANCEL before the answer.
    Peer,
    /// The peer says that it knows no such dialog (481), or answered nothing for 64*T1.
    Gone,
    /// The peer never acknowledged our 2xx.
    NoAck,
    /// Our own program ended it.
    Own,
}

/// An event on one leg, to be applied to the other.
#[derive(Clone, Debug)]
pub enum Signal {
    /// The call rings, queues or plays early media: any 1xx but 100.
    Progress {
        /// 101..=199.
        status: u16,
        /// The reason phrase.
        reason: Bytes,
        /// What travels with it.
        passage: Passage,
    },
    /// The call is answered.
    Answer {
        /// 200..=299.
        status: u16,
        /// The reason phrase.
        reason: Bytes,
        /// What travels with it.
        passage: Passage,
    },
    /// The call is refused, redirected or challenged.
    Refuse {
        /// 300..=699.
        status: u16,
        /// The reason phrase.
        reason: Bytes,
        /// What travels with it.
        passage: Passage,
    },
    /// Nothing came back for our INVITE in its time, or it could not be sent: nobody has refused
    /// the call, so another way to the same peer may do (spec: X53).
    Unanswered {
        /// What the other leg answers with: 408, or 503 where it could not be sent.
        status: u16,
    },
    /// The ACK of an INVITE that had no offer: it carries the answer.
    Ack {
        /// What travels with it.
        passage: Passage,
    },
    /// A request inside the call: re-INVITE, UPDATE, INFO, REFER ...
    Request {
        /// Comes back in the reply.
        id: RequestId,
        /// The method.
        method: Method,
        /// What travels with it.
        passage: Passage,
    },
    /// The final reply to a request inside the call.
    Reply {
        /// The request's name.
        id: RequestId,
        /// 200..=699.
        status: u16,
        /// The reason phrase.
        reason: Bytes,
        /// What travels with it.
        passage: Passage,
    },
    /// A re-INVITE that was passed on is cancelled.
    CancelRequest {
        /// The request's name.
        id: RequestId,
    },
    /// The leg is over.
    End {
        /// Why.
        cause: EndCause,
        /// The Reason headers (RFC 3326) that came with it.
        passage: Passage,
    },
}

impl Signal {
    /// A refusal of our own, with the reason phrase of its status.
    pub fn refuse(status: u16, passage: Passage) -> Signal {
        Signal::Refuse {
            status,
            reason: Bytes::new(),
            passage,
        }
    }

    /// A reply of our own, with the reason phrase of its status.
    pub fn reply(id: RequestId, status: u16, passage: Passage) -> Signal {
        Signal::Reply {
            id,
            status,
            reason: Bytes::new(),
            passage,
        }
    }

    /// What travels with the signal.
    pub fn passage_mut(&mut self) -> Option<&mut Passage> {
        match self {
            Signal::Progress { passage, .. }
            | Signal::Answer { passage, .. }
            | Signal::Refuse { passage, .. }
            | Signal::Ack { passage }
            | Signal::Request { passage, .. }
            | Signal::Reply { passage, .. }
            | Signal::End { passage, .. } => Some(passage),
            Signal::CancelRequest { .. } | Signal::Unanswered { .. } => None,
        }
    }
}
