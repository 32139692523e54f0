//! The signalling thread: both user agents on their sockets, and the fault commands as processes.

use super::clock::Clock;
use super::end::{End, PortStore};
use super::ledger::Ledger;
use super::mark::Side;
use super::media::Media;
use super::options::Options;
use crate::ua::{In, Profile};
use holdline_wire::Time;
use holdline_wire::machine::Machine;
use mio::{Events, Interest, Poll, Token};
use serde_json::{Value, json};
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
    progress: bool,
}

impl Driver {
    /// Opens all sockets.
    pub fn open(options: &Options, faults: usize) -> io::Result<Driver> {
        let clock = Clock::default();
        let poll = Poll::new()?;
        let seed = options.seed.unwrap_or_else(|| clock.stamp().realtime_ns);
        let mut callee = Profile::new(options.callee_listen);
        callee.ring = Duration::from_millis(options.ring_ms);
        callee.replaces = options.callee_replaces;
        let caller = Profile::new(options.caller_listen);
        let mut ends = [
            End::open(Side::Caller, caller, seed_of(seed, 1))?,
            End::open(Side::Callee, callee, seed_of(seed, 2))?,
        ];
        let mut ports = PortStore::new(options.rtp_ports);
        let calls = options.calls as usize;
        let needs = [calls + SPARE, calls * (1 + faults) + SPARE];
        for (n, end) in ends.iter_mut().enumerate() {
            end.stock(clock.now(), &mut ports, needs[n])?;
            poll.registry()
                .register(end.source(), Token(n), Interest::READABLE)?;
        }
        Ok(Driver {
            clock,
            media: Media::start(clock)?,
            ledger: Ledger::default(),
            faults: Vec::new(),
            ends,
            poll,
            children: Vec::new(),
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

    /// Runs until `until`, or until `done` holds.
    pub fn run(&mut self, until: Time, done: impl Fn(&Driver) -> bool) -> io::Result<()> {
        let mut events = Events::with_capacity(8);
        loop {
            let now = self.clock.now();
            for end in &mut self.ends {
                end.tick(now, &self.media);
            }
            self.take_events();
            self.look_at_children();
            if now >= until || done(self) {
                return Ok(());
            }
            let timers = self.ends.iter().filter_map(|end| end.ua.poll_deadline());
            let child = (!self.children.is_empty()).then(|| now + CHILD_LOOK);
            let wake = timers.chain(child).fold(until, Time::min);
            match self.poll.poll(&mut events, Some(wake.since(now))) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => result?,
            }
            for event in &events {
                self.ends[event.token().0].read(&self.clock, &self.media);
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
                if let Some((call, name)) = self.ledger.note(at, side, &event) {
                    self.tell(name, json!({ "call": call, "side": side }));
                }
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

fn seed_of(seed: u64, end: u8) -> [u8; 32] {
    let mut bytes = [end; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    bytes
}
