//! What a rig reads of the agent's `/status`.

use serde::Deserialize;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

/// The agent at a moment. Times are seconds since its start.
#[derive(Clone, Debug, Deserialize)]
pub struct AgentStatus {
    /// That start, since 1970.
    pub started_at_unix: f64,
    /// The trunk and its nodes.
    pub trunk: Trunk,
    /// Live calls.
    pub calls: usize,
    /// Of them on the move.
    pub moving: usize,
    /// Requests that got no answer.
    pub ignored: u64,
    /// The last failovers, the newest last.
    pub failovers: Vec<FailoverStatus>,
}

/// The trunk.
#[derive(Clone, Debug, Deserialize)]
pub struct Trunk {
    /// Its nodes.
    pub nodes: Vec<NodeStatus>,
    /// How many different stores they name.
    pub stores: usize,
}

/// A node.
#[derive(Clone, Debug, Deserialize)]
pub struct NodeStatus {
    /// Its SIP address.
    pub address: SocketAddr,
    /// `alive`, `dead` ...
    pub state: String,
    /// Live calls.
    pub calls: usize,
    /// Deaths of late.
    pub flaps: u32,
    /// The store that it names.
    pub store: Option<StoreStatus>,
}

/// A node's store.
#[derive(Clone, Debug, Deserialize)]
pub struct StoreStatus {
    /// Its identity.
    pub id: String,
    /// Whether it works.
    pub up: bool,
}

/// A failover.
#[derive(Clone, Debug, Deserialize)]
pub struct FailoverStatus {
    /// The node whose calls moved.
    pub node: Option<SocketAddr>,
    /// Why; nothing where it had restarted.
    pub verdict: Option<Verdict>,
    /// When it was decided.
    pub decided_at: f64,
    /// Calls that had to move.
    pub calls: usize,
    /// Of them moved.
    pub moved: usize,
    /// Lost.
    pub lost: usize,
    /// When the first INVITE left.
    pub first_invite_at: Option<f64>,
    /// When the first new node gave a media address.
    pub first_media_at: Option<f64>,
    /// When the first call was answered by its new node.
    pub first_moved_at: Option<f64>,
    /// When the last one was.
    pub last_moved_at: Option<f64>,
}

/// Why a node was held for dead.
#[derive(Clone, Debug, Deserialize)]
pub struct Verdict {
    /// When the suspicion rose.
    pub suspected_at: f64,
    /// What led to it, in its order.
    pub evidence: Vec<Evidence>,
}

/// A piece of it.
#[derive(Clone, Debug, Deserialize)]
pub struct Evidence {
    /// When it was noticed.
    pub at: f64,
    /// What it was.
    pub what: String,
}

impl AgentStatus {
    /// A moment of the agent's by the calendar.
    pub fn calendar(&self, at: f64) -> SystemTime {
        let seconds = (self.started_at_unix + at).max(0.0);
        SystemTime::UNIX_EPOCH + Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }
}
