//! The rules of storms and stories, which hold whatever happens. They are asked at every message,
//! every event of a program and every 100 ms:
//!
//! - A verdict needs a reason: for the last while the node was killed, cut off, parted from the
//!   agent one way or both, or stood still for more than [`BLINK`]. Loss of any degree, delay, a
//!   halt of the agent itself, a network of its own that lets nothing out, trouble between node and
//!   downstream UA or store are none.
//! - Nothing but probes is sent to a node that is held for dead, unless it spoke since.
//! - A call that is up has at most one confirmed dialog at the downstream UA, and its media flow
//!   both ways as its ends want, or flow again within [`World::patience`] from the moment that a
//!   node was there for it.
//! - Where the agent is killed, its calls end at the downstream UA and on the nodes within
//!   [`ORPHANED`].
//! - A call ends by a hang-up, or because its far end refuses Replaces, or because no node was
//!   there for as long as calls are held.
//!
//! What cannot be judged here, and is not: media of a call whose node is parted from the
//! downstream UA (nobody tells the agent). What cannot be kept, and is excused for the calls that
//! it meets: one whose last dialog at the downstream UA the store never heard of, because a trouble
//! met its node before it could write it, or whose end the node could not tell there before it was
//! killed (`World::note_torn`); one that was placed again and whose earlier attempt was answered, where
//! the BYE for that was lost and the node killed before it repeated it (`World::note_cut_short`); one whose
//! agent was killed while it waited for a node, or whose node was killed after that; the
//! dialog of a downstream UA that refuses Replaces (spec: X32). A call that was placed a second time while it was being set up may ring
//! twice at the downstream UA, and for up to 34 s be answered twice (spec: X26), and it may be
//! refused. A far end that asks something of a restarted node while the agent can send to nobody hears
//! that the call is not known, and ends it.

use super::excuses::touches;
use super::far_end;
use super::memory::ORPHANED;
use crate::sim::host::{AGENT, CALLEE, Core, HostId, NODES, STORE};
use crate::sim::plan::{CallPlan, End, Party, Trouble, What};
use crate::sim::watch::{Ending, Seen};
use crate::sim::world::World;
use crate::ua::{CallNumber, ReplacesPolicy};
use holdline_agent::cluster::NodeState;
use holdline_agent::core::Event as AgentEvent;
use holdline_b2bua::Ignored;
use holdline_wire::Time;
use std::net::SocketAddr;
use std::time::Duration;

/// Standing still for so long or less is no reason for a verdict.
pub const BLINK: Duration = Duration::from_millis(30);
/// For so long at least a node has to be cut off from the agent, by what the agent is told is its own
/// machine's fault, before its calls leave it (spec: X52): RTT + 1.5 s, less what losses made of it
/// before.
const SILENT: Duration = Duration::from_millis(750);
/// How often calls are looked at.
pub(in crate::sim) const LOOK: u64 = 10;

impl World {
    /// The place of the node with this address in the list.
    pub(in crate::sim) fn node_index(&self, node: SocketAddr) -> Option<usize> {
        let hosts = self.hosts.iter().skip(NODES);
        hosts.map(|host| host.sip).position(|sip| sip == node)
    }

