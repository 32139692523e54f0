//! Who belongs to the cluster: what the trunk document says, and what is kept beyond it.

use super::evidence::EvidenceKind;
use super::node::Node;
use super::{Cluster, ClusterEvent, NodeId, NodeState};
use holdline_wire::Time;
use holdline_wire::trunk::TrunkDocument;
use std::net::SocketAddr;
use std::time::Duration;

/// What a document changed (spec: D11, D14, X11).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// New nodes; they take calls after their first answer.
    pub joined: Vec<NodeId>,
    /// Nodes that are no longer listed; those with calls are kept and probed (spec: X11), at once
    /// and more often until they answer, the others are forgotten, with [`ClusterEvent::Gone`].
    pub left: Vec<NodeId>,
    /// Nodes that take new calls again (or are listed again and active).
    pub activated: Vec<NodeId>,
    /// Nodes that take no new calls (spec: D14).
    pub deactivated: Vec<NodeId>,
}

impl Changes {
    /// Whether the document changed nothing.
    pub fn is_empty(&self) -> bool {
        *self == Changes::default()
    }
}

impl Cluster {
    /// Takes the trunk document. Which document counts is the caller's to decide (spec: X12).
    pub fn apply(&mut self, now: Time, document: &TrunkDocument) -> Changes {
        document.name.clone_into(&mut self.name);
        let mut changes = Changes::default();
        for instance in &document.instances {
            let Some(&id) = self.by_address.get(&instance.address) else {
                let wait = self.config.first_probes * changes.joined.len() as u32;
                let id = self.join(now, wait, instance.address, instance.active);
                changes.joined.push(id);
                continue;
            };
            let Some(node) = self.nodes.get_mut(&id) else {
                continue;
            };
            node.listed = true;
            if node.active != instance.active {
                node.active = instance.active;
                let list = if node.active {
                    &mut changes.activated
                } else {
                    &mut changes.deactivated
                };
                list.push(id);
            }
        }
        let listed = |addr: &SocketAddr| document.instances.iter().any(|i| i.address == *addr);
        let gone = self
            .nodes
            .iter()
            .filter(|(_, n)| n.listed && !listed(&n.address));
        changes.left = gone.map(|(&id, _)| id).collect();
        for &id in &changes.left {
            if let Some(node) = self.nodes.get_mut(&id) {
                node.listed = false;
                node.active = false;
            }
            self.forget_if_done(id);
            // Where its calls stay, it is asked at once whether it lives (spec: X11, D13).
            if self.nodes.contains_key(&id) {
                self.raise(now, id, EvidenceKind::Unlisted);
                self.reschedule(now, id);
            }
        }
        changes
    }

    fn join(&mut self, now: Time, wait: Duration, address: SocketAddr, active: bool) -> NodeId {
        let id = NodeId(self.next_node);
        self.next_node += 1;
        // Multiples of the golden ratio: any number of nodes is spread evenly (spec: D20).
        let share = u64::from(id.0.wrapping_mul(0x9E37_79B9));
        let interval = self.config.probe_interval.as_nanos() as u64;
        let phase = ((u128::from(interval) * u128::from(share)) >> 32) as u64;
        let grain = self.config.probe_grain.as_nanos().max(1) as u64;
        let phase = phase - phase % grain;
        let mut node = Node::new(now, address, active, Duration::from_nanos(phase));
        node.schedule_probe(now, &self.config);
        node.next_probe = node.next_probe.min(now + wait);
        self.deadlines.set(id, node.next_probe);
        self.nodes.insert(id, node);
        self.by_address.insert(address, id);
        id
    }

    /// How many live calls the node carries; to be told on every change (spec: X11).
    pub fn calls_changed(&mut self, id: NodeId, live_calls: usize) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        node.calls = live_calls;
        if live_calls == 0 {
            // Nothing is left that could be heard: the coming silence says nothing.
            node.media.forget();
            self.forget_if_done(id);
        }
    }

    /// How many attempts to move or place calls it may still answer though they are not counted on;
    /// to be told on every change. While there are any the node is not forgotten either: with it
    /// they end (spec: X24).
    pub fn attempts_changed(&mut self, id: NodeId, attempts: usize) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        node.attempts = attempts;
        if attempts == 0 {
            self.forget_if_done(id);
        }
    }

    /// Forgets a node that is not listed and carries nothing.
    fn forget_if_done(&mut self, id: NodeId) {
        let stays = |n: &Node| n.listed || n.calls > 0 || n.attempts > 0;
        if self.nodes.get(&id).is_none_or(stays) {
            return;
        }
        if let Some(node) = self.nodes.remove(&id) {
            self.by_address.remove(&node.address);
            self.suspects.remove(&id);
            self.deadlines.cancel(id);
            self.events.push_back(ClusterEvent::Gone {
                node: id,
                addr: node.address,
            });
        }
    }

    /// The nodes, those included that are kept beyond the document, in the order they joined.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes.keys().copied()
    }

    /// The node at this address and port.
    pub fn node_at(&self, address: SocketAddr) -> Option<NodeId> {
        self.by_address.get(&address).copied()
    }

    /// The node's SIP address; `None` once it is forgotten.
    pub fn address(&self, id: NodeId) -> Option<SocketAddr> {
        self.nodes.get(&id).map(|n| n.address)
    }

    /// The node's state; `None` once it is forgotten.
    pub fn state(&self, id: NodeId) -> Option<NodeState> {
        self.nodes.get(&id).map(Node::node_state)
    }

    /// Whether the document lists it as active (spec: D14).
    pub fn is_active(&self, id: NodeId) -> bool {
        self.nodes.get(&id).is_some_and(|n| n.active)
    }

    /// Live calls, as last told.
    pub fn calls(&self, id: NodeId) -> usize {
        self.nodes.get(&id).map_or(0, |n| n.calls)
    }

    /// The smoothed RTT, once measured (spec: D20).
    pub fn rtt(&self, id: NodeId) -> Option<Duration> {
        self.nodes.get(&id)?.probes.rtt()
    }

    /// The utilization that counts now, in percent (spec: D22).
    pub fn utilization(&self, now: Time, id: NodeId) -> u8 {
        let told = self
            .nodes
            .get(&id)
            .map(|n| n.believed_utilization(now, &self.config));
        told.unwrap_or(self.config.utilization_unknown)
    }

    /// The node's incarnation, if it tells one (spec: X39).
    pub fn incarnation(&self, id: NodeId) -> Option<&str> {
        self.nodes.get(&id)?.incarnation.as_deref()
    }
}
