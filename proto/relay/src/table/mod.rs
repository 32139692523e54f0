//! The port table, pure: which ports belong to which stream, what to do with a packet, who was
//! heard. The relay's thread and the simulated world push packets through it with their time.

mod comfort;
mod kind;
mod out;
mod quiet;
mod side;
mod steady;
mod stream;
mod tally;
mod verdict;

pub(crate) use tally::REFUSED_A_TICK;
pub use verdict::{Applied, Channel, Reason, Verdict};

use crate::command::{Comfort, Command, GroupId, Peer, Side, SideSpec, StreamId};
use crate::report::{Report, Tick};
use comfort::Waiting;
use holdline_wire::Time;
use holdline_wire::rtp::Dropped;
use out::usable;
use quiet::Quiet;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::time::Duration;
use steady::Steady;
use stream::Stream;
use tally::Tally;

/// How old a packet may be that is refused.
const REFUSED_WITHIN: Duration = Duration::from_secs(2);

/// All streams of one relay thread.
#[derive(Debug, Default)]
pub struct Table {
    /// Boxed, since the room of a hash map that grows is half empty.
    streams: HashMap<StreamId, Box<Stream>>,
    tally: Tally,
    waiting: Waiting,
    quiet: Quiet,
    ignored: u64,
}

impl Table {
    /// An empty table.
    pub fn new() -> Table {
        Table::default()
    }

    /// An empty table that tells of sides that fall silent for so long, and of those heard again.
    pub fn with_quiet_after(after: Option<Duration>) -> Table {
        Table {
            quiet: Quiet::new(after),
            ..Table::default()
        }
    }

    /// Adds to `reports` which sides are heard, or have fallen silent, since the last time.
    pub fn listen(&mut self, now: Time, reports: &mut Vec<Report>) {
        self.quiet.look(now, &mut self.streams);
        self.quiet.take(reports);
    }

    /// When to listen at the latest.
    pub fn listen_due(&self) -> Option<Time> {
        self.quiet.next()
    }

    /// Takes a command in and says what it means for the sockets.
    pub fn apply(&mut self, command: &Command) -> Applied {
        if !matches!(command, Command::Install { .. })
            && !self.streams.contains_key(&command.stream())
        {
            self.ignored += 1;
            return Applied::Nothing;
        }
        match *command {
            Command::Install {
                stream,
                near,
                far,
                group,
                clock_rate,
                steady,
            } => {
                let steady = steady.then(|| Steady::new(clock_rate));
                self.install(stream, near, far, group, steady)
            }
            Command::Clock { stream, clock_rate } => {
                let known = self.streams.get_mut(&stream);
                if let Some(steady) = known.and_then(|stream| stream.steady.as_mut()) {
                    steady.set_clock_rate(clock_rate);
                }
                Applied::Nothing
            }
            Command::SetPeer { stream, side, peer } => self.set_peer(stream, side, peer),
            Command::Move { stream, far, group } => self.relocate(stream, far, group),
            Command::Comfort { stream, comfort } => self.comfort(stream, comfort),
            Command::Remove { stream } => self.remove(stream),
        }
    }

    fn comfort(&mut self, id: StreamId, comfort: Option<Comfort>) -> Applied {
        let known = self.streams.get_mut(&id);
        if let Some(steady) = known.and_then(|stream| stream.steady.as_mut()) {
            if let Some(comfort) = comfort {
                if steady.begin_comfort(comfort) {
                    self.waiting.begin(id);
                }
            } else {
                steady.end_comfort();
                self.waiting.end(id);
            }
        }
        Applied::Nothing
    }

    /// Writes the next packet of silence that is due at `now` into `packet`: the stream whose near
    /// side it is for, by the RTP port, and its length. Asked until there is none.
    pub fn silence(&mut self, now: Time, packet: &mut [u8]) -> Option<(StreamId, usize)> {
        let streams = &mut self.streams;
        self.waiting
            .packet(now, |id| streams.get_mut(&id)?.comfort(now, packet))
    }

    /// When to ask for silence.
    pub fn silence_due(&self) -> Option<Time> {
        self.waiting.next()
    }

