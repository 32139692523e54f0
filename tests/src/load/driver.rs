//! The signalling thread: both user agents on their sockets, and the fault commands as processes.

use super::act::{Actors, Step};
use super::clock::Clock;
use super::end::{End, PortStore};
use super::ledger::{Done, Ledger};
use super::mark::Side;
use super::media::Media;
use super::options::{MediaMode, Options};
use crate::netns::Namespace;
use crate::ua::{CallNumber, In, Out, Profile};
use holdline_wire::Time;
use holdline_wire::machine::Machine;
use mio::{Events, Interest, Poll, Token};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How often a running fault command is looked at.
const CHILD_LOOK: Duration = Duration::from_millis(2);
/// RTP sockets held beyond the expected need.
const SPARE: usize = 8;

/// One fault as it went.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Fault {
    /// The command.
    pub command: String,
    /// When it was started, since the tool's start.
    pub started_ns: u64,
    /// The same by the wall clock.
    pub started_realtime_ns: u64,
    /// When it was seen to have ended.
    pub finished_ns: Option<u64>,
    /// The same by the wall clock.
    pub finished_realtime_ns: Option<u64>,
    /// Its exit status, if it had one.
    pub exit: Option<i32>,
}

/// Both ends and all that keeps them going.
pub struct Driver {
    /// The clock of everything.
    pub clock: Clock,
    /// The media thread.
    pub media: Media,
    /// What happened to the calls.
    pub ledger: Ledger,
    /// The faults so far.
    pub faults: Vec<Fault>,
    ends: [End; 2],
    poll: Poll,
    children: Vec<(usize, Child)>,
    /// Calls that end by themselves, the first one first.
    ends_at: VecDeque<(Time, CallNumber)>,
    hold_time: Option<Duration>,
    hang_up_by: Actors,
    /// The longest wait of a SIP message: before the first fault, after it ...
    waits: Vec<Duration>,
    progress: bool,
}

impl Driver {
    /// Opens all sockets.
    pub fn open(options: &Options, faults: usize) -> io::Result<Driver> {
        let clock = Clock::default();
        let poll = Poll::new()?;
        let seed = options.seed.unwrap_or_else(|| clock.stamp().realtime_ns);
        let mode = options.media;
        let open = |side: Side, n| {
            let profile = profile(side, options);
            let open = || End::open(side, profile, seed_of(seed, n), mode.speaks(side));
            on_host_of(side, options, open)
        };
        let mut ends = [open(Side::Caller, 1)?, open(Side::Callee, 2)?];
        let mut ports = PortStore::new(options.rtp_ports);
        let calls = options.calls as usize;
        let needs = [calls + SPARE, calls * (1 + faults) + SPARE];
        for (n, end) in ends.iter_mut().enumerate() {
            if mode.has_sockets() {
                let stock = || end.stock(clock.now(), &mut ports, needs[n]);
                on_host_of(Side::BOTH[n], options, stock)?;
            } else {
                end.name_ports(clock.now(), options.rtp_ports, needs[n]);
            }
            poll.registry()
                .register(end.source(), Token(n), Interest::READABLE)?;
        }
        Ok(Driver {
            clock,
            media: Media::start(clock, options.ptime)?,
            ledger: Ledger::new(options.placed_by),
            faults: Vec::new(),
            ends,
            poll,
            children: Vec::new(),
            ends_at: VecDeque::new(),
            hold_time: options.hold_time,
            hang_up_by: options.hang_up_by,
            waits: vec![Duration::ZERO],
            progress: options.progress,
        })
    }

    /// One end.
    pub fn end(&self, side: Side) -> &End {
        &self.ends[side.index()]
    }

    /// Gives an end a command.
    pub fn command(&mut self, side: Side, command: In) {
        let now = self.clock.now();
        self.ends[side.index()].command(now, &self.media, command);
        self.take_events();
    }

    /// Lets a call do something while it is watched. Silence that comes of it is no gap.
    pub fn act(&mut self, side: Side, step: Step, call: CallNumber) {
        let at_ns = self.clock.now().as_nanos();
        let Some(entry) = self.ledger.get_mut(call) else {
            return;
        };
        if entry.up_ns.is_none() || entry.hung_up.is_some() {
            return;
        }
        if step == Step::Bye {
            entry.hung_up = Some(side);
        } else {
            entry.acts.push(Done {
                step,
                by: side,
                at_ns,
                status: None,
            });
        }
        match step {
            Step::Hold => self.media.rest((call, side), true),
            // Taken back when the answer is there.
            Step::Unhold => {}
            Step::Bye => {
                for side in Side::BOTH {
                    self.media.rest((call, side), true);
                }
            }
        }
        self.command(side, command(step, call));
    }

    fn end_those_due(&mut self, now: Time) {
        while let Some((at, call)) = self.ends_at.front().copied()
            && at <= now
        {
            self.ends_at.pop_front();
            self.act(self.hang_up_by.of(call), Step::Bye, call);
        }
    }

    /// The longest wait of a SIP message, by window.
    pub fn waits(&self) -> &[Duration] {
        &self.waits
    }

