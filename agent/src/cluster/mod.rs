//! One trunk as the agent sees it: which nodes there are, which of them live, and where a call
//! goes, in one snapshot.
//!
//! Pure: time is an argument, randomness comes in with [`Tokens`](holdline_wire::token::Tokens).
//! Feed it what was heard, sent and refused; after each call drain [`Cluster::poll_event`], then
//! wait until [`Cluster::poll_deadline`] and call [`Cluster::handle_deadline`].
//!
//! Evidence makes a node suspect, quick probes confirm or clear (spec: X20). Four ways lead to a
//! verdict:
//!
//! - two SIP refusals in a row, one of them of a probe: at once;
//! - several streams refused and nothing else heard where a lot should have come: within some
//!   milliseconds, for a host limits its refusals and media may use them all up;
//! - all media silent (or one SIP refusal) and a burst of quick probes unanswered: within about
//!   100 ms and the RTT;
//! - nothing heard for RTT + 1.5 s and a row of probes unanswered (spec: D21).
//!
//! The last two are silence alone, which proves something only while somebody else answers: a probe
//! counts as unanswered only if another node answered one after it was sent (spec: X21). One that did
//! not leave this machine is none (spec: X52).

mod burst;
mod config;
mod evidence;
mod health;
mod judge;
mod media;
mod membership;
mod node;
mod own_faults;
mod placement;
mod probes;
mod rhythm;
mod self_told;
mod status;
#[cfg(test)]
mod tests;

pub use config::HealthConfig;
pub use evidence::{Evidence, EvidenceKind, Gone, Refusal, Trouble, Verdict};
pub use membership::Changes;
pub use node::{NodeId, NodeState, NodeStore};
pub use probes::ProbeId;
pub use status::{ClusterStatus, EvidenceStatus, NodeStatus, StoreStatus, VerdictStatus};

use holdline_wire::Time;
use holdline_wire::deadline::Deadlines;
use holdline_wire::machine::LocalFault;
use node::Node;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

/// What the cluster wants done, or wants known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterEvent {
    /// Send one OPTIONS now, as a fresh transaction and once (spec: D20), from the probes' own
    /// socket; answer with [`Cluster::probe_answered`].
    Probe {
        /// To this node.
        node: NodeId,
        /// At this address.
        addr: SocketAddr,
        /// The probe's number.
        id: ProbeId,
    },
    /// Something speaks against the node; it is being asked.
    Suspect {
        /// The node.
        node: NodeId,
        /// What it was.
        evidence: Evidence,
    },
    /// The suspicion was false.
    Cleared {
        /// The node.
        node: NodeId,
        /// How long it lasted.
        after: Duration,
        /// What had raised it.
        evidence: EvidenceKind,
    },
    /// The node is dead, or left, or cannot be reached from here: its calls move (spec: D24).
    Dead {
        /// The node.
        node: NodeId,
        /// Why.
        verdict: Verdict,
    },
    /// It answers as a new process: its dialogs are gone, it can take calls (spec: X39).
    Restarted {
        /// The node.
        node: NodeId,
        /// The new incarnation; empty where the node tells none, and what it lost shows it.
        incarnation: String,
    },
    /// It can take calls: for the first time, or again (spec: X22).
    Alive {
        /// The node.
        node: NodeId,
    },
    /// It had no room for a call and has some now: it can be asked again.
    Room {
        /// The node.
        node: NodeId,
    },
    /// Nothing that we send leaves this machine for any node: silence says nothing (spec: X52).
    Blind {
        /// Why.
        kind: LocalFault,
    },
    /// A node answers again.
    Sighted {
        /// How long we were blind.
        after: Duration,
    },
    /// It takes no new calls and is about to leave: it said so (spec: D34).
    Draining {
        /// The node.
        node: NodeId,
    },
    /// Two nodes do not share a store: calls of one cannot move to the other (spec: X59).
    StoresDiffer {
        /// One node and its store.
        one: NodeStore,
        /// Another one.
        other: NodeStore,
    },
    /// It left the document and carries no call any more: it is probed no longer.
    Gone {
        /// The node.
        node: NodeId,
        /// Its address.
        addr: SocketAddr,
    },
}

/// One trunk: membership, health and placement.
#[derive(Debug)]
pub struct Cluster {
    name: String,
    config: HealthConfig,
    nodes: BTreeMap<NodeId, Node>,
    by_address: BTreeMap<SocketAddr, NodeId>,
    suspects: BTreeSet<NodeId>,
    /// The living nodes whose answers come soonest, as last looked for.
    nearest: Vec<(Duration, NodeId)>,
    nearest_at: Option<Time>,
    deadlines: Deadlines<NodeId>,
    events: VecDeque<ClusterEvent>,
    next_node: u32,
    next_probe: u64,
    last_tick: Option<Time>,
    /// Our own lateness up to here is taken off already.
    late_until: Time,
    /// Since when nothing leaves this machine for any node (spec: X52).
    blind_since: Option<Time>,
    /// Nodes name different stores: told already.
    stores_differ: bool,
}

impl Cluster {
    /// A trunk without nodes; `name` is for people until a document gives it one.
    pub fn new(name: &str, config: HealthConfig) -> Cluster {
        Cluster {
            name: name.to_owned(),
            config,
            nodes: BTreeMap::new(),
            by_address: BTreeMap::new(),
            suspects: BTreeSet::new(),
            nearest: Vec::new(),
            nearest_at: None,
            deadlines: Deadlines::default(),
            events: VecDeque::new(),
            next_node: 0,
            next_probe: 0,
            last_tick: None,
            late_until: Time::ZERO,
            blind_since: None,
            stores_differ: false,
        }
    }

    /// The trunk's name: that of the last document.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The next thing to do or to tell, in the order it happened.
    pub fn poll_event(&mut self) -> Option<ClusterEvent> {
        self.events.pop_front()
    }

    /// When [`Cluster::handle_deadline`] is due.
    pub fn poll_deadline(&self) -> Option<Time> {
        self.deadlines.next()
    }
}
