//! Datagrams with the moment at which the kernel had them (SO_TIMESTAMPNS), so that what is
//! measured does not depend on when this program comes to read.

use super::clock::{Clock, Stamp};
use holdline_wire::Time;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use nix::sys::time::TimeSpec;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

/// A stamp that claims a longer wait comes from a calendar that was set meanwhile.
const BELIEVED: Duration = Duration::from_secs(30);

/// Asks the kernel to stamp what `socket` receives. Where it will not, datagrams come without a
/// stamp and count as such.
pub fn ask_for_stamps(socket: &impl AsFd) {
    let _ = setsockopt(socket, sockopt::ReceiveTimestampns, &true);
}

/// A datagram's head.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Its length; the buffer's where it was longer.
    pub length: usize,
    /// Where it came from.
    pub from: Option<SocketAddr>,
    /// When the kernel had it.
    stamp: Option<Duration>,
}

impl Received {
    /// When it came, on the tool's clock, read at the moment `read`; `None` without a stamp.
    pub fn arrival(&self, clock: &Clock, read: &Stamp) -> Option<Time> {
        let waited = Duration::from_nanos(read.realtime_ns).checked_sub(self.stamp?);
        // It may have come after the clocks were read: then it came just now.
        let waited = waited.unwrap_or_default();
        let now = clock.at(read);
        (waited < BELIEVED).then(|| Time::ZERO + now.since(Time::ZERO).saturating_sub(waited))
    }
}

/// Receives datagrams, with room for their stamps.
pub struct Receiver {
    control: Vec<u8>,
}

impl Default for Receiver {
    fn default() -> Receiver {
        Receiver {
            control: nix::cmsg_space!(TimeSpec),
        }
    }
}

impl Receiver {
    /// One datagram of `socket`, which must not block.
    pub fn receive(
        &mut self,
        socket: &(impl AsFd + AsRawFd),
        buffer: &mut [u8],
    ) -> io::Result<Received> {
        let mut parts = [IoSliceMut::new(buffer)];
        let message = recvmsg::<SockaddrStorage>(
            socket.as_raw_fd(),
            &mut parts,
            Some(&mut self.control),
            MsgFlags::MSG_DONTWAIT,
        )?;
        let stamp = message.cmsgs()?.find_map(|part| match part {
            ControlMessageOwned::ScmTimestampns(at) => Some(Duration::from(at)),
            _ => None,
        });
        Ok(Received {
            length: message.bytes,
            from: message.address.as_ref().and_then(socket_addr),
            stamp,
        })
    }
}

fn socket_addr(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::from((v4.ip(), v4.port())));
    }
    let v6 = address.as_sockaddr_in6()?;
    Some(SocketAddr::V6((*v6).into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn a_packet_that_waits_keeps_the_time_at_which_it_came() {
        let clock = Clock::default();
        let (here, there) = (
            UdpSocket::bind("127.0.0.1:0").unwrap(),
            UdpSocket::bind("127.0.0.1:0").unwrap(),
        );
        ask_for_stamps(&here);
        let slack = Duration::from_millis(1);
        let keeps = |_| {
            let before = clock.now();
            there.send_to(b"12345", here.local_addr().unwrap()).unwrap();
            let after = clock.now();
            std::thread::sleep(Duration::from_millis(30));
            let read = clock.stamp();
            let got = Receiver::default().receive(&here, &mut [0; 16]).unwrap();
            assert_eq!((got.length, got.from), (5, there.local_addr().ok()));
            let arrival = got.arrival(&clock, &read).unwrap();
            arrival + slack >= before && arrival <= after + slack
        };
        // The kernel begins to stamp a little after the first socket asked for it.
        assert!((0..20).any(keeps));
    }
}
