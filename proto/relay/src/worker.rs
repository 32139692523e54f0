//! The thread that moves packets: epoll, the table, commands, and a report every tick.

use crate::command::{Command, Side, SideSpec, StreamId};
use crate::gather::Gather;
use crate::port::{Received, Sent};
use crate::ports::{Ports, Token};
use crate::relay::Shared;
use crate::report::Report;
use crate::sys::Epoll;
use crate::table::{Applied, Channel, Table, Verdict};
use holdline_wire::Time;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// The token of the waker; no port has it.
pub(crate) const WAKER: u64 = u64::MAX;
/// Commands taken at a time, so that packets wait for no more than their socket calls: about 1 ms.
const COMMANDS_AT_A_TIME: usize = 16;
/// The timeout with which epoll waits for a command only.
const FOREVER: i32 = -1;
/// How often commands are looked for while there are streams: their removal wakes nobody, and
/// its ports wait for it.
const REMOVALS: Duration = Duration::from_millis(20);
/// How soon after a refusal the next tick is: whether anything else is heard of the group decides.
const AFTER_REFUSAL: Duration = Duration::from_millis(4);
/// Events taken at a time.
pub(crate) const EVENTS_AT_A_TIME: usize = 256;
/// Rounds of events after which a tick that is due is made even if more packets wait.
const ROUNDS_BEFORE_TICK: usize = 32;
/// Longer than any packet that passes: a datagram of an Ethernet, and room to see that it fits.
const BUFFER: usize = 2048;

/// One of the relay's threads.
pub(crate) struct Worker {
    /// Its number, from 0.
    pub(crate) thread: usize,
    pub(crate) table: Table,
    pub(crate) ports: Ports,
    pub(crate) epoll: Epoll,
    pub(crate) commands: Receiver<Command>,
    pub(crate) gather: Arc<Gather>,
    /// What happened in this turn.
    pub(crate) reports: Vec<Report>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) epoch: Instant,
    pub(crate) tick: Option<Duration>,
    /// Whether ticks stop while there is no stream: an idle program sleeps.
    pub(crate) pauses: bool,
    /// Commands may be left in the queue though the waker was cleared.
    pub(crate) more_commands: bool,
}

