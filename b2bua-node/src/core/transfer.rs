//! Attended transfers: an INVITE or a REFER that names a dialog of ours goes on naming the dialog
//! behind it (spec: D32; RFC 3891, RFC 3515).

use crate::core::call::Phase;
use crate::core::env::Asked;
use crate::core::placing::Destination;
use crate::core::{NodeCore, far_uri};
use crate::store::{Answer, Op};
use holdline_b2bua::CallKey;
use holdline_b2bua::transfer::elsewhere;
use holdline_leg::{Leg, Passage, Referred, RequestId, Signal, refer_elsewhere, referred};
use holdline_relay::Side;
use holdline_wire::dialog::DialogId;
use holdline_wire::header::{NameAddr, Replaces};
use holdline_wire::{Method, Time, TransportKey};

impl NodeCore {
    /// The way to the downstream UA of the call that a transfer replaces: its Contact, and the
    /// dialog as that UA knows it. An error is the status to refuse with (RFC 3891 section 3).
    pub(super) fn replaced_destination(
        &self,
        named: &Replaces,
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
        let replaces = dialog.id.replaces_for_peer();
        // As for a move (spec: X24a); whom it was called by stands in the dialog's To.
        let called = NameAddr::parse(&dialog.remote).map_or("", |to| to.uri);
        let (request_uri, _) = far_uri::forms(&dialog.remote_target, called);
        Ok(Destination {
            request_uri,
            routes: dialog.route_set.clone(),
            flow: dialog.next_hop(),
            replaces: Some(replaces),
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
        let (key, side) = self.env.tags.leg(&named.to_tag)?;
        let call = self.calls.get(key).filter(|_| side == from)?;
        let (here, there) = (call.leg_on(from)?, call.leg_on(from.other())?);
        elsewhere(&here.id(), there.dialog()?, named)
    }
}
