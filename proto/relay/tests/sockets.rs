//! The relay's thread with real sockets.

mod support;

use holdline_relay::{Command, GroupId, Peer, Report, Side, SideSpec, StreamId};
use holdline_wire::rtp::Header;
use nix::errno::Errno;
use std::net::UdpSocket;
use std::sync::mpsc::TryRecvError;
use std::time::{Duration, Instant};
use support::{Bench, PATIENCE, receive, rtcp, rtp};

const STREAM: StreamId = StreamId(1);

/// Nothing arrives at an endpoint that something else just passed by.
fn silent(endpoint: &UdpSocket) {
    endpoint.set_nonblocking(true).unwrap();
    assert!(endpoint.recv(&mut [0; 64]).is_err());
    endpoint.set_nonblocking(false).unwrap();
}

/// Ticks say who was heard; while there is no stream the thread sleeps.
#[test]
fn without_a_stream_there_is_no_tick() {
    let bench = Bench::new(19);
    let tick = |report: Report| match report {
        Report::Tick(tick) => Some(tick),
        _ => None,
    };
    let none = |bench: &Bench| {
        std::thread::sleep(Duration::from_millis(100));
        assert!(
            !bench
                .reports
                .try_iter()
                .any(|report| tick(report).is_some())
        );
    };
    none(&bench);
    bench.install(1, bench.side(4000, 5000), bench.side(4100, 6000), false);
    for _ in 0..3 {
        bench.wait(tick);
    }
    bench.send(Command::Remove { stream: STREAM });
    bench.wait(|report| matches!(report, Report::Removed { .. }).then_some(()));
    // The one that was under way.
    bench.wait(tick);
    none(&bench);
    bench.install(2, bench.side(4200, 5000), bench.side(4300, 6000), false);
    bench.wait(tick);
}

// spec: X41
#[test]
fn packets_pass_both_ways_from_their_peers_only() {
    let bench = Bench::new(1);
    let (near, near_rtcp) = (bench.endpoint(5000), bench.endpoint(5001));
    let (far, far_rtcp) = (bench.endpoint(6000), bench.endpoint(6001));
    let stranger = bench.endpoint(7000);
    bench.install(1, bench.side(4000, 5000), bench.side(4100, 6000), false);
    bench.settle();

    stranger.send_to(&rtp(66, 1), bench.at(4000)).unwrap();
    stranger.send_to(&rtp(66, 1), bench.at(4100)).unwrap();
    near.send_to(&rtp(1, 7), bench.at(4000)).unwrap();
    assert_eq!(receive(&far), (rtp(1, 7), bench.at(4100)));
    far.send_to(&rtp(2, 9), bench.at(4100)).unwrap();
    assert_eq!(receive(&near), (rtp(2, 9), bench.at(4000)));
    near_rtcp.send_to(&rtcp(1), bench.at(4001)).unwrap();
    assert_eq!(receive(&far_rtcp), (rtcp(1), bench.at(4101)));
    far_rtcp.send_to(&rtcp(2), bench.at(4101)).unwrap();
    assert_eq!(receive(&near_rtcp), (rtcp(2), bench.at(4001)));
    silent(&near);
    silent(&far);

    let tick = bench.wait(|report| match report {
        Report::Tick(tick) if !tick.groups.is_empty() => Some(tick),
        _ => None,
    });
    assert_eq!(tick.groups[0].group, GroupId(1));
    assert_eq!(tick.groups[0].streams, 1);
    assert!(tick.groups[0].newest <= tick.at);

    bench.send(Command::Remove { stream: STREAM });
    let closed = bench.wait(|report| match report {
        Report::Removed { closed, .. } => Some(closed),
        _ => None,
    });
    assert_eq!(closed, [Some(4000), Some(4100)]);
}

