//! The thread itself: a turn a millisecond. Each sends what is due in its slot of the frame, then
//! reads every socket that has something; the kernel's stamps say when it came, so that nobody
//! has to be woken for each packet. Nothing is allocated for a packet.

use super::super::clock::{Clock, Stamp};
use super::super::hearing::Hearing;
use super::super::mark::{self, MAX_PACKET, Mark, PER_MS, Rtp};
use super::super::stamped::{Receiver, ask_for_stamps};
use super::orders::{Command, EndKey, Lateness, Snapshot, Voice};
use holdline_wire::Time;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::time::Duration;

const TURN: Duration = Duration::from_millis(1);
/// Sockets that are read before the clock is looked at again.
const BATCH: usize = 1024;
/// Batches in a turn, at most.
const ROUNDS: usize = 8;

/// One end of a call.
struct Party {
    key: EndKey,
    hearing: Hearing,
    mouth: Option<Mouth>,
}

struct Mouth {
    voice: Voice,
    ear: usize,
    seq: u16,
    /// The number of the next mark, over all sources of this end.
    number: u64,
    slot: usize,
}

struct Ear {
    party: usize,
    local: SocketAddr,
    socket: UdpSocket,
}

/// What the thread has.
pub(super) struct Turn {
    clock: Clock,
    orders: mpsc::Receiver<Command>,
    epoll: Epoll,
    receiver: Receiver,
    ears: Vec<Option<Ear>>,
    parties: Vec<Party>,
    by_key: BTreeMap<EndKey, usize>,
    by_local: BTreeMap<SocketAddr, usize>,
    /// The parties that speak in each millisecond of a frame.
    wheel: Vec<Vec<usize>>,
    packet: Vec<u8>,
    buffer: [u8; MAX_PACKET + 1],
    ptime: u16,
    lateness: Vec<Lateness>,
    /// The number of the next turn.
    turn: u64,
    sent: u64,
    unsent: u64,
    skipped: u64,
    unstamped: u64,
}

impl Turn {
    pub(super) fn new(
        clock: Clock,
        ptime: u16,
        orders: mpsc::Receiver<Command>,
    ) -> io::Result<Turn> {
        Ok(Turn {
            clock,
            orders,
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            receiver: Receiver::default(),
            ears: Vec::new(),
            parties: Vec::new(),
            by_key: BTreeMap::new(),
            by_local: BTreeMap::new(),
            wheel: vec![Vec::new(); usize::from(ptime)],
            packet: mark::blank(ptime),
            buffer: [0; MAX_PACKET + 1],
            ptime,
            lateness: vec![Lateness::default()],
            turn: 0,
            sent: 0,
            unsent: 0,
            skipped: 0,
            unstamped: 0,
        })
    }

    pub(super) fn run(mut self) -> io::Result<()> {
        let mut read = self.clock.now();
        loop {
            let now = self.clock.now();
            let due = self.due();
            if due > now {
                std::thread::sleep(due.since(now));
            }
            self.send_due();
            let unstamped = self.unstamped;
            let start = self.clock.now();
            self.read_all()?;
            if self.unstamped > unstamped {
                let unread = start.since(read).saturating_sub(TURN).as_nanos() as u64;
                let late = self.late();
                late.receive_ns = late.receive_ns.max(unread);
            }
            read = start;
            if !self.obey()? {
                return Ok(());
            }
        }
    }

    fn due(&self) -> Time {
        Time::ZERO + TURN * u32::try_from(self.turn).unwrap_or(u32::MAX)
    }

    fn late(&mut self) -> &mut Lateness {
        self.lateness.last_mut().expect("there is always one")
    }

    /// Sends what is due, at most a frame of it: whoever has too little of the processor would
    /// else only send, ever later, and neither read nor obey. Who is behind by more than another
    /// frame leaves packets out, which is counted.
    fn send_due(&mut self) {
        for sent in 0.. {
            let (due, now) = (self.due(), self.clock.now());
            if due > now {
                return;
            }
            if sent >= self.ptime {
                if now.since(due) > TURN * u32::from(self.ptime) {
                    self.skip_until(now);
                }
                return;
            }
            let behind = now.since(due).as_nanos() as u64;
            let slot = (self.turn % u64::from(self.ptime)) as usize;
            let frame = self.turn / u64::from(self.ptime);
            if !self.wheel[slot].is_empty() {
                let late = self.late();
                late.send_ns = late.send_ns.max(behind);
            }
            for at in 0..self.wheel[slot].len() {
                self.send(self.wheel[slot][at], frame, due);
            }
            self.turn += 1;
        }
    }

