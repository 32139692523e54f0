//! The engine of sockets that epoll watches.

use super::engine::{Engine, Event, Received, Sent, Token};
use super::port::{Options, Port};
use super::ports::OpenPorts;
use super::sys::{Epoll, Waker};
use crate::command::{Side, StreamId};
use crate::table::Channel;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

/// The bits of the waker's events; no port has them.
const WAKER: u64 = u64::MAX;
/// Events taken at a time.
const EVENTS_AT_A_TIME: usize = 256;
/// The timeout that never comes.
const FOREVER: i32 = -1;

/// Sockets that epoll watches.
pub(super) struct EpollEngine {
    epoll: Epoll,
    ports: OpenPorts,
}

impl EpollEngine {
    /// One without ports, which `waker` wakes.
    pub(super) fn new(waker: &Waker, options: Options) -> io::Result<EpollEngine> {
        let epoll = Epoll::new(EVENTS_AT_A_TIME)?;
        epoll.add(waker.as_raw_fd(), WAKER)?;
        Ok(EpollEngine {
            epoll,
            ports: OpenPorts::new(options),
        })
    }
}

impl Engine for EpollEngine {
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let millis = timeout.map_or(FOREVER, millis);
        self.epoll.wait(millis).map_err(|error| {
            io::Error::new(error.kind(), format!("epoll of the media ports: {error}"))
        })
    }

    fn event(&self, number: usize) -> Event {
        match self.epoll.token(number) {
            WAKER => Event::Woken,
            bits => Event::Port(token(bits)),
        }
    }

    fn stream(&self, slot: usize) -> Option<StreamId> {
        self.ports.stream(slot)
    }

    fn slot(&self, stream: StreamId) -> Option<usize> {
        self.ports.slot(stream)
    }

    fn receive(&self, port: Token, buffer: &mut [u8]) -> Received {
        match self.ports.port(port) {
            Some(port) => port.receive(buffer),
            None => Received::Nothing,
        }
    }

    fn send(&self, port: Token, packet: &[u8]) -> Sent {
        match self.ports.port(port) {
            Some(port) => port.send(packet),
            None => Sent::No { refused: false },
        }
    }

    fn open(&mut self, stream: StreamId, side: Side, rtp: SocketAddr) -> io::Result<()> {
        let epoll = &self.epoll;
        let watch = |port: &Port, token| epoll.add(port.as_raw_fd(), bits(token));
        self.ports.open(stream, side, rtp, watch)
    }

    fn connect(
        &mut self,
        stream: StreamId,
        side: Side,
        channel: Channel,
        peer: Option<SocketAddr>,
    ) -> io::Result<()> {
        match self.ports.port_mut(stream, side, channel) {
            Some(port) => port.connect(peer),
            None => Ok(()),
        }
    }

    fn close(&mut self, stream: StreamId) {
        self.ports.close(stream);
    }
}

/// Rounded up: waking early would only mean to wait again.
fn millis(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}

/// A port as epoll tells of it: its slot, then a bit for the side, then one for the channel.
fn bits(port: Token) -> u64 {
    (port.slot as u64) << 2 | (port.side as u64) << 1 | port.channel as u64
}

fn token(bits: u64) -> Token {
    let side = if bits & 2 == 0 { Side::Near } else { Side::Far };
    let channel = if bits & 1 == 0 {
        Channel::Rtp
    } else {
        Channel::Rtcp
    };
    Token {
        slot: (bits >> 2) as usize,
        side,
        channel,
    }
}
