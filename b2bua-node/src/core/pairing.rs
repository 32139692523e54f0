//! The two legs of a call tell each other what happened; session descriptions change hands here.

use crate::core::call::{Call, Phase};
use crate::core::marks::{for_agent, mark};
use crate::core::{Event, NodeCore};
use holdline_b2bua::{CallKey, status_of};
use holdline_leg::{EndCause, Passage, RequestId, Signal};
use holdline_relay::{Carrier, MediaError, Side};
use holdline_wire::Method;
use holdline_wire::Time;
use holdline_wire::header::InstanceRefusal;

impl NodeCore {
    /// Passes on everything that the legs of a call have to tell, then looks what has become of
    /// the call.
    pub(super) fn pump(&mut self, now: Time, key: CallKey) {
        while let Some((side, signal)) = self.next_signal(key) {
            match side {
                Side::Near => self.near_signal(now, key, signal),
                Side::Far => self.far_signal(now, key, signal),
            }
        }
        self.note_ringing(now, key);
        self.keep_changes(now, key);
        self.finish_if_over(now, key);
    }

    fn next_signal(&mut self, key: CallKey) -> Option<(Side, Signal)> {
        let call = self.calls.get_mut(key)?;
        if let Some(signal) = call.near.poll_signal() {
            return Some((Side::Near, signal));
        }
        Some((Side::Far, call.far.as_mut()?.poll_signal()?))
    }

    fn near_signal(&mut self, now: Time, key: CallKey, signal: Signal) {
        let Some(phase) = self.phase(key) else { return };
        match signal {
            Signal::End { cause, passage } => self.near_ended(now, key, phase, cause, passage),
            // Offers must wait until the call's own INVITEs are through.
            Signal::Request { id, .. } if !matches!(phase, Phase::Setup | Phase::Up) => {
                self.reply(now, key, Side::Near, id, 491);
            }
            Signal::Request {
                id,
                method: Method::Refer,
                passage,
            } => self.refer(now, key, Side::Near, id, passage),
            signal => self.pass(now, key, Side::Near, signal),
        }
    }

    /// The agent hung up, cancelled, or is gone.
    fn near_ended(
        &mut self,
        now: Time,
        key: CallKey,
        phase: Phase,
        cause: EndCause,
        passage: Passage,
    ) {
        match phase {
            // spec: X28
            Phase::Up if self.moved_away.take() == Some(key) => self.vanish(now, key),
            Phase::Replacing => self.leave(now, key),
            Phase::Claiming => self.leave_claim(key),
            Phase::Refused(_) => self.delete_replaced(now, key),
            Phase::Leaving => {}
            Phase::Setup | Phase::Keeping | Phase::Up => {
                self.apply(now, key, Side::Far, Signal::End { cause, passage });
            }
        }
    }

    fn far_signal(&mut self, now: Time, key: CallKey, signal: Signal) {
        match self.phase(key) {
            Some(Phase::Setup) => match signal {
                Signal::Answer { .. } => self.answered(now, key, signal),
                Signal::Unanswered { status } => self.far_end_silent(now, key, status),
                signal => self.pass(now, key, Side::Far, signal),
            },
            Some(Phase::Keeping) => {
                if let Some(call) = self.calls.get_mut(key) {
                    call.held.push_back(signal);
                }
            }
            Some(Phase::Up) => match signal {
                Signal::End { .. } if self.is_claimed(key) => self.give_way(now, key),
                Signal::Request {
                    id,
                    method: Method::Refer,
                    passage,
                } => self.refer(now, key, Side::Far, id, passage),
                signal => self.pass(now, key, Side::Far, signal),
            },
            Some(Phase::Replacing) => self.takeover_signal(now, key, signal),
            Some(Phase::Leaving) => self.leaving_signal(now, key, signal),
            Some(Phase::Claiming | Phase::Refused(_)) | None => {}
        }
    }

    /// The downstream UA answered a new call.
    fn answered(&mut self, now: Time, key: CallKey, mut signal: Signal) {
        if signal
            .passage_mut()
            .is_some_and(|passage| passage.sdp().is_none())
            && let Some(call) = self.calls.get_mut(key)
        {
            let (ports, out) = (&mut self.env.streams.ports, &mut self.env.streams.commands);
            call.session.completed(ports, out);
        }
        match self.carry(key, Side::Far, &mut signal) {
            Ok(()) => self.keep(now, key, signal),
            Err(error) => self.uncarried(now, key, Side::Far, &signal, &error),
        }
    }

