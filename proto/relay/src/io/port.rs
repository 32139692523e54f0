//! One bound UDP port and its peer.

use super::engine::{Received, Sent};
use super::faults;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{SockaddrIn, connect, setsockopt, sockopt};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// How the sockets are set up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Options {
    /// Bytes; the kernel doubles them for its own needs and may give less.
    pub(super) receive_buffer: u32,
    /// What is sent is marked so (RFC 2474): 0 to 63. `None` leaves it.
    pub(super) dscp: Option<u8>,
}

/// Entries of the queue of ICMP errors taken at a time; more are taken next time.
const ERRORS_AT_A_TIME: usize = 32;

/// A port of the relay: bound from the start, connected once its peer is known.
#[derive(Debug)]
pub(super) struct Port {
    socket: UdpSocket,
    peer: Option<SocketAddr>,
}

impl Port {
    /// Binds `local`; an error also where an option cannot be set.
    pub(super) fn open(local: SocketAddr, options: Options) -> io::Result<Port> {
        let socket = UdpSocket::bind(local)?;
        socket.set_nonblocking(true)?;
        set_up(&socket, local.is_ipv6(), options)?;
        Ok(Port { socket, peer: None })
    }

    /// Talks to `peer` only from now on, or to nobody.
    pub(super) fn connect(&mut self, peer: Option<SocketAddr>) -> io::Result<()> {
        if peer == self.peer {
            return Ok(());
        }
        let had_peer = self.peer.take().is_some();
        match peer {
            Some(peer) => self.socket.connect(peer)?,
            None => disconnect(&self.socket)?,
        }
        self.peer = peer;
        if had_peer {
            // An error of the old peer survives the connect, and would be blamed on the new one.
            while faults::next(&self.socket).is_some() {}
            self.socket.take_error()?;
        }
        Ok(())
    }

    /// Reads one packet. What was queued before the socket was connected may be anyone's, so the
    /// sender is compared all the same (spec: X41).
    pub(super) fn receive(&self, buffer: &mut [u8]) -> Received {
        match self.socket.recv_from(buffer) {
            Ok((len, from)) if self.peer == Some(from) && len < buffer.len() => {
                Received::Packet(len)
            }
            Ok(_) => Received::Foreign,
            // Errors that are left in the queue would wake us for ever.
            Err(_) if self.was_refused() => Received::Refused,
            Err(_) => Received::Nothing,
        }
    }

    /// Takes what is queued of ICMP errors: whether the peer itself says that nobody listens. A
    /// packet filter on the way, or our own machine, speaks for nobody but itself (spec: X52).
    fn was_refused(&self) -> bool {
        let peer = self.peer.map(|peer| peer.ip());
        let mut refused = false;
        for _ in 0..ERRORS_AT_A_TIME {
            let Some(error) = faults::next(&self.socket) else {
                break;
            };
            refused |= error.errno == Errno::ECONNREFUSED && error.by.is_some() && error.by == peer;
        }
        refused
    }

