//! What ICMP says of a socket's datagrams, which the kernel queues where it is asked to.

use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::AsRawFd;

/// An entry of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueuedError {
    /// What became of a datagram.
    pub(super) errno: Errno,
    /// Who said it by ICMP; none where this machine did without.
    pub(super) by: Option<IpAddr>,
}

/// Room for the control messages of an entry, which are read in place and so need their alignment.
#[repr(align(8))]
struct Control([u8; 512]);

/// Takes the oldest entry; none where there is none.
pub(super) fn next(socket: &UdpSocket) -> Option<QueuedError> {
    let mut control = Control([0; 512]);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let fd = socket.as_raw_fd();
    let message = recvmsg::<()>(fd, &mut [], Some(&mut control.0), flags).ok()?;
    let told = message.cmsgs().ok().and_then(|mut all| all.find_map(told));
    Some(told.unwrap_or(QueuedError {
        errno: Errno::UnknownErrno,
        by: None,
    }))
}

/// The error of a control message that is one.
fn told(message: ControlMessageOwned) -> Option<QueuedError> {
    let (error, by) = match message {
        ControlMessageOwned::Ipv4RecvErr(error, by) => (error, by.and_then(ipv4)),
        ControlMessageOwned::Ipv6RecvErr(error, by) => (error, by.and_then(ipv6)),
        _ => return None,
    };
    let icmp = [libc::SO_EE_ORIGIN_ICMP, libc::SO_EE_ORIGIN_ICMP6].contains(&error.ee_origin);
    Some(QueuedError {
        errno: Errno::from_raw(i32::try_from(error.ee_errno).unwrap_or(0)),
        by: by.filter(|_| icmp),
    })
}

/// Where nobody is named the family is none.
fn ipv4(by: libc::sockaddr_in) -> Option<IpAddr> {
    let ip = Ipv4Addr::from(u32::from_be(by.sin_addr.s_addr));
    (i32::from(by.sin_family) == libc::AF_INET).then_some(IpAddr::V4(ip))
}

fn ipv6(by: libc::sockaddr_in6) -> Option<IpAddr> {
    let ip = Ipv6Addr::from(by.sin6_addr.s6_addr);
    (i32::from(by.sin6_family) == libc::AF_INET6).then_some(IpAddr::V6(ip))
}
