//! The media thread: all RTP sockets, one a stream; and how it is spoken to.

mod orders;
mod turn;

pub use orders::{EndKey, Lateness, Snapshot, Voice};

use super::clock::Clock;
use orders::Command;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use turn::Turn;

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
