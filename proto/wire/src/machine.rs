//! The shape of a core: a pure state machine that a program or a simulated world drives.

use crate::time::Time;
use crate::transport::TransportKey;
use bytes::Bytes;

/// What a peer's kernel, a router's or our own said about a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportFault {
    /// Port unreachable, in the peer's own words: nobody listens there.
    Refused,
    /// Somebody on the way says that the peer cannot be reached.
    Unreachable,
    /// It did not leave this machine, which says nothing about the peer (spec: X52).
    Local(LocalFault),
}

/// Why a datagram did not leave this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LocalFault {
    /// There is no route, or the next hop on our own link does not answer.
    NoRoute,
    /// There is no file descriptor for a socket.
    NoDescriptor,
    /// There is no memory for it.
    NoBuffer,
    /// Our own packet filter does not let it out.
    Filtered,
    /// Anything else.
    Other,
}

impl LocalFault {
    /// All of them.
    pub const ALL: [LocalFault; 5] = [
        LocalFault::NoRoute,
        LocalFault::NoDescriptor,
        LocalFault::NoBuffer,
        LocalFault::Filtered,
        LocalFault::Other,
    ];

    /// A stable name, for metrics.
    pub fn name(self) -> &'static str {
        match self {
            LocalFault::NoRoute => "no_route",
            LocalFault::NoDescriptor => "no_descriptor",
            LocalFault::NoBuffer => "no_buffer",
            LocalFault::Filtered => "filtered",
            LocalFault::Other => "other",
        }
    }

    /// The same for people.
    pub fn as_str(self) -> &'static str {
        match self {
            LocalFault::NoRoute => "no route",
            LocalFault::NoDescriptor => "no file descriptor",
            LocalFault::NoBuffer => "no buffer",
            LocalFault::Filtered => "our own packet filter",
            LocalFault::Other => "an error of this machine",
        }
    }
}

/// What a core takes in; `X` is what only this core knows.
#[derive(Clone, Debug)]
pub enum Input<X> {
    /// A datagram, or one framed message of a stream.
    Message {
        /// The flow it came by.
        from: TransportKey,
        /// All of it.
        bytes: Bytes,
    },
    /// A flow failed. `key.remote` is whom our datagram was for.
    Fault {
        /// The flow.
        key: TransportKey,
        /// How.
        fault: TransportFault,
        /// The start of the datagram that met it, as far as it is told; often nothing.
        quoted: Bytes,
    },
    /// The time of [`Machine::poll_deadline`] has come. Harmless when early.
    Deadline,
    /// Anything else.
    Other(X),
}

/// What a core wants done; `Y` is what only this core knows.
#[derive(Clone, Debug)]
pub enum Output<Y> {
    /// Send these bytes by this flow, opening its connected socket if it is not open yet.
    Send {
        /// The flow.
        to: TransportKey,
        /// All of the message.
        bytes: Bytes,
    },
    /// Close the connected socket of this flow.
    Close(TransportKey),
    /// Anything else.
    Other(Y),
}

/// A core: after each `handle`, drain `poll_output` until it is empty, then sleep until
/// `poll_deadline` or the next input.
pub trait Machine {
    /// Inputs beside messages.
    type In;
    /// Outputs beside messages.
    type Out;

    /// Takes one input at `now`. Time never runs backwards.
    fn handle(&mut self, now: Time, input: Input<Self::In>);
    /// The next thing to do.
    fn poll_output(&mut self) -> Option<Output<Self::Out>>;
    /// When `Input::Deadline` is wanted; a time that has passed means at once.
    fn poll_deadline(&self) -> Option<Time>;
}
