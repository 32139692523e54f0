//! Media by arithmetic: what the programs' relays were told, and from it whose packets arrive.

use super::host::HostId;
use holdline_relay::{Command, GroupId, Peer, Side, SideSpec, StreamId};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

/// A stream as its program's relay has it.
#[derive(Clone, Copy, Debug)]
pub struct Relayed {
    near: SideSpec,
    far: SideSpec,
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
}

/// The relays of all programs.
#[derive(Debug, Default)]
pub struct Relays {
    streams: BTreeMap<(HostId, StreamId), Relayed>,
    ports: HashMap<SocketAddr, (HostId, StreamId, Side)>,
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
    /// Carries out a command of `host`; the error is a fault of the program.
    pub fn apply(&mut self, host: HostId, command: &Command) -> Result<(), String> {
        match *command {
            Command::Install {
                stream,
                near,
                far,
                group,
                ..
            } => {
                if self.streams.contains_key(&(host, stream)) {
                    return Err(format!("stream {} installed twice", stream.0));
                }
                self.open(host, stream, Side::Near, near.local)?;
                self.open(host, stream, Side::Far, far.local)?;
                self.streams
                    .insert((host, stream), Relayed { near, far, group });
            }
            Command::SetPeer { stream, side, peer } => {
                let Some(found) = self.streams.get_mut(&(host, stream)) else {
                    return Err(format!("peer set for unknown stream {}", stream.0));
                };
                match side {
                    Side::Near => found.near.peer = peer,
                    Side::Far => found.far.peer = peer,
                }
            }
            Command::Move { stream, far, group } => {
                let Some(found) = self.streams.get(&(host, stream)).copied() else {
                    return Err(format!("unknown stream {} moved", stream.0));
                };
                self.ports.remove(&found.far.local);
                self.open(host, stream, Side::Far, far.local)?;
                self.streams.insert(
                    (host, stream),
                    Relayed {
                        far,
                        group,
                        ..found
                    },
                );
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
                self.ports.remove(&found.near.local);
                self.ports.remove(&found.far.local);
            }
        }
        Ok(())
    }

    fn open(
        &mut self,
        host: HostId,
        stream: StreamId,
        side: Side,
        local: SocketAddr,
    ) -> Result<(), String> {
        match self.ports.insert(local, (host, stream, side)) {
            Some((_, other, _)) => Err(format!(
                "streams {} and {} share port {local}",
                other.0, stream.0
            )),
            None => Ok(()),
        }
    }

    /// The program died: its sockets are closed.
    pub fn close_all(&mut self, host: HostId) {
        let of_host = (host, StreamId(0))..=(host, StreamId(u64::MAX));
        let gone: Vec<_> = self.streams.range(of_host).map(|(key, _)| *key).collect();
        for key in gone {
            if let Some(stream) = self.streams.remove(&key) {
                self.ports.remove(&stream.near.local);
                self.ports.remove(&stream.far.local);
            }
        }
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
        let out = relayed.side(side.other());
        let to = out.peer.map(|peer| peer.rtp);
        Some(Hop {
            host,
            stream,
            side,
            from: out.local,
            to,
        })
    }
}
