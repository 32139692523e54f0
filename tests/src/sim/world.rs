//! The event loop: virtual time, hosts, what is under way between them.

use super::draw::{Draw, seed_bytes};
use super::host::{Core, Host, HostId, Item};
use super::media::Relays;
use super::mutant::{Kind, Mutant, Mutation};
use super::network::Network;
use super::plan::{Act, Death, Document, End, Plan, StoreFault};
use super::sample::Samples;
use super::transcript::{Transcript, brief, call_in};
use super::watch::Watch;
use crate::ua::{self, CallNumber, Placement, Profile, Ua};
use b2bua_node::core::{NodeConfig, NodeCore};
use b2bua_node::store::{Answer, MemoryStore, Store, StoreReply, StoreRequest};
use bytes::Bytes;
use holdline_agent::core::{AgentCore, Moving, Settings};
use holdline_relay::{Command, GroupId, GroupTick, Report, Side, Stats, StreamId, Tick};
use holdline_wire::machine::{Machine, Output};
use holdline_wire::token::Tokens;
use holdline_wire::{Time, TransportKey};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// The agent's place in the list of hosts.
pub const AGENT: HostId = 0;
/// The calling server's.
pub const CALLER: HostId = 1;
/// The downstream UA's.
pub const CALLEE: HostId = 2;
/// The first node's.
pub const NODES: HostId = 3;

/// The world began at this time since 1970.
pub(super) const EPOCH: Duration = Duration::from_secs(1_800_000_000);
/// The relays' tick.
const TICK: Duration = Duration::from_millis(10);
/// How long the world is without probes at its end (timer J, RFC 3261 17.2.2: 32 s).
const QUIET: Duration = Duration::from_secs(34);
/// The first calls, whose RTP is real.
const SAMPLED: CallNumber = 3;
/// A program that serves its deadline this often without time passing hangs.
const SPIN: u32 = 100_000;

/// What is to happen.
#[derive(Debug)]
enum Event {
    Arrive {
        to: SocketAddr,
        from: SocketAddr,
        bytes: Bytes,
        call: Option<CallNumber>,
    },
    Refused {
        host: HostId,
        run: u32,
        key: TransportKey,
    },
    Serve(HostId),
    Tick,
    Place(usize),
    Step(usize, usize),
    Document(Document),
    Strike,
    Revive,
    StoreDo {
        host: HostId,
        run: u32,
        request: StoreRequest,
    },
    StoreReply {
        host: HostId,
        run: u32,
        reply: StoreReply,
    },
    Report {
        host: HostId,
        run: u32,
        report: Report,
    },
    Deadline2s,
    Quiet,
}

/// A world under way.
pub struct World {
    pub(super) plan: Plan,
    pub(super) now: Time,
    pub(super) hosts: Vec<Host>,
    pub(super) relays: Relays,
    pub(super) samples: Samples,
    pub(super) store: MemoryStore,
    pub(super) watch: Watch,
    pub(super) transcript: Transcript,
    queue: BTreeMap<(Time, u64), Event>,
    next: u64,
    network: Network,
    draw: Draw,
    mutation: Option<Mutation>,
    version: u64,
    dirty: bool,
    /// Streams heard of each group, by the parity of their packets.
    heard: BTreeMap<GroupId, [u32; 2]>,
    /// Groups whose ports refuse, and a stream that met it.
    refusing: BTreeMap<GroupId, StreamId>,
    ticks: u64,
    /// The call that the input in hand is about.
    about: Option<CallNumber>,
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address of the world")
}

/// The SIP address of node `n`.
fn node_address(plan: &Plan, n: usize) -> SocketAddr {
    if plan.one_address {
        address(&format!("10.0.1.1:{}", 5060 + 10 * n))
    } else {
        address(&format!("10.0.1.{}:5060", n + 1))
    }
}

fn node_ports(plan: &Plan, n: usize) -> (u16, u16) {
    let n = if plan.one_address { n as u16 } else { 0 };
    (10_000 + 15_000 * n, 24_999 + 15_000 * n)
}