    /// A verdict needs a reason.
    pub(super) fn storm_heard_agent(&mut self, event: &AgentEvent) {
        match event {
            AgentEvent::NodeGone { node, .. }
            | AgentEvent::FailoverStarted {
                node,
                verdict: None,
                ..
            } => {
                let Some(index) = self.node_index(*node) else {
                    return;
                };
                let after = Duration::from_millis(500) + self.plan.network.delay.1 * 4;
                let judged = matches!(event, AgentEvent::NodeGone { .. });
                let reason = |trouble: &&Trouble| match judged {
                    true => {
                        condemns(trouble, index)
                            && trouble.at <= self.now
                            && self.now <= self.noticed_until(trouble) + after
                    }
                    // Dialogs that it does not know: it was restarted, or owns them no longer.
                    false => trouble.at <= self.now && touches(trouble, index),
                };
                // One call leaves a port that another socket has.
                let leaves = !judged && self.plan.scarce.foreign.is_some();
                let troubled = self.plan.troubles.iter().any(|trouble| reason(&trouble));
                if !leaves && !troubled && !self.is_alone(*node) {
                    let what = format!("false verdict on {node}");
                    self.watch.fail(self.now, None, what);
                }
            }
            AgentEvent::CallLost { call, status, .. } => {
                let Some(number) = self.watch.call_of(call) else {
                    return;
                };
                let refuses = self
                    .plan
                    .call(number)
                    .is_some_and(|call| call.replaces != ReplacesPolicy::Accept);
                self.note_torn(number);
                let waited = self.now.since(self.memory.usable);
                let held = waited < Duration::from_secs(15);
                // A node that comes in the last moment comes too late, and one that goes before the messages
                // of two moves, one after the other, or before the far end may be asked again, or the call's
                // turn has come, was of no use.
                let (came, went) = (self.memory.usable_since, self.memory.usable);
                let pause = self.plan.call(number).map(far_end::asked_again);
                let moves = self.plan.network.delay.1 * 8;
                let pause = pause.unwrap_or_default().max(self.in_turn()) + moves;
                let late = self.now < came + self.patience() || went < came + pause;
                if !refuses && !self.is_torn(number) && held && !late {
                    let what =
                        format!("lost, last refusal {status}, {waited:?} after a node was there");
                    self.watch.fail(self.now, Some(number), what);
                }
            }
            AgentEvent::Ignored { from, why } => {
                // A node that has left the document is a stranger.
                let left = self
                    .plan
                    .documents
                    .iter()
                    .any(|(_, document)| !document.without.is_empty());
                if !(left && *why == Ignored::Source) {
                    let what = format!("agent ignored a message of {from}: {why:?}");
                    self.watch.fail(self.now, None, what);
                }
            }
            _ => {}
        }
    }

    /// A message leaves the agent.
    pub(in crate::sim) fn judge_sent(
        &mut self,
        host: HostId,
        to: HostId,
        call: Option<CallNumber>,
        bytes: &[u8],
    ) {
        if host != AGENT
            || to < NODES
            || bytes.starts_with(b"OPTIONS ")
            || bytes.starts_with(b"SIP/2.0")
        {
            return;
        }
        let node = self.hosts[to].sip;
        // A BYE or CANCEL that left while the node lived (spec: X28) may be repeated.
        let farewell = [&b"moved"[..], b"failover failed", b"completed elsewhere"];
        let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        let ends = bytes.starts_with(b"BYE ") || bytes.starts_with(b"CANCEL ");
        if ends && farewell.into_iter().any(has) {
            return;
        }
        let Some(since) = self.watch.condemned.get(&node) else {
            return;
        };
        if self
            .memory
            .spoke
            .get(&node)
            .is_none_or(|spoke| spoke < since)
        {
            let end = bytes
                .iter()
                .position(|&byte| byte == b'\r')
                .unwrap_or(bytes.len());
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let what = format!("sent to {node}, known dead: {head}");
            self.watch.fail(self.now, call, what);
        }
    }

    /// A message comes to the agent's socket.
    pub(in crate::sim) fn note_spoken(&mut self, from: HostId, to: HostId, bytes: &[u8]) {
        let probe = bytes.windows(11).any(|window| window == b"1 OPTIONS\r\n");
        if to == AGENT && from >= NODES && !probe {
            self.memory.spoke.insert(self.hosts[from].sip, self.now);
        }
    }

    /// The agent was killed: what it knew of calls nobody knows.
    pub(in crate::sim) fn note_orphans(&mut self) {
        for index in 0..self.plan.calls.len() {
            let (number, place) = (self.plan.calls[index].number, self.plan.calls[index].place);
            // It may die before the calling server hears of the end that it told.
            let seen = self.watch.call(number);
            let over = seen.told_ended > 0 && seen.ended.contains_key(&End::Caller);
            if place <= self.now && !over {
                self.memory.orphaned.entry(number).or_insert(self.now);
                self.note_adrift(number);
            }
        }
        self.watch.condemned.clear();
    }

    /// Orphans end in their time, where nothing else goes wrong.
    fn look_at_orphans(&mut self) {
        let alone = |trouble: &Trouble| trouble.what == What::AgentKilled;
        if !self.plan.troubles.iter().all(alone) {
            return;
        }
        let (now, patience) = (self.now, ORPHANED + self.patience());
        let late = self.memory.orphaned.iter();
        let late = late.filter(|(_, since)| now > **since + patience);
        let left: Vec<CallNumber> = late.map(|(call, _)| *call).collect();
        for call in left {
            if self.ua(CALLEE).confirmed_dialogs(call) > 0 && self.memory.told.insert(call) {
                let what = "up at the callee long after its agent was killed";
                self.watch.fail(now, Some(call), what);
            }
        }
    }

