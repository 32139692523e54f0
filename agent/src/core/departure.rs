//! When a call leaves for another node: as soon as one has room for it (spec: X23), or evenly over
//! a window (spec: D25).

use crate::cluster::NodeId;
use crate::core::AgentCore;
use crate::core::call::{Call, Phase};
use crate::core::env::Env;
use crate::core::event::Event;
use crate::core::keys::Timer;
use crate::core::pacing::{Bounds, FarEndId, Home, Rank};
use crate::core::refusal::{Whose, retry_after};
use crate::core::settings::{Pace, Targets};
use holdline_b2bua::CallKey;
use holdline_wire::header::{InstanceRefusal, Name};
use holdline_wire::{Message, Method, Time};
use std::time::Duration;

/// A call whose far end is full is looked at again this often; it leaves as soon as that has room.
const LOOK_AT_FAR_END: Duration = Duration::from_millis(250);
/// A call that has waited for its far end for so long is told of (spec: X57).
const LATE: Duration = Duration::from_secs(2);
/// So many calls that no node with room takes are passed over, not more: the others wait for the
/// same nodes.
const PASSED_OVER_MAX: usize = 16;

impl AgentCore {
    /// The call leaves when a node has room for it, at the latest `by` then.
    pub(super) fn depart(&mut self, key: CallKey, by: Time) {
        if self.env.settings.moving.pacing == Pace::Adaptive {
            self.line_up_now(key);
        }
        self.env.timers.set(Timer::Launch(key), by);
    }

    /// Puts the call into the line. One that has had no answer from its far end, while that owes as
    /// much as it may, stands behind the others: what keeps this answer away may keep the next one
    /// away too, and each such attempt holds up all of them (spec: X57).
    fn line_up_now(&mut self, key: CallKey) {
        let Some(call) = self.calls.get(key) else {
            return;
        };
        let unanswered = call.far.as_ref().is_some_and(|far| !far.leg.is_over());
        let rank = match unanswered && self.is_held(key) {
            true => call.rank().max(Rank::Up),
            false => call.rank(),
        };
        let far = call.replaces_at();
        self.env.pacing.line_up(rank, key, far);
    }

    /// One more attempt of a call that waits already: as soon as a node has room for it, and after
    /// the patience with one node wherever there is none.
    pub(super) fn depart_soon(&mut self, now: Time, key: CallKey) {
        let moving = &self.env.settings.moving;
        let by = match moving.pacing {
            Pace::Adaptive => self.env.pacing.latest(now + moving.attempt),
            Pace::Window => now,
        };
        self.depart(key, by);
    }

    /// There is no node for the call: one is looked for at the time `at`, or once one is alive.
    pub(super) fn look_again(&mut self, now: Time, key: CallKey, at: Time) {
        if self.env.homes(now, &[], None).is_empty() {
            return self.depart(key, at);
        }
        self.env.timers.set(Timer::Launch(key), at);
    }

    /// The time of a call has come: it leaves, or stands in line for its next attempt.
    pub(super) fn departure_due(&mut self, now: Time, key: CallKey) {
        if self.is_held(key) {
            return self.wait_for_far_end(now, key);
        }
        let waited = self.env.pacing.leave(key);
        let call = self.calls.get(key);
        let moving = call.is_some_and(|call| matches!(call.phase, Phase::Moving(_)));
        if moving && !waited && self.env.settings.moving.pacing == Pace::Adaptive {
            return self.depart_soon(now, key);
        }
        self.launch(now, key);
    }

    /// Lets calls leave for as long as nodes have room.
    pub(super) fn let_leave(&mut self, now: Time) {
        let homes = self.env.homes(now, &[], None);
        let bounds = self.env.settings.moving.bounds;
        // There, only calls stand in line whose time has come and whose far end was full.
        let any_node = self.env.settings.moving.pacing == Pace::Window;
        let (mut place, mut passed_over) = (None, 0);
        while passed_over < PASSED_OVER_MAX
            && (any_node || self.env.pacing.has_room(now, &homes, &bounds))
        {
            let Some((next, key)) = self.env.pacing.behind(place) else {
                return;
            };
            if self.env.pacing.is_held(key) {
                self.env.pacing.park(key);
            } else if any_node || self.may_leave(now, key, &homes, &bounds) {
                self.launch(now, key);
            } else {
                passed_over += 1;
                place = Some(next);
            }
        }
    }

    /// Whether the call moves, and its far end owes as much as it may (spec: X57).
    pub(super) fn is_held(&self, key: CallKey) -> bool {
        let far = self.calls.get(key).and_then(|call| call.replaces_at());
        far.is_some_and(|far| self.env.pacing.far_ends.is_full(far))
    }

    /// The call's time has come, and its far end has no room for it.
    pub(super) fn wait_for_far_end(&mut self, now: Time, key: CallKey) {
        self.line_up_now(key);
        let (env, Some(call)) = (&mut self.env, self.calls.get_mut(key)) else {
            return;
        };
        let far = call.replaces_at();
        env.pacing.park(key);
        env.timers.set(Timer::Launch(key), now + LOOK_AT_FAR_END);
        let (Phase::Moving(moving), Some(far)) = (&mut call.phase, far) else {
            return;
        };
        if now.since(moving.since) >= LATE && !std::mem::replace(&mut moving.late, true) {
            let failover = moving.failover;
            let (far_end, first) = env.pacing.far_ends.tell(far);
            let call = call.near.call_id().into();
            env.event(Event::MoveLate {
                failover,
                call,
                far_end,
                first,
            });
        }
    }

