//! What all calls of the core share, and the indexes by which calls are found.

use crate::cluster::{Cluster, NodeId, ProbeId};
use crate::core::callers::Callers;
use crate::core::event::{Event, Out};
use crate::core::keys::{Owner, Timer};
use crate::core::left::Leftovers;
use crate::core::pacing::{Attempt, FarEndId, Pacing};
use crate::core::settings::Settings;
use crate::core::turn::Turn;
use crate::core::untold::Telling;
use bytes::Bytes;
use holdline_b2bua::{CallKey, Stateless, Streams, Tags, Turns};
use holdline_leg::{Ctx, Passage, Stamp};
use holdline_wire::aging::Aging;
use holdline_wire::deadline::Deadlines;
use holdline_wire::header::{InstanceBye, Name};
use holdline_wire::machine::Output;
use holdline_wire::token::Tokens;
use holdline_wire::transaction::{Layer, ServerId, Timers};
use holdline_wire::{Time, TransportKey};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

/// How long an ended or moved-away dialog is still answered (64*T1, RFC 3261 17.1.2.2, doubled:
/// a paused node's BYE comes late; spec: X28).
const ENDED_LIFE: Duration = Duration::from_secs(64);
/// The Reason (RFC 3326) of a BYE in a dialog that moved away: for people. The node goes by
/// [`InstanceBye`].
const MOVED: &str = "SIP;cause=200;text=\"moved\"";
/// Ended dialogs that are remembered at most.
const MAX_ENDED: usize = 50_000;

