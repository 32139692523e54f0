//! A stand-in for agent and nodes on loopback, made of user agents and a packet forwarder: it
//! answers calls, places them at the callee, forwards media, and can lose its far half.

use super::super::clock::Clock;
use super::super::end::PortStore;
use crate::ua::{CallNumber, In, Out, Placement, Profile, Ua};
use bytes::Bytes;
use holdline_wire::TransportKey;
use holdline_wire::machine::{Input, Machine, Output};
use holdline_wire::sdp::Direction;
use holdline_wire::token::Tokens;
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How the stand-in behaves.
pub struct Plan {
    /// The file whose appearance kills the far half.
    pub flag: PathBuf,
    /// How long it takes to move the calls; `None`: it never does.
    pub moves_after: Option<Duration>,
    /// Forward each call's media to the next call's listener.
    pub mixes_up: bool,
}

/// A running stand-in.
pub struct StandIn {
    /// Where it takes calls.
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl StandIn {
    pub fn start(callee: SocketAddr, plan: Plan) -> StandIn {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = stop.clone();
        let mut world = World::new(callee, plan);
        let address = world.near.address();
        let thread = std::thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                world.turn();
                std::thread::sleep(Duration::from_micros(500));
            }
        });
        StandIn {
            address,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the stand-in does not panic");
        }
    }
}

/// One user agent with its sockets.
struct Half {
    ua: Ua,
    sip: UdpSocket,
    rtp: BTreeMap<SocketAddr, UdpSocket>,
    events: Vec<Out>,
}

impl Half {
    fn new(clock: &Clock, seed: u8) -> Half {
        let sip = UdpSocket::bind("127.0.0.1:0").unwrap();
        sip.set_nonblocking(true).unwrap();
        let address = sip.local_addr().unwrap();
        let mut ua = Ua::new(Profile::new(address), Tokens::new([seed; 32]));
        let mut ports = PortStore::new((42_000, 43_000));
        let rtp: BTreeMap<_, _> = (0..8).map(|_| ports.open(address.ip()).unwrap()).collect();
        let addresses = rtp.keys().copied().collect();
        ua.handle(clock.now(), Input::Other(In::Ports(addresses)));
        Half {
            ua,
            sip,
            rtp,
            events: Vec::new(),
        }
    }

    fn address(&self) -> SocketAddr {
        self.ua.profile().address
    }

    fn turn(&mut self, clock: &Clock) {
        let mut buffer = [0; 4096];
        while let Ok((length, remote)) = self.sip.recv_from(&mut buffer) {
            let from = TransportKey::udp(self.address(), remote);
            let bytes = Bytes::copy_from_slice(&buffer[..length]);
            self.ua.handle(clock.now(), Input::Message { from, bytes });
        }
        self.ua.handle(clock.now(), Input::Deadline);
        self.drain();
    }

    fn command(&mut self, clock: &Clock, command: In) {
        self.ua.handle(clock.now(), Input::Other(command));
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.ua.poll_output() {
            match output {
                Output::Send { to, bytes } => drop(self.sip.send_to(&bytes, to.remote)),
                Output::Close(_) => {}
                Output::Other(event) => self.events.push(event),
            }
        }
    }

    /// The packets that came for each call.
    fn received(&self) -> Vec<(CallNumber, Vec<u8>)> {
        let mut packets = Vec::new();
        for call in self.ua.calls() {
            let socket = self
                .ua
                .stream(call)
                .and_then(|stream| self.rtp.get(&stream.local));
            let mut buffer = [0; 2048];
            while let Some(Ok((length, _))) = socket.map(|s| s.recv_from(&mut buffer)) {
                packets.push((call, buffer[..length].to_vec()));
            }
        }
        packets
    }

    fn forward(&self, call: CallNumber, packet: &[u8]) {
        let Some(stream) = self.ua.stream(call) else {
            return;
        };
        if let (Some(socket), Some(remote)) = (self.rtp.get(&stream.local), stream.remote) {
            let _ = socket.send_to(packet, remote);
        }
    }
}

struct World {
    clock: Clock,
    callee: SocketAddr,
    plan: Plan,
    /// Towards the caller: the agent.
    near: Half,
    /// Towards the callee: the node that dies, then its survivor.
    far: Half,
    died: Option<holdline_wire::Time>,
    moved: bool,
}

impl World {
    fn new(callee: SocketAddr, plan: Plan) -> World {
        let clock = Clock::default();
        let (near, far) = (Half::new(&clock, 1), Half::new(&clock, 2));
        World {
            clock,
            callee,
            plan,
            near,
            far,
            died: None,
            moved: false,
        }
    }

    fn turn(&mut self) {
        if self.died.is_none() && self.plan.flag.exists() {
            self.died = Some(self.clock.now());
        }
        self.near.turn(&self.clock);
        if self.died.is_none() || self.moved {
            self.far.turn(&self.clock);
            self.forward_media();
        } else {
            drop(self.near.received());
            self.move_if_due();
        }
        self.pair_events();
    }

    fn forward_media(&self) {
        let calls: Vec<CallNumber> = self.near.ua.calls().collect();
        for (call, packet) in self.near.received() {
            self.far.forward(call, &packet);
        }
        for (call, packet) in self.far.received() {
            let at = calls.iter().position(|other| *other == call).unwrap_or(0);
            let other = calls
                .get((at + 1) % calls.len().max(1))
                .copied()
                .unwrap_or(call);
            self.near
                .forward(if self.plan.mixes_up { other } else { call }, &packet);
        }
    }

    fn move_if_due(&mut self) {
        let (Some(died), Some(after)) = (self.died, self.plan.moves_after) else {
            return;
        };
        if self.clock.now().since(died) < after {
            return;
        }
        self.moved = true;
        let dead = std::mem::replace(&mut self.far, Half::new(&self.clock, 3));
        for call in dead.ua.calls() {
            let Some(dialog) = dead.ua.dialog(call) else {
                continue;
            };
            let placement = Placement::new(call, "stand-in.example", self.callee)
                .with_header("Replaces", dialog.id.replaces_for_peer().to_value())
                .with_header("Require", "replaces");
            self.far.command(&self.clock, In::Call(placement));
        }
    }

    /// What one half is told, the other does.
    fn pair_events(&mut self) {
        for event in std::mem::take(&mut self.near.events) {
            if let Out::Incoming { call } = event {
                let placement = Placement::new(call, "stand-in.example", self.callee);
                self.far.command(&self.clock, In::Call(placement));
            }
            if let Some(command) = mirrored(&event, &self.far.ua) {
                self.far.command(&self.clock, command);
            }
        }
        for event in std::mem::take(&mut self.far.events) {
            if let Some(command) = mirrored(&event, &self.near.ua) {
                self.near.command(&self.clock, command);
            }
        }
    }
}

fn mirrored(event: &Out, other: &Ua) -> Option<In> {
    match event {
        Out::MediaChanged { call, stream } => match stream.direction {
            Direction::RecvOnly => Some(In::Hold(*call)),
            Direction::SendRecv if other.stream(*call)?.direction == Direction::SendOnly => {
                Some(In::Unhold(*call))
            }
            _ => None,
        },
        Out::Ended { call, .. } => Some(In::Hangup(*call)),
        _ => None,
    }
}
