//! RTCP over changes of source, as both ends read it.

use super::*;
use crate::rtp::{Continuity, Dropped, Header, be32, put16, put32};
use crate::time::Time;
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

const NEAR: u32 = 0x0000_00ee;
const PACKET: u64 = 20_000_000;

fn part(kind: u8, count: u8, body: &[u32]) -> Vec<u8> {
    let mut bytes = vec![0x80 | count, kind, 0, body.len() as u8];
    bytes.extend(body.iter().flat_map(|word| word.to_be_bytes()));
    bytes
}

/// SSRC, fraction and cumulative loss, highest sequence, jitter, last SR, delay since.
fn block(ssrc: u32, lost: i32, highest: u32, last_sr: u32) -> [u32; 6] {
    [
        ssrc,
        0x1100_0000 | (lost as u32 & 0xff_ffff),
        highest,
        3,
        last_sr,
        4,
    ]
}

fn rr(sender: u32, blocks: &[[u32; 6]]) -> Vec<u8> {
    let mut body = vec![sender];
    body.extend(blocks.iter().flatten());
    part(RR, blocks.len() as u8, &body)
}

fn sr(sender: u32, ntp: u32, timestamp: u32, packets: u32, octets: u32) -> Vec<u8> {
    // The middle 32 bits of the NTP timestamp are `ntp`.
    part(
        SR,
        0,
        &[sender, ntp >> 16, ntp << 16, timestamp, packets, octets],
    )
}

fn sdes(ssrc: u32) -> Vec<u8> {
    // CNAME "abc", and the null byte that ends the chunk.
    part(SDES, 1, &[ssrc, 0x0103_6162, 0x6300_0000])
}

fn bye(ssrc: u32) -> Vec<u8> {
    part(BYE, 1, &[ssrc])
}

/// A call whose far side changes.
struct Call {
    media: Continuity,
    mapping: Mapping,
    now: u64,
    last: Option<Header>,
}

impl Call {
    fn new() -> Call {
        Call {
            media: Continuity::new(8000),
            mapping: Mapping::new(),
            now: 0,
            last: None,
        }
    }

    fn move_away(&mut self) {
        self.media.moved();
        self.mapping.moved();
    }

    /// `count` packets of 160 bytes from `ssrc`, numbered from `first`.
    fn far_talks(&mut self, ssrc: u32, first: u16, count: u16) {
        for index in 0..count {
            let mut bytes = rtp(ssrc, first.wrapping_add(index), 160 * u32::from(index));
            self.now += PACKET;
            self.media
                .rewrite(Time::from_nanos(self.now), &mut bytes)
                .unwrap();
            self.last = Some(Header::read(&bytes).unwrap());
        }
    }

    fn near_talks(&mut self, first: u16, count: u32) {
        for index in 0..count {
            let bytes = rtp(NEAR, first.wrapping_add(index as u16), 0);
            self.mapping.observe(&Header::read(&bytes).unwrap());
        }
    }

    fn rewrite_from_far(&mut self, parts: &[Vec<u8>]) -> Result<Vec<u8>, Dropped> {
        let mut bytes = parts.concat();
        let len = self.mapping.rewrite_from_far(&mut self.media, &mut bytes)?;
        assert_eq!(check(&bytes[..len]), Ok(()));
        Ok(bytes[..len].to_vec())
    }

    fn rewrite_from_near(&mut self, parts: &[Vec<u8>]) -> Result<Vec<u8>, Dropped> {
        let mut bytes = parts.concat();
        let len = self.mapping.rewrite_from_near(&self.media, &mut bytes)?;
        assert_eq!(check(&bytes[..len]), Ok(()));
        Ok(bytes[..len].to_vec())
    }

    fn sequence(&self) -> u32 {
        u32::from(self.last.unwrap().sequence)
    }
}

fn rtp(ssrc: u32, sequence: u16, timestamp: u32) -> Vec<u8> {
    let mut bytes = vec![0; 172];
    bytes[0] = 0x80;
    put16(&mut bytes, 2, sequence);
    put32(&mut bytes, 4, timestamp);
    put32(&mut bytes, 8, ssrc);
    bytes
}

// spec: X29
#[test]
fn the_first_source_passes_unchanged() {
    let mut call = Call::new();
    call.far_talks(1, 65_000, 1000);
    call.near_talks(10, 50);
    let report = [sr(1, 99, 5, 1000, 160_000), sdes(1)];
    assert_eq!(call.rewrite_from_far(&report).unwrap(), report.concat());
    let report = [rr(1, &[block(NEAR, 2, 59, 7)]), sdes(1)];
    assert_eq!(call.rewrite_from_far(&report).unwrap(), report.concat());
    let report = [rr(NEAR, &[block(1, -3, 0x1_0000 + 463, 99)]), sdes(NEAR)];
    assert_eq!(call.rewrite_from_near(&report).unwrap(), report.concat());
}

