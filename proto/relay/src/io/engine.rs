//! What a thread of the relay asks of the machine. Epoll and sockets do it (`epoll.rs`); another
//! way to move packets would stand here.

use crate::command::{Side, StreamId};
use crate::table::Channel;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// The ports of a thread's streams, and what happens at them.
pub(super) trait Engine {
    /// Waits until a port has something to be taken or somebody wakes the thread, no longer than
    /// `timeout`, without one for ever: how many events there are, which may be none. An error
    /// where nothing will be heard from now on.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<usize>;

    /// One of the events of the last wait, numbered from 0.
    fn event(&self, number: usize) -> Event;

    /// The stream that has a slot; none where it has given it up.
    fn stream(&self, slot: usize) -> Option<StreamId>;

    /// The slot of a stream that has a port.
    fn slot(&self, stream: StreamId) -> Option<usize>;

    /// Reads one packet into `buffer`, which is longer than any that passes.
    fn receive(&self, port: Token, buffer: &mut [u8]) -> Received;

    /// Sends one packet to the port's peer.
    fn send(&self, port: Token, packet: &[u8]) -> Sent;

    /// Opens both ports of a side, unconnected: `rtp` and the one after it. What was open there is
    /// closed first. On an error neither is open.
    fn open(&mut self, stream: StreamId, side: Side, rtp: SocketAddr) -> io::Result<()>;

    /// A port talks to `peer` only from now on, or to nobody; without an error, too, where it is
    /// not open. On an error it talks to nobody.
    fn connect(
        &mut self,
        stream: StreamId,
        side: Side,
        channel: Channel,
        peer: Option<SocketAddr>,
    ) -> io::Result<()>;

    /// Closes all ports of a stream.
    fn close(&mut self, stream: StreamId);
}

/// What a wait brought.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// Somebody woke the thread.
    Woken,
    /// A port has something to be taken, or had before it was closed.
    Port(Token),
}

/// A port: of the stream in this slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) slot: usize,
    pub(super) side: Side,
    pub(super) channel: Channel,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// A packet of the peer, so long.
    Packet(usize),
    /// Something that is not to be taken: from elsewhere, or too long.
    Foreign,
    /// The peer's port is closed, in its own words.
    Refused,
    /// Nothing.
    Nothing,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// It left. An earlier one may have been refused.
    Yes {
        /// By the peer itself.
        refused: bool,
    },
    /// It did not.
    No {
        /// An earlier one was, by the peer itself.
        refused: bool,
    },
}
