//! The thread that moves packets: its engine, the table, commands, and a report every tick.

use super::engine::{Engine, Event, Received, Sent, Token};
use super::gather::Gather;
use super::ticks::Ticks;
use super::waker::Waker;
use crate::command::{Command, Side, SideSpec, StreamId};
use crate::report::Report;
use crate::table::{Applied, Channel, Table, Verdict};
use holdline_wire::Time;
use nix::errno::Errno;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// Commands taken at a time, so that packets wait for no more than their socket calls: about 1 ms.
const COMMANDS_AT_A_TIME: usize = 16;
/// How often commands are looked for while there are streams: their removal wakes nobody, and
/// its ports wait for it.
const REMOVALS: Duration = Duration::from_millis(20);
/// Rounds of events after which a tick that is due is made even if more packets wait.
const ROUNDS_BEFORE_TICK: usize = 32;
/// Longer than any packet that passes: a datagram of an Ethernet, and room to see that it fits.
const BUFFER: usize = 2048;

/// What a thread shares with whoever talks to it.
pub(super) struct Shared {
    /// Wakes the thread.
    pub(super) waker: Waker,
    /// Whether it is to end.
    pub(super) stop: AtomicBool,
    /// Commands that named an unknown stream.
    pub(super) ignored: AtomicU64,
    /// Sockets that could not be connected to their peer.
    pub(super) unreachable: AtomicU64,
    /// Packets of silence sent.
    pub(super) silence: AtomicU64,
}

impl Shared {
    pub(super) fn new() -> io::Result<Shared> {
        Ok(Shared {
            waker: Waker::new()?,
            stop: AtomicBool::new(false),
            ignored: AtomicU64::new(0),
            unreachable: AtomicU64::new(0),
            silence: AtomicU64::new(0),
        })
    }
}

/// One of the relay's threads.
pub(super) struct Worker<E> {
    /// Its number, from 0.
    pub(super) thread: usize,
    pub(super) table: Table,
    pub(super) engine: E,
    pub(super) commands: Receiver<Command>,
    pub(super) gather: Arc<Gather>,
    /// What happened in this turn.
    pub(super) reports: Vec<Report>,
    pub(super) shared: Arc<Shared>,
    /// What its time counts from.
    pub(super) epoch: Instant,
    pub(super) ticks: Ticks,
    /// Commands may be left in the queue though the waker was cleared.
    pub(super) more_commands: bool,
}

impl<E: Engine> Worker<E> {
    /// Runs until it is told to stop. An error where the engine fails: nothing is heard from then
    /// on, and that is nobody's silence but ours.
    pub(super) fn run(mut self) -> io::Result<()> {
        self.ticks.begin(self.now());
        let mut removals_due = self.now() + REMOVALS;
        let mut buffer = [0; BUFFER];
        while !self.shared.stop.load(Ordering::Acquire) {
            let removals = (!self.table.is_empty()).then_some(removals_due);
            let wake = [
                self.ticks.due(),
                self.table.silence_due(),
                self.table.listen_due(),
                removals,
            ];
            let timeout = match wake.into_iter().flatten().min() {
                _ if self.more_commands => Some(Duration::ZERO),
                at => at.map(|at| at.since(self.now())),
            };
            self.turn(timeout, &mut buffer)?;
            self.send_silence(&mut buffer);
            self.table.listen(self.now(), &mut self.reports);
            if self.now() >= removals_due {
                removals_due = self.now() + REMOVALS;
                self.more_commands = true;
            }
            if self.more_commands {
                self.take_commands();
            }
            if self.ticks.due().is_none() && !self.table.is_empty() {
                self.ticks.resume(self.now());
            }
            let is_refusal = |report: &Report| matches!(report, Report::Refused { .. });
            if self.reports.iter().any(is_refusal) {
                self.ticks.hurry(self.now());
            }
            if let Some(due) = self.ticks.due().filter(|due| self.now() >= *due) {
                for _ in 0..ROUNDS_BEFORE_TICK {
                    if self.turn(Some(Duration::ZERO), &mut buffer)? == 0 {
                        break;
                    }
                }
                self.report(due);
            }
            if !self.reports.is_empty() {
                self.gather.push(&mut self.reports);
            }
        }
        Ok(())
    }

