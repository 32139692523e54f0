//! Runs a core on a thread of its own, which also owns the SIP sockets: nothing but a socket
//! stands between a message and the core, and nothing slow runs on this thread.

mod inbox;
mod run;

pub use inbox::{Inbox, InboxError};

use crate::clock::Clock;
use crate::metrics::{DriverMetrics, Metrics, SipMetrics};
use crate::sip_sockets::SipSockets;
use holdline_wire::Time;
use holdline_wire::machine::Machine;
use inbox::Alarm;
use mio::{Poll, Token, Waker};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// No flow has this token: the vector of flows cannot grow so long.
const WAKER: Token = Token(usize::MAX);

/// The limits of a driver.
#[derive(Clone, Copy, Debug)]
pub struct DriverOptions {
    /// Inputs that wait in the [`Inbox`].
    pub inbox: usize,
    /// Datagrams of one socket, and inputs of the inbox, handled before others have their turn.
    pub batch: usize,
    /// How late the loop must be for `on_late` to hear of it (spec: X21).
    pub late: Duration,
    /// The shortest time between two snapshots.
    pub snapshot_every: Duration,
    /// The longest sleep: a pause of the process that hides inside a sleep is at most this long.
    pub longest_sleep: Duration,
}

impl Default for DriverOptions {
    fn default() -> DriverOptions {
        DriverOptions {
            inbox: 16_384,
            batch: 64,
            late: Duration::from_millis(10),
            snapshot_every: Duration::from_millis(200),
            longest_sleep: Duration::from_millis(50),
        }
    }
}

type OnOutput<M> = Box<dyn FnMut(Time, <M as Machine>::Out) + Send>;
type OnLate<M> = Box<dyn FnMut(Duration) -> Option<<M as Machine>::In> + Send>;
type OnTurn = Box<dyn FnMut() -> bool + Send>;
type OnSnapshot<M> = Box<dyn FnMut(Time, &M) + Send>;

/// A core, its sockets and what is done with its outputs: put together here, then
/// [spawned](Driver::spawn).
pub struct Driver<M: Machine> {
    core: M,
    sockets: SipSockets,
    clock: Clock,
    options: DriverOptions,
    poll: Poll,
    inbox: Inbox<M::In>,
    queue: Receiver<M::In>,
    control: Arc<Control>,
    metrics: DriverMetrics,
    on_output: OnOutput<M>,
    on_turn: OnTurn,
    on_late: OnLate<M>,
    on_snapshot: OnSnapshot<M>,
}

/// What the handle and the loop share.
#[derive(Debug)]
struct Control {
    alarm: Arc<Alarm>,
    stop: AtomicBool,
    snapshot: AtomicBool,
}

impl<M> Driver<M>
where
    M: Machine + Send + 'static,
    M::In: Send + 'static,
    M::Out: 'static,
{
    /// Puts a driver together; its outputs beside messages are dropped until
    /// [`Driver::on_output`] says otherwise.
    pub fn new(
        core: M,
        mut sockets: SipSockets,
        clock: Clock,
        options: DriverOptions,
        metrics: &Metrics,
    ) -> io::Result<Driver<M>> {
        let poll = Poll::new()?;
        let alarm = Arc::new(Alarm::new(Waker::new(poll.registry(), WAKER)?));
        let driver_metrics = DriverMetrics::new(metrics);
        sockets.register(poll.registry(), SipMetrics::new(metrics))?;
        let (inbox, queue) = Inbox::new(options.inbox, Arc::clone(&alarm), driver_metrics.clone());
        let control = Control {
            alarm,
            stop: AtomicBool::new(false),
            snapshot: AtomicBool::new(false),
        };
        Ok(Driver {
            core,
            sockets,
            clock,
            options,
            poll,
            inbox,
            queue,
            control: Arc::new(control),
            metrics: driver_metrics,
            on_output: Box::new(|_, _| ()),
            on_turn: Box::new(|| false),
            on_late: Box::new(|_| None),
            on_snapshot: Box::new(|_, _| ()),
        })
    }

    /// The core before it runs.
    pub(crate) fn core(&self) -> &M {
        &self.core
    }

    /// A sender of the core's inbox, for the threads and tasks that `on_output` hands work to.
    pub fn inbox(&self) -> Inbox<M::In> {
        self.inbox.clone()
    }

    /// What is done with the core's own outputs. Runs on the core's thread: it hands over to
    /// bounded queues with `try_send` and never waits.
    pub fn on_output(mut self, handler: impl FnMut(Time, M::Out) + Send + 'static) -> Self {
        self.on_output = Box::new(handler);
        self
    }

    /// Called on the core's thread after each turn of the loop, for outputs that found a queue
    /// full: true means that some still wait, and it is called again in a millisecond.
    pub fn on_turn(mut self, handler: impl FnMut() -> bool + Send + 'static) -> Self {
        self.on_turn = Box::new(handler);
        self
    }

    /// What the core is told when its loop was late by at least `options.late` (spec: X21). It is
    /// told before any other input of that wake-up.
    pub fn on_late(
        mut self,
        handler: impl FnMut(Duration) -> Option<M::In> + Send + 'static,
    ) -> Self {
        self.on_late = Box::new(handler);
        self
    }

    /// Publishes the core's state, say for `/status`: called on the core's thread at the start,
    /// after changes (at most every `options.snapshot_every`), on [`Handle::snapshot_now`] and
    /// at the end. It copies what it needs and swaps a pointer.
    pub fn on_snapshot(mut self, handler: impl FnMut(Time, &M) + Send + 'static) -> Self {
        self.on_snapshot = Box::new(handler);
        self
    }
}

/// A running core.
#[derive(Debug)]
pub struct Handle<T> {
    inbox: Inbox<T>,
    control: Arc<Control>,
    thread: JoinHandle<()>,
    ended: CancellationToken,
}

impl<T> Handle<T> {
    /// A sender of the core's inbox.
    pub fn inbox(&self) -> Inbox<T> {
        self.inbox.clone()
    }

    /// Asks for a snapshot at once.
    pub fn snapshot_now(&self) {
        self.control.snapshot.store(true, Ordering::Release);
        self.control.alarm.ring();
    }

    /// Cancelled when the core's thread has ended, for whatever reason. A program whose core is
    /// gone must end, too.
    pub fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// Ends the thread after what it is doing now, and waits for it. An error means that the core
    /// panicked.
    pub fn stop(self) -> std::thread::Result<()> {
        self.control.stop.store(true, Ordering::Release);
        self.control.alarm.ring();
        self.thread.join()
    }
}

#[cfg(test)]
mod tests;
