//! The loop of a core's thread: bounded work for each kind of input, deadlines in between.

use super::{Driver, Handle, WAKER};
use crate::sip_sockets::Arrival;
use crate::supervision::Watch;
use holdline_wire::Time;
use holdline_wire::machine::{Input, Machine, Output};
use mio::{Events, Token};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Between two batches of a pass, a deadline overdue by this much is served; below it, what has
/// already arrived is heard first, since it may be the answer that the deadline waits for.
const SLACK: Duration = Duration::from_millis(2);
/// Deadlines served in a row before inputs have their turn.
const DEADLINE_BATCH: usize = 16;
/// How soon a full send buffer or queue is tried again.
const RETRY: Duration = Duration::from_millis(1);
/// The poll sleeps in whole milliseconds, rounded up.
const POLL_GRAIN: Duration = Duration::from_millis(1);

impl<M> Driver<M>
where
    M: Machine + Send + 'static,
    M::In: Send + 'static,
    M::Out: 'static,
{
    /// Starts the thread, named `name`.
    pub fn spawn(self, name: &str) -> io::Result<Handle<M::In>> {
        self.spawn_under(&Watch::new(), name)
    }

    /// The same; `watch` is told when the thread ends.
    pub fn spawn_under(self, watch: &Watch, name: &str) -> io::Result<Handle<M::In>> {
        let inbox = self.inbox.clone();
        let control = Arc::clone(&self.control);
        let ended = CancellationToken::new();
        let guard = ended.clone().drop_guard();
        let thread = watch.thread(name, move || {
            // Dropped also when the core panics, so that whoever waits for it learns of it.
            let _guard = guard;
            Loop::new(self).run()
        })?;
        Ok(Handle {
            inbox,
            control,
            thread,
            ended,
        })
    }
}

struct Loop<M: Machine> {
    driver: Driver<M>,
    /// Sockets that may hold more datagrams.
    ready: VecDeque<Token>,
    /// Whether the flow of an index is in `ready`.
    is_ready: Vec<bool>,
    inbox_ready: bool,
    /// Whether outputs wait for room in a queue.
    waiting: bool,
    arrivals: VecDeque<Arrival>,
    /// Whether the core has changed since the last snapshot.
    dirty: bool,
    snapshot_at: Time,
    /// Up to when lateness has been judged: the start of this pass, or later.
    judged: Time,
    /// How long the machine had been suspended when we looked last.
    suspended: Duration,
}

impl<M: Machine> Loop<M> {
    fn new(driver: Driver<M>) -> Loop<M> {
        Loop {
            driver,
            ready: VecDeque::new(),
            is_ready: Vec::new(),
            inbox_ready: true,
            waiting: false,
            arrivals: VecDeque::new(),
            dirty: true,
            snapshot_at: Time::ZERO,
            judged: Time::ZERO,
            suspended: Duration::ZERO,
        }
    }

