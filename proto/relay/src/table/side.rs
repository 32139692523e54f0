//! One side of a stream: its ports, its peer, and what came in there.

use super::out::usable;
use crate::command::{Peer, SideSpec};
use crate::report::Stats;
use holdline_wire::Time;
use holdline_wire::rtp::is_rtcp;
use std::net::SocketAddr;

/// One side of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct SideState {
    /// Our RTP address, while the side is open.
    pub(super) local: Option<SocketAddr>,
    /// Whom it talks to.
    pub(super) peer: Option<Peer>,
    /// What came in here.
    pub(super) stats: Stats,
    /// Whether it was told that RTP comes in, and not since that it stopped.
    pub(super) heard: bool,
    /// When the last RTP packet did; [`Time::NEVER`] where none has: eight bytes less than an option.
    last: Time,
}

impl SideState {
    pub(super) fn closed() -> SideState {
        SideState {
            local: None,
            peer: None,
            stats: Stats::default(),
            heard: false,
            last: Time::NEVER,
        }
    }

    /// Takes new ports and their peer; the counters go on.
    pub(super) fn open(&mut self, spec: SideSpec) {
        self.local = Some(spec.local);
        self.peer = usable(spec.peer);
    }

    /// Gives the ports up.
    pub(super) fn close(&mut self) {
        (self.local, self.peer) = (None, None);
    }

    /// An RTP packet came in: the spacing to the one before it, over a move as well.
    pub(super) fn arrived(&mut self, now: Time) {
        if let Some(last) = self.last_heard() {
            self.stats.longest_gap = self.stats.longest_gap.max(now.since(last));
        }
        self.last = now;
    }

    /// When the last RTP packet came in.
    pub(super) fn last_heard(&self) -> Option<Time> {
        (self.last != Time::NEVER).then_some(self.last)
    }

    /// A packet that came in here is passed on, `len` bytes of it.
    pub(super) fn count_passed(&mut self, len: usize, packet: &[u8]) {
        if !is_rtcp(packet) {
            self.stats.packets += 1;
            self.stats.octets += len as u64;
        }
    }

    /// One that was counted as passed on could not be sent.
    pub(super) fn count_unsent(&mut self, packet: &[u8]) {
        self.stats.dropped += 1;
        if !is_rtcp(packet) {
            self.stats.packets = self.stats.packets.saturating_sub(1);
            self.stats.octets = self.stats.octets.saturating_sub(packet.len() as u64);
        }
    }
}
