//! What the relay tells the control thread.

use crate::command::{GroupId, Side, StreamId};
use holdline_wire::Time;
use std::net::SocketAddr;
use std::time::Duration;

/// What a group's far sides received since the last tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupTick {
    /// The group.
    pub group: GroupId,
    /// RTP and RTCP packets.
    pub packets: u32,
    /// How many different streams they came by.
    pub streams: u32,
    /// When the newest came.
    pub newest: Time,
    /// The longest wait for one of them, counted from the newest of an earlier tick, zero where
    /// there is none.
    pub pause: Duration,
}

/// Every 10 ms while there is a stream, sooner after a refusal; made after draining the sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    /// When it was made.
    pub at: Time,
    /// How much later than it was due: the relay's own lateness voids silence (spec: X21).
    pub late: Duration,
    /// The groups heard since the last tick; a group that is missing was silent.
    pub groups: Vec<GroupTick>,
}

/// What the relay tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The regular report.
    Tick(Tick),
    /// ICMP said that nobody listens at a far peer's port: at most four a group and tick, of
    /// different streams.
    Refused {
        /// The group.
        group: GroupId,
        /// The stream that met it.
        stream: StreamId,
        /// When.
        at: Time,
    },
    /// RTP comes in on this side: for the first time, or again after [`Report::Quiet`].
    Heard {
        /// The stream.
        stream: StreamId,
        /// The side.
        side: Side,
    },
    /// No RTP has come in on this side for a while, where it had before: told once a silence.
    Quiet {
        /// The stream.
        stream: StreamId,
        /// The side.
        side: Side,
        /// When the last packet came.
        since: Time,
    },
    /// A socket could not be opened; the stream has no such side.
    BindFailed {
        /// The stream.
        stream: StreamId,
        /// The side.
        side: Side,
        /// The RTP address that was asked for.
        local: SocketAddr,
        /// The operating system's error number.
        errno: i32,
    },
    /// A move has closed the far side's sockets: their ports can be given out again.
    Left {
        /// The stream.
        stream: StreamId,
        /// The RTP address that it had.
        local: SocketAddr,
    },
    /// The stream is gone and its ports are free.
    Removed {
        /// The stream.
        stream: StreamId,
        /// The RTP ports of its near and its far side, where they were open.
        closed: [Option<u16>; 2],
    },
}
