//! Attended transfers: an INVITE or a REFER that names a dialog of ours goes on naming the dialog
//! behind it (spec: D32; RFC 3891, RFC 3515).

use crate::core::call::{Call, CallKey, Owner, Phase};
use crate::core::env::{Asked, Place};
use crate::core::placing::Destination;
use crate::core::{NodeCore, far_uri};
use crate::store::{Answer, Op};
use holdline_leg::{Leg, Passage, Referred, RequestId, Signal, refer_elsewhere, referred};
use holdline_relay::Side;
use holdline_wire::dialog::DialogId;
use holdline_wire::header::{Name, NameAddr, Replaces};
use holdline_wire::{Message, Method, Time, TransportKey};

impl NodeCore {
    /// The way to the downstream UA of the call that a transfer replaces: its Contact, and the
    /// dialog as that UA knows it. An error is the status to refuse with (RFC 3891 section 3).
    pub(super) fn replaced_destination(
        &self,
        named: &Replaces,
        invite: &Message,
        from: TransportKey,
    ) -> Result<Destination, u16> {
        let holder = self.holder(named).and_then(|key| self.calls.get(key));
        let call = holder.ok_or(481u16)?;
        if *call.trunk != *from.remote.ip().to_string() {
            return Err(403);
        }
        if !matches!(call.phase, Phase::Up | Phase::Keeping) {
            return Err(481);
        }
        if named.early_only {
            return Err(486);
        }
        let far = call.far.as_ref().filter(|far| far.is_up());
        let dialog = far.and_then(Leg::dialog).ok_or(603u16)?;
        // Without Require, some take it for an ordinary new call.
        let mut require = "replaces".to_owned();
        if invite.has_token(Name::Require, "timer") {
            require.push_str(", timer");
        }
        let replaces = dialog.id.replaces_for_peer().to_value();
        // As for a move (spec: X24a); whom it was called by stands in the dialog's To.
        let called = NameAddr::parse(&dialog.remote).map_or("", |to| to.uri);
        let (request_uri, _) = far_uri::forms(&dialog.remote_target, called);
        Ok(Destination {
            request_uri,
            routes: dialog.route_set.clone(),
            flow: dialog.next_hop(),
            headers: vec![(Name::Replaces, replaces), (Name::Require, require)],
        })
    }

    /// A REFER on its way to the other side. Where its Refer-To names a dialog of ours, it goes on
    /// naming the one behind it, and the peer there; where that may be another node's, the store
    /// is asked.
    pub(super) fn refer(
        &mut self,
        now: Time,
        key: CallKey,
        from: Side,
        id: RequestId,
        mut passage: Passage,
    ) {
        if let Some(named) = referred(&passage) {
            if let Some(elsewhere) = self.elsewhere(from, &named) {
                refer_elsewhere(&mut passage, &elsewhere);
            } else if from == Side::Near {
                let upstream = DialogId {
                    call_id: named.call_id,
                    local_tag: named.to_tag,
                    remote_tag: named.from_tag,
                };
                let asked = Asked::Refer(key, id, Box::new(passage.clone()));
                if self.env.ask(now, Op::Find { upstream }, asked).is_some() {
                    return;
                }
            }
        }
        self.pass_refer(now, key, from, id, passage);
    }

    /// The store's word about the dialog that a REFER of the agent names. One that nobody in the
    /// cluster knows is not ours to exchange.
    pub(super) fn refer_replied(
        &mut self,
        now: Time,
        key: CallKey,
        id: RequestId,
        mut passage: Passage,
        answer: Answer,
    ) {
        let Some(call) = self.calls.get(key) else {
            return;
        };
        if !matches!(call.phase, Phase::Setup | Phase::Keeping | Phase::Up) {
            return self.reply(now, key, Side::Near, id, 491);
        }
        if let Answer::Found(record) = answer
            && record.trunk == call.trunk
        {
            let elsewhere = Referred {
                target: record.remote_target.clone(),
                replaces: record.downstream.replaces_for_peer(),
            };
            refer_elsewhere(&mut passage, &elsewhere);
        }
        self.pass_refer(now, key, Side::Near, id, passage);
        self.pump(now, key);
    }

    fn pass_refer(&mut self, now: Time, key: CallKey, from: Side, id: RequestId, passage: Passage) {
        let refer = Signal::Request {
            id,
            method: Method::Refer,
            passage,
        };
        self.pass(now, key, from, refer);
    }

    fn elsewhere(&self, from: Side, named: &Replaces) -> Option<Referred> {
        let Place::Leg(key, side) = *self.env.tags.get(&named.to_tag)? else {
            return None;
        };
        let call = self.calls.get(key).filter(|_| side == from)?;
        let (here, there) = (standing(call, from)?, standing(call, from.other())?);
        let id = here.id();
        let is_named = (&id.call_id, &id.remote_tag) == (&named.call_id, &named.from_tag);
        let dialog = there.dialog().filter(|_| is_named)?;
        Some(Referred {
            target: dialog.remote_target.clone(),
            replaces: Replaces {
                early_only: named.early_only,
                ..dialog.id.replaces_for_peer()
            },
        })
    }
}

fn standing(call: &Call, side: Side) -> Option<&Leg<Owner>> {
    match side {
        Side::Near => Some(&call.near),
        Side::Far => call.far.as_ref(),
    }
}
