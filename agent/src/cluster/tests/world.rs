//! A small world for the cluster: nodes behind a network with delay, jitter and loss, their RTP
//! as the relay would report it, and the events that come of it.

use crate::cluster::{Cluster, ClusterEvent, HealthConfig, NodeId, NodeState, ProbeId, Refusal};
use holdline_relay::{GroupTick, StreamId, Tick};
use holdline_wire::Time;
use holdline_wire::machine::LocalFault;
use holdline_wire::token::Tokens;
use holdline_wire::trunk::{Instance, TrunkDocument};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub fn address(n: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 10], 5060 + n as u16))
}

pub fn document(instances: &[(SocketAddr, bool)]) -> TrunkDocument {
    TrunkDocument {
        name: "trunk.example".into(),
        uri: "https://trunk.example/config".into(),
        version: 1,
        webhook_registration: "https://trunk.example/webhook".into(),
        instances: instances
            .iter()
            .map(|&(address, active)| Instance { address, active })
            .collect(),
    }
}

/// What a node's host does with packets for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Host {
    /// The process answers.
    Up,
    /// The process is gone, the host says so by ICMP.
    Refuses,
    /// Nothing comes back: cable cut, host gone.
    Cut,
    /// The process answers no OPTIONS, but its media flow on (spec: D34).
    Leaving,
}

#[derive(Clone)]
pub struct SimNode {
    pub host: Host,
    pub delay: Duration,
    pub jitter: Duration,
    pub loss_percent: u64,
    /// Streams that send a packet each packet time.
    pub streams: u64,
    pub packet_time: Duration,
    /// Streams of ours whose far port is closed though the process lives.
    pub stale_streams: u64,
    pub status: u16,
    pub utilization: Option<u8>,
    pub incarnation: Option<String>,
}

impl Default for SimNode {
    fn default() -> SimNode {
        SimNode {
            host: Host::Up,
            delay: Duration::from_micros(250),
            jitter: Duration::ZERO,
            loss_percent: 0,
            streams: 0,
            packet_time: ms(20),
            stale_streams: 0,
            status: 200,
            utilization: None,
            incarnation: None,
        }
    }
}

enum Happening {
    ProbeArrives(usize, ProbeId),
    Answer(usize, ProbeId, u16, Option<u8>, Option<String>),
    ProbeRefused(usize),
    RtpSent(usize, u64),
    RtpArrives(usize),
    Tick,
}

pub struct World {
    pub now: Time,
    pub cluster: Cluster,
    pub nodes: Vec<SimNode>,
    pub log: Vec<(Time, ClusterEvent)>,
    pub probes: Vec<(Time, NodeId)>,
    /// Whether our own network works.
    pub network: bool,
    /// What is sent to these nodes does not leave this machine.
    pub unsent: BTreeMap<usize, LocalFault>,
    /// How late the relay makes its next tick.
    pub tick_late: Duration,
    heard: BTreeMap<usize, GroupTick>,
    newest: BTreeMap<usize, Time>,
    chance: Tokens,
    queue: BTreeMap<(Time, u64), Happening>,
    sequence: u64,
}

impl World {
    pub fn new(nodes: Vec<SimNode>, seed: u8) -> World {
        World::with(nodes, seed, HealthConfig::default())
    }

    pub fn with(nodes: Vec<SimNode>, seed: u8, config: HealthConfig) -> World {
        let cluster = Cluster::new("trunk", config);
        let mut world = World {
            now: Time::ZERO,
            cluster,
            nodes,
            log: Vec::new(),
            probes: Vec::new(),
            network: true,
            unsent: BTreeMap::new(),
            tick_late: Duration::ZERO,
            heard: BTreeMap::new(),
            newest: BTreeMap::new(),
            chance: Tokens::new([seed; 32]),
            queue: BTreeMap::new(),
            sequence: 0,
        };
        let all: Vec<_> = (0..world.nodes.len()).map(|n| (address(n), true)).collect();
        world.cluster.apply(Time::ZERO, &document(&all));
        for n in 0..world.nodes.len() {
            for stream in 0..world.nodes[n].streams {
                world.talk(n, stream);
            }
        }
        world.after(ms(10), Happening::Tick);
        world
    }

    /// Nodes with the defaults, `streams` on each, run until all is measured.
    pub fn settled(count: usize, streams: u64) -> World {
        let node = |_| SimNode {
            streams,
            ..SimNode::default()
        };
        let mut world = World::new((0..count).map(node).collect(), 1);
        world.run(Duration::from_secs(30));
        assert!((0..count).all(|n| world.state(n) == NodeState::Alive));
        world.log.clear();
        world.probes.clear();
        world
    }

    pub fn id(&self, n: usize) -> NodeId {
        self.cluster.node_at(address(n)).expect("a known node")
    }

    pub fn state(&self, n: usize) -> NodeState {
        self.cluster.state(self.id(n)).expect("a known node")
    }

    /// One more stream of node `n`, from a random moment of the next packet time on.
    pub fn talk(&mut self, n: usize, stream: u64) {
        let packet_time = self.nodes[n].packet_time.as_micros() as u64;
        let wait = Duration::from_micros(self.chance.below(packet_time));
        self.after(wait, Happening::RtpSent(n, stream));
    }

    fn after(&mut self, wait: Duration, what: Happening) {
        self.sequence += 1;
        self.queue.insert((self.now + wait, self.sequence), what);
    }

    /// Sends over node `n`'s path: the delay, or nothing where the packet is lost.
    fn path(&mut self, n: usize) -> Option<Duration> {
        let node = &self.nodes[n];
        let jitter = self.chance.below(node.jitter.as_micros() as u64 + 1);
        let lost = self.chance.below(100) < node.loss_percent;
        let open = self.network && node.host != Host::Cut && !lost;
        open.then(|| node.delay + Duration::from_micros(jitter))
    }

