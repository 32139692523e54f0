//! What the cluster wants: probes sent, verdicts carried out.

use crate::cluster::{ClusterEvent, NodeId, NodeState, ProbeId};
use crate::core::AgentCore;
use crate::core::event::Event;
use holdline_wire::build::Builder;
use holdline_wire::header::{
    InstanceRefusal, InstanceState, InstanceStore, InstanceUtilization, Name,
};
use holdline_wire::machine::Output;
use holdline_wire::{Flow, Message, Method, Time, TransportKey};
use std::net::SocketAddr;

/// The start of a probe's branch: the cookie of RFC 3261 and a letter of ours.
const PROBE_BRANCH: &str = "z9hG4bKp";
/// Probes to one node that were not answered, and whose late answers are still understood.
const PROBES_KEPT: usize = 192;

/// What a response says of its node's load (spec: D22).
pub(super) fn told_utilization(message: &Message) -> Option<u8> {
    let value = message.header(Name::InstanceUtilization)?;
    InstanceUtilization::parse(value).map(|told| told.0)
}

impl AgentCore {
    pub(super) fn on_cluster(&mut self, now: Time, event: ClusterEvent) {
        match event {
            ClusterEvent::Probe { node, addr, id } => self.send_probe(node, addr, id),
            ClusterEvent::Suspect { node, evidence } => {
                let kind = evidence.kind.name();
                let evidence = evidence.kind.to_string();
                self.tell(node, |node| Event::NodeSuspect {
                    node,
                    kind,
                    evidence,
                });
            }
            ClusterEvent::Cleared {
                node,
                after,
                evidence,
            } => {
                let kind = evidence.name();
                self.tell(node, |node| Event::NodeCleared { node, kind, after });
                self.hasten(now, node);
                self.env.pacing.stir();
                self.env.tell_untold(now);
                self.env.hang_up_left(now, node);
            }
            ClusterEvent::Draining { node } => {
                self.tell(node, |node| Event::NodeDraining { node });
            }
            ClusterEvent::StoresDiffer { one, other } => {
                self.env.event(Event::StoresDiffer { one, other });
            }
            ClusterEvent::Dead { node, verdict } => {
                let told = verdict.clone();
                self.tell(node, |node| Event::NodeGone {
                    node,
                    verdict: told,
                });
                self.fail_over(now, node, Some(verdict), |_| true);
            }
            ClusterEvent::Restarted { node, incarnation } => {
                // X39: only what the old process knew is gone; where the node tells no
                // incarnation, that is every dialog.
                self.fail_over(now, node, None, |far| match far.incarnation.as_deref() {
                    Some(known) => known != incarnation,
                    None => incarnation.is_empty() && far.leg.dialog().is_some(),
                });
            }
            ClusterEvent::Alive { node } => {
                self.tell(node, |node| Event::NodeAlive { node });
                self.env.pacing.stir();
                self.env.tell_untold(now);
                self.env.hang_up_left(now, node);
            }
            ClusterEvent::Room { node: _ } => self.env.pacing.stir(),
            ClusterEvent::Blind { kind } => self.env.event(Event::Blind { kind }),
            ClusterEvent::Sighted { after } => self.env.event(Event::Sighted { after }),
            ClusterEvent::Gone { node, addr } => {
                self.env.left.expire(now);
                self.env.probes.remove(&node);
                self.env
                    .outputs
                    .push_back(Output::Close(self.probe_flow(node, addr)));
            }
        }
    }

    /// The node answers after all: INVITEs that were lost on their way are not left to their
    /// next repetition, which may be seconds away (spec: X24).
    fn hasten(&mut self, now: Time, node: NodeId) {
        let charged = self.env.by_node.get(&node).into_iter().flatten();
        let mut keys: Vec<_> = charged.copied().collect();
        let aside = self.env.attempts.get(&node).into_iter().flatten();
        keys.extend(aside.map(|(key, _)| *key));
        for key in keys {
            let Some(call) = self.calls.get_mut(key) else {
                continue;
            };
            let legs = call.far.iter().chain(&call.others);
            for far in legs.filter(|far| far.node == node) {
                far.leg.hasten(&mut self.env.ctx(now));
            }
        }
    }

