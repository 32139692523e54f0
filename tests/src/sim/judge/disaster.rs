//! The rules of the first campaign: what must hold at the death, two seconds after it, before each
//! hang-up, and at the end.

use crate::sim::host::{CALLEE, NODES};
use crate::sim::plan::{Act, CallPlan, Disaster, End, Step};
use crate::sim::watch::Watch;
use crate::sim::world::World;
use crate::ua::By;
use holdline_agent::core::Event as AgentEvent;
use holdline_wire::Time;
use std::time::Duration;

/// A hold or its end is done after this long, whatever was lost on the way.
const HOLD_DONE: Duration = Duration::from_millis(2400);

impl World {
    /// The node dies: which calls are on it.
    pub(in crate::sim) fn mark_affected(&mut self, disaster: Disaster) {
        let victim = self.hosts[NODES + disaster.node].sip;
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
    pub(in crate::sim) fn judge_recovery(&mut self, death: Time) {
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
    pub(in crate::sim) fn judge_before(&mut self, death: Time, index: usize, step: Step) {
        let now = self.now;
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

    /// What the agent told: only the node that the seed kills may be condemned, and no message
    /// be ignored.
    pub(in crate::sim) fn judge_verdict(&mut self, disaster: Disaster, event: &AgentEvent) {
        let what = match event {
            AgentEvent::NodeGone { node, .. } | AgentEvent::FailoverStarted { node, .. } => {
                let victim = self.hosts[NODES + disaster.node].sip;
                if *node == victim && self.now >= disaster.at {
                    return;
                }
                format!("false verdict on {node}")
            }
            AgentEvent::Ignored { from, why } => {
                format!("agent ignored a message of {from}: {why:?}")
            }
            _ => return,
        };
        self.watch.fail(self.now, None, what);
    }

    /// The verdict on one call when all is over.
    pub(super) fn judge_end(&mut self, index: usize, death: Time) {
        let plan = self.plan.calls[index].clone();
        self.watch.judge_end(self.now, &plan, death);
        let seen = self.watch.call(plan.number).clone();
        let replaced = self.ua(CALLEE).counts(plan.number).replaces_accepted;
        // Where the answers of the first new node are all lost, another attempt moves the call on from
        // where that had brought it (spec: X24).
        let lossy = self.plan.network.loss > 0;
        let unheard = lossy && seen.on_victim && seen.replaces_sent > 1;
        if replaced > u32::from(seen.on_victim) + u32::from(unheard) {
            let what = format!("replaced {replaced} times at the callee");
            self.watch.fail(self.now, Some(plan.number), what);
        }
    }

    /// The time from the death to media both ways, for each call that moved; sorted.
    pub(super) fn recoveries_since(&self, death: Time) -> Vec<Duration> {
        let affected = self.watch.calls().filter(|(_, seen)| seen.affected);
        let mut times: Vec<Duration> = affected
            .filter_map(|(_, seen)| Some(seen.recovered?.since(death)))
            .collect();
        times.sort_unstable();
        times
    }
}

impl Watch {
    /// The verdict on one call when all is over.
    fn judge_end(&mut self, at: Time, plan: &CallPlan, death: Time) {
        let number = plan.number;
        let seen = self.call(number).clone();
        let mut wrong = Vec::new();
        let hangup = plan.hangup();
        let moving = hangup.at + ms(100) >= death && hangup.at <= death + ms(3000);
        let Some((hung_up_at, by)) = seen.hung_up else {
            return self.fail(at, Some(number), "never came to its hang-up");
        };
        for end in [End::Caller, End::Callee] {
            let Some(ending) = seen.ended.get(&end) else {
                if seen.answered.contains_key(&end) {
                    wrong.push(format!("never ended at the {end:?}"));
                }
                continue;
            };
            if ending.at < hung_up_at {
                wrong.push(format!(
                    "ended at the {end:?} before its hang-up: {ending:?}"
                ));
            }
            let expected = if end == by { By::Local } else { By::Peer };
            if !moving && ending.by != expected {
                wrong.push(format!(
                    "ended at the {end:?} by {:?}: {ending:?}",
                    ending.by
                ));
            }
            if !moving && end == by && ending.status != 200 {
                wrong.push(format!("hang-up answered with {}", ending.status));
            }
        }
        if !moving && seen.answered.len() != 2 {
            wrong.push("was not answered at both ends".to_owned());
        }
        if let Some(status) = seen.lost
            && !moving
        {
            wrong.push(format!("lost, last refusal {status}"));
        }
        if seen.told_ended != 1 {
            wrong.push(format!("its end was told {} times", seen.told_ended));
        }
        if seen.affected && !moving && seen.moved != 1 {
            wrong.push(format!("moved {} times", seen.moved));
        }
        if !seen.on_victim && (seen.moved > 0 || seen.replaces_sent > 0) {
            wrong.push("was on another node, but was moved".to_owned());
        }
        for what in wrong {
            self.fail(at, Some(number), what);
        }
    }
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}