    /// A known stream is not replaced, but a side that could not be opened is tried again.
    fn install(
        &mut self,
        id: StreamId,
        near: SideSpec,
        far: SideSpec,
        group: GroupId,
        steady: Option<Steady>,
    ) -> Applied {
        let stream = match self.streams.entry(id) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(vacant) => {
                vacant.insert(Box::new(Stream::new(self.tally.join(group), steady)))
            }
        };
        let mut opened = [false; 2];
        for (side, spec) in [(Side::Near, near), (Side::Far, far)] {
            let state = stream.side_mut(side);
            if state.local.is_none() {
                state.open(spec);
                opened[side as usize] = true;
            }
        }
        match opened {
            [false, false] => Applied::Nothing,
            [near, far] => Applied::Open { near, far },
        }
    }

    fn set_peer(&mut self, id: StreamId, side: Side, peer: Option<Peer>) -> Applied {
        match self
            .streams
            .get_mut(&id)
            .map(|stream| stream.side_mut(side))
        {
            Some(state) if state.local.is_some() && state.peer != usable(peer) => {
                state.peer = usable(peer);
                Applied::Connect(side)
            }
            _ => Applied::Nothing,
        }
    }

    fn relocate(&mut self, id: StreamId, far: SideSpec, group: GroupId) -> Applied {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Applied::Nothing;
        };
        let state = stream.side(Side::Far);
        let there = state.local == Some(far.local) && self.tally.is(stream.group, group);
        // Where a peer is known the same ports are for another process at its place: a fresh
        // socket has none of the old one's packets and errors.
        if there && (state.peer.is_none() || state.peer == usable(far.peer)) {
            return self.set_peer(id, Side::Far, far.peer);
        }
        self.tally.leave(stream.group);
        stream.group = self.tally.join(group);
        (stream.heard_in, stream.refused_in) = (0, 0);
        if let Some(steady) = &mut stream.steady {
            steady.moved();
        }
        self.close_side(id, Side::Far);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.side_mut(Side::Far).open(far);
        }
        Applied::Open {
            near: false,
            far: true,
        }
    }

    fn remove(&mut self, id: StreamId) -> Applied {
        self.waiting.end(id);
        self.quiet.end(id);
        self.close_side(id, Side::Near);
        self.close_side(id, Side::Far);
        match self.streams.remove(&id) {
            Some(stream) => {
                self.tally.leave(stream.group);
                Applied::Removed
            }
            None => Applied::Nothing,
        }
    }

    /// A side's ports could not be opened: the stream has no such side until it gets another.
    pub fn close_side(&mut self, id: StreamId, side: Side) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.side_mut(side).close();
        }
    }

    /// The side's sockets could not be connected: it has no peer until it is told one again.
    pub fn unreachable(&mut self, stream: StreamId, side: Side) {
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.side_mut(side).peer = None;
        }
    }

    /// Where a side's packets go, by the RTP or the RTCP port. A packet that came from elsewhere
    /// is not for [`Table::handle_packet`]: the sockets are connected (spec: X41).
    pub fn remote(&self, stream: StreamId, side: Side, channel: Channel) -> Option<SocketAddr> {
        out::remote(self.streams.get(&stream)?.side(side).peer?, channel)
    }

    /// Judges a packet that came from the peer of `side` by the port `channel`, and rewrites it in
    /// place. No allocation.
    pub fn handle_packet(
        &mut self,
        now: Time,
        id: StreamId,
        side: Side,
        channel: Channel,
        packet: &mut [u8],
    ) -> Verdict {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Verdict::Drop(Reason::UnknownStream);
        };
        let verdict = stream.pass(now, side, channel, packet);
        let state = stream.side_mut(side);
        if !state.heard && state.last_heard() == Some(now) {
            state.heard = true;
            self.quiet.heard(now, id, side);
        }
        let alive = !matches!(
            verdict,
            Verdict::Drop(Reason::NoPeer | Reason::Refused(Dropped::Malformed(_)))
        );
        if alive && side == Side::Far {
            let first = stream.heard_in != self.tally.number();
            stream.heard_in = self.tally.number();
            self.tally.heard(stream.group, now, first);
        }
        verdict
    }

    /// A far side's peer refused a packet; its group, if this is the stream's first in this tick
    /// and few streams of the group were refused in it before, and a packet was sent there of late:
    /// anybody can write an ICMP message, but not about what was not sent (spec: X52).
    pub fn refused(&mut self, now: Time, stream: StreamId) -> Option<GroupId> {
        let stream = self.streams.get_mut(&stream)?;
        let sent = stream.side(Side::Near).last_heard();
        if sent.is_none_or(|sent| now.since(sent) > REFUSED_WITHIN) {
            return None;
        }
        let first = stream.refused_in != self.tally.number();
        stream.refused_in = self.tally.number();
        self.tally.refused(stream.group, first)
    }

    /// The report of what was heard since the last one.
    pub fn tick(&mut self, at: Time, late: Duration) -> Tick {
        Tick {
            at,
            late,
            groups: self.tally.take(),
        }
    }

    /// Whether there is no stream.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// How many commands named a stream that is not there.
    pub fn ignored(&self) -> u64 {
        self.ignored
    }

    /// A side's ports and peer, while it is open.
    pub fn spec(&self, stream: StreamId, side: Side) -> Option<SideSpec> {
        let state = self.streams.get(&stream)?.side(side);
        Some(SideSpec {
            local: state.local?,
            peer: state.peer,
        })
    }
}
