//! What a listener sees of one direction over changes of source.

use super::*;
use crate::time::Time;
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

const PACKET: u64 = 20_000_000;
const TICKS: u32 = 160;

fn packet(ssrc: u32, sequence: u16, timestamp: u32) -> [u8; 32] {
    let mut packet = [0x5a; 32];
    packet[0] = 0x80;
    packet[1] = 8;
    put16(&mut packet, 2, sequence);
    put32(&mut packet, 4, timestamp);
    put32(&mut packet, 8, ssrc);
    packet
}

fn at(nanos: u64) -> Time {
    Time::from_nanos(nanos)
}

/// A source that sends every 20 ms.
struct Talker {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
}

impl Talker {
    fn drawn(rng: &mut ChaCha8Rng) -> Talker {
        Talker {
            ssrc: rng.next_u32(),
            sequence: rng.next_u32() as u16,
            timestamp: rng.next_u32(),
        }
    }

    fn speak(&mut self) -> [u8; 32] {
        let packet = packet(self.ssrc, self.sequence, self.timestamp);
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(TICKS);
        packet
    }
}

fn pass(media: &mut Continuity, now: u64, mut bytes: [u8; 32]) -> Result<Header, Dropped> {
    media.rewrite(at(now), &mut bytes)?;
    Ok(Header::read(&bytes).unwrap())
}

#[test]
fn a_header_is_read_in_place() {
    let mut bytes = packet(7, 65535, 9).to_vec();
    bytes[0] = 0x80 | 0x20 | 0x10 | 1;
    bytes[1] = 0x80 | 101;
    // One CSRC, an extension of one word, then a payload of 8 bytes of which 3 are padding.
    put16(&mut bytes, 18, 1);
    *bytes.last_mut().unwrap() = 3;
    let header = Header::read(&bytes).unwrap();
    assert_eq!((header.marker, header.payload_type), (true, 101));
    assert_eq!(
        (header.sequence, header.timestamp, header.ssrc),
        (65535, 9, 7)
    );
    assert_eq!((header.payload_at, header.payload_len), (24, 5));
    assert_eq!(Header::read_protected(&bytes).unwrap().payload_len, 8);
}

#[test]
fn what_does_not_fit_is_refused() {
    let good = packet(1, 2, 3);
    assert_eq!(Header::read(&good[..11]), Err(Malformed::Short));
    for (at, value, why) in [
        (0, 0x40, Malformed::Version),
        (0, 0x8f, Malformed::Length),
        (0, 0x90, Malformed::Length),
        (31, 0, Malformed::Padding),
        (31, 21, Malformed::Padding),
    ] {
        let mut bad = good;
        if why == Malformed::Padding {
            bad[0] = 0xa0;
        }
        bad[at] = value;
        assert_eq!(Header::read(&bad), Err(why), "{at} {value}");
    }
    // All 20 bytes may be padding: an empty packet.
    let mut padded = good;
    padded[0] = 0xa0;
    padded[31] = 20;
    assert_eq!(Header::read(&padded).unwrap().payload_len, 0);
    assert!(is_rtcp(&[0x80, 200]) && is_rtcp(&[0x80, 223]) && !is_rtcp(&[0x80, 0x80 | 8]));
    assert!(!is_rtcp(&[0x80]) && !is_rtcp(&[0x80, 224]) && !is_rtcp(&[0x80, 191]));
}

// spec: X29
#[test]
fn the_first_source_passes_unchanged_over_a_wrap() {
    let mut media = Continuity::new(8000);
    let mut talker = Talker {
        ssrc: 5,
        sequence: 65530,
        timestamp: u32::MAX - 700,
    };
    for turn in 0..70_000_u64 {
        let mut bytes = talker.speak();
        let before = bytes;
        media.rewrite(at(turn * PACKET), &mut bytes).unwrap();
        assert_eq!(bytes, before);
    }
}

/// The offer preferred another clock than the answer: a move must not make time jump sixfold.
// spec: X29
#[test]
fn a_change_of_source_goes_on_by_the_clock_that_was_agreed() {
    let mut media = Continuity::new(48_000);
    media.set_clock_rate(8000);
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let (mut before, mut after) = (Talker::drawn(&mut rng), Talker::drawn(&mut rng));
    let last = pass(&mut media, 0, before.speak()).unwrap();
    media.moved();
    let next = pass(&mut media, 5 * PACKET, after.speak()).unwrap();
    assert_eq!(next.timestamp.wrapping_sub(last.timestamp), 5 * TICKS);
}

