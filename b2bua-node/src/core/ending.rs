//! How calls end: by themselves, by our own fault, or because another node has them.

use crate::core::call::Call;
use crate::core::keys::Timer;
use crate::core::{Event, NodeCore};
use holdline_b2bua::{CallKey, Refusal};
use holdline_leg::{Passage, RequestId, Signal};
use holdline_relay::Side;
use holdline_wire::Time;
use holdline_wire::dialog::DialogId;

impl NodeCore {
    /// The call of this node whose upstream dialog is `dialog`.
    pub(super) fn near_call(&self, dialog: &DialogId) -> Option<CallKey> {
        let (key, side) = self.env.tags.leg(&dialog.local_tag)?;
        let call = self.calls.get(key).filter(|_| side == Side::Near)?;
        (call.near.id() == *dialog).then_some(key)
    }

    /// Lets go of a call that another node has, or another call of this node, without a word to
    /// anybody (spec: X28). Its dialogs are remembered for a while: the downstream UA says BYE to
    /// the node whose dialog was replaced.
    pub(super) fn vanish(&mut self, now: Time, key: CallKey) {
        for side in [Side::Near, Side::Far] {
            let Some(leg) = self.calls.get_mut(key).and_then(|call| call.leg(side)) else {
                continue;
            };
            // What a peer still asks must not stay unanswered in the transaction layer. The downstream UA
            // is told to ask again: 481 would end the call there, while another node takes it over.
            let awaited: Vec<RequestId> = match side {
                Side::Near => leg.awaited().collect(),
                Side::Far => Vec::new(),
            };
            for id in awaited {
                let reply = Signal::reply(id, 481, Passage::default());
                leg.apply(&mut self.env.ctx(now, side), reply);
            }
            leg.abandon(&mut self.env.layer);
        }
        if let Some(call) = self.remove(now, key) {
            self.env.tags.bury(now, call.near.local_tag(), Side::Near);
            if let Some(far) = &call.far {
                self.env.tags.bury(now, far.local_tag(), Side::Far);
            }
            self.env.event(Event::Moved(call.number));
        }
    }

    /// Takes a call off whose legs are both over.
    pub(super) fn finish_if_over(&mut self, now: Time, key: CallKey) {
        if !self.calls.get(key).is_some_and(|call| call.is_over()) {
            return;
        }
        let Some(call) = self.remove(now, key) else {
            return;
        };
        self.env.forgo_note(key);
        if let (None, Some(noted)) = (&call.recorded, &call.noted) {
            self.env.take_off_in_company(now, noted.key());
        }
        if call.recorded.is_some() {
            self.env.take_off_in_company(now, call.near.id());
            // The store was down since the call came here: it has the old row still.
            if let Some(replaced) = call.replaces {
                self.env.take_off_in_company(now, replaced);
            }
        }
        self.env.event(Event::Over {
            call: call.number,
            lasted: now.since(call.placed),
            cause: call.cause,
        });
    }

    /// Takes a call out of all tables and its ports back.
    fn remove(&mut self, now: Time, key: CallKey) -> Option<Box<Call>> {
        let mut call = self.calls.remove(key)?;
        self.sweep_aging();
        if let Some((server, _)) = call.parting.take() {
            self.env.answer(now, Side::Near, server, Refusal::bare(200));
        }
        if let Some(takeover) = &call.takeover {
            self.env.claimed.remove(&takeover.named);
            if let Some(record) = &takeover.record {
                self.env.replaced.forget(&record.downstream);
            }
        }
        if let Some(run) = call.owner {
            self.env.agents.leave(run, key);
        }
        self.env.tags.remove(call.near.local_tag());
        if let Some(far) = &call.far {
            self.env.tags.remove(far.local_tag());
        }
        for invite in [call.near_invite, call.far_invite].into_iter().flatten() {
            self.env.invites.remove(&invite);
        }
        let timers = [
            Timer::Commit,
            Timer::Invite,
            Timer::Claim,
            Timer::Retry,
            Timer::Ring,
            Timer::Leaving,
            Timer::Parting,
            Timer::Lost,
            Timer::Silent,
        ]
        .map(|t| t(key));
        for timer in timers {
            self.env.timers.cancel(timer);
        }
        call.session
            .release(&mut self.env.streams.ports, &mut self.env.streams.commands);
        self.env.flush_relay(key);
        Some(call)
    }
}
