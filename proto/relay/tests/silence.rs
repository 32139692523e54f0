//! Silence for a near side whose far side is absent: the pure table in virtual time.

mod support;

use holdline_relay::{
    Channel, Comfort, Command, GroupId, Peer, Side, SideSpec, StreamId, Table, Verdict,
};
use holdline_wire::Time;
use holdline_wire::rtp::{Header, SILENCE_MAX};
use std::net::SocketAddr;
use std::time::Duration;
use support::rtp;

const A: StreamId = StreamId(1);

fn at(millis: u64) -> Time {
    Time::ZERO + Duration::from_millis(millis)
}

fn side(local: u16, peer: u16) -> SideSpec {
    let address = |port| SocketAddr::from(([192, 0, 2, 1], port));
    let peer = Peer {
        rtp: address(peer),
        rtcp: None,
    };
    SideSpec {
        local: address(local),
        peer: Some(peer),
    }
}

fn install(stream: StreamId, steady: bool) -> Command {
    let base = 4000 + 10 * stream.0 as u16;
    Command::Install {
        stream,
        near: side(base, 5000),
        far: side(base + 4, 6000),
        group: GroupId(1),
        clock_rate: 8000,
        steady,
    }
}

/// Silence after 200 ms, in PCMU or PCMA.
fn comfort() -> Comfort {
    support::comfort(Duration::from_millis(200))
}

fn wait(stream: StreamId) -> Command {
    Command::Comfort {
        stream,
        comfort: Some(comfort()),
    }
}

/// A table whose time is at hand, and what its near sides hear.
struct World {
    table: Table,
    heard: Vec<(u64, StreamId, Header)>,
}

impl World {
    fn with(streams: u64) -> World {
        let mut table = Table::new();
        for stream in 1..=streams {
            table.apply(&install(StreamId(stream), true));
        }
        let heard = Vec::new();
        World { table, heard }
    }

    fn far_speaks(&mut self, millis: u64, stream: StreamId, ssrc: u32, sequence: u16) {
        let mut bytes = rtp(ssrc, sequence);
        let (far, rtp) = (Side::Far, Channel::Rtp);
        let verdict = self
            .table
            .handle_packet(at(millis), stream, far, rtp, &mut bytes);
        assert!(matches!(verdict, Verdict::Forward { .. }), "{verdict:?}");
        let header = Header::read(&bytes).unwrap();
        self.heard.push((millis, stream, header));
    }

    /// Every 20 ms, so that the last packet comes at `until`.
    fn far_speaks_until(&mut self, until: u64, stream: StreamId) {
        for n in 0..10 {
            self.far_speaks(until - 180 + 20 * n, stream, 7, 100 + n as u16);
        }
    }

    /// The relay's thread comes when something is due, to the millisecond, until `until`; how
    /// often it did.
    fn pass(&mut self, from: u64, until: u64) -> usize {
        let (mut turns, mut packet) = (0, [0; SILENCE_MAX]);
        for millis in from..=until {
            if self.table.silence_due().is_none_or(|due| due > at(millis)) {
                continue;
            }
            turns += 1;
            while let Some((stream, len)) = self.table.silence(at(millis), &mut packet) {
                let header = Header::read(&packet[..len]).unwrap();
                self.heard.push((millis, stream, header));
            }
        }
        turns
    }

    fn times(&self, stream: StreamId) -> Vec<u64> {
        let of = self.heard.iter().filter(|(_, of, _)| *of == stream);
        of.map(|(millis, ..)| *millis).collect()
    }

    /// One source, no number missing, and timestamps that follow the time.
    fn assert_continuous(&self, stream: StreamId) {
        let of: Vec<_> = self
            .heard
            .iter()
            .filter(|(_, of, _)| *of == stream)
            .collect();
        for pair in of.windows(2) {
            let ((before, _, a), (now, _, b)) = (pair[0], pair[1]);
            assert_eq!(b.ssrc, a.ssrc);
            assert_eq!(b.sequence, a.sequence.wrapping_add(1), "at {now}");
            let told = u64::from(b.timestamp.wrapping_sub(a.timestamp)) / 8;
            assert!(
                told.abs_diff(now - before) <= 20,
                "{told} ms in {before}..{now}"
            );
        }
    }
}

