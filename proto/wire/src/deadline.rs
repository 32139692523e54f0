//! A queue of deadlines that is never scanned: one deadline a key, the earliest first.

use crate::time::Time;
use std::collections::{BTreeMap, BTreeSet};

/// What deadlines that may be late are rounded up to, in nanoseconds: 100 ms.
const LATE_GRAIN: u64 = 100_000_000;

/// `at` or up to 100 ms later: a moment that all deadlines share for which nobody waits. A busy
/// program has several of them for each call; so they cost one wake-up together.
pub fn late(at: Time) -> Time {
    let moments = at.as_nanos().div_ceil(LATE_GRAIN);
    Time::from_nanos(moments.saturating_mul(LATE_GRAIN))
}

/// At most one deadline for each key; setting it again moves it.
#[derive(Debug, Clone)]
pub struct Deadlines<K> {
    by_time: BTreeSet<(Time, K)>,
    by_key: BTreeMap<K, Time>,
}

impl<K: Ord + Copy> Default for Deadlines<K> {
    fn default() -> Self {
        Deadlines {
            by_time: BTreeSet::new(),
            by_key: BTreeMap::new(),
        }
    }
}

impl<K: Ord + Copy> Deadlines<K> {
    /// Sets or moves the deadline of `key`.
    pub fn set(&mut self, key: K, at: Time) {
        match self.by_key.insert(key, at) {
            Some(old) if old == at => return,
            Some(old) => {
                self.by_time.remove(&(old, key));
            }
            None => {}
        }
        self.by_time.insert((at, key));
    }

    /// The same for a deadline that nobody waits for, such as the end of a transaction that was
    /// answered long ago: see [`late`].
    pub fn set_late(&mut self, key: K, at: Time) {
        self.set(key, late(at));
    }

    /// Forgets the deadline of `key`, if it has one.
    pub fn cancel(&mut self, key: K) {
        if let Some(old) = self.by_key.remove(&key) {
            self.by_time.remove(&(old, key));
        }
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Time> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes one key whose deadline is at or before `now`; equal times come in the order of keys.
    pub fn pop(&mut self, now: Time) -> Option<K> {
        let &(at, key) = self.by_time.first()?;
        if at > now {
            return None;
        }
        self.by_time.pop_first();
        self.by_key.remove(&key);
        Some(key)
    }

    /// How many keys have a deadline.
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether no key has a deadline.
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_deadline_and_the_earliest_comes_first() {
        let at = Time::from_nanos;
        let mut queue = Deadlines::default();
        queue.set("b", at(20));
        queue.set("a", at(30));
        queue.set("a", at(10));
        queue.set("c", at(5));
        queue.cancel("c");
        assert_eq!(queue.next(), Some(at(10)));
        assert_eq!(queue.pop(at(9)), None);
        assert_eq!(queue.pop(at(50)), Some("a"));
        assert_eq!(queue.pop(at(50)), Some("b"));
        assert!(queue.is_empty() && queue.pop(at(50)).is_none());
    }

    #[test]
    fn deadlines_that_may_be_late_share_their_moments_and_are_never_early() {
        let at = |ms: u64| Time::from_nanos(ms * 1_000_000);
        let mut queue = Deadlines::default();
        for (key, ms) in [(1, 1), (2, 60), (3, 100), (4, 101)] {
            queue.set_late(key, at(ms));
        }
        assert_eq!(queue.pop(at(99)), None);
        let first: Vec<_> = std::iter::from_fn(|| queue.pop(at(100))).collect();
        assert_eq!(first, [1, 2, 3]);
        assert_eq!(queue.next(), Some(at(200)));
        queue.set_late(5, Time::NEVER);
        assert_eq!(queue.len(), 2);
    }
}
