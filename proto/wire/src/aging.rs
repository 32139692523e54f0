//! Deadlines far ahead of things that mostly end long before: the longest time of a call.
//!
//! [`crate::deadline::Deadlines`] finds any entry at once, for some 100 bytes each in blocks that it
//! shares with entries of milliseconds: a few that stay for hours hold on to the memory of all. Here
//! an entry is 24 bytes of one block, and those of things that have ended are swept out now and then.

use crate::time::Time;
use std::collections::VecDeque;

/// So many entries are kept in any case, before anything is swept.
const FEW: usize = 64;

/// Keys by their deadlines, the earliest first. A key may stand in it more than once.
#[derive(Debug, Clone)]
pub struct Aging<K> {
    queue: VecDeque<(Time, K)>,
}

impl<K> Default for Aging<K> {
    fn default() -> Self {
        Aging {
            queue: VecDeque::new(),
        }
    }
}

impl<K: Copy> Aging<K> {
    /// Adds a deadline: cheap where it is among the latest, as with one age for all.
    pub fn push(&mut self, at: Time, key: K) {
        let place = self.queue.partition_point(|(other, _)| *other <= at);
        self.queue.insert(place, (at, key));
    }

    /// The earliest deadline; its key may be of something that has ended.
    pub fn next(&self) -> Option<Time> {
        self.queue.front().map(|(at, _)| *at)
    }

    /// Takes one key whose deadline is at or before `now`.
    pub fn pop(&mut self, now: Time) -> Option<K> {
        self.queue
            .pop_front_if(|(at, _)| *at <= now)
            .map(|(_, key)| key)
    }

    /// Something has ended, and `alive` are left: where most entries are of what has ended, they
    /// go, and all of them where nothing is left.
    pub fn sweep(&mut self, alive: usize, is_alive: impl Fn(K) -> bool) {
        let bound = if alive > 0 { 2 * alive + FEW } else { 0 };
        if self.queue.len() > bound {
            self.queue.retain(|(_, key)| is_alive(*key));
            self.queue.shrink_to(bound);
        }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_comes_first_and_equal_ones_as_they_came() {
        let at = Time::from_nanos;
        let mut queue = Aging::default();
        for (nanos, key) in [(20, 'b'), (10, 'a'), (20, 'c'), (30, 'd')] {
            queue.push(at(nanos), key);
        }
        assert_eq!((queue.next(), queue.pop(at(9))), (Some(at(10)), None));
        let due: String = std::iter::from_fn(|| queue.pop(at(20))).collect();
        assert_eq!((due.as_str(), queue.len()), ("abc", 1));
    }

    #[test]
    fn what_has_ended_is_swept_out_before_it_is_most_of_it() {
        let mut queue = Aging::default();
        for key in 0..1_000u64 {
            queue.push(Time::from_nanos(key), key);
            // Of ten calls nine end at once.
            let alive = usize::try_from(key / 10 + 1).unwrap_or_default();
            queue.sweep(alive, |key| key % 10 == 0);
            assert!(queue.len() <= 2 * alive + FEW, "{} of {alive}", queue.len());
        }
        let left: Vec<u64> = std::iter::from_fn(|| queue.pop(Time::NEVER)).collect();
        let living = left.iter().filter(|key| *key % 10 == 0).count();
        assert_eq!(living, 100, "none that lives is swept");
        queue.push(Time::ZERO, 0);
        queue.sweep(0, |_| false);
        assert!(queue.is_empty());
    }
}
