//! One bound UDP port and its peer.

use crate::sys;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};

/// How the sockets are set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) receive_buffer: u32,
    pub(crate) dscp: Option<u8>,
}

/// A port of the relay: bound from the start, connected once its peer is known.
#[derive(Debug)]
pub(crate) struct Port {
    socket: UdpSocket,
    peer: Option<SocketAddr>,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// A packet of the peer, so long.
    Packet(usize),
    /// Something that is not to be taken: from elsewhere, or too long.
    Foreign,
    /// The peer's port is closed.
    Refused,
    /// Nothing.
    Nothing,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It left. An earlier one may have been refused.
    Yes {
        /// An ICMP error was pending.
        refused: bool,
    },
    /// It did not.
    No {
        /// An ICMP error was pending.
        refused: bool,
    },
}

impl Port {
    pub(crate) fn open(local: SocketAddr, options: Options) -> io::Result<Port> {
        let socket = UdpSocket::bind(local)?;
        socket.set_nonblocking(true)?;
        sys::set_receive_buffer(&socket, options.receive_buffer)?;
        if let Some(dscp) = options.dscp {
            sys::set_dscp(&socket, dscp)?;
        }
        Ok(Port { socket, peer: None })
    }

    /// Talks to `peer` only from now on, or to nobody.
    pub(crate) fn connect(&mut self, peer: Option<SocketAddr>) -> io::Result<()> {
        if peer == self.peer {
            return Ok(());
        }
        self.peer = None;
        match peer {
            Some(peer) => self.socket.connect(peer)?,
            None => sys::disconnect(&self.socket)?,
        }
        self.peer = peer;
        // An error of the old peer survives the connect, and would be blamed on the new one.
        self.socket.take_error().map(|_| ())
    }

    /// Reads one packet. What was queued before the socket was connected may be anyone's, so the
    /// sender is compared all the same (spec: X41).
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> Received {
        match self.socket.recv_from(buffer) {
            Ok((len, from)) if self.peer == Some(from) && len < buffer.len() => {
                Received::Packet(len)
            }
            Ok(_) => Received::Foreign,
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Received::Refused,
            Err(_) => Received::Nothing,
        }
    }

    /// Sends one packet. A pending ICMP error makes the send fail unsent and is gone after it, so
    /// it is tried once more.
    pub(crate) fn send(&self, packet: &[u8]) -> Sent {
        if self.peer.is_none() {
            return Sent::No { refused: false };
        }
        let mut refused = false;
        for _ in 0..2 {
            match self.socket.send(packet) {
                Ok(_) => return Sent::Yes { refused },
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => refused = true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        Sent::No { refused }
    }
}

impl AsRawFd for Port {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
