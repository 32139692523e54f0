//! What happens on one leg of a call, carried to the other.

use crate::core::AgentCore;
use crate::core::call::{Call, Phase};
use crate::core::env::{Env, moved};
use crate::core::event::Event;
use crate::core::keys::Timer;
use crate::core::refusal::Whose;
use bytes::Bytes;
use holdline_b2bua::{CallKey, Cause, status_of};
use holdline_leg::{EndCause, Passage, RequestId, Signal};
use holdline_relay::{Carrier, Side};
use holdline_wire::{Method, Time};
use std::time::Duration;

/// A call that moved because its dialog was disowned does not move again for that so soon.
const DISOWNED_REST: Duration = Duration::from_secs(60);

/// A hang-up by the far end so soon after a move is counted by itself.
const JUST_MOVED: Duration = Duration::from_secs(1);

/// Whether a request may carry an offer (RFC 3261 14, RFC 3311).
fn may_offer(method: &Method) -> bool {
    matches!(method, Method::Invite | Method::Update)
}

impl AgentCore {
    /// Carries the signals of the call's legs until both are silent.
    pub(super) fn pump(&mut self, now: Time, key: CallKey) {
        loop {
            let Some(call) = self.calls.get_mut(key) else {
                return;
            };
            if let Some(signal) = call.near.poll_signal() {
                self.hear_near(now, key, signal);
                continue;
            }
            let legs = call.far.iter_mut().chain(call.others.iter_mut());
            let next = legs.map(|far| (far.epoch, far.leg.poll_signal()));
            let Some((epoch, mut signal)) = next.filter_map(|(e, s)| Some((e, s?))).next() else {
                break;
            };
            self.translate_refer(Side::Far, &mut signal);
            self.on_far(now, key, epoch, signal);
        }
        if self.calls.get(key).is_some_and(|call| call.is_finished())
            && let Some(call) = self.calls.remove(key)
        {
            call.release(&mut self.env, now);
            self.sweep_aging();
        }
    }

    /// What the calling server said, now or while its call moved.
    pub(super) fn hear_near(&mut self, now: Time, key: CallKey, mut signal: Signal) {
        let call = self.calls.get(key);
        let moves = call.is_some_and(|call| matches!(call.phase, Phase::Moving(_)));
        // What is kept for the new node is translated when that is there: until then other calls
        // may move as well.
        if !moves {
            if self.refers_to_moving(&signal) {
                return self.refers.push((key, signal));
            }
            self.translate_refer(Side::Near, &mut signal);
        }
        if let Some(call) = self.calls.get_mut(key) {
            call.on_near(&mut self.env, now, signal);
        }
    }

