//! Who is heard, who falls silent, and who is heard again: each told once, in virtual time.

mod support;

use holdline_relay::{
    Channel, Command, GroupId, Peer, QUIET_AFTER, Report, Side, SideSpec, StreamId, Table,
};
use holdline_wire::Time;
use std::net::SocketAddr;
use std::time::Duration;
use support::{rtcp, rtp};

const STREAM: StreamId = StreamId(1);

fn at(millis: u64) -> Time {
    Time::ZERO + Duration::from_millis(millis)
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], port))
}

/// A table with one stream, and what it told.
struct Bench {
    table: Table,
    told: Vec<Report>,
    sequence: u16,
}

impl Bench {
    fn new() -> Bench {
        let mut table = Table::with_quiet_after(Some(QUIET_AFTER));
        let side = |local, peer| SideSpec {
            local: address(local),
            peer: Some(Peer {
                rtp: address(peer),
                rtcp: Some(address(peer + 1)),
            }),
        };
        table.apply(&Command::Install {
            stream: STREAM,
            near: side(4000, 5000),
            far: side(4004, 6000),
            group: GroupId(1),
            clock_rate: 8000,
            steady: true,
        });
        Bench {
            table,
            told: Vec::new(),
            sequence: 0,
        }
    }

    fn packet(&mut self, now: Time, side: Side) {
        self.sequence += 1;
        let mut bytes = rtp(u32::from(side == Side::Far), self.sequence);
        self.table
            .handle_packet(now, STREAM, side, Channel::Rtp, &mut bytes);
    }

    /// Looks whenever the table asks for it, until then; what was told.
    fn told_until(&mut self, end: Time) -> Vec<Report> {
        while let Some(due) = self.table.listen_due().filter(|due| *due <= end) {
            self.table.listen(due, &mut self.told);
        }
        self.table.listen(end, &mut self.told);
        std::mem::take(&mut self.told)
    }
}

fn heard(side: Side) -> Report {
    let stream = STREAM;
    Report::Heard { stream, side }
}

fn quiet(side: Side, since: Time) -> Report {
    let stream = STREAM;
    Report::Quiet {
        stream,
        side,
        since,
    }
}

// spec: X27, X42
#[test]
fn each_silence_is_told_once_and_so_is_its_end() {
    let mut bench = Bench::new();
    assert_eq!(bench.told_until(at(60_000)), []);
    for n in 0..100 {
        bench.packet(at(60_000 + 20 * n), Side::Near);
    }
    bench.packet(at(60_500), Side::Far);
    assert_eq!(
        bench.told_until(at(62_000)),
        [heard(Side::Near), heard(Side::Far)]
    );
    // The last packets came at 60.5 s and at 61.98 s.
    assert_eq!(bench.told_until(at(65_400)), []);
    assert_eq!(bench.told_until(at(65_700)), [quiet(Side::Far, at(60_500))]);
    assert_eq!(
        bench.told_until(at(70_000)),
        [quiet(Side::Near, at(61_980))]
    );
    assert_eq!(bench.told_until(at(900_000)), []);
    bench.packet(at(900_000), Side::Far);
    assert_eq!(bench.told_until(at(900_000)), [heard(Side::Far)]);
}

// spec: X27, X42
#[test]
fn reports_are_no_media_and_a_stream_that_is_gone_is_not_told_of() {
    let mut bench = Bench::new();
    bench.packet(at(0), Side::Near);
    for n in 0..10 {
        let now = at(1000 * n);
        let table = &mut bench.table;
        table.handle_packet(now, STREAM, Side::Near, Channel::Rtcp, &mut rtcp(1));
    }
    assert_eq!(
        bench.told_until(at(9000)),
        [heard(Side::Near), quiet(Side::Near, at(0))]
    );
    bench.packet(at(9000), Side::Near);
    bench.table.apply(&Command::Remove { stream: STREAM });
    assert_eq!(bench.told_until(at(60_000)), [heard(Side::Near)]);
    assert_eq!(bench.table.listen_due(), None);
}

// spec: X21
#[test]
fn a_relay_that_stood_still_listens_before_it_calls_anybody_silent() {
    let mut bench = Bench::new();
    bench.packet(at(0), Side::Near);
    bench.table.listen(at(0), &mut bench.told);
    bench.table.listen(at(30_000), &mut bench.told);
    assert_eq!(bench.told, [heard(Side::Near)]);
    bench.packet(at(30_001), Side::Near);
    assert_eq!(bench.told_until(at(35_000)), [heard(Side::Near)]);
    assert_eq!(
        bench.told_until(at(41_000)),
        [quiet(Side::Near, at(30_001))]
    );
}
