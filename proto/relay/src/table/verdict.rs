//! What the table says to whoever owns the sockets.

use crate::command::Side;
use holdline_wire::rtp::Dropped;

/// Which port of a side's pair. With rtcp-mux, RTCP travels by the RTP port (RFC 5761).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// The even port.
    Rtp,
    /// The port after it.
    Rtcp,
}

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send the first `len` bytes of it, which were rewritten in place.
    Forward {
        /// Out of this side.
        to: Side,
        /// By this port.
        channel: Channel,
        /// Bytes that remain of it.
        len: usize,
    },
    /// Forget it.
    Drop(Reason),
}

/// Why a packet is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No such stream.
    UnknownStream,
    /// The side it came in on has no peer yet, so nobody may send there (spec: X41).
    NoPeer,
    /// The other side has no peer yet, or one that takes no RTCP.
    NoWay,
    /// The packet itself.
    Refused(Dropped),
}

/// What a command did, for whoever owns the sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// Nothing: an unknown stream, or a repetition.
    Nothing,
    /// These sides need their sockets opened, then connected to their peers.
    Open {
        /// The near side is new.
        near: bool,
        /// The far side is new: what was open there is to be closed first.
        far: bool,
    },
    /// The side's sockets need to be connected anew.
    Connect(Side),
    /// The stream is gone: its sockets are to be closed.
    Removed,
}
