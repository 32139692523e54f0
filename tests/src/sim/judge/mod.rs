//! What must hold at the end of every world, and what no program may tell at any time. The rest is
//! in the rules: [`disaster`] and [`storm`].

mod configured;
mod disaster;
mod excuses;
mod far_end;
mod memory;
mod patience;
mod storm;

pub(super) use memory::Memory;
pub(super) use storm::LOOK;

use super::host::{AGENT, CALLEE, CALLER, Core, HostId, NODES};
use super::network::host_of;
use super::plan::{End, Party, Rules, What};
use super::transcript::call_in;
use super::watch::Seen;
use super::world::{EPOCH, World};
use crate::ua::CallNumber;
use b2bua_node::store::Store;
use holdline_agent::core::Event as AgentEvent;
use holdline_wire::Time;
use std::time::Duration;

impl World {
    /// When all is over: every call explained, every table empty.
    pub(super) fn judge(&mut self) {
        let now = self.now;
        for index in 0..self.plan.calls.len() {
            match self.plan.rules {
                Rules::Disaster(disaster) => self.judge_end(index, disaster.at),
                Rules::Storm => self.judge_storm_end(index),
            }
            self.judge_counts(index);
        }
        self.judge_far_end();
        for host in 0..self.hosts.len() {
            self.judge_tables(host);
        }
        // The sweep of rows whose time is over comes with a batch.
        let later = EPOCH + now.since(Time::ZERO) + Duration::from_secs(61);
        let _ = self.store.perform(later, &[]);
        let live: Vec<_> = self
            .store
            .records()
            .map(|record| call_in(&record.local))
            .collect();
        let stranded = |call: &Option<CallNumber>| {
            call.is_some_and(|call| self.is_stranded(call) || self.may_leave_row(call))
        };
        let left = live.iter().filter(|call| !stranded(call));
        for call in left.copied().collect::<Vec<_>>() {
            self.watch
                .fail(now, call, "its row is still live in the store");
        }
        if self.store.rows() > live.len() {
            self.watch.fail(
                now,
                None,
                format!("{} rows in the store", self.store.rows()),
            );
        }
        let failures = self.watch.failures.clone();
        for failure in failures {
            let head = format!("FAILURE: {}", failure.what);
            self.transcript
                .note(failure.at, failure.call, &head, b"", |_| String::new());
        }
    }

    /// The downstream UA was asked for no more at a time than it bears, and no call ended because
    /// its old dialog was ended too early (spec: X57, X28).
    fn judge_far_end(&mut self) {
        let (now, far_end) = (self.now, self.ua(CALLEE));
        let most = far_end.most_replacing();
        // A hang-up of the calling server may meet the move.
        let ended_first = |seen: &Seen| {
            let end = seen.ended.values().map(|ending| ending.at).min();
            let hung_up = seen.hung_up.map_or(Time::NEVER, |(at, _)| at);
            end.is_some_and(|end| end < hung_up)
        };
        let calls = self.plan.calls.iter().map(|call| call.number);
        let early = calls.filter(|call| self.watch.seen(*call).is_some_and(ended_first));
        let early: u32 = early.map(|call| far_end.counts(call).byes_too_early).sum();
        let bound = self.plan.far_end.freezes_beyond.unwrap_or(usize::MAX);
        if most > bound {
            let what = format!("the downstream UA had {most} INVITEs with Replaces at a time");
            self.watch.fail(now, None, what);
        }
        if early > 0 {
            let what = format!("{early} BYEs came before the downstream UA had moved the call");
            self.watch.fail(now, None, what);
        }
    }

    fn judge_counts(&mut self, index: usize) {
        let number = self.plan.calls[index].number;
        let seen = self.watch.call(number).clone();
        let (near, far) = (
            self.ua(CALLER).counts(number),
            self.ua(CALLEE).counts(number),
        );
        let asked = |end: End| seen.asked.get(&end).copied().unwrap_or(0);
        let mut wrong = Vec::new();
        // X29: the calling server notices nothing of a move.
        if near.reinvites_received > 0 && asked(End::Callee) == 0 {
            wrong.push(format!(
                "the calling server saw {} re-INVITEs",
                near.reinvites_received
            ));
        }
        if near.updates_received + far.updates_received > 0 {
            wrong.push("an UPDATE came".to_owned());
        }
        if near.answers_changed > 0 {
            wrong.push("an answer changed at the calling server".to_owned());
        }
        if far.answers_changed > 0 {
            wrong.push("an answer changed at the callee".to_owned());
        }
        if near.extra_to_tags > 0 {
            wrong.push("a second To tag at the calling server".to_owned());
        }
        if near.strays > 0 {
            wrong.push(format!(
                "{} stray messages at the calling server",
                near.strays
            ));
        }
        let rings_twice = self.rings_twice(number);
        if far.duplicate_calls > 0 && !rings_twice {
            wrong.push(format!(
                "{} second calls at the callee",
                far.duplicate_calls
            ));
        }
        if far.replaces_of_other_call > 0 {
            wrong.push("Replaces named another call's dialog".to_owned());
        }
        for what in wrong {
            self.watch.fail(self.now, Some(number), what);
        }
    }

