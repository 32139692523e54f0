//! All nodes die, and one comes back: what the calling server hears meanwhile. Both ends are small
//! phones of the test's own, which keep every packet that comes.

use holdline_tests::rig::{Error, NODES, Rig, get};
use holdline_tests::ua::{In, Placement, Profile, Ua, ports};
use holdline_wire::machine::{Input, Machine, Output};
use holdline_wire::rtp::Header;
use holdline_wire::token::Tokens;
use holdline_wire::{Time, TransportKey};
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

const CALL: u32 = 1;
/// How long all nodes are dead: hundreds of packet times.
const DEAD: Duration = Duration::from_secs(3);
/// For what takes milliseconds, and for a node's way back, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(15);
const FRAME: Duration = Duration::from_millis(20);

/// A packet as it came.
struct Heard {
    at: Instant,
    header: Header,
    payload: Vec<u8>,
}

/// One end of the call.
pub(crate) struct Phone {
    pub(crate) ua: Ua,
    sip: UdpSocket,
    rtp: BTreeMap<SocketAddr, UdpSocket>,
    /// What its speech consists of.
    voice: u8,
    spoken: u16,
    heard: Vec<Heard>,
}

impl Phone {
    pub(crate) fn new(at: SocketAddr, voice: u8) -> Phone {
        let bind = |at: SocketAddr| {
            let socket = UdpSocket::bind(at).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        };
        let addresses = ports(at.ip(), 40_000, 16);
        let mut ua = Ua::new(Profile::new(at), Tokens::new([voice; 32]));
        ua.handle(Time::ZERO, Input::Other(In::Ports(addresses.clone())));
        Phone {
            ua,
            sip: bind(at),
            rtp: addresses.into_iter().map(|at| (at, bind(at))).collect(),
            voice,
            spoken: 60_000,
            heard: Vec::new(),
        }
    }

    /// Takes what came and does what is due.
    pub(crate) fn turn(&mut self, now: Time, input: Option<Input<In>>) {
        let mut buffer = [0; 4096];
        let local = self.sip.local_addr().unwrap();
        let mut inputs: Vec<Input<In>> = input.into_iter().collect();
        while let Ok((len, remote)) = self.sip.recv_from(&mut buffer) {
            let bytes = buffer[..len].to_vec().into();
            let from = TransportKey::udp(local, remote);
            inputs.push(Input::Message { from, bytes });
        }
        if self.ua.poll_deadline().is_some_and(|at| at <= now) {
            inputs.push(Input::Deadline);
        }
        for input in inputs {
            self.ua.handle(now, input);
            while let Some(output) = self.ua.poll_output() {
                if let Output::Send { to, bytes } = output {
                    // What is refused is as lost as on the wire.
                    let _ = self.sip.send_to(&bytes, to.remote);
                }
            }
        }
        for socket in self.rtp.values() {
            while let Ok(len) = socket.recv(&mut buffer) {
                if let Ok(header) = Header::read(&buffer[..len]) {
                    let (at, payload) = (Instant::now(), &buffer[header.payload_at..len]);
                    let payload = payload.to_vec();
                    self.heard.push(Heard {
                        at,
                        header,
                        payload,
                    });
                }
            }
        }
    }

    /// A packet of speech to where each call's media goes now. Each stream is a source of its own.
    pub(crate) fn speak(&mut self) {
        let calls: Vec<_> = self.ua.calls().collect();
        calls.into_iter().for_each(|call| self.speak_in(call));
    }

    fn speak_in(&mut self, call: u32) {
        let Some(stream) = self.ua.stream(call) else {
            return;
        };
        let (Some(remote), socket) = (stream.remote, &self.rtp[&stream.local]) else {
            return;
        };
        let mut packet = vec![0x80, 8];
        packet.extend(self.spoken.to_be_bytes());
        packet.extend((160 * u32::from(self.spoken)).to_be_bytes());
        packet.extend((u32::from(self.voice) << 16 | u32::from(stream.local.port())).to_be_bytes());
        packet.extend([self.voice; 160]);
        let _ = socket.send_to(&packet, remote);
        self.spoken = self.spoken.wrapping_add(1);
    }

