//! What became of datagrams of ours: who says so decides what it means (spec: X52). A peer speaks for
//! itself, a router for the way, and our own machine for nobody but itself.

use bytes::Bytes;
use holdline_wire::machine::{LocalFault, TransportFault};
use nix::errno::Errno;
use nix::libc::{SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::RawFd;

/// How much of a datagram is told with its fault: the branch is in its first header lines.
pub(super) const QUOTED_MAX: usize = 512;

/// An entry of the error queue.
pub(super) struct QueuedError {
    /// Whom the datagram was for that the error answers.
    pub(super) remote: SocketAddr,
    /// What became of it.
    pub(super) fault: TransportFault,
    /// Its start, as far as the error quotes it.
    pub(super) quoted: Bytes,
}

/// Who told of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Teller {
    /// The very host that the datagram was for.
    Peer,
    /// This machine: its kernel, or ICMP that it wrote to itself.
    Ourselves,
    /// Somebody on the way.
    Way,
}

/// Room for the control messages of an entry, which are read in place and so need their alignment.
#[repr(align(8))]
struct Control([u8; 256]);

/// Takes one entry from the error queue; nothing where it tells of no failed delivery.
pub(super) fn read(fd: RawFd) -> Result<Option<QueuedError>, Errno> {
    let mut payload = [0u8; QUOTED_MAX];
    let mut control = Control([0; 256]);
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let (remote, length, told) = {
        let mut iov = [IoSliceMut::new(&mut payload)];
        let message = recvmsg::<SockaddrStorage>(fd, &mut iov, Some(&mut control.0), flags)?;
        let told = message.cmsgs()?.find_map(|part| match part {
            ControlMessageOwned::Ipv4RecvErr(error, offender) => {
                let by = offender.map(|by| IpAddr::V4(u32::from_be(by.sin_addr.s_addr).into()));
                Some((error.ee_errno, error.ee_origin, by))
            }
            ControlMessageOwned::Ipv6RecvErr(error, offender) => {
                let by = offender.map(|by| IpAddr::V6(by.sin6_addr.s6_addr.into()));
                Some((error.ee_errno, error.ee_origin, by))
            }
            _ => None,
        });
        let remote = message.address.as_ref().and_then(socket_addr);
        (remote, message.bytes.min(QUOTED_MAX), told)
    };
    let (Some(remote), Some((errno, origin, by))) = (remote, told) else {
        return Ok(None);
    };
    let errno = Errno::from_raw(i32::try_from(errno).unwrap_or(0));
    let fault = classify(errno, teller(origin, by, remote.ip()));
    Ok(fault.map(|fault| QueuedError {
        remote,
        fault,
        quoted: Bytes::copy_from_slice(&payload[..length]),
    }))
}

fn teller(origin: u8, by: Option<IpAddr>, remote: IpAddr) -> Teller {
    match by.filter(|_| [SO_EE_ORIGIN_ICMP, SO_EE_ORIGIN_ICMP6].contains(&origin)) {
        None => Teller::Ourselves,
        Some(by) if by == remote => Teller::Peer,
        Some(by) if is_own(by) => Teller::Ourselves,
        Some(_) => Teller::Way,
    }
}

/// Whether the address is one of this machine's: nobody can listen at another's.
fn is_own(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

fn socket_addr(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::from((v4.ip(), v4.port())));
    }
    let v6 = address.as_sockaddr_in6()?;
    Some(SocketAddr::V6((*v6).into()))
}

/// What an ICMP error means for delivery; `None` for advice (a path's MTU, a redirect).
fn classify(errno: Errno, teller: Teller) -> Option<TransportFault> {
    let refused = errno == Errno::ECONNREFUSED;
    let undelivered = matches!(
        errno,
        Errno::EHOSTUNREACH
            | Errno::ENETUNREACH
            | Errno::EHOSTDOWN
            | Errno::ENONET
            | Errno::ENOPROTOOPT
            | Errno::EACCES
            | Errno::EPERM
    );
    match teller {
        Teller::Peer if refused => Some(TransportFault::Refused),
        // Only a packet filter of ours says so of a port that is not here.
        Teller::Ourselves if refused => Some(TransportFault::Local(LocalFault::Filtered)),
        Teller::Ourselves if undelivered => Some(TransportFault::Local(kind_of(errno))),
        Teller::Way | Teller::Peer if refused || undelivered => Some(TransportFault::Unreachable),
        _ => None,
    }
}

/// Why a system call could not send; `None` where it only passes on what a peer said of an earlier
/// datagram, which the error queue tells in full.
pub(super) fn of_send(error: &io::Error) -> Option<LocalFault> {
    let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
    (errno != Errno::ECONNREFUSED).then(|| kind_of(errno))
}

fn kind_of(errno: Errno) -> LocalFault {
    match errno {
        Errno::EHOSTUNREACH
        | Errno::ENETUNREACH
        | Errno::ENETDOWN
        | Errno::EHOSTDOWN
        | Errno::ENONET
        | Errno::EADDRNOTAVAIL => LocalFault::NoRoute,
        Errno::EPERM | Errno::EACCES => LocalFault::Filtered,
        Errno::ENOBUFS | Errno::ENOMEM => LocalFault::NoBuffer,
        Errno::EMFILE | Errno::ENFILE => LocalFault::NoDescriptor,
        _ => LocalFault::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(errno: Errno, origin: u8, by: &str) -> Option<TransportFault> {
        let by = Some(by).filter(|by| !by.is_empty());
        let by = by.map(|by| by.parse().expect("an address"));
        classify(errno, teller(origin, by, [192, 0, 2, 7].into()))
    }

    // spec: X52
    #[test]
    fn who_tells_of_an_error_decides_what_it_means() {
        use TransportFault::{Local, Refused, Unreachable};
        let (icmp, local) = (SO_EE_ORIGIN_ICMP, 1);
        let (peer, router, own) = ("192.0.2.7", "192.0.2.1", "127.0.0.9");
        let told = [
            (Errno::ECONNREFUSED, icmp, peer, Some(Refused)),
            (Errno::ECONNREFUSED, icmp, router, Some(Unreachable)),
            (
                Errno::ECONNREFUSED,
                icmp,
                own,
                Some(Local(LocalFault::Filtered)),
            ),
            (Errno::EHOSTUNREACH, icmp, router, Some(Unreachable)),
            (Errno::EHOSTUNREACH, icmp, peer, Some(Unreachable)),
            (
                Errno::EHOSTUNREACH,
                icmp,
                own,
                Some(Local(LocalFault::NoRoute)),
            ),
            (
                Errno::ENETUNREACH,
                local,
                "",
                Some(Local(LocalFault::NoRoute)),
            ),
            (Errno::EMSGSIZE, local, "", None),
            (Errno::EMSGSIZE, icmp, router, None),
        ];
        for (errno, origin, by, meant) in told {
            assert_eq!(meaning(errno, origin, by), meant, "{errno} of {by:?}");
        }
    }

    // spec: X52
    #[test]
    fn a_send_that_fails_is_our_own_fault_but_for_an_earlier_refusal() {
        let of = |errno: Errno| of_send(&io::Error::from_raw_os_error(errno as i32));
        assert_eq!(of(Errno::ECONNREFUSED), None);
        assert_eq!(of(Errno::EPERM), Some(LocalFault::Filtered));
        assert_eq!(of(Errno::EHOSTUNREACH), Some(LocalFault::NoRoute));
        assert_eq!(of(Errno::ENOMEM), Some(LocalFault::NoBuffer));
        assert_eq!(of(Errno::EMSGSIZE), Some(LocalFault::Other));
    }
}
