//! The media thread: one epoll over all RTP sockets, a wheel of 20 slots of 1 ms for sending.

use super::clock::Clock;
use super::hearing::Hearing;
use super::mark::{self, Mark, PACKET, Rtp, Side, TICKS};
use holdline_wire::Time;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Milliseconds in a frame: one packet a stream, spread over as many slots.
const SLOTS: u64 = 20;
const SLOT: Duration = Duration::from_millis(1);
/// Packets taken from one socket before the others have their turn.
const BURST: usize = 64;

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
enum Command {
    Listen(EndKey, SocketAddr, UdpSocket),
    Speak(EndKey, Voice),
    Close(EndKey, SocketAddr),
    OpenWindow,
    Look(Sender<Snapshot>),
    Stop,
}

/// How late the tool itself was, nanoseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Lateness {
    /// The latest sending slot, behind its due time.
    pub send_ns: u64,
    /// The longest time in which no socket was read.
    pub receive_ns: u64,
}

impl Lateness {
    /// The worse of the two.
    pub fn worst(&self) -> Duration {
        Duration::from_nanos(self.send_ns.max(self.receive_ns))
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
    /// All packets sent.
    pub sent: u64,
}

/// The thread's handle.
pub struct Media {
    commands: Sender<Command>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Media {
    /// Starts the thread.
    pub fn start(clock: Clock) -> io::Result<Media> {
        let (commands, orders) = channel();
        let poll = Poll::new()?;
        let thread = std::thread::Builder::new()
            .name("media".into())
            .spawn(move || Loop::new(clock, poll, orders).run())?;
        Ok(Media {
            commands,
            thread: Some(thread),
        })
    }

    /// Listens for an end on `socket`, bound at `local`.
    pub fn listen(&self, end: EndKey, local: SocketAddr, socket: std::net::UdpSocket) {
        self.order(Command::Listen(end, local, UdpSocket::from_std(socket)));
    }

    /// Lets an end speak (or be silent).
    pub fn speak(&self, end: EndKey, voice: Voice) {
        self.order(Command::Speak(end, voice));
    }

    /// Closes a socket.
    pub fn close(&self, end: EndKey, local: SocketAddr) {
        self.order(Command::Close(end, local));
    }

    /// A fault begins.
    pub fn open_window(&self) {
        self.order(Command::OpenWindow);
    }

    /// What was heard so far.
    pub fn look(&self) -> io::Result<Snapshot> {
        let (reply, answer) = channel();
        self.order(Command::Look(reply));
        answer
            .recv_timeout(Duration::from_secs(10))
            .map_err(|error| match error {
                RecvTimeoutError::Timeout => io::Error::other("the media thread hangs"),
                RecvTimeoutError::Disconnected => io::Error::other("the media thread is gone"),
            })
    }

    fn order(&self, command: Command) {
        // A thread that is gone shows itself at the next look().
        let _ = self.commands.send(command);
    }
}

impl Drop for Media {
    fn drop(&mut self) {
        self.order(Command::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Ear {
    end: EndKey,
    local: SocketAddr,
    socket: UdpSocket,
}

struct Mouth {
    voice: Voice,
    token: usize,
    seq: u16,
    /// The number of the next mark, over all sources of this end.
    number: u64,
    slot: u64,
}

struct Loop {
    clock: Clock,
    poll: Poll,
    orders: Receiver<Command>,
    ears: BTreeMap<usize, Ear>,
    by_local: BTreeMap<SocketAddr, usize>,
    mouths: BTreeMap<EndKey, Mouth>,
    /// The ends that speak in each slot.
    wheel: Vec<Vec<EndKey>>,
    heard: BTreeMap<EndKey, Hearing>,
    lateness: Vec<Lateness>,
    next_token: usize,
    tick: u64,
    sent: u64,
    unsent: u64,
}

impl Loop {
    fn new(clock: Clock, poll: Poll, orders: Receiver<Command>) -> Loop {
        Loop {
            clock,
            poll,
            orders,
            ears: BTreeMap::new(),
            by_local: BTreeMap::new(),
            mouths: BTreeMap::new(),
            wheel: vec![Vec::new(); SLOTS as usize],
            heard: BTreeMap::new(),
            lateness: vec![Lateness::default()],
            next_token: 0,
            tick: 0,
            sent: 0,
            unsent: 0,
        }
    }

    fn run(mut self) -> io::Result<()> {
        let start = self.clock.now();
        let mut events = Events::with_capacity(1024);
        let mut read = start;
        loop {
            let due = start + SLOT * u32::try_from(self.tick).unwrap_or(u32::MAX);
            let now = self.clock.now();
            match self.poll.poll(&mut events, Some(due.since(now))) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => result?,
            }
            let now = self.clock.now();
            // Waiting is no lateness; only time past the due slot is.
            let idle = due.since(read);
            let late = self.lateness.last_mut().expect("there is always one");
            let unread = now.since(read).saturating_sub(idle);
            late.receive_ns = late.receive_ns.max(unread.as_nanos() as u64);
            for event in &events {
                self.read(event.token().0);
            }
            read = self.clock.now();
            self.send_due(start, read);
            if !self.obey()? {
                return Ok(());
            }
        }
    }

    /// Runs every slot that is due, also several after a stall.
    fn send_due(&mut self, start: Time, now: Time) {
        loop {
            let due = start + SLOT * u32::try_from(self.tick).unwrap_or(u32::MAX);
            if due > now {
                return;
            }
            let late = self.lateness.last_mut().expect("there is always one");
            late.send_ns = late.send_ns.max(now.since(due).as_nanos() as u64);
            let frame = self.tick / SLOTS;
            for at in 0..self.wheel[(self.tick % SLOTS) as usize].len() {
                let end = self.wheel[(self.tick % SLOTS) as usize][at];
                self.send(end, frame, due);
            }
            self.tick += 1;
        }
    }

    fn send(&mut self, end: EndKey, frame: u64, due: Time) {
        let Some(mouth) = self.mouths.get_mut(&end) else {
            return;
        };
        let (Some(remote), Some(ear)) = (mouth.voice.remote, self.ears.get(&mouth.token)) else {
            return;
        };
        let rtp = Rtp {
            payload: mouth.voice.payload,
            seq: mouth.seq,
            timestamp: mouth
                .voice
                .ssrc
                .wrapping_add(TICKS.wrapping_mul(frame as u32)),
            ssrc: mouth.voice.ssrc,
        };
        let (call, sender) = end;
        let (number, sent) = (mouth.number, self.clock.now());
        let mark = Mark {
            call,
            sender,
            number,
            sent,
            due,
        };
        mouth.seq = mouth.seq.wrapping_add(1);
        mouth.number += 1;
        self.sent += 1;
        if ear
            .socket
            .send_to(&mark::write(&rtp, &mark), remote)
            .is_err()
        {
            self.unsent += 1;
        }
    }

    fn read(&mut self, token: usize) {
        let Some(ear) = self.ears.get(&token) else {
            return;
        };
        let expected = self
            .mouths
            .get(&ear.end)
            .and_then(|mouth| mouth.voice.remote);
        let Some(hearing) = self.heard.get_mut(&ear.end) else {
            return;
        };
        let mut packet = [0u8; PACKET + 1];
        let mut taken = 0;
        loop {
            match ear.socket.recv_from(&mut packet) {
                Ok((length, from)) => {
                    hearing.foreign_source += u64::from(expected.is_some_and(|at| at != from));
                    hearing.hear(self.clock.now(), mark::read(&packet[..length]));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // An ICMP error of the last send: read on.
                Err(_) => {}
            }
            taken += 1;
            if taken >= BURST {
                break;
            }
        }
        // Edge-triggered: what is left in a flooded socket is asked for again.
        if let Some(ear) = self.ears.get_mut(&token) {
            let registry = self.poll.registry();
            let _ = registry.reregister(&mut ear.socket, Token(token), Interest::READABLE);
        }
    }

    fn obey(&mut self) -> io::Result<bool> {
        loop {
            match self.orders.try_recv() {
                Ok(Command::Listen(end, local, socket)) => self.listen(end, local, socket)?,
                Ok(Command::Speak(end, voice)) => self.speak(end, voice),
                Ok(Command::Close(end, local)) => self.close(end, local),
                Ok(Command::OpenWindow) => {
                    self.heard.values_mut().for_each(Hearing::open_window);
                    self.lateness.push(Lateness::default());
                }
                Ok(Command::Look(reply)) => drop(reply.send(self.snapshot())),
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return Ok(false),
                Err(TryRecvError::Empty) => return Ok(true),
            }
        }
    }

    fn listen(&mut self, end: EndKey, local: SocketAddr, mut socket: UdpSocket) -> io::Result<()> {
        let token = self.next_token;
        self.next_token += 1;
        self.poll
            .registry()
            .register(&mut socket, Token(token), Interest::READABLE)?;
        self.ears.insert(token, Ear { end, local, socket });
        self.by_local.insert(local, token);
        let (call, side) = end;
        let now = self.clock.now();
        self.heard
            .entry(end)
            .or_insert_with(|| Hearing::new(call, side.other(), now));
        Ok(())
    }

    fn speak(&mut self, end: EndKey, voice: Voice) {
        let Some(token) = self.by_local.get(&voice.local).copied() else {
            return;
        };
        match self.mouths.get_mut(&end) {
            Some(mouth) if mouth.voice.local == voice.local => {
                mouth.voice = Voice {
                    ssrc: mouth.voice.ssrc,
                    ..voice
                };
            }
            Some(mouth) => {
                // The dialog was replaced: a new source, and the old socket is closed.
                let old = mouth.voice.local;
                mouth.seq = voice.ssrc as u16;
                mouth.token = token;
                mouth.voice = voice;
                self.close(end, old);
            }
            None => {
                let slot = self.mouths.len() as u64 % SLOTS;
                let seq = voice.ssrc as u16;
                self.mouths.insert(
                    end,
                    Mouth {
                        voice,
                        token,
                        seq,
                        number: 0,
                        slot,
                    },
                );
                self.wheel[slot as usize].push(end);
            }
        }
    }

    fn close(&mut self, end: EndKey, local: SocketAddr) {
        let Some(token) = self.by_local.remove(&local) else {
            return;
        };
        if let Some(mut ear) = self.ears.remove(&token) {
            debug_assert_eq!((ear.end, ear.local), (end, local));
            let _ = self.poll.registry().deregister(&mut ear.socket);
        }
        if self
            .mouths
            .get(&end)
            .is_some_and(|mouth| mouth.token == token)
            && let Some(mouth) = self.mouths.remove(&end)
        {
            self.wheel[mouth.slot as usize].retain(|other| *other != end);
        }
    }

    fn snapshot(&self) -> Snapshot {
        let at = self.clock.now();
        let heard = self
            .heard
            .iter()
            .map(|(end, heard)| (*end, heard.closed(at)))
            .collect();
        Snapshot {
            at,
            heard,
            lateness: self.lateness.clone(),
            unsent: self.unsent,
            sent: self.sent,
        }
    }
}
