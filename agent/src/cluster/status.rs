//! The cluster for people: what `/status` shows.

use super::evidence::{Evidence, Verdict};
use super::node::{Node, NodeState};
use super::{Cluster, NodeId};
use holdline_wire::Time;
use serde::Serialize;
use std::net::SocketAddr;
use std::time::Duration;

/// A trunk at a moment. Times are seconds since the start of the program.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClusterStatus {
    /// The trunk's name.
    pub name: String,
    /// Its nodes, in the order they joined.
    pub nodes: Vec<NodeStatus>,
    /// How many different stores the nodes that are up work with; more than one is wrong, since calls
    /// move only where the store is shared (spec: X59).
    pub stores: usize,
}

/// A node at a moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeStatus {
    /// The agent's number for it.
    pub id: NodeId,
    /// Its SIP address.
    pub address: SocketAddr,
    /// Whether the document lists it; one that is not is kept for its calls (spec: X11).
    pub listed: bool,
    /// Whether it may take new calls (spec: D14).
    pub active: bool,
    /// Its health.
    pub state: NodeState,
    /// Smoothed RTT, ms, once measured.
    pub rtt_ms: Option<f64>,
    /// The believed probability of losing a probe (spec: X21a).
    pub probe_loss: f64,
    /// The utilization that counts, percent (spec: D22).
    pub utilization: u8,
    /// Live calls.
    pub calls: usize,
    /// What it tells of its process (spec: X39).
    pub incarnation: Option<String>,
    /// The store that it works with, as it says.
    pub store: Option<StoreStatus>,
    /// The last sign of life, seconds.
    pub last_heard: Option<f64>,
    /// Deaths within the flap memory (spec: X22).
    pub flaps: u32,
    /// Answers in a row that it still has to give before it is used again (spec: X22).
    pub answers_needed: Option<u32>,
    /// For how long it asked to be left alone, seconds (spec: X24).
    pub paused_for: Option<f64>,
    /// What speaks against it now.
    pub suspicion: Vec<EvidenceStatus>,
    /// The last verdict on it.
    pub last_verdict: Option<VerdictStatus>,
}

/// A node's store.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoreStatus {
    /// Its identity: nodes that name the same one share their calls.
    pub id: Box<str>,
    /// Whether it answered the node last time.
    pub up: bool,
}

/// A piece of evidence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvidenceStatus {
    /// When it was noticed, seconds.
    pub at: f64,
    /// What kind, as in metrics.
    pub kind: &'static str,
    /// What it was, for people.
    pub what: String,
}

/// A verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerdictStatus {
    /// The last sign of life before, seconds.
    pub last_sign: Option<f64>,
    /// When the suspicion rose, seconds.
    pub suspected_at: f64,
    /// When it was decided, seconds.
    pub decided_at: f64,
    /// From the last sign of life to the suspicion, ms.
    pub detection_ms: Option<f64>,
    /// From the suspicion to the verdict, ms.
    pub decision_ms: f64,
    /// Whether its media flowed on (spec: D34).
    pub leaving: bool,
    /// What led to it.
    pub evidence: Vec<EvidenceStatus>,
}

fn shown(evidence: &[Evidence]) -> Vec<EvidenceStatus> {
    let show = |e: &Evidence| EvidenceStatus {
        at: e.at.as_secs_f64(),
        kind: e.kind.name(),
        what: e.kind.to_string(),
    };
    evidence.iter().map(show).collect()
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

impl From<&Verdict> for VerdictStatus {
    fn from(verdict: &Verdict) -> VerdictStatus {
        VerdictStatus {
            last_sign: verdict.last_sign.map(Time::as_secs_f64),
            suspected_at: verdict.suspected_at.as_secs_f64(),
            decided_at: verdict.decided_at.as_secs_f64(),
            detection_ms: verdict.detection().map(ms),
            decision_ms: ms(verdict.decision()),
            leaving: verdict.leaving,
            evidence: shown(&verdict.evidence),
        }
    }
}

impl Cluster {
    /// The state of everything, to be serialized.
    pub fn snapshot(&self, now: Time) -> ClusterStatus {
        let nodes = self
            .nodes
            .iter()
            .map(|(&id, node)| self.node_status(now, id, node))
            .collect();
        ClusterStatus {
            name: self.name.clone(),
            nodes,
            stores: self.stores().len(),
        }
    }

    fn node_status(&self, now: Time, id: NodeId, node: &Node) -> NodeStatus {
        NodeStatus {
            id,
            address: node.address,
            listed: node.listed,
            active: node.active,
            state: node.node_state(),
            rtt_ms: node.probes.rtt().map(ms),
            probe_loss: node.probes.loss(&self.config),
            utilization: node.believed_utilization(now, &self.config),
            calls: node.calls,
            incarnation: node.incarnation.clone(),
            store: node.store.as_ref().map(|store| StoreStatus {
                id: store.id.clone(),
                up: store.up,
            }),
            last_heard: node.last_heard.map(Time::as_secs_f64),
            flaps: node.flaps(now, &self.config),
            answers_needed: node.answers_needed(now, &self.config),
            paused_for: Some(node.paused_until.since(now).as_secs_f64()).filter(|left| *left > 0.0),
            suspicion: node
                .suspicion()
                .map_or_else(Vec::new, |s| shown(&s.evidence)),
            last_verdict: node.verdict.as_ref().map(VerdictStatus::from),
        }
    }
}
