//! Relay commands carried out, and whose packets arrive because of them.

use super::{Event, TICK, World, kind_of};
use crate::sim::host::{Core, HostId, Item};
use crate::sim::world::{AGENT, CALLEE, CALLER, NODES};
use crate::ua::{self, CallNumber};
use holdline_relay::{Command, GroupTick, Report, Side, Stats, Tick};
use holdline_wire::Time;
use std::net::SocketAddr;
use std::time::Duration;

/// The first calls, whose RTP is real.
const SAMPLED: CallNumber = 3;

impl World {
    pub(super) fn relay(&mut self, host: HostId, command: Command) {
        let kind = kind_of(&self.hosts[host].core);
        let command = match &mut self.mutation {
            Some(mutation) => match mutation.relay(kind, command) {
                Some(command) => command,
                None => return,
            },
            None => command,
        };
        let shown = format!("{command:?}");
        let head = format!("{} relay", self.hosts[host].name);
        self.transcript
            .note(self.now, self.about, &head, shown.as_bytes(), |b| {
                String::from_utf8_lossy(b).into()
            });
        self.dirty = true;
        self.samples.apply(host, &command);
        if let Err(what) = self.relays.apply(host, &command) {
            let what = format!("{}: {what}", self.hosts[host].name);
            self.watch.fail(self.now, self.about, what);
        }
        if let Command::Remove { stream } = command {
            let (near, far) = (Stats::default(), Stats::default());
            let report = Report::Removed { stream, near, far };
            let (run, at) = (self.hosts[host].run, self.now + Duration::from_millis(1));
            self.at(at, Event::Report { host, run, report });
        }
    }

    pub(super) fn report(&mut self, host: HostId, run: u32, report: Report) {
        if self.hosts[host].run != run {
            return;
        }
        let item = match self.hosts[host].core {
            Some(Core::Agent(_)) => Item::Agent(holdline_agent::core::In::Media(report)),
            _ => Item::Node(b2bua_node::core::In::Media(report)),
        };
        self.give(host, item);
    }

    pub(super) fn tick(&mut self) {
        if self.dirty {
            self.dirty = false;
            self.follow_media();
        }
        self.ticks += 1;
        if self.ticks.is_multiple_of(2) {
            self.sample();
        }
        let parity = (self.ticks % 2) as usize;
        let newest = Time::from_nanos(self.now.as_nanos() - 3_000_000);
        let heard = self.heard.iter().filter(|(_, streams)| streams[parity] > 0);
        let groups = heard
            .map(|(group, streams)| GroupTick {
                group: *group,
                packets: streams[parity],
                streams: streams[parity],
                newest,
            })
            .collect();
        if self.hosts[AGENT].paused {
            return;
        }
        let tick = Tick {
            at: self.now,
            late: Duration::ZERO,
            groups,
        };
        let mut reports = vec![Report::Tick(tick)];
        for (group, stream) in &self.refusing {
            reports.push(Report::Refused {
                group: *group,
                stream: *stream,
                at: self.now,
            });
        }
        for report in reports {
            self.give(AGENT, Item::Agent(holdline_agent::core::In::Media(report)));
        }
        self.at(self.now + TICK, Event::Tick);
    }

    /// Finds out whose packets arrive, over both programs' relays.
    pub(super) fn follow_media(&mut self) {
        self.heard.clear();
        self.refusing.clear();
        let death = self.plan.disaster.at;
        for index in 0..self.plan.calls.len() {
            let call = self.plan.calls[index].number;
            let (Core::Ua(caller), Core::Ua(callee)) = (
                self.hosts[CALLER].core.as_ref().expect("it never dies"),
                self.hosts[CALLEE].core.as_ref().expect("it never dies"),
            ) else {
                return;
            };
            let (near, far) = (caller.stream(call), callee.stream(call));
            let (Some(near), Some(far)) = (near.cloned(), far.cloned()) else {
                continue;
            };
            // Who is held must not send, whether the other end would listen or not.
            let there = near.direction.sends() && self.reaches(&near, &far, Side::Near);
            let back = far.direction.sends() && self.reaches(&far, &near, Side::Far);
            let flows = (there, back);
            self.watch.judge_media(self.now, call, flows, death);
        }
    }

    /// Whether packets of `from` arrive at `to`; counts what the agent hears on the way.
    pub(super) fn reaches(&mut self, from: &ua::Stream, to: &ua::Stream, side: Side) -> bool {
        let Some(first) = from.remote else {
            return false;
        };
        let (mut source, mut next) = (from.local, first);
        for _ in 0..2 {
            let Some(owner) = self
                .hosts
                .iter()
                .position(|h| h.owns_media(next.ip(), next.port()))
            else {
                return false;
            };
            if self.hosts[owner].cut || self.hosts[owner].paused {
                return false;
            }
            let Some(hop) = self.relays.pass(source, next) else {
                self.refused(owner, source, next);
                return false;
            };
            if hop.side != side {
                return false;
            }
            if hop.host == AGENT
                && hop.side == Side::Far
                && let Some(stream) = self.relays.get(AGENT, hop.stream)
            {
                self.heard.entry(stream.group).or_default()[(hop.stream.0 % 2) as usize] += 1;
            }
            let Some(peer) = hop.to else { return false };
            (source, next) = (hop.from, peer);
        }
        next == to.local && to.remote == Some(source)
    }

    /// One packet of each sampled call's callee, through the tables of both relays.
    pub(super) fn sample(&mut self) {
        for call in 1..=SAMPLED {
            let Some(from) = self.ua(CALLEE).stream(call).cloned() else {
                continue;
            };
            let Some(to) = self.ua(CALLER).stream(call).cloned() else {
                continue;
            };
            let (Some(first), true) = (from.remote, from.direction.sends()) else {
                continue;
            };
            let mut packet = self.samples.packet(self.now, from.local);
            let (mut source, mut next) = (from.local, first);
            for _ in 0..2 {
                let up = self
                    .hosts
                    .iter()
                    .any(|h| h.owns_media(next.ip(), next.port()) && !h.cut && h.is_running());
                let Some(hop) = self.relays.pass(source, next).filter(|_| up) else {
                    break;
                };
                let (host, stream, side) = (hop.host, hop.stream, hop.side);
                let passed = self.samples.pass(self.now, host, stream, side, &mut packet);
                let Some(peer) = hop.to.filter(|_| passed) else {
                    break;
                };
                (source, next) = (hop.from, peer);
            }
            if next == to.local
                && to.remote == Some(source)
                && let Some(what) = self.samples.arrived(self.now, call, &packet)
            {
                self.watch.fail(self.now, Some(call), what);
            }
        }
    }

    /// A packet from `source` came to a port of `owner` that nobody has open.
    pub(super) fn refused(&mut self, owner: HostId, source: SocketAddr, port: SocketAddr) {
        if owner < NODES || self.relays.is_open(port) || !self.plan.icmp {
            return;
        }
        if let Some((stream, group)) = self.relays.stream_at(AGENT, source) {
            self.refusing.entry(group).or_insert(stream);
        }
    }
}