// spec: X29
#[test]
fn many_sources_sound_like_one() {
    for seed in 0..200 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut media = Continuity::new(8000);
        let mut now = u64::from(rng.next_u32());
        let mut heard: Option<(u64, Header)> = None;
        let mut pinned = None;
        for source in 0..40 {
            let mut talker = Talker::drawn(&mut rng);
            // Some changes are told, some are seen by their SSRC only.
            if rng.next_u32().is_multiple_of(2) {
                media.moved();
            }
            now += u64::from(rng.next_u32() % 2_000) * 1_000_000;
            for packet in 0..1 + rng.next_u32() % 100 {
                now += PACKET;
                let header = pass(&mut media, now, talker.speak()).unwrap();
                assert_eq!(header.ssrc, *pinned.get_or_insert(header.ssrc));
                assert_eq!(header.marker, packet == 0 && source > 0, "seed {seed}");
                if let Some((then, last)) = heard {
                    assert_eq!(
                        header.sequence,
                        last.sequence.wrapping_add(1),
                        "seed {seed}"
                    );
                    let step = header.timestamp.wrapping_sub(last.timestamp);
                    let real = (now - then) * 8 / 1_000_000;
                    assert!(
                        u64::from(step).abs_diff(real) <= u64::from(TICKS) / 2,
                        "{step} {real}"
                    );
                    assert_eq!(step % TICKS, 0, "whole packet times");
                }
                heard = Some((now, header));
            }
        }
        assert!(media.pinned() == pinned);
    }
}

// spec: X29
#[test]
fn order_inside_a_source_keeps_its_places() {
    for seed in 0..100 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut media = Continuity::new(8000);
        let mut first = Talker::drawn(&mut rng);
        let last = pass(&mut media, 0, first.speak()).unwrap();
        media.moved();
        let talker = Talker {
            sequence: 65500,
            ..Talker::drawn(&mut rng)
        };
        pass(
            &mut media,
            PACKET,
            packet(talker.ssrc, 65500, talker.timestamp),
        )
        .unwrap();
        // Out of order within 8 packets, doubled, lost: the place tells which packet it was.
        let mut order: Vec<u16> = (1..400).collect();
        for index in 0..order.len() - 8 {
            order.swap(index, index + (rng.next_u32() % 8) as usize);
        }
        for (turn, index) in order.into_iter().enumerate() {
            if rng.next_u32().is_multiple_of(10) {
                continue;
            }
            let bytes = packet(
                talker.ssrc,
                talker.sequence.wrapping_add(index),
                talker.timestamp.wrapping_add(TICKS * u32::from(index)),
            );
            for _ in 0..1 + rng.next_u32() % 2 {
                let header = pass(&mut media, (turn as u64 + 2) * PACKET, bytes).unwrap();
                assert_eq!(
                    header.sequence,
                    last.sequence.wrapping_add(index + 1),
                    "seed {seed}"
                );
                let ticks = TICKS * u32::from(index + 1);
                assert_eq!(header.timestamp, last.timestamp.wrapping_add(ticks));
                assert!(!header.marker);
            }
        }
    }
}

// spec: X29
#[test]
fn late_packets_of_a_left_source_are_dropped() {
    let mut media = Continuity::new(8000);
    pass(&mut media, 0, packet(1, 100, 0)).unwrap();
    pass(&mut media, PACKET, packet(1, 101, 160)).unwrap();
    assert_eq!(
        pass(&mut media, 2 * PACKET, packet(2, 500, 0))
            .unwrap()
            .sequence,
        102
    );
    // Both what the old source had sent and what was still under way.
    for sequence in [99, 101, 102, 103] {
        let late = pass(&mut media, 2 * PACKET + 1, packet(1, sequence, 320));
        assert_eq!(late, Err(Dropped::Stale));
    }
    // Before its first packet the new source has no number that is free.
    assert_eq!(
        pass(&mut media, 3 * PACKET, packet(2, 499, 0)),
        Err(Dropped::Stale)
    );
    assert_eq!(
        pass(&mut media, 3 * PACKET, packet(2, 501, 160))
            .unwrap()
            .sequence,
        103
    );
    // The current source falls silent: the old one comes back, as hold music does.
    assert_eq!(
        pass(&mut media, 4 * PACKET, packet(1, 110, 0)),
        Err(Dropped::Stale)
    );
    // Nor then with what it had sent before.
    let late = pass(&mut media, 9 * PACKET, packet(1, 101, 0));
    assert_eq!(late, Err(Dropped::Stale));
    let back = pass(&mut media, 9 * PACKET, packet(1, 111, 0)).unwrap();
    assert_eq!((back.sequence, back.marker), (104, true));
}

