//! Media by arithmetic: what the programs' relays were told, and from it whose packets arrive.

use super::host::HostId;
use super::plan::Scarce;
use holdline_relay::{Command, GroupId, Peer, Report, Side, SideSpec, StreamId};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

/// A stream as its program's relay has it.
#[derive(Clone, Copy, Debug)]
pub struct Relayed {
    near: SideSpec,
    far: SideSpec,
    /// Whether the sockets of each side are open.
    open: [bool; 2],
    /// Whom the far side's packets speak for.
    pub group: GroupId,
}

impl Relayed {
    fn side(&self, side: Side) -> SideSpec {
        match side {
            Side::Near => self.near,
            Side::Far => self.far,
        }
    }

    fn side_mut(&mut self, side: Side) -> &mut SideSpec {
        match side {
            Side::Near => &mut self.near,
            Side::Far => &mut self.far,
        }
    }

    /// The local address of a side that is open.
    fn open_at(&self, side: Side) -> Option<SocketAddr> {
        self.open[side as usize].then(|| self.side(side).local)
    }
}

/// The relays of all programs.
#[derive(Debug, Default)]
pub struct Relays {
    streams: BTreeMap<(HostId, StreamId), Relayed>,
    ports: HashMap<SocketAddr, (HostId, StreamId, Side)>,
    /// Sockets that a relay is to close, and has not told so yet: another stream's may be looked
    /// after by another thread.
    closing: BTreeMap<SocketAddr, (HostId, StreamId)>,
    /// One pair in so many is another socket's.
    foreign: Option<u16>,
}

/// Where a packet came out.
#[derive(Clone, Copy, Debug)]
pub struct Hop {
    /// The program that passed it on.
    pub host: HostId,
    /// Its stream.
    pub stream: StreamId,
    /// The side it came in by.
    pub side: Side,
    /// Its next source.
    pub from: SocketAddr,
    /// Its next destination, if one is known.
    pub to: Option<SocketAddr>,
}

impl Relays {
    /// Relays on hosts with other sockets, as `scarce` says.
    pub fn new(scarce: &Scarce) -> Relays {
        Relays {
            foreign: scarce.foreign,
            ..Relays::default()
        }
    }

    /// Whether another socket has this port.
    pub fn is_foreign(&self, at: SocketAddr) -> bool {
        self.foreign
            .is_some_and(|every| (at.port() / 2).is_multiple_of(every))
    }

    /// Carries out a command of `host` and says what its relay reports soon; the error is a fault
    /// of the program.
    pub fn apply(&mut self, host: HostId, command: &Command) -> Result<Vec<Report>, String> {
        let mut reports = Vec::new();
        match *command {
            Command::Install {
                stream,
                near,
                far,
                group,
                ..
            } => self.install(host, stream, (near, far, group), &mut reports)?,
            Command::SetPeer { stream, side, peer } => {
                let Some(found) = self.streams.get_mut(&(host, stream)) else {
                    return Err(format!("peer set for unknown stream {}", stream.0));
                };
                if found.open_at(side).is_some() {
                    found.side_mut(side).peer = peer;
                }
            }
            Command::Move { stream, far, group } => {
                let Some(mut found) = self.streams.get(&(host, stream)).copied() else {
                    return Err(format!("unknown stream {} moved", stream.0));
                };
                if let Some(local) = found.open_at(Side::Far) {
                    self.ports.remove(&local);
                    if local != far.local {
                        self.closing.insert(local, (host, stream));
                        reports.push(Report::Left { stream, local });
                    }
                }
                (found.far, found.group) = (far, group);
                let opened = self.open(host, stream, Side::Far, far.local, &mut reports)?;
                found.open[Side::Far as usize] = opened;
                self.streams.insert((host, stream), found);
            }
            Command::Comfort { stream, .. } | Command::Clock { stream, .. } => {
                if !self.streams.contains_key(&(host, stream)) {
                    return Err(format!("an order for unknown stream {}", stream.0));
                }
            }
            Command::Remove { stream } => {
                let Some(found) = self.streams.remove(&(host, stream)) else {
                    return Err(format!("unknown stream {} removed", stream.0));
                };
                let closed = [Side::Near, Side::Far].map(|side| found.open_at(side));
                for local in closed.into_iter().flatten() {
                    self.ports.remove(&local);
                    self.closing.insert(local, (host, stream));
                }
                reports.push(Report::Removed {
                    stream,
                    closed: closed.map(|local| Some(local?.port())),
                });
            }
        }
        Ok(reports)
    }