fn ua(ip: &str, seed: u64, purpose: u8, ring: Duration) -> Ua {
    let sip = address(&format!("{ip}:5060"));
    let profile = Profile {
        ring,
        ..Profile::new(sip)
    };
    let mut ua = Ua::new(profile, Tokens::new(seed_bytes(seed, purpose)));
    let ports = ua::ports(sip.ip(), 10_000, 27_000);
    ua.handle(
        Time::ZERO,
        holdline_wire::machine::Input::Other(ua::In::Ports(ports)),
    );
    ua
}

impl World {
    /// The world of `plan`; `keep` keeps the transcript's lines.
    pub fn new(plan: Plan, mutant: Option<Mutant>, keep: bool) -> World {
        let seed = plan.seed;
        let agent = address("10.0.0.1:5060");
        let settings = Settings {
            trunk: "trunk.example".to_owned(),
            sip: agent,
            allow: vec!["10.0.0.2/32".parse().expect("a network")],
            media: agent.ip(),
            ports: (10_000, 39_999),
            max_calls: 10_000,
            setup_timeout: Duration::from_secs(185),
            health: Default::default(),
            moving: Moving::default(),
        };
        let core = AgentCore::new(settings, seed_bytes(seed, 10));
        let mut hosts = vec![Host::new(
            "agent",
            Core::Agent(Box::new(core)),
            agent,
            (10_000, 39_999),
        )];
        for (name, ip, purpose, ring) in [
            ("caller", "10.0.0.2", 11, Duration::ZERO),
            ("callee", "10.0.0.3", 12, plan.ring),
        ] {
            let core = Core::Ua(Box::new(ua(ip, seed, purpose, ring)));
            hosts.push(Host::new(
                name,
                core,
                address(&format!("{ip}:5060")),
                (10_000, 65_535),
            ));
        }
        hosts[AGENT].service = Duration::from_micros(60);
        let mut world = World {
            network: Network::new(&plan),
            draw: Draw::new(seed, 3),
            mutation: mutant.map(Mutation::new),
            now: Time::ZERO,
            hosts,
            relays: Relays::default(),
            samples: Samples::default(),
            store: MemoryStore::default(),
            watch: Watch::default(),
            transcript: Transcript::new(keep),
            queue: BTreeMap::new(),
            next: 0,
            version: 0,
            dirty: true,
            heard: BTreeMap::new(),
            refusing: BTreeMap::new(),
            ticks: 0,
            about: None,
            plan,
        };
        for n in 0..world.plan.nodes {
            let core = world.node_core(n, 0);
            let (sip, media) = (node_address(&world.plan, n), node_ports(&world.plan, n));
            let name = format!("node{}", n + 1);
            let mut host = Host::new(&name, Core::Node(Box::new(core)), sip, media);
            host.service = Duration::from_micros(80);
            world.hosts.push(host);
        }
        world.schedule();
        world
    }

    fn node_core(&self, n: usize, run: u32) -> NodeCore {
        let seed = self.plan.seed;
        let purpose = 20 + n as u8 * 20 + run as u8;
        let callee = self.hosts[CALLEE].sip;
        let incarnation = format!("{:016x}-{n}-{run}", seed ^ 0x5eed);
        let sip = node_address(&self.plan, n);
        let base = NodeConfig::new(sip, callee, &incarnation, seed_bytes(seed, purpose));
        let config = NodeConfig {
            ports: node_ports(&self.plan, n),
            capacity: 2000,
            upstream: vec!["10.0.0.1/32".parse().expect("a network")],
            ..base
        };
        NodeCore::new(config, self.now)
    }

    fn schedule(&mut self) {
        self.at(Time::ZERO + TICK, Event::Tick);
        for (at, document) in self.plan.documents.clone() {
            self.at(at, Event::Document(document));
        }
        let disaster = self.plan.disaster;
        self.at(disaster.at, Event::Strike);
        self.at(disaster.at + Duration::from_secs(2), Event::Deadline2s);
        self.at(self.plan.end, Event::Quiet);
        self.plan.end = self.plan.end + QUIET;
        let back = match disaster.death {
            Death::Cut(back) | Death::Killed(back) => back,
            Death::Paused(back) => Some(back),
        };
        if let Some(back) = back {
            self.at(disaster.at + back, Event::Revive);
        }
        for index in 0..self.plan.calls.len() {
            self.at(self.plan.calls[index].place, Event::Place(index));
            for step in 0..self.plan.calls[index].steps.len() {
                self.at(
                    self.plan.calls[index].steps[step].at,
                    Event::Step(index, step),
                );
            }
        }
    }

