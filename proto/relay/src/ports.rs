//! All open ports of a relay thread, by stream and by the token that epoll returns.

use crate::command::{Side, StreamId};
use crate::port::{Options, Port};
use crate::sys::Epoll;
use crate::table::Channel;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

/// The ports of one stream: two a side.
struct Quad {
    stream: StreamId,
    ports: [Option<Port>; 4],
}

/// Open ports.
pub(crate) struct Ports {
    quads: Vec<Option<Quad>>,
    free: Vec<usize>,
    by_stream: HashMap<StreamId, usize>,
    options: Options,
}

/// Which port an event is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) slot: usize,
    pub(crate) side: Side,
    pub(crate) channel: Channel,
}

impl Token {
    pub(crate) fn new(bits: u64) -> Token {
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

    fn bits(self) -> u64 {
        (self.slot as u64) << 2 | index(self.side, self.channel) as u64
    }
}

fn index(side: Side, channel: Channel) -> usize {
    (side as usize) << 1 | channel as usize
}

impl Ports {
    pub(crate) fn new(options: Options) -> Ports {
        Ports {
            quads: Vec::new(),
            free: Vec::new(),
            by_stream: HashMap::new(),
            options,
        }
    }

    /// Opens both ports of a side, unconnected; what was open there is closed first.
    pub(crate) fn open(
        &mut self,
        epoll: &Epoll,
        stream: StreamId,
        side: Side,
        rtp: SocketAddr,
    ) -> io::Result<()> {
        self.close_side(stream, side);
        let slot = self.slot(stream);
        let next = rtp
            .port()
            .checked_add(1)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let rtcp = SocketAddr::new(rtp.ip(), next);
        // Both or none: dropping the first closes it.
        let mut pair = [None, None];
        for (channel, local) in [(Channel::Rtp, rtp), (Channel::Rtcp, rtcp)] {
            let port = Port::open(local, self.options)?;
            epoll.add(
                port.as_raw_fd(),
                Token {
                    slot,
                    side,
                    channel,
                }
                .bits(),
            )?;
            pair[channel as usize] = Some(port);
        }
        if let Some(quad) = &mut self.quads[slot] {
            let [rtp, rtcp] = pair;
            quad.ports[index(side, Channel::Rtp)] = rtp;
            quad.ports[index(side, Channel::Rtcp)] = rtcp;
        }
        Ok(())
    }

    fn slot(&mut self, stream: StreamId) -> usize {
        if let Some(&slot) = self.by_stream.get(&stream) {
            return slot;
        }
        let quad = Some(Quad {
            stream,
            ports: [None, None, None, None],
        });
        let slot = match self.free.pop() {
            Some(slot) => {
                self.quads[slot] = quad;
                slot
            }
            None => {
                self.quads.push(quad);
                self.quads.len() - 1
            }
        };
        self.by_stream.insert(stream, slot);
        slot
    }

    pub(crate) fn close_side(&mut self, stream: StreamId, side: Side) {
        let slot = self.by_stream.get(&stream);
        if let Some(quad) = slot.and_then(|&slot| self.quads[slot].as_mut()) {
            quad.ports[index(side, Channel::Rtp)] = None;
            quad.ports[index(side, Channel::Rtcp)] = None;
        }
    }

    /// Closes all ports of a stream.
    pub(crate) fn close(&mut self, stream: StreamId) {
        if let Some(slot) = self.by_stream.remove(&stream) {
            self.quads[slot] = None;
            self.free.push(slot);
        }
    }

    pub(crate) fn connect(
        &mut self,
        stream: StreamId,
        side: Side,
        channel: Channel,
        peer: Option<SocketAddr>,
    ) -> io::Result<()> {
        let slot = self.by_stream.get(&stream);
        let quad = slot.and_then(|&slot| self.quads[slot].as_mut());
        match quad.and_then(|quad| quad.ports[index(side, channel)].as_mut()) {
            Some(port) => port.connect(peer),
            None => Ok(()),
        }
    }

    /// The stream in a slot.
    /// Where the ports of a stream are.
    pub(crate) fn slot_of(&self, stream: StreamId) -> Option<usize> {
        self.by_stream.get(&stream).copied()
    }

    pub(crate) fn stream(&self, slot: usize) -> Option<StreamId> {
        Some(self.quads.get(slot)?.as_ref()?.stream)
    }

    pub(crate) fn port(&self, slot: usize, side: Side, channel: Channel) -> Option<&Port> {
        self.quads.get(slot)?.as_ref()?.ports[index(side, channel)].as_ref()
    }
}
