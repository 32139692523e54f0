//! Where a call goes, and how patient its transactions are.

use super::node::{Node, NodeState};
use super::{Cluster, ClusterEvent, NodeId};
use holdline_wire::Time;
use holdline_wire::token::Tokens;
use holdline_wire::transaction::Timers;
use std::time::Duration;

impl Cluster {
    /// A node for one call: at random, weighted by free capacity, among the living active ones
    /// that are not full; suspects only where nobody else is left (spec: D23, X20). With
    /// `last_resort` (a call that is up and needs a home, spec: D24) inactive and full nodes
    /// too, where no better one is left.
    pub fn choose(
        &self,
        now: Time,
        tokens: &mut Tokens,
        exclude: &[NodeId],
        last_resort: bool,
    ) -> Option<NodeId> {
        let pool = self.pool(now, exclude, last_resort, |n| now >= n.paused_until);
        Self::draw(tokens, pool)
    }

    /// A node that can be told something for which it needs no room, such as the end of a call: one
    /// that wants no calls for now will do, and inactive and full ones where no other is left.
    pub fn listener(&self, now: Time, tokens: &mut Tokens, exclude: &[NodeId]) -> Option<NodeId> {
        let pool = self.pool(now, exclude, true, |_| true);
        Self::draw(tokens, pool)
    }

    fn draw(tokens: &mut Tokens, pool: Vec<(NodeId, u64)>) -> Option<NodeId> {
        let total = pool.iter().map(|(_, weight)| weight).sum();
        let mut at = tokens.below(total);
        for (id, weight) in pool {
            if at < weight {
                return Some(id);
            }
            at -= weight;
        }
        None
    }

    /// The nodes that a call which is up can move to, with their free capacity, at least 1: the
    /// living active ones that are not full; else inactive and full ones, else suspects
    /// (spec: D24, X23). None where no node is left. `store` is that of the node which had the call:
    /// while a node that shares it is up, others are not asked, since they cannot know the call
    /// (spec: X59).
    pub fn homes(&self, now: Time, exclude: &[NodeId], store: Option<&str>) -> Vec<(NodeId, u64)> {
        let shares = |n: &Node| store.is_none_or(|store| n.has_store(store));
        let awake = |n: &Node| now >= n.paused_until;
        if self.nodes.values().any(|n| n.is_up() && shares(n)) {
            return self.pool(now, exclude, true, |n| awake(n) && shares(n));
        }
        self.pool(now, exclude, true, awake)
    }

    /// The node asked for a pause (503 with Retry-After): for so long it gets no call
    /// (RFC 3261 21.5.4, spec: X24).
    pub fn pause(&mut self, now: Time, id: NodeId, time: Duration) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.paused_until = node.paused_until.max(now + time);
        }
    }

    /// Likewise for want of room: the pause is over as soon as the utilization that it tells falls
    /// from 100 (spec: X51).
    pub fn pause_until_room(&mut self, now: Time, id: NodeId, time: Duration) {
        self.pause(now, id, time);
        if let Some(node) = self.nodes.get_mut(&id) {
            node.no_room = true;
        }
    }

    /// A call has left the node: where it had no room there may be some now (spec: X51).
    pub fn room_may_be(&mut self, id: NodeId) {
        if let Some(node) = self.nodes.get_mut(&id)
            && std::mem::take(&mut node.no_room)
        {
            node.paused_until = Time::ZERO;
            self.events.push_back(ClusterEvent::Room { node: id });
        }
    }

    /// The best class of nodes that is not empty, with weights above zero, of those that `takes`
    /// admits; of them those whose store works, if there are any (spec: X59).
    fn pool(
        &self,
        now: Time,
        exclude: &[NodeId],
        last_resort: bool,
        takes: impl Fn(&Node) -> bool,
    ) -> Vec<(NodeId, u64)> {
        type Class = fn(&Node, u64) -> bool;
        let alive: Class = |n, free| n.node_state() == NodeState::Alive && n.active && free > 0;
        let any_alive: Class = |n, _| n.node_state() == NodeState::Alive;
        let draining: Class = |n, _| n.node_state() == NodeState::Draining;
        let suspect: Class =
            |n, free| n.node_state() == NodeState::Suspect && n.takes_calls() && free > 0;
        let any_suspect: Class = |n, _| n.node_state() == NodeState::Suspect;
        let classes: &[Class] = if last_resort {
            &[alive, any_alive, draining, suspect, any_suspect]
        } else {
            &[alive, suspect]
        };
        for class in classes {
            let fits = |(id, node): (&NodeId, &Node)| {
                let free = u64::from(node.free(now, &self.config));
                let fits = class(node, free) && !exclude.contains(id) && takes(node);
                fits.then_some((*id, free.max(1), node.store_works()))
            };
            let pool: Vec<_> = self.nodes.iter().filter_map(fits).collect();
            let works = pool.iter().any(|&(.., works)| works);
            if !pool.is_empty() {
                let best = pool.into_iter().filter(|&(.., up)| up == works);
                return best.map(|(id, free, _)| (id, free)).collect();
            }
        }
        Vec::new()
    }

    /// The node was just sent a failover INVITE, one of many perhaps: for a while its answers may
    /// take longer, lest the survivors of one death be held for dead, too (spec: X23).
    pub fn busy(&mut self, now: Time, id: NodeId) {
        if let Some(node) = self.nodes.get_mut(&id) {
            node.probes.busy_until = now + self.config.busy_time;
        }
    }

    /// Whether a node lives that could carry a call as a last resort: where none does, a call
    /// whose node died is held (spec: X24); where one does and [`Cluster::choose`] finds none for
    /// a new call, all are full: 503 with Retry-After (spec: D23).
    pub fn any_alive(&self) -> bool {
        self.nodes.values().any(Node::is_up)
    }

    /// The timers of transactions towards the node: T1 is its RTT with its spread, at least
    /// 20 ms and at most RFC 3261's 500 ms (spec: X24).
    pub fn timers(&self, id: NodeId) -> Timers {
        let timers = Timers::default();
        let Some(node) = self.nodes.get(&id).filter(|n| n.probes.rtt().is_some()) else {
            return timers;
        };
        let t1 = node
            .probes
            .usual_patience(&self.config)
            .max(self.config.t1_min)
            .min(timers.t1);
        Timers { t1, ..timers }
    }
}
