//! The event loop: virtual time, hosts, what is under way between them.

mod build;
mod scenario;
mod serving;
mod streams;
mod traffic;

use super::draw::Draw;
use super::host::{Core, Host, HostId, Item};
use super::media::Relays;
use super::mutant::{Kind, Mutant, Mutation};
use super::network::Network;
use super::plan::{Death, Document, Plan};
use super::sample::Samples;
use super::transcript::Transcript;
use super::watch::Watch;
use crate::ua::CallNumber;
use b2bua_node::store::{MemoryStore, StoreReply, StoreRequest};
use build::{address, node_address, node_ports, ua};
use bytes::Bytes;
use holdline_relay::{GroupId, Report, StreamId};
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

/// What is to happen.
#[derive(Debug)]
enum Event {
    /// A datagram comes to `to`.
    Arrive {
        to: SocketAddr,
        from: SocketAddr,
        bytes: Bytes,
        call: Option<CallNumber>,
    },
    /// A refusal comes back for what was sent by this flow.
    Refused {
        host: HostId,
        run: u32,
        key: TransportKey,
    },
    /// The host's program takes in what waits for it.
    Serve(HostId),
    /// The agent's relay reports.
    Tick,
    /// The plan's call is placed.
    Place(usize),
    /// The plan's call does its next step.
    Step(usize, usize),
    /// The config source is heard.
    Document(Document),
    /// The node dies.
    Strike,
    /// It is back.
    Revive,
    /// The store gets to a request.
    StoreDo {
        host: HostId,
        run: u32,
        request: StoreRequest,
    },
    /// Its reply arrives.
    StoreReply {
        host: HostId,
        run: u32,
        reply: StoreReply,
    },
    /// A relay reports to its program.
    Report {
        host: HostId,
        run: u32,
        report: Report,
    },
    /// Two seconds after the death (spec: D1).
    Recovered,
    /// Probes stop, so that their transactions are gone at the end.
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

impl World {
    /// The world of `plan`; `keep` keeps the transcript's lines.
    pub fn new(plan: Plan, mutant: Option<Mutant>, keep: bool) -> World {
        let seed = plan.seed;
        let sip = address("10.0.0.1:5060");
        let core = build::agent(sip, seed);
        let mut hosts = vec![Host::new(
            "agent",
            Core::Agent(Box::new(core)),
            sip,
            build::AGENT_PORTS,
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

    fn schedule(&mut self) {
        self.at(Time::ZERO + TICK, Event::Tick);
        for (at, document) in self.plan.documents.clone() {
            self.at(at, Event::Document(document));
        }
        let disaster = self.plan.disaster;
        self.at(disaster.at, Event::Strike);
        self.at(disaster.at + Duration::from_secs(2), Event::Recovered);
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
            Event::Recovered => self.judge_recovery(),
            Event::Quiet => self.hosts[AGENT].paused = true,
        }
    }

    fn note(&mut self, call: Option<CallNumber>, head: &str) {
        self.transcript
            .note(self.now, call, head, b"", |_| String::new());
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