    pub fn run(&mut self, for_: Duration) {
        self.run_until(self.now + for_);
    }

    pub fn run_until(&mut self, end: Time) {
        loop {
            let happening = self.queue.first_key_value().map(|((at, _), _)| *at);
            let deadline = self.cluster.poll_deadline();
            let next = happening
                .into_iter()
                .chain(deadline)
                .min()
                .unwrap_or(Time::NEVER);
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            if happening == Some(next) {
                let (_, what) = self.queue.pop_first().expect("seen above");
                self.happen(what);
            } else {
                self.cluster.handle_deadline(self.now);
            }
            self.drain();
        }
        self.now = self.now.max(end);
    }

    /// Our own process does nothing for so long; then, at the worst, deadlines come first.
    pub fn freeze(&mut self, for_: Duration) {
        let end = self.now + for_;
        // The world goes on without us: nodes answer, packets queue up in our sockets.
        while self
            .queue
            .first_key_value()
            .is_some_and(|((at, _), _)| *at <= end)
        {
            let ((at, sequence), what) = self.queue.pop_first().expect("seen above");
            self.now = at;
            match what {
                Happening::Tick => {
                    self.tick_late = end.since(at);
                    self.now = end;
                    self.queue
                        .insert((end + Duration::from_nanos(2), sequence), what);
                }
                Happening::RtpSent(..) | Happening::ProbeArrives(..) => self.happen(what),
                _ => {
                    self.queue
                        .insert((end + Duration::from_nanos(1), sequence), what);
                }
            }
        }
        self.now = end;
        self.cluster.handle_deadline(end);
        self.drain();
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::ProbeArrives(n, id) => {
                let node = &self.nodes[n];
                let answer = match node.host {
                    Host::Up => {
                        let incarnation = node.incarnation.clone();
                        Happening::Answer(n, id, node.status, node.utilization, incarnation)
                    }
                    Host::Refuses => Happening::ProbeRefused(n),
                    Host::Cut | Host::Leaving => return,
                };
                if let Some(delay) = self.path(n) {
                    self.after(delay, answer);
                }
            }
            Happening::Answer(n, probe, status, utilization, incarnation) => {
                let (id, told) = (self.id(n), incarnation.as_deref());
                self.cluster
                    .probe_answered(self.now, id, probe, status, utilization, told);
            }
            Happening::ProbeRefused(n) => {
                self.cluster.refused(self.now, self.id(n), Refusal::Probe);
            }
            Happening::RtpSent(n, stream) => {
                if stream >= self.nodes[n].streams {
                    return;
                }
                let packet_time = self.nodes[n].packet_time;
                self.after(packet_time, Happening::RtpSent(n, stream));
                let speaks = matches!(self.nodes[n].host, Host::Up | Host::Leaving);
                if let Some(delay) = self.path(n).filter(|_| speaks) {
                    self.after(delay, Happening::RtpArrives(n));
                }
            }
            Happening::RtpArrives(n) => {
                let group = self.id(n).into();
                let tick = GroupTick {
                    group,
                    packets: 0,
                    streams: 0,
                    newest: self.now,
                    pause: Duration::ZERO,
                };
                let newest = self.newest.insert(n, self.now).unwrap_or(self.now);
                let tick = self.heard.entry(n).or_insert(tick);
                tick.packets += 1;
                tick.streams += 1;
                tick.newest = self.now;
                tick.pause = tick.pause.max(self.now.since(newest));
            }
            Happening::Tick => self.tick(),
        }
    }

    fn tick(&mut self) {
        let late = std::mem::take(&mut self.tick_late);
        let groups = std::mem::take(&mut self.heard).into_values().collect();
        self.cluster.media(
            self.now,
            &Tick {
                at: self.now,
                late,
                groups,
            },
        );
        for n in 0..self.nodes.len() {
            let node = &self.nodes[n];
            let closed = if node.host == Host::Refuses {
                node.streams
            } else {
                node.stale_streams
            };
            // Our packets leave every 20 ms: about every other tick meets one refusal.
            if closed > 0 && self.chance.below(2) == 0 {
                let stream = StreamId(1000 * n as u64 + self.chance.below(closed));
                self.cluster
                    .refused(self.now, self.id(n), Refusal::Media(stream));
            }
        }
        self.after(ms(10), Happening::Tick);
    }

    fn drain(&mut self) {
        while let Some(event) = self.cluster.poll_event() {
            if let ClusterEvent::Probe { node, addr, id } = event {
                self.probes.push((self.now, node));
                let n = (addr.port() - 5060) as usize;
                if let Some(&kind) = self.unsent.get(&n) {
                    self.cluster.local_fault(self.now, node, kind, Some(id));
                    continue;
                }
                if let Some(delay) = self.path(n) {
                    self.after(delay, Happening::ProbeArrives(n, id));
                }
            } else {
                self.log.push((self.now, event));
            }
        }
    }

    /// When node `n` was declared dead, counted from `since`.
    pub fn died_after(&self, n: usize, since: Time) -> Option<Duration> {
        let id = self.id(n);
        let dead =
            |event: &ClusterEvent| matches!(event, ClusterEvent::Dead { node, .. } if *node == id);
        let (at, _) = self.log.iter().find(|(at, e)| *at >= since && dead(e))?;
        Some(at.since(since))
    }

    pub fn count(&self, matches: impl Fn(&ClusterEvent) -> bool) -> usize {
        self.log.iter().filter(|(_, event)| matches(event)).count()
    }

    pub fn deaths(&self) -> usize {
        self.count(|e| matches!(e, ClusterEvent::Dead { .. }))
    }
}
