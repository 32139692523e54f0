//! An even beat that makes up for being late.

use std::time::{Duration, Instant};

/// Counts the beats that are due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pacing {
    next: Instant,
    every: Duration,
}

impl Pacing {
    /// `rate` beats a second, the first one now.
    pub(super) fn new(rate: f64) -> Pacing {
        Pacing {
            next: Instant::now(),
            every: Duration::from_secs_f64(1.0 / rate),
        }
    }

    /// Whether a beat is due; it is taken.
    pub(super) fn beat(&mut self, now: Instant) -> bool {
        let due = self.next <= now;
        if due {
            self.next += self.every;
        }
        due
    }

    /// When the next one is.
    pub(super) fn next(&self) -> Instant {
        self.next
    }
}
