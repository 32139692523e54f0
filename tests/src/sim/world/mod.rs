//! The event loop: virtual time, hosts, what is under way between them.

mod build;
mod refusals;
mod scenario;
mod serving;
mod sounds;
mod streams;
mod traffic;
mod trouble;

use super::draw::Draw;
use super::host::{AGENT, CALLEE, Core, Host, HostId, Item};
use super::judge::Memory;
use super::media::Relays;
use super::mutant::{Kind, Mutant, Mutation};
use super::network::{Links, Network};
use super::plan::{Document, FarEnd, Plan, Rules};
use super::sample::Samples;
use super::transcript::Transcript;
use super::watch::Watch;
use crate::ua::CallNumber;
use b2bua_node::core::NodeCore;
use b2bua_node::store::{MemoryStore, StoreReply, StoreRequest};
use build::{address, node_address, node_ports, ua};
use bytes::Bytes;
use holdline_relay::{GroupId, Report};
use holdline_wire::machine::TransportFault;
use holdline_wire::{Time, TransportKey};
use refusals::Refusals;
use sounds::Sounds;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

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
    /// The host hears what became of something that was sent by this flow.
    Fault {
        host: HostId,
        run: u32,
        key: TransportKey,
        fault: TransportFault,
        quoted: Bytes,
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
    /// A trouble of the plan begins.
    Begin(usize),
    /// It ends.
    Finish(usize),
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
    /// The plan's troubles under way.
    active: BTreeSet<usize>,
    /// Which ways they leave open.
    pub(super) links: Links,
    /// The calls whose streams are heard of each group, with the parity of their packets.
    heard: BTreeMap<GroupId, Vec<(u64, usize)>>,
    /// Which sides of streams are heard, as the programs' relays tell it.
    sounds: Sounds,
    /// What comes to the agent in this tick and in later ones: streams, newest packet.
    coming: VecDeque<BTreeMap<GroupId, (u32, Time)>>,
    /// When the agent's relay ticked last.
    ticked: Time,
    /// When the agent was stopped last.
    stopped: Time,
    /// What the rules of storms remember.
    pub(super) memory: Memory,
    /// Nothing is probed any more.
    quiet: bool,
    /// Ports that nobody has open.
    refusals: Refusals,
    ticks: u64,
    /// The call that the input in hand is about.
    about: Option<CallNumber>,
}

impl World {
    /// The world of `plan`; `keep` keeps the transcript's lines.
    pub fn new(plan: Plan, mutant: Option<Mutant>, keep: bool) -> World {
        let seed = plan.seed;
        let sip = address("10.0.0.1:5060");
        let core = build::agent(&plan, sip, 0);
        let mut hosts = vec![Host::new(
            "agent",
            Core::Agent(Box::new(core)),
            sip,
            build::agent_ports(&plan),
        )];
        let (caller, callee) = (FarEnd::default(), &plan.far_end);
        for (name, ip, purpose, end) in [
            ("caller", "10.0.0.2", 11, &caller),
            ("callee", "10.0.0.3", 12, callee),
        ] {
            let core = Core::Ua(Box::new(ua(ip, seed, purpose, end)));
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
            relays: Relays::new(&plan.scarce),
            samples: Samples::default(),
            store: MemoryStore::default(),
            watch: Watch::default(),
            transcript: Transcript::new(keep),
            queue: BTreeMap::new(),
            next: 0,
            version: 0,
            dirty: true,
            active: BTreeSet::new(),
            links: Links::default(),
            heard: BTreeMap::new(),
            sounds: Sounds::default(),
            coming: VecDeque::new(),
            ticked: Time::ZERO,
            stopped: Time::ZERO,
            memory: Memory::default(),
            quiet: false,
            refusals: Refusals::default(),
            ticks: 0,
            about: None,
            plan,
        };
        for n in 0..world.plan.nodes.len() {
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

    /// Node `n` in its `run`-th process.
    fn node_core(&self, n: usize, run: u32) -> NodeCore {
        let callee = self.hosts[CALLEE].sip;
        build::node(&self.plan, (n, run), callee, &self.store, self.now)
    }

    fn schedule(&mut self) {
        self.at(Time::ZERO + TICK, Event::Tick);
        for (at, document) in self.plan.documents.clone() {
            self.at(at, Event::Document(document));
        }
        for index in 0..self.plan.troubles.len() {
            let trouble = self.plan.troubles[index];
            self.at(trouble.at, Event::Begin(index));
            if trouble.lasts.is_some() {
                self.at(trouble.until(), Event::Finish(index));
            }
        }
        if let Rules::Disaster(disaster) = self.plan.rules {
            self.at(disaster.at + Duration::from_secs(2), Event::Recovered);
        }
        self.at(self.plan.end, Event::Quiet);
        self.plan.end = self.plan.end + QUIET;
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
            Event::Fault {
                host,
                run,
                key,
                fault,
                quoted,
            } => {
                if self.hosts[host].run == run {
                    self.give(host, Item::Fault(key, fault, quoted));
                }
            }
            Event::Serve(host) => self.serve(host),
            Event::Tick => self.tick(),
            Event::Place(index) => self.place(index),
            Event::Step(call, step) => self.act(call, step),
            Event::Document(document) => self.document(&document),
            Event::Begin(index) => self.begin(index),
            Event::Finish(index) => self.finish(index),
            Event::StoreDo { host, run, request } => self.store_do(host, run, request),
            Event::StoreReply { host, run, reply } => {
                if self.hosts[host].run == run {
                    self.give(host, Item::Node(b2bua_node::core::In::Store(reply)));
                }
            }
            Event::Report { host, run, report } => self.report(host, run, report),
            Event::Recovered => {
                if let Rules::Disaster(disaster) = self.plan.rules {
                    self.judge_recovery(disaster.at);
                }
            }
            Event::Quiet => {
                self.quiet = true;
                self.hosts[AGENT].paused = true;
            }
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