// spec: X29
#[test]
fn sender_reports_count_on() {
    let mut call = Call::new();
    call.far_talks(1, 10, 100);
    // Two packets and their 320 octets were lost on the way to us, as the report shows.
    call.rewrite_from_far(&[sr(1, 50, 160 * 100, 102, 16_320), sdes(1)])
        .unwrap();
    call.move_away();
    call.far_talks(2, 7000, 5);
    let seen = call.last.unwrap();
    let report = call
        .rewrite_from_far(&[sr(2, 60, 640, 5, 800), sdes(2), bye(2)])
        .unwrap();
    assert_eq!(be32(&report, 4), 1);
    assert_eq!(
        be32(&report, 16),
        seen.timestamp,
        "of the same moment as the packet"
    );
    assert_eq!((be32(&report, 20), be32(&report, 24)), (107, 17_120));
    assert_eq!(
        report[28..],
        sdes(1),
        "the source description is renamed, the goodbye gone"
    );
}

// spec: X29
#[test]
fn a_goodbye_in_the_middle_of_a_call_is_not_heard() {
    let mut call = Call::new();
    call.far_talks(1, 10, 3);
    assert_eq!(call.rewrite_from_far(&[bye(1)]), Err(Dropped::Empty));
    call.far_talks(2, 10, 3);
    // What is late of the old source says nothing at all.
    assert_eq!(
        call.rewrite_from_far(&[rr(1, &[]), sdes(1), bye(1)]),
        Err(Dropped::Stale)
    );
    // A source that was not heard yet has no timestamps: its report becomes a receiver's.
    let early = call
        .rewrite_from_far(&[sr(3, 1, 1, 1, 1), sdes(3)])
        .unwrap();
    assert_eq!(early, [rr(1, &[]), sdes(1)].concat());
    // The near side may say goodbye.
    assert_eq!(call.rewrite_from_near(&[bye(NEAR)]).unwrap(), bye(NEAR));
}

// spec: X29
#[test]
fn receiver_reports_find_the_current_source() {
    let mut call = Call::new();
    call.far_talks(1, 65_530, 20);
    let report = call
        .rewrite_from_near(&[rr(NEAR, &[block(1, 4, 0x1_0000 + 13, 0)])])
        .unwrap();
    assert_eq!(be32(&report, 16), 0x1_0000 + 13);
    call.move_away();
    // Nobody there yet, then about packets of the old source: nothing to say to the new one.
    let old = [rr(
        NEAR,
        &[block(1, 5, 0x1_0000 + 13, 50), block(77, 1, 2, 3)],
    )];
    let kept = [rr(NEAR, &[block(77, 1, 2, 3)])].concat();
    assert_eq!(call.rewrite_from_near(&old).unwrap(), kept);
    call.far_talks(2, 40_000, 10);
    assert_eq!(call.rewrite_from_near(&old).unwrap(), kept);
    call.rewrite_from_far(&[sr(2, 200, 0, 10, 1600)]).unwrap();
    let highest = 0x1_0000 + call.sequence();
    let report = call
        .rewrite_from_near(&[rr(
            NEAR,
            &[block(1, 6, highest, 50), block(1, 6, highest - 2, 200)],
        )])
        .unwrap();
    let expect = [block(2, 1, 40_009, 0), block(2, 1, 40_007, 200)];
    let mut expect = rr(NEAR, &expect);
    put32(&mut expect, 28, 0); // the delay since a report of the old source
    assert_eq!(report, expect);
}

// spec: X29
#[test]
fn losses_are_counted_for_the_source_that_suffered_them() {
    let mut call = Call::new();
    call.far_talks(1, 100, 10);
    call.rewrite_from_near(&[rr(NEAR, &[block(1, 7, 109, 0)])])
        .unwrap();
    call.move_away();
    call.far_talks(2, 500, 10);
    // The first report after the move is about the new source already: 7 were the old one's.
    let report = [rr(NEAR, &[block(1, 9, 119, 0)])];
    let told = call.rewrite_from_near(&report).unwrap();
    assert_eq!(be32(&told, 12) & 0xff_ffff, 2);
    // A report that was overtaken tells that the old one had lost 8.
    let late = [rr(NEAR, &[block(1, 8, 108, 0)])];
    assert_eq!(call.rewrite_from_near(&late).unwrap(), rr(NEAR, &[]));
    let told = call.rewrite_from_near(&report).unwrap();
    assert_eq!(be32(&told, 12) & 0xff_ffff, 1);
}

// spec: X29
#[test]
fn the_first_cycle_of_the_near_source_has_none_below_it() {
    let mut call = Call::new();
    call.far_talks(1, 1, 1);
    call.near_talks(3, 1);
    call.rewrite_from_far(&[rr(1, &[])]).unwrap();
    call.move_away();
    let early = [rr(2, &[block(NEAR, 0, 65_535, 0)])];
    let told = call.rewrite_from_far(&early).unwrap();
    assert_eq!(told, rr(1, &[block(NEAR, 0, 65_535, 0)]));
}

