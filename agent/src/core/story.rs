//! The stories of the last failovers, for logs and `/status`.

use crate::cluster::Verdict;
use crate::core::event::Steps;
use holdline_wire::Time;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

/// Failovers that are remembered for `/status`.
const REMEMBERED: usize = 20;

/// One failover's story.
#[derive(Clone, Debug)]
pub struct Failover {
    pub number: u64,
    pub node: Option<SocketAddr>,
    pub verdict: Option<Verdict>,
    pub decided_at: Time,
    /// Nothing moves: this is a dry run.
    pub dry_run: bool,
    pub calls: usize,
    pub moved: usize,
    pub lost: usize,
    /// Hung up before they had moved.
    pub ended: usize,
    /// When the first INVITE left, the first 183 with media, the first and the last 2xx came.
    pub first_invite: Option<Time>,
    pub first_media: Option<Time>,
    pub first_moved: Option<Time>,
    pub last_moved: Option<Time>,
}

impl Failover {
    /// A failover of `calls` that has just been decided.
    pub fn new(
        now: Time,
        node: Option<SocketAddr>,
        verdict: Option<Verdict>,
        calls: usize,
    ) -> Failover {
        Failover {
            number: 0,
            node,
            verdict,
            decided_at: now,
            dry_run: false,
            calls,
            moved: 0,
            lost: 0,
            ended: 0,
            first_invite: None,
            first_media: None,
            first_moved: None,
            last_moved: None,
        }
    }

    /// How long after the verdict its steps came.
    pub fn steps(&self) -> Steps {
        let after = |at: Option<Time>| at.map(|at| at.since(self.decided_at));
        Steps {
            first_invite: after(self.first_invite),
            first_media: after(self.first_media),
            first_moved: after(self.first_moved),
            last_moved: after(self.last_moved),
        }
    }
}

/// The last failovers.
#[derive(Debug, Default)]
pub struct Failovers {
    pub told: VecDeque<Failover>,
    next: u64,
    open: BTreeMap<u64, usize>,
}

/// How the move of one call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Moved,
    Lost,
    Ended,
}

impl Failovers {
    pub fn start(&mut self, story: Failover) -> u64 {
        self.next += 1;
        if story.calls > 0 && !story.dry_run {
            self.open.insert(self.next, story.calls);
        }
        self.told.push_back(Failover {
            number: self.next,
            ..story
        });
        if self.told.len() > REMEMBERED {
            self.told.pop_front();
        }
        self.next
    }

    pub fn story(&mut self, number: u64) -> Option<&mut Failover> {
        self.told.iter_mut().find(|story| story.number == number)
    }

    /// Calls on the move.
    pub fn moving(&self) -> usize {
        self.open.values().sum()
    }

    /// Books a call's outcome; the story where that was the last one.
    pub fn book(&mut self, now: Time, number: u64, outcome: Outcome) -> Option<Failover> {
        if let Some(story) = self.story(number) {
            match outcome {
                Outcome::Moved => {
                    story.moved += 1;
                    story.first_moved.get_or_insert(now);
                    story.last_moved = Some(now);
                }
                Outcome::Lost => story.lost += 1,
                Outcome::Ended => story.ended += 1,
            }
        }
        let left = self.open.get_mut(&number)?;
        *left = left.saturating_sub(1);
        if *left > 0 {
            return None;
        }
        self.open.remove(&number);
        self.story(number).cloned()
    }
}