    /// Runs until `until`, or until `done` holds.
    pub fn run(&mut self, until: Time, done: impl Fn(&Driver) -> bool) -> io::Result<()> {
        let mut events = Events::with_capacity(8);
        loop {
            let now = self.clock.now();
            for end in &mut self.ends {
                end.tick(now, &self.media);
            }
            self.take_events();
            self.end_those_due(now);
            self.look_at_children();
            if now >= until || done(self) {
                return Ok(());
            }
            let timers = self.ends.iter().filter_map(|end| end.ua.poll_deadline());
            let child = (!self.children.is_empty()).then(|| now + CHILD_LOOK);
            let call = self.ends_at.front().map(|(at, _)| *at);
            let wake = timers.chain(child).chain(call).fold(until, Time::min);
            match self.poll.poll(&mut events, Some(wake.since(now))) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => result?,
            }
            for event in &events {
                let end = &mut self.ends[event.token().0];
                end.read(&self.clock, &self.media);
                let longest = self.waits.last_mut().expect("there is always one");
                *longest = (*longest).max(end.take_lateness());
            }
        }
    }

    /// Runs for `duration`.
    pub fn wait(&mut self, duration: Duration) -> io::Result<()> {
        self.run(self.clock.now() + duration, |_| false)
    }

    fn take_events(&mut self) {
        for n in 0..self.ends.len() {
            let side = self.ends[n].side;
            while let Some((at, event)) = self.ends[n].next_event() {
                let up = self.ledger.up();
                let Some((call, name)) = self.ledger.note(at, side, &event) else {
                    continue;
                };
                if let Some(hold) = self.hold_time.filter(|_| self.ledger.up() > up) {
                    self.ends_at.push_back((at + hold, call));
                }
                if matches!(event, Out::Reinvited { held: false, .. }) {
                    self.media.rest((call, side), false);
                }
                self.tell(name, json!({ "call": call, "side": side }));
            }
        }
    }

    /// Prints a progress line.
    pub fn tell(&self, event: &str, mut detail: Value) {
        if !self.progress {
            return;
        }
        let stamp = self.clock.stamp();
        if let Some(fields) = detail.as_object_mut() {
            fields.insert("event".into(), event.into());
            fields.insert("realtime_ns".into(), stamp.realtime_ns.into());
            fields.insert("monotonic_ns".into(), stamp.monotonic_ns.into());
            fields.insert("since_start_ns".into(), self.clock.now().as_nanos().into());
        }
        // Nobody reading any more is no reason to stop.
        let _ = writeln!(io::stdout(), "{detail}");
    }

    /// Starts a fault command; from here on gaps count for it.
    pub fn cause(&mut self, command: &str, options: &Options) -> io::Result<()> {
        let n = self.faults.len();
        self.media.open_window();
        self.waits.push(Duration::ZERO);
        let stamp = self.clock.stamp();
        self.faults.push(Fault {
            command: command.to_owned(),
            started_ns: self.clock.now().as_nanos(),
            started_realtime_ns: stamp.realtime_ns,
            finished_ns: None,
            finished_realtime_ns: None,
            exit: None,
        });
        let child = Command::new("/bin/sh")
            .args(["-c", command])
            .env("HOLDLINE_CALLS", options.calls.to_string())
            .env("HOLDLINE_FAULT", (n + 1).to_string())
            .env("HOLDLINE_AGENT", options.agent.to_string())
            .env("HOLDLINE_CALLER", options.caller_listen.to_string())
            .env("HOLDLINE_CALLEE", options.callee_listen.to_string())
            .stdin(Stdio::null())
            // Standard output is for the report.
            .stdout(io::stderr())
            .spawn()?;
        self.children.push((n, child));
        self.tell(
            "fault_started",
            json!({ "fault": n + 1, "command": command }),
        );
        Ok(())
    }

    fn look_at_children(&mut self) {
        let mut over = Vec::new();
        self.children
            .retain_mut(|(n, child)| match child.try_wait() {
                Ok(None) => true,
                Ok(Some(status)) => {
                    over.push((*n, status.code()));
                    false
                }
                Err(_) => false,
            });
        for (n, exit) in over {
            let (now, stamp) = (self.clock.now(), self.clock.stamp());
            let fault = &mut self.faults[n];
            fault.finished_ns = Some(now.as_nanos());
            fault.finished_realtime_ns = Some(stamp.realtime_ns);
            fault.exit = exit;
            self.tell("fault_finished", json!({ "fault": n + 1, "exit": exit }));
        }
    }
}

/// What a step asks of the user agent.
pub fn command(step: Step, call: CallNumber) -> In {
    match step {
        Step::Hold => In::Hold(call),
        Step::Unhold => In::Unhold(call),
        Step::Bye => In::Hangup(call),
    }
}

/// Opens sockets where the end of `side` is to be.
fn on_host_of<T>(
    side: Side,
    options: &Options,
    open: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    match (side, &options.callee_netns) {
        (Side::Callee, Some(path)) => Namespace::open(path)?.within(open)?,
        _ => open(),
    }
}

fn profile(side: Side, options: &Options) -> Profile {
    let mut profile = Profile::new(match side {
        Side::Caller => options.caller_listen,
        Side::Callee => options.callee_listen,
    });
    profile.ring = Duration::from_millis(options.ring_ms);
    profile.ptime = options.ptime;
    profile.media = options.media != MediaMode::None;
    if side == Side::Callee {
        profile.replaces = options.callee_replaces;
        profile.server.clone_from(&options.callee_server);
        profile.replaces_delay = options.replaces_delay;
        profile.moving = options.callee_moving;
        profile.freezes_beyond = options.freeze_beyond;
    }
    profile
}

fn seed_of(seed: u64, end: u8) -> [u8; 32] {
    let mut bytes = [end; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    bytes
}
