//! All open ports of a relay thread, by stream and by the slot that their events name.

use super::engine::Token;
use super::port::{Options, Port};
use crate::command::{Side, StreamId};
use crate::table::Channel;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;

/// The ports of one stream: two a side.
struct Quad {
    stream: StreamId,
    ports: [Option<Port>; 4],
}

/// Open ports.
pub(super) struct OpenPorts {
    quads: Vec<Option<Quad>>,
    free: Vec<usize>,
    by_stream: HashMap<StreamId, usize>,
    options: Options,
}

fn index(side: Side, channel: Channel) -> usize {
    (side as usize) << 1 | channel as usize
}

impl OpenPorts {
    /// None yet; they will have these options.
    pub(super) fn new(options: Options) -> OpenPorts {
        OpenPorts {
            quads: Vec::new(),
            free: Vec::new(),
            by_stream: HashMap::new(),
            options,
        }
    }

    /// Opens both ports of a side, unconnected, and has each watched by `watch`; what was open
    /// there is closed first.
    pub(super) fn open(
        &mut self,
        stream: StreamId,
        side: Side,
        rtp: SocketAddr,
        watch: impl Fn(&Port, Token) -> io::Result<()>,
    ) -> io::Result<()> {
        self.close_side(stream, side);
        let slot = self.take_slot(stream);
        let next = rtp
            .port()
            .checked_add(1)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let rtcp = SocketAddr::new(rtp.ip(), next);
        // Both or none: dropping the first closes it.
        let mut pair = [None, None];
        for (channel, local) in [(Channel::Rtp, rtp), (Channel::Rtcp, rtcp)] {
            let port = Port::open(local, self.options)?;
            let token = Token {
                slot,
                side,
                channel,
            };
            watch(&port, token)?;
            pair[channel as usize] = Some(port);
        }
        if let Some(quad) = &mut self.quads[slot] {
            let [rtp, rtcp] = pair;
            quad.ports[index(side, Channel::Rtp)] = rtp;
            quad.ports[index(side, Channel::Rtcp)] = rtcp;
        }
        Ok(())
    }

    /// The slot of the stream, a new one where it has none.
    fn take_slot(&mut self, stream: StreamId) -> usize {
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

    fn close_side(&mut self, stream: StreamId, side: Side) {
        for channel in [Channel::Rtp, Channel::Rtcp] {
            if let Some(port) = self.place(stream, side, channel) {
                *port = None;
            }
        }
    }

    /// Closes all ports of a stream.
    pub(super) fn close(&mut self, stream: StreamId) {
        if let Some(slot) = self.by_stream.remove(&stream) {
            self.quads[slot] = None;
            self.free.push(slot);
        }
    }

    /// Where a port of the stream is, or would be.
    fn place(
        &mut self,
        stream: StreamId,
        side: Side,
        channel: Channel,
    ) -> Option<&mut Option<Port>> {
        let slot = *self.by_stream.get(&stream)?;
        let quad = self.quads[slot].as_mut()?;
        Some(&mut quad.ports[index(side, channel)])
    }

    /// A port of the stream, where it is open.
    pub(super) fn port_mut(
        &mut self,
        stream: StreamId,
        side: Side,
        channel: Channel,
    ) -> Option<&mut Port> {
        self.place(stream, side, channel)?.as_mut()
    }

    /// Where the ports of a stream are.
    pub(super) fn slot(&self, stream: StreamId) -> Option<usize> {
        self.by_stream.get(&stream).copied()
    }

    /// The stream in a slot.
    pub(super) fn stream(&self, slot: usize) -> Option<StreamId> {
        Some(self.quads.get(slot)?.as_ref()?.stream)
    }

    /// The port that a token names, where it is open.
    pub(super) fn port(&self, token: Token) -> Option<&Port> {
        let quad = self.quads.get(token.slot)?.as_ref()?;
        quad.ports[index(token.side, token.channel)].as_ref()
    }
}
