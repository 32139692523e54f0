//! What the control thread tells the relay. What it hears of it is in `report.rs`.

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
    /// Closes a stream; answered by [`Report::Removed`](crate::Report::Removed).
    Remove {
        /// The stream.
        stream: StreamId,
    },
}

impl Command {
    /// The stream that it is about.
    pub fn stream(&self) -> StreamId {
        match *self {
            Command::Install { stream, .. }
            | Command::Clock { stream, .. }
            | Command::SetPeer { stream, .. }
            | Command::Move { stream, .. }
            | Command::Comfort { stream, .. }
            | Command::Remove { stream } => stream,
        }
    }
}
