//! From the socket to the leg: parsing, strangers, and whose message it is.

use crate::core::keys::Owner;
use crate::core::{Event, NodeCore};
use bytes::Bytes;
use holdline_b2bua::CallKey;
use holdline_b2bua::{Ignored, Refusal, stray};
use holdline_leg::{Ctx, Leg};
use holdline_relay::Side;
use holdline_wire::dialog::DialogId;
use holdline_wire::machine::Output;
use holdline_wire::message::ParseError;
use holdline_wire::transaction::{self, ServerId};
use holdline_wire::{Message, Method, Time, TransportKey};

fn is_final(response: &Message) -> bool {
    response.status() >= 200
}

impl NodeCore {
    /// A datagram came.
    pub(super) fn message(&mut self, now: Time, from: TransportKey, bytes: Bytes) {
        match Message::parse(bytes) {
            Ok(message) if self.is_welcome(&message, from) => {
                let refused = self.env.layer.refused();
                self.env.layer.receive(now, from, message);
                if self.env.layer.refused() > refused {
                    self.ignore(from, Ignored::Overload);
                }
            }
            Ok(_) => self.ignore(from, Ignored::Source),
            Err(ParseError::KeepAlive) => {}
            Err(ParseError::Garbage(_)) => self.ignore(from, Ignored::Garbage),
            Err(ParseError::Refuse {
                status,
                reason,
                request,
            }) => {
                let Some(side) = self.env.side_of(from) else {
                    return self.ignore(from, Ignored::Source);
                };
                self.env
                    .answer_statelessly(side, &request, from, status, reason);
                self.ignore(from, Ignored::Malformed);
            }
        }
    }

    fn ignore(&mut self, from: TransportKey, why: Ignored) {
        let from = from.remote;
        self.env.event(Event::Ignored { from, why });
    }

    /// Whether `message` deserves any reaction: it is from a peer that we know, or it names a live
    /// dialog and comes from an address of that, or a dialog that moved away, whose tag nobody can
    /// guess (spec: X40). Responses are matched by their branch.
    fn is_welcome(&self, message: &Message, from: TransportKey) -> bool {
        !message.is_request()
            || self.env.side_of(from).is_some()
            || self.belongs(message, from)
            || self.env.replaced.knows(&DialogId::of_request(message))
    }

    fn belongs(&self, message: &Message, from: TransportKey) -> bool {
        let Some(tag) = message.to_tag() else {
            return false;
        };
        let leg = self.env.tags.leg(tag).and_then(|(key, side)| {
            let leg = self.calls.get(key)?.leg_on(side)?;
            leg.is_addressed_by(message).then_some(leg)
        });
        let dialog = leg.and_then(|leg| leg.dialog());
        dialog.is_some_and(|dialog| dialog.speaks_from(from.remote.ip()))
            || self.env.tags.ended(tag).is_some()
    }

    /// Takes everything out of the transaction layer.
    pub(super) fn settle(&mut self, now: Time) {
        while let Some(output) = self.env.layer.poll_output() {
            match output {
                transaction::Output::Send(to, bytes) => {
                    self.env.outputs.push_back(Output::Send { to, bytes });
                }
                transaction::Output::Event(event) => self.event(now, event),
            }
        }
    }

    fn event(&mut self, now: Time, event: transaction::Event<Owner>) {
        match event {
            transaction::Event::Request {
                server,
                message,
                from,
                cancels,
            } => {
                self.request(now, server, &message, from, cancels);
            }
            transaction::Event::Ack { message, .. } => {
                if let Some((key, side)) = self.addressed(&message) {
                    self.hear_side(now, key, side);
                    self.with_leg(now, key, side, |leg, ctx| leg.on_ack(ctx, &message));
                }
            }
            transaction::Event::Response {
                client,
                owner,
                message,
                from,
            } => match owner {
                Owner::Leg(key, side) if self.calls.contains_key(key) => {
                    self.hear_side(now, key, side);
                    self.with_leg(now, key, side, |leg, ctx| {
                        leg.on_response(ctx, client, &message, from);
                    });
                    if side == Side::Far && is_final(&message) && *message.method() == Method::Bye {
                        self.parted(now, key);
                    }
                }
                Owner::Leg(..) => self.decline_late_answer(now, client, &message, from),
                Owner::Farewell(key) if message.status() >= 200 => {
                    self.old_dialog_said(now, key, message.status());
                }
                Owner::Farewell(_) | Owner::Nobody => {}
            },
            transaction::Event::Timeout {
                client,
                owner,
                transport,
            } => match owner {
                Owner::Leg(key, side) => self.with_leg(now, key, side, |leg, ctx| {
                    leg.on_timeout(ctx, client, transport);
                }),
                Owner::Farewell(key) => self.old_dialog_said(now, key, 408),
                Owner::Nobody => {}
            },
            transaction::Event::NoAck { server, .. } => {
                if let Some((key, side)) = self.leg_of_invite(server) {
                    self.with_leg(now, key, side, |leg, ctx| leg.on_no_ack(ctx, server));
                }
            }
            transaction::Event::Stray { .. } => {}
        }
    }