    fn on_far(&mut self, now: Time, key: CallKey, epoch: u32, signal: Signal) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let in_charge = call.far.as_ref().is_some_and(|far| far.epoch == epoch);
        let moves = !self.env.settings.moving.dry_run;
        if in_charge && moves && call.is_disowned_by(now, &signal) {
            return self.leave_disowned(now, key);
        }
        match (&call.phase, in_charge) {
            (Phase::Moving(_), _) => self.on_attempt(now, key, epoch, signal),
            (_, false) => call.on_stale(&mut self.env, now, epoch, signal),
            (Phase::Setup(_), true) => self.on_far_in_setup(now, key, signal),
            (Phase::Up | Phase::Over, true) => call.on_far_up(&mut self.env, now, signal),
        }
    }

    fn on_far_in_setup(&mut self, now: Time, key: CallKey, mut signal: Signal) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let env = &mut self.env;
        match &mut signal {
            Signal::Progress {
                status, passage, ..
            } => {
                // A bad description in a provisional response costs the early media only.
                if call
                    .carry(env, Side::Far, Carrier::Provisional, passage)
                    .is_err()
                {
                    passage.body = None;
                }
                let placing = call.kept.setup.as_mut();
                if placing.is_none_or(|placing| placing.told.is_news(*status, passage.sdp())) {
                    call.near.apply(&mut env.ctx(now), signal);
                }
            }
            Signal::Answer { passage, .. } => {
                call.orphans.clear();
                if let Err(error) = call.carry(env, Side::Far, Carrier::Final, passage) {
                    return call.fail(env, now, status_of(&error));
                }
                if passage.sdp().is_none() {
                    call.media
                        .completed(&mut env.streams.ports, &mut env.streams.commands);
                    env.flush_relay(key);
                }
                call.note_session_timer(passage, true);
                call.media.settled(&mut env.streams.ports);
                call.phase = Phase::Up;
                call.limit(env, now);
                call.kept.setup = None;
                env.timers.cancel(Timer::SetupOver(key));
                call.near.apply(&mut env.ctx(now), signal);
                let call = call.near.call_id().into();
                env.event(Event::CallAnswered { call });
            }
            Signal::Refuse { .. } | Signal::Unanswered { .. } => {
                if matches!(signal, Signal::Refuse { .. }) && !call.has_not_rung() {
                    // It has called, and taken back before that what came before.
                    call.orphans.clear();
                }
                if call.may_go_elsewhere(&signal) {
                    self.place_elsewhere(now, key, signal);
                } else {
                    call.refused(env, now, signal);
                }
            }
            _ => call.on_far_up(env, now, signal),
        }
    }

    /// A node refused a call that it cannot serve: others are asked, then the caller is told.
    fn place_elsewhere(&mut self, now: Time, key: CallKey, refusal: Signal) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let Some(node) = call.far.as_ref().map(|far| far.node) else {
            return;
        };
        let unheard = matches!(
            refusal,
            Signal::Refuse { status: 408, .. } | Signal::Unanswered { status: 408 }
        );
        if let (true, Some(far)) = (unheard, &call.far) {
            // It may have called all the same.
            let dialog = far.leg.id().unheard();
            call.orphan(dialog);
        }
        let Phase::Setup(tried) = &mut call.phase else {
            return;
        };
        tried.push(node);
        let more = self
            .env
            .cluster
            .choose(now, &mut self.env.tokens, tried, false);
        if more.is_some() {
            return self.place(now, key);
        }
        call.refused(&mut self.env, now, refusal);
    }
}

impl Call {
    /// Whether the caller has heard nothing of this attempt yet.
    fn has_not_rung(&self) -> bool {
        self.far
            .as_ref()
            .is_some_and(|far| far.leg.dialog().is_none())
    }

    /// Whether a node that can serve the call may be another one: this one says so, or says
    /// nothing at all; what the far end says is passed on (spec: X53). A 503 of which nobody says
    /// whose it is may be either's: one more node is asked. Where it rang already, only a node that
    /// itself cannot go on (its port towards the far end is another socket's) is left for another
    /// one: to the caller it rings on (spec: X26).
    fn may_go_elsewhere(&mut self, refusal: &Signal) -> bool {
        if self.replacing.is_some() {
            return false;
        }
        let rang = !self.has_not_rung();
        let status = match refusal {
            Signal::Unanswered { .. } => return !rang,
            Signal::Refuse { status, .. } => *status,
            _ => return false,
        };
        if rang {
            let refusal = self.far.as_ref().and_then(|far| far.refusal.as_deref());
            let goes = refusal.is_some_and(|refusal| refusal.no_port);
            if let (true, Some(placing)) = (goes, &mut self.kept.setup) {
                placing.told.before += 1;
            }
            return goes;
        }
        match (self.refused_by(), status) {
            (Whose::Node, 408 | 503) => true,
            (Whose::Unsure, 503) => {
                let placing = self.kept.setup.as_mut();
                placing.is_some_and(|p| !std::mem::replace(&mut p.asked_for_503, true))
            }
            _ => false,
        }
    }

    /// Whose the refusal of the leg in charge is.
    fn refused_by(&self) -> Whose {
        let refusal = self.far.as_ref().and_then(|far| far.refusal.as_deref());
        refusal.map_or(Whose::Unsure, |refusal| refusal.whose)
    }

    fn refused(&mut self, env: &mut Env, now: Time, mut refusal: Signal) {
        // To the calling server a 503 would mean that we take no calls (RFC 3261 16.7).
        if let Signal::Refuse {
            status,
            reason,
            passage,
        } = &mut refusal
            && *status == 503
            && self.refused_by() == Whose::Unsure
        {
            (*status, *reason) = (500, Bytes::new());
            *passage = std::mem::take(passage).of_unavailable();
        }
        self.phase = Phase::Over;
        self.cause = Cause::Refused;
        self.near.apply(&mut env.ctx(now), refusal);
    }