// spec: X24 X29
#[test]
fn the_near_side_hears_silence_until_the_far_side_speaks_again() {
    let mut world = World::with(1);
    world.far_speaks_until(180, A);
    world.table.apply(&wait(A));
    world.pass(190, 1000);
    let silence: Vec<u64> = (0..)
        .map(|n| 400 + 20 * n)
        .take_while(|t| *t <= 1000)
        .collect();
    assert_eq!(world.times(A)[10..], silence);
    assert!(
        world
            .heard
            .iter()
            .all(|(_, _, header)| header.payload_type == 8)
    );

    // A survivor answers: its first packet ends the silence, though nobody withdrew it.
    let far = side(8000, 6100);
    let group = GroupId(2);
    world.table.apply(&Command::Move {
        stream: A,
        far,
        group,
    });
    for n in 0..10 {
        world.far_speaks(1007 + 20 * n, A, 8, 9000 + n as u16);
        world.pass(1008 + 20 * n, 1026 + 20 * n);
    }
    let spoken = world.times(A).iter().filter(|t| **t > 1000).count();
    assert_eq!(spoken, 10, "the survivor alone is heard");
    let markers = world.heard.iter().filter(|(_, _, header)| header.marker);
    assert_eq!(markers.map(|(t, ..)| *t).collect::<Vec<_>>(), [1007]);

    // It dies as well; then the call is given up.
    world.pass(1200, 1600);
    let again: Vec<u64> = (0..)
        .map(|n| 1407 + 20 * n)
        .take_while(|t| *t <= 1600)
        .collect();
    let after = world
        .times(A)
        .into_iter()
        .filter(|t| *t > 1187)
        .collect::<Vec<_>>();
    assert_eq!(after, again);
    world.table.apply(&Command::Comfort {
        stream: A,
        comfort: None,
    });
    assert_eq!(world.table.silence_due(), None);
    world.assert_continuous(A);
}

// spec: X24 X29
#[test]
fn what_a_late_thread_missed_is_not_made_up_for() {
    let mut world = World::with(1);
    world.far_speaks_until(180, A);
    world.table.apply(&wait(A));
    world.pass(190, 500);
    let before = world.heard.len();
    world.pass(1503, 1560);
    assert_eq!(world.times(A)[before..], [1503, 1520, 1540, 1560]);
    world.assert_continuous(A);
}

// spec: X24
#[test]
fn the_format_last_heard_is_kept() {
    let mut world = World::with(1);
    world.table.apply(&wait(A));
    world.pass(0, 30);
    let (_, _, first) = world.heard[0];
    assert_eq!((first.payload_type, first.ssrc), (0, 7), "nobody was heard");
    world.far_speaks(40, A, 1, 1);
    world.pass(41, 300);
    assert_eq!(world.heard.last().unwrap().2.payload_type, 8);
    world.assert_continuous(A);
}

// spec: X24
#[test]
fn only_who_waits_costs_anything_and_only_who_listens_hears() {
    let mut world = World::with(1000);
    world.table.apply(&install(StreamId(2000), false));
    let plain = StreamId(2000);
    for stream in [A, StreamId(2), plain] {
        world.far_speaks_until(180 + stream.0 % 1000, stream);
        world.table.apply(&wait(stream));
        world.table.apply(&wait(stream));
    }
    // The second one's calling server has no address for media: it is asked after, not paced.
    world.table.apply(&Command::SetPeer {
        stream: StreamId(2),
        side: Side::Near,
        peer: None,
    });
    let turns = world.pass(190, 1180);
    assert!(turns <= 50, "{turns}");
    assert_eq!(world.times(A).len(), 10 + 39);
    assert_eq!(world.times(StreamId(2)).len(), 10);
    assert_eq!(
        world.times(plain).len(),
        10,
        "a node's near side is an agent"
    );
    for stream in 1..=1000 {
        let stream = StreamId(stream);
        world.table.apply(&Command::Remove { stream });
    }
    assert_eq!(world.table.silence_due(), None);
}

// spec: X24
#[test]
fn who_never_hears_its_far_side_again_costs_no_more_than_a_packet_each_time() {
    // Hundreds of streams in step with their own media, not with the verdict.
    let mut world = World::with(20);
    for stream in 1..=20 {
        world.far_speaks_until(180 + stream, StreamId(stream));
    }
    for stream in 1..=20 {
        world.table.apply(&wait(StreamId(stream)));
    }
    world.pass(210, 600);
    let first = |stream| world.times(StreamId(stream))[10];
    let firsts: std::collections::BTreeSet<u64> = (1..=20).map(first).collect();
    assert_eq!(firsts.len(), 20, "each at a moment of its own");
}