    /// A trouble begins or ends: whom it meets may need time again.
    pub(in crate::sim) fn disturb(&mut self, what: What) {
        for index in 0..self.plan.calls.len() {
            let number = self.plan.calls[index].number;
            if self.plan.calls[index].place > self.now {
                continue;
            }
            let seen = self.watch.call(number);
            let node = seen.node;
            let (moving, setup) = (seen.good_since.is_none(), seen.answered.len() < 2);
            let refused = seen.ended.contains_key(&End::Caller);
            let setup = setup && !(refused && far_end::refuses(&self.plan.calls[index]));
            let met = node
                .and_then(|node| self.node_index(node))
                .is_some_and(|node| {
                    let trouble = Trouble {
                        at: self.now,
                        lasts: None,
                        what,
                    };
                    touches(&trouble, node)
                });
            if met || moving || what == What::Paused(Party::Agent) {
                self.memory.calm.insert(number, self.now);
            }
            if setup {
                self.memory.disturbed_setup.insert(number);
            }
        }
    }

    /// A re-INVITE is over: what holds now may hold only since then, and another may follow.
    pub(in crate::sim) fn note_reinvited(&mut self, call: CallNumber) {
        self.memory.calm.insert(call, self.now);
    }

    /// Whether a silent network of the agent's own met the last node that it knew alive: it cannot
    /// tell the two apart.
    fn is_alone(&self, node: SocketAddr) -> bool {
        let silent = |trouble: &Trouble| {
            let own = matches!(trouble.what, What::Unsent(None, None) | What::Unplugged);
            own && trouble.at <= self.now && self.now <= trouble.until() + Duration::from_secs(1)
        };
        let Some(Core::Agent(agent)) = &self.hosts[AGENT].core else {
            return false;
        };
        let cluster = agent.cluster();
        let up = |id| {
            let known = cluster.state(id);
            let up = [NodeState::Alive, NodeState::Suspect, NodeState::Draining];
            known.is_some_and(|known| up.contains(&known)) && cluster.address(id) != Some(node)
        };
        self.plan.troubles.iter().any(silent) && !cluster.nodes().any(up)
    }

    /// A call is placed: perhaps in the middle of a trouble.
    pub(in crate::sim) fn note_placed(&mut self, call: CallNumber) {
        // A node that was away is used again only after a while.
        let after = Duration::from_secs(3);
        let troubled =
            |trouble: &Trouble| trouble.at <= self.now && self.now <= trouble.until() + after;
        if self.plan.troubles.iter().any(troubled) {
            self.memory.disturbed_setup.insert(call);
        }
        if self.hosts[AGENT].core.is_none() {
            self.memory.orphaned.insert(call, self.now);
        }
    }

    /// Whether some node can take a call, as the agent knows.
    fn is_usable(&self, n: usize) -> bool {
        let host = NODES + n;
        if self.plan.scarce.is_small(n) {
            return false;
        }
        let Some(Core::Agent(agent)) = &self.hosts[AGENT].core else {
            return false;
        };
        let cluster = agent.cluster();
        let known = cluster
            .node_at(self.hosts[host].sip)
            .and_then(|id| cluster.state(id));
        let open = |other| self.links.open(host, other) && self.links.open(other, host);
        known == Some(NodeState::Alive)
            && self.hosts[host].is_running()
            && open(AGENT)
            && open(CALLEE)
            && open(STORE)
            && !self.links.store_down
    }

    /// Whether the agent may take a node for usable that is not, and nothing tells it so.
    fn has_trap(&self) -> bool {
        (0..self.plan.nodes.len()).any(|n| {
            let host = NODES + n;
            let open = |other| self.links.open(host, other) && self.links.open(other, host);
            let visible = self.links.is_cut(host) || !self.hosts[host].is_running();
            !(visible || open(CALLEE) && open(STORE))
        }) || self.links.store_down
    }

