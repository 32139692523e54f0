//! Orphans of calls that have no caller any more: a node is told, so that they end at the far end
//! too (spec: X26, X27). It may die before it has heard: then another one is told.

use crate::cluster::NodeId;
use crate::core::env::Env;
use crate::core::event::Event;
use crate::core::keys::Owner;
use crate::core::untold::{Orphans, Told};
use holdline_wire::build::Builder;
use holdline_wire::header::Name;
use holdline_wire::{Method, Time};

/// Calls whose orphans wait for a node at most; beyond it the oldest are forgotten, since they ring
/// the shortest from now on (timer C, RFC 3261 16.6).
const WAITING_MAX: usize = 10_000;

impl Env {
    /// A node is usable: it hears of the orphans that nobody could be told of.
    pub fn tell_untold(&mut self, now: Time) {
        for orphans in std::mem::take(&mut self.telling.waiting) {
            self.tell(now, orphans, Vec::new());
        }
    }

    /// A call is over of which attempts died with their nodes.
    pub fn tell_orphans(&mut self, now: Time, orphans: Orphans) {
        if !orphans.is_empty() {
            self.tell(now, orphans, Vec::new());
        }
    }

    fn tell(&mut self, now: Time, orphans: Orphans, mut tried: Vec<NodeId>) {
        let chosen = self.cluster.listener(now, &mut self.tokens, &tried);
        let node = chosen.and_then(|node| Some((node, self.cluster.address(node)?)));
        let Some((node, address)) = node else {
            return self.let_wait(orphans);
        };
        let flow = self.flow(address);
        let (branch, tag) = (self.tokens.branch(), self.tokens.tag());
        let mut options = Builder::request(&Method::Options, &format!("sip:{address}"))
            .via(&flow, &branch)
            .header(Name::MaxForwards, 1)
            .header(Name::From, format_args!("{};tag={tag}", self.stamp.contact))
            .header(Name::To, format_args!("<sip:{address}>"))
            .header(Name::CallId, self.tokens.call_id())
            .header(Name::CSeq, "1 OPTIONS")
            .header(Name::InstanceAgent, &self.settings.agent);
        for (name, value) in &orphans {
            options = options.header(*name, value);
        }
        // Too long for a message: nobody can be told.
        let Ok(bytes) = options.finish(None) else {
            return;
        };
        self.telling.next += 1;
        let number = self.telling.next;
        let owner = Owner::Told(number);
        let client = self.layer.request(now, flow, bytes, owner, None);
        tried.push(node);
        let told = Told {
            node,
            client,
            orphans,
            tried,
        };
        self.telling.told.insert(number, told);
    }

    fn let_wait(&mut self, orphans: Orphans) {
        if self.telling.waiting.len() >= WAITING_MAX {
            self.telling.waiting.pop_front();
            let what = "orphans that no node could be told of";
            self.event(Event::Forgotten { what });
        }
        self.telling.waiting.push_back(orphans);
    }

    /// What a node said to it; 408 where it said nothing in its time.
    pub fn told_answered(&mut self, now: Time, number: u64, status: u16) {
        if status < 200 {
            return;
        }
        if let Some(told) = self.telling.told.remove(&number)
            && (status == 408 || status >= 500)
        {
            self.tell(now, told.orphans, told.tried);
        }
    }

    /// `node` died, or is a new process: whether it had heard is not known.
    pub fn tell_others(&mut self, now: Time, node: NodeId) {
        let told = self.telling.told.iter();
        let there = told.filter(|(_, told)| told.node == node);
        for number in there.map(|(&number, _)| number).collect::<Vec<_>>() {
            if let Some(told) = self.telling.told.remove(&number) {
                self.layer.abandon(told.client);
                self.tell(now, told.orphans, told.tried);
            }
        }
    }
}
