//! Starting and stopping the relay, and talking to it.

use crate::command::Command;
use crate::outbox::{Outbox, ReportSink};
use crate::port::Options;
use crate::ports::Ports;
use crate::sys::{Epoll, Waker};
use crate::table::Table;
use crate::worker::{EVENTS_AT_A_TIME, WAKER, Worker};
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How a relay is set up.
#[derive(Clone, Copy, Debug)]
pub struct RelayConfig {
    /// What [`holdline_wire::Time`] counts from; the same as the core's.
    pub epoch: Instant,
    /// Time between reports; 10 ms.
    pub tick: Duration,
    /// Commands that may wait.
    pub queue: usize,
    /// Receive buffer of each port, bytes; 64 KiB hold over a second of a G.711 stream.
    pub receive_buffer: u32,
    /// DSCP of what is sent (RFC 4594 section 4.1: 46, expedited forwarding); `None` leaves it.
    pub dscp: Option<u8>,
}

impl RelayConfig {
    /// The defaults, with time counted from `epoch`.
    pub fn new(epoch: Instant) -> RelayConfig {
        RelayConfig {
            epoch,
            tick: Duration::from_millis(10),
            queue: 8192,
            receive_buffer: 64 * 1024,
            dscp: Some(46),
        }
    }
}

/// Why a command was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The queue is full; try again.
    #[error("the relay's command queue is full")]
    Full,
    /// The relay has stopped.
    #[error("the relay has stopped")]
    Stopped,
}

/// Counts of what the relay could not do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayCounters {
    /// Commands that named an unknown stream.
    pub ignored_commands: u64,
    /// Ticks that were merged into a later one because nobody took reports.
    pub merged_ticks: u64,
    /// Sockets that could not be connected to their peer: there is no route to it.
    pub unreachable_peers: u64,
}

/// What the thread and its handle share.
pub(crate) struct Shared {
    pub(crate) waker: Waker,
    pub(crate) stop: AtomicBool,
    pub(crate) ignored: AtomicU64,
    pub(crate) merged: AtomicU64,
    pub(crate) unreachable: AtomicU64,
}

/// Starts relays.
#[derive(Debug)]
pub struct Relay;

/// A running relay. Dropping it stops it.
pub struct RelayHandle {
    commands: SyncSender<Command>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Starts the thread; reports go to `on_report`.
    pub fn start(config: RelayConfig, on_report: impl ReportSink) -> io::Result<RelayHandle> {
        let epoll = Epoll::new(EVENTS_AT_A_TIME)?;
        let waker = Waker::new()?;
        epoll.add(waker.as_raw_fd(), WAKER)?;
        let shared = Arc::new(Shared {
            waker,
            stop: AtomicBool::new(false),
            ignored: AtomicU64::new(0),
            merged: AtomicU64::new(0),
            unreachable: AtomicU64::new(0),
        });
        let (commands, receiver) = sync_channel(config.queue.max(1));
        let options = Options {
            receive_buffer: config.receive_buffer,
            dscp: config.dscp,
        };
        let worker = Worker {
            table: Table::new(),
            ports: Ports::new(options),
            epoll,
            commands: receiver,
            outbox: Outbox::new(on_report),
            shared: Arc::clone(&shared),
            epoch: config.epoch,
            tick: config.tick.max(Duration::from_millis(1)),
            more_commands: false,
        };
        let thread = std::thread::Builder::new()
            .name("holdline-relay".to_owned())
            .spawn(move || worker.run())?;
        Ok(RelayHandle {
            commands,
            shared,
            thread: Some(thread),
        })
    }
}

impl RelayHandle {
    /// Queues a command; commands are carried out in order. Never blocks.
    pub fn send(&self, command: Command) -> Result<(), SendError> {
        self.commands
            .try_send(command)
            .map_err(|error| match error {
                TrySendError::Full(_) => SendError::Full,
                TrySendError::Disconnected(_) => SendError::Stopped,
            })?;
        self.shared.waker.wake();
        Ok(())
    }

    /// What it could not do so far.
    pub fn counters(&self) -> RelayCounters {
        RelayCounters {
            ignored_commands: self.shared.ignored.load(Ordering::Relaxed),
            merged_ticks: self.shared.merged.load(Ordering::Relaxed),
            unreachable_peers: self.shared.unreachable.load(Ordering::Relaxed),
        }
    }

    /// Stops the thread, waits for it, and so closes all ports.
    pub fn shutdown(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.waker.wake();
        if let Some(thread) = self.thread.take() {
            // A panic was printed by the thread; this handle may be dropped in another one.
            let _ = thread.join();
        }
    }
}

impl Drop for RelayHandle {
    fn drop(&mut self) {
        self.stop();
    }
}