/// What a BYE in a dialog that moved away says.
pub const MOVED_HEADERS: [(Name<'static>, &str); 2] = [
    (Name::Reason, MOVED),
    (Name::InstanceBye, InstanceBye::Moved.as_str()),
];

/// The same for a leg that is ended.
pub fn moved() -> Passage {
    let header = |(name, value): (Name<'static>, &'static str)| {
        let name = Bytes::from_static(name.as_str().as_bytes());
        (name, Bytes::from_static(value.as_bytes()))
    };
    Passage::new(MOVED_HEADERS.map(header).into(), None)
}

/// Everything that calls share.
pub struct Env {
    pub settings: Settings,
    pub tokens: Tokens,
    pub layer: Layer<Owner>,
    pub cluster: Cluster,
    pub streams: Streams,
    pub timers: Deadlines<Timer>,
    /// The calls that wait for room on another node.
    pub pacing: Pacing,
    pub stamp: Stamp,
    /// For requests that are too broken for a transaction.
    pub stateless: Stateless,
    pub tags: Tags<Owner>,
    pub by_node: BTreeMap<NodeId, BTreeSet<CallKey>>,
    /// Far legs that are not in charge but may still be answered, by their nodes.
    pub attempts: BTreeMap<NodeId, BTreeSet<(CallKey, u32)>>,
    /// The INVITE transactions that made the calls, for CANCEL and for an ACK that never came.
    pub invites: HashMap<ServerId, CallKey>,
    /// The branches of the last OPTIONS to each node.
    pub probes: BTreeMap<NodeId, VecDeque<(ProbeId, Box<str>)>>,
    /// What calls left on nodes that may live after all.
    pub left: Leftovers,
    /// Orphans that nodes are told of.
    pub telling: Telling,
    /// The calling servers.
    pub callers: Callers,
    /// Calls that are asked about or ended at a pace, in order.
    pub turns: Turns<(CallKey, Turn)>,
    /// Until when calls may last.
    pub aging: Aging<CallKey>,
    /// When our own loop had stood still last.
    pub late_at: Time,
    pub touched: BTreeSet<CallKey>,
    pub outputs: VecDeque<Output<Out>>,
    pub ignored: u64,
    /// The version of the trunk document in force.
    pub trunk_version: Option<u64>,
}

impl Env {
    pub fn new(settings: Settings, seed: [u8; 32]) -> Env {
        let contact = format!("<sip:{}>", settings.sip);
        Env {
            stateless: Stateless::new(seed),
            tokens: Tokens::new(seed),
            layer: Layer::new(Timers::default()),
            cluster: Cluster::new(&settings.trunk, settings.health.clone()),
            streams: Streams::new(settings.ports),
            timers: Deadlines::default(),
            pacing: Pacing::default(),
            stamp: Stamp {
                contact: contact.into(),
                on_responses: Vec::new(),
            },
            tags: Tags::new(MAX_ENDED, ENDED_LIFE),
            by_node: BTreeMap::new(),
            attempts: BTreeMap::new(),
            invites: HashMap::new(),
            probes: BTreeMap::new(),
            left: Leftovers::default(),
            telling: Telling::default(),
            callers: Callers::default(),
            turns: Turns::default(),
            aging: Aging::default(),
            late_at: Time::ZERO,
            touched: BTreeSet::new(),
            outputs: VecDeque::new(),
            ignored: 0,
            trunk_version: None,
            settings,
        }
    }

    /// What a leg borrows for one step.
    pub fn ctx(&mut self, now: Time) -> Ctx<'_, Owner> {
        Ctx {
            now,
            layer: &mut self.layer,
            tokens: &mut self.tokens,
            stamp: &self.stamp,
        }
    }

    /// The flow from our listening socket to `remote`.
    pub fn flow(&self, remote: SocketAddr) -> TransportKey {
        TransportKey::udp(self.settings.sip, remote)
    }

    pub fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Other(Out::Event(event)));
    }

    /// An attempt is not in charge any more, but may still be answered.
    pub fn attempt_aside(&mut self, node: NodeId, key: CallKey, epoch: u32) {
        let attempts = self.attempts.entry(node).or_default();
        attempts.insert((key, epoch));
        let count = attempts.len();
        self.cluster.attempts_changed(node, count);
    }

    /// An attempt that was not in charge is over.
    pub fn attempt_over(&mut self, node: NodeId, key: CallKey, epoch: u32) {
        if let Some(attempts) = self.attempts.get_mut(&node) {
            attempts.remove(&(key, epoch));
            let left = attempts.len();
            if left == 0 {
                self.attempts.remove(&node);
            }
            self.cluster.attempts_changed(node, left);
        }
    }

    /// An attempt that asks `far` to replace a dialog left through `node` (spec: X57).
    pub fn far_end_asked(&mut self, now: Time, far: FarEndId, node: NodeId, attempt: Attempt) {
        self.pacing.far_ends.sent(now, far, node, attempt);
        self.watch_far_ends();
    }

    /// The node is held for dead: what it has asked of far ends is not waited for as long.
    pub fn far_ends_forsaken(&mut self, node: NodeId) {
        self.pacing.far_ends.node_died(node);
        self.watch_far_ends();
    }

    /// Far ends have had their time for an answer.
    pub fn far_ends_due(&mut self, now: Time) {
        self.pacing.far_ends_due(now);
        self.watch_far_ends();
    }

    fn watch_far_ends(&mut self) {
        if let Some(at) = self.pacing.far_ends.next() {
            self.timers.set(Timer::FarEnds, at);
        }
    }

    /// Books the call on `node`, or on none.
    pub fn book(&mut self, key: CallKey, from: Option<NodeId>, to: Option<NodeId>) {
        if let Some(node) = from
            && let Some(calls) = self.by_node.get_mut(&node)
        {
            calls.remove(&key);
            let left = calls.len();
            if left == 0 {
                self.by_node.remove(&node);
            }
            self.cluster.calls_changed(node, left);
        }
        if let Some(node) = to {
            let calls = self.by_node.entry(node).or_default();
            calls.insert(key);
            let count = calls.len();
            self.cluster.calls_changed(node, count);
        }
    }

    /// Hands out the relay commands of `call`, so that they precede the messages that follow
    /// from them.
    pub fn flush_relay(&mut self, key: CallKey) {
        let commands = self.streams.flush(key);
        let commands = commands.map(|command| Output::Other(Out::Relay(command)));
        self.outputs.extend(commands);
    }
}