    /// Whether a node that the call has not asked yet has room, or it has asked all.
    fn may_leave(&mut self, now: Time, key: CallKey, homes: &[Home], bounds: &Bounds) -> bool {
        let (asked, store) = (self.asked(key), self.store_of(key));
        if store.is_none() && !homes.iter().any(|(node, _)| asked.contains(node)) {
            return true;
        }
        let homes = self.env.homes(now, &asked, store);
        homes.is_empty() || self.env.pacing.has_room(now, &homes, bounds)
    }

    /// The nodes that are not to be asked for the call: those that were, and those that may still
    /// answer for its dialog.
    pub(super) fn asked(&self, key: CallKey) -> Vec<NodeId> {
        let Some(call) = self.calls.get(key) else {
            return Vec::new();
        };
        let Phase::Moving(moving) = &call.phase else {
            return Vec::new();
        };
        let legs = call.far.iter().chain(&call.others);
        let pending = legs.filter(|far| !far.leg.is_over()).map(|far| far.node);
        pending.chain(moving.tried.iter().copied()).collect()
    }

    /// The store that knows a call which moves: that of the node which it left.
    pub(super) fn store_of(&self, key: CallKey) -> Option<&str> {
        match &self.calls.get(key)?.phase {
            Phase::Moving(moving) if self.env.cluster.stores_differ() => moving.store.as_deref(),
            _ => None,
        }
    }

    /// A response of `node` says whether it has room for more (spec: X23, X24).
    pub(super) fn note_room(
        &mut self,
        now: Time,
        node: NodeId,
        attempt: (CallKey, u32),
        response: &Message,
    ) {
        if *response.method() != Method::Invite || response.status() == 100 {
            return;
        }
        // What the far end says is not about the node (spec: X53).
        let whose = Whose::of(response);
        let refused = response.status() == 503 && whose != Whose::FarEnd;
        let moving = &self.env.settings.moving;
        if let Some(pause) = retry_after(response).filter(|_| refused && whose == Whose::Node) {
            let pause = pause.min(moving.retry_after_max);
            if has_no_room(response) {
                self.env.cluster.pause_until_room(now, node, pause);
            } else {
                self.env.cluster.pause(now, node, pause);
            }
        }
        self.env
            .pacing
            .answered(now, node, attempt, refused, &moving.bounds);
    }

    /// The INVITE of the call's far leg left.
    pub(super) fn note_sent(&mut self, now: Time, key: CallKey) {
        if let Some(far) = self.calls.get(key).and_then(|call| call.far.as_ref()) {
            self.env.pacing.sent(now, far.node, key, far.epoch);
            self.env.cluster.busy(now, far.node);
        }
    }
}

/// Whether the node itself refuses, since it has no room for one more call.
fn has_no_room(response: &Message) -> bool {
    let refusal = response.header(Name::InstanceRefusal);
    let refusal = refusal.map(InstanceRefusal::parse);
    matches!(
        refusal,
        Some(InstanceRefusal::Full | InstanceRefusal::NoPort)
    )
}

impl Env {
    /// The nodes that a call can move to, with their weights; `store` is the one that knows the call.
    pub fn homes(&self, now: Time, exclude: &[NodeId], store: Option<&str>) -> Vec<Home> {
        let mut homes = self.cluster.homes(now, exclude, store);
        if self.settings.moving.targets == Targets::Uniform {
            homes.iter_mut().for_each(|(_, weight)| *weight = 1);
        }
        homes
    }

    /// The node for a call that moves now.
    pub fn next_home(
        &mut self,
        now: Time,
        exclude: &[NodeId],
        store: Option<&str>,
    ) -> Option<NodeId> {
        let homes = self.homes(now, exclude, store);
        let bounds = &self.settings.moving.bounds;
        self.pacing.choose(now, &homes, &mut self.tokens, bounds)
    }

    /// The call does not leave, for now.
    pub fn stay(&mut self, key: CallKey) {
        self.timers.cancel(Timer::Launch(key));
        self.pacing.leave(key);
    }
}

impl Call {
    /// The far end that it asks to replace a dialog, where it moves.
    pub fn replaces_at(&self) -> Option<FarEndId> {
        matches!(self.phase, Phase::Moving(_)).then_some(self.far_end)
    }

    /// Its place among those that leave a node (spec: X23).
    pub fn rank(&self) -> Rank {
        match &self.phase {
            Phase::Over => Rank::HungUp,
            Phase::Moving(moving) if moving.hangup.is_some() => Rank::HungUp,
            _ if self.kept.emergency => Rank::Emergency,
            Phase::Setup(_) => Rank::Setup,
            Phase::Moving(moving) if moving.rounds > 0 || moving.tried.len() > 1 => Rank::Again,
            Phase::Moving(_) | Phase::Up => Rank::Up,
        }
    }
}