    /// Applies a signal of the leg on `from` to the other one.
    pub(super) fn pass(&mut self, now: Time, key: CallKey, from: Side, mut signal: Signal) {
        if from == Side::Far {
            for_agent(self.env.config.far_503, &mut signal);
        }
        match self.carry(key, from, &mut signal) {
            Ok(()) => self.apply(now, key, from.other(), signal),
            Err(error) => self.uncarried(now, key, from, &signal, &error),
        }
    }

    pub(super) fn apply(&mut self, now: Time, key: CallKey, side: Side, signal: Signal) {
        if let Some(leg) = self.calls.get_mut(key).and_then(|call| call.leg(side)) {
            leg.apply(&mut self.env.ctx(now, side), signal);
        }
    }

    /// Answers a request of the leg on `side` by ourselves.
    pub(super) fn reply(
        &mut self,
        now: Time,
        key: CallKey,
        side: Side,
        id: RequestId,
        status: u16,
    ) {
        let mut passage = Passage::default();
        if side == Side::Near && status >= 300 {
            passage.headers.push(mark(InstanceRefusal::Other));
        }
        self.apply(now, key, side, Signal::reply(id, status, passage));
    }

    /// Puts our own addresses into the session description that `signal` carries, if any.
    pub(super) fn carry(
        &mut self,
        key: CallKey,
        from: Side,
        signal: &mut Signal,
    ) -> Result<(), MediaError> {
        let Some(call) = self.calls.get_mut(key) else {
            return Ok(());
        };
        if is_refusal_of(call, signal) {
            call.offer = None;
            call.session
                .refused(&mut self.env.streams.ports, &mut self.env.streams.commands);
        }
        if let Some(carrier) = carrier_of(signal)
            && let Some(sdp) = signal.passage_mut().and_then(|passage| passage.sdp())
        {
            let (ports, out) = (&mut self.env.streams.ports, &mut self.env.streams.commands);
            let carried = call.session.carry(ports, out, from, carrier, sdp);
            self.env.flush_relay(key);
            let carried = carried?;
            if let Some(passage) = signal.passage_mut() {
                passage.set_sdp(carried);
            }
            match signal {
                Signal::Request { id, .. } => call.offer = Some(*id),
                Signal::Reply { id, .. } if call.offer == Some(*id) => call.offer = None,
                _ => {}
            }
        }
        self.env.flush_relay(key);
        Ok(())
    }

    /// A description could not be carried: an offer is refused, a bad answer ends the call.
    fn uncarried(
        &mut self,
        now: Time,
        key: CallKey,
        from: Side,
        signal: &Signal,
        error: &MediaError,
    ) {
        let number = self.calls[key].number;
        self.env.event(Event::Uncarried {
            call: number,
            why: error.to_string(),
        });
        match signal {
            Signal::Request { id, .. } => {
                self.reply(now, key, from, *id, status_of(error));
            }
            _ => self.fail(now, key, 502, "the session description cannot be relayed"),
        }
    }

    /// Whether a failover call in this very node is about to take this call over.
    fn is_claimed(&self, key: CallKey) -> bool {
        let claimant = self.calls.get(key).and_then(|call| call.claimant);
        claimant.is_some_and(|claimant| self.calls.contains_key(claimant))
    }
}

/// What a signal's description is, offer or answer; `None` where there can be none to relay.
fn carrier_of(signal: &Signal) -> Option<Carrier> {
    match signal {
        Signal::Progress { .. } => Some(Carrier::Provisional),
        Signal::Answer { .. } => Some(Carrier::Final),
        Signal::Reply {
            status: 200..=299, ..
        } => Some(Carrier::Final),
        Signal::Ack { .. } => Some(Carrier::Ack),
        Signal::Request {
            method: Method::Invite | Method::Update,
            ..
        } => Some(Carrier::Request),
        _ => None,
    }
}

fn is_refusal_of(call: &Call, signal: &Signal) -> bool {
    matches!(signal, Signal::Reply { id, status: 300.., .. } if call.offer == Some(*id))
}