    fn now(&self) -> Time {
        Time::from_nanos(u64::try_from(self.epoch.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Waits, then takes one packet from each port that has some; how many there were.
    fn turn(&mut self, timeout: Option<Duration>, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.engine.wait(timeout)?;
        let now = self.now();
        for number in 0..count {
            match self.engine.event(number) {
                Event::Woken => {
                    self.shared.waker.clear();
                    self.more_commands = true;
                }
                Event::Port(port) => self.read(now, port, buffer),
            }
        }
        Ok(count)
    }

    fn read(&mut self, now: Time, port: Token, buffer: &mut [u8]) {
        let Token {
            slot,
            side,
            channel,
        } = port;
        let Some(stream) = self.engine.stream(slot) else {
            return;
        };
        match self.engine.receive(port, buffer) {
            Received::Packet(len) => {
                let packet = &mut buffer[..len];
                let verdict = self.table.handle_packet(now, stream, side, channel, packet);
                if let Verdict::Forward { to, channel, len } = verdict {
                    let side = to;
                    let out = Token {
                        slot,
                        side,
                        channel,
                    };
                    self.send(now, stream, out, &packet[..len]);
                }
            }
            Received::Refused => self.refused(now, stream, side, channel),
            Received::Foreign | Received::Nothing => {}
        }
    }

    fn send(&mut self, now: Time, stream: StreamId, port: Token, packet: &[u8]) {
        let sent = self.engine.send(port, packet);
        if let Sent::Yes { refused: true } | Sent::No { refused: true } = sent {
            self.refused(now, stream, port.side, port.channel);
        }
    }

    /// Sends the silence that is due. One that cannot be sent is lost as on the way.
    fn send_silence(&mut self, buffer: &mut [u8]) {
        let now = self.now();
        if self.table.silence_due().is_none_or(|at| at > now) {
            return;
        }
        let mut sent = 0;
        while let Some((stream, len)) = self.table.silence(now, buffer) {
            let port = self.engine.slot(stream).map(|slot| Token {
                slot,
                side: Side::Near,
                channel: Channel::Rtp,
            });
            let done = port.map(|port| self.engine.send(port, &buffer[..len]));
            sent += u64::from(matches!(done, Some(Sent::Yes { .. })));
        }
        self.shared.silence.fetch_add(sent, Ordering::Relaxed);
    }

    /// Only the far side speaks for a group, and only its RTP: many a peer has no RTCP port open.
    fn refused(&mut self, at: Time, stream: StreamId, side: Side, channel: Channel) {
        if (side, channel) == (Side::Far, Channel::Rtp)
            && let Some(group) = self.table.refused(at, stream)
        {
            self.reports.push(Report::Refused { group, stream, at });
        }
    }

    fn take_commands(&mut self) {
        self.more_commands = true;
        for _ in 0..COMMANDS_AT_A_TIME {
            match self.commands.try_recv() {
                Ok(command) => self.command(&command),
                Err(_) => {
                    self.more_commands = false;
                    break;
                }
            }
        }
    }

    fn command(&mut self, command: &Command) {
        let stream = command.stream();
        let local = |side| self.table.spec(stream, side).map(|spec| spec.local);
        let closed = match command {
            Command::Remove { .. } => [local(Side::Near), local(Side::Far)],
            Command::Move { .. } => [None, local(Side::Far)],
            _ => [None, None],
        };
        match self.table.apply(command) {
            Applied::Nothing => {}
            Applied::Open { near, far } => {
                for (side, wanted) in [(Side::Near, near), (Side::Far, far)] {
                    if wanted {
                        self.open(stream, side);
                    }
                }
                let now = self.table.spec(stream, Side::Far).map(|spec| spec.local);
                if let [_, Some(local)] = closed
                    && now != Some(local)
                {
                    self.reports.push(Report::Left { stream, local });
                }
            }
            Applied::Connect(side) => self.connect(stream, side),
            Applied::Removed => {
                self.engine.close(stream);
                self.reports.push(Report::Removed {
                    stream,
                    closed: closed.map(|local| Some(local?.port())),
                });
            }
        }
        self.shared
            .ignored
            .store(self.table.ignored(), Ordering::Relaxed);
    }

    fn open(&mut self, stream: StreamId, side: Side) {
        let Some(SideSpec { local, .. }) = self.table.spec(stream, side) else {
            return;
        };
        match self.engine.open(stream, side, local) {
            Ok(()) => self.connect(stream, side),
            Err(error) => {
                self.table.close_side(stream, side);
                let errno = error.raw_os_error().unwrap_or(Errno::EINVAL as i32);
                self.reports.push(Report::BindFailed {
                    stream,
                    side,
                    local,
                    errno,
                });
            }
        }
    }

    /// Connects both ports of a side. Where there is no way to the peer the side has none, so
    /// that the next answer or re-INVITE may name a better one.
    fn connect(&mut self, stream: StreamId, side: Side) {
        for channel in [Channel::Rtp, Channel::Rtcp] {
            let peer = self.table.remote(stream, side, channel);
            if self.engine.connect(stream, side, channel, peer).is_err() {
                self.shared.unreachable.fetch_add(1, Ordering::Relaxed);
                self.table.unreachable(stream, side);
            }
        }
    }

    /// Makes the tick that was due.
    fn report(&mut self, due: Time) {
        let at = self.now();
        let tick = self.table.tick(at, at.since(due));
        // What happened before the tick goes before it.
        if !self.reports.is_empty() {
            self.gather.push(&mut self.reports);
        }
        self.gather.tick(self.thread, tick);
        self.ticks.made(at, !self.table.is_empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use std::sync::mpsc::sync_channel;

    /// An engine without ports that fails.
    struct Broken;

    impl Engine for Broken {
        fn wait(&mut self, _: Option<Duration>) -> io::Result<usize> {
            Err(io::Error::other("the reason"))
        }

        fn event(&self, _: usize) -> Event {
            Event::Woken
        }

        fn stream(&self, _: usize) -> Option<StreamId> {
            None
        }

        fn slot(&self, _: StreamId) -> Option<usize> {
            None
        }

        fn receive(&self, _: Token, _: &mut [u8]) -> Received {
            Received::Nothing
        }

        fn send(&self, _: Token, _: &[u8]) -> Sent {
            Sent::No { refused: false }
        }

        fn open(&mut self, _: StreamId, _: Side, _: SocketAddr) -> io::Result<()> {
            Ok(())
        }

        fn connect(
            &mut self,
            _: StreamId,
            _: Side,
            _: Channel,
            _: Option<SocketAddr>,
        ) -> io::Result<()> {
            Ok(())
        }

        fn close(&mut self, _: StreamId) {}
    }

    /// It used to be taken for the silence of everybody, at full load.
    // spec: X52
    #[test]
    fn an_engine_that_fails_ends_the_thread_with_the_reason() {
        let (_commands, commands) = sync_channel(1);
        let (reports, heard) = sync_channel(1000);
        let worker = Worker {
            thread: 0,
            table: Table::new(),
            engine: Broken,
            commands,
            gather: Arc::new(Gather::new(Box::new(reports), 1)),
            reports: Vec::new(),
            shared: Arc::new(Shared::new().unwrap()),
            epoch: Instant::now(),
            ticks: Ticks::new(Some(Duration::from_millis(10)), false),
            more_commands: false,
        };
        assert_eq!(worker.run().unwrap_err().to_string(), "the reason");
        assert!(heard.try_iter().next().is_none(), "nobody was silent");
    }
}