    fn skip_until(&mut self, now: Time) {
        while self.due() <= now {
            let slot = (self.turn % u64::from(self.ptime)) as usize;
            self.skipped += self.wheel[slot].len() as u64;
            self.turn += 1;
        }
    }

    fn send(&mut self, party: usize, frame: u64, due: Time) {
        let party = &mut self.parties[party];
        let Some(mouth) = party.mouth.as_mut() else {
            return;
        };
        let (Some(remote), Some(Some(ear))) = (mouth.voice.remote, self.ears.get(mouth.ear)) else {
            return;
        };
        let ticks = u32::from(self.ptime * PER_MS).wrapping_mul(frame as u32);
        let rtp = Rtp {
            payload: mouth.voice.payload,
            seq: mouth.seq,
            timestamp: mouth.voice.ssrc.wrapping_add(ticks),
            ssrc: mouth.voice.ssrc,
        };
        let (call, sender) = party.key;
        let mark = Mark {
            call,
            sender,
            number: mouth.number,
            sent: self.clock.now(),
            due,
        };
        mouth.seq = mouth.seq.wrapping_add(1);
        mouth.number += 1;
        self.sent += 1;
        mark::write(&mut self.packet, &rtp, &mark);
        if ear.socket.send_to(&self.packet, remote).is_err() {
            self.unsent += 1;
        }
    }

    /// Reads what is there: a packet of each socket that has one, and so on until none has. What
    /// is due in between is sent, and a flood ends the turn: it delays nobody.
    fn read_all(&mut self) -> io::Result<()> {
        let mut events = [EpollEvent::empty(); BATCH];
        for _ in 0..ROUNDS {
            let ready = match self.epoll.wait(&mut events, EpollTimeout::ZERO) {
                Err(nix::Error::EINTR) => continue,
                ready => ready?,
            };
            let stamp = self.clock.stamp();
            for event in &events[..ready] {
                self.read(event.data() as usize, &stamp);
            }
            if ready == 0 {
                return Ok(());
            }
            self.send_due();
        }
        Ok(())
    }

    fn read(&mut self, ear: usize, stamp: &Stamp) {
        let Some(Some(ear)) = self.ears.get(ear) else {
            return;
        };
        // An error is the ICMP answer to an earlier packet of ours.
        let Ok(got) = self.receiver.receive(&ear.socket, &mut self.buffer) else {
            return;
        };
        let party = &mut self.parties[ear.party];
        let arrival = got.arrival(&self.clock, stamp);
        self.unstamped += u64::from(arrival.is_none());
        let expected = party.mouth.as_ref().and_then(|mouth| mouth.voice.remote);
        let hearing = &mut party.hearing;
        hearing.foreign_source += u64::from(expected.is_some() && expected != got.from);
        let arrival = arrival.unwrap_or_else(|| self.clock.at(stamp));
        hearing.hear(arrival, mark::read(&self.buffer[..got.length]));
    }

    /// Does what it is told; whether to go on. Without a socket there is nothing else to do.
    fn obey(&mut self) -> io::Result<bool> {
        loop {
            let order = if self.by_local.is_empty() {
                let order = self.orders.recv();
                // The turns in between had nothing to send.
                let passed = self.clock.now().as_nanos() / TURN.as_nanos() as u64;
                self.turn = self.turn.max(passed);
                order.map_err(|_| mpsc::TryRecvError::Disconnected)
            } else {
                self.orders.try_recv()
            };
            match order {
                Ok(Command::Listen(end, local, socket)) => self.listen(end, local, socket)?,
                Ok(Command::Speak(end, voice)) => self.speak(end, voice)?,
                Ok(Command::Close(end, local)) => self.close(end, local)?,
                Ok(Command::Rest(end, resting)) => {
                    let now = self.clock.now();
                    if let Some(party) = self.by_key.get(&end) {
                        self.parties[*party].hearing.rest(now, resting);
                    }
                }
                Ok(Command::OpenWindow) => {
                    for party in &mut self.parties {
                        party.hearing.open_window();
                    }
                    self.lateness.push(Lateness::default());
                }
                Ok(Command::Look(reply)) => drop(reply.send(self.snapshot())),
                Ok(Command::Stop) | Err(mpsc::TryRecvError::Disconnected) => return Ok(false),
                Err(mpsc::TryRecvError::Empty) => return Ok(true),
            }
        }
    }

