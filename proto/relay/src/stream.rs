//! One stream of the table: its two sides and what keeps its far source steady.

use crate::comfort::Comforting;
use crate::command::{Peer, Side, SideSpec, Stats};
use crate::table::Channel;
use crate::tally::Place;
use holdline_wire::Time;
use holdline_wire::rtcp::Mapping;
use holdline_wire::rtp::Continuity;
use std::net::SocketAddr;

/// A relayed stream.
#[derive(Debug)]
pub(crate) struct Stream {
    sides: [SideState; 2],
    pub(crate) group: Place,
    /// The number of the last tick in which the far side was heard.
    pub(crate) heard_in: u32,
    /// The same for a packet to its far side that was refused.
    pub(crate) refused_in: u32,
    /// Present where the near side must not see a change of source (spec: X29).
    pub(crate) steady: Option<Box<Steady>>,
}

/// What keeps a stream's media and reports continuous.
#[derive(Debug)]
pub(crate) struct Steady {
    pub(crate) media: Continuity,
    pub(crate) reports: Mapping,
    /// Present while the far side may be absent.
    pub(crate) comforting: Option<Box<Comforting>>,
}

/// One side of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SideState {
    /// Our RTP address, while the side is open.
    pub(crate) local: Option<SocketAddr>,
    pub(crate) peer: Option<Peer>,
    /// What came in here.
    pub(crate) stats: Stats,
    /// Whether it was told that RTP comes in, and not since that it stopped.
    pub(crate) heard: bool,
    /// When the last RTP packet did; [`Time::NEVER`] where none has: eight bytes less than an option.
    last: Time,
}

impl Stream {
    pub(crate) fn new(group: Place, steady: Option<Steady>) -> Stream {
        Stream {
            sides: [SideState::closed(); 2],
            group,
            heard_in: 0,
            refused_in: 0,
            steady: steady.map(Box::new),
        }
    }

    pub(crate) fn side(&self, side: Side) -> &SideState {
        &self.sides[side as usize]
    }

    pub(crate) fn side_mut(&mut self, side: Side) -> &mut SideState {
        &mut self.sides[side as usize]
    }
}

impl Steady {
    pub(crate) fn new(clock_rate: u32) -> Steady {
        Steady {
            media: Continuity::new(clock_rate),
            reports: Mapping::new(),
            comforting: None,
        }
    }

    pub(crate) fn moved(&mut self) {
        self.media.moved();
        self.reports.moved();
    }
}

impl SideState {
    fn closed() -> SideState {
        SideState {
            local: None,
            peer: None,
            stats: Stats::default(),
            heard: false,
            last: Time::NEVER,
        }
    }

    /// Takes new ports and their peer; the counters go on.
    pub(crate) fn open(&mut self, spec: SideSpec) {
        self.local = Some(spec.local);
        self.peer = usable(spec.peer);
    }

    /// Gives the ports up.
    pub(crate) fn close(&mut self) {
        (self.local, self.peer) = (None, None);
    }

    /// An RTP packet came in: the spacing to the one before it, over a move as well.
    pub(crate) fn arrived(&mut self, now: Time) {
        if let Some(last) = self.last_heard() {
            self.stats.longest_gap = self.stats.longest_gap.max(now.since(last));
        }
        self.last = now;
    }

    /// When the last RTP packet came in.
    pub(crate) fn last_heard(&self) -> Option<Time> {
        (self.last != Time::NEVER).then_some(self.last)
    }

    /// The port by which RTP or RTCP leaves towards this side's peer.
    pub(crate) fn way_out(&self, control: bool) -> Option<Channel> {
        let peer = self.peer?;
        if !control || peer.rtcp? == peer.rtp {
            return Some(Channel::Rtp);
        }
        Some(Channel::Rtcp)
    }

    /// Whom the socket of `channel` talks to. With rtcp-mux the RTCP port talks to nobody.
    pub(crate) fn remote(&self, channel: Channel) -> Option<SocketAddr> {
        let peer = self.peer?;
        match channel {
            Channel::Rtp => Some(peer.rtp),
            Channel::Rtcp => peer.rtcp.filter(|rtcp| *rtcp != peer.rtp),
        }
    }
}

/// A peer that packets can be sent to. Nobody is meant by port 0 (RFC 3264 section 6) and by the
/// address 0.0.0.0 (RFC 3264 section 8.4), which the kernel would take for this very host.
pub(crate) fn usable(peer: Option<Peer>) -> Option<Peer> {
    let is_usable = |address: &SocketAddr| address.port() != 0 && !address.ip().is_unspecified();
    let mut peer = peer.filter(|peer| is_usable(&peer.rtp))?;
    peer.rtcp = peer.rtcp.filter(is_usable);
    Some(peer)
}