    fn judge_tables(&mut self, host: usize) {
        let (now, found) = (self.now, &self.hosts[host]);
        if host != AGENT && (found.paused || self.links.is_cut(host)) {
            return;
        }
        let streams = self.relays.count(host);
        let left = match &found.core {
            None => return,
            Some(Core::Agent(core)) => [
                ("calls", core.live_calls()),
                ("ports", core.ports_in_use()),
                ("client transactions", core.transactions().0),
                ("server transactions", core.transactions().1),
                ("dialogs", core.dialogs()),
                ("streams", streams),
            ],
            Some(Core::Node(core)) => [
                ("calls", core.live_calls()),
                ("ports", core.ports_in_use()),
                ("client transactions", core.transactions().0),
                ("server transactions", core.transactions().1),
                ("dialogs", core.dialogs() + core.store_waiting()),
                ("streams", streams),
            ],
            Some(Core::Ua(ua)) => [
                (
                    "calls",
                    ua.calls().filter(|call| !self.is_left(host, *call)).count(),
                ),
                ("ports", 0),
                (
                    "client transactions",
                    usize::from(!ua.is_idle() && !self.has_left(host)),
                ),
                ("server transactions", 0),
                ("dialogs", 0),
                ("streams", 0),
            ],
        };
        let name = found.name.clone();
        for (what, count) in left {
            if count > 0 {
                self.watch
                    .fail(now, None, format!("{name}: {count} {what} left"));
            }
        }
    }

    /// What the agent told.
    pub(super) fn heard_agent(&mut self, event: &AgentEvent) {
        let broken = self
            .plan
            .documents
            .iter()
            .any(|(_, document)| document.broken);
        self.watch.heard_agent(self.now, event, broken);
        if self.plan.configured.is_some() {
            self.judge_suspicion(event);
        }
        if let AgentEvent::PortRefused { local, .. } = event
            && !self.relays.is_foreign(*local)
        {
            let what = format!("agent could not open {local}");
            self.watch.fail(self.now, None, what);
        }
        match self.plan.rules {
            Rules::Disaster(disaster) => self.judge_verdict(disaster, event),
            Rules::Storm => self.storm_heard_agent(event),
        }
    }

    /// What a node told.
    pub(super) fn heard_node(&mut self, host: usize, event: &b2bua_node::core::Event) {
        use b2bua_node::core::Event::{BindFailed, Ignored, ParkingFull, StoreDown, Uncarried};
        let troubled = |what: What| what == What::StoreDown || parts_from_store(what, host);
        let fault = self
            .plan
            .troubles
            .iter()
            .any(|trouble| troubled(trouble.what));
        let bad = match event {
            BindFailed { local, .. } => !self.relays.is_foreign(*local),
            Ignored { .. } | ParkingFull | Uncarried { .. } => true,
            StoreDown => !fault,
            _ => false,
        };
        if bad {
            let what = format!("{}: {event:?}", self.hosts[host].name);
            self.watch.fail(self.now, None, what);
        }
    }

    /// The time from the death to media both ways, for each call that moved; sorted.
    pub fn recoveries(&self) -> Vec<Duration> {
        match self.plan.rules {
            Rules::Disaster(disaster) => self.recoveries_since(disaster.at),
            Rules::Storm => Vec::new(),
        }
    }
}

/// Whether this is a reason for the node on `host` to miss the store.
fn parts_from_store(what: What, host: HostId) -> bool {
    match what {
        What::Cut(node) => NODES + node == host,
        What::Deaf(one, other) | What::Parted(one, other) | What::Lossy(one, other, _) => {
            let node = if one == Party::Store { other } else { one };
            (one == Party::Store || other == Party::Store) && host_of(node) == host
        }
        What::Paused(party) => host_of(party) == host,
        What::Killed(_) | What::AgentKilled | What::StoreDown | What::Drained(_) => false,
        What::Unsent(..) | What::Unplugged => false,
    }
}
