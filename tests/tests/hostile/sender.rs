//! Sends what attackers send, and reads what they are told.

use bytes::Bytes;
use holdline_tests::rig::Error;
use holdline_wire::header::Name;
use holdline_wire::{Message, Method};
use socket2::{Domain, Socket, Type};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};

/// The sockets of attackers, one for each source address, and the answers to them.
pub struct Sender {
    prefix: &'static str,
    sockets: BTreeMap<IpAddr, UdpSocket>,
    /// The final status of each numbered request; 0 without one.
    status: Vec<u16>,
    acks: u64,
}

impl Sender {
    /// One whose branches are `prefix` and a number below `count`.
    pub fn new(prefix: &'static str, count: usize) -> Sender {
        Sender {
            prefix,
            sockets: BTreeMap::new(),
            status: vec![0; count],
            acks: 0,
        }
    }

    /// Opens a socket at `source`, where there is none; its address.
    pub fn open(&mut self, source: IpAddr) -> Result<SocketAddr, Error> {
        if let Entry::Vacant(vacant) = self.sockets.entry(source) {
            vacant.insert(socket(source)?);
        }
        Ok(self.sockets[&source].local_addr()?)
    }

    /// Sends a datagram; one that finds no room is sent again.
    pub fn send(&mut self, source: IpAddr, to: SocketAddr, bytes: &[u8]) -> Result<(), Error> {
        let socket = self.sockets.get(&source).ok_or("no socket is open there")?;
        loop {
            match socket.send_to(bytes, to) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads all answers that are there. Final ones to an INVITE are acknowledged, as any client
    /// must; a call that came up is ended.
    pub fn read(&mut self) {
        let mut buffer = [0; 65_536];
        for socket in self.sockets.values() {
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let Ok(answer) = Message::parse(Bytes::copy_from_slice(&buffer[..length])) else {
                    continue;
                };
                if answer.status() < 200 {
                    continue;
                }
                let number = answer.top_via().branch.strip_prefix(self.prefix);
                let number = number.and_then(|number| number.parse::<usize>().ok());
                let slot = number.and_then(|number| self.status.get_mut(number));
                let first = slot.is_some_and(|slot| std::mem::replace(slot, answer.status()) == 0);
                if *answer.method() == Method::Invite {
                    self.acks += 1;
                    let _ = socket.send_to(&follow_up(&answer, from, Method::Ack), from);
                    // A call that nobody asked for by a tag is a new one.
                    if first && answer.status() < 300 && self.prefix != crate::mutant::BRANCH {
                        let _ = socket.send_to(&follow_up(&answer, from, Method::Bye), from);
                    }
                }
            }
        }
    }

    /// How many requests had which final status; 0 counts those without one.
    pub fn told(&self) -> BTreeMap<u16, usize> {
        let mut told = BTreeMap::new();
        for status in &self.status {
            *told.entry(*status).or_default() += 1;
        }
        told
    }

    /// The statuses by number.
    pub fn status(&self) -> &[u16] {
        &self.status
    }

    /// Requests that followed answers.
    pub fn acks(&self) -> u64 {
        self.acks
    }
}

/// A socket at `source` with room for a burst of answers.
fn socket(source: IpAddr) -> std::io::Result<UdpSocket> {
    let local = SocketAddr::from((source, 0));
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, None)?;
    socket.set_recv_buffer_size(8 << 20)?;
    socket.set_nonblocking(true)?;
    socket.bind(&local.into())?;
    Ok(socket.into())
}

/// The ACK of an answer to an INVITE, or the BYE of the call that came up by it.
fn follow_up(answer: &Message, to: SocketAddr, method: Method) -> Vec<u8> {
    let text = |name| answer.text(name).unwrap_or_default();
    let via = answer.values(Name::Via).next().unwrap_or_default();
    let mut via = String::from_utf8_lossy(via).into_owned();
    let mut number = answer.cseq().number;
    // What follows a 2xx is a transaction of its own (RFC 3261 13.2.2.4).
    if answer.status() < 300 {
        via = via.replacen("branch=", &format!("branch=z9hG4bK{method}-"), 1);
    }
    if method == Method::Bye {
        number += 1;
    }
    format!(
        "{method} sip:{to} SIP/2.0\r\nVia: {via}\r\nMax-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\n\
         Call-ID: {}\r\nCSeq: {number} {method}\r\nContent-Length: 0\r\n\r\n",
        text(Name::From),
        text(Name::To),
        answer.call_id(),
    )
    .into_bytes()
}
