//! What `/status` shows: the trunk, its nodes, calls and the last failovers.

use crate::cluster::{ClusterStatus, VerdictStatus};
use crate::core::AgentCore;
use crate::core::event::Steps;
use crate::core::story::Failover;
use holdline_wire::Time;
use serde::Serialize;
use std::net::SocketAddr;
use std::time::Duration;

/// The agent at a moment. Times are seconds since its start.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// When it was made.
    pub at: f64,
    /// The trunk and its nodes.
    pub trunk: ClusterStatus,
    /// Live calls.
    pub calls: usize,
    /// Of them, calls on the move.
    pub moving: usize,
    /// Media port pairs in use, and configured.
    pub ports: (usize, usize),
    /// Client and server transactions.
    pub transactions: (usize, usize),
    /// Requests that got no answer (spec: X40).
    pub ignored: u64,
    /// Whether new calls are refused.
    pub draining: bool,
    /// Whether verdicts move no call (spec: X21).
    pub dry_run: bool,
    /// Whether a node is there for new calls.
    pub ready: bool,
    /// The last failovers, the newest last.
    pub failovers: Vec<FailoverStatus>,
}

/// A failover's story.
#[derive(Clone, Debug, Serialize)]
pub struct FailoverStatus {
    /// Its number in logs and metrics.
    pub id: u64,
    /// The node that died.
    pub node: Option<SocketAddr>,
    /// Why; nothing where the node had restarted (spec: X39).
    pub verdict: Option<VerdictStatus>,
    /// When it was decided.
    pub decided_at: f64,
    /// Nothing moved: it was a dry run (spec: X21).
    pub dry_run: bool,
    /// Calls that had to move.
    pub calls: usize,
    /// Of them moved.
    pub moved: usize,
    /// Lost.
    pub lost: usize,
    /// Hung up before they had moved.
    pub ended: usize,
    /// When the first INVITE to a new node left.
    pub first_invite_at: Option<f64>,
    /// When the first new node gave a media address.
    pub first_media_at: Option<f64>,
    /// When the first call was answered by its new node.
    pub first_moved_at: Option<f64>,
    /// When the last one was.
    pub last_moved_at: Option<f64>,
    /// The same, in ms after the verdict.
    pub steps_ms: StepsStatus,
}

/// How long after the verdict the steps of a failover came, ms.
#[derive(Clone, Debug, Serialize)]
pub struct StepsStatus {
    /// The first INVITE to a new node left.
    pub first_invite: Option<f64>,
    /// The first new node gave a media address.
    pub first_media: Option<f64>,
    /// The first call was answered by its new node.
    pub first_moved: Option<f64>,
    /// The last one was.
    pub last_moved: Option<f64>,
}

impl From<Steps> for StepsStatus {
    fn from(steps: Steps) -> StepsStatus {
        let ms = |after: Option<Duration>| after.map(|after| after.as_secs_f64() * 1e3);
        StepsStatus {
            first_invite: ms(steps.first_invite),
            first_media: ms(steps.first_media),
            first_moved: ms(steps.first_moved),
            last_moved: ms(steps.last_moved),
        }
    }
}

impl AgentCore {
    /// What `/status` shows.
    pub fn status(&self, now: Time) -> Status {
        Status {
            at: now.as_secs_f64(),
            trunk: self.env.cluster.snapshot(now),
            calls: self.calls.len(),
            moving: self.failovers.moving(),
            ports: self.env.streams.ports.usage(),
            transactions: self.env.layer.len(),
            ignored: self.env.ignored,
            draining: self.draining,
            dry_run: self.env.settings.moving.dry_run,
            ready: !self.draining && self.env.cluster.any_alive(),
            failovers: self.failovers.told().into_iter().map(story).collect(),
        }
    }
}

fn story(story: &Failover) -> FailoverStatus {
    FailoverStatus {
        id: story.number,
        node: story.node,
        verdict: story.verdict.as_ref().map(VerdictStatus::from),
        decided_at: story.decided_at.as_secs_f64(),
        dry_run: story.dry_run,
        calls: story.calls,
        moved: story.moved,
        lost: story.lost,
        ended: story.ended,
        first_invite_at: story.first_invite.map(Time::as_secs_f64),
        first_media_at: story.first_media.map(Time::as_secs_f64),
        first_moved_at: story.first_moved.map(Time::as_secs_f64),
        last_moved_at: story.last_moved.map(Time::as_secs_f64),
        steps_ms: story.steps().into(),
    }
}
