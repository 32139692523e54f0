//! Many calls over UDP: one thread, one socket for each end.

use super::ends::{self, Caller, Plan, Step, number_of};
use super::pacing::Pacing;
use crate::failure::Error;
use bytes::Bytes;
use holdline_wire::Message;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Receive buffer asked for, bytes.
const BUFFER: usize = 4 << 20;
const CALLER: Token = Token(0);
const CALLEE: Token = Token(1);
/// Longer than any answer should take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What became of the calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// INVITEs sent.
    pub placed: u64,
    /// Answered.
    pub up: u64,
    /// Hung up, and the BYE answered.
    pub over: u64,
    /// Refused.
    pub refused: u64,
    /// The last refusal.
    pub status: u16,
}

/// Both ends of the calls.
pub struct Crowd {
    plan: Plan,
    caller: Caller,
    sockets: [UdpSocket; 2],
    poll: Poll,
    tally: Tally,
    next: u32,
    hang_ups: VecDeque<(Instant, u32)>,
    hold: Option<Duration>,
    offered: BTreeMap<u32, SocketAddr>,
    buffer: Vec<u8>,
}

impl Crowd {
    /// Opens the sockets.
    pub fn new(plan: Plan) -> io::Result<Crowd> {
        let poll = Poll::new()?;
        let mut sockets = [open(plan.caller)?, open(plan.callee)?];
        for (socket, token) in sockets.iter_mut().zip([CALLER, CALLEE]) {
            poll.registry()
                .register(socket, token, Interest::READABLE)?;
        }
        Ok(Crowd {
            plan,
            caller: Caller::new(plan),
            sockets,
            poll,
            tally: Tally::default(),
            next: 0,
            hang_ups: VecDeque::new(),
            hold: None,
            offered: BTreeMap::new(),
            buffer: vec![0; 65_536],
        })
    }

    /// So far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Where each end of call `number` sends its RTP: caller, callee.
    pub fn media(&self, number: u32) -> Option<(SocketAddr, SocketAddr)> {
        Some((self.caller.media(number)?, *self.offered.get(&number)?))
    }

    /// Places `count` calls that stay, `rate` a second; an error where one is not answered.
    pub fn place(&mut self, count: u32, rate: f64) -> Result<(), Error> {
        self.hold = None;
        let goal = self.tally.up + u64::from(count);
        let mut pacing = Pacing::new(rate);
        let mut left = count;
        while left > 0 {
            while left > 0 && pacing.beat(Instant::now()) {
                self.invite();
                left -= 1;
            }
            self.turn(pacing.next())?;
        }
        let end = Instant::now() + PATIENCE;
        while self.tally.up < goal && Instant::now() < end {
            self.turn(Instant::now() + Duration::from_millis(10))?;
        }
        if self.tally.up < goal {
            let (
                missing,
                Tally {
                    refused, status, ..
                },
            ) = (goal - self.tally.up, self.tally);
            return Err(format!(
                "{missing} calls are not up; {refused} refused, at last with {status}"
            )
            .into());
        }
        Ok(())
    }

    /// `rate` calls a second for `time`, each hung up by the caller after `hold`. Calls that are
    /// up then go on in the next flow.
    pub fn flow(&mut self, rate: f64, hold: Duration, time: Duration) -> io::Result<()> {
        self.hold = Some(hold);
        let mut pacing = Pacing::new(rate);
        let end = Instant::now() + time;
        loop {
            let now = Instant::now();
            if now >= end {
                return Ok(());
            }
            while pacing.beat(now) {
                self.invite();
            }
            let hang_up = self.hang_up(now);
            self.turn(pacing.next().min(end).min(hang_up.unwrap_or(end)))?;
        }
    }

    /// Hangs up what is still up after [`Crowd::flow`], each when it is due, until every call is
    /// over or `patience` is. Calls that are neither over nor refused then have failed.
    pub fn drain(&mut self, patience: Duration) -> io::Result<()> {
        let end = Instant::now() + patience;
        while self.tally.over + self.tally.refused < self.tally.placed {
            let now = Instant::now();
            if now >= end {
                break;
            }
            let hang_up = self.hang_up(now);
            self.turn(hang_up.unwrap_or(end).min(end))?;
        }
        Ok(())
    }