// spec: X29
#[test]
fn after_a_move_any_source_is_new() {
    let mut media = Continuity::new(8000);
    pass(&mut media, 0, packet(1, 100, 0)).unwrap();
    pass(&mut media, PACKET, packet(2, 100, 0)).unwrap();
    media.moved();
    // The new node happens to use what was left: its socket is fresh, so nothing of it is late.
    let next = pass(&mut media, 2 * PACKET, packet(1, 90, 0)).unwrap();
    assert_eq!((next.sequence, next.marker), (102, true));
    media.moved();
    let next = pass(&mut media, 3 * PACKET, packet(3, 91, 0)).unwrap();
    assert_eq!((next.sequence, next.marker), (103, true));
    let next = pass(&mut media, 4 * PACKET, packet(1, 91, 0)).unwrap();
    assert_eq!((next.sequence, next.marker), (104, true));
}

// spec: X29
#[test]
fn a_timestamp_that_was_set_back_is_the_one_to_continue() {
    let mut media = Continuity::new(8000);
    pass(&mut media, 0, packet(1, 1, 5_000_000)).unwrap();
    pass(&mut media, PACKET, packet(1, 2, 1_000)).unwrap();
    media.moved();
    let next = pass(&mut media, 2 * PACKET, packet(2, 1, 0)).unwrap();
    assert_eq!(next.timestamp, 1_160);
}

// spec: X29
#[test]
fn a_source_that_begins_anew_with_its_ssrc_goes_on() {
    let mut media = Continuity::new(8000);
    for sequence in 0..10 {
        pass(
            &mut media,
            u64::from(sequence) * PACKET,
            packet(1, sequence, 0),
        )
        .unwrap();
    }
    assert_eq!(
        pass(&mut media, 10 * PACKET, packet(1, 30_000, 77)),
        Err(Dropped::Unproven)
    );
    let next = pass(&mut media, 11 * PACKET, packet(1, 30_001, 77)).unwrap();
    assert_eq!((next.sequence, next.marker), (10, true));
    // A loss of many packets is no new source.
    assert_eq!(
        pass(&mut media, 12 * PACKET, packet(1, 31_001, 77))
            .unwrap()
            .sequence,
        1010
    );
}

// spec: X29
#[test]
fn a_digit_during_the_move_does_not_hold_time_back() {
    let mut media = Continuity::new(8000);
    for index in 0..10_u16 {
        pass(
            &mut media,
            u64::from(index) * PACKET,
            packet(1, index, 160 * u32::from(index)),
        )
        .unwrap();
    }
    // 25 packets of one event carry the timestamp of its start.
    for index in 10..35_u16 {
        pass(
            &mut media,
            u64::from(index) * PACKET,
            packet(1, index, 1600),
        )
        .unwrap();
    }
    media.moved();
    let next = pass(&mut media, 35 * PACKET, packet(9, 1, 1)).unwrap();
    assert_eq!((next.sequence, next.timestamp), (35, 35 * 160));
}

#[test]
fn the_packet_time_is_learned() {
    let mut media = Continuity::new(48_000);
    for index in 0..5_u32 {
        pass(
            &mut media,
            u64::from(index) * 60_000_000,
            packet(1, index as u16, 2880 * index),
        )
        .unwrap();
    }
    media.moved();
    // 260 ms after the first one: nearest whole packet of 60 ms.
    let next = pass(&mut media, 310_000_000, packet(2, 0, 0)).unwrap();
    assert_eq!(next.timestamp, 5 * 2880);
}

#[test]
fn noise_never_panics() {
    let mut rng = ChaCha8Rng::seed_from_u64(29);
    let mut media = Continuity::new(8000);
    let mut passed = 0_u32;
    for turn in 0..200_000_u64 {
        let mut bytes = packet(rng.next_u32() % 3, turn as u16, turn as u32 * 160).to_vec();
        for _ in 0..rng.next_u32() % 4 {
            let at = rng.next_u32() as usize % bytes.len();
            bytes[at] = rng.next_u32() as u8;
        }
        bytes.truncate(rng.next_u32() as usize % 64);
        passed += u32::from(media.rewrite(at(turn * PACKET), &mut bytes).is_ok());
        if rng.next_u32().is_multiple_of(1000) {
            media.moved();
        }
    }
    assert!(passed > 1000, "{passed}");
    assert!(size_of::<Continuity>() + size_of::<crate::rtcp::Mapping>() <= 256);
}
