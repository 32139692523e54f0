//! What must hold at the death, two seconds after it, before each hang-up, and at the end.

use super::host::Core;
use super::plan::{Act, End, Step};
use super::transcript::call_in;
use super::world::{AGENT, CALLEE, CALLER, World};
use b2bua_node::store::Store;
use holdline_wire::Time;
use std::net::SocketAddr;
use std::time::Duration;

/// A hold or its end is done after this long, whatever was lost on the way.
const HOLD_DONE: Duration = Duration::from_millis(2400);

impl World {
    /// The node at `victim` dies: which calls are on it.
    pub(super) fn mark_affected(&mut self, victim: SocketAddr) {
        for index in 0..self.plan.calls.len() {
            let number = self.plan.calls[index].number;
            let seen = self.watch.call(number);
            seen.on_victim = seen.node == Some(victim);
            seen.affected = seen.on_victim
                && seen.answered.len() == 2
                && seen.ended.is_empty()
                && seen.hung_up.is_none();
        }
    }

    /// Two seconds after the death (spec: D1, D5).
    pub(super) fn judge_recovery(&mut self) {
        let death = self.plan.disaster.at;
        let near = |at: Time| at + HOLD_DONE >= death && at <= self.now;
        for index in 0..self.plan.calls.len() {
            let plan = &self.plan.calls[index];
            let number = plan.number;
            let busy = plan.steps.iter().any(|step| near(step.at));
            let seen = self.watch.call(number);
            let up = seen.answered.len() == 2 && seen.hung_up.is_none();
            let settled = seen.answered.values().all(|at| *at + HOLD_DONE < self.now);
            if !up || busy || !settled || seen.good_since.is_some() {
                continue;
            }
            let what = if seen.affected {
                "media do not flow again 2 s after the death"
            } else {
                "media do not flow though its node lives"
            };
            self.watch.fail(self.now, Some(number), what);
        }
    }

    /// Before a step: what came before it must have worked.
    pub(super) fn judge_before(&mut self, index: usize, step: Step) {
        let (now, death) = (self.now, self.plan.disaster.at);
        let number = self.plan.calls[index].number;
        let moving = now >= death && now <= death + Duration::from_millis(2500);
        let seen = self.watch.call(number).clone();
        let fresh = |at: &Time| *at + HOLD_DONE > now;
        let busy = seen.answered.len() < 2
            || seen.answered.values().any(fresh)
            || seen.reinvited.values().any(|(at, _)| fresh(at));
        if moving || busy {
            return;
        }
        if seen.good_since.is_none() {
            let what = format!("media are wrong before {:?} {:?}", step.by, step.act);
            self.watch.fail(now, Some(number), what);
        }
        for (end, (at, status)) in &seen.reinvited {
            // One that met the death may be answered with a refusal by a survivor; the media
            // above tell whether it was done.
            let disturbed = *at + HOLD_DONE >= death && *at <= death + Duration::from_secs(2);
            if *status != Some(200) && !disturbed {
                let what = format!("re-INVITE of the {end:?} at {at:?} ended with {status:?}");
                self.watch.fail(now, Some(number), what);
            }
        }
        if step.act == Act::Hangup && now > death {
            let live = self.ua(CALLEE).live_dialogs(number);
            if live != 1 {
                let what = format!("{live} dialogs at the callee before the hang-up");
                self.watch.fail(now, Some(number), what);
            }
        }
    }

    /// When all is over: every call explained, every table empty.
    pub(super) fn judge(&mut self) {
        let (now, death) = (self.now, self.plan.disaster.at);
        for index in 0..self.plan.calls.len() {
            let plan = self.plan.calls[index].clone();
            self.watch.judge_end(now, &plan, death);
            self.judge_counts(index);
        }
        for host in 0..self.hosts.len() {
            self.judge_tables(host);
        }
        // The sweep of rows whose time is over comes with a batch.
        let later = super::world::EPOCH + now.since(Time::ZERO) + Duration::from_secs(61);
        let _ = self.store.perform(later, &[]);
        let live: Vec<_> = self
            .store
            .records()
            .map(|record| call_in(format!("{record:?}").as_bytes()))
            .collect();
        for call in live {
            self.watch
                .fail(now, call, "its row is still live in the store");
        }
        if self.store.rows() > 0 {
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
        if near.answers_changed + far.answers_changed > 0 {
            wrong.push("an answer changed".to_owned());
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
        if far.duplicate_calls > 0 {
            wrong.push(format!(
                "{} second calls at the callee",
                far.duplicate_calls
            ));
        }
        if far.replaces_of_other_call > 0 {
            wrong.push("Replaces named another call's dialog".to_owned());
        }
        if far.replaces_accepted > u32::from(seen.on_victim) {
            wrong.push(format!(
                "replaced {} times at the callee",
                far.replaces_accepted
            ));
        }
        for what in wrong {
            self.watch.fail(self.now, Some(number), what);
        }
    }

    fn judge_tables(&mut self, host: usize) {
        let (now, found) = (self.now, &self.hosts[host]);
        if host != AGENT && (found.cut || found.paused) {
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
                ("calls", ua.calls().count()),
                ("ports", 0),
                ("client transactions", usize::from(!ua.is_idle())),
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

    /// What a node told.
    pub(super) fn heard_node(&mut self, host: usize, event: &b2bua_node::core::Event) {
        use b2bua_node::core::Event::{
            BindFailed, Garbage, Malformed, Overloaded, ParkingFull, StoreDown, Uncarried,
            UnknownSource,
        };
        let fault = matches!(self.plan.store_fault, super::plan::StoreFault::Down(..));
        let bad = match event {
            BindFailed { .. } | Garbage(_) | ParkingFull | Uncarried { .. } => true,
            UnknownSource(_) | Malformed(_) | Overloaded(_) => true,
            StoreDown => !fault && !self.hosts[host].cut,
            _ => false,
        };
        if bad {
            let what = format!("{}: {event:?}", self.hosts[host].name);
            self.watch.fail(self.now, None, what);
        }
    }

    /// The time from the death to media both ways, for each call that moved; sorted.
    pub fn recoveries(&self) -> Vec<Duration> {
        let death = self.plan.disaster.at;
        let affected = self.watch.calls().filter(|(_, seen)| seen.affected);
        let mut times: Vec<Duration> = affected
            .filter_map(|(_, seen)| Some(seen.recovered?.since(death)))
            .collect();
        times.sort_unstable();
        times
    }
}