#[test]
fn with_mux_both_kinds_share_a_port() {
    let bench = Bench::new(2);
    let (near, far) = (bench.endpoint(5000), bench.endpoint(6000));
    let far_rtcp = bench.endpoint(6001);
    let mux = Peer {
        rtp: bench.at(5000),
        rtcp: Some(bench.at(5000)),
    };
    let near_side = SideSpec {
        local: bench.at(4000),
        peer: Some(mux),
    };
    bench.install(1, near_side, bench.side(4100, 6000), true);
    bench.settle();
    near.send_to(&rtp(1, 1), bench.at(4000)).unwrap();
    assert_eq!(receive(&far).0, rtp(1, 1));
    near.send_to(&rtcp(1), bench.at(4000)).unwrap();
    assert_eq!(receive(&far_rtcp), (rtcp(1), bench.at(4101)));
    far_rtcp.send_to(&rtcp(2), bench.at(4101)).unwrap();
    assert_eq!(receive(&near), (rtcp(2), bench.at(4000)));
}

// spec: X41
#[test]
fn without_a_peer_nothing_is_taken_and_nothing_is_sent() {
    let bench = Bench::new(3);
    let (near, far) = (bench.endpoint(5000), bench.endpoint(6000));
    let stranger = bench.endpoint(7000);
    let unknown = SideSpec {
        local: bench.at(4100),
        peer: None,
    };
    bench.install(1, bench.side(4000, 5000), unknown, false);
    bench.settle();
    near.send_to(&rtp(1, 1), bench.at(4000)).unwrap();
    // Both are queued or drained before the peer is known; neither may pass after it.
    stranger.send_to(&rtp(66, 1), bench.at(4100)).unwrap();
    far.send_to(&rtp(2, 1), bench.at(4100)).unwrap();
    bench.wait(|report| matches!(report, Report::Tick(_)).then_some(()));
    bench.wait(|report| matches!(report, Report::Tick(_)).then_some(()));
    let peer = bench.side(0, 6000).peer;
    bench.send(Command::SetPeer {
        stream: STREAM,
        side: Side::Far,
        peer,
    });
    bench.settle();
    near.send_to(&rtp(1, 2), bench.at(4000)).unwrap();
    assert_eq!(receive(&far).0, rtp(1, 2));
    far.send_to(&rtp(2, 2), bench.at(4100)).unwrap();
    assert_eq!(receive(&near).0, rtp(2, 2));
    // Taken away again.
    bench.send(Command::SetPeer {
        stream: STREAM,
        side: Side::Far,
        peer: None,
    });
    bench.settle();
    far.send_to(&rtp(2, 3), bench.at(4100)).unwrap();
    near.send_to(&rtp(1, 3), bench.at(4000)).unwrap();
    bench.send(Command::SetPeer {
        stream: STREAM,
        side: Side::Far,
        peer,
    });
    bench.settle();
    far.send_to(&rtp(2, 4), bench.at(4100)).unwrap();
    let mut heard = receive(&near).0;
    if heard == rtp(2, 3) {
        // It was still in the socket when its peer was known again.
        heard = receive(&near).0;
    }
    assert_eq!(heard, rtp(2, 4));
    silent(&near);
}

