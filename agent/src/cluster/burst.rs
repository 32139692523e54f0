//! Asking: probes, the burst of quick ones for a suspect, and the others as witnesses that our
//! own network works.

use super::node::{Node, State};
use super::probes::PATIENT;
use super::{Cluster, ClusterEvent, NodeId, ProbeId};
use holdline_wire::Time;
use std::time::Duration;

impl Cluster {
    /// Sends one probe: a fresh transaction, once (spec: D20).
    pub(super) fn send_probe(&mut self, now: Time, id: NodeId) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let probe = ProbeId(self.next_probe);
        self.next_probe += 1;
        node.probes.sent(now, probe);
        self.events.push_back(ClusterEvent::Probe {
            node: id,
            addr: node.address,
            id: probe,
        });
    }

    /// Sets the pace of quick probes: as fast as the RTT allows where there is evidence beside
    /// unanswered probes, else so that enough of them fit into what is left (spec: X21a).
    pub(super) fn pace(&mut self, now: Time, id: NodeId) {
        let deadline = self.silence_deadline(id);
        let config = &self.config;
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let patience = node.probes.patience(now, config);
        let needed = node
            .probes
            .needed(config.false_alone, config)
            .max(config.unanswered_min);
        let half_rtt = node.probes.rtt_or(config) / 2;
        let Some(s) = node.suspicion_mut() else {
            return;
        };
        let spacing = if s.is_fast() {
            s.unwitnessed = true;
            half_rtt
        } else {
            deadline.since(now).saturating_sub(patience) / (needed as u32 + 2)
        };
        // Faster ones would be forgotten before their time is over, and never count as unanswered.
        let densest = patience / PATIENT;
        s.spacing = spacing
            .min(config.quick_max)
            .max(config.quick_min)
            .max(densest);
        s.next_quick = now;
        s.quick_sent = 0;
    }

    /// One more quick probe; where nobody else was heard of late, others are asked too, so that
    /// our own network is not mistaken for the node (spec: X21).
    pub(super) fn quick_probe(&mut self, now: Time, id: NodeId) {
        self.send_probe(now, id);
        let config = &self.config;
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let enough = node.probes.needed(config.false_corroborated, config) + 2;
        let Some(s) = node.suspicion_mut() else {
            return;
        };
        s.quick_sent += 1;
        s.last_quick = Some(now);
        if s.quick_sent > enough && s.is_fast() {
            s.spacing = (s.spacing * 2).min(config.quick_max);
        }
        s.next_quick = now + s.spacing;
        let ask = s.quick_sent == 1 || now.since(s.last_witness) >= s.spacing;
        let witnesses: Vec<_> = self.nearest(now, id).collect();
        // Who can be a witness changes: when the suspicion rose all may have been silent.
        if let Some(patience) = witnesses.iter().map(|(_, patience)| *patience).max()
            && let Some(s) = self.nodes.get_mut(&id).and_then(Node::suspicion_mut)
        {
            s.witness_patience = patience;
        }
        for (witness, _) in witnesses.into_iter().filter(|_| ask) {
            self.send_probe(now, witness);
        }
    }

    /// The same, but never two at one moment: where a refusal takes no time each would lead to
    /// the next.
    pub(super) fn quick_probe_unless_just_sent(&mut self, now: Time, id: NodeId) {
        let s = self.nodes.get(&id).and_then(|node| node.suspicion());
        if s.is_some_and(|s| s.last_quick != Some(now)) {
            self.quick_probe(now, id);
        }
    }

    /// The living nodes beside this one whose answers come soonest, and how long they may take.
    /// They are looked for at most as often as quick probes leave, not with each of many
    /// suspects.
    pub(super) fn nearest(
        &mut self,
        now: Time,
        id: NodeId,
    ) -> impl Iterator<Item = (NodeId, Duration)> + '_ {
        let known = self.nearest_at;
        if known.is_none_or(|at| now.since(at) >= self.config.quick_min) {
            self.nearest_at = Some(now);
            let config = &self.config;
            self.nearest.clear();
            let alive = |(_, n): &(&NodeId, &Node)| matches!(n.state, State::Alive);
            let found = self.nodes.iter().filter(alive);
            let mut found: Vec<_> = found
                .map(|(&other, n)| (n.probes.patience(now, config), other))
                .collect();
            // One more than are asked, and some that may fall suspect meanwhile.
            let most = (config.witnesses + 1) * 2;
            if found.len() > most {
                found.select_nth_unstable(most);
                found.truncate(most);
            }
            found.sort_unstable();
            self.nearest.extend(found);
        }
        let nodes = &self.nodes;
        let alive = move |other: &NodeId| {
            let node = nodes.get(other);
            node.is_some_and(|node| matches!(node.state, State::Alive))
        };
        let others = self
            .nearest
            .iter()
            .map(|&(patience, other)| (other, patience));
        others
            .filter(move |(other, _)| *other != id && alive(other))
            .take(self.config.witnesses)
    }

    /// Somebody answered: nodes other than the suspects that `beside` admits. Where all
    /// had been silent, that time proves nothing and the questions are asked anew; a fast burst
    /// is short enough to fall into an outage whole, so it counts from the first one heard
    /// (spec: X21).
    pub(super) fn witness(&mut self, now: Time, beside: impl Fn(NodeId) -> bool) {
        if self.suspects.is_empty() {
            return;
        }
        let suspects: Vec<_> = self
            .suspects
            .iter()
            .copied()
            .filter(|&id| beside(id))
            .collect();
        for id in suspects {
            let Some(node) = self.nodes.get_mut(&id) else {
                continue;
            };
            let Some(s) = node.suspicion_mut() else {
                continue;
            };
            let pause = now.since(s.last_witness);
            let all_silent = pause > s.witness_window();
            s.last_witness = now;
            if !all_silent && !s.unwitnessed {
                continue;
            }
            s.since = now;
            if all_silent {
                node.shift_silence(now, pause);
            }
            self.pace(now, id);
            if let Some(s) = self.nodes.get_mut(&id).and_then(|n| n.suspicion_mut()) {
                s.unwitnessed = false;
            }
            self.reschedule(now, id);
        }
    }
}
