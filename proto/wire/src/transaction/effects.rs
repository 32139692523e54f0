//! What a machine wants of the layer, and the timer values that all machines share.

use super::Timers;
use bytes::Bytes;
use std::time::Duration;

/// The least value of timer D over unreliable transports (RFC 3261 17.1.1.2): the server's T1 is
/// not known here, so ours must not shorten it.
const MIN_TIMER_D: Duration = Duration::from_secs(32);
/// The least T1 taken, so that no timer can fire in an endless loop.
const MIN_T1: Duration = Duration::from_millis(1);

/// What one of a transaction's two timers does next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Change {
    /// It stays as it is.
    #[default]
    Keep,
    /// It fires after this time.
    Set(Duration),
    /// It fires after this time or a little later: nobody waits for it.
    Linger(Duration),
    /// It is stopped.
    Clear,
}

/// What the transaction user hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tell {
    /// The response at hand belongs to this transaction.
    Response,
    /// The response at hand comes after the transaction's answer.
    Stray,
    /// No final response came.
    Timeout,
    /// The ACK at hand is for a 2xx.
    Ack,
    /// No ACK came for the 2xx.
    NoAck,
}

/// Everything that follows from one input to a machine.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Effects {
    /// Send this to the transaction's peer.
    pub send: Option<Bytes>,
    /// Start the client transaction of this CANCEL.
    pub cancel: Option<Bytes>,
    /// Tell the user.
    pub tell: Option<Tell>,
    /// Timers A, E, G and the repetition of a 2xx.
    pub retransmit: Change,
    /// The timer that ends the present state: B, D, F, H, I, J, K, L or M.
    pub phase: Change,
    /// The transaction is over: forget it.
    pub end: bool,
}

impl Effects {
    /// Nothing happens.
    pub fn none() -> Effects {
        Effects::default()
    }

    /// Only this is told.
    pub fn tell(tell: Tell) -> Effects {
        Effects {
            tell: Some(tell),
            ..Effects::default()
        }
    }

    /// Only this is sent, if it is there.
    pub fn send(bytes: Option<Bytes>) -> Effects {
        Effects {
            send: bytes,
            ..Effects::default()
        }
    }

    /// The transaction is over.
    pub fn end(tell: Option<Tell>) -> Effects {
        Effects {
            tell,
            end: true,
            ..Effects::default()
        }
    }

    /// Lets no retransmission follow, and lets the state last for `linger`; nothing to wait for
    /// ends the transaction at once.
    pub fn linger(mut self, linger: Duration) -> Effects {
        self.retransmit = Change::Clear;
        self.phase = Change::Linger(linger);
        self.end = linger.is_zero();
        self
    }
}

/// The timer values of one transaction (RFC 3261 table 4).
#[derive(Clone, Copy, Debug)]
pub(super) struct Values {
    pub t1: Duration,
    pub t2: Duration,
    t4: Duration,
    /// The T1 to expect of a peer that repeats its messages by its own clock.
    peer_t1: Duration,
    pub reliable: bool,
}

impl Values {
    /// The values for `timers`, where peers are expected to run with `common`.
    pub fn new(timers: Timers, common: Timers, reliable: bool) -> Values {
        let t1 = timers.t1.max(MIN_T1);
        let (t2, t4) = (timers.t2.max(t1), timers.t4);
        Values {
            t1,
            t2,
            t4,
            peer_t1: t1.max(common.t1),
            reliable,
        }
    }

    /// The first retransmission; none over a reliable transport.
    pub fn first_retransmit(&self) -> Change {
        if self.reliable {
            Change::Keep
        } else {
            Change::Set(self.t1)
        }
    }

    /// Timers B, F, H and L, and how long a cancelled INVITE is waited for (RFC 3261 9.1).
    pub fn give_up(&self) -> Duration {
        self.t1 * 64
    }

    /// Timer D (RFC 3261 17.1.1.2).
    pub fn d(&self) -> Duration {
        self.unreliable(MIN_TIMER_D.max(self.peer_t1 * 64))
    }

    /// Timer J (RFC 3261 17.2.2).
    pub fn j(&self) -> Duration {
        self.unreliable(self.t1 * 64)
    }

    /// Timers I and K (RFC 3261 17.1.2.2 and 17.2.1).
    pub fn i_or_k(&self) -> Duration {
        self.unreliable(self.t4)
    }

    /// Timer M (RFC 6026 section 7.2), for as long as the peer may repeat its 2xx.
    pub fn m(&self) -> Duration {
        self.peer_t1 * 64
    }

    fn unreliable(&self, value: Duration) -> Duration {
        if self.reliable { Duration::ZERO } else { value }
    }
}
