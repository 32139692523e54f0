//! RTP endpoints on loopback. Each test of each process has an
//! address of its own, so ports never collide.
#![allow(dead_code, reason = "each test program uses a part of it")]

use holdline_relay::{
    Comfort, Command, GroupId, Peer, Relay, RelayConfig, RelayHandle, Report, Side, SideSpec,
    StreamId,
};
use holdline_wire::rtp::Silence;
use holdline_wire::sdp::Codec;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

/// Longer than any machine should need.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// A relay and what it reports.
pub struct Bench {
    pub relay: RelayHandle,
    pub reports: Receiver<Report>,
    ip: IpAddr,
}

impl Bench {
    pub fn new(number: u8) -> Bench {
        Bench::with_threads(number, 1)
    }

    pub fn with_threads(number: u8, threads: usize) -> Bench {
        let pid = std::process::id();
        let (sender, reports) = sync_channel(100_000);
        let config = RelayConfig {
            threads,
            ..RelayConfig::new(Instant::now())
        };
        let relay = Relay::start(config, sender).unwrap();
        Bench {
            relay,
            reports,
            ip: IpAddr::V4(Ipv4Addr::new(
                127,
                128 + (pid >> 8) as u8 % 127,
                pid as u8,
                number,
            )),
        }
    }

    /// An address of this bench.
    pub fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip, port)
    }

    /// An endpoint's socket.
    pub fn endpoint(&self, port: u16) -> UdpSocket {
        let socket = UdpSocket::bind(self.at(port)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    /// A side at `local` whose peer has RTP at `peer` and RTCP after it.
    pub fn side(&self, local: u16, peer: u16) -> SideSpec {
        let peer = Peer {
            rtp: self.at(peer),
            rtcp: Some(self.at(peer + 1)),
        };
        SideSpec {
            local: self.at(local),
            peer: Some(peer),
        }
    }

    pub fn install(&self, stream: u64, near: SideSpec, far: SideSpec, steady: bool) {
        let (stream, group) = (StreamId(stream), GroupId(1));
        self.send(Command::Install {
            stream,
            near,
            far,
            group,
            clock_rate: 8000,
            steady,
        });
    }

    pub fn send(&self, command: Command) {
        self.relay.send(command).unwrap();
    }

    /// The first report that `wanted` picks.
    pub fn wait<T>(&self, mut wanted: impl FnMut(Report) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let report = self.reports.recv_timeout(left).expect("a report in time");
            if let Some(found) = wanted(report) {
                return found;
            }
        }
    }

    /// Waits until the commands sent so far were carried out: those that follow open a stream in
    /// each thread, in vain, and end it, which is reported.
    pub fn settle(&self) {
        for stream in [u64::MAX, u64::MAX - 1].map(StreamId) {
            let bad = SideSpec {
                local: self.at(u16::MAX),
                peer: None,
            };
            let (group, clock_rate, steady) = (GroupId(0), 8000, false);
            self.send(Command::Install {
                stream,
                near: bad,
                far: bad,
                group,
                clock_rate,
                steady,
            });
            self.send(Command::Remove { stream });
            self.wait(|report| match report {
                Report::Removed {
                    stream: removed, ..
                } if removed == stream => Some(()),
                _ => None,
            });
        }
    }
}

/// An RTP packet of G.711 with 20 bytes, of which the first four are `sequence` and its check.
pub fn rtp(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend(sequence.to_be_bytes());
    packet.extend((160 * u32::from(sequence)).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0x55; 20]);
    packet
}

/// Silence in PCMU or PCMA, under an SSRC of its own, where nobody is heard for `after`.
pub fn comfort(after: Duration) -> Comfort {
    let silence = |number: u8, name: &str| {
        let codec = Codec {
            name: name.into(),
            rate: 8000,
            channels: 1,
        };
        Silence::of(number, &codec)
    };
    Comfort {
        after,
        silences: [silence(0, "PCMU"), silence(8, "PCMA"), None],
        ssrc: 7,
    }
}

/// A receiver report without blocks.
pub fn rtcp(ssrc: u32) -> Vec<u8> {
    [&[0x80, 201, 0, 1][..], &ssrc.to_be_bytes()].concat()
}

/// The next packet of an endpoint and who sent it.
pub fn receive(endpoint: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2048];
    let (len, from) = endpoint.recv_from(&mut buffer).expect("a packet in time");
    (buffer[..len].to_vec(), from)
}

/// Far or near, for tests of both.
pub const SIDES: [Side; 2] = [Side::Near, Side::Far];
