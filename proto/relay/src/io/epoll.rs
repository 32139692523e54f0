//! The engine of sockets that epoll watches.

use super::engine::{Engine, Event, Received, Sent, Token};
use super::port::{Options, Port};
use super::ports::OpenPorts;
use super::waker::Waker;
use crate::command::{Side, StreamId};
use crate::table::Channel;
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// The bits of the waker's events; no port has them.
const WAKER: u64 = u64::MAX;
/// Events taken at a time.
const EVENTS_AT_A_TIME: usize = 256;

/// Sockets that epoll watches.
pub(super) struct EpollEngine {
    epoll: Epoll,
    /// What the last wait brought, and room for the next.
    events: Vec<EpollEvent>,
    ports: OpenPorts,
}

impl EpollEngine {
    /// One without ports, which `waker` wakes.
    pub(super) fn new(waker: &Waker, options: Options) -> io::Result<EpollEngine> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(waker, readable(WAKER))?;
        Ok(EpollEngine {
            epoll,
            events: vec![EpollEvent::empty(); EVENTS_AT_A_TIME],
            ports: OpenPorts::new(options),
        })
    }
}

impl Engine for EpollEngine {
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let timeout = timeout.map_or(EpollTimeout::NONE, millis);
        match self.epoll.wait(&mut self.events, timeout) {
            // A signal is none.
            Err(Errno::EINTR) => Ok(0),
            waited => waited.map_err(|errno| {
                let error = io::Error::from(errno);
                io::Error::new(error.kind(), format!("epoll of the media ports: {error}"))
            }),
        }
    }

    fn event(&self, number: usize) -> Event {
        match self.events[number].data() {
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
        let watch = |port: &Port, token| {
            let told = readable(bits(token));
            epoll.add(port, told).map_err(io::Error::from)
        };
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

/// In milliseconds, rounded up: waking early would only mean to wait again.
fn millis(timeout: Duration) -> EpollTimeout {
    let millis = timeout.as_nanos().div_ceil(1_000_000);
    EpollTimeout::try_from(millis).unwrap_or(EpollTimeout::MAX)
}

/// Told as `bits` whenever it can be read or has an error; closing it ends that.
fn readable(bits: u64) -> EpollEvent {
    EpollEvent::new(EpollFlags::EPOLLIN, bits)
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    const NO_OPTIONS: Options = Options {
        receive_buffer: 0,
        dscp: None,
    };

    // spec: X52
    #[test]
    fn epoll_that_fails_says_so() {
        let mut engine = EpollEngine::new(&Waker::new().unwrap(), NO_OPTIONS).unwrap();
        let not_epoll = File::open("/dev/null").expect("it is always there");
        engine.epoll = Epoll(not_epoll.into());
        let error = engine.wait(None).unwrap_err().to_string();
        assert!(error.starts_with("epoll of the media ports: "), "{error}");
    }

    #[test]
    fn a_waker_ends_the_wait_until_it_is_cleared() {
        let waker = Waker::new().unwrap();
        let mut engine = EpollEngine::new(&waker, NO_OPTIONS).unwrap();
        assert_eq!(engine.wait(Some(Duration::ZERO)).unwrap(), 0);
        waker.wake();
        waker.wake();
        assert_eq!(engine.wait(None).unwrap(), 1);
        assert!(matches!(engine.event(0), Event::Woken));
        waker.clear();
        assert_eq!(engine.wait(Some(Duration::from_nanos(1))).unwrap(), 0);
    }

    #[test]
    fn a_port_is_known_by_its_bits() {
        for side in [Side::Near, Side::Far] {
            for channel in [Channel::Rtp, Channel::Rtcp] {
                let port = Token {
                    slot: 1 << 40,
                    side,
                    channel,
                };
                let read = token(bits(port));
                assert_eq!((read.slot, read.side), (port.slot, side));
                assert_eq!(read.channel, channel);
            }
        }
        assert_eq!(millis(Duration::from_nanos(1)), EpollTimeout::from(1_u8));
        assert_eq!(millis(Duration::MAX), EpollTimeout::MAX);
    }
}
