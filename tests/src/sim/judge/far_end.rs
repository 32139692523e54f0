//! What the rules say of a far end that refuses by itself (spec: X53): a new call is refused by its
//! word alone, and a move that it has no room for is asked for again.

use crate::sim::host::CALLEE;
use crate::sim::plan::{CallPlan, End};
use crate::sim::watch::Seen;
use crate::sim::world::World;
use crate::ua::By;
use std::time::Duration;

/// How much longer a move may take that the far end refuses once: the pause before it is asked
/// again, and the messages of that.
const ASKED_AGAIN: Duration = Duration::from_secs(3);

/// Whether the callee refuses the call when it is placed.
pub(super) fn refuses(plan: &CallPlan) -> bool {
    plan.refusing.is_some_and(|refusing| !refusing.replaces)
}

/// How much longer than others the call may take to recover.
pub(super) fn asked_again(plan: &CallPlan) -> Duration {
    match plan.refusing {
        Some(refusing) if refusing.replaces => ASKED_AGAIN,
        _ => Duration::ZERO,
    }
}

impl World {
    /// What is wrong with a call that the callee refused: it was asked once, and what it said was
    /// told. Not judged where a trouble met the call while it was set up.
    pub(super) fn judge_refused(&self, plan: &CallPlan, seen: &Seen) -> Vec<String> {
        let mut wrong = Vec::new();
        let Some(refusing) = plan.refusing.filter(|_| refuses(plan)) else {
            return wrong;
        };
        if self.is_doubtful(plan.number) {
            return wrong;
        }
        let asked = self.ua(CALLEE).counts(plan.number).invites_received;
        // A call that meets another socket's port is placed again with other ports.
        let again = asked > 1 && self.plan.scarce.foreign.is_some();
        if asked != 1 && !again {
            wrong.push(format!("the callee, who refuses, was asked {asked} times"));
        }
        let told = match refusing.status {
            503 => 500,
            status => status,
        };
        match seen.ended.get(&End::Caller) {
            Some(ending) if ending.by == By::Peer && ending.status == told => {}
            ending => wrong.push(format!("refused with {told}, but told {ending:?}")),
        }
        wrong
    }
}
