//! The machine's clock and entropy, which the pure cores take as arguments.

use holdline_wire::Time;
use rand_core::{OsRng, TryRngCore};
use std::io;
use std::time::{Duration, Instant, SystemTime};

/// A monotonic clock (`CLOCK_MONOTONIC`) that counts from the start of the program. Everything in
/// one process that stamps a [`Time`] shares one clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Instant,
    wall: Duration,
}

impl Clock {
    /// Starts a clock: now is [`Time::ZERO`].
    pub fn start() -> Clock {
        let wall = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Clock {
            epoch: Instant::now(),
            wall,
        }
    }

    /// The moment of [`Time::ZERO`], for threads that know only `std`'s clock.
    pub fn epoch(self) -> Instant {
        self.epoch
    }

    /// Now.
    pub fn now(self) -> Time {
        Time::ZERO + self.epoch.elapsed()
    }

    /// What the calendar said at [`Time::ZERO`], since 1970: for what outlives the process
    /// (records, tickets). A later step of the system's clock does not change it.
    pub fn wall_at_start(self) -> Duration {
        self.wall
    }
}

/// A seed from the operating system's entropy, for `holdline_wire::token::Tokens` (spec: X40).
pub fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    OsRng
        .try_fill_bytes(&mut seed)
        .map_err(|e| io::Error::other(e.to_string()))?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_starts_at_zero_and_never_runs_backwards() {
        let clock = Clock::start();
        let first = clock.now();
        assert!(first.since(Time::ZERO) < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(2));
        assert!(clock.now().since(first) >= Duration::from_millis(2));
    }

    #[test]
    fn two_seeds_differ() {
        assert_ne!(seed().unwrap(), seed().unwrap());
    }
}
