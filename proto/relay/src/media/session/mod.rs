//! The media of one call: which session description each side gave, which ports stand between
//! them, and what the relay has to be told. Pure.

mod attempts;
mod comfort;
mod listening;
mod mending;
mod moving;
mod parts;

use crate::command::{Command, GroupId, Peer, Side, SideSpec, StreamId};
use crate::media::pool::Ports;
use attempts::Attempts;
use bytes::Bytes;
use holdline_wire::sdp::{Anchor, Media, Sdp, SdpError};
use parts::{Exchange, Said, Sent, Stream, has};
use std::net::{IpAddr, SocketAddr};

/// Why a description cannot be carried to the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MediaError {
    /// It is no session description.
    #[error(transparent)]
    Sdp(#[from] SdpError),
    /// No port pair is free.
    #[error("no media port is free")]
    NoPort,
}

/// What a description came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// An INVITE, re-INVITE or UPDATE: an offer.
    Request,
    /// A provisional response.
    Provisional,
    /// A final 2xx response.
    Final,
    /// An ACK: the answer to an offer in a 2xx.
    Ack,
}

/// Where a program's media are on each side, and how it describes them.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Our address towards the near side.
    pub near: IpAddr,
    /// Our address towards the far side.
    pub far: IpAddr,
    /// Whether the near side must see one SSRC (spec: X29).
    pub steady: bool,
    /// The session id of the descriptions that we send (RFC 8866 section 5.2).
    pub session: u64,
}

impl Place {
    /// Our address towards `side`.
    fn address(&self, side: Side) -> IpAddr {
        match side {
            Side::Near => self.near,
            Side::Far => self.far,
        }
    }
}

/// The media of one call.
#[derive(Debug)]
pub struct Session {
    place: Place,
    group: GroupId,
    streams: Vec<Option<Stream>>,
    /// What each side said last in an exchange that was completed.
    near: Option<Said>,
    far: Option<Said>,
    exchange: Option<Box<Exchange>>,
    sent_near: Sent,
    sent_far: Sent,
    /// Whether offer and answer were completed by a final response once.
    agreed: bool,
    /// The same since somebody asked.
    agreed_anew: bool,
    /// Those to move it.
    attempts: Attempts,
    /// The answer to its first offer that the near side has heard in a provisional response of
    /// an attempt before the one under way: it is told no other that says the same (spec: X26).
    told: Option<Box<Sdp>>,
}

impl Session {
    /// A call without streams yet.
    pub fn new(place: Place, group: GroupId) -> Session {
        Session {
            place,
            group,
            streams: Vec::new(),
            near: None,
            far: None,
            exchange: None,
            sent_near: Sent::nothing(place.session),
            sent_far: Sent::nothing(place.session),
            agreed: false,
            agreed_anew: false,
            attempts: Attempts::default(),
            told: None,
        }
    }

    /// Takes the description that came from `from` and returns the one for the other side. What
    /// it is, offer or answer, follows from its carrier (RFC 3264, RFC 6337 section 2).
    pub fn carry(
        &mut self,
        ports: &mut Ports,
        out: &mut Vec<Command>,
        from: Side,
        carrier: Carrier,
        bytes: Bytes,
    ) -> Result<Bytes, MediaError> {
        // A copy, since the message that it is a part of must not live as long as it does.
        let sdp = Sdp::parse(Bytes::copy_from_slice(&bytes))?;
        let answers = carrier != Carrier::Request
            && self
                .exchange
                .as_ref()
                .is_some_and(|exchange| exchange.offerer == from.other());
        let told = self.told.take_if(|_| answers && from == Side::Far);
        if answers {
            let last = matches!(carrier, Carrier::Final | Carrier::Ack);
            self.answer(ports, out, &sdp, last);
        } else {
            self.open(ports, out, from, &sdp)?;
            self.exchange = Some(Box::new(Exchange::open(from, sdp.clone())));
        }
        let Some(told) = told else {
            return Ok(self.describe(from.other(), &sdp));
        };
        let told = if told.agrees_with(&sdp) {
            told
        } else {
            Box::new(sdp)
        };
        let described = self.describe(Side::Near, &told);
        self.told = Some(told).filter(|_| !self.agreed);
        Ok(described)
    }