    /// The node's process is a new one and does not know the call (spec: X39); once in a while
    /// only, lest a far end that says 481 to everything be asked for ever.
    fn is_disowned_by(&self, now: Time, signal: &Signal) -> bool {
        let of_late = self
            .disowned_at
            .is_some_and(|at| now.since(at) < DISOWNED_REST);
        matches!(self.phase, Phase::Up)
            && matches!(signal, Signal::Reply { status: 481, .. })
            && self
                .far
                .as_ref()
                .is_some_and(|far| far.disowned && far.leg.is_over())
            && !of_late
    }

    fn on_near(&mut self, env: &mut Env, now: Time, signal: Signal) {
        if let Signal::Request { id, .. } = &signal {
            self.asked.insert(*id, signal.clone());
        }
        match (&mut self.phase, signal) {
            (Phase::Moving(moving), Signal::End { passage, .. }) => {
                // X27: the far leg at the downstream UA is up, so the move goes on; then BYE.
                moving.hangup = Some(Box::new(passage));
                self.queue.clear();
                self.uncomfort(env);
            }
            (Phase::Moving(_), signal) => self.keep_for_later(env, now, signal),
            (_, signal) => self.near_to_far(env, now, signal),
        }
    }

    /// The call moves: what the calling server asks is asked of the new node.
    fn keep_for_later(&mut self, env: &mut Env, now: Time, signal: Signal) {
        match signal {
            Signal::CancelRequest { id } => {
                self.queue.retain(
                    |queued| !matches!(queued, Signal::Request { id: other, .. } if *other == id),
                );
                // Nobody was asked, so nobody else can say that it was cancelled.
                self.reply_near(env, now, id, 487);
            }
            Signal::Reply { .. } => self.acknowledge(env, now),
            // The new node answered nothing yet that could be acknowledged.
            Signal::Ack { .. } => {}
            other => self.queue.push_back(other),
        }
    }

    /// The calling server answered a re-INVITE of a node that is gone: its 2xx is acknowledged
    /// all the same, or it would end the call (RFC 3261 13.3.1.4).
    fn acknowledge(&mut self, env: &mut Env, now: Time) {
        let passage = Passage::default();
        self.near.apply(&mut env.ctx(now), Signal::Ack { passage });
    }

    /// Carries a signal of the calling server to the node in charge.
    pub fn near_to_far(&mut self, env: &mut Env, now: Time, mut signal: Signal) {
        let carried = match &mut signal {
            Signal::Request { id, passage, .. } => {
                let carried = self.carry(env, Side::Near, Carrier::Request, passage);
                if let Err(error) = carried {
                    return self.reply_near(env, now, *id, status_of(&error));
                }
                Ok(())
            }
            Signal::Reply {
                id,
                status,
                passage,
                ..
            } => {
                let Some(method) = self.far_asked.remove(id) else {
                    return self.acknowledge(env, now);
                };
                let offers = may_offer(&method);
                if *status < 300 {
                    if offers {
                        self.note_session_timer(passage, false);
                    }
                    self.carry(env, Side::Near, Carrier::Final, passage)
                } else {
                    if offers {
                        self.media_refused(env);
                    }
                    Ok(())
                }
            }
            Signal::CancelRequest { id } => {
                // If the node dies before it answers, nobody else needs to be asked.
                let cancelled = Signal::CancelRequest { id: *id };
                self.asked.entry(*id).and_modify(|asked| *asked = cancelled);
                Ok(())
            }
            Signal::Ack { passage } => self.carry(env, Side::Near, Carrier::Ack, passage),
            Signal::End { passage, .. } => {
                if matches!(self.phase, Phase::Setup(_)) {
                    self.cause = Cause::Cancelled;
                }
                self.phase = Phase::Over;
                return self.end_far(env, now, passage);
            }
            _ => Ok(()),
        };
        if let Err(error) = carried {
            return self.fail(env, now, status_of(&error));
        }
        match (&mut self.far, signal) {
            (Some(far), signal) => far.leg.apply(&mut env.ctx(now), signal),
            // Its node died while the call rang, and no other is there yet.
            (None, Signal::Request { id, .. }) => self.reply_near(env, now, id, 500),
            (None, _) => {}
        }
    }