    fn tell(&mut self, node: NodeId, event: impl FnOnce(SocketAddr) -> Event) {
        if let Some(address) = self.env.cluster.address(node) {
            self.env.event(event(address));
        }
    }

    /// Probes have a connected socket of their own for each node (spec: D20), so that a refusal
    /// is known to be the node's.
    fn probe_flow(&self, node: NodeId, remote: SocketAddr) -> TransportKey {
        TransportKey {
            flow: Flow::Probe(node.0),
            ..self.env.flow(remote)
        }
    }

    /// One OPTIONS, sent once.
    fn send_probe(&mut self, node: NodeId, addr: SocketAddr, id: ProbeId) {
        let flow = self.probe_flow(node, addr);
        let random = self.env.tokens.tag();
        let branch = format!("{PROBE_BRANCH}{random}");
        let local = self.env.settings.sip;
        let built = Builder::request(&Method::Options, &format!("sip:{addr}"))
            .via(&flow, &branch)
            .header(Name::MaxForwards, 0)
            .header(Name::From, format_args!("<sip:probe@{local}>;tag={random}"))
            .header(Name::To, format_args!("<sip:{addr}>"))
            .header(Name::CallId, format_args!("{random}-{}", id.0))
            .header(Name::CSeq, "1 OPTIONS")
            .header(Name::InstanceAgent, &self.env.settings.agent)
            .finish(None);
        if let Ok(bytes) = built {
            let sent = self.env.probes.entry(node).or_default();
            sent.push_back((id, branch.into()));
            if sent.len() > PROBES_KEPT {
                sent.pop_front();
            }
            self.env.outputs.push_back(Output::Send { to: flow, bytes });
        }
    }

    /// What a response of the node says of it beside its load.
    pub(super) fn take_told(&mut self, node: NodeId, message: &Message) {
        let said = message.header(Name::InstanceState);
        let leaves = message
            .header(Name::InstanceRefusal)
            .is_some_and(|cause| InstanceRefusal::parse(cause) == InstanceRefusal::Draining);
        let state = said.and_then(InstanceState::parse);
        let state = state.or(leaves.then_some(InstanceState::Draining));
        if let Some(state) = state {
            self.env.cluster.told_state(node, state);
        }
        let store = message.header(Name::InstanceStore);
        if let Some(store) = store.and_then(InstanceStore::parse) {
            self.env.cluster.told_store(node, store);
        }
    }

    /// Whether `message` answers a probe; then the cluster has heard of it.
    pub(super) fn on_probe_answer(
        &mut self,
        now: Time,
        node: Option<NodeId>,
        message: &Message,
    ) -> bool {
        let branch = message.top_via().branch;
        if *message.method() != Method::Options || !branch.starts_with(PROBE_BRANCH) {
            return false;
        }
        let sent = node.and_then(|node| Some((node, self.env.probes.get_mut(&node)?)));
        let known = sent.and_then(|(node, sent)| {
            // Nearly always the newest: the others were answered, or are lost.
            let at = sent.iter().rposition(|(_, known)| **known == *branch)?;
            let (id, _) = sent.remove(at)?;
            Some((node, id))
        });
        if let Some((node, id)) = known {
            let utilization = told_utilization(message);
            let incarnation = message.text(Name::InstanceIncarnation);
            let (status, incarnation) = (message.status(), incarnation.as_deref());
            self.env
                .cluster
                .probe_answered(now, node, id, status, utilization, incarnation);
            // Not from a process that is gone.
            if incarnation.is_none() || self.env.cluster.incarnation(node) == incarnation {
                self.take_told(node, message);
            }
            // It lives, though it takes no calls yet (spec: X22).
            if self.env.cluster.state(node) == Some(NodeState::Returning) {
                self.env.hang_up_left(now, node);
            }
        }
        true
    }
}
