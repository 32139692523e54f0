//! A call's media on the move: far ports for each attempt, and what becomes of those of the
//! attempts before it.

use super::attempts::FarPorts;
use super::parts::{Exchange, Sent};
use super::{MediaError, Session};
use crate::command::{Command, GroupId, Side, SideSpec, StreamId};
use crate::media::pool::Ports;
use bytes::Bytes;
use holdline_wire::sdp::Sdp;
use std::net::SocketAddr;

impl Session {
    /// Moves the far side to fresh ports for `group` and returns the offer for the new node:
    /// exactly what is in use (spec: X24a), or, for a call that is still being set up, its own
    /// offer once more (spec: X26). `None` where there is no media to offer. `session` names the
    /// attempt: an attempt before it that has no final answer keeps its ports, see
    /// [`Session::adopt`]. Where no port is free the side's own ports, which nobody needs any
    /// more, are opened anew: nothing is taken there before the new node is known, and then only
    /// from it. So the move of a call always fits (spec: X51); [`MediaError::NoPort`] is for one
    /// more attempt while another may still be answered.
    pub fn move_far(
        &mut self,
        ports: &mut Ports,
        out: &mut Vec<Command>,
        group: GroupId,
        session: u64,
    ) -> Result<Option<Bytes>, MediaError> {
        let setup = self.setup_offer();
        let Some(offer) = setup
            .or_else(|| self.attempt_offer())
            .or_else(|| self.in_use())
        else {
            self.group = group;
            return Ok(None);
        };
        if !self.attempts.is_under_way() && self.agreed {
            // What was only being asked for is not offered; it is asked for again afterwards.
            let in_force = self.in_force();
            self.close_unused(ports, out, in_force.as_ref());
        }
        let fresh = self.fresh_far(ports, !self.attempts.is_awaited())?;
        let left = self.far_ports();
        self.attempts.begin(session, ports, left, &fresh);
        self.group = group;
        self.take_far(&fresh, out);
        self.sent_far = Sent::nothing(session);
        let described = self.describe(Side::Far, &offer);
        self.exchange = Some(Box::new(Exchange::open(Side::Near, offer)));
        Ok(Some(described))
    }

    /// A far port for each stream: a free one, or else, where they `may_stay`, its own.
    fn fresh_far(&self, ports: &mut Ports, may_stay: bool) -> Result<FarPorts, MediaError> {
        let mut fresh = Vec::with_capacity(self.streams.len());
        for stream in self.streams.iter().flatten() {
            let own = Some(stream.far).filter(|port| may_stay && ports.is_sound(*port));
            let Some(port) = ports.take().or(own) else {
                let taken = fresh.into_iter().filter(|(_, port)| !self.has_far(*port));
                taken.for_each(|(_, port)| ports.untake(port));
                return Err(MediaError::NoPort);
            };
            fresh.push((stream.id, port));
        }
        Ok(fresh)
    }

    fn has_far(&self, port: u16) -> bool {
        self.streams
            .iter()
            .flatten()
            .any(|stream| stream.far == port)
    }

    fn far_ports(&self) -> FarPorts {
        let streams = self.streams.iter().flatten();
        streams.map(|stream| (stream.id, stream.far)).collect()
    }

    /// The attempt named `session` was answered after a later one had been started, or the later
    /// one could not be: its ports become the call's again (spec: X24). False where it is not
    /// known.
    pub fn adopt(
        &mut self,
        ports: &mut Ports,
        out: &mut Vec<Command>,
        group: GroupId,
        session: u64,
    ) -> bool {
        let Some(kept) = self.attempts.take(session) else {
            return false;
        };
        // A stream that was refused meanwhile has no use for its port; it goes with the others.
        let (live, unused): (FarPorts, FarPorts) = kept
            .into_iter()
            .partition(|(id, _)| self.streams().any(|stream| stream == *id));
        let mut current: FarPorts = self
            .streams
            .iter()
            .flatten()
            .filter(|stream| live.iter().any(|(id, _)| *id == stream.id))
            .map(|stream| (stream.id, stream.far))
            .collect();
        current.iter().for_each(|(_, port)| ports.leave(*port));
        live.iter().for_each(|(_, port)| ports.back(*port));
        current.extend(unused);
        self.attempts.go_back(session, current);
        self.group = group;
        self.sent_far = Sent::before(session);
        self.take_far(&live, out);
        true
    }

    /// Frees the ports of attempts before this one that can no longer be answered: those whose
    /// `session` is not `live`. Where the attempt under way is not, its ports serve the next.
    pub fn keep_parked(&mut self, ports: &mut Ports, live: impl Fn(u64) -> bool) {
        self.attempts.keep(ports, live);
    }

    /// The move is over, as a final answer says too: the ports of the attempts that were not
    /// taken are free again.
    pub fn settled(&mut self, ports: &mut Ports) {
        self.attempts.end(ports);
    }

    fn take_far(&mut self, fresh: &[(StreamId, u16)], out: &mut Vec<Command>) {
        for (id, port) in fresh {
            if let Some(stream) = self.streams.iter_mut().flatten().find(|s| s.id == *id) {
                stream.far = *port;
                let local = SocketAddr::new(self.place.far, *port);
                let far = SideSpec { local, peer: None };
                out.push(Command::Move {
                    stream: *id,
                    far,
                    group: self.group,
                });
            }
        }
    }

    /// What the attempt before offered: the next one offers the same.
    fn attempt_offer(&self) -> Option<Sdp> {
        let exchange = self.exchange.as_ref()?;
        self.attempts.is_under_way().then(|| exchange.offer.clone())
    }

    /// The near side's first offer, while no final answer to it came. Where the near side heard an answer in a provisional response, no more than that took is
    /// offered: the next answer has to agree with it.
    fn setup_offer(&mut self) -> Option<Sdp> {
        let exchange = self.exchange.as_mut().filter(|_| !self.agreed)?;
        if exchange.offerer != Side::Near {
            return None;
        }
        let Some(answer) = exchange.answer.take() else {
            return Some(exchange.offer.clone());
        };
        exchange.offer = exchange.offer.narrowed(&answer);
        self.told.get_or_insert(Box::new(answer));
        Some(exchange.offer.clone())
    }

    fn in_use(&self) -> Option<Sdp> {
        let (near, far) = self.in_force()?;
        Some(near.in_use(&far))
    }
}
