//! The least that a relay in user space can do for a packet: one `epoll_wait` for several, one
//! `recv`, one `send`. The floor of the relay benchmark.

use crate::failure::Error;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::io::BufRead;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;

/// Events taken at a time.
const EVENTS: usize = 256;

/// One side of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Side {
    /// Where it listens.
    pub local: SocketAddr,
    /// Whom it talks to.
    pub peer: SocketAddr,
}

/// Writes what [`relay`] reads: one line for each stream.
pub fn write(path: &Path, streams: &[[Side; 2]]) -> std::io::Result<()> {
    let line = |[near, far]: &[Side; 2]| {
        format!("{} {} {} {}\n", near.local, near.peer, far.local, far.peer)
    };
    std::fs::write(path, streams.iter().map(line).collect::<String>())
}

/// Relays the streams that the file at `path` lists, until it is killed.
pub fn relay(path: &Path) -> Result<(), Error> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let mut sockets: Vec<UdpSocket> = Vec::new();
    // Held open and idle, as a relay of RTP holds them.
    let mut rtcp = Vec::new();
    for line in std::io::BufReader::new(std::fs::File::open(path)?).lines() {
        let line = line?;
        let addresses: Vec<SocketAddr> =
            line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        for side in addresses.chunks_exact(2) {
            let socket = UdpSocket::bind(side[0])?;
            socket.connect(side[1])?;
            socket.set_nonblocking(true)?;
            epoll.add(
                &socket,
                EpollEvent::new(EpollFlags::EPOLLIN, sockets.len() as u64),
            )?;
            sockets.push(socket);
            let beside = UdpSocket::bind((side[0].ip(), side[0].port() + 1))?;
            epoll.add(&beside, EpollEvent::new(EpollFlags::EPOLLIN, u64::MAX))?;
            rtcp.push(beside);
        }
    }
    eprintln!("{} sockets", sockets.len() + rtcp.len());
    let mut events = [EpollEvent::empty(); EVENTS];
    let mut buffer = [0; 2048];
    loop {
        let count = match epoll.wait(&mut events, EpollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => continue,
            count => count?,
        };
        for event in &events[..count] {
            let at = event.data() as usize;
            if let (Some(from), Some(to)) = (sockets.get(at), sockets.get(at ^ 1))
                && let Ok(length) = from.recv(&mut buffer)
            {
                // A packet that the kernel does not take is lost, as in any relay.
                let _ = to.send(&buffer[..length]);
            }
        }
    }
}
