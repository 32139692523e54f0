//! A death and the moments around it, in milliseconds from it on.

use crate::failure::Error;
use crate::rig::{AgentStatus, FailoverStatus, Rig};
use std::time::SystemTime;

/// A fault and what became of it.
pub struct Death {
    /// When it was caused.
    pub at: SystemTime,
    /// The agent once the listening was over.
    pub status: AgentStatus,
    /// The agent's story of it.
    pub failover: FailoverStatus,
}

impl Death {
    /// The death of `node` at `at`, as `status` tells of it.
    pub fn of(rig: &Rig, node: usize, at: SystemTime, status: AgentStatus) -> Result<Death, Error> {
        let address = Some(rig.block.node_sip(node));
        let mut failovers = status.failovers.iter().rev();
        let failover = failovers.find(|failover| failover.node == address).cloned();
        let failover = failover.ok_or("the agent tells of no failover")?;
        Ok(Death {
            at,
            status,
            failover,
        })
    }

    /// Milliseconds from the death to a moment of the agent's.
    pub fn until(&self, agents: f64) -> f64 {
        signed_ms(self.at, self.status.calendar(agents))
    }
}

/// Milliseconds from `start` to `at`, negative where it was before.
pub(super) fn signed_ms(start: SystemTime, at: SystemTime) -> f64 {
    match at.duration_since(start) {
        Ok(after) => after.as_secs_f64() * 1e3,
        Err(before) => -before.duration().as_secs_f64() * 1e3,
    }
}
