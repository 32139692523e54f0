//! Where the tags of our legs lead: to a leg while it lives, and for a while afterwards to nothing,
//! which is not the same as a tag that was never ours (spec: X28).

use holdline_relay::Side;
use holdline_wire::Time;
use holdline_wire::deadline::late;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Where a tag leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lead<S> {
    /// A live leg.
    Leg(S),
    /// A dialog on this side that has ended or moved away: its BYE gets 200 and means nothing.
    Ended(Side),
}

/// All tags; `S` names a leg in its core. Those of ended dialogs are forgotten after a while, or when there are too many.
#[derive(Debug)]
pub struct Tags<S> {
    leads: HashMap<Box<str>, Lead<S>>,
    /// The ended ones, and until when they are remembered: the oldest first.
    ended: VecDeque<(Time, Box<str>)>,
    most: usize,
    life: Duration,
}

impl<S: Copy> Tags<S> {
    /// Remembers at most `most` ended dialogs, each for `life`.
    pub fn new(most: usize, life: Duration) -> Tags<S> {
        Tags {
            leads: HashMap::new(),
            ended: VecDeque::new(),
            most,
            life,
        }
    }

    /// A leg can be found by its tag from now on.
    pub fn enter(&mut self, tag: &str, leg: S) {
        self.leads.insert(tag.into(), Lead::Leg(leg));
    }

    /// The leg is gone, and so is its tag.
    pub fn remove(&mut self, tag: &str) {
        if !matches!(self.leads.get(tag), Some(Lead::Ended(_))) {
            self.leads.remove(tag);
        }
    }

    /// The leg's dialog has ended or moved away: its late messages are still understood for a while.
    pub fn bury(&mut self, now: Time, tag: &str, side: Side) {
        if self.ended.len() >= self.most {
            self.forget_oldest();
        }
        if self.ended(tag).is_none() {
            self.ended.push_back((late(now + self.life), tag.into()));
        }
        self.leads.insert(tag.into(), Lead::Ended(side));
    }

    fn forget_oldest(&mut self) {
        // Where the tag leads to a leg again, that one lives on.
        if let Some((_, tag)) = self.ended.pop_front()
            && self.ended(&tag).is_some()
        {
            self.leads.remove(&tag);
        }
    }

    /// The live leg with this tag.
    pub fn leg(&self, tag: &str) -> Option<S> {
        match *self.leads.get(tag)? {
            Lead::Leg(leg) => Some(leg),
            Lead::Ended(_) => None,
        }
    }

    /// The side of an ended dialog with this tag.
    pub fn ended(&self, tag: &str) -> Option<Side> {
        match *self.leads.get(tag)? {
            Lead::Leg(_) => None,
            Lead::Ended(side) => Some(side),
        }
    }

    /// Forgets what is old enough.
    pub fn handle_deadline(&mut self, now: Time) {
        while self.poll_deadline().is_some_and(|at| at <= now) {
            self.forget_oldest();
        }
    }

    /// When something is to be forgotten.
    pub fn poll_deadline(&self) -> Option<Time> {
        self.ended.front().map(|(at, _)| *at)
    }

    /// How many tags lead somewhere, ended dialogs included.
    pub fn len(&self) -> usize {
        self.leads.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.leads.is_empty()
    }

    /// How many ended dialogs are remembered.
    pub fn count_ended(&self) -> usize {
        self.ended.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    // spec: X28
    #[test]
    fn an_ended_dialog_is_remembered_for_its_time_and_no_longer() {
        let mut tags = Tags::new(10, Duration::from_secs(64));
        tags.enter("a", 1);
        tags.enter("b", 2);
        tags.bury(at(0), "a", Side::Far);
        assert_eq!((tags.leg("a"), tags.ended("a")), (None, Some(Side::Far)));
        assert_eq!((tags.leg("b"), tags.ended("b")), (Some(2), None));
        tags.remove("a");
        assert_eq!(
            tags.ended("a"),
            Some(Side::Far),
            "its leg goes, not its grave"
        );
        tags.handle_deadline(at(63));
        assert_eq!(tags.len(), 2);
        assert_eq!(tags.poll_deadline(), Some(at(64)));
        tags.handle_deadline(at(64));
        assert_eq!((tags.ended("a"), tags.poll_deadline()), (None, None));
        tags.remove("b");
        assert!(tags.is_empty());
    }

    #[test]
    fn a_tag_that_leads_to_a_leg_again_is_not_forgotten_with_its_past() {
        let mut tags = Tags::new(10, Duration::from_secs(64));
        tags.bury(at(0), "a", Side::Far);
        tags.bury(at(9), "a", Side::Near);
        assert_eq!((tags.count_ended(), tags.ended("a")), (1, Some(Side::Near)));
        tags.enter("a", 1);
        tags.handle_deadline(at(100));
        assert_eq!((tags.leg("a"), tags.count_ended()), (Some(1), 0));
    }

    #[test]
    fn too_many_ended_dialogs_push_the_oldest_out() {
        let mut tags = Tags::<()>::new(2, Duration::from_secs(64));
        for tag in ["a", "b", "c"] {
            tags.bury(at(0), tag, Side::Near);
        }
        assert_eq!(
            (tags.len(), tags.count_ended(), tags.ended("a")),
            (2, 2, None)
        );
    }
}