    /// Of a stream that is known only the side is opened that could not be before.
    fn install(
        &mut self,
        host: HostId,
        stream: StreamId,
        (near, far, group): (SideSpec, SideSpec, GroupId),
        reports: &mut Vec<Report>,
    ) -> Result<(), String> {
        let known = self.streams.get(&(host, stream)).copied();
        if known.is_some_and(|known| known.open == [true, true]) {
            return Err(format!("stream {} installed twice", stream.0));
        }
        let mut found = known.unwrap_or(Relayed {
            near,
            far,
            open: [false, false],
            group,
        });
        for (side, spec) in [(Side::Near, near), (Side::Far, far)] {
            if !found.open[side as usize] {
                *found.side_mut(side) = spec;
                found.open[side as usize] = self.open(host, stream, side, spec.local, reports)?;
            }
        }
        self.streams.insert((host, stream), found);
        Ok(())
    }

    /// Opens a side's sockets; false where another socket has the port.
    fn open(
        &mut self,
        host: HostId,
        stream: StreamId,
        side: Side,
        local: SocketAddr,
        reports: &mut Vec<Report>,
    ) -> Result<bool, String> {
        if self.is_foreign(local) {
            reports.push(Report::BindFailed {
                stream,
                side,
                local,
                errno: 98,
            });
            return Ok(false);
        }
        if let Some((_, other)) = self.closing.get(&local)
            && *other != stream
        {
            let (one, other) = (stream.0, other.0);
            return Err(format!(
                "stream {one} opens {local}, which stream {other} may still have open"
            ));
        }
        self.closing.remove(&local);
        match self.ports.insert(local, (host, stream, side)) {
            Some((_, other, _)) => Err(format!(
                "streams {} and {} share port {local}",
                other.0, stream.0
            )),
            None => Ok(true),
        }
    }

    /// A relay tells its program something: sockets that it was to close are closed by now.
    pub fn told(&mut self, host: HostId, report: &Report) {
        let (stream, closed) = match *report {
            Report::Left { stream, local } => (stream, [Some(local.port()), None]),
            Report::Removed { stream, closed, .. } => (stream, closed),
            _ => return,
        };
        self.closing.retain(|local, owner| {
            *owner != (host, stream) || !closed.contains(&Some(local.port()))
        });
    }

    /// The program died: its sockets are closed.
    pub fn close_all(&mut self, host: HostId) {
        let of_host = (host, StreamId(0))..=(host, StreamId(u64::MAX));
        let gone: Vec<_> = self.streams.range(of_host).map(|(key, _)| *key).collect();
        for key in gone {
            if let Some(stream) = self.streams.remove(&key) {
                let open = [Side::Near, Side::Far].map(|side| stream.open_at(side));
                open.into_iter().flatten().for_each(|local| {
                    self.ports.remove(&local);
                });
            }
        }
        self.closing.retain(|_, (owner, _)| *owner != host);
    }

    /// How many streams `host` has.
    pub fn count(&self, host: HostId) -> usize {
        self.streams
            .range((host, StreamId(0))..=(host, StreamId(u64::MAX)))
            .count()
    }

    /// What `host` has of a stream.
    pub fn get(&self, host: HostId, stream: StreamId) -> Option<&Relayed> {
        self.streams.get(&(host, stream))
    }

    /// Whether somebody listens at `at`.
    pub fn is_open(&self, at: SocketAddr) -> bool {
        self.ports.contains_key(&at)
    }

    /// The stream of `host` whose side has this local address, and its group.
    pub fn stream_at(&self, host: HostId, local: SocketAddr) -> Option<(StreamId, GroupId)> {
        let &(owner, stream, _) = self.ports.get(&local)?;
        let relayed = self
            .streams
            .get(&(owner, stream))
            .filter(|_| owner == host)?;
        Some((stream, relayed.group))
    }

    /// Passes a packet from `from` that came to `to`, if somebody there takes it.
    pub fn pass(&self, from: SocketAddr, to: SocketAddr) -> Option<Hop> {
        let &(host, stream, side) = self.ports.get(&to)?;
        let relayed = self.streams.get(&(host, stream))?;
        // A relay takes packets only from where the peer's description says (spec: X41).
        if relayed.side(side).peer.map(|peer: Peer| peer.rtp) != Some(from) {
            return None;
        }
        let from = relayed.open_at(side.other())?;
        let out = relayed.side(side.other());
        let to = out.peer.map(|peer| peer.rtp);
        Some(Hop {
            host,
            stream,
            side,
            from,
            to,
        })
    }
}
