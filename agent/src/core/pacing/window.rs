//! How many failover INVITEs one node may owe an answer: the congestion window of TCP
//! (RFC 5681 section 3.1), with the time to the first answer as the sign of load.

use holdline_wire::Time;
use std::time::Duration;

/// What bounds how many INVITEs a node is sent at a time.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How many a node gets before it has answered any.
    pub first: usize,
    /// The most that it ever gets.
    pub most: usize,
    /// An answer that takes longer than twice the quickest and this much shows a busy node.
    pub slow: Duration,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            first: 32,
            most: 128,
            slow: Duration::from_millis(30),
        }
    }
}

/// However slow a node is, so many are on their way to it.
const LEAST: f64 = 2.0;

/// The window of one node during one move.
#[derive(Clone, Debug)]
pub struct Window {
    size: f64,
    /// It grows by one with each answer, until the first sign of load; then by one a round.
    slow_start: bool,
    quickest: Duration,
    /// The smoothed time to an answer; zero before the first.
    smoothed: Duration,
    /// Signs of load within one round count once.
    shrunk_at: Time,
}

impl Window {
    pub fn new(bounds: &Bounds) -> Window {
        Window {
            size: bounds.first as f64,
            slow_start: true,
            quickest: Duration::MAX,
            smoothed: Duration::ZERO,
            shrunk_at: Time::ZERO,
        }
    }

    /// How many may be on their way.
    pub fn size(&self) -> usize {
        // Between LEAST and the bound, so the cast is exact enough.
        self.size as usize
    }

    /// How long an answer takes of late; zero where none is known.
    pub fn answer_time(&self) -> Duration {
        self.smoothed
    }

    /// A first answer came, `took` after its INVITE had left.
    pub fn answered(&mut self, now: Time, took: Duration, bounds: &Bounds) {
        self.smoothed = match self.smoothed {
            Duration::ZERO => took,
            smoothed => (smoothed * 7 + took) / 8,
        };
        self.quickest = self.quickest.min(took);
        if took > self.quickest.saturating_mul(2).saturating_add(bounds.slow) {
            return self.shrink(now, took, 0.7);
        }
        let more = if self.slow_start {
            1.0
        } else {
            1.0 / self.size
        };
        self.size = (self.size + more).min(bounds.most as f64);
    }

    /// The node refused for want of room, or did not answer within `patience`.
    pub fn overloaded(&mut self, now: Time, patience: Duration) {
        self.shrink(now, patience, 0.5);
    }

    fn shrink(&mut self, now: Time, round: Duration, to: f64) {
        self.slow_start = false;
        if self.shrunk_at == Time::ZERO || now.since(self.shrunk_at) >= round {
            self.shrunk_at = now;
            self.size = (self.size * to).max(LEAST);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn at(millis: u64) -> Time {
        Time::ZERO + ms(millis)
    }

    // spec: X23
    #[test]
    fn a_node_that_answers_at_once_gets_more_and_more_up_to_the_bound() {
        let mut window = Window::new(&Bounds::default());
        assert_eq!(window.size(), 32);
        (0..32).for_each(|n| window.answered(at(10 + n), ms(5), &Bounds::default()));
        assert_eq!(window.size(), 64);
        (0..1000).for_each(|n| window.answered(at(100 + n), ms(5), &Bounds::default()));
        assert_eq!((window.size(), window.answer_time()), (128, ms(5)));
    }

    // spec: X23
    #[test]
    fn answers_that_grow_slower_shrink_it_once_a_round() {
        let mut window = Window::new(&Bounds::default());
        window.answered(at(10), ms(5), &Bounds::default());
        for n in 0..10 {
            window.answered(at(60 + n), ms(50), &Bounds::default());
        }
        assert_eq!(window.size(), 23, "33 shrunk once");
        for round in 0..40 {
            window.answered(at(200 + round * 200), ms(150), &Bounds::default());
        }
        assert_eq!(window.size(), 2, "it never closes");
        // Once the node is quick again the window grows slowly.
        (0..2).for_each(|n| window.answered(at(9000 + n), ms(5), &Bounds::default()));
        assert!(window.size() <= 3, "{}", window.size());
    }

    // spec: X24
    #[test]
    fn a_distant_node_is_not_taken_for_a_slow_one() {
        let mut window = Window::new(&Bounds::default());
        (0..100).for_each(|n| window.answered(at(300 + n), ms(290 + n % 20), &Bounds::default()));
        assert_eq!(window.size(), 128);
    }

    // spec: X24
    #[test]
    fn what_is_not_answered_halves_it() {
        let mut window = Window::new(&Bounds::default());
        (0..16).for_each(|n| window.overloaded(at(300 + n), ms(300)));
        assert_eq!(window.size(), 16);
        window.overloaded(at(601), ms(300));
        assert_eq!(window.size(), 8);
    }
}
