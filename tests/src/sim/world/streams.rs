//! Relay commands carried out, and whose packets arrive because of them.

use super::{Event, TICK, World, kind_of};
use crate::sim::host::{AGENT, CALLEE, CALLER, Core, Host, HostId, Item, NODES};
use crate::sim::judge::LOOK;
use crate::sim::plan::{CallPlan, Sound};
use crate::ua::{self, CallNumber};
use holdline_relay::{Command, GroupTick, Report, Side, Tick};
use holdline_wire::Time;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// How long a relay takes to close sockets, and to find that it cannot open some.
const CLOSES: Duration = Duration::from_millis(5);
const REFUSES: Duration = Duration::from_micros(300);
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
        let reports = match self.relays.apply(host, &command) {
            Ok(reports) => reports,
            Err(what) => {
                let what = format!("{}: {what}", self.hosts[host].name);
                return self.watch.fail(self.now, self.about, what);
            }
        };
        let run = self.hosts[host].run;
        for report in reports {
            let after = match report {
                Report::BindFailed { .. } => REFUSES,
                _ => CLOSES,
            };
            self.at(self.now + after, Event::Report { host, run, report });
        }
    }

    pub(super) fn report(&mut self, host: HostId, run: u32, report: Report) {
        if self.hosts[host].run != run {
            return;
        }
        self.relays.told(host, &report);
        let item = match self.hosts[host].core {
            Some(Core::Agent(_)) => Item::Agent(holdline_agent::core::In::Media(report)),
            _ => Item::Node(b2bua_node::core::In::Media(report)),
        };
        self.give(host, item);
    }

    /// The agent's relay looks at its sockets, if its process runs.
    pub(super) fn tick(&mut self) {
        if self.dirty {
            self.dirty = false;
            self.follow_media();
        }
        self.ticks += 1;
        if self.ticks.is_multiple_of(2) {
            self.sample();
        }
        if self.quiet {
            return;
        }
        if self.ticks.is_multiple_of(LOOK) {
            self.tell_silences();
        }
        if self.ticks.is_multiple_of(LOOK) && self.plan.disaster().is_none() {
            self.look_at_calls();
        }
        self.send_media();
        if !self.hosts[AGENT].paused {
            self.report_tick();
        }
        self.at(self.now + TICK, Event::Tick);
    }

    /// Packets leave for the agent: of every stream one in two ticks, so long as it talks.
    fn send_media(&mut self) {
        let parity = self.ticks % 2;
        let (loss, jitter) = (self.plan.network.rtp_loss, self.plan.network.rtp_jitter);
        for (group, streams) in &self.heard {
            for (stream, call) in streams {
                let talks = talks(&self.plan.calls[*call], self.plan.seed, self.now);
                if stream % 2 != parity || !talks || (loss > 0 && self.draw.chance(loss)) {
                    continue;
                }
                let mut late = Duration::ZERO;
                if !jitter.is_zero() {
                    late = self.draw.between(Duration::ZERO, jitter);
                }
                let tick = (late.as_micros() / TICK.as_micros()) as usize;
                if self.coming.len() <= tick {
                    self.coming.resize(tick + 1, BTreeMap::new());
                }
                let newest = Time::from_nanos(self.now.as_nanos() - 3_000_000) + late;
                let coming = self.coming[tick].entry(*group).or_insert((0, newest));
                *coming = (coming.0 + 1, newest.max(coming.1));
            }
        }
    }

    /// Tells the agent what came since the last time.
    pub(super) fn report_tick(&mut self) {
        let late = self.now.since(self.ticked + TICK);
        let mut groups = BTreeMap::new();
        // What came while the process stood still waits in its sockets.
        let past = (late.as_micros() / TICK.as_micros()) as usize + 1;
        for coming in self.coming.drain(..past.min(self.coming.len())) {
            for (group, (packets, newest)) in coming {
                let tick = groups.entry(group).or_insert(GroupTick {
                    group,
                    packets: 0,
                    streams: 0,
                    newest,
                    pause: TICK,
                });
                tick.packets += packets;
                tick.streams = tick.streams.max(packets);
                tick.newest = tick.newest.max(newest);
            }
        }
        self.ticked = self.now;
        let tick = Tick {
            at: self.now,
            late,
            groups: groups.into_values().collect(),
        };
        let mut reports = vec![Report::Tick(tick)];
        let at = self.now;
        let refused = self.refusals.in_a_tick(at).into_iter();
        reports.extend(refused.map(|(group, stream)| Report::Refused { group, stream, at }));
        for report in reports {
            self.give(AGENT, Item::Agent(holdline_agent::core::In::Media(report)));
        }
    }

    /// Finds out whose packets arrive, over both programs' relays.
    pub(super) fn follow_media(&mut self) {
        self.heard.clear();
        self.sounds.forget();
        self.refusals.clear();
        let since = self
            .plan
            .disaster()
            .map_or(Time::ZERO, |disaster| disaster.at);
        for index in 0..self.plan.calls.len() {
            let call = self.plan.calls[index].number;
            let (near, far) = (self.ua(CALLER).stream(call), self.ua(CALLEE).stream(call));
            let (Some(near), Some(far)) = (near.cloned(), far.cloned()) else {
                continue;
            };
            // Who is held must not send, whether the other end would listen or not.
            let there = near.direction.sends() && self.reaches(index, &near, &far, Side::Near);
            let back = far.direction.sends() && self.reaches(index, &far, &near, Side::Far);
            let flows = (there, back);
            self.watch.judge_media(self.now, call, flows, since);
        }
        self.tell_sounds();
    }

    /// Programs whose relays hear somebody for the first time, or again, are told so.
    fn tell_sounds(&mut self) {
        for (host, stream, side) in self.sounds.begun(self.now) {
            let run = self.hosts[host].run;
            self.report(host, run, Report::Heard { stream, side });
        }
    }

    /// Programs whose relays have heard nobody on a side for long are told so.
    fn tell_silences(&mut self) {
        let (relays, hosts) = (&self.relays, &self.hosts);
        self.sounds
            .keep(|host, stream| relays.get(host, stream).is_some());
        let ended = self.sounds.ended(self.now, |host| hosts[host].paused);
        for ((host, stream, side), since) in ended {
            let run = self.hosts[host].run;
            let report = Report::Quiet {
                stream,
                side,
                since,
            };
            self.report(host, run, report);
        }
    }

    /// Whether packets of `from` arrive at `to`; counts what the agent hears on the way.
    fn reaches(&mut self, call: usize, from: &ua::Stream, to: &ua::Stream, side: Side) -> bool {
        let Some(first) = from.remote else {
            return false;
        };
        let (mut source, mut next) = (from.local, first);
        let mut sender = if side == Side::Near { CALLER } else { CALLEE };
        for _ in 0..2 {
            let Some(owner) = self.owner_of(next) else {
                return false;
            };
            if !self.links.open(sender, owner) || self.hosts[owner].paused {
                return false;
            }
            sender = owner;
            let Some(hop) = self.relays.pass(source, next) else {
                self.refused(owner, source, next);
                return false;
            };
            if hop.side != side {
                return false;
            }
            if side == Side::Near || self.plan.calls[call].sound != Sound::Never {
                self.sounds.hear((hop.host, hop.stream, hop.side));
            }
            if hop.host == AGENT
                && hop.side == Side::Far
                && let Some(stream) = self.relays.get(AGENT, hop.stream)
            {
                let streams = self.heard.entry(stream.group).or_default();
                streams.push((hop.stream.0, call));
            }
            let Some(peer) = hop.to else { return false };
            (source, next) = (hop.from, peer);
        }
        let end = if side == Side::Near { CALLEE } else { CALLER };
        self.links.open(sender, end) && next == to.local && to.remote == Some(source)
    }

    /// The host that has this media port.
    fn owner_of(&self, media: SocketAddr) -> Option<HostId> {
        let owns = |host: &Host| host.owns_media(media.ip(), media.port());
        self.hosts.iter().position(owns)
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
            let mut sender = CALLEE;
            for _ in 0..2 {
                let owner = self.owner_of(next).filter(|&owner| {
                    self.links.open(sender, owner) && self.hosts[owner].is_running()
                });
                let (Some(owner), Some(hop)) = (owner, self.relays.pass(source, next)) else {
                    break;
                };
                sender = owner;
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
        if owner < NODES || self.relays.is_open(port) || !self.plan.network.icmp {
            return;
        }
        if let Some((stream, group)) = self.relays.stream_at(AGENT, source) {
            self.refusals.met(group, owner, stream);
        }
    }
}

/// Whether the callee of `call` sends RTP at `now`; pauses and talk spurts are multiples of 0.7 s.
fn talks(call: &CallPlan, seed: u64, now: Time) -> bool {
    match call.sound {
        Sound::Steady => true,
        Sound::Never => false,
        Sound::Pauses => {
            let spurt = now.as_nanos() / 700_000_000;
            let mixed =
                (seed ^ u64::from(call.number) << 32 ^ spurt).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            mixed >> 63 == 0
        }
    }
}
