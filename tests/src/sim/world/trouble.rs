//! Troubles begin and end: links close, processes die, stand still and go on.

use super::{World, build};
use crate::sim::host::{AGENT, Core, HostId, Item, NODES};
use crate::sim::network::{Links, host_of};
use crate::sim::plan::{Document, Party, Rules, What};
use b2bua_node::core::Operator;

impl World {
    pub(super) fn begin(&mut self, index: usize) {
        let what = self.plan.troubles[index].what;
        self.note(None, &format!("trouble: {what:?}"));
        if let Rules::Disaster(disaster) = self.plan.rules
            && index == 0
        {
            self.mark_affected(disaster);
        }
        self.active.insert(index);
        self.change(what);
        self.disturb(what);
        if let What::Drained(node) = what {
            self.tell_operator(node, Operator::Drain);
        }
        if let What::Killed(node) = what {
            let victim = NODES + node;
            self.note_cut_short(victim);
            self.hosts[victim].kill();
            self.relays.close_all(victim);
            self.samples.forget(victim);
        }
        if what == What::AgentKilled {
            self.note_orphans();
            self.hosts[AGENT].kill();
            self.relays.close_all(AGENT);
            self.samples.forget(AGENT);
        }
    }

    pub(super) fn finish(&mut self, index: usize) {
        let what = self.plan.troubles[index].what;
        self.note(None, &format!("no longer: {what:?}"));
        self.active.remove(&index);
        self.change(what);
        self.disturb(what);
        match what {
            What::Killed(node) if !self.is_active(what) => {
                let host = NODES + node;
                let core = self.node_core(node, self.hosts[host].run);
                self.hosts[host].core = Some(Core::Node(Box::new(core)));
                self.wake(host);
            }
            What::Drained(node) if !self.is_active(what) => {
                self.tell_operator(node, Operator::Resume);
            }
            What::AgentKilled if !self.is_active(what) => self.restart_agent(),
            What::Paused(party) if !self.is_active(what) => self.resume(host_of(party)),
            _ => {}
        }
    }

    fn tell_operator(&mut self, node: usize, wish: Operator) {
        let input = b2bua_node::core::In::Operator(wish);
        self.give(NODES + node, Item::Node(input));
    }

    /// Closes and opens what has to be, and stops who has to stand still.
    fn change(&mut self, what: What) {
        self.dirty = true;
        let active = self.active.iter();
        self.links = Links::of(active.map(|&index| self.plan.troubles[index].what));
        if let What::Paused(party) = what {
            let paused = self.is_active(what);
            self.hosts[host_of(party)].paused = paused;
            if paused && party == Party::Agent {
                self.stopped = self.now;
            }
        }
    }

    /// A new process of the agent: it knows the trunk, and no call.
    fn restart_agent(&mut self) {
        let (sip, run) = (self.hosts[AGENT].sip, self.hosts[AGENT].run);
        let core = build::agent(&self.plan, sip, run);
        self.hosts[AGENT].core = Some(Core::Agent(Box::new(core)));
        self.hosts[AGENT].paused = self.quiet;
        self.ticked = self.now;
        self.document(&Document::default());
        self.wake(AGENT);
    }

    fn is_active(&self, what: What) -> bool {
        let mut active = self.active.iter();
        active.any(|&index| self.plan.troubles[index].what == what)
    }

    /// The process goes on. The agent is told first how late its loop is, as its driver does it,
    /// then takes in what waits.
    fn resume(&mut self, host: HostId) {
        if self.quiet {
            self.hosts[AGENT].paused = true;
        }
        if host == AGENT && !self.quiet {
            let late = self.now.since(self.stopped);
            let late = Item::Agent(holdline_agent::core::In::LoopLate(late));
            self.hosts[AGENT].handle(self.now, late);
            self.drain(AGENT);
            self.report_tick();
        }
        self.wake(host);
    }
}