    /// Says BYE in the calls whose time is over; when the next one's is.
    fn hang_up(&mut self, now: Instant) -> Option<Instant> {
        while self.hang_ups.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, number)) = self.hang_ups.pop_front()
                && let Some((to, bytes)) = self.caller.bye(number)
            {
                self.send(CALLER, to, &bytes);
            }
        }
        self.hang_ups.front().map(|(at, _)| *at)
    }

    fn invite(&mut self) {
        let bytes = self.caller.invite(self.next);
        self.next += 1;
        self.tally.placed += 1;
        self.send(CALLER, self.plan.next_hop, &bytes);
    }

    /// What the kernel does not take is lost, and the call with it.
    fn send(&self, end: Token, to: SocketAddr, bytes: &Bytes) {
        let _ = self.sockets[end.0].send_to(bytes, to);
    }

    /// Takes what comes until `until`, at least once.
    fn turn(&mut self, until: Instant) -> io::Result<()> {
        let mut events = Events::with_capacity(4);
        let timeout = until.saturating_duration_since(Instant::now());
        match self.poll.poll(&mut events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            result => result?,
        }
        for event in &events {
            loop {
                match self.sockets[event.token().0].recv_from(&mut self.buffer) {
                    Ok((length, from)) => {
                        let bytes = Bytes::copy_from_slice(&self.buffer[..length]);
                        match event.token() {
                            CALLER => self.at_caller(bytes),
                            _ => self.at_callee(from, bytes),
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    // An ICMP error of an earlier send.
                    Err(_) => {}
                }
            }
        }
        Ok(())
    }

    fn at_caller(&mut self, bytes: Bytes) {
        let (step, ack) = self.caller.receive(bytes);
        if let Some((to, bytes)) = ack {
            self.send(CALLER, to, &bytes);
        }
        match step {
            Some(Step::Up(number)) => {
                self.tally.up += 1;
                if let Some(hold) = self.hold {
                    self.hang_ups.push_back((Instant::now() + hold, number));
                }
            }
            Some(Step::Over(_)) => self.tally.over += 1,
            Some(Step::Refused(_, status)) => {
                self.tally.refused += 1;
                self.tally.status = status;
            }
            None => {}
        }
    }

    fn at_callee(&mut self, from: SocketAddr, bytes: Bytes) {
        let Ok(message) = Message::parse(bytes) else {
            return;
        };
        let (answers, offered) = ends::callee(&self.plan, from, &message);
        if let (Some(offered), Some(number), None) = (offered, number_of(&message), self.hold) {
            self.offered.insert(number, offered);
        }
        for answer in &answers {
            self.send(CALLEE, from, answer);
        }
    }
}

fn open(local: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, None)?;
    socket.set_recv_buffer_size(BUFFER)?;
    socket.set_nonblocking(true)?;
    socket.bind(&local.into())?;
    Ok(UdpSocket::from_std(socket.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::Description;
    use crate::rig::Block;

    #[test]
    fn calls_are_placed_held_and_hung_up() {
        let block = Block::unique().unwrap();
        let plan = Plan {
            caller: block.caller(),
            callee: block.callee(),
            next_hop: block.callee(),
            description: Description::Audio,
            first_port: 20_000,
        };
        let mut crowd = Crowd::new(plan).unwrap();
        crowd.place(20, 1000.0).unwrap();
        assert_eq!(
            crowd.media(19),
            Some((
                plan.rtp(plan.callee.ip(), 19),
                plan.rtp(plan.caller.ip(), 19)
            ))
        );
        let (hold, time) = (Duration::from_millis(20), Duration::from_millis(300));
        // A machine that is busy with other tests may leave this one no turn for that long.
        for _ in 0..10 {
            crowd.flow(200.0, hold, time).unwrap();
            if crowd.tally().over > 0 {
                break;
            }
        }
        let tally = crowd.tally();
        assert!(tally.over > 0 && tally.refused == 0, "{tally:?}");
    }
}
