//! Random identifiers from a generator whose seed is passed in (spec: X40).

use rand_chacha::ChaCha12Rng;
use rand_core::{RngCore, SeedableRng};

/// Mints tags, Call-IDs and branches; the same seed gives the same ones.
#[derive(Clone, Debug)]
pub struct Tokens(ChaCha12Rng);

impl Tokens {
    /// A source for `seed`: from the machine's entropy in a program, from the scenario in a test.
    pub fn new(seed: [u8; 32]) -> Tokens {
        Tokens(ChaCha12Rng::from_seed(seed))
    }

    /// 96 random bits in hexadecimal, for From and To tags (RFC 3261 section 19.3).
    pub fn tag(&mut self) -> String {
        self.hex(12)
    }

    /// 128 random bits in hexadecimal, for a Call-ID (RFC 3261 section 8.1.1.4); no host in it.
    pub fn call_id(&mut self) -> String {
        self.hex(16)
    }

    /// A Via branch: the magic cookie of RFC 3261 section 8.1.1.7 and 96 random bits.
    pub fn branch(&mut self) -> String {
        self.hex_after("z9hG4bK", 12)
    }

    /// 32 random bits, for an SSRC or a session id.
    pub fn number(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// A number in `0..bound`; 0 where `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // Multiply-shift: the bias is below 2^-32 for every bound used here.
        ((u128::from(self.0.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    fn hex(&mut self, bytes: usize) -> String {
        self.hex_after("", bytes)
    }

    fn hex_after(&mut self, start: &str, bytes: usize) -> String {
        let mut raw = [0u8; 16];
        let raw = &mut raw[..bytes];
        self.0.fill_bytes(raw);
        let digit = |n: u8| char::from_digit(u32::from(n), 16).unwrap_or('0');
        let mut text = String::with_capacity(start.len() + 2 * bytes);
        text.push_str(start);
        for byte in raw {
            text.extend([digit(*byte >> 4), digit(*byte & 15)]);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: X40
    #[test]
    fn tokens_carry_96_bits_and_follow_the_seed() {
        let (mut a, mut b) = (Tokens::new([7; 32]), Tokens::new([7; 32]));
        assert_eq!(a.tag(), b.tag());
        assert_eq!(a.tag().len() * 4, 96);
        assert_eq!(a.call_id().len() * 4, 128);
        assert_ne!(a.branch(), a.branch());
        assert!((0..1000).all(|_| a.below(3) < 3));
    }
}