    /// Every call that is up is well, or was disturbed of late.
    pub(in crate::sim) fn look_at_calls(&mut self) {
        self.look_at_orphans();
        let usable = (0..self.plan.nodes.len()).any(|n| self.is_usable(n));
        if usable {
            if self.now.since(self.memory.usable) > Duration::from_millis(150) {
                self.memory.usable_since = self.now;
            }
            self.memory.usable = self.now;
        }
        let halted = self.hosts[AGENT].paused;
        let excused = !usable || self.has_trap() || halted;
        let patience = self.patience();
        let now = self.now;
        // The node that nobody acknowledges gives up after 64*T1 (RFC 3261 13.3.1.4).
        let late = |since: &Time| now > *since + Duration::from_secs(34) + patience;
        let left = |call: &CallNumber| self.memory.cut_short.contains(call);
        let mut twice = self.memory.twice.iter();
        let twice = twice.find(|(call, since)| late(since) && !left(call));
        let twice = twice.map(|(call, _)| *call);
        if let Some(call) = twice {
            self.memory.twice.remove(&call);
        }
        // One that says BYE to nobody tells it only when it gives up.
        if let Some(call) = twice.filter(|call| self.ua(CALLEE).confirmed_dialogs(*call) > 1) {
            self.watch
                .fail(now, Some(call), "two dialogs at the callee for long");
        }
        for index in 0..self.plan.calls.len() {
            let plan = &self.plan.calls[index];
            let number = plan.number;
            let refuses = plan.replaces != ReplacesPolicy::Accept;
            let held = plan
                .steps
                .iter()
                .filter(|step| step.at <= self.now)
                .map(|step| step.at)
                .max();
            let seen = self.watch.call(number).clone();
            if !is_settled(&seen)
                || refuses
                || seen.good_since.is_some()
                || self.is_orphaned(number)
                || self.memory.told.contains(&number)
            {
                continue;
            }
            // A re-INVITE may be lost again and again, ever more slowly.
            let asked = seen.reinvited.values().any(|(_, status)| status.is_none());
            if excused || asked || self.is_unwritten(number) {
                self.memory.calm.insert(number, self.now);
                continue;
            }
            let answered = seen.answered.values().copied().max().unwrap_or(self.now);
            // A re-INVITE may meet another one (491), and is repeated like an INVITE.
            let held = held.map_or(Time::ZERO, |at| at + Duration::from_secs(4));
            let calm = self.memory.calm.get(&number).copied().unwrap_or_default();
            let came = self.memory.usable_since;
            let since = calm.max(answered).max(held).max(came);
            let node = seen.node.and_then(|node| self.node_index(node));
            let parted = self.still_repeated(node);
            let patience = patience + far_end::asked_again(&self.plan.calls[index]) + parted;
            if self.now > since + patience && self.ua(CALLEE).live_dialogs(number) < 2 {
                self.memory.told.insert(number);
                let waited = self.now.since(since);
                let node = seen
                    .node
                    .and_then(|node| self.node_index(node))
                    .map(|n| n + 1);
                let what =
                    format!("media do not flow as they should for {waited:?}, node {node:?}");
                self.watch.fail(self.now, Some(number), what);
            }
        }
    }

    /// An end told something of a call: it has one confirmed dialog at the downstream UA at most;
    /// two for a while where it was placed a second time.
    pub(in crate::sim) fn judge_dialogs(&mut self, call: CallNumber) {
        let up = self.ua(CALLEE).confirmed_dialogs(call);
        if up > 1 && !self.rings_twice(call) {
            let what = format!("{up} confirmed dialogs at the callee");
            self.watch.fail(self.now, Some(call), what);
        }
        let newest = self.ua(CALLEE).newest_dialog(call);
        let newest = newest.map(|dialog| dialog.id.call_id.clone());
        let last = self.memory.last_dialog.get(&call);
        if newest.is_some() && newest.as_ref() != last {
            // What the store never heard of stays there, beside the call that was placed again.
            let lost = self.memory.last_dialog.remove(&call);
            if lost.is_some_and(|lost| !self.memory.written.contains(&lost)) {
                self.memory.cut_short.insert(call);
            }
        }
        if up > 1 {
            self.memory.twice.entry(call).or_insert(self.now);
        } else {
            self.memory.twice.remove(&call);
        }
        let ended = |seen: &Seen| seen.ended.contains_key(&End::Caller);
        if self.watch.seen(call).is_some_and(ended) {
            self.note_torn(call);
        }
    }

    /// Whether the downstream UA may have been called twice for this call.
    pub(in crate::sim) fn rings_twice(&self, call: CallNumber) -> bool {
        self.watch.seen(call).is_some_and(|seen| seen.placed > 1)
    }

    /// Whether a hang-up at the downstream UA may meet another dialog than the one that counts: the
    /// call was being set up when a trouble began or ended.
    pub(in crate::sim) fn is_doubtful(&self, call: CallNumber) -> bool {
        self.memory.disturbed_setup.contains(&call)
    }