    fn at(&mut self, at: Time, event: Event) {
        self.next += 1;
        self.queue.insert((at.max(self.now), self.next), event);
    }

    /// Runs until the plan's end.
    pub fn run(&mut self) {
        for host in 0..self.hosts.len() {
            self.wake(host);
        }
        while let Some(((at, _), event)) = self.queue.pop_first() {
            if at > self.plan.end {
                break;
            }
            self.now = at;
            self.step(event);
        }
        self.now = self.plan.end;
        self.judge();
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Arrive {
                to,
                from,
                bytes,
                call,
            } => self.arrive(to, from, bytes, call),
            Event::Refused { host, run, key } => {
                if self.hosts[host].run == run {
                    self.give(host, Item::Refused(key));
                }
            }
            Event::Serve(host) => self.serve(host),
            Event::Tick => self.tick(),
            Event::Place(index) => self.place(index),
            Event::Step(call, step) => self.act(call, step),
            Event::Document(document) => self.document(document),
            Event::Strike => self.strike(),
            Event::Revive => self.revive(),
            Event::StoreDo { host, run, request } => self.store_do(host, run, request),
            Event::StoreReply { host, run, reply } => {
                if self.hosts[host].run == run {
                    self.give(host, Item::Node(b2bua_node::core::In::Store(reply)));
                }
            }
            Event::Report { host, run, report } => self.report(host, run, report),
            Event::Deadline2s => self.judge_recovery(),
            // Probes stop, so that their transactions are gone at the end.
            Event::Quiet => self.hosts[AGENT].paused = true,
        }
    }

    fn note(&mut self, call: Option<CallNumber>, head: &str) {
        self.transcript
            .note(self.now, call, head, b"", |_| String::new());
    }

    // Hosts.

    fn give(&mut self, host: HostId, item: Item) {
        if self.hosts[host].core.is_none() {
            return;
        }
        if !self.hosts[host].push(item) {
            let head = format!(
                "{}: receive buffer full, datagram dropped",
                self.hosts[host].name
            );
            self.note(None, &head);
        }
        self.wake(host);
    }

    fn wake(&mut self, host: HostId) {
        let Some(at) = self.hosts[host].due() else {
            return;
        };
        let at = at.max(self.now);
        if self.hosts[host].wake.is_none_or(|wake| wake > at) {
            self.hosts[host].wake = Some(at);
            self.at(at, Event::Serve(host));
        }
    }

    fn serve(&mut self, host: HostId) {
        let now = self.now;
        let served = &mut self.hosts[host];
        if served.wake != Some(now) {
            return;
        }
        served.wake = None;
        if !served.is_running() {
            return;
        }
        if let Some(item) = served.next_item(now) {
            if served.spinning.0 == now {
                served.spinning.1 += 1;
                assert!(served.spinning.1 < SPIN, "{} hangs at {now:?}", served.name);
            } else {
                served.spinning = (now, 0);
            }
            self.about = match &item {
                Item::Message(_, bytes) => call_in(bytes),
                _ => None,
            };
            served.handle(now, item);
            served.busy = now + served.service;
            self.drain(host);
        }
        self.wake(host);
    }

    fn drain(&mut self, host: HostId) {
        loop {
            let now = self.now;
            match &mut self.hosts[host].core {
                Some(Core::Agent(core)) => match core.poll_output() {
                    Some(Output::Send { to, bytes }) => self.send(host, to, bytes),
                    Some(Output::Close(_)) => {}
                    Some(Output::Other(holdline_agent::core::Out::Relay(command))) => {
                        self.relay(host, command);
                    }
                    Some(Output::Other(holdline_agent::core::Out::Event(event))) => {
                        let head = format!("agent: {event:?}");
                        self.note(self.about, &head);
                        let disaster = self.plan.disaster;
                        let victim = self.hosts[NODES + disaster.node].sip;
                        let broken = self
                            .plan
                            .documents
                            .iter()
                            .any(|(_, d)| *d == Document::Broken);
                        self.watch
                            .heard_agent(now, &event, victim, disaster.at, broken);
                    }
                    None => return,
                },
                Some(Core::Node(core)) => match core.poll_output() {
                    Some(Output::Send { to, bytes }) => self.send(host, to, bytes),
                    Some(Output::Close(_)) => {}
                    Some(Output::Other(b2bua_node::core::Out::Relay(command))) => {
                        self.relay(host, command);
                    }
                    Some(Output::Other(b2bua_node::core::Out::Store(request))) => {
                        self.ask_store(host, request);
                    }
                    Some(Output::Other(b2bua_node::core::Out::Event(event))) => {
                        let head = format!("{}: {event:?}", self.hosts[host].name);
                        self.note(self.about, &head);
                        self.heard_node(host, &event);
                    }
                    None => return,
                },
                Some(Core::Ua(core)) => match core.poll_output() {
                    Some(Output::Send { to, bytes }) => self.send(host, to, bytes),
                    Some(Output::Close(_)) => {}
                    Some(Output::Other(out)) => self.heard_ua(host, out),
                    None => return,
                },
                None => return,
            }
        }
    }

    // The network.

    fn send(&mut self, host: HostId, to: TransportKey, bytes: Bytes) {
        let kind = kind_of(&self.hosts[host].core);
        let bytes = match &mut self.mutation {
            Some(mutation) => match mutation.send(kind, &bytes) {
                Some(bytes) => bytes,
                None => return,
            },
            None => bytes,
        };
        let call = call_in(&bytes);
        let from = self.hosts[host].source(to.connection);
        let target = self.host_at(to.remote).unwrap_or(host);
        let arrivals = self.network.arrivals(self.now, host, target);
        let lost = arrivals.is_empty() || self.hosts[host].cut || self.hosts[target].cut;
        let head = format!(
            "{} -> {}{}",
            self.hosts[host].name,
            self.name_of(to.remote),
            if lost { " (lost)" } else { "" }
        );
        self.transcript.note(self.now, call, &head, &bytes, brief);
        self.look_at(host, call, &bytes);
        if self.hosts[host].cut {
            return;
        }
        for at in arrivals {
            let (to, bytes) = (to.remote, bytes.clone());
            self.at(
                at,
                Event::Arrive {
                    to,
                    from,
                    bytes,
                    call,
                },
            );
        }
    }

    /// Notes failover INVITEs, and learns Call-IDs.
    fn look_at(&mut self, host: HostId, call: Option<CallNumber>, bytes: &[u8]) {
        let (Some(call), true) = (call, bytes.starts_with(b"INVITE ")) else {
            return;
        };
        let text = String::from_utf8_lossy(bytes);
        let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        if host == AGENT && line("Replaces: ").is_some() {
            self.watch.call(call).replaces_sent += 1;
        }
        if host == CALLER
            && let Some(id) = line("Call-ID: ")
        {
            self.watch.learn_call_id(call, id);
        }
    }

    fn host_at(&self, address: SocketAddr) -> Option<HostId> {
        let connected = |host: &Host| address.port() >= 50_000 && host.sip.ip() == address.ip();
        let exact = self.hosts.iter().position(|host| host.sip == address);
        exact.or_else(|| self.hosts.iter().position(connected))
    }

    fn name_of(&self, address: SocketAddr) -> &str {
        self.host_at(address)
            .map_or("?", |host| &self.hosts[host].name)
    }

    fn arrive(&mut self, to: SocketAddr, from: SocketAddr, bytes: Bytes, call: Option<CallNumber>) {
        let Some(target) = self.host_at(to) else {
            return self
                .watch
                .fail(self.now, call, format!("message to nowhere: {to}"));
        };
        let host = &self.hosts[target];
        if host.cut {
            return;
        }
        if host.core.is_some() {
            let key = host.flow(from, to);
            return self.give(target, Item::Message(key, bytes));
        }
        let Some(sender) = self.host_at(from) else {
            return;
        };
        if matches!(sender, CALLER | CALLEE) || !self.plan.icmp {
            // Most phones and carriers never hear of a refusal: their sockets are not connected.
            return;
        }
        let key = self.hosts[sender].flow(to, from);
        let (run, at) = (self.hosts[sender].run, self.now + self.network.delay());
        if !self.hosts[sender].cut {
            self.at(
                at,
                Event::Refused {
                    host: sender,
                    run,
                    key,
                },
            );
        }
    }

    // The store.

    fn ask_store(&mut self, host: HostId, request: StoreRequest) {
        let request = match &mut self.mutation {
            Some(mutation) => match mutation.store(request) {
                Some(request) => request,
                None => return,
            },
            None => request,
        };
        let head = format!("{} asks store", self.hosts[host].name);
        let shown = format!("{request:?}");
        let call = call_in(shown.as_bytes()).or(self.about);
        self.transcript
            .note(self.now, call, &head, shown.as_bytes(), |b| {
                String::from_utf8_lossy(b).into()
            });
        if self.hosts[host].cut {
            return;
        }
        let delay = self.draw.between(Duration::ZERO, self.plan.store_delay);
        let run = self.hosts[host].run;
        // One connection: what is asked first is done first.
        let at = self.hosts[host].store_busy.max(self.now + delay);
        self.hosts[host].store_busy = at;
        self.at(at, Event::StoreDo { host, run, request });
    }

    fn store_do(&mut self, host: HostId, run: u32, request: StoreRequest) {
        let down = match self.plan.store_fault {
            StoreFault::Down(from, to) => (from..to).contains(&self.now),
            StoreFault::None => false,
        };
        let replies = if down {
            vec![StoreReply {
                id: request.id,
                answer: Answer::Down,
            }]
        } else {
            self.store
                .perform(EPOCH + self.now.since(Time::ZERO), &[request])
        };
        for reply in replies {
            let shown = format!("{reply:?}");
            let head = format!("store answers {}", self.hosts[host].name);
            let call = call_in(shown.as_bytes());
            self.transcript
                .note(self.now, call, &head, shown.as_bytes(), |b| {
                    String::from_utf8_lossy(b).into()
                });
            if !self.hosts[host].cut {
                let at = self.now + self.draw.ms(0, 2);
                self.at(at, Event::StoreReply { host, run, reply });
            }
        }
    }

    // Media.

    fn relay(&mut self, host: HostId, command: Command) {
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

    fn report(&mut self, host: HostId, run: u32, report: Report) {
        if self.hosts[host].run != run {
            return;
        }
        let item = match self.hosts[host].core {
            Some(Core::Agent(_)) => Item::Agent(holdline_agent::core::In::Media(report)),
            _ => Item::Node(b2bua_node::core::In::Media(report)),
        };
        self.give(host, item);
    }

    fn tick(&mut self) {
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
    fn follow_media(&mut self) {
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
    fn reaches(&mut self, from: &ua::Stream, to: &ua::Stream, side: Side) -> bool {
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
    fn sample(&mut self) {
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
    fn refused(&mut self, owner: HostId, source: SocketAddr, port: SocketAddr) {
        if owner < NODES || self.relays.is_open(port) || !self.plan.icmp {
            return;
        }
        if let Some((stream, group)) = self.relays.stream_at(AGENT, source) {
            self.refusing.entry(group).or_insert(stream);
        }
    }

    // The scenario.

    fn place(&mut self, index: usize) {
        let call = self.plan.calls[index].number;
        let agent = self.hosts[AGENT].sip;
        self.note(Some(call), "caller places the call");
        self.about = Some(call);
        self.watch.call(call);
        let placement = Placement::new(call, "pbx.example", agent);
        self.give(CALLER, Item::Ua(ua::In::Call(placement)));
    }

    fn act(&mut self, index: usize, step: usize) {
        let call = self.plan.calls[index].number;
        let step = self.plan.calls[index].steps[step];
        let head = format!("{:?}: {:?}", step.by, step.act);
        self.note(Some(call), &head);
        self.judge_before(index, step);
        self.watch.asked(self.now, call, step.by, step.act);
        let host = match step.by {
            End::Caller => CALLER,
            End::Callee => CALLEE,
        };
        let command = match step.act {
            Act::Hold => ua::In::Hold(call),
            Act::Unhold => ua::In::Unhold(call),
            Act::Hangup => ua::In::Hangup(call),
        };
        self.dirty = true;
        self.give(host, Item::Ua(command));
    }

    fn document(&mut self, kind: Document) {
        let dead = self.plan.disaster.node;
        let instances: Vec<String> = (0..self.plan.nodes)
            .filter(|n| kind != Document::Without || *n != dead)
            .map(|n| {
                let at = self.hosts[NODES + n].sip;
                let (ip, port) = (at.ip(), at.port());
                format!(r#"{{"IP":"{ip}","port":"{port}","status":"active"}}"#)
            })
            .collect();
        self.version += 1;
        let mut text = format!(
            r#"{{"cloud-sip-trunk-name":"trunk.example","uri":"http://10.0.1.1/trunk",
            "version":{},"webhook-registration":"http://10.0.1.1/hooks","instances":[{}]}}"#,
            self.version,
            instances.join(",")
        );
        if kind == Document::Broken {
            text.truncate(text.len() / 2);
        }
        self.note(None, &format!("trunk document: {kind:?}"));
        self.give(
            AGENT,
            Item::Agent(holdline_agent::core::In::Trunk(text.into())),
        );
    }

    fn strike(&mut self) {
        let disaster = self.plan.disaster;
        let victim = NODES + disaster.node;
        let head = format!("{}: {:?}", self.hosts[victim].name, disaster.death);
        self.note(None, &head);
        self.mark_affected(self.hosts[victim].sip);
        self.dirty = true;
        match disaster.death {
            Death::Cut(_) => self.hosts[victim].cut = true,
            Death::Killed(_) => {
                self.hosts[victim].kill();
                self.relays.close_all(victim);
                self.samples.forget(victim);
            }
            Death::Paused(_) => self.hosts[victim].paused = true,
        }
    }

    fn revive(&mut self) {
        let disaster = self.plan.disaster;
        let victim = NODES + disaster.node;
        let head = format!("{} is back", self.hosts[victim].name);
        self.note(None, &head);
        self.dirty = true;
        if let Death::Killed(_) = disaster.death {
            let core = self.node_core(disaster.node, self.hosts[victim].run);
            self.hosts[victim].core = Some(Core::Node(Box::new(core)));
        }
        self.hosts[victim].cut = false;
        self.hosts[victim].paused = false;
        self.wake(victim);
    }

    /// The user agent on `host`.
    pub(super) fn ua(&self, host: HostId) -> &Ua {
        match &self.hosts[host].core {
            Some(Core::Ua(ua)) => ua,
            _ => unreachable!("only asked for the two ends"),
        }
    }

    fn heard_ua(&mut self, host: HostId, out: ua::Out) {
        let end = if host == CALLER {
            End::Caller
        } else {
            End::Callee
        };
        let call = call_of(&out);
        let head = format!("{}: {out:?}", self.hosts[host].name);
        self.note(call, &head);
        self.dirty = true;
        self.watch.heard_ua(self.now, end, &out);
        if let Some(call) = call {
            let live = self.ua(host).live_dialogs(call);
            if live > 1 {
                self.watch.fail(
                    self.now,
                    Some(call),
                    format!("{live} dialogs at the {end:?}"),
                );
            }
        }
    }
}

/// Which kind of program a core is.
fn kind_of(core: &Option<Core>) -> Kind {
    match core {
        Some(Core::Agent(_)) => Kind::Agent,
        Some(Core::Node(_)) => Kind::Node,
        _ => Kind::End,
    }
}

fn call_of(out: &ua::Out) -> Option<CallNumber> {
    use ua::Out::*;
    Some(match out {
        Listen { call, .. }
        | Release { call, .. }
        | Incoming { call }
        | Ringing { call, .. }
        | Answered { call, .. }
        | MediaChanged { call, .. }
        | Reinvited { call, .. }
        | Replaced { call, .. }
        | TargetMoved { call, .. }
        | Request { call, .. }
        | Response { call, .. }
        | Ended { call, .. } => *call,
    })
}
