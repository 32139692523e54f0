//! The shortest story of a failure: what can be left out of a plan while it fails in the same way.

use super::plan::Plan;
use super::run_plan;
use std::time::Duration;

/// The most worlds that are run to shorten one.
const RUNS: u32 = 400;

/// A failure's kind: its words without numbers.
fn kind(what: &str) -> String {
    let what = what.split([':', '{', ',']).next().unwrap_or(what);
    what.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// A shortening under way.
struct Shrink {
    plan: Plan,
    kind: String,
    runs: u32,
}

impl Shrink {
    /// Whether `plan` fails likewise; then it is the one to go on from.
    fn keeps(&mut self, plan: Plan) -> bool {
        if self.runs >= RUNS {
            return false;
        }
        self.runs += 1;
        let outcome = run_plan(&plan, None, false);
        let fails = outcome
            .failures
            .iter()
            .any(|failure| kind(&failure.what) == self.kind);
        if fails {
            self.plan = plan;
        }
        fails
    }

    /// Leaves out as much as can be of a list: halves first, then ever smaller parts.
    fn thin<T: Clone>(&mut self, list: impl Fn(&mut Plan) -> &mut Vec<T>) {
        let mut part = list(&mut self.plan.clone()).len().div_ceil(2);
        while part > 0 {
            let mut from = 0;
            while from < list(&mut self.plan.clone()).len() {
                let mut plan = self.plan.clone();
                let items = list(&mut plan);
                let to = (from + part).min(items.len());
                items.drain(from..to);
                if !self.keeps(plan) {
                    from += part;
                }
            }
            part /= 2;
        }
    }

    fn simplify(&mut self) {
        let changes: [fn(&mut Plan); 6] = [
            |plan| plan.network.loss = 0,
            |plan| plan.network.duplicates = 0,
            |plan| plan.network.rtp_loss = 0,
            |plan| plan.network.rtp_jitter = Duration::ZERO,
            |plan| plan.network.reorder = false,
            |plan| {
                for call in &mut plan.calls {
                    let last = call.hangup();
                    call.steps = vec![last];
                }
            },
        ];
        for change in changes {
            let mut plan = self.plan.clone();
            change(&mut plan);
            self.keeps(plan);
        }
    }
}

/// The shortest plan found that fails as the first failure of `plan` says, and how many worlds
/// were run for it; `None` where `plan` does not fail.
pub fn shrink(plan: &Plan) -> Option<(Plan, u32)> {
    let outcome = run_plan(plan, None, false);
    let mut shrink = Shrink {
        kind: kind(&outcome.failures.first()?.what),
        plan: plan.clone(),
        runs: 1,
    };
    shrink.thin(|plan| &mut plan.troubles);
    shrink.thin(|plan| &mut plan.calls);
    shrink.thin(|plan| &mut plan.documents);
    shrink.simplify();
    shrink.thin(|plan| &mut plan.troubles);
    Some((shrink.plan, shrink.runs))
}