    fn request(
        &mut self,
        now: Time,
        server: ServerId,
        request: &Message,
        from: TransportKey,
        cancels: Option<ServerId>,
    ) {
        let tag = request.to_tag();
        let ended = tag.and_then(|tag| self.env.tags.ended(tag));
        let leg = match cancels {
            Some(invite) => self.env.invites.get(&invite).copied(),
            None => self.addressed(request),
        };
        if let Some((key, side)) = leg {
            self.hear_side(now, key, side);
        }
        let replaced = self.ends_replaced(request);
        let in_tag = tag.and_then(|tag| self.env.tags.leg(tag));
        let side = in_tag
            .map(|(_, side)| side)
            .or(ended)
            .or(self.env.side_of(from))
            .unwrap_or(Side::Near);
        let method = request.method();
        match leg {
            Some((key, Side::Near))
                if *method == Method::Bye && self.says_moved(key, request, from) =>
            {
                self.moved_away = Some(key);
                self.with_leg(now, key, Side::Near, |leg, ctx| {
                    leg.on_request(ctx, server, request, cancels);
                });
                self.moved_away = None;
            }
            Some((key, Side::Near))
                if *method == Method::Bye && self.part(now, key, server, request) => {}
            Some((key, side)) => {
                if *method == Method::Invite {
                    self.remember_invite(key, side, server);
                }
                self.with_leg(now, key, side, |leg, ctx| {
                    leg.on_request(ctx, server, request, cancels);
                });
            }
            // The run before this one had it, or the node that was here before.
            None if replaced && ended.is_none() => {
                let heard = Refusal::bare(200);
                self.env.answer(now, Side::Far, server, heard);
            }
            None if tag.is_some() || *method == Method::Cancel => {
                // spec: X39. The run before this one may have known the dialog.
                let young = side == Side::Far && now < self.young_until && *method != Method::Bye;
                let ended = ended.or(young.then_some(Side::Far));
                let cancels = *method == Method::Cancel && self.env.layer.knows_invite_of(request);
                let answer = stray(method, ended, cancels);
                self.env.answer(now, side, server, answer);
            }
            None => self.out_of_dialog(now, side, server, request, from),
        }
    }

    /// A message of the peer on `side` came in this call.
    fn hear_side(&mut self, now: Time, key: CallKey, side: Side) {
        if side == Side::Near {
            self.hear_agent_of(now, key);
        }
    }

    /// The leg whose dialog `message` names, Call-ID and both tags.
    fn addressed(&mut self, message: &Message) -> Option<(CallKey, Side)> {
        let (key, side) = self.env.tags.leg(message.to_tag()?)?;
        let leg = self.calls.get_mut(key)?.leg(side)?;
        leg.is_addressed_by(message).then_some((key, side))
    }

    /// The leg whose 2xx to this INVITE waits for its ACK: where another INVITE followed it, it is looked
    /// for among all.
    fn leg_of_invite(&self, server: ServerId) -> Option<(CallKey, Side)> {
        let known = self.env.invites.get(&server).copied();
        known.or_else(|| {
            let awaits = |leg: &Leg<Owner>| leg.awaits_ack_of(server);
            self.calls.iter().find_map(|(key, call)| {
                let far = call.far.as_ref().filter(|far| awaits(far));
                let far = far.map(|_| (key, Side::Far));
                far.or_else(|| awaits(&call.near).then_some((key, Side::Near)))
            })
        })
    }

    /// Remembers whose INVITE transaction `server` is, in place of the one before it.
    pub(super) fn remember_invite(&mut self, key: CallKey, side: Side, server: ServerId) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        if let Some(before) = call.invite_of(side).replace(server) {
            self.env.invites.remove(&before);
        }
        self.env.invites.insert(server, (key, side));
    }

    /// Does `step` with a leg, then what follows from it on the other.
    pub(super) fn with_leg(
        &mut self,
        now: Time,
        key: CallKey,
        side: Side,
        step: impl FnOnce(&mut Leg<Owner>, &mut Ctx<'_, Owner>),
    ) {
        if let Some(leg) = self.calls.get_mut(key).and_then(|call| call.leg(side)) {
            step(leg, &mut self.env.ctx(now, side));
            self.pump(now, key);
        }
    }
}