    fn party(&mut self, key: EndKey) -> usize {
        let (call, side) = key;
        let frame = Duration::from_millis(u64::from(self.ptime));
        let (now, parties) = (self.clock.now(), &mut self.parties);
        *self.by_key.entry(key).or_insert_with(|| {
            let hearing = Hearing::new(call, side.other(), frame, now);
            parties.push(Party {
                key,
                hearing,
                mouth: None,
            });
            parties.len() - 1
        })
    }

    fn listen(&mut self, end: EndKey, local: SocketAddr, socket: UdpSocket) -> io::Result<()> {
        ask_for_stamps(&socket);
        let number = self.ears.len();
        let event = EpollEvent::new(EpollFlags::EPOLLIN, number as u64);
        self.epoll.add(&socket, event)?;
        let party = self.party(end);
        self.ears.push(Some(Ear {
            party,
            local,
            socket,
        }));
        self.by_local.insert(local, number);
        Ok(())
    }

    fn speak(&mut self, end: EndKey, voice: Voice) -> io::Result<()> {
        let Some(ear) = self.by_local.get(&voice.local).copied() else {
            return Ok(());
        };
        let party = self.party(end);
        match &mut self.parties[party].mouth {
            Some(mouth) if mouth.ear == ear => {
                mouth.voice = Voice {
                    ssrc: mouth.voice.ssrc,
                    ..voice
                };
            }
            // The dialog was replaced: a new source, and the old socket is closed.
            Some(mouth) => {
                let old = mouth.voice.local;
                mouth.seq = voice.ssrc as u16;
                mouth.ear = ear;
                mouth.voice = voice;
                self.close(end, old)?;
            }
            mouth => {
                let emptiest = self.wheel.iter().enumerate().min_by_key(|(_, of)| of.len());
                let slot = emptiest.map_or(0, |(slot, _)| slot);
                let seq = voice.ssrc as u16;
                *mouth = Some(Mouth {
                    voice,
                    ear,
                    seq,
                    number: 0,
                    slot,
                });
                self.wheel[slot].push(party);
            }
        }
        Ok(())
    }

    fn close(&mut self, end: EndKey, local: SocketAddr) -> io::Result<()> {
        let Some(number) = self.by_local.remove(&local) else {
            return Ok(());
        };
        let Some(ear) = self.ears[number].take() else {
            return Ok(());
        };
        debug_assert_eq!((self.parties[ear.party].key, ear.local), (end, local));
        self.epoll.delete(&ear.socket)?;
        let party = &mut self.parties[ear.party];
        if party
            .mouth
            .as_ref()
            .is_some_and(|mouth| mouth.ear == number)
            && let Some(mouth) = party.mouth.take()
        {
            self.wheel[mouth.slot].retain(|other| *other != ear.party);
        }
        Ok(())
    }

    fn snapshot(&self) -> Snapshot {
        let at = self.clock.now();
        let heard = |party: &Party| (party.key, party.hearing.closed(at));
        Snapshot {
            at,
            heard: self.parties.iter().map(heard).collect(),
            lateness: self.lateness.clone(),
            unsent: self.unsent,
            skipped: self.skipped,
            sent: self.sent,
            unstamped: self.unstamped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::mark::Side;
    use super::*;

    #[test]
    fn who_was_held_up_for_long_sends_a_frame_and_leaves_the_rest_out() {
        let (_commands, orders) = mpsc::channel();
        let mut turn = Turn::new(Clock::default(), 20, orders).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let local = socket.local_addr().unwrap();
        turn.listen((1, Side::Caller), local, socket).unwrap();
        let voice = Voice {
            local,
            remote: Some(local),
            payload: 8,
            ssrc: 7,
        };
        turn.speak((1, Side::Caller), voice).unwrap();
        std::thread::sleep(Duration::from_millis(110));
        turn.send_due();
        assert_eq!(turn.sent, 1);
        assert!(turn.skipped >= 4, "{} packets left out", turn.skipped);
        assert!(turn.late().send_ns >= 100_000_000);
    }
}