    /// The verdict on one call when all is over.
    pub(super) fn judge_storm_end(&mut self, index: usize) {
        let plan = self.plan.calls[index].clone();
        let seen = self.watch.call(plan.number).clone();
        let mut wrong = self.judge_refused(&plan, &seen);
        for end in [End::Caller, End::Callee] {
            let stranded = match end {
                End::Callee => self.is_stranded(plan.number),
                End::Caller => self.is_orphaned(plan.number),
            };
            if seen.answered.contains_key(&end) && !seen.ended.contains_key(&end) && !stranded {
                wrong.push(format!("never ended at the {end:?}"));
            }
        }
        if self.is_orphaned(plan.number) {
            for what in wrong {
                self.watch.fail(self.now, Some(plan.number), what);
            }
            return;
        }
        if seen.told_ended != 1 && !self.had_no_port(&seen) {
            wrong.push(format!("its end was told {} times", seen.told_ended));
        }
        if let Some(what) = self.unexplained(&plan, &seen) {
            wrong.push(what);
        }
        for what in wrong {
            self.watch.fail(self.now, Some(plan.number), what);
        }
    }

    /// Whether the agent refused the call before it was one, since attempts that may still be
    /// answered had the ports.
    fn had_no_port(&self, seen: &Seen) -> bool {
        let refused = seen.ended.get(&End::Caller);
        let refused = refused.is_some_and(|ending| ending.status == 503);
        self.plan.scarce.agent.is_some() && refused && seen.placed == 0 && seen.told_ended == 0
    }

    /// Why a call ended before it was hung up, if nothing explains that.
    fn unexplained(&self, plan: &CallPlan, seen: &Seen) -> Option<String> {
        let hung_up = seen.hung_up.map_or(Time::NEVER, |(at, _)| at);
        let (end, ending) = seen.ended.iter().min_by_key(|(_, ending)| ending.at)?;
        if ending.at >= hung_up || far_end::refuses(plan) {
            return None;
        }
        let met = |trouble: &Trouble| {
            let before = Duration::from_secs(3) + self.plan.network.delay.1 * 4;
            trouble.at <= ending.at && trouble.until() + before >= plan.place
        };
        let troubled = self.plan.troubles.iter().any(met);
        let setup = self.memory.disturbed_setup.contains(&plan.number) || troubled;
        // Its far end refuses Replaces: a node ended it there, which the agent may not have heard.
        let refuses = plan.replaces != ReplacesPolicy::Accept && seen.replaces_sent > 0;
        // What was lost was judged when the agent told.
        let explained = self.is_unknown_to_its_node(*end, ending)
            || seen.lost.is_some()
            || refuses
            || self.is_torn(plan.number)
            || (seen.answered.len() < 2 && setup)
            || self.had_no_port(seen);
        (!explained).then(|| format!("ended at the {end:?} before its hang-up: {ending:?}"))
    }
}

impl World {
    /// Whether the call's node was restarted and does not know it, and the agent could ask nobody to
    /// take it: the far end hears so if it asks just then.
    fn is_unknown_to_its_node(&self, end: End, ending: &Ending) -> bool {
        let blind = |trouble: &Trouble| {
            let own = matches!(trouble.what, What::Unsent(_, None) | What::Unplugged);
            own && trouble.at <= ending.at && ending.at <= trouble.until() + Duration::from_secs(3)
        };
        end == End::Callee && ending.status == 481 && self.plan.troubles.iter().any(blind)
    }
}

/// Whether it is a call whose media can be judged: up at both ends, and nobody has hung up.
fn is_settled(seen: &Seen) -> bool {
    seen.answered.len() == 2 && seen.hung_up.is_none() && seen.ended.is_empty()
}

/// Whether the trouble is a reason to hold the node for dead.
fn condemns(trouble: &Trouble, node: usize) -> bool {
    let some = Party::Node(node);
    let short = trouble.lasts.is_some_and(|lasts| lasts <= BLINK);
    match trouble.what {
        What::Killed(victim) => victim == node,
        What::Cut(victim) => victim == node && !short,
        What::Paused(party) => party == some && !short,
        What::Deaf(one, other) | What::Parted(one, other) => {
            let ends = [one, other];
            ends.contains(&some) && ends.contains(&Party::Agent) && !short
        }
        What::Unsent(None, Some(victim)) => victim == node && !short,
        // D21 counts on: some of the time may have gone by before, where messages get lost.
        What::Unsent(Some(_), Some(victim)) => {
            victim == node && trouble.lasts.is_none_or(|lasts| lasts >= SILENT)
        }
        What::Unsent(_, None) | What::Unplugged => false,
        What::Lossy(..) | What::StoreDown | What::Drained(_) | What::AgentKilled => false,
    }
}
