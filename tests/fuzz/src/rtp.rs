//! RTP packets of several sources, in any order, through one continuous stream.

use crate::script::Script;
use holdline_wire::Time;
use holdline_wire::rtp::{Continuity, Dropped, HEADER_LEN, Header};
use std::time::Duration;

/// The most packets of one input.
const PACKETS: usize = 2_000;
/// Steps of the sequence number that loss and reordering explain (RFC 3550 appendix A.1).
const STEPS: std::ops::RangeInclusive<i16> = -100..=3_000;

/// Plays the script: clock rate, then packets, made up or raw.
pub fn check(data: &[u8]) {
    let mut script = Script(data);
    let mut listener = Listener::new(script.word());
    let mut now = Time::ZERO;
    for _ in 0..PACKETS {
        if script.is_over() {
            break;
        }
        let choice = script.byte();
        now = now + Duration::from_millis(u64::from(script.byte()));
        match choice {
            0..=7 => listener.moved(),
            8..=63 => {
                let length = usize::from(script.byte());
                listener.hears(now, &mut script.take(length).to_vec());
            }
            _ => listener.hears(now, &mut packet(choice, &mut script)),
        }
    }
}

/// A packet that is well formed but for what the script says of padding and extensions.
pub(crate) fn packet(choice: u8, script: &mut Script<'_>) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    if choice & 1 == 0 {
        packet = vec![0x80 | script.byte() & 0x3f, script.byte()];
    }
    packet.extend_from_slice(&script.short().to_be_bytes());
    packet.extend_from_slice(&script.word().to_be_bytes());
    // Few sources, so that they come back.
    packet.extend_from_slice(&u32::from(choice >> 1 & 3).to_be_bytes());
    let length = usize::from(script.byte());
    packet.extend_from_slice(script.take(length));
    packet
}

/// What was heard of the current source.
#[derive(Clone, Copy)]
struct Heard {
    ssrc: u32,
    highest: u16,
    /// As the listener saw it.
    seen: u16,
}

/// One that keeps book beside the state under test.
struct Listener {
    stream: Continuity,
    source: Option<Heard>,
    /// The highest sequence number seen.
    highest: Option<u16>,
}

impl Listener {
    fn new(clock_rate: u32) -> Listener {
        Listener {
            stream: Continuity::new(clock_rate),
            source: None,
            highest: None,
        }
    }

    fn moved(&mut self) {
        self.stream.moved();
        self.source = None;
    }

    fn hears(&mut self, now: Time, packet: &mut [u8]) {
        let before = packet.to_vec();
        let pinned = self.stream.pinned();
        match self.stream.rewrite(now, packet) {
            Ok(read) => {
                assert_eq!(Ok(read), Header::read(&before));
                self.passes(&read, &before, packet, pinned);
            }
            Err(dropped) => {
                assert_eq!(packet, before, "what is dropped is not touched");
                let readable = !matches!(dropped, Dropped::Malformed(_));
                assert_eq!(readable, Header::read(&before).is_ok());
            }
        }
    }

    fn passes(&mut self, read: &Header, before: &[u8], after: &[u8], pinned: Option<u32>) {
        // Nothing but marker, sequence number, timestamp and SSRC is ours to change.
        assert_eq!(before.len(), after.len());
        assert_eq!((before[0], before[1] & 0x7f), (after[0], after[1] & 0x7f));
        assert_eq!(before[HEADER_LEN..], after[HEADER_LEN..]);
        let seen = Header::read(after).expect("a rewritten packet is one");
        assert_eq!(Some(seen.ssrc), self.stream.pinned());
        assert_eq!(seen.ssrc, pinned.unwrap_or(read.ssrc), "the SSRC changed");
        let known = self.source.filter(|source| source.ssrc == read.ssrc);
        let step = |source: &Heard| read.sequence.wrapping_sub(source.highest) as i16;
        match known.filter(|source| STEPS.contains(&step(source))) {
            // Inside a source each packet keeps its place.
            Some(source) => {
                let place = source.seen.wrapping_add(step(&source) as u16);
                assert_eq!(seen.sequence, place);
                assert_eq!(seen.marker, read.marker);
                if step(&source) > 0 {
                    self.note(read, seen.sequence);
                }
            }
            // A new source goes on where its predecessor stopped.
            None => {
                if let Some(highest) = self.highest {
                    assert_eq!(seen.sequence, highest.wrapping_add(1));
                    assert!(seen.marker);
                }
                self.note(read, seen.sequence);
            }
        }
        let ahead = |highest| seen.sequence.wrapping_sub(highest) as i16 > 0;
        if self.highest.is_none_or(ahead) {
            self.highest = Some(seen.sequence);
        }
    }

    fn note(&mut self, read: &Header, seen: u16) {
        self.source = Some(Heard {
            ssrc: read.ssrc,
            highest: read.sequence,
            seen,
        });
    }
}