    /// The request that carried the offer was refused: what was agreed before stays in force.
    pub fn refused(&mut self, ports: &mut Ports, out: &mut Vec<Command>) {
        let Some(exchange) = self.exchange.take() else {
            return;
        };
        let agreed = self.in_force();
        self.close_unused(ports, out, agreed.as_ref());
        if exchange.answer.is_some()
            && let Some((near, far)) = &agreed
        {
            self.set_peers(out, near, far);
        }
    }

    /// What near and far side said last in an exchange that was completed.
    fn in_force(&self) -> Option<(Sdp, Sdp)> {
        Some((self.near.as_ref()?.read()?, self.far.as_ref()?.read()?))
    }

    /// Takes a failover offer from the near side: returns our own answer to it, which mirrors it
    /// so that media can turn at once, and the same offer for the far side (spec: X31a).
    pub fn mirror(
        &mut self,
        ports: &mut Ports,
        out: &mut Vec<Command>,
        bytes: Bytes,
    ) -> Result<(Bytes, Bytes), MediaError> {
        let offer = self.carry(ports, out, Side::Near, Carrier::Request, bytes)?;
        Ok((self.mirrored(), offer))
    }

    /// Our own answer to the near side's offer, which mirrors it.
    fn mirrored(&mut self) -> Bytes {
        let Some(exchange) = &self.exchange else {
            return Bytes::new();
        };
        let anchors = self.anchors(Side::Near);
        let answer = exchange
            .offer
            .mirrored(&anchors, self.sent_near.session)
            .bytes()
            .clone();
        self.sent_near.begin(&answer);
        answer
    }

    /// Takes the ports of every stream back.
    pub fn release(&mut self, ports: &mut Ports, out: &mut Vec<Command>) {
        for stream in self.streams.drain(..).flatten() {
            close(stream, ports, out);
        }
        self.settled(ports);
        self.exchange = None;
    }

    /// Sets whom the far side's packets speak for, before the first stream.
    pub fn speak_for(&mut self, group: GroupId) {
        self.group = group;
    }

