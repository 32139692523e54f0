//! Seeded draws.

use holdline_wire::token::Tokens;
use std::time::Duration;

/// A stream of random numbers: the same seed and purpose give the same ones.
#[derive(Clone, Debug)]
pub struct Draw(Tokens);

impl Draw {
    /// The draws of `seed` for one purpose, so that one part of the world does not shift another.
    pub fn new(seed: u64, purpose: u8) -> Draw {
        Draw(Tokens::new(seed_bytes(seed, purpose)))
    }

    /// A number in `0..bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    /// True this many times in a thousand.
    pub fn chance(&mut self, per_mille: u64) -> bool {
        self.below(1000) < per_mille
    }

    /// A duration in `from..=to`, in steps of a microsecond.
    pub fn between(&mut self, from: Duration, to: Duration) -> Duration {
        let span = to.saturating_sub(from).as_micros() as u64;
        from + Duration::from_micros(self.below(span + 1))
    }

    /// [`Draw::between`] in milliseconds.
    pub fn ms(&mut self, from: u64, to: u64) -> Duration {
        self.between(Duration::from_millis(from), Duration::from_millis(to))
    }
}

/// A generator's seed for one actor of a world.
pub fn seed_bytes(seed: u64, purpose: u8) -> [u8; 32] {
    let mut bytes = [purpose; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes
}