    /// Until it is told to stop, or polling fails.
    fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        self.drain_outputs();
        self.snapshot();
        while !self.driver.control.stop.load(Ordering::Acquire) {
            self.sleep(&mut events).map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!("the poll of the SIP sockets: {error}"),
                )
            })?;
            self.pass();
            self.waiting = (self.driver.on_turn)();
            self.snapshot_if_due();
            self.judge_pass(self.driver.clock.now());
        }
        self.snapshot();
        Ok(())
    }

    fn sleep(&mut self, events: &mut Events) -> io::Result<()> {
        let before = self.driver.clock.now();
        let timeout = self.timeout(before);
        match self.driver.poll.poll(events, Some(timeout)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        for event in events.iter() {
            match event.token() {
                WAKER => {
                    self.driver.control.alarm.clear();
                    self.inbox_ready = true;
                }
                token => {
                    if event.is_error() {
                        self.driver.sockets.note_errors(token);
                    }
                    self.mark_ready(token);
                }
            }
        }
        self.judged = self.driver.clock.now();
        self.was_late(
            self.judged
                .since(before)
                .saturating_sub(timeout + POLL_GRAIN),
        );
        self.was_suspended();
        Ok(())
    }

    fn mark_ready(&mut self, token: Token) {
        if self.is_ready.len() <= token.0 {
            self.is_ready.resize(token.0 + 1, false);
        }
        if !self.is_ready[token.0] {
            self.is_ready[token.0] = true;
            self.ready.push_back(token);
        }
    }

    fn timeout(&self, now: Time) -> Duration {
        let busy = self.inbox_ready
            || !self.ready.is_empty()
            || self.driver.sockets.faults() > 0
            || self.driver.control.snapshot.load(Ordering::Acquire);
        if busy {
            return Duration::ZERO;
        }
        let mut timeout = self.driver.options.longest_sleep;
        if let Some(at) = self.driver.core.poll_deadline() {
            timeout = timeout.min(at.since(now));
        }
        if self.dirty {
            timeout = timeout.min(self.snapshot_at.since(now));
        }
        if self.waiting || self.driver.sockets.is_blocked() {
            timeout = timeout.min(RETRY);
        }
        timeout
    }

    /// One turn for everything that is ready.
    fn pass(&mut self) {
        if self.driver.sockets.is_blocked() {
            self.driver
                .sockets
                .retry_blocked(self.driver.poll.registry());
        }
        for _ in 0..self.ready.len() {
            let Some(token) = self.ready.pop_front() else {
                break;
            };
            self.is_ready[token.0] = false;
            let batch = self.driver.options.batch;
            if self
                .driver
                .sockets
                .receive(token, batch, &mut self.arrivals)
            {
                self.mark_ready(token);
            }
            while let Some(arrival) = self.arrivals.pop_front() {
                self.arrive(arrival);
            }
            self.serve_faults();
            self.serve_deadlines(SLACK);
        }
        self.serve_faults();
        self.serve_inbox();
        self.serve_deadlines(Duration::ZERO);
    }

    fn serve_faults(&mut self) {
        // Not those that the answers to these bring: they wait for the next pass.
        for _ in 0..self.driver.sockets.faults() {
            if let Some(fault) = self.driver.sockets.next_fault() {
                self.arrive(fault);
            }
        }
    }

    fn serve_inbox(&mut self) {
        if !self.inbox_ready {
            return;
        }
        for _ in 0..self.driver.options.batch {
            let Ok(input) = self.driver.queue.try_recv() else {
                self.inbox_ready = false;
                return;
            };
            self.feed(Input::Other(input));
            self.serve_deadlines(SLACK);
        }
    }

    fn serve_deadlines(&mut self, slack: Duration) {
        for _ in 0..DEADLINE_BATCH {
            let Some(at) = self.driver.core.poll_deadline() else {
                return;
            };
            let now = self.driver.clock.now();
            if now < at + slack {
                return;
            }
            // The core hears of the lateness before it judges by the deadline.
            self.judge_pass(now);
            self.feed(Input::Deadline);
        }
    }

    fn arrive(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Message(from, bytes) => self.feed(Input::Message { from, bytes }),
            Arrival::Fault { key, fault, quoted } => {
                self.feed(Input::Fault { key, fault, quoted });
            }
        }
    }

    fn feed(&mut self, input: Input<M::In>) {
        self.dirty = true;
        self.driver.core.handle(self.driver.clock.now(), input);
        self.drain_outputs();
    }

    fn drain_outputs(&mut self) {
        let driver = &mut self.driver;
        while let Some(output) = driver.core.poll_output() {
            match output {
                Output::Send { to, bytes } => {
                    driver.sockets.send(driver.poll.registry(), to, bytes);
                }
                Output::Close(key) => driver.sockets.close(driver.poll.registry(), key),
                Output::Other(out) => (driver.on_output)(driver.clock.now(), out),
            }
        }
    }

    /// A pass that takes long is late, too: what arrived meanwhile has not been heard.
    fn judge_pass(&mut self, now: Time) {
        let late = now.since(self.judged);
        if late >= self.driver.options.late {
            self.judged = now;
            self.was_late(late);
        }
    }

    /// While the machine was suspended our clock stood still and nothing could be heard.
    fn was_suspended(&mut self) {
        let suspended = self.driver.clock.suspended();
        let fresh = suspended.saturating_sub(self.suspended);
        if fresh >= self.driver.options.late {
            self.suspended = suspended;
            tracing::warn!(seconds = fresh.as_secs_f64(), "the machine was suspended");
            self.was_late(fresh);
        }
    }

    fn was_late(&mut self, late: Duration) {
        if late < self.driver.options.late {
            return;
        }
        self.driver.metrics.was_late(late);
        if let Some(input) = (self.driver.on_late)(late) {
            self.feed(Input::Other(input));
        }
    }

    fn snapshot_if_due(&mut self) {
        let asked = self.driver.control.snapshot.swap(false, Ordering::AcqRel);
        if asked || (self.dirty && self.driver.clock.now() >= self.snapshot_at) {
            self.snapshot();
        }
    }

    fn snapshot(&mut self) {
        let now = self.driver.clock.now();
        (self.driver.on_snapshot)(now, &self.driver.core);
        self.snapshot_at = now + self.driver.options.snapshot_every;
        self.dirty = false;
    }
}