    /// Carries a signal of the node in charge to the calling server.
    fn on_far_up(&mut self, env: &mut Env, now: Time, mut signal: Signal) {
        match &mut signal {
            Signal::Request {
                id,
                method,
                passage,
            } => {
                let id = *id;
                if let Err(error) = self.carry(env, Side::Far, Carrier::Request, passage) {
                    return self.reply_far(env, now, id, status_of(&error));
                }
                self.far_asked.insert(id, method.clone());
            }
            Signal::Reply {
                id,
                status,
                passage,
                ..
            } => {
                let (id, status) = (*id, *status);
                let offered = match self.asked.remove(&id) {
                    Some(Signal::Request { method, .. }) => may_offer(&method),
                    // Only an INVITE can be cancelled.
                    Some(Signal::CancelRequest { .. }) => true,
                    _ => false,
                };
                if status < 300 {
                    if offered {
                        self.note_session_timer(passage, true);
                    }
                    if let Err(error) = self.carry(env, Side::Far, Carrier::Final, passage) {
                        return self.fail(env, now, status_of(&error));
                    }
                } else if offered {
                    self.media_refused(env);
                }
            }
            Signal::Ack { passage } => {
                if let Err(error) = self.carry(env, Side::Far, Carrier::Ack, passage) {
                    return self.fail(env, now, status_of(&error));
                }
            }
            Signal::End { cause, passage } => {
                if *cause == EndCause::Peer {
                    self.note_hangup(env, now);
                }
                self.phase = Phase::Over;
                if *cause == EndCause::Gone && passage.headers.is_empty() {
                    *passage = Passage::reason("SIP;cause=481;text=\"Far end lost the call\"");
                }
            }
            _ => {}
        }
        self.near.apply(&mut env.ctx(now), signal);
    }

    /// The far end hung up: rarely a person's doing, where the call has just moved.
    fn note_hangup(&mut self, env: &mut Env, now: Time) {
        let after = self.moved_at.map(|at| now.since(at));
        if let Some(after) = after.filter(|after| *after <= JUST_MOVED)
            && matches!(self.phase, Phase::Up)
        {
            self.cause = Cause::HangupAfterMove;
            let call = self.near.call_id().into();
            env.event(Event::HangupAfterMove { call, after });
        }
    }

    /// A far leg that is not in charge any more: an answer that comes now is declined.
    fn on_stale(&mut self, env: &mut Env, now: Time, epoch: u32, signal: Signal) {
        let Some(far) = self.far_leg(epoch) else {
            return;
        };
        match signal {
            Signal::Answer { .. } => far.leg.end(&mut env.ctx(now), &moved()),
            Signal::Request { id, .. } => {
                let reply = Signal::reply(id, 481, Passage::default());
                far.leg.apply(&mut env.ctx(now), reply);
            }
            _ => {}
        }
        if self.far_leg(epoch).is_some_and(|far| far.leg.is_over()) {
            self.drop_far(env, now, epoch);
        }
    }

    /// Ends a call that cannot go on, on both sides.
    pub fn fail(&mut self, env: &mut Env, now: Time, status: u16) {
        let reason = Passage::reason(&format!("SIP;cause={status}"));
        self.refuse_near(env, now, status, reason.clone());
        self.end_far(env, now, &reason);
    }

    /// Tells the calling server that its call failed: a refusal before the answer, BYE after.
    pub fn refuse_near(&mut self, env: &mut Env, now: Time, status: u16, passage: Passage) {
        self.phase = Phase::Over;
        self.cause = if self.near.is_up() {
            Cause::Failed
        } else {
            Cause::Refused
        };
        if self.near.is_up() {
            self.near.end(&mut env.ctx(now), &passage);
        } else {
            let refusal = Signal::refuse(status, passage);
            self.near.apply(&mut env.ctx(now), refusal);
        }
    }

    pub fn reply_near(&mut self, env: &mut Env, now: Time, id: RequestId, status: u16) {
        self.asked.remove(&id);
        let reply = Signal::reply(id, status, Passage::default());
        self.near.apply(&mut env.ctx(now), reply);
    }

    fn reply_far(&mut self, env: &mut Env, now: Time, id: RequestId, status: u16) {
        let reply = Signal::reply(id, status, Passage::default());
        if let Some(far) = &mut self.far {
            far.leg.apply(&mut env.ctx(now), reply);
        }
    }
}
