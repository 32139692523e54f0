//! The machine's clock and entropy, which the pure cores take as arguments.

use holdline_wire::Time;
use nix::time::{ClockId, clock_gettime};
use rand_core::{OsRng, TryRngCore};
use std::io;
use std::time::{Duration, Instant, SystemTime};

/// A monotonic clock (`CLOCK_MONOTONIC`) that counts from the start of the program. Everything in
/// one process that stamps a [`Time`] shares one clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Instant,
    wall: Duration,
    /// What [`asleep`] was at the start.
    asleep: Option<Duration>,
}

/// How far `CLOCK_BOOTTIME`, which counts the time of a suspended machine, is ahead of
/// `CLOCK_MONOTONIC`, which does not.
fn asleep() -> Option<Duration> {
    let read = |id| clock_gettime(id).map(Duration::from).ok();
    // The clocks are read one after the other: what comes in between must not look like sleep.
    for _ in 0..5 {
        let before = read(ClockId::CLOCK_MONOTONIC)?;
        let boot = read(ClockId::CLOCK_BOOTTIME)?;
        let after = read(ClockId::CLOCK_MONOTONIC)?;
        if after.saturating_sub(before) < Duration::from_millis(1) {
            return Some(boot.saturating_sub(after));
        }
    }
    None
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
            asleep: asleep(),
        }
    }

    /// How long the machine was suspended so far: this clock stood still meanwhile, and the network
    /// did not (spec: X21). Zero where the kernel does not tell.
    pub fn suspended(self) -> Duration {
        match (self.asleep, asleep()) {
            (Some(before), Some(now)) => now.saturating_sub(before),
            _ => Duration::ZERO,
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

    // spec: X21
    #[test]
    fn a_machine_that_is_awake_was_not_suspended() {
        let clock = Clock::start();
        for _ in 0..1000 {
            assert!(clock.suspended() < Duration::from_millis(5));
        }
    }

    #[test]
    fn two_seeds_differ() {
        assert_ne!(seed().unwrap(), seed().unwrap());
    }
}
