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

/// The failovers whose calls still move, and the last ones that are over.
#[derive(Debug, Default)]
pub struct Failovers {
    over: VecDeque<Failover>,
    next: u64,
    /// With how many of their calls have not ended their move: as many at a time as there are.
    open: BTreeMap<u64, (Failover, usize)>,
}

/// How the move of one call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Moved,
    Lost,
    Ended,
}

impl Failovers {
    /// Begins one; its number.
    pub fn start(&mut self, story: Failover) -> u64 {
        self.next += 1;
        let story = Failover {
            number: self.next,
            ..story
        };
        if story.calls > 0 && !story.dry_run {
            self.open.insert(self.next, (story.clone(), story.calls));
        } else {
            self.remember(story);
        }
        self.next
    }

    fn remember(&mut self, story: Failover) {
        self.over.push_back(story);
        if self.over.len() > REMEMBERED {
            self.over.pop_front();
        }
    }

    /// The story of one whose calls still move.
    pub fn story(&mut self, number: u64) -> Option<&mut Failover> {
        self.open.get_mut(&number).map(|(story, _)| story)
    }

    /// The last ones, the newest last.
    pub fn told(&self) -> Vec<&Failover> {
        let open = self.open.values().map(|(story, _)| story);
        let mut all: Vec<_> = self.over.iter().chain(open).collect();
        all.sort_unstable_by_key(|story| story.number);
        all.split_off(all.len().saturating_sub(REMEMBERED))
    }

    /// Calls on the move.
    pub fn moving(&self) -> usize {
        self.open.values().map(|(_, left)| left).sum()
    }

    /// Books a call's outcome; the story where that was the last one.
    pub fn book(&mut self, now: Time, number: u64, outcome: Outcome) -> Option<Failover> {
        let (story, left) = self.open.get_mut(&number)?;
        match outcome {
            Outcome::Moved => {
                story.moved += 1;
                story.first_moved.get_or_insert(now);
                story.last_moved = Some(now);
            }
            Outcome::Lost => story.lost += 1,
            Outcome::Ended => story.ended += 1,
        }
        *left = left.saturating_sub(1);
        if *left > 0 {
            return None;
        }
        let (story, _) = self.open.remove(&number)?;
        self.remember(story.clone());
        Some(story)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: X56
    #[test]
    fn each_of_many_failovers_at_a_time_ends_in_one_record() {
        let mut failovers = Failovers::default();
        let start = |failovers: &mut Failovers, calls| {
            failovers.start(Failover::new(Time::ZERO, None, None, calls))
        };
        let numbers: Vec<u64> = (0..500).map(|_| start(&mut failovers, 2)).collect();
        assert_eq!(failovers.moving(), 1000);
        for &number in &numbers {
            let first = failovers.book(Time::ZERO, number, Outcome::Moved);
            assert!(first.is_none());
            let done = failovers.book(Time::ZERO, number, Outcome::Lost);
            let done = done.map(|story| (story.number, story.moved, story.lost));
            assert_eq!(done, Some((number, 1, 1)));
            assert!(failovers.book(Time::ZERO, number, Outcome::Moved).is_none());
        }
        assert_eq!(
            (failovers.moving(), failovers.told().len()),
            (0, REMEMBERED)
        );
        assert_eq!(failovers.told().last().map(|story| story.number), Some(500));
    }
}
