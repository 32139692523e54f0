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
            AgentEvent::NodeSuspect {
                node,
                evidence,
                kind,
            } => {
                let silent = *kind == "media_silent" && self.is_hanging_up(*node);
                if silent || self.is_killed(*node) {
                    return;
                }
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

    /// Whether a call of the node was hung up and has not ended: its media have, and the silence is asked
    /// about.
    fn is_hanging_up(&self, node: SocketAddr) -> bool {
        let mut calls = self.watch.calls();
        calls.any(|(_, seen)| {
            seen.node == Some(node) && seen.hung_up.is_some() && seen.told_ended == 0
        })
    }
}