    /// How many of the packets heard since `from` carry `voice`.
    fn hears(&self, voice: u8, from: usize) -> usize {
        let of = |heard: &&Heard| heard.payload.iter().all(|byte| *byte == voice);
        self.heard[from..].iter().filter(of).count()
    }
}

/// Both ends and their time.
struct Call {
    caller: Phone,
    callee: Phone,
    start: Instant,
    frames: u32,
}

impl Call {
    fn turn(&mut self) {
        if self.start.elapsed() >= FRAME * self.frames {
            self.frames += 1;
            self.caller.speak();
            self.callee.speak();
        }
        let now = self.now();
        self.caller.turn(now, None);
        self.callee.turn(now, None);
        std::thread::sleep(Duration::from_millis(1));
    }

    fn now(&self) -> Time {
        Time::ZERO + self.start.elapsed()
    }

    /// Goes on until `done`.
    fn until(&mut self, what: &str, mut done: impl FnMut(&Call) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < end, "waited in vain until {what}");
            self.turn();
        }
    }

    fn go_on(&mut self, time: Duration) {
        let end = Instant::now() + time;
        self.until("time has passed", |_| Instant::now() >= end);
    }
}

/// A byte that no codec's silence is made of.
const CALLER: u8 = 0x11;
const CALLEE: u8 = 0x22;
/// PCMA's silence.
const SILENCE: u8 = 0xd5;

// spec: X24 X29
#[test]
fn while_all_nodes_are_dead_the_calling_server_hears_silence_and_then_its_callee() {
    let mut rig = Rig::start().unwrap();
    let agent = rig.block.agent_sip();
    let mut call = Call {
        caller: Phone::new(rig.block.caller(), CALLER),
        callee: Phone::new(rig.block.callee(), CALLEE),
        start: Instant::now(),
        frames: 0,
    };
    let host = rig.block.caller().to_string();
    let placement = Placement::new(CALL, &host, agent);
    let now = call.now();
    call.caller
        .turn(now, Some(Input::Other(In::Call(placement))));
    let both = |call: &Call, from: (usize, usize)| {
        call.caller.hears(CALLEE, from.0) >= 50 && call.callee.hears(CALLER, from.1) >= 50
    };
    call.until("both ends hear each other", |call| both(call, (0, 0)));

    for node in 0..NODES {
        rig.kill_node(node).unwrap();
    }
    call.go_on(DEAD);
    let dead = call.caller.heard.len();
    let silence = call.caller.hears(SILENCE, 0);
    println!("{silence} packets of silence in {DEAD:?} without a node");
    assert!(silence >= 100, "{silence}");
    rig.start_node(0).unwrap();
    let from = (dead, call.callee.heard.len());
    call.until("both ends hear each other again", |call| both(call, from));

    assert_continuous(&call.caller.heard);
    assert!(counted(&rig).unwrap() >= silence as u64);
    let counts = call.caller.ua.counts(CALL);
    assert_eq!(counts.reinvites_received, 0);
    let now = call.now();
    call.caller.turn(now, Some(Input::Other(In::Hangup(CALL))));
    call.until("the callee hears of the hang-up", |call| {
        !call.callee.ua.is_up(CALL) && !call.caller.ua.is_up(CALL)
    });
}

/// One source whose numbers never break, and never a second without a packet.
fn assert_continuous(heard: &[Heard]) {
    let mut longest = Duration::ZERO;
    for pair in heard.windows(2) {
        let [a, b] = pair else { unreachable!() };
        assert_eq!(a.header.ssrc, b.header.ssrc);
        let expected = a.header.sequence.wrapping_add(1);
        assert_eq!(b.header.sequence, expected);
        let step = b.header.timestamp.wrapping_sub(a.header.timestamp);
        assert!((160..16_000).contains(&step), "{step}");
        longest = longest.max(b.at - a.at);
    }
    println!("the calling server waited {longest:?} at most for a packet");
    assert!(longest < Duration::from_secs(1), "{longest:?}");
}

/// The agent's own count of the silence that it sent.
fn counted(rig: &Rig) -> Result<u64, Error> {
    let page = get(rig.block.agent_http(), "/metrics")?.text();
    let line = |line: &str| {
        Some(
            line.strip_prefix("holdline_relay_silence_packets_total ")?
                .parse(),
        )
    };
    let found = page.lines().find_map(line);
    Ok(found.ok_or("the metric is missing")??)
}