// spec: X29
#[test]
fn a_move_is_not_heard_at_the_near_side() {
    let bench = Bench::new(4);
    let near = bench.endpoint(5000);
    bench.install(1, bench.side(4000, 5000), bench.side(4100, 6000), true);
    bench.settle();
    let mut last: Option<Header> = None;
    for node in 0..5_u16 {
        let (local, remote) = (4100 + 10 * node, 6000 + 10 * node);
        if node > 0 {
            let far = bench.side(local, remote);
            let group = GroupId(u32::from(node));
            bench.send(Command::Move {
                stream: STREAM,
                far,
                group,
            });
            bench.settle();
        }
        let far = bench.endpoint(remote);
        for index in 0..20_u16 {
            let sent = rtp(0xaa00 + u32::from(node), 60_000 + 777 * node + index);
            far.send_to(&sent, bench.at(local)).unwrap();
            let (bytes, from) = receive(&near);
            let header = Header::read(&bytes).unwrap();
            assert_eq!((header.ssrc, from), (0xaa00, bench.at(4000)));
            assert_eq!(header.marker, index == 0 && node > 0);
            if let Some(last) = last {
                assert_eq!(header.sequence, last.sequence.wrapping_add(1));
                let step = header.timestamp.wrapping_sub(last.timestamp);
                assert!(step >= 160 && step.is_multiple_of(160), "{step}");
            }
            assert_eq!(bytes[12..], sent[12..]);
            last = Some(header);
        }
        near.send_to(&rtp(1, 100 + node), bench.at(4000)).unwrap();
        assert_eq!(receive(&far), (rtp(1, 100 + node), bench.at(local)));
        // The old node's ports are closed: what it still sends goes nowhere.
        if node > 0 {
            let freed = UdpSocket::bind(bench.at(local - 10));
            assert!(freed.is_ok(), "the fence of the old node");
        }
    }
}

/// The far side is gone for 600 ms of real time.
// spec: X24 X29
#[test]
fn a_near_side_whose_far_side_is_absent_hears_silence() {
    let bench = Bench::new(12);
    let (near, far) = (bench.endpoint(5000), bench.endpoint(6000));
    bench.install(1, bench.side(4000, 5000), bench.side(4100, 6000), true);
    bench.settle();
    let mut heard = Vec::new();
    let mut hear = || {
        let (bytes, from) = receive(&near);
        assert_eq!(from, bench.at(4000));
        let header = Header::read(&bytes).unwrap();
        heard.push((Instant::now(), header));
        (header, bytes)
    };
    for sequence in 65_530..65_535 {
        far.send_to(&rtp(0xaa, sequence), bench.at(4100)).unwrap();
        hear();
        std::thread::sleep(Duration::from_millis(20));
    }
    let comfort = Some(support::comfort(Duration::from_millis(100)));
    let stream = STREAM;
    bench.send(Command::Comfort { stream, comfort });
    for _ in 0..25 {
        hear();
    }
    bench.send(Command::Move {
        stream,
        far: bench.side(4110, 6010),
        group: GroupId(2),
    });
    bench.settle();
    let survivor = bench.endpoint(6010);
    survivor.send_to(&rtp(0xbb, 7), bench.at(4110)).unwrap();
    let spoken = loop {
        let (header, bytes) = hear();
        if bytes[12..] == rtp(0xbb, 7)[12..] {
            break header.marker;
        }
        assert_eq!(bytes[12..], [0xd5; 160]);
    };
    assert!(spoken, "the first real packet is marked");
    for pair in heard.windows(2) {
        let ((then, a), (now, b)) = (&pair[0], &pair[1]);
        assert_eq!((b.ssrc, b.payload_type), (0xaa, 8));
        assert_eq!(b.sequence, a.sequence.wrapping_add(1));
        let step = b.timestamp.wrapping_sub(a.timestamp);
        assert!(step >= 160 && step.is_multiple_of(160), "{step}");
        assert!(*now - *then < Duration::from_millis(1000), "a hole");
    }
    let waited = heard[heard.len() - 2].0 - heard[5].0;
    assert!(waited >= Duration::from_millis(24 * 20 - 20), "{waited:?}");
    assert!(bench.relay.counters().silence_packets >= 25);
}

