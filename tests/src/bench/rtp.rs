//! RTP from and to both ends of many calls: evenly paced, counted, one socket a stream.

use crate::failure::Error;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Each stream sends once in so many slots of 1 ms.
const SLOTS: usize = 20;
const SLOT: Duration = Duration::from_millis(1);
/// Header and 20 ms of G.711.
const PACKET: usize = 12 + 160;

/// What was heard in a while.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heard {
    /// Packets sent.
    pub sent: u64,
    /// Packets received.
    pub received: u64,
    /// The latest slot, behind its due time.
    pub late: Duration,
}

/// The ends of all streams.
pub struct Voices {
    poll: Poll,
    ends: Vec<End>,
    buffer: Vec<u8>,
}

struct End {
    socket: UdpSocket,
    packet: [u8; PACKET],
    sequence: u16,
}

impl Voices {
    /// Opens an end for each pair of its own address and the one that it sends to.
    pub fn open(pairs: &[(SocketAddr, SocketAddr)]) -> io::Result<Voices> {
        let poll = Poll::new()?;
        let mut ends = Vec::with_capacity(pairs.len());
        for (number, (local, remote)) in pairs.iter().enumerate() {
            let socket = std::net::UdpSocket::bind(local)?;
            socket.connect(remote)?;
            socket.set_nonblocking(true)?;
            let mut socket = UdpSocket::from_std(socket);
            poll.registry()
                .register(&mut socket, Token(number), Interest::READABLE)?;
            let mut packet = [0x55; PACKET];
            packet[..2].copy_from_slice(&[0x80, 8]);
            packet[8..12].copy_from_slice(&(number as u32 + 1).to_be_bytes());
            ends.push(End {
                socket,
                packet,
                sequence: 0,
            });
        }
        Ok(Voices {
            poll,
            ends,
            buffer: vec![0; 2048],
        })
    }

    /// All speak and listen for `time`.
    pub fn speak(&mut self, time: Duration) -> Result<Heard, Error> {
        let mut heard = Heard::default();
        let mut events = Events::with_capacity(1024);
        let start = Instant::now();
        let slots = usize::try_from(time.as_millis())?;
        for slot in 0..slots {
            let due = start + SLOT * u32::try_from(slot)?;
            loop {
                let now = Instant::now();
                if now >= due {
                    heard.late = heard.late.max(now - due);
                    break;
                }
                self.listen(&mut events, Some(due - now), &mut heard)?;
            }
            for end in self.ends.iter_mut().skip(slot % SLOTS).step_by(SLOTS) {
                end.speak(&mut heard);
            }
            self.listen(&mut events, Some(Duration::ZERO), &mut heard)?;
        }
        Ok(heard)
    }

    fn listen(
        &mut self,
        events: &mut Events,
        timeout: Option<Duration>,
        heard: &mut Heard,
    ) -> io::Result<()> {
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        for event in events.iter() {
            let end = &self.ends[event.token().0];
            loop {
                match end.socket.recv(&mut self.buffer) {
                    Ok(_) => heard.received += 1,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // An ICMP error of an earlier send.
                    Err(_) => {}
                }
            }
        }
        Ok(())
    }
}

impl End {
    fn speak(&mut self, heard: &mut Heard) {
        self.sequence = self.sequence.wrapping_add(1);
        self.packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        let timestamp = u32::from(self.sequence).wrapping_mul(160);
        self.packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
        // What the kernel does not take is missing at the other end.
        if self.socket.send(&self.packet).is_ok() {
            heard.sent += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::Block;

    #[test]
    fn two_ends_hear_each_other() {
        let block = Block::unique().unwrap();
        let (a, b) = (
            (block.caller().ip(), 30_000).into(),
            (block.callee().ip(), 30_000).into(),
        );
        let mut voices = Voices::open(&[(a, b), (b, a)]).unwrap();
        let heard = voices.speak(Duration::from_millis(200)).unwrap();
        assert_eq!(heard.sent, 20);
        // The last one may still be on its way.
        assert!(heard.received >= 18, "{heard:?}");
    }
}