impl Worker {
    /// Runs until it is told to stop. An error where epoll fails: nothing is heard from then on, and
    /// that is nobody's silence but ours.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut due = self.next_due().filter(|_| !self.pauses);
        let mut removals_due = self.now() + REMOVALS;
        let mut buffer = [0; BUFFER];
        while !self.shared.stop.load(Ordering::Acquire) {
            let removals = (!self.table.is_empty()).then_some(removals_due);
            let wake = [
                due,
                self.table.silence_due(),
                self.table.listen_due(),
                removals,
            ];
            let timeout = match wake.into_iter().flatten().min() {
                _ if self.more_commands => 0,
                Some(at) => self.millis_until(at),
                None => FOREVER,
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
            if due.is_none() && !self.table.is_empty() {
                due = self.next_due();
            }
            if self
                .reports
                .iter()
                .any(|report| matches!(report, Report::Refused { .. }))
            {
                due = due.map(|at| at.min(self.now() + AFTER_REFUSAL));
            }
            if let Some(at) = due.filter(|at| self.now() >= *at) {
                for _ in 0..ROUNDS_BEFORE_TICK {
                    if self.turn(0, &mut buffer)? == 0 {
                        break;
                    }
                }
                due = self.report(at);
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

    /// Rounded up: waking early would only mean to wait again.
    fn millis_until(&self, due: Time) -> i32 {
        let nanos = due.since(self.now()).as_nanos();
        i32::try_from(nanos.div_ceil(1_000_000)).unwrap_or(i32::MAX)
    }

    /// Waits, then takes one packet from each port that has some; how many there were.
    fn turn(&mut self, millis: i32, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.epoll.wait(millis).map_err(|error| {
            io::Error::new(error.kind(), format!("epoll of the media ports: {error}"))
        })?;
        let now = self.now();
        for index in 0..count {
            match self.epoll.token(index) {
                WAKER => {
                    self.shared.waker.clear();
                    self.more_commands = true;
                }
                bits => self.read(now, Token::new(bits), buffer),
            }
        }
        Ok(count)
    }

    fn read(&mut self, now: Time, token: Token, buffer: &mut [u8]) {
        let Token {
            slot,
            side,
            channel,
        } = token;
        let (Some(stream), Some(port)) = (
            self.ports.stream(slot),
            self.ports.port(slot, side, channel),
        ) else {
            return;
        };
        match port.receive(buffer) {
            Received::Packet(len) => {
                let packet = &mut buffer[..len];
                let verdict = self.table.handle_packet(now, stream, side, channel, packet);
                if let Verdict::Forward { to, channel, len } = verdict {
                    self.send(now, slot, stream, to, channel, &packet[..len]);
                }
            }
            Received::Foreign => self.table.count_dropped(stream, side),
            Received::Refused => self.refused(now, stream, side, channel),
            Received::Nothing => {}
        }
    }

    fn send(
        &mut self,
        now: Time,
        slot: usize,
        stream: StreamId,
        to: Side,
        channel: Channel,
        packet: &[u8],
    ) {
        let port = self.ports.port(slot, to, channel);
        let sent = port.map_or(Sent::No { refused: false }, |port| port.send(packet));
        if let Sent::No { .. } = sent {
            self.table.count_unsent(stream, to.other(), packet);
        }
        if let Sent::Yes { refused: true } | Sent::No { refused: true } = sent {
            self.refused(now, stream, to, channel);
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
            let slot = self.ports.slot_of(stream);
            let port = slot.and_then(|slot| self.ports.port(slot, Side::Near, Channel::Rtp));
            let done = port.map(|port| port.send(&buffer[..len]));
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
            Applied::Removed(near, far) => {
                self.ports.close(stream);
                self.reports.push(Report::Removed {
                    stream,
                    near,
                    far,
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
        match self.ports.open(&self.epoll, stream, side, local) {
            Ok(()) => self.connect(stream, side),
            Err(error) => {
                self.table.close_side(stream, side);
                let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
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
            if self.ports.connect(stream, side, channel, peer).is_err() {
                self.shared.unreachable.fetch_add(1, Ordering::Relaxed);
                self.table.unreachable(stream, side);
            }
        }
    }

    /// When the next tick is, counted from now.
    fn next_due(&self) -> Option<Time> {
        Some(self.now() + self.tick?)
    }

    /// Reports on the tick that was due; when the next one is.
    fn report(&mut self, due: Time) -> Option<Time> {
        let at = self.now();
        let tick = self.table.tick(at, at.since(due));
        // What happened before the tick goes before it.
        if !self.reports.is_empty() {
            self.gather.push(&mut self.reports);
        }
        self.gather.tick(self.thread, tick);
        if self.pauses && self.table.is_empty() {
            return None;
        }
        let next = due + self.tick?;
        // After a pause the ticks that were missed are not made up for.
        if next > at {
            Some(next)
        } else {
            self.next_due()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Options;
    use crate::sys::Waker;
    use std::sync::atomic::{AtomicBool, AtomicU64};
    use std::sync::mpsc::sync_channel;

    /// It used to be taken for the silence of everybody, at full load.
    // spec: X52
    #[test]
    fn epoll_that_fails_ends_the_thread_with_the_reason() {
        let (_commands, commands) = sync_channel(1);
        let (reports, heard) = sync_channel(1000);
        let shared = Shared {
            waker: Waker::new().unwrap(),
            stop: AtomicBool::new(false),
            ignored: AtomicU64::new(0),
            unreachable: AtomicU64::new(0),
            silence: AtomicU64::new(0),
        };
        let options = Options {
            receive_buffer: 0,
            dscp: None,
        };
        let worker = Worker {
            thread: 0,
            table: Table::new(),
            ports: Ports::new(options),
            epoll: Epoll::broken(),
            commands,
            gather: Arc::new(Gather::new(Box::new(reports), 1)),
            reports: Vec::new(),
            shared: Arc::new(shared),
            epoch: Instant::now(),
            tick: Some(Duration::from_millis(10)),
            pauses: false,
            more_commands: false,
        };
        let error = worker.run().unwrap_err().to_string();
        assert!(error.starts_with("epoll of the media ports: "), "{error}");
        assert!(heard.try_iter().next().is_none(), "nobody was silent");
    }
}
