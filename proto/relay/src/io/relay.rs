//! Starting and stopping the relay, and talking to it.

use super::epoll::EpollEngine;
use super::gather::Gather;
use super::outbox::ReportSink;
use super::port::Options;
use super::ticks::Ticks;
use super::worker::{Shared, Worker};
use crate::command::{Command, StreamId};
use crate::table::Table;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a side is silent before that is told: longer than the pauses of silence suppression,
/// of which each would be news.
pub const QUIET_AFTER: Duration = Duration::from_secs(5);

/// How a relay is set up.
#[derive(Clone, Copy, Debug)]
pub struct RelayConfig {
    /// What [`holdline_wire::Time`] counts from; the same as the core's.
    pub epoch: Instant,
    /// Threads that share the streams; one bears over a thousand calls.
    pub threads: usize,
    /// Time between reports while there are streams; 10 ms. `None` where nobody reads them.
    pub tick: Option<Duration>,
    /// Commands that may wait, for each thread.
    pub queue: usize,
    /// Receive buffer of each port, bytes; 64 KiB hold over a second of a G.711 stream.
    pub receive_buffer: u32,
    /// DSCP of what is sent (RFC 4594 section 4.1: 46, expedited forwarding); `None` leaves it.
    pub dscp: Option<u8>,
    /// Silence of a side after which it is told; 5 s. `None` where nobody wants to know.
    pub quiet_after: Option<Duration>,
}

impl RelayConfig {
    /// The defaults, with time counted from `epoch`.
    pub fn new(epoch: Instant) -> RelayConfig {
        RelayConfig {
            epoch,
            threads: 1,
            tick: Some(Duration::from_millis(10)),
            queue: 8192,
            receive_buffer: 64 * 1024,
            dscp: Some(46),
            quiet_after: Some(QUIET_AFTER),
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

/// Counts of what the relay could not do, and of what it did by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayCounters {
    /// Commands that named an unknown stream.
    pub ignored_commands: u64,
    /// Ticks that were merged into a later one because nobody took reports.
    pub merged_ticks: u64,
    /// Sockets that could not be connected to their peer: there is no route to it.
    pub unreachable_peers: u64,
    /// Packets of silence sent to near sides whose far side was absent.
    pub silence_packets: u64,
}

/// Starts relays.
#[derive(Debug)]
pub struct Relay;

/// What a thread does until it is stopped; an error where it cannot go on.
pub type Work = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// Starts a thread of that name, and sees to it that somebody learns when it panics or fails: no
/// packet is relayed from then on.
pub type StartThread<'a> = &'a dyn Fn(&str, Work) -> io::Result<JoinHandle<()>>;

/// A running relay. Dropping it stops its threads, waits for them, and so closes all ports.
pub struct RelayHandle {
    threads: Vec<Thread>,
    gather: Arc<Gather>,
}

/// The handle's end of one thread.
struct Thread {
    commands: SyncSender<Command>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Starts the threads, whose failures nobody is told of; reports go to `on_report`.
    pub fn start(config: RelayConfig, on_report: impl ReportSink) -> io::Result<RelayHandle> {
        let plain = |name: &str, work: Work| {
            let thread = std::thread::Builder::new().name(name.to_owned());
            thread.spawn(move || drop(work()))
        };
        Relay::start_on(&plain, config, on_report)
    }

    /// The same on threads that are started by `start`.
    pub fn start_on(
        start: StartThread,
        config: RelayConfig,
        on_report: impl ReportSink,
    ) -> io::Result<RelayHandle> {
        let count = config.threads.max(1);
        let gather = Arc::new(Gather::new(Box::new(on_report), count));
        // Where a later one fails to start, dropping the handle stops the earlier ones.
        let mut handle = RelayHandle {
            threads: Vec::with_capacity(count),
            gather,
        };
        for number in 0..count {
            let thread = Thread::start(start, &config, number, Arc::clone(&handle.gather))?;
            handle.threads.push(thread);
        }
        Ok(handle)
    }
}

impl Thread {
    fn start(
        start: StartThread,
        config: &RelayConfig,
        number: usize,
        gather: Arc<Gather>,
    ) -> io::Result<Thread> {
        let shared = Arc::new(Shared::new()?);
        let (commands, receiver) = sync_channel(config.queue.max(1));
        let options = Options {
            receive_buffer: config.receive_buffer,
            dscp: config.dscp,
        };
        let worker = Worker {
            thread: number,
            table: Table::with_quiet_after(config.quiet_after),
            engine: EpollEngine::new(&shared.waker, options)?,
            commands: receiver,
            gather,
            reports: Vec::new(),
            shared: Arc::clone(&shared),
            epoch: config.epoch,
            // One tick is the sum of all threads, so with several none may pause by itself.
            ticks: Ticks::new(config.tick.map(at_least_1_ms), config.threads <= 1),
            more_commands: false,
        };
        let thread = start("holdline-relay", Box::new(move || worker.run()))?;
        Ok(Thread {
            commands,
            shared,
            thread: Some(thread),
        })
    }
}

/// More often a thread would do nothing else.
fn at_least_1_ms(tick: Duration) -> Duration {
    tick.max(Duration::from_millis(1))
}

impl RelayHandle {
    /// Queues a command; those of one stream are carried out in order. Never blocks. A removal
    /// wakes nobody: it is carried out with whatever comes next, within 20 ms.
    pub fn send(&self, command: Command) -> Result<(), SendError> {
        let StreamId(stream) = command.stream();
        let can_wait = matches!(command, Command::Remove { .. });
        let thread = &self.threads[(stream % self.threads.len() as u64) as usize];
        thread
            .commands
            .try_send(command)
            .map_err(|error| match error {
                TrySendError::Full(_) => SendError::Full,
                TrySendError::Disconnected(_) => SendError::Stopped,
            })?;
        if !can_wait {
            thread.shared.waker.wake();
        }
        Ok(())
    }

    /// What it could not do, and did by itself, so far.
    pub fn counters(&self) -> RelayCounters {
        let mut counters = RelayCounters {
            merged_ticks: self.gather.merged(),
            ..RelayCounters::default()
        };
        for Thread { shared, .. } in &self.threads {
            counters.ignored_commands += shared.ignored.load(Ordering::Relaxed);
            counters.unreachable_peers += shared.unreachable.load(Ordering::Relaxed);
            counters.silence_packets += shared.silence.load(Ordering::Relaxed);
        }
        counters
    }
}

impl Drop for RelayHandle {
    fn drop(&mut self) {
        for Thread { shared, .. } in &self.threads {
            shared.stop.store(true, Ordering::Release);
            shared.waker.wake();
        }
        for Thread { thread, .. } in &mut self.threads {
            if let Some(thread) = thread.take() {
                // A panic was printed by the thread; this handle may be dropped in another one.
                let _ = thread.join();
            }
        }
    }
}
