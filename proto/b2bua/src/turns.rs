//! Things that are done at a pace: so that a thousand calls that are to end at the same moment end
//! in twenty seconds, and neither side drowns.

use holdline_wire::Time;
use std::collections::VecDeque;
use std::time::Duration;

/// So many have their turn at a time, and the time: 50 a second.
const BATCH: usize = 10;
const PACE: Duration = Duration::from_millis(200);

/// What waits for its turn, in order.
#[derive(Debug)]
pub struct Turns<T> {
    queue: VecDeque<T>,
    next: Option<Time>,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Turns {
            queue: VecDeque::new(),
            next: None,
        }
    }
}

impl<T> Turns<T> {
    /// It has its turn as soon as may be.
    pub fn push(&mut self, now: Time, item: T) {
        self.queue.push_back(item);
        self.next.get_or_insert(now);
    }

    /// Those whose turn it is.
    pub fn take(&mut self, now: Time) -> Vec<T> {
        if self.next.is_none_or(|at| at > now) {
            return Vec::new();
        }
        let count = self.queue.len().min(BATCH);
        let batch = self.queue.drain(..count).collect();
        self.next = (!self.queue.is_empty()).then_some(now + PACE);
        batch
    }

    /// When somebody has a turn.
    pub fn poll_deadline(&self) -> Option<Time> {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_have_their_turn_at_once_and_the_others_later() {
        let mut turns = Turns::default();
        let at = |ms| Time::ZERO + Duration::from_millis(ms);
        for number in 0..25 {
            turns.push(at(5), number);
        }
        assert!(turns.take(at(4)).is_empty());
        assert_eq!(turns.take(at(5)), (0..10).collect::<Vec<_>>());
        assert_eq!(
            (turns.take(at(6)), turns.poll_deadline()),
            (vec![], Some(at(205)))
        );
        assert_eq!(turns.take(at(205)).len() + turns.take(at(405)).len(), 15);
        assert_eq!(turns.poll_deadline(), None);
    }
}
