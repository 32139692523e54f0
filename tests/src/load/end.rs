//! One end of the calls: a user agent, its SIP socket, and RTP sockets held in store for it.

use super::clock::Clock;
use super::mark::Side;
use super::media::{Media, Voice};
use super::stamped::{Receiver, ask_for_stamps};
use crate::ua::{In, Out, Profile, Stream, Ua};
use bytes::Bytes;
use holdline_wire::machine::{Input, Machine, Output};
use holdline_wire::message::MAX_MESSAGE;
use holdline_wire::token::Tokens;
use holdline_wire::{Time, TransportKey};
use socket2::{Domain, Socket, Type};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

/// Receive buffer asked for, bytes: the kernel's default drops a burst of some hundred messages.
const SIP_BUFFER: usize = 4 << 20;

/// Even ports of a range that nobody else has.
pub struct PortStore {
    next: u16,
    last: u16,
}

impl PortStore {
    /// The ports from `first` to `last`.
    pub fn new((first, last): (u16, u16)) -> PortStore {
        PortStore {
            next: first.next_multiple_of(2),
            last,
        }
    }

    /// Opens the next free one at `ip`.
    pub fn open(&mut self, ip: IpAddr) -> io::Result<(SocketAddr, UdpSocket)> {
        while self.next < self.last {
            let local = SocketAddr::new(ip, self.next);
            self.next = self.next.saturating_add(2);
            match UdpSocket::bind(local) {
                Ok(socket) => {
                    socket.set_nonblocking(true)?;
                    return Ok((local, socket));
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("no RTP port is left in the range"))
    }
}

/// One end.
pub struct End {
    /// Which.
    pub side: Side,
    /// Its user agent.
    pub ua: Ua,
    socket: mio::net::UdpSocket,
    local: SocketAddr,
    store: BTreeMap<SocketAddr, UdpSocket>,
    ssrcs: Tokens,
    events: VecDeque<(Time, Out)>,
    buffer: Vec<u8>,
    receiver: Receiver,
    /// Whether it sends RTP at all.
    speaks: bool,
    /// The longest time for which a message waited to be read.
    late: Duration,
}

impl End {
    /// Opens the SIP socket that `profile` names; whether its voices are heard is `speaks`.
    pub fn open(side: Side, profile: Profile, seed: [u8; 32], speaks: bool) -> io::Result<End> {
        let local = profile.address;
        let socket = Socket::new(Domain::for_address(local), Type::DGRAM, None)?;
        socket.set_recv_buffer_size(SIP_BUFFER)?;
        socket.set_nonblocking(true)?;
        socket.bind(&local.into()).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen at {local}: {error}"))
        })?;
        ask_for_stamps(&socket);
        let mut other = seed;
        other[0] ^= 0x55;
        Ok(End {
            side,
            ua: Ua::new(profile, Tokens::new(seed)),
            socket: mio::net::UdpSocket::from_std(socket.into()),
            local,
            store: BTreeMap::new(),
            ssrcs: Tokens::new(other),
            events: VecDeque::new(),
            buffer: vec![0; MAX_MESSAGE],
            receiver: Receiver::default(),
            speaks,
            late: Duration::ZERO,
        })
    }

    /// Opens `count` more RTP sockets.
    pub fn stock(&mut self, now: Time, ports: &mut PortStore, count: usize) -> io::Result<()> {
        let mut fresh = Vec::with_capacity(count);
        for _ in 0..count {
            let (local, socket) = ports.open(self.local.ip())?;
            self.store.insert(local, socket);
            fresh.push(local);
        }
        self.ua.handle(now, Input::Other(In::Ports(fresh)));
        Ok(())
    }

    /// Names `count` RTP addresses that nobody listens at; numbers come again where there are
    /// too few.
    pub fn name_ports(&mut self, now: Time, (first, last): (u16, u16), count: usize) {
        let even = (first..last).filter(|port| port.is_multiple_of(2));
        let names = even.cycle().take(count);
        let ip = self.local.ip();
        let names = names.map(|port| SocketAddr::new(ip, port)).collect();
        self.ua.handle(now, Input::Other(In::Ports(names)));
    }

    /// The socket, for the poll.
    pub fn source(&mut self) -> &mut mio::net::UdpSocket {
        &mut self.socket
    }

    /// Takes all datagrams that are there.
    pub fn read(&mut self, clock: &Clock, media: &Media) {
        loop {
            let got = match self.receiver.receive(&self.socket, &mut self.buffer) {
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // An ICMP error of an earlier send: the transaction's timers deal with it.
                Err(_) => continue,
            };
            let stamp = clock.stamp();
            let now = clock.at(&stamp);
            if let Some(arrival) = got.arrival(clock, &stamp) {
                self.late = self.late.max(now.since(arrival));
            }
            let Some(remote) = got.from else { continue };
            let bytes = Bytes::copy_from_slice(&self.buffer[..got.length]);
            let from = TransportKey::udp(self.local, remote);
            self.ua.handle(now, Input::Message { from, bytes });
            self.drain(now, media);
        }
    }

    /// The longest time for which a message waited to be read, since it was last asked.
    pub fn take_lateness(&mut self) -> Duration {
        std::mem::take(&mut self.late)
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Time, media: &Media) {
        if self.ua.poll_deadline().is_some_and(|at| at <= now) {
            self.ua.handle(now, Input::Deadline);
            self.drain(now, media);
        }
    }

    /// Gives the user agent a command.
    pub fn command(&mut self, now: Time, media: &Media, command: In) {
        self.ua.handle(now, Input::Other(command));
        self.drain(now, media);
    }

    /// What happened since it was last asked, and when.
    pub fn next_event(&mut self) -> Option<(Time, Out)> {
        self.events.pop_front()
    }

    fn drain(&mut self, now: Time, media: &Media) {
        while let Some(output) = self.ua.poll_output() {
            match output {
                // What the kernel does not take is as lost as on the wire: it is repeated.
                Output::Send { to, bytes } => drop(self.socket.send_to(&bytes, to.remote)),
                Output::Close(_) => {}
                Output::Other(event) => {
                    self.follow_media(media, &event);
                    self.events.push_back((now, event));
                }
            }
        }
    }

    fn follow_media(&mut self, media: &Media, event: &Out) {
        match event {
            Out::Listen { call, local } => {
                if let Some(socket) = self.store.remove(local) {
                    media.listen((*call, self.side), *local, socket);
                }
            }
            Out::Answered { call, stream }
            | Out::MediaChanged { call, stream }
            | Out::Replaced { call, stream, .. } => {
                let voice = self.voice(stream);
                media.speak((*call, self.side), voice);
            }
            Out::Release { call, local } => media.close((*call, self.side), *local),
            _ => {}
        }
    }

    fn voice(&mut self, stream: &Stream) -> Voice {
        let payload = stream
            .formats
            .first()
            .and_then(|format| format.parse().ok());
        Voice {
            local: stream.local,
            remote: stream
                .remote
                .filter(|_| self.speaks && stream.direction.sends()),
            payload: payload.unwrap_or(8),
            ssrc: self.ssrcs.number(),
        }
    }
}
