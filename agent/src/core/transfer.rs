//! Attended transfers by the calling server: an INVITE or a REFER that names a dialog of ours goes
//! on naming the dialog behind it (spec: D32; RFC 3891, RFC 3515).

use crate::cluster::NodeId;
use crate::core::AgentCore;
use crate::core::call::Phase;
use crate::core::keys::{Owner, Timer};
use crate::core::new_call::LOOK_AGAIN;
use holdline_b2bua::transfer::{elsewhere, is_named};
use holdline_b2bua::{CallKey, Refusal, replaces};
use holdline_leg::{Passage, Referred, Signal, refer_elsewhere, referred};
use holdline_relay::Side;
use holdline_wire::header::Replaces;
use holdline_wire::{Message, Method, Time};

/// Where the call is that a transfer replaces.
enum Seat {
    /// At this node, which knows its dialog as this.
    At(NodeId, Replaces),
    /// On the move from a dead node.
    Moving,
    /// Nowhere any more.
    Over,
}

impl AgentCore {
    /// The call that a new INVITE wants to replace, if any; or how RFC 3891 section 3 refuses it.
    pub(super) fn replaced_by(&self, invite: &Message) -> Result<Option<CallKey>, Refusal> {
        let Some(named) = replaces(invite)? else {
            return Ok(None);
        };
        let owner = self.env.tags.leg(&named.to_tag);
        let Some(Owner::Near(key)) = owner else {
            return Err(Refusal::bare(481));
        };
        let call = self.calls.get(key).ok_or(Refusal::bare(481))?;
        let refused = match call.phase {
            _ if !is_named(&call.near.id(), &named) => 481,
            Phase::Over => 603,
            // An early dialog can be replaced only at the one who made it.
            Phase::Setup(_) => 481,
            Phase::Up | Phase::Moving(_) if named.early_only => 486,
            Phase::Up | Phase::Moving(_) => return Ok(Some(key)),
        };
        Err(Refusal::bare(refused))
    }

    /// Sends a transfer to the node that has the call which is to be replaced; where that one is
    /// just moving, when it has moved.
    pub(super) fn place_transfer(&mut self, now: Time, key: CallKey, replaced: CallKey) {
        let seat = self.seat_of(replaced);
        let far_end = self.calls.get(replaced).map(|call| call.far_end);
        let far_end = far_end.unwrap_or_default();
        let (env, Some(call)) = (&mut self.env, self.calls.get_mut(key)) else {
            return;
        };
        env.touched.insert(key);
        match seat {
            // It asks the same of the far end as a move does (spec: X57).
            Seat::At(..) if env.pacing.far_ends.is_full(far_end) => {
                env.timers.set(Timer::Launch(key), now + LOOK_AGAIN);
            }
            Seat::At(node, replaces) => {
                self.place_at(now, key, node, Some(&replaces));
                let far = self.calls.get(key).and_then(|call| call.far.as_ref());
                if let Some(attempt) = far.map(|far| (key, far.epoch)) {
                    self.env.far_end_asked(now, far_end, node, attempt);
                }
            }
            Seat::Moving => env.timers.set(Timer::Launch(key), now + LOOK_AGAIN),
            Seat::Over => call.refuse_near(env, now, 603, Passage::default()),
        }
    }

    fn seat_of(&self, replaced: CallKey) -> Seat {
        let Some(call) = self.calls.get(replaced) else {
            return Seat::Over;
        };
        match (&call.phase, &call.far) {
            (Phase::Moving(_), _) => Seat::Moving,
            (Phase::Up, Some(far)) if far.leg.is_up() => {
                let replaces = Replaces {
                    transfer: true,
                    ..far.leg.id().replaces_for_peer()
                };
                Seat::At(far.node, replaces)
            }
            _ => Seat::Over,
        }
    }

    /// A REFER on its way from one side to the other: where its Refer-To names a dialog of ours,
    /// it goes on naming the dialog on the other side, and the peer there.
    pub(super) fn translate_refer(&self, from: Side, signal: &mut Signal) {
        if let Signal::Request {
            method: Method::Refer,
            passage,
            ..
        } = signal
            && let Some(named) = referred(passage)
            && let Some(elsewhere) = self.elsewhere(from, &named)
        {
            refer_elsewhere(passage, &elsewhere);
        }
    }

    /// Whether the dialog that a REFER of the calling server names has no other side just now.
    pub(super) fn refers_to_moving(&self, signal: &Signal) -> bool {
        let Signal::Request {
            method: Method::Refer,
            passage,
            ..
        } = signal
        else {
            return false;
        };
        let Some(named) = referred(passage) else {
            return false;
        };
        let Some(Owner::Near(key)) = self.env.tags.leg(&named.to_tag) else {
            return false;
        };
        let call = self.calls.get(key);
        call.is_some_and(|call| {
            matches!(call.phase, Phase::Moving(_)) && is_named(&call.near.id(), &named)
        })
    }

    /// A call has moved, or is lost: who waits for it is looked at again.
    pub(super) fn ask_waiting_refers(&mut self, now: Time) {
        for (key, refer) in std::mem::take(&mut self.refers) {
            self.hear_near(now, key, refer);
            self.env.touched.insert(key);
        }
    }

    fn elsewhere(&self, from: Side, named: &Replaces) -> Option<Referred> {
        let (here, there) = match (from, self.env.tags.leg(&named.to_tag)?) {
            (Side::Near, Owner::Near(key)) => {
                let call = self.calls.get(key)?;
                (&call.near, &call.far.as_ref()?.leg)
            }
            (Side::Far, Owner::Far(key, epoch)) => {
                let call = self.calls.get(key)?;
                let far = call.far.as_ref().filter(|far| far.epoch == epoch)?;
                (&far.leg, &call.near)
            }
            _ => return None,
        };
        elsewhere(&here.id(), there.dialog()?, named)
    }
}
