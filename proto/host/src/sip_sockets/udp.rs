//! One UDP socket: options, sending, receiving, and the kernel's queue of ICMP errors.

use super::faults::{QueuedError, read};
use mio::net::UdpSocket;
use nix::errno::Errno;
use nix::sys::socket::{getsockopt, setsockopt, sockopt};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

/// A non-blocking UDP socket whose ICMP errors are queued (IP_RECVERR). Without that, an
/// unconnected socket never hears of a refusal, and a connected one not of an unreachable host.
pub(super) struct Udp {
    pub(super) socket: UdpSocket,
    /// Bytes of receive buffer that the kernel gave.
    pub(super) receive_buffer: usize,
}

impl Udp {
    /// Binds to `local` and, with a `remote`, connects to it.
    pub(super) fn open(
        local: SocketAddr,
        remote: Option<SocketAddr>,
        receive_buffer: usize,
    ) -> io::Result<Udp> {
        let socket = std::net::UdpSocket::bind(local)?;
        if let Some(remote) = remote {
            socket.connect(remote)?;
        }
        socket.set_nonblocking(true)?;
        if local.is_ipv4() {
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
        }
        // The forced option passes net.core.rmem_max but needs CAP_NET_ADMIN.
        if setsockopt(&socket, sockopt::RcvBufForce, &receive_buffer).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &receive_buffer)?;
        }
        // The kernel says twice what it gave, to cover its own bookkeeping.
        let given = getsockopt(&socket, sockopt::RcvBuf)? / 2;
        Ok(Udp {
            socket: UdpSocket::from_std(socket),
            receive_buffer: given,
        })
    }

    /// The next datagram.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.recv_from(buffer)
    }

    /// Sends one datagram; `to` is for a socket that is not connected.
    pub(super) fn send(&self, bytes: &[u8], to: Option<SocketAddr>) -> io::Result<usize> {
        match to {
            Some(to) => self.socket.send_to(bytes, to),
            None => self.socket.send(bytes),
        }
    }

    /// Takes entries from the error queue until one names a failure of delivery. Reading the queue
    /// also clears the pending error that would make the next send fail.
    pub(super) fn next_error(&self) -> Option<QueuedError> {
        // Bounded by the queue itself, which counts against the receive buffer.
        loop {
            match read(self.socket.as_raw_fd()) {
                Ok(Some(error)) => return Some(error),
                Ok(None) => {}
                Err(Errno::EINTR) => {}
                Err(_) => return None,
            }
        }
    }

    /// The number of the socket's inode, by which `/proc/net/udp` names it.
    pub(super) fn inode(&self) -> Option<u64> {
        use std::os::unix::fs::MetadataExt;
        let path = format!("/proc/self/fd/{}", self.socket.as_raw_fd());
        std::fs::metadata(path).ok().map(|m| m.ino())
    }
}

/// Whether the kernel only asks to try again later.
pub(super) fn is_busy(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(Errno::ENOBUFS as i32)
}
