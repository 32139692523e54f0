//! What the rules excuse, and the calls that it meets (see `storm`).

use super::memory::ORPHANED;
use crate::sim::host::{CALLEE, CALLER, HostId, NODES};
use crate::sim::plan::{Party, Trouble, What};
use crate::sim::watch::Seen;
use crate::sim::world::World;
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

    /// A BYE leaves for the downstream UA. After a moment nobody else knows: in the dialog of an attempt that
    /// was followed by another at once, since the store has given its row to the node that says it (storm
    /// 816), else when the node has answered the agent's BYE all the same (storm 966).
    pub(in crate::sim) fn note_bye_sent(&mut self, node: HostId, call: CallNumber, bye: &[u8]) {
        if let Some((call_id, of_attempt)) = bye_of(bye) {
            let wait = Duration::from_secs(u64::from(!of_attempt));
            let ending = (node, call, self.now + wait);
            if !self.memory.heard.contains(&call_id) {
                self.memory.ending.entry(call_id).or_insert(ending);
            }
        }
    }

    /// It arrived.
    pub(in crate::sim) fn note_bye_heard(&mut self, bye: &[u8]) {
        if let Some((call_id, _)) = bye_of(bye) {
            self.memory.ending.remove(&call_id);
            self.memory.heard.insert(call_id);
        }
    }

    /// The agent was killed: whether the call was on the move, or has no node.
    pub(super) fn note_adrift(&mut self, call: CallNumber) {
        let moves = |seen: &Seen| seen.answered.len() == 2 && seen.good_since.is_none();
        let waits = self.watch.seen(call).is_some_and(moves);
        let node = self.last_node(call).map(|node| &self.hosts[NODES + node]);
        if waits || node.is_some_and(|node| node.core.is_none()) {
            self.memory.adrift.insert(call);
        }
    }

    /// The place of the node that has the call's newest dialog at the downstream UA.
    pub(super) fn last_node(&self, call: CallNumber) -> Option<usize> {
        let dialog = self.ua(CALLEE).newest_dialog(call)?;
        self.node_index(dialog.flow.remote)
    }

    /// The node is killed, and with it what it was telling, and calls whose agent had been.
    pub(in crate::sim) fn note_cut_short(&mut self, node: HostId) {
        let due = |since: &Time| self.now < *since + ORPHANED;
        let orphans = self.memory.orphaned.iter().filter(|(_, since)| due(since));
        let orphans: Vec<CallNumber> = orphans.map(|(call, _)| *call).collect();
        let here = |call: &CallNumber| self.last_node(*call).map(|n| NODES + n) == Some(node);
        let adrift: Vec<CallNumber> = orphans.into_iter().filter(here).collect();
        let calls = self.plan.calls.iter().map(|call| call.number).filter(here);
        let dialog = |call| {
            let dialog = self.ua(CALLEE).newest_dialog(call)?;
            Some((call, dialog.id.call_id.clone()))
        };
        let lost: Vec<_> = calls.filter_map(dialog).collect();
        self.memory.adrift.extend(adrift);
        self.memory.last_dialog.extend(lost);
        let ending = self.memory.ending.values();
        let cut = ending.filter(|(teller, _, alone)| *teller == node && *alone <= self.now);
        self.memory.cut_short.extend(cut.map(|(_, call, _)| *call));
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
        let memory = &self.memory;
        let last = memory.last_dialog.get(&call);
        memory.torn.contains(&call) || last.is_some_and(|last| !memory.written.contains(last))
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
        let memory = &self.memory;
        let left = memory.cut_short.contains(&call) || memory.adrift.contains(&call);
        (refuses && asked) || self.is_torn(call) || left
    }
}

/// The Call-ID of a BYE, and whether it ends an attempt.
fn bye_of(bytes: &[u8]) -> Option<(Box<str>, bool)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.lines().filter(|_| text.starts_with("BYE "));
    let call_id = lines.find_map(|line| line.strip_prefix("Call-ID: "))?;
    Some((call_id.into(), text.contains("completed elsewhere")))
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
