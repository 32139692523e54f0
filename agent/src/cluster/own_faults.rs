//! Our own failures are nobody's death (spec: X52): what did not leave this machine was never asked,
//! so nobody failed to answer it. Where nothing leaves for any node, their silence says nothing at
//! all. Where it is one node while another one answers, silence counts on as ever (spec: D21), and the
//! calls leave it as one that cannot be reached from here: it is neither dead nor a flap.

use super::evidence::EvidenceKind;
use super::node::{NoWay, Node, State};
use super::{Cluster, ClusterEvent, NodeId, ProbeId};
use holdline_wire::Time;
use holdline_wire::machine::LocalFault;

impl Cluster {
    /// A message to the node did not leave this machine; `probe` where it was one.
    pub fn local_fault(&mut self, now: Time, id: NodeId, kind: LocalFault, probe: Option<ProbeId>) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        probe
            .into_iter()
            .for_each(|probe| node.probes.unsent(probe));
        node.no_way = Some(NoWay { last: now, kind });
        match node.state {
            State::Joining => node.origin = now,
            // It is asked on, in the time that is left, and gets no new call where others can.
            State::Alive => self.raise(now, id, EvidenceKind::Unsendable { fault: kind }),
            _ => {}
        }
        if self.is_blind(now) {
            self.void_silence(now, kind);
        }
        self.reschedule(now, id);
    }

    /// Somebody on the way says that the node cannot be reached: a reason to ask, and no more.
    pub fn unreachable(&mut self, now: Time, id: NodeId) {
        let alive = |node: &Node| matches!(node.state, State::Alive);
        if self.nodes.get(&id).is_some_and(alive) {
            self.raise(now, id, EvidenceKind::Unreachable);
            self.reschedule(now, id);
        }
    }

    /// A signalling message left for the node.
    pub fn signalled(&mut self, now: Time, id: NodeId) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.signalled = Some(now);
        }
    }

    /// Whether something other than probes was sent to the node so recently that it may be refused
    /// now (spec: X52).
    pub fn was_signalled(&self, now: Time, id: NodeId) -> bool {
        let signalled = self.nodes.get(&id).and_then(|node| node.signalled);
        signalled.is_some_and(|at| now.since(at) <= self.config.refused_within)
    }

    /// Whether what is sent to the node does not leave this machine, and why.
    pub(super) fn no_way_to(&self, now: Time, node: &Node) -> Option<LocalFault> {
        let fresh = |no_way: &NoWay| now.since(no_way.last) < self.config.fault_memory;
        node.no_way.filter(fresh).map(|no_way| no_way.kind)
    }

    /// Whether nothing leaves this machine for any node that is to be judged, and none of the others
    /// answers.
    fn is_blind(&self, now: Time) -> bool {
        let mut nodes = self.nodes.values();
        nodes.all(|node| match node.is_up() {
            true => self.no_way_to(now, node).is_some(),
            false => !self.answers(now, node),
        })
    }

    /// Whether there are others that lived so far, and none of them answers (spec: X21).
    pub(super) fn all_are_silent(&self, now: Time, id: NodeId) -> bool {
        let others = self.nodes.iter().filter(|&(&other, _)| other != id);
        let up = others.map(|(_, node)| node).filter(|node| node.is_up());
        let mut up = up.peekable();
        up.peek().is_some() && up.all(|node| !self.answers(now, node))
    }

    /// Whether there are nodes that are up, and none of them answers our probes just now.
    pub(super) fn nobody_answers(&self, now: Time) -> bool {
        let mut up = self.nodes.values().filter(|node| node.is_up()).peekable();
        up.peek().is_some() && up.all(|node| !self.answers(now, node))
    }

    /// Whether the node answers our probes just now.
    fn answers(&self, now: Time, node: &Node) -> bool {
        let patience = self.config.fault_memory + node.probes.spread_rtt(&self.config);
        let fresh = |at: Time| now.since(at) < patience;
        self.no_way_to(now, node).is_none() && node.last_answer.is_some_and(fresh)
    }

    /// Nobody could answer: nobody was silent.
    fn void_silence(&mut self, now: Time, kind: LocalFault) {
        for node in self.nodes.values_mut().filter(|node| node.is_up()) {
            (node.origin, node.answer_origin) = (now, now);
            if let Some(suspicion) = node.suspicion_mut() {
                suspicion.since = now;
            }
        }
        if self.blind_since.is_none() {
            self.blind_since = Some(now);
            self.events.push_back(ClusterEvent::Blind { kind });
        }
    }

    /// The node answered a probe that was sent at this time: the way to it is open.
    pub(super) fn way_is_open(&mut self, now: Time, id: NodeId, sent: Time) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        node.last_answer = Some(now);
        if node.no_way.is_some_and(|no_way| sent > no_way.last) {
            node.no_way = None;
        }
        if node.no_way.is_none()
            && let Some(since) = self.blind_since.take()
        {
            let after = now.since(since);
            self.events.push_back(ClusterEvent::Sighted { after });
        }
    }

    /// Why the node cannot be reached from here though another one can.
    pub(super) fn cut_off_from_here(&self, now: Time, id: NodeId) -> Option<LocalFault> {
        let kind = self.no_way_to(now, self.nodes.get(&id)?)?;
        let other = |(&other, node): (&NodeId, &Node)| {
            other != id && node.is_up() && self.answers(now, node)
        };
        self.nodes.iter().any(other).then_some(kind)
    }
}
