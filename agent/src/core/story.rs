//! The stories of the last failovers, for logs and `/status`.

use crate::cluster::Verdict;
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
    pub fn start(&mut self, now: Time, story: Failover) -> u64 {
        self.next += 1;
        if story.calls > 0 {
            self.open.insert(self.next, story.calls);
        }
        self.told.push_back(Failover {
            number: self.next,
            decided_at: now,
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