    /// Sends one packet. A pending ICMP error makes the send fail unsent and is gone after it, so
    /// it is tried once more.
    pub(super) fn send(&self, packet: &[u8]) -> Sent {
        if self.peer.is_none() {
            return Sent::No { refused: false };
        }
        let mut refused = false;
        for _ in 0..2 {
            match self.socket.send(packet) {
                Ok(_) => return Sent::Yes { refused },
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => refused |= self.was_refused(),
            }
        }
        Sent::No { refused }
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Its receive buffer, its mark, and a queue of what ICMP says of its datagrams, with who said it.
fn set_up(socket: &UdpSocket, is_ipv6: bool, options: Options) -> io::Result<()> {
    // The option is an int.
    let bytes = i32::try_from(options.receive_buffer).unwrap_or(i32::MAX) as usize;
    setsockopt(socket, sockopt::RcvBuf, &bytes)?;
    match is_ipv6 {
        true => setsockopt(socket, sockopt::Ipv6RecvErr, &true)?,
        false => setsockopt(socket, sockopt::Ipv4RecvErr, &true)?,
    }
    if let Some(dscp) = options.dscp {
        let class = i32::from(dscp & 0x3f) << 2;
        match is_ipv6 {
            true => setsockopt(socket, sockopt::Ipv6TClass, &class)?,
            false => setsockopt(socket, sockopt::Ipv4Tos, &class)?,
        }
    }
    Ok(())
}

/// Takes a connected socket's peer away; its bound address stays.
fn disconnect(socket: &UdpSocket) -> io::Result<()> {
    // An address of no family, whatever else the socket's are (connect(2)).
    let nobody = libc::sockaddr_in {
        sin_family: libc::AF_UNSPEC as libc::sa_family_t,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: 0 },
        sin_zero: [0; 8],
    };
    connect(socket.as_raw_fd(), &SockaddrIn::from(nobody))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const OPTIONS: Options = Options {
        receive_buffer: 65_536,
        dscp: Some(46),
    };

    fn at(port: u16) -> SocketAddr {
        // An address of this process, whatever else runs here.
        let pid = std::process::id();
        SocketAddr::from(([127, 128 + (pid >> 8) as u8 % 127, pid as u8, 250], port))
    }

    fn listener(port: u16) -> UdpSocket {
        let socket = UdpSocket::bind(at(port)).unwrap();
        let patience = Some(Duration::from_secs(10));
        socket.set_read_timeout(patience).unwrap();
        socket
    }

    // spec: X20
    #[test]
    fn a_pending_refusal_costs_no_packet() {
        let mut port = Port::open(at(4000), OPTIONS).unwrap();
        assert_eq!(port.send(b"early"), Sent::No { refused: false });
        port.connect(Some(at(4001))).unwrap();
        // Over loopback the refusal is there before the send returns.
        assert_eq!(port.send(b"one"), Sent::Yes { refused: false });
        let peer = listener(4001);
        assert_eq!(port.send(b"two"), Sent::Yes { refused: true });
        let mut buffer = [0; 16];
        assert_eq!(peer.recv(&mut buffer).unwrap(), 3);
        assert_eq!(&buffer[..3], b"two");
        assert_eq!(port.receive(&mut buffer), Received::Nothing);
    }

    // spec: X20
    #[test]
    fn a_refusal_is_read_once_and_dies_with_its_peer() {
        let mut port = Port::open(at(4010), OPTIONS).unwrap();
        let mut buffer = [0; 16];
        port.connect(Some(at(4011))).unwrap();
        port.send(b"one");
        assert_eq!(port.receive(&mut buffer), Received::Refused);
        assert_eq!(port.receive(&mut buffer), Received::Nothing);
        port.send(b"two");
        let survivor = listener(4012);
        port.connect(Some(at(4012))).unwrap();
        assert_eq!(port.send(b"three"), Sent::Yes { refused: false });
        assert_eq!(survivor.recv(&mut buffer).unwrap(), 5);
    }

    // spec: X41
    #[test]
    fn what_a_stranger_queued_before_the_connect_is_foreign() {
        let mut port = Port::open(at(4020), OPTIONS).unwrap();
        let (stranger, peer) = (listener(4021), listener(4022));
        stranger.send_to(b"stranger", at(4020)).unwrap();
        port.connect(Some(at(4022))).unwrap();
        peer.send_to(b"peer", at(4020)).unwrap();
        peer.send_to(&[0; 16], at(4020)).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(port.receive(&mut buffer), Received::Foreign);
        assert_eq!(port.receive(&mut buffer), Received::Packet(4));
        assert_eq!(
            port.receive(&mut buffer),
            Received::Foreign,
            "it may be cut"
        );
        assert_eq!(port.receive(&mut buffer), Received::Nothing);
        // From now on the kernel keeps strangers out, and they wake nobody.
        stranger.send_to(b"stranger", at(4020)).unwrap();
        assert_eq!(port.receive(&mut buffer), Received::Nothing);
        // Without a peer nobody is known.
        port.connect(None).unwrap();
        assert_eq!(port.socket.local_addr().unwrap(), at(4020));
        peer.send_to(b"peer", at(4020)).unwrap();
        assert_eq!(port.receive(&mut buffer), Received::Foreign);
    }

    #[test]
    fn packets_are_marked_for_both_families() {
        let v6 = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 0));
        match Port::open(v6, OPTIONS) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
                eprintln!("SKIPPED: this machine has no IPv6");
            }
            Err(error) => panic!("{error}"),
        }
    }
}
