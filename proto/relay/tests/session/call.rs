//! A media session with its ports, driven by what the sides say.

use bytes::Bytes;
use holdline_relay::{
    Carrier, Command, GroupId, MediaError, Peer, Place, Ports, Session, Side, StreamId,
};
use holdline_wire::rtp::Silence;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

pub const NEAR: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
pub const FAR: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));
/// Where both sides' own media is.
const PEERS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// A description with those m-lines.
pub fn sdp(media: &str) -> String {
    format!("v=0\r\no=- 5 5 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n{media}")
}

/// The peer that wants RTP and RTCP on those ports.
pub fn media(rtp: u16, rtcp: u16) -> Peer {
    Peer {
        rtp: SocketAddr::new(PEERS, rtp),
        rtcp: Some(SocketAddr::new(PEERS, rtcp)),
    }
}

/// The port of the first m-line.
pub fn port_of(sdp: &str) -> u16 {
    let (_, line) = sdp.split_once("\r\nm=").expect("an m-line");
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

/// The o= line.
pub fn origin_of(sdp: &str) -> &str {
    sdp.lines().find(|line| line.starts_with("o=")).unwrap()
}

pub struct Call {
    pub ports: Ports,
    pub session: Session,
    out: Vec<Command>,
    /// The near and far ports that the relay has open, where it has carried the commands out.
    open: BTreeMap<StreamId, (u16, u16)>,
}

impl Call {
    /// A call with so many ports to choose from, two a pair.
    pub fn new(ports: u16) -> Call {
        let place = Place {
            near: NEAR,
            far: FAR,
            steady: true,
            session: 77,
        };
        Call {
            ports: Ports::new(20_000, 20_000 + ports - 1),
            session: Session::new(place, GroupId(1)),
            out: Vec::new(),
            open: BTreeMap::new(),
        }
    }

    pub fn carry_text(
        &mut self,
        from: Side,
        carrier: Carrier,
        text: String,
    ) -> Result<String, MediaError> {
        let (ports, out) = (&mut self.ports, &mut self.out);
        let carried = self.session.carry(ports, out, from, carrier, text.into())?;
        Ok(text_of(carried))
    }

    pub fn carry(
        &mut self,
        from: Side,
        carrier: Carrier,
        media: &str,
    ) -> Result<String, MediaError> {
        self.carry_text(from, carrier, sdp(media))
    }

    pub fn offer(&mut self, from: Side, media: &str) -> String {
        self.carry(from, Carrier::Request, media).unwrap()
    }

    pub fn answer(&mut self, from: Side, media: &str) -> String {
        self.carry(from, Carrier::Final, media).unwrap()
    }

    /// The final 2xx came without a description.
    pub fn complete(&mut self) {
        let (ports, out) = (&mut self.ports, &mut self.out);
        self.session.completed(ports, out);
    }

    pub fn refused(&mut self) {
        self.session.refused(&mut self.ports, &mut self.out);
    }

    pub fn try_move(&mut self, group: GroupId, session: u64) -> Result<Option<String>, MediaError> {
        let (ports, out) = (&mut self.ports, &mut self.out);
        let offer = self.session.move_far(ports, out, group, session)?;
        Ok(offer.map(text_of))
    }

    pub fn move_far(&mut self, group: GroupId, session: u64) -> Option<String> {
        self.try_move(group, session).unwrap()
    }

    pub fn adopt(&mut self, group: GroupId, session: u64) -> bool {
        let (ports, out) = (&mut self.ports, &mut self.out);
        self.session.adopt(ports, out, group, session)
    }

    pub fn settle(&mut self) {
        self.session.settled(&mut self.ports);
    }

    pub fn mirror(&mut self, media: &str) -> Result<(String, String), MediaError> {
        let (ports, out) = (&mut self.ports, &mut self.out);
        let (answer, offer) = self.session.mirror(ports, out, sdp(media).into())?;
        Ok((text_of(answer), text_of(offer)))
    }

    /// The silences that the relay is told of, by stream.
    pub fn comfort(&mut self) -> Vec<(StreamId, Vec<Silence>)> {
        self.out.clear();
        self.session
            .comfort(&mut self.out, Duration::from_millis(200), 7);
        let told = self.out.drain(..).map(|command| match command {
            Command::Comfort {
                stream,
                comfort: Some(comfort),
            } => (stream, comfort.silences.into_iter().flatten().collect()),
            other => panic!("{other:?}"),
        });
        told.collect()
    }

    pub fn uncomfort(&mut self) {
        self.session.uncomfort(&mut self.out);
    }

    /// Another socket had the first stream's port on `side`.
    pub fn mend_any(&mut self, side: Side) -> Result<(), MediaError> {
        let Some(stream) = self.session.streams().next() else {
            return Ok(());
        };
        let (ports, out) = (&mut self.ports, &mut self.out);
        self.session.mend(ports, out, stream, side)
    }

    pub fn release(&mut self) {
        self.session.release(&mut self.ports, &mut self.out);
    }

    /// What the relay was told since the last time. It carries that out at once and tells which
    /// sockets are closed.
    pub fn commands(&mut self) -> Vec<Command> {
        for command in &self.out {
            match *command {
                Command::Install {
                    stream, near, far, ..
                } => {
                    let ports = (near.local.port(), far.local.port());
                    self.open.insert(stream, ports);
                }
                Command::Move { stream, far, .. } => {
                    let now = far.local.port();
                    let before = self.open.get_mut(&stream).map(|ports| &mut ports.1);
                    let before = before.map(|port| std::mem::replace(port, now));
                    before
                        .filter(|before| *before != now)
                        .inspect(|port| self.ports.closed(*port));
                }
                Command::Remove { stream } => {
                    if let Some((near, far)) = self.open.remove(&stream) {
                        self.ports.closed(near);
                        self.ports.closed(far);
                    }
                }
                _ => {}
            }
        }
        std::mem::take(&mut self.out)
    }
}

fn text_of(bytes: Bytes) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
