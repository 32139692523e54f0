//! A call's media on the move: fresh far ports for each attempt, and what becomes of those of the
//! attempts before it.

use super::{Exchange, MediaError, Sent, Session};
use crate::command::{Command, GroupId, Side, SideSpec, StreamId};
use crate::pool::Ports;
use bytes::Bytes;
use holdline_wire::sdp::Sdp;
use std::net::SocketAddr;

/// The far ports of an attempt that was given up but not cancelled.
#[derive(Clone, Debug)]
pub(super) struct Parked {
    session: u64,
    ports: Vec<(StreamId, u16)>,
}

impl Session {
    /// Moves the far side to fresh ports for `group` and returns the offer for the new node:
    /// exactly what is in use (spec: X24a), or, for a call that is still being set up, its own
    /// offer once more (spec: X26). `None` where there is no media to offer. `session` names the
    /// attempt: an attempt before it that has no final answer keeps its ports, see
    /// [`Session::adopt`].
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
        let attempted = self.attempt.is_some();
        if !attempted && self.agreed {
            // What was only being asked for is not offered; it is asked for again afterwards.
            let in_force = self.in_force();
            self.close_unused(ports, out, in_force.as_ref());
        }
        let mut fresh = Vec::with_capacity(self.streams.len());
        for stream in self.streams.iter().flatten() {
            let Some(port) = ports.take() else {
                fresh.into_iter().for_each(|(_, port)| ports.put(port));
                return Err(MediaError::NoPort);
            };
            fresh.push((stream.id, port));
        }
        let old: Vec<(StreamId, u16)> = self
            .streams
            .iter()
            .flatten()
            .map(|stream| (stream.id, stream.far))
            .collect();
        match self.attempt {
            Some(attempt) => self.parked.push(Parked {
                session: attempt,
                ports: old,
            }),
            None => old.into_iter().for_each(|(_, port)| ports.put(port)),
        }
        self.group = group;
        self.attempt = Some(session);
        self.take_far(&fresh, out);
        self.sent_far = Sent::nothing(session);
        let described = self.describe(Side::Far, &offer);
        self.exchange = Some(Box::new(Exchange {
            offerer: Side::Near,
            offer,
            answer: None,
        }));
        Ok(Some(described))
    }

    /// The attempt named `session` was answered after a later one had been started: its ports
    /// become the call's again (spec: X24). False where it is not known.
    pub fn adopt(&mut self, out: &mut Vec<Command>, group: GroupId, session: u64) -> bool {
        let Some(index) = self
            .parked
            .iter()
            .position(|parked| parked.session == session)
        else {
            return false;
        };
        let parked = self.parked.swap_remove(index);
        // A stream that was refused meanwhile has no use for its port; it goes with the others.
        let (live, unused): (Vec<_>, Vec<_>) = parked
            .ports
            .into_iter()
            .partition(|(id, _)| self.streams().any(|stream| stream == *id));
        let mut current: Vec<(StreamId, u16)> = self
            .streams
            .iter()
            .flatten()
            .filter(|stream| live.iter().any(|(id, _)| *id == stream.id))
            .map(|stream| (stream.id, stream.far))
            .collect();
        current.extend(unused);
        self.parked.push(Parked {
            session: self.attempt.replace(session).unwrap_or_default(),
            ports: current,
        });
        self.group = group;
        self.sent_far = Sent {
            version: 1,
            ..Sent::nothing(session)
        };
        self.take_far(&live, out);
        true
    }

    /// Frees the ports of attempts before this one that can no longer be answered: those whose
    /// `session` is not `live`.
    pub fn keep_parked(&mut self, ports: &mut Ports, live: impl Fn(u64) -> bool) {
        let kept = std::mem::take(&mut self.parked);
        for parked in kept {
            if live(parked.session) {
                self.parked.push(parked);
            } else {
                parked
                    .ports
                    .into_iter()
                    .for_each(|(_, port)| ports.put(port));
            }
        }
    }

    /// The move is over, as a final answer says too: the ports of the attempts that were not
    /// taken are free again.
    pub fn settled(&mut self, ports: &mut Ports) {
        self.attempt = None;
        for parked in self.parked.drain(..) {
            parked
                .ports
                .into_iter()
                .for_each(|(_, port)| ports.put(port));
        }
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
        let exchange = self.exchange.as_ref().filter(|_| self.attempt.is_some())?;
        Some(exchange.offer.clone())
    }

    /// The near side's first offer, while no final answer to it came.
    /// Where the near side heard an answer in a provisional response, no more than that took is
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
