//! The system calls that the standard library has no safe form of. The only unsafe code.
#![allow(unsafe_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// An epoll instance and room for what it tells.
pub(super) struct Epoll {
    fd: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    /// Takes at most `room` events at a time.
    pub(super) fn new(room: usize) -> io::Result<Epoll> {
        // SAFETY: no pointer is passed; a descriptor that is returned is ours alone.
        let fd = unsafe {
            let fd = libc::epoll_create1(libc::EPOLL_CLOEXEC);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(fd)
        };
        Ok(Epoll {
            fd,
            events: vec![libc::epoll_event { events: 0, u64: 0 }; room],
        })
    }

    /// Tells of `fd` as `token` whenever it can be read or has an error. Closing it ends that.
    pub(super) fn add(&self, fd: RawFd, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: token,
        };
        // SAFETY: `event` lives through the call, which copies it.
        let result = unsafe {
            libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event)
        };
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    /// Waits up to `millis` milliseconds; how many tokens there are. A signal counts as none.
    pub(super) fn wait(&mut self, millis: i32) -> io::Result<usize> {
        // SAFETY: the kernel writes at most `len` events into the buffer, which has that many.
        let count = unsafe {
            libc::epoll_wait(
                self.fd.as_raw_fd(),
                self.events.as_mut_ptr(),
                self.events.len() as i32,
                millis,
            )
        };
        match usize::try_from(count) {
            Ok(count) => Ok(count),
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => Ok(0),
                error => Err(error),
            },
        }
    }

    /// A token of the last wait.
    pub(super) fn token(&self, index: usize) -> u64 {
        self.events[index].u64
    }
}

/// Wakes the thread that polls it, with one system call however many ask.
pub(super) struct Waker {
    fd: OwnedFd,
    rung: AtomicBool,
}

impl Waker {
    pub(super) fn new() -> io::Result<Waker> {
        // SAFETY: no pointer is passed; a descriptor that is returned is ours alone.
        unsafe {
            let fd = libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(Waker {
                fd: OwnedFd::from_raw_fd(fd),
                rung: AtomicBool::new(false),
            })
        }
    }

    /// Makes the descriptor readable. Cannot fail but by overflow, when it is readable anyway.
    pub(super) fn wake(&self) {
        if self.rung.swap(true, Ordering::AcqRel) {
            return;
        }
        let one = 1_u64;
        // SAFETY: eight bytes are read from `one`.
        unsafe { libc::write(self.fd.as_raw_fd(), (&raw const one).cast(), 8) };
    }

    /// Makes it unreadable again; to be called before what it tells of is looked for, so that a
    /// later wake is not lost.
    pub(super) fn clear(&self) {
        let mut count = 0_u64;
        // SAFETY: at most eight bytes are written to `count`.
        unsafe { libc::read(self.fd.as_raw_fd(), (&raw mut count).cast(), 8) };
        // A swap and no store: it must not sink below the look at what was queued.
        self.rung.swap(false, Ordering::AcqRel);
    }
}

impl AsRawFd for Waker {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Asks for a receive buffer of `bytes`; the kernel doubles it for its own needs and may give less.
pub(super) fn set_receive_buffer(socket: &UdpSocket, bytes: u32) -> io::Result<()> {
    set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, bytes)
}

/// Marks what is sent with a DSCP (RFC 2474), 0 to 63.
pub(super) fn set_dscp(socket: &UdpSocket, is_ipv6: bool, dscp: u8) -> io::Result<()> {
    let field = u32::from(dscp & 0x3f) << 2;
    match is_ipv6 {
        true => set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_TCLASS, field),
        false => set_option(socket, libc::IPPROTO_IP, libc::IP_TOS, field),
    }
}

fn set_option(socket: &UdpSocket, level: i32, name: i32, value: u32) -> io::Result<()> {
    let value = libc::c_int::try_from(value).unwrap_or(libc::c_int::MAX);
    // SAFETY: the option is an int; its address and size are passed.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Lets the kernel queue what ICMP says of a socket's datagrams, with who said it.
pub(super) fn queue_errors(socket: &UdpSocket, is_ipv6: bool) -> io::Result<()> {
    match is_ipv6 {
        true => set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1),
        false => set_option(socket, libc::IPPROTO_IP, libc::IP_RECVERR, 1),
    }
}

/// An entry of that queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueuedError {
    /// The operating system's error number.
    pub(super) errno: i32,
    /// Who said it by ICMP; none where this machine did without.
    pub(super) by: Option<IpAddr>,
}

/// Room for the control messages of an entry, aligned as they need it: 512 bytes.
type Control = [u64; 64];

/// Takes the oldest entry; none where there is none.
pub(super) fn next_error(socket: &UdpSocket) -> Option<QueuedError> {
    let mut control: Control = [0; 64];
    // SAFETY: all zeroes are a valid `msghdr` without a name and without a payload.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of::<Control>() as _;
    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    // SAFETY: `message` names a live buffer and its size.
    let taken = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    if taken < 0 {
        return None;
    }
    let mut found = QueuedError { errno: 0, by: None };
    // SAFETY: the kernel has filled the control buffer of `message`, which is still there.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !header.is_null() {
        // SAFETY: the macros give only headers that lie whole in the buffer.
        let (level, kind) = unsafe { ((*header).cmsg_level, (*header).cmsg_type) };
        let known = [
            (libc::IPPROTO_IP, libc::IP_RECVERR),
            (libc::IPPROTO_IPV6, libc::IPV6_RECVERR),
        ];
        if known.contains(&(level, kind)) {
            // SAFETY: such a message holds the error and, behind it, the address of who said it
            // (ip(7)), as large as its family needs.
            found = unsafe { error_in(libc::CMSG_DATA(header).cast()) };
        }
        // SAFETY: as for the first one.
        header = unsafe { libc::CMSG_NXTHDR(&raw const message, header) };
    }
    Some(found)
}

/// # Safety
///
/// `error` points to a `sock_extended_err` of the kernel with the address that follows it.
unsafe fn error_in(error: *const libc::sock_extended_err) -> QueuedError {
    // SAFETY: the caller's promise; nothing is taken for aligned.
    let (told, by) = unsafe { (error.read_unaligned(), error.add(1)) };
    let icmp = [libc::SO_EE_ORIGIN_ICMP, libc::SO_EE_ORIGIN_ICMP6].contains(&told.ee_origin);
    // SAFETY: the same; the family says how long the address is.
    let by = unsafe {
        match i32::from(by.cast::<libc::sa_family_t>().read_unaligned()) {
            libc::AF_INET => {
                let by = by.cast::<libc::sockaddr_in>().read_unaligned();
                let ip = Ipv4Addr::from(u32::from_be(by.sin_addr.s_addr));
                Some(IpAddr::V4(ip))
            }
            libc::AF_INET6 => {
                let by = by.cast::<libc::sockaddr_in6>().read_unaligned();
                Some(IpAddr::V6(Ipv6Addr::from(by.sin6_addr.s6_addr)))
            }
            _ => None,
        }
    };
    QueuedError {
        errno: i32::try_from(told.ee_errno).unwrap_or(0),
        by: by.filter(|_| icmp),
    }
}

/// Takes a connected socket's peer away; its bound address stays.
pub(super) fn disconnect(socket: &UdpSocket) -> io::Result<()> {
    // SAFETY: all zeroes are a valid `sockaddr_storage`.
    let mut address: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    address.ss_family = libc::AF_UNSPEC as libc::sa_family_t;
    // SAFETY: the address and its size are those of a live, initialized variable.
    let result = unsafe {
        libc::connect(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of_val(&address) as libc::socklen_t,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