// spec: X29
#[test]
fn the_near_source_is_reported_on_as_by_one_listener() {
    let mut call = Call::new();
    call.far_talks(1, 1, 1);
    call.near_talks(60_000, 80_000);
    let highest = 60_000 + 79_999;
    call.rewrite_from_far(&[rr(1, &[block(NEAR, 9, highest, 0)])])
        .unwrap();
    call.move_away();
    call.far_talks(2, 1, 1);
    // It began to listen a moment ago, and counts cycles and losses from zero.
    let report = call
        .rewrite_from_far(&[rr(2, &[block(NEAR, 2, highest & 0xffff, 0)])])
        .unwrap();
    assert_eq!(report, rr(1, &[block(NEAR, 11, highest, 0)]));
    call.move_away();
    let report = call
        .rewrite_from_far(&[rr(3, &[block(NEAR, 1, highest & 0xffff, 0)])])
        .unwrap();
    assert_eq!(report, rr(1, &[block(NEAR, 12, highest, 0)]));
}

// spec: X29
#[test]
fn feedback_and_extended_reports_are_renamed() {
    let mut call = Call::new();
    call.far_talks(1, 100, 3);
    call.move_away();
    call.far_talks(2, 500, 3);
    // A NACK of the packet before the last, a picture loss, statistics, an unknown type.
    let last = call.sequence();
    let unknown = part(209, 0, &[1, 2]);
    let sent = [
        part(RTPFB, 1, &[NEAR, 1, (last - 1) << 16]),
        part(PSFB, 1, &[NEAR, 1]),
        part(XR, 0, &[NEAR, 0x0600_0002, 1, (last - 1) << 16 | last]),
        unknown.clone(),
    ];
    let expect = [
        part(RTPFB, 1, &[NEAR, 2, 501 << 16]),
        part(PSFB, 1, &[NEAR, 2]),
        part(XR, 0, &[NEAR, 0x0600_0002, 2, 501 << 16 | 502]),
        unknown,
    ];
    assert_eq!(call.rewrite_from_near(&sent).unwrap(), expect.concat());
    let sent = [part(XR, 0, &[2]), part(APP, 0, &[2, 3])];
    let expect = [part(XR, 0, &[1]), part(APP, 0, &[1, 3])];
    assert_eq!(call.rewrite_from_far(&sent).unwrap(), expect.concat());
}

#[test]
fn what_does_not_fit_is_refused() {
    for (bytes, why) in [
        (vec![], Malformed::Short),
        (part(RR, 1, &[1]), Malformed::Length),
        (part(SR, 0, &[1, 2, 3, 4, 5]), Malformed::Length),
        (part(XR, 0, &[]), Malformed::Length),
        (part(9, 0, &[1]), Malformed::Type),
        (rr(1, &[])[..6].to_vec(), Malformed::Length),
        (vec![0x41, RR, 0, 1, 0, 0, 0, 0], Malformed::Version),
        (vec![0xa0, RR, 0, 1, 0, 0, 0, 0], Malformed::Padding),
        (
            [vec![0xa0, RR, 0, 2, 0, 0, 0, 0, 0, 0, 0, 4], bye(1)].concat(),
            Malformed::Padding,
        ),
    ] {
        assert_eq!(check(&bytes), Err(why), "{bytes:?}");
    }
    assert_eq!(check(&[0xa0, RR, 0, 2, 0, 0, 0, 0, 0, 0, 0, 4]), Ok(()));
    assert_eq!(
        check_protected(&[0x80, SR, 9, 9, 0, 0, 0, 1, 0xde, 0xad]),
        Ok(())
    );
    assert_eq!(
        check_protected(&[0x80, 8, 9, 9, 0, 0, 0, 1]),
        Err(Malformed::Type)
    );
}

#[test]
fn noise_never_panics() {
    let mut rng = ChaCha8Rng::seed_from_u64(29);
    let mut call = Call::new();
    let mut passed = 0_u32;
    for turn in 0..60_000_u32 {
        if turn.is_multiple_of(50) {
            if turn.is_multiple_of(100) {
                call.move_away();
            }
            call.far_talks(turn / 50, turn as u16, 2);
            call.near_talks(turn as u16, 3);
        }
        let source = turn / 50;
        let highest = call.sequence();
        let mut bytes = [
            sr(source, turn, turn, turn, turn),
            rr(
                source,
                &[
                    block(NEAR, 1, turn, 1),
                    block(1, 2, highest, turn),
                    block(1, 2, 1, 1),
                ],
            ),
            sdes(source),
            part(RTPFB, 1, &[source, 1, highest]),
            part(XR, 0, &[source, 0x0600_0002, 1, 1]),
            bye(source),
        ]
        .concat();
        for _ in 0..rng.next_u32() % 4 {
            let at = rng.next_u32() as usize % bytes.len();
            bytes[at] ^= 1 << (rng.next_u32() % 8);
        }
        if rng.next_u32().is_multiple_of(10) {
            bytes.truncate(rng.next_u32() as usize % bytes.len());
        }
        let before = bytes.len();
        let result = if turn.is_multiple_of(2) {
            call.mapping.rewrite_from_far(&mut call.media, &mut bytes)
        } else {
            call.mapping.rewrite_from_near(&call.media, &mut bytes)
        };
        if let Ok(len) = result {
            passed += 1;
            assert!(len <= before);
            assert_eq!(check(&bytes[..len]), Ok(()), "what passes is well formed");
        }
    }
    assert!(passed > 10_000, "{passed}");
}