// spec: X20
#[test]
fn a_refused_packet_is_told_once_a_tick_and_costs_no_other() {
    let bench = Bench::new(5);
    let near = bench.endpoint(5000);
    for stream in 1..=3 {
        let port = 4000 + 20 * stream as u16;
        bench.install(
            stream,
            bench.side(port, 5000),
            bench.side(port + 10, 6000),
            true,
        );
    }
    bench.settle();
    let mut sent = 0;
    let begin = Instant::now();
    let (group, stream) = loop {
        for stream in 1..=3 {
            near.send_to(&rtp(1, sent), bench.at(4000 + 20 * stream))
                .unwrap();
        }
        sent += 1;
        let found = bench.reports.try_iter().find_map(|report| match report {
            Report::Refused { group, stream, .. } => Some((group, stream)),
            _ => None,
        });
        if let Some(found) = found {
            break found;
        }
        assert!(
            begin.elapsed() < PATIENCE,
            "no refusal after {sent} packets"
        );
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(group, GroupId(1));
    assert!((1..=3).contains(&stream.0));
    assert!(sent <= 25, "{sent}");

    // The peer begins to listen while an error is pending: the next packet reaches it all the same.
    near.send_to(&rtp(1, 1000), bench.at(4020)).unwrap();
    bench.settle();
    let far = bench.endpoint(6000);
    near.send_to(&rtp(1, 1001), bench.at(4020)).unwrap();
    while receive(&far).0 != rtp(1, 1001) {}
    // Each stream once a tick at most.
    let mut refused = 0;
    for report in bench.reports.try_iter() {
        match report {
            Report::Refused { .. } => refused += 1,
            Report::Tick(_) => refused = 0,
            _ => {}
        }
        assert!(refused <= 3);
    }
}

// spec: X20
#[test]
fn only_the_far_media_port_speaks_for_its_group() {
    let bench = Bench::new(10);
    let (near_rtcp, far) = (bench.endpoint(5001), bench.endpoint(6000));
    bench.install(1, bench.side(4000, 5000), bench.side(4100, 6000), true);
    bench.settle();
    // Nobody listens at the near media port and at the far RTCP port.
    for sequence in 0..5 {
        far.send_to(&rtp(1, sequence), bench.at(4100)).unwrap();
        near_rtcp.send_to(&rtcp(9), bench.at(4001)).unwrap();
        bench.wait(|report| match report {
            Report::Refused { .. } => panic!("no word about the node's media"),
            Report::Tick(tick) => (!tick.groups.is_empty()).then_some(()),
            _ => None,
        });
    }
}

// spec: X20
#[test]
fn a_new_peer_is_not_blamed_for_the_old_one() {
    let bench = Bench::new(6);
    let near = bench.endpoint(5000);
    let survivor = bench.endpoint(6100);
    bench.install(1, bench.side(4000, 5000), bench.side(4100, 6000), true);
    bench.settle();
    near.send_to(&rtp(1, 1), bench.at(4000)).unwrap();
    let peer = bench.side(0, 6100).peer;
    bench.send(Command::SetPeer {
        stream: STREAM,
        side: Side::Far,
        peer,
    });
    bench.settle();
    let _ = bench.reports.try_iter().count();
    for sequence in 2..12 {
        near.send_to(&rtp(1, sequence), bench.at(4000)).unwrap();
        assert_eq!(receive(&survivor).0, rtp(1, sequence));
    }
    bench.wait(|report| match report {
        Report::Refused { .. } => panic!("the survivor listens"),
        Report::Tick(_) => Some(()),
        _ => None,
    });
}

/// The ports that a move leaves are told once they are closed; a move to the stream's own opens
/// them anew, and what the old peer sends there is not taken.
// spec: X51
#[test]
fn a_move_tells_which_ports_it_has_left_and_may_stay_where_it_is() {
    let bench = Bench::new(14);
    let (near, old) = (bench.endpoint(5000), bench.endpoint(6000));
    bench.install(1, bench.side(4000, 5000), bench.side(4100, 6000), false);
    bench.settle();
    let stream = STREAM;
    let go = |port, peer, group| {
        let far = bench.side(port, peer);
        let group = GroupId(group);
        bench.send(Command::Move { stream, far, group });
    };
    go(4110, 6010, 2);
    let left = bench.wait(|report| match report {
        Report::Left { local, .. } => Some(local),
        _ => None,
    });
    assert_eq!(left, bench.at(4100));
    assert!(UdpSocket::bind(left).is_ok(), "it can be given out");
    go(4110, 6020, 3);
    bench.settle();
    let survivor = bench.endpoint(6020);
    old.send_to(&rtp(9, 9), bench.at(4110)).unwrap();
    survivor.send_to(&rtp(2, 1), bench.at(4110)).unwrap();
    assert_eq!(receive(&near).0, rtp(2, 1));
    bench.send(Command::Remove { stream });
    let closed = bench.wait(|report| match report {
        Report::Left { local, .. } => panic!("{local} was opened again"),
        Report::Removed { closed, .. } => Some(closed),
        _ => None,
    });
    assert_eq!(closed, [Some(4000), Some(4110)]);
}

#[test]
fn ports_are_refused_when_taken_and_free_when_removed() {
    let bench = Bench::new(7);
    let taken = bench.endpoint(4101);
    let near = bench.endpoint(5000);
    bench.install(1, bench.side(4000, 5000), bench.side(4100, 6000), false);
    let (side, local, errno) = bench.wait(|report| match report {
        Report::BindFailed {
            side, local, errno, ..
        } => Some((side, local, errno)),
        _ => None,
    });
    assert_eq!(
        (side, local, errno),
        (Side::Far, bench.at(4100), Errno::EADDRINUSE as i32)
    );
    assert!(UdpSocket::bind(bench.at(4100)).is_ok(), "not half a side");
    assert!(
        UdpSocket::bind(bench.at(4000)).is_err(),
        "the near side is open"
    );
    // The same again opens what is missing.
    drop(taken);
    let far = bench.endpoint(6000);
    bench.install(1, bench.side(4000, 5000), bench.side(4100, 6000), false);
    bench.settle();
    far.send_to(&rtp(1, 1), bench.at(4100)).unwrap();
    assert_eq!(receive(&near).0, rtp(1, 1));
    bench.send(Command::Remove { stream: STREAM });
    bench.send(Command::Remove { stream: STREAM });
    bench.settle();
    for port in [4000, 4001, 4100, 4101] {
        assert!(UdpSocket::bind(bench.at(port)).is_ok(), "{port}");
    }
    assert_eq!(bench.relay.counters().ignored_commands, 1);
}

#[test]
fn a_relay_that_is_dropped_closes_everything_and_tells_no_more() {
    let bench = Bench::new(8);
    bench.install(1, bench.side(4000, 5000), bench.side(4100, 6000), false);
    bench.settle();
    bench.wait(|report| matches!(report, Report::Tick(_)).then_some(()));
    let (near, far) = (bench.at(4000), bench.at(4101));
    drop(bench.relay);
    assert!(UdpSocket::bind(near).is_ok() && UdpSocket::bind(far).is_ok());
    let _ = bench.reports.try_iter().count();
    assert_eq!(bench.reports.try_recv(), Err(TryRecvError::Disconnected));
}

#[test]
fn two_threads_report_as_one() {
    let bench = Bench::with_threads(9, 2);
    let (near, far) = (bench.endpoint(5000), bench.endpoint(6000));
    for stream in 1..=2_u16 {
        let port = 4000 + 20 * stream;
        bench.install(
            stream.into(),
            bench.side(port, 5000),
            bench.side(port + 10, 6000),
            true,
        );
    }
    bench.settle();
    let mut heard_both = false;
    let begin = Instant::now();
    let mut sequence = 0;
    while !heard_both {
        assert!(begin.elapsed() < PATIENCE);
        sequence += 1;
        for stream in 1..=2 {
            far.send_to(&rtp(stream, sequence), bench.at(4010 + 20 * stream as u16))
                .unwrap();
            assert_eq!(receive(&near).0, rtp(stream, sequence));
        }
        heard_both = bench.reports.try_iter().any(|report| match report {
            Report::Tick(tick) => tick.groups.iter().any(|heard| heard.streams == 2),
            _ => false,
        });
    }
}
