//! What the control thread tells the relay, and what the relay tells it.

use holdline_wire::Time;
use holdline_wire::rtp::Silence;
use std::net::SocketAddr;
use std::time::Duration;

/// A relayed media stream, named by the core; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

/// The peer whose life the far side's packets prove: a node as the agent numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

/// A side of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Towards the calling server (agent) or the agent (node).
    Near,
    /// Towards the cluster (agent) or the downstream UA (node).
    Far,
}

impl Side {
    /// The other one.
    pub fn other(self) -> Side {
        match self {
            Side::Near => Side::Far,
            Side::Far => Side::Near,
        }
    }
}

/// Where a side's peer wants its packets, as its SDP says (spec: X41).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// RTP.
    pub rtp: SocketAddr,
    /// RTCP; the same as `rtp` with rtcp-mux; `None` where the peer takes none.
    pub rtcp: Option<SocketAddr>,
}

/// One side's sockets and peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SideSpec {
    /// Our RTP address (an even port); RTCP is the port after it.
    pub local: SocketAddr,
    /// The peer, once known. Until then nothing is sent and nothing is taken on this side.
    pub peer: Option<Peer>,
}

/// The silence that a near side hears while its far side is absent (spec: X24).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comfort {
    /// The near side hears nobody for so long before it hears silence.
    pub after: Duration,
    /// The silence of formats that the near side takes, the best first.
    pub silences: [Option<Silence>; 3],
    /// The SSRC of the silence where the near side has heard none yet.
    pub ssrc: u32,
}

impl Comfort {
    /// The silence to say after `spoken`, the last payload number heard: in that format, so that
    /// the listener need not change its decoder, else in the best one.
    pub fn silence(&self, spoken: Option<u8>) -> Option<&Silence> {
        let same = |silence: &&Silence| Some(silence.payload_type()) == spoken;
        let mut all = self.silences.iter().flatten();
        all.clone().find(same).or_else(|| all.next())
    }
}

/// What the relay is told. Each is idempotent; an unknown stream is ignored and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Opens the sockets of a new stream. A peer that is known is connected to, so that the
    /// kernel tells of refusals and filters other sources.
    Install {
        /// Its name.
        stream: StreamId,
        /// The near side.
        near: SideSpec,
        /// The far side.
        far: SideSpec,
        /// Whom the far side's packets speak for.
        group: GroupId,
        /// RTP clock rate, Hz, for the timestamps over a change of source: that of the first
        /// format offered, until the answer tells better.
        clock_rate: u32,
        /// Whether the near side must see one SSRC over every change of the far source
        /// (spec: X29); otherwise packets pass as they are.
        steady: bool,
    },
    /// The answer took a format of another clock than the one that the stream was installed with.
    Clock {
        /// The stream.
        stream: StreamId,
        /// Hz.
        clock_rate: u32,
    },
    /// Learns or changes a side's peer (an SDP answer, a re-INVITE).
    SetPeer {
        /// The stream.
        stream: StreamId,
        /// The side.
        side: Side,
        /// The peer; `None` takes it away.
        peer: Option<Peer>,
    },
    /// A call moves: the far side's sockets are closed (which fences the old node's packets) and
    /// fresh ones opened, for another group.
    Move {
        /// The stream.
        stream: StreamId,
        /// The new far side.
        far: SideSpec,
        /// The new node.
        group: GroupId,
    },
    /// The far side may be absent: whenever it is silent for a while the near side of a steady
    /// stream is sent silence, one packet each packet time, until this is withdrawn. The far
    /// side's own packets come first.
    Comfort {
        /// The stream.
        stream: StreamId,
        /// What silence; `None` withdraws it.
        comfort: Option<Comfort>,
    },
    /// Closes a stream; answered by [`Report::Removed`].
    Remove {
        /// The stream.
        stream: StreamId,
    },
}

/// Counters of one direction, named by the side on which packets **came in**.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// RTP packets passed on.
    pub packets: u64,
    /// RTP payload and header bytes passed on.
    pub octets: u64,
    /// Packets that were not passed on (no peer, malformed, wrong source, send failed).
    pub dropped: u64,
    /// The longest spacing between two packets that came in.
    pub longest_gap: Duration,
}

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
        /// What came in on the near side.
        near: Stats,
        /// What came in on the far side.
        far: Stats,
        /// The RTP ports of its near and its far side, where they were open.
        closed: [Option<u16>; 2],
    },
}