    /// The streams that have ports, for reports that name one.
    pub fn streams(&self) -> impl Iterator<Item = StreamId> + '_ {
        self.streams.iter().flatten().map(|stream| stream.id)
    }

    /// Opens a stream for each live m-line that has none yet; all of them or none.
    fn open(
        &mut self,
        ports: &mut Ports,
        out: &mut Vec<Command>,
        from: Side,
        sdp: &Sdp,
    ) -> Result<(), MediaError> {
        let lacking = |(index, media): &(usize, &Media)| {
            media.port != 0 && self.streams.get(*index).is_none_or(Option::is_none)
        };
        let new: Vec<usize> = sdp
            .media()
            .iter()
            .enumerate()
            .filter(lacking)
            .map(|(index, _)| index)
            .collect();
        if ports.available() < 2 * new.len() {
            return Err(MediaError::NoPort);
        }
        let streams = sdp.media().len().max(self.streams.len());
        // Few calls ever get another one, and a vector would make room for four.
        self.streams.reserve_exact(streams - self.streams.len());
        self.streams.resize(streams, None);
        for index in new {
            let (Some(near), Some(far)) = (ports.take(), ports.take()) else {
                return Err(MediaError::NoPort);
            };
            let id = ports.stream();
            let media = &sdp.media()[index];
            let clock_rate = media.clock_rate();
            self.streams[index] = Some(Stream {
                id,
                near,
                far,
                clock_rate,
                sound: Default::default(),
            });
            let side = |side: Side, ip, port| SideSpec {
                local: SocketAddr::new(ip, port),
                peer: peer_of(media, media.mux).filter(|_| side == from),
            };
            out.push(Command::Install {
                stream: id,
                near: side(Side::Near, self.place.near, near),
                far: side(Side::Far, self.place.far, far),
                group: self.group,
                clock_rate,
                steady: self.place.steady,
            });
        }
        Ok(())
    }

    /// Takes an answer. Only the last one, in a final response or an ACK, closes what it refuses
    /// and is what was agreed: one in a provisional response may still be replaced.
    fn answer(&mut self, ports: &mut Ports, out: &mut Vec<Command>, sdp: &Sdp, last: bool) {
        let Some(exchange) = &mut self.exchange else {
            return;
        };
        exchange.answer = Some(sdp.clone());
        let (near, far) = exchange.sides(sdp);
        self.set_peers(out, &near, &far);
        self.set_clocks(out, sdp);
        if last {
            self.agree(ports, out, near, far);
        }
    }

    /// The final 2xx to the offer came without a description: where a provisional response had
    /// one, that was the answer (RFC 6337 section 2 has it repeated, which not everybody does).
    pub fn completed(&mut self, ports: &mut Ports, out: &mut Vec<Command>) {
        let answered = |exchange: &mut Box<Exchange>| exchange.answer.is_some();
        let Some(exchange) = self.exchange.take_if(answered) else {
            return;
        };
        if let Some(answer) = &exchange.answer {
            let (near, far) = exchange.sides(answer);
            self.agree(ports, out, near, far);
        }
    }

    fn agree(&mut self, ports: &mut Ports, out: &mut Vec<Command>, near: Sdp, far: Sdp) {
        (self.near, self.far) = (Some(Said::of(&near)), Some(Said::of(&far)));
        self.exchange = None;
        (self.agreed, self.agreed_anew) = (true, true);
        self.close_unused(ports, out, Some(&(near, far)));
        self.settled(ports);
    }

    /// Timestamps go on by the clock of what is spoken: the format that the answer prefers, which
    /// need not be the one that the offer preferred.
    fn set_clocks(&mut self, out: &mut Vec<Command>, answer: &Sdp) {
        if !self.place.steady {
            return;
        }
        for (stream, media) in self.streams.iter_mut().zip(answer.media()) {
            let rate = media.clock_rate();
            let Some(stream) = stream else { continue };
            if media.port != 0 && stream.clock_rate != rate {
                stream.clock_rate = rate;
                out.push(Command::Clock {
                    stream: stream.id,
                    clock_rate: rate,
                });
            }
        }
    }

    /// Tells the relay where both sides of each live stream want their packets.
    fn set_peers(&self, out: &mut Vec<Command>, near: &Sdp, far: &Sdp) {
        let streams = self.streams.iter().zip(near.media()).zip(far.media());
        for ((stream, near), far) in streams {
            let Some(stream) = stream.filter(|_| near.port != 0 && far.port != 0) else {
                continue;
            };
            // An offer of rtcp-mux holds only where the answer has it too (RFC 5761 5.1.1).
            let mux = near.mux && far.mux;
            for (side, media) in [(Side::Near, near), (Side::Far, far)] {
                out.push(Command::SetPeer {
                    stream: stream.id,
                    side,
                    peer: peer_of(media, mux),
                });
            }
        }
    }

    /// Closes the streams that the descriptions in force do not have.
    fn close_unused(
        &mut self,
        ports: &mut Ports,
        out: &mut Vec<Command>,
        in_force: Option<&(Sdp, Sdp)>,
    ) {
        for index in 0..self.streams.len() {
            if !in_force.is_some_and(|(near, far)| has(near, index) && has(far, index))
                && let Some(stream) = self.streams[index].take()
            {
                close(stream, ports, out);
            }
        }
    }

    fn anchors(&self, side: Side) -> Vec<Option<Anchor>> {
        let anchor = |stream: &Stream| Anchor {
            rtp: SocketAddr::new(self.place.address(side), stream.port(side)),
        };
        self.streams
            .iter()
            .map(|stream| stream.as_ref().map(anchor))
            .collect()
    }

    /// `sdp` as `side` gets it: our ports, our origin, a version that grows with each change.
    fn describe(&mut self, side: Side, sdp: &Sdp) -> Bytes {
        let anchored = sdp.anchored(&self.anchors(side));
        let ip = self.place.address(side);
        let sent = match side {
            Side::Near => &mut self.sent_near,
            Side::Far => &mut self.sent_far,
        };
        sent.go_on(anchored.bytes());
        anchored
            .with_origin(sent.session, sent.version, ip)
            .bytes()
            .clone()
    }
}

fn close(stream: Stream, ports: &mut Ports, out: &mut Vec<Command>) {
    out.push(Command::Remove { stream: stream.id });
    ports.put(stream.near);
    ports.put(stream.far);
}

/// Where a side wants its packets. `mux`: RTCP comes with RTP; a side that offered it in vain
/// takes RTCP on the port after RTP.
fn peer_of(media: &Media, mux: bool) -> Option<Peer> {
    let rtp = media.rtp_addr()?;
    let rtcp = match (mux, media.mux) {
        (true, _) => Some(rtp),
        (false, true) => rtp
            .port()
            .checked_add(1)
            .map(|port| SocketAddr::new(rtp.ip(), port)),
        (false, false) => media.rtcp,
    };
    Some(Peer { rtp, rtcp })
}
