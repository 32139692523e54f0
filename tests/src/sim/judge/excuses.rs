//! What the rules excuse, and the calls that it meets (see `storm`).

use crate::sim::host::HostId;
use crate::sim::plan::{Party, Trouble, What};
use crate::sim::world::{CALLEE, CALLER, NODES, World};
use crate::ua::{CallNumber, ReplacesPolicy};
use b2bua_node::store::Op;
use holdline_wire::Time;
use std::time::Duration;

/// How long a node keeps what nobody waits for until it goes to the store.
const COMPANY: Duration = Duration::from_millis(10);

impl World {
    /// The store has taken what a node asked of it.
    pub(in crate::sim) fn note_written(&mut self, op: &Op) {
        if let Op::Put { record } | Op::Replace { record, .. } = op {
            let call_id = record.downstream.call_id.clone();
            self.memory.written.insert(call_id);
        }
    }

    /// A call ends, or is lost: whether its last dialog at the downstream UA was known to nobody
    /// but a node that fell away, or will be.
    pub(super) fn note_torn(&mut self, call: CallNumber) {
        if self.is_unwritten(call) || self.will_fall_silent(call) {
            self.memory.torn.insert(call);
        }
    }

    /// Whether the call's node cannot tell the downstream UA of its end now, and will be gone
    /// before it could: it answers the agent's BYE after a second all the same (storm 966).
    fn will_fall_silent(&self, call: CallNumber) -> bool {
        let Some(dialog) = self.ua(CALLEE).newest_dialog(call) else {
            return false;
        };
        let Some(node) = self.node_index(dialog.flow.remote) else {
            return false;
        };
        // As long as BYE is repeated (RFC 3261 17.1.2.2).
        let repeated = self.now + Duration::from_secs(32);
        let dies = |trouble: &Trouble| {
            trouble.what == What::Killed(node) && trouble.at >= self.now && trouble.at <= repeated
        };
        let (there, back) = (NODES + node, CALLEE);
        let open = self.links.open(there, back) && self.links.open(back, there);
        !open && self.plan.troubles.iter().any(dies)
    }

    /// Whether the store does not have the call's last dialog at the downstream UA, and something
    /// kept its node from writing it.
    pub(super) fn is_unwritten(&self, call: CallNumber) -> bool {
        let Some(dialog) = self.ua(CALLEE).newest_dialog(call) else {
            return false;
        };
        let node = self.node_index(dialog.flow.remote);
        let met = |trouble: &Trouble| {
            trouble.at <= self.now && node.is_some_and(|node| touches(trouble, node))
        };
        !self.memory.written.contains(&dialog.id.call_id) && self.plan.troubles.iter().any(met)
    }

    pub(super) fn is_torn(&self, call: CallNumber) -> bool {
        self.memory.torn.contains(&call)
    }

    /// Whether the row of this call may have been left: the store was away when it ended, or was to
    /// hear of it a moment later in the company of others, and its node died before that.
    pub(super) fn may_leave_row(&self, call: CallNumber) -> bool {
        let ends = self
            .watch
            .seen(call)
            .into_iter()
            .flat_map(|seen| seen.ended.values());
        let mut ends = ends.map(|ending| ending.at);
        let away = |trouble: &Trouble, at| {
            let late = Duration::from_secs(1);
            is_of_store(trouble.what) && trouble.at <= at + late && at <= trouble.until() + late
        };
        // The ends hear of it up to a message before or after the node.
        let message = self.plan.network.delay.1;
        let moment = COMPANY + self.plan.store_delay + message;
        let killed = |trouble: &Trouble, at: Time| {
            let dies = matches!(trouble.what, What::Killed(_));
            dies && at <= trouble.at + message && trouble.at <= at + moment
        };
        let excuse = |trouble: &Trouble, at| away(trouble, at) || killed(trouble, at);
        ends.any(|at| self.plan.troubles.iter().any(|trouble| excuse(trouble, at)))
    }

    /// Whether what is left of this call at one of its ends is excused: the calling server of one
    /// whose agent was killed may never hear of its end.
    pub(super) fn is_left(&self, host: HostId, call: CallNumber) -> bool {
        self.is_stranded(call) || (host == CALLER && self.is_orphaned(call))
    }

    /// Whether anything is.
    pub(super) fn has_left(&self, host: HostId) -> bool {
        let mut calls = self.plan.calls.iter();
        calls.any(|call| self.is_left(host, call.number))
    }

    /// Whether its agent was killed under this call.
    pub(in crate::sim) fn is_orphaned(&self, call: CallNumber) -> bool {
        self.memory.orphaned.contains_key(&call)
    }

    /// Whether what is left of this call at its end is excused.
    pub(super) fn is_stranded(&self, call: CallNumber) -> bool {
        let refuses = self
            .plan
            .call(call)
            .is_some_and(|call| call.replaces != ReplacesPolicy::Accept);
        let asked = self
            .watch
            .seen(call)
            .is_some_and(|seen| seen.replaces_sent > 0);
        (refuses && asked) || self.is_torn(call)
    }
}

/// Whether the trouble has anything to do with the node.
pub(super) fn touches(trouble: &Trouble, node: usize) -> bool {
    let some = Party::Node(node);
    match trouble.what {
        What::Killed(victim) | What::Cut(victim) | What::Drained(victim) => victim == node,
        What::Paused(party) => party == some,
        What::Deaf(one, other) | What::Parted(one, other) | What::Lossy(one, other, _) => {
            [one, other].contains(&some)
        }
        What::Unsent(_, Some(victim)) => victim == node,
        What::StoreDown | What::Unsent(_, None) | What::Unplugged => true,
        What::AgentKilled => false,
    }
}

/// Whether the trouble keeps a node from the store.
pub(super) fn is_of_store(what: What) -> bool {
    match what {
        What::Deaf(one, other) | What::Parted(one, other) | What::Lossy(one, other, _) => {
            [one, other].contains(&Party::Store)
        }
        what => what == What::StoreDown,
    }
}
