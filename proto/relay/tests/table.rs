//! The pure table in virtual time, as the simulated world uses it.
#![allow(
    unsafe_code,
    reason = "an allocator that counts proves that a packet costs none"
)]

mod support;

use holdline_relay::{
    Applied, Channel, Command, GroupId, Peer, Reason, Side, SideSpec, StreamId, Table, Verdict,
};
use holdline_wire::Time;
use holdline_wire::rtp::{Dropped, Header, Malformed};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::time::Duration;
use support::{rtcp, rtp};

struct Counting;

thread_local! {
    static ALLOCATED: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is left to the system's allocator; the counter allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.set(ALLOCATED.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const A: StreamId = StreamId(1);

fn at(millis: u64) -> Time {
    Time::ZERO + Duration::from_millis(millis)
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

fn side(local: u16, rtp: u16, rtcp: Option<u16>) -> SideSpec {
    let peer = Peer {
        rtp: address(rtp),
        rtcp: rtcp.map(address),
    };
    SideSpec {
        local: address(local),
        peer: Some(peer),
    }
}

fn install(stream: u64, group: u32, steady: bool) -> Command {
    let base = 4000 + 10 * stream as u16;
    Command::Install {
        stream: StreamId(stream),
        near: side(base, 5000, Some(5001)),
        far: side(base + 4, 6000, Some(6001)),
        group: GroupId(group),
        clock_rate: 8000,
        steady,
    }
}

fn push(table: &mut Table, now: Time, stream: StreamId, from: Side, bytes: &[u8]) -> Verdict {
    table.handle_packet(now, stream, from, Channel::Rtp, &mut bytes.to_vec())
}

#[test]
fn rtcp_takes_the_port_that_the_other_side_wants() {
    for (rtcp_port, expected) in [
        (Some(5001), Some(Channel::Rtcp)),
        (Some(5000), Some(Channel::Rtp)),
        (None, None),
        (Some(0), None),
    ] {
        let mut table = Table::new();
        let near = side(4000, 5000, rtcp_port);
        let (far, group) = (side(4010, 6000, Some(6001)), GroupId(1));
        table.apply(&Command::Install {
            stream: A,
            near,
            far,
            group,
            clock_rate: 8000,
            steady: true,
        });
        for channel in [Channel::Rtp, Channel::Rtcp] {
            let verdict = table.handle_packet(at(0), A, Side::Far, channel, &mut rtcp(1));
            let forward = |channel| Verdict::Forward {
                to: Side::Near,
                channel,
                len: 8,
            };
            assert_eq!(
                verdict,
                expected.map_or(Verdict::Drop(Reason::NoWay), forward)
            );
        }
        let remote = table.remote(A, Side::Near, Channel::Rtcp);
        assert_eq!(
            remote,
            (expected == Some(Channel::Rtcp)).then(|| address(5001))
        );
    }
}

// spec: X41
#[test]
fn what_is_not_media_or_has_no_peer_is_dropped() {
    let mut table = Table::new();
    assert_eq!(
        push(&mut table, at(0), A, Side::Far, &rtp(1, 1)),
        Verdict::Drop(Reason::UnknownStream)
    );
    table.apply(&install(1, 7, false));
    let malformed = |why: Malformed| Verdict::Drop(Reason::Refused(Dropped::from(why)));
    let stun = [
        0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    assert_eq!(
        push(&mut table, at(0), A, Side::Far, &stun),
        malformed(Malformed::Version)
    );
    assert_eq!(
        push(&mut table, at(0), A, Side::Far, &[]),
        malformed(Malformed::Short)
    );
    let on_rtcp = table.handle_packet(at(0), A, Side::Far, Channel::Rtcp, &mut rtp(1, 1));
    assert_eq!(on_rtcp, malformed(Malformed::Type));
    assert!(
        table.tick(at(1), Duration::ZERO).groups.is_empty(),
        "noise is no sign of life"
    );

    // Addresses that mean nobody.
    for port_and_ip in [SocketAddr::from(([0, 0, 0, 0], 6000)), address(0)] {
        let peer = Some(Peer {
            rtp: port_and_ip,
            rtcp: None,
        });
        table.apply(&Command::SetPeer {
            stream: A,
            side: Side::Far,
            peer,
        });
        assert_eq!(
            push(&mut table, at(0), A, Side::Near, &rtp(1, 1)),
            Verdict::Drop(Reason::NoWay)
        );
        assert_eq!(
            push(&mut table, at(0), A, Side::Far, &rtp(1, 1)),
            Verdict::Drop(Reason::NoPeer)
        );
        assert_eq!(table.remote(A, Side::Far, Channel::Rtp), None);
    }
}

// spec: X20
#[test]
fn a_tick_tells_the_groups_that_were_heard() {
    let mut table = Table::new();
    for (stream, group) in [(1, 9), (2, 9), (3, 4), (4, 5)] {
        table.apply(&install(stream, group, true));
    }
    for (now, stream) in [(1, 1), (2, 1), (3, 2), (4, 3)] {
        push(
            &mut table,
            at(now),
            StreamId(stream),
            Side::Far,
            &rtp(1, now as u16),
        );
    }
    push(&mut table, at(9), StreamId(4), Side::Near, &rtp(1, 1));
    let tick = table.tick(at(10), Duration::from_millis(2));
    let told: Vec<_> = tick
        .groups
        .iter()
        .map(|t| (t.group.0, t.packets, t.streams, t.newest, t.pause))
        .collect();
    let (none, one) = (Duration::ZERO, Duration::from_millis(1));
    assert_eq!(told, [(4, 1, 1, at(4), none), (9, 3, 2, at(3), one)]);
    assert_eq!((tick.at, tick.late), (at(10), Duration::from_millis(2)));
    assert!(table.tick(at(20), Duration::ZERO).groups.is_empty());

    // A move takes the stream to another group; the refusals of a stream are told once a tick.
    for stream in [1, 2] {
        let stream = StreamId(stream);
        push(&mut table, at(20), stream, Side::Near, &rtp(1, 1));
    }
    assert_eq!(table.refused(at(20), StreamId(1)), Some(GroupId(9)));
    assert_eq!(table.refused(at(20), StreamId(2)), Some(GroupId(9)));
    assert_eq!(table.refused(at(20), StreamId(2)), None);
    let far = side(8000, 6100, None);
    table.apply(&Command::Move {
        stream: StreamId(1),
        far,
        group: GroupId(77),
    });
    push(&mut table, at(21), StreamId(1), Side::Far, &rtp(8, 1));
    assert_eq!(table.refused(at(21), StreamId(1)), Some(GroupId(77)));
    let tick = table.tick(at(30), Duration::ZERO);
    assert_eq!(
        tick.groups.iter().map(|t| t.group.0).collect::<Vec<_>>(),
        [77]
    );
    assert_eq!(table.refused(at(30), StreamId(2)), Some(GroupId(9)));
    for stream in 1..=4 {
        table.apply(&Command::Remove {
            stream: StreamId(stream),
        });
    }
    assert!(table.is_empty() && table.tick(at(40), Duration::ZERO).groups.is_empty());
}

// spec: X20
#[test]
fn of_many_refused_streams_four_are_told_in_a_tick() {
    let mut table = Table::new();
    for stream in 1..=9 {
        table.apply(&install(stream, 9, true));
        push(&mut table, at(0), StreamId(stream), Side::Near, &rtp(1, 1));
    }
    for round in 1..=2 {
        let now = at(10 * round);
        let told = |stream: &u64| table.refused(now, StreamId(*stream)).is_some();
        assert_eq!((1..=9).filter(told).count(), 4, "tick {round}");
        table.tick(at(10 * round), Duration::ZERO);
    }
}

// spec: X52
#[test]
fn a_refusal_of_what_was_not_sent_of_late_is_nobodys() {
    let mut table = Table::new();
    table.apply(&install(1, 9, true));
    assert_eq!(table.refused(at(5), A), None, "nothing was sent");
    push(&mut table, at(10), A, Side::Near, &rtp(1, 1));
    assert_eq!(table.refused(at(2011), A), None, "that was long ago");
    assert_eq!(table.refused(at(2010), A), Some(GroupId(9)));
}

#[test]
fn commands_may_be_repeated() {
    let mut table = Table::new();
    let ports = |table: &Table| {
        let local = |side| table.spec(A, side).map(|spec| spec.local);
        (local(Side::Near), local(Side::Far))
    };
    assert_eq!(
        table.apply(&install(1, 1, true)),
        Applied::Open {
            near: true,
            far: true
        }
    );
    assert_eq!(table.apply(&install(1, 1, true)), Applied::Nothing);
    let near = Some(address(4010));
    assert_eq!(ports(&table), (near, Some(address(4014))));

    let far = side(8000, 6100, None);
    let away = Command::Move {
        stream: A,
        far,
        group: GroupId(2),
    };
    assert_eq!(
        table.apply(&away),
        Applied::Open {
            near: false,
            far: true
        }
    );
    assert_eq!(table.apply(&away), Applied::Nothing);
    assert_eq!(ports(&table), (near, Some(address(8000))));
    // The same ports for another node are another socket all the same.
    let again = Command::Move {
        stream: A,
        far,
        group: GroupId(3),
    };
    assert_eq!(
        table.apply(&again),
        Applied::Open {
            near: false,
            far: true
        }
    );

    let answer = Command::SetPeer {
        stream: A,
        side: Side::Far,
        peer: side(0, 6200, None).peer,
    };
    assert_eq!(table.apply(&answer), Applied::Connect(Side::Far));
    assert_eq!(table.apply(&answer), Applied::Nothing);
    table.close_side(A, Side::Far);
    assert_eq!(table.apply(&answer), Applied::Nothing, "no such side");
    assert_eq!(
        table.apply(&install(1, 1, true)),
        Applied::Open {
            near: false,
            far: true
        }
    );

    let remove = Command::Remove { stream: A };
    assert_eq!(table.apply(&remove), Applied::Removed);
    assert_eq!(table.apply(&remove), Applied::Nothing);
    assert_eq!((table.ignored(), ports(&table)), (1, (None, None)));
}

// spec: X29
#[test]
fn the_gap_of_a_failover_is_not_heard() {
    let mut table = Table::new();
    table.apply(&install(1, 1, true));
    let mut heard: Vec<(u64, Header)> = Vec::new();
    let mut speak = |table: &mut Table, now: u64, ssrc, sequence| {
        let mut bytes = rtp(ssrc, sequence);
        let verdict = table.handle_packet(at(now), A, Side::Far, Channel::Rtp, &mut bytes);
        assert!(matches!(
            verdict,
            Verdict::Forward {
                to: Side::Near,
                len: 32,
                ..
            }
        ));
        heard.push((now, Header::read(&bytes).unwrap()));
    };
    for index in 0..50 {
        speak(&mut table, 20 * u64::from(index), 1, index);
    }
    table.apply(&Command::Move {
        stream: A,
        far: side(8000, 6100, None),
        group: GroupId(2),
    });
    // The new node answers 340 ms after the old one's last packet.
    for index in 0..50 {
        speak(
            &mut table,
            980 + 340 + 20 * u64::from(index),
            2,
            9000 + index,
        );
    }
    for (index, (now, header)) in heard.iter().enumerate() {
        assert_eq!((header.ssrc, usize::from(header.sequence)), (1, index));
        assert_eq!(u64::from(header.timestamp), 8 * now);
        assert_eq!(header.marker, index == 50);
    }
}

#[test]
fn a_packet_costs_no_allocation() {
    let mut table = Table::new();
    for stream in 0..10 {
        table.apply(&install(stream, stream as u32, stream % 2 == 0));
    }
    // A group's first packet in a tick may make room for it.
    let mut buffer = rtp(1, 0);
    for stream in 0..10 {
        table.handle_packet(
            at(0),
            StreamId(stream),
            Side::Far,
            Channel::Rtp,
            &mut buffer,
        );
    }
    let (media, control) = (rtp(1, 1), rtcp(1));
    let before = ALLOCATED.get();
    for turn in 0..10_000_u64 {
        for from in support::SIDES {
            let stream = StreamId(turn % 10);
            buffer[..32].copy_from_slice(&media);
            buffer[2..4].copy_from_slice(&(turn as u16).to_be_bytes());
            table.handle_packet(at(turn), stream, from, Channel::Rtp, &mut buffer);
            buffer[..8].copy_from_slice(&control);
            table.handle_packet(at(turn), stream, from, Channel::Rtcp, &mut buffer[..8]);
        }
    }
    assert_eq!(ALLOCATED.get() - before, 0);
}

#[test]
fn mutations_never_panic() {
    let mut table = Table::new();
    for stream in 0..4 {
        table.apply(&install(stream, stream as u32, stream % 2 == 0));
    }
    // A generator of George Marsaglia's (xorshift64): only the spread matters here.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % below
    };
    let mut forwarded = 0;
    for turn in 0..200_000_u64 {
        let ssrc = draw(3) as u32;
        let mut bytes = if draw(2) == 0 {
            rtp(ssrc, turn as u16)
        } else {
            rtcp(ssrc)
        };
        for _ in 0..draw(4) {
            let at = draw(bytes.len());
            bytes[at] = draw(256) as u8;
        }
        bytes.truncate(draw(64));
        let stream = StreamId(draw(5) as u64);
        let from = support::SIDES[draw(2)];
        let channel = [Channel::Rtp, Channel::Rtcp][draw(2)];
        let verdict = table.handle_packet(at(turn), stream, from, channel, &mut bytes);
        if let Verdict::Forward { to, len, .. } = verdict {
            assert!(to == from.other() && len <= bytes.len());
            forwarded += 1;
        }
        if draw(5000) == 0 {
            let group = GroupId(draw(9) as u32);
            table.apply(&Command::Move {
                stream,
                far: side(8000, 6000, Some(6001)),
                group,
            });
        }
    }
    assert!(forwarded > 10_000, "{forwarded}");
}

/// A process that was restarted at its place: what the old one sent must not be taken for it.
// spec: X51
#[test]
fn a_move_to_the_same_ports_of_the_same_group_opens_them_anew() {
    let mut table = Table::new();
    table.apply(&install(1, 1, true));
    let own = table.spec(A, Side::Far).unwrap().local;
    let again = Command::Move {
        stream: A,
        far: SideSpec {
            local: own,
            peer: None,
        },
        group: GroupId(1),
    };
    let opened = Applied::Open {
        near: false,
        far: true,
    };
    assert_eq!(table.apply(&again), opened);
    assert_eq!(table.apply(&again), Applied::Nothing);
}
