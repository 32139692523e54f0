//! The media thread: all RTP sockets, one a stream; what it is told, and what it tells.

mod turn;

use super::clock::Clock;
use super::hearing::Hearing;
use super::mark::Side;
use holdline_wire::Time;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use turn::Turn;

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

/// The thread's handle.
pub struct Media {
    commands: Sender<Command>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Media {
    /// Starts the thread; it sends packets of `ptime` milliseconds.
    pub fn start(clock: Clock, ptime: u16) -> io::Result<Media> {
        let (commands, orders) = channel();
        let turn = Turn::new(clock, ptime, orders)?;
        let thread = std::thread::Builder::new()
            .name("media".into())
            .spawn(move || turn.run())?;
        Ok(Media {
            commands,
            thread: Some(thread),
        })
    }

    /// Listens for an end on `socket`, bound at `local`.
    pub fn listen(&self, end: EndKey, local: SocketAddr, socket: UdpSocket) {
        self.order(Command::Listen(end, local, socket));
    }

    /// Lets an end speak (or be silent).
    pub fn speak(&self, end: EndKey, voice: Voice) {
        self.order(Command::Speak(end, voice));
    }

    /// Closes a socket.
    pub fn close(&self, end: EndKey, local: SocketAddr) {
        self.order(Command::Close(end, local));
    }

    /// From now on silence is meant for this listener, or no longer is.
    pub fn rest(&self, end: EndKey, resting: bool) {
        self.order(Command::Rest(end, resting));
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
