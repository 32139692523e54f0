//! One side of a stream: its ports, its peer, and when it was heard.

use super::out::usable;
use crate::command::{Peer, SideSpec};
use holdline_wire::Time;
use std::net::SocketAddr;

/// One side of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct SideState {
    /// Our RTP address, while the side is open.
    pub(super) local: Option<SocketAddr>,
    /// Whom it talks to.
    pub(super) peer: Option<Peer>,
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
            heard: false,
            last: Time::NEVER,
        }
    }

    /// Takes new ports and their peer.
    pub(super) fn open(&mut self, spec: SideSpec) {
        self.local = Some(spec.local);
        self.peer = usable(spec.peer);
    }

    /// Gives the ports up.
    pub(super) fn close(&mut self) {
        (self.local, self.peer) = (None, None);
    }

    /// An RTP packet came in.
    pub(super) fn arrived(&mut self, now: Time) {
        self.last = now;
    }

    /// When the last RTP packet came in.
    pub(super) fn last_heard(&self) -> Option<Time> {
        (self.last != Time::NEVER).then_some(self.last)
    }
}
