//! The rules of drawn configurations, beside those of storms: where nothing is wrong nobody is
//! suspected (spec: X50).

use crate::sim::plan::What;
use crate::sim::world::World;
use holdline_agent::core::Event as AgentEvent;
use std::net::SocketAddr;

impl World {
    /// What the agent told.
    pub(super) fn judge_suspicion(&mut self, event: &AgentEvent) {
        let what = match event {
            AgentEvent::NodeSuspect { node, evidence, .. } if !self.is_killed(*node) => {
                format!("{node} is suspected, and nothing is wrong: {evidence}")
            }
            AgentEvent::FailoverWithheld { node, .. } => format!("false verdict on {node}"),
            _ => return,
        };
        self.watch.fail(self.now, None, what);
    }

    fn is_killed(&self, node: SocketAddr) -> bool {
        let index = self.node_index(node);
        let kills = |what: What| matches!(what, What::Killed(n) if Some(n) == index);
        let mut troubles = self.plan.troubles.iter();
        troubles.any(|trouble| trouble.at <= self.now && kills(trouble.what))
    }
}
