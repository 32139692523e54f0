//! What the media thread is told, and what it tells.

use super::super::hearing::Hearing;
use super::super::mark::Side;
use holdline_wire::Time;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::Sender;
use std::time::Duration;

/// One end of a call.
pub type EndKey = (u32, Side);

/// What one end sends, by the SDP that it agreed to.
#[derive(Clone, Debug)]
pub struct Voice {
    /// Its own RTP address; a new one means a new source.
    pub local: SocketAddr,
    /// Where to send; `None` for silence.
    pub remote: Option<SocketAddr>,
    /// The payload number.
    pub payload: u8,
    /// The SSRC and the first sequence number, where the source is new.
    pub ssrc: u32,
}

/// Orders to the thread.
pub(super) enum Command {
    Listen(EndKey, SocketAddr, UdpSocket),
    Speak(EndKey, Voice),
    Close(EndKey, SocketAddr),
    Rest(EndKey, bool),
    OpenWindow,
    Look(Sender<Snapshot>),
    Stop,
}

/// How late the tool itself was, nanoseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Lateness {
    /// The latest sending slot, behind its due time.
    pub send_ns: u64,
    /// The longest time in which no socket was read, where a packet came without the kernel's
    /// stamp; those that have it may wait.
    pub receive_ns: u64,
    /// The longest time for which a SIP message waited to be read.
    pub signalling_ns: u64,
}

impl Lateness {
    /// The worst of them.
    pub fn worst(&self) -> Duration {
        let worst = self.send_ns.max(self.receive_ns).max(self.signalling_ns);
        Duration::from_nanos(worst)
    }
}

/// What was heard up to one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When.
    pub at: Time,
    /// By listener.
    pub heard: BTreeMap<EndKey, Hearing>,
    /// By window: before the first fault, after it ...
    pub lateness: Vec<Lateness>,
    /// Packets that the kernel did not take.
    pub unsent: u64,
    /// Packets that were left out because the tool was late by more than a packet's time.
    pub skipped: u64,
    /// All packets sent.
    pub sent: u64,
    /// Packets that came without the kernel's stamp.
    pub unstamped: u64,
}
