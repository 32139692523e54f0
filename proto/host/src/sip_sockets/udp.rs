//! One UDP socket: options, sending, receiving, and the kernel's queue of ICMP errors.

use holdline_wire::machine::TransportFault;
use mio::net::UdpSocket;
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, getsockopt, recvmsg, setsockopt, sockopt,
};
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};

/// A non-blocking UDP socket whose ICMP errors are queued (IP_RECVERR). Without that, an
/// unconnected socket never hears of a refusal, and a connected one not of an unreachable host.
pub(super) struct Udp {
    pub(super) socket: UdpSocket,
    /// Bytes of receive buffer that the kernel gave.
    pub(super) receive_buffer: usize,
}

/// An entry of the error queue.
pub(super) struct QueuedError {
    /// Whom the datagram was for that the error answers.
    pub(super) remote: SocketAddr,
    /// What became of it.
    pub(super) fault: TransportFault,
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
            match read_error(self.socket.as_raw_fd()) {
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

fn read_error(fd: RawFd) -> Result<Option<QueuedError>, Errno> {
    // The payload (the start of our own datagram) is of no interest: one byte, the rest cut off.
    let mut payload = [0u8; 1];
    let mut iov = [IoSliceMut::new(&mut payload)];
    let mut control = [0u8; 256];
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<SockaddrStorage>(fd, &mut iov, Some(&mut control), flags)?;
    let Some(remote) = message.address.as_ref().and_then(socket_addr) else {
        return Ok(None);
    };
    for part in message.cmsgs()? {
        let errno = match part {
            ControlMessageOwned::Ipv4RecvErr(e, _) | ControlMessageOwned::Ipv6RecvErr(e, _) => {
                e.ee_errno
            }
            _ => continue,
        };
        let errno = Errno::from_raw(i32::try_from(errno).unwrap_or(0));
        return Ok(classify(errno).map(|fault| QueuedError { remote, fault }));
    }
    Ok(None)
}

fn socket_addr(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::from((v4.ip(), v4.port())));
    }
    let v6 = address.as_sockaddr_in6()?;
    Some(SocketAddr::V6((*v6).into()))
}

/// What an ICMP error means for delivery; `None` for advice (a path's MTU, a redirect).
fn classify(errno: Errno) -> Option<TransportFault> {
    match errno {
        Errno::ECONNREFUSED => Some(TransportFault::Refused),
        Errno::EHOSTUNREACH
        | Errno::ENETUNREACH
        | Errno::EHOSTDOWN
        | Errno::ENONET
        | Errno::ENOPROTOOPT
        | Errno::EACCES => Some(TransportFault::Unreachable),
        _ => None,
    }
}

/// What a failed system call means when no queued error explains it.
pub(super) fn fault_of(error: &io::Error) -> TransportFault {
    let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
    match classify(errno) {
        // A firewall of our own: nothing about the peer.
        _ if errno == Errno::EACCES => TransportFault::Local,
        Some(fault) => fault,
        None => TransportFault::Local,
    }
}

/// Whether the kernel only asks to try again later.
pub(super) fn is_busy(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(Errno::ENOBUFS as i32)
}
