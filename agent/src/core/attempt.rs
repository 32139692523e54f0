//! One call on the move: the INVITE with Replaces, its answer, and the next attempt
//! (spec: D24, X24, X24a, X27).

use crate::cluster::NodeId;
use crate::core::AgentCore;
use crate::core::call::{Call, FarLeg, Move, Phase};
use crate::core::env::{Env, moved};
use crate::core::event::Event;
use crate::core::keys::{Owner, Timer};
use crate::core::refusal::{Whose, decides};
use crate::core::story::Outcome;
use holdline_b2bua::CallKey;
use holdline_leg::{Leg, Passage, Setup, Signal};
use holdline_relay::{Carrier, GroupId, Side};
use holdline_wire::Time;
use holdline_wire::dialog::DialogId;
use holdline_wire::header::Name;
use std::time::Duration;

/// While no node is there, or all were asked in vain, one is looked for again: the first time
/// after this long, then after twice as long, up to a second.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
const LOOK_AGAIN_MAX: Duration = Duration::from_secs(1);
/// What a node says where the far end has the dialog no more, as after a hang-up.
const OVER: u16 = 603;
/// A node whose INVITE was accepted has told the store after so long, or, where messages were lost, after
/// twice, four and eight times as long.
const SETTLE: Duration = Duration::from_millis(200);
const DOUBTS_MAX: u32 = 4;
/// The INVITE does not fit into a datagram (RFC 3261 21.5.7).
const TOO_LONG: u16 = 513;

impl AgentCore {
    /// Sends the failover INVITE of a call to a node that was not tried yet; a call that still
    /// rang when its node died is placed again.
    pub(super) fn launch(&mut self, now: Time, key: CallKey) {
        if self.is_held(key) {
            return self.wait_for_far_end(now, key);
        }
        self.env.stay(key);
        let exclude = self.asked(key);
        let store: Option<Box<str>> = self.store_of(key).map(Into::into);
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        if matches!(call.phase, Phase::Setup(_)) {
            self.place(now, key);
            return self.note_sent(now, key);
        }
        let env = &mut self.env;
        let Phase::Moving(moving) = &mut call.phase else {
            return;
        };
        let Some(node) = env.next_home(now, &exclude, store.as_deref()) else {
            // Everybody was asked once, or nobody is alive: begin anew, the dead node
            // included if it came back (spec: X24, X39).
            moving.tried.clear();
            let pause = moving.pause();
            return self.look_again(now, key, now + pause);
        };
        moving.tried.push(node);
        let failover = moving.failover;
        env.touched.insert(key);
        let moving = &env.settings.moving;
        let answer_time = env.pacing.answer_time(node);
        let patience = (answer_time * 4).min(moving.progress).max(moving.attempt);
        match call.attempt(env, now, node) {
            Ok(epoch) => {
                env.far_end_asked(now, call.far_end, node, (key, epoch));
                env.timers.set(Timer::Attempt(key, epoch), now + patience);
                if let Some(story) = self.failovers.story(failover) {
                    story.first_invite.get_or_insert(now);
                }
                self.note_sent(now, key);
            }
            Err(status) => self.not_sent(now, key, status),
        }
    }

    /// An attempt could not leave, for a reason of our own: no port is free, the message is too
    /// long. That is no refusal. One before it stays in charge and may still be answered, and the
    /// next leaves after a pause (spec: X51).
    fn not_sent(&mut self, now: Time, key: CallKey, status: u16) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        self.env.pacing.tidy();
        let mut legs = call.far.iter().chain(&call.others);
        let awaited = legs.any(|far| !far.leg.is_over());
        let Phase::Moving(moving) = &mut call.phase else {
            return;
        };
        if status == TOO_LONG && !awaited {
            // It will not become shorter.
            return self.attempt_failed(now, key, status);
        }
        moving.tried.pop();
        moving.status = status;
        let pause = moving.pause();
        self.env.timers.set(Timer::Launch(key), now + pause);
    }

    /// Nothing came of an attempt in its time: another node is asked as well. The first is not
    /// cancelled, since its far leg may be up already (spec: X24).
    pub(super) fn attempt_unanswered(&mut self, now: Time, key: CallKey, epoch: u32) {
        let Some(call) = self.calls.get(key) else {
            return;
        };
        let current = call.far.as_ref().is_some_and(|far| far.epoch == epoch);
        match (&call.phase, &call.far) {
            (Phase::Moving(_), Some(far)) if current => {
                let patience = self.env.settings.moving.attempt;
                let attempt = (key, epoch);
                self.env.pacing.unanswered(now, far.node, attempt, patience);
                self.depart_soon(now, key);
            }
            (Phase::Moving(_), _) => {}
            // The call has long lived elsewhere.
            _ => self.with_leg(now, Owner::Far(key, epoch), |leg, ctx| {
                leg.end(ctx, &moved());
            }),
        }
    }

    /// An attempt was refused, or died with its node.
    pub(super) fn attempt_failed(&mut self, now: Time, key: CallKey, status: u16) {
        self.try_again(now, key, status, Whose::Node, None);
    }

    /// The same; the next attempt leaves at the latest `by` then, or soon.
    pub(super) fn try_again(
        &mut self,
        now: Time,
        key: CallKey,
        status: u16,
        whose: Whose,
        by: Option<Time>,
    ) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let Phase::Moving(moving) = &mut call.phase else {
            return;
        };
        if status != 0 {
            moving.status = status;
        }
        if status == OVER && call.others.is_empty() && moving.is_doubtful(&call.orphans) {
            return self.ask_who_has_it(now, key);
        }
        if status == 500 {
            // A node that still works on an attempt before says so: it may have the dialog in a moment.
            moving.doubts = moving.doubts.min(1);
        }
        let hopeless = moving.is_hopeless(status, whose);
        // The attempt died with its node: what others said before counts.
        let died = status == 0;
        let status = if died { moving.status } else { status };
        let unknown = !decides(status) && moving.is_unknown();
        let status = match (status, moving.cause.take()) {
            (606, Some(cause)) => cause,
            // Nobody had replaced it.
            (481, _) if moving.doubts > 0 => OVER,
            _ => status,
        };
        if hopeless && call.others.is_empty() {
            if let (true, Some(far)) = (died, call.far.as_mut()) {
                let epoch = far.epoch;
                far.leg.abandon(&mut self.env.layer);
                call.drop_far(&mut self.env, now, epoch);
            }
            return self.lose(now, key, status);
        }
        if unknown {
            call.give_up_others(&mut self.env, now);
        }
        if let Some(far) = call.far.as_mut() {
            let epoch = far.epoch;
            far.leg.abandon(&mut self.env.layer);
            call.drop_far(&mut self.env, now, epoch);
        }
        match by {
            Some(by) => self.depart(key, by),
            None => self.depart_soon(now, key),
        }
    }

    /// The far end has the dialog no more, and an attempt before this one, which nobody heard of, may
    /// have replaced it: the store learns of that a moment later, and the next attempt names it.
    fn ask_who_has_it(&mut self, now: Time, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        if let Some(far) = call.far.as_mut() {
            let epoch = far.epoch;
            far.leg.abandon(&mut self.env.layer);
            call.drop_far(&mut self.env, now, epoch);
        }
        let Phase::Moving(moving) = &mut call.phase else {
            return;
        };
        moving.tried.clear();
        moving.doubts += 1;
        let pause = SETTLE * (1 << (moving.doubts - 1));
        self.env.stay(key);
        self.env.timers.set(Timer::Launch(key), now + pause);
    }

    /// A signal of an attempt, the current one or one before it.
    pub(super) fn on_attempt(&mut self, now: Time, key: CallKey, epoch: u32, signal: Signal) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let current = call.far.as_ref().is_some_and(|far| far.epoch == epoch);
        if call.may_be_unheard(epoch, &signal) {
            call.unheard(epoch);
        }
        match signal {
            Signal::Progress { mut passage, .. } if current => {
                let media = passage.sdp().is_some();
                let patience = self.env.settings.moving.progress;
                self.env
                    .timers
                    .set(Timer::Attempt(key, epoch), now + patience);
                let carried =
                    call.carry(&mut self.env, Side::Far, Carrier::Provisional, &mut passage);
                let Phase::Moving(moving) = &call.phase else {
                    return;
                };
                if let Some(story) = self.failovers.story(moving.failover)
                    && media
                    && carried.is_ok()
                {
                    story.first_media.get_or_insert(now);
                }
            }
            Signal::Answer { passage, .. } => {
                if !current {
                    call.adopt(&mut self.env, now, epoch);
                }
                self.moved(now, key, passage);
            }
            Signal::Refuse { .. } if current => self.attempt_refused(now, key, signal),
            Signal::Unanswered { status } if current => self.attempt_failed(now, key, status),
            Signal::End { .. } if current => self.attempt_failed(now, key, 0),
            Signal::Refuse { .. } | Signal::Unanswered { .. } | Signal::End { .. } => {
                call.drop_far(&mut self.env, now, epoch);
            }
            _ => {}
        }
    }

    /// The new node answered: the call lives there from now on.
    fn moved(&mut self, now: Time, key: CallKey, mut passage: Passage) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let env = &mut self.env;
        let Phase::Moving(moving) = &call.phase else {
            return;
        };
        let moving = moving.as_ref().clone();
        env.timers.cancel(Timer::HoldOver(key));
        env.stay(key);
        call.uncomfort(env);
        if let Some(far) = &call.far {
            env.timers.cancel(Timer::Attempt(key, far.epoch));
        }
        let carried = call.carry(env, Side::Far, Carrier::Final, &mut passage);
        call.media.settled(&mut env.streams.ports);
        call.outlive_others(env, now);
        call.orphans.clear();
        call.generation += 1;
        call.moved_at = Some(now);
        call.phase = Phase::Up;
        let Some(node) = call.far.as_ref().map(|far| far.node) else {
            return;
        };
        let address = env.cluster.address(node);
        if let Some(left) = moving.left {
            env.leave(now, left);
        }
        let (hung_up, failed) = (moving.hangup.is_some(), carried.is_err());
        if let Some(far) = &mut call.far {
            // Where nothing could be offered the 2xx brings an offer: the call goes on without.
            let passage = Passage::default();
            far.leg.apply(&mut env.ctx(now), Signal::Ack { passage });
        }
        if let Some(reason) = &moving.hangup {
            call.phase = Phase::Over;
            call.end_far(env, now, reason);
        } else if failed {
            call.fail(env, now, 488);
            let (failover, call) = (moving.failover, call.near.call_id().into());
            env.event(Event::CallLost {
                failover,
                call,
                status: 488,
            });
        } else {
            let call_id = call.near.call_id().into();
            if let Some(node) = address {
                let after = now.since(moving.since);
                let failover = moving.failover;
                env.event(Event::CallMoved {
                    failover,
                    call: call_id,
                    node,
                    after,
                });
            }
            let queue = std::mem::take(&mut call.queue);
            for signal in queue {
                self.hear_near(now, key, signal);
            }
        }
        self.env.touched.insert(key);
        let outcome = match (hung_up, failed) {
            (true, _) => Outcome::Ended,
            (_, true) => Outcome::Lost,
            _ => Outcome::Moved,
        };
        self.settle_move(now, moving.failover, outcome);
        self.leave_unopened(now, key);
    }
}

impl Move {
    /// Whether that the dialog is over need not mean that the far end hung up: `unheard` attempts are
    /// named to the next node.
    fn is_doubtful(&self, unheard: &[DialogId]) -> bool {
        !unheard.is_empty() && self.hangup.is_none() && self.doubts < DOUBTS_MAX
    }

    /// How long a node is waited for now: longer each time.
    fn pause(&mut self) -> Duration {
        let pause = LOOK_AGAIN.saturating_mul(1 << self.rounds.min(8));
        self.rounds += 1;
        pause.min(LOOK_AGAIN_MAX)
    }
}

impl Call {
    /// Sends the INVITE with Replaces to `node`; the error, why that could not be, is a status.
    /// Then nothing is changed.
    fn attempt(&mut self, env: &mut Env, now: Time, node: NodeId) -> Result<u32, u16> {
        let epoch = self.epoch();
        let (group, session) = (GroupId(node.0), u64::from(epoch));
        let Some(address) = env.cluster.address(node) else {
            return Err(503);
        };
        self.free_dead_attempts(env);
        let offer = self.media.move_far(
            &mut env.streams.ports,
            &mut env.streams.commands,
            group,
            session,
        );
        env.flush_relay(self.key);
        let offer = offer.map_err(|_| 503u16)?;
        let Phase::Moving(moving) = &self.phase else {
            return Err(500);
        };
        let (from, to) = self.parties();
        let setup = Setup {
            request_uri: self.kept.callee.at(address),
            from,
            to,
            routes: Vec::new(),
            flow: env.flow(address),
            max_forwards: 70,
            cseq: 1,
            headers: self.move_headers(env, moving),
            passage: Passage::new(self.kept.identity.clone(), offer),
            timers: Some(env.pacing.timers(node, env.cluster.timers(node))),
        };
        let owner = Owner::Far(self.key, epoch);
        let Ok(leg) = Leg::call(&mut env.ctx(now), owner, &setup) else {
            self.take_back_media(env);
            return Err(TOO_LONG);
        };
        self.take_charge(env, now, FarLeg::new(leg, node, epoch));
        Ok(epoch)
    }

    /// The attempt that the media were just moved for did not leave: those of the one in charge
    /// are the call's again.
    fn take_back_media(&mut self, env: &mut Env) {
        if let Some(far) = &self.far {
            let (group, session) = (GroupId(far.node.0), u64::from(far.epoch));
            let (ports, relay) = (&mut env.streams.ports, &mut env.streams.commands);
            self.media.adopt(ports, relay, group, session);
        }
        env.flush_relay(self.key);
        self.free_dead_attempts(env);
    }

    /// Whether the far leg numbered `epoch` ends without anybody's word on it: the far end may
    /// have accepted it all the same.
    fn may_be_unheard(&mut self, epoch: u32, signal: &Signal) -> bool {
        let told = self.far_leg(epoch).and_then(|far| far.refusal.as_deref());
        match signal {
            Signal::Unanswered { status } => *status == 408,
            Signal::Refuse { status: 408, .. } => told.is_none_or(|t| t.whose != Whose::FarEnd),
            _ => false,
        }
    }

    fn move_headers(&self, env: &Env, moving: &Move) -> Vec<(Name<'static>, String)> {
        let mut headers = vec![
            (Name::Replaces, moving.replaces.to_value()),
            (Name::Supported, "replaces, timer".to_string()),
            (Name::InstanceAgent, env.settings.agent.to_string()),
        ];
        headers.extend(self.orphan_headers());
        if let Some((seconds, near_refreshes)) = self.session_timer {
            let refresher = if near_refreshes { "uac" } else { "uas" };
            headers.push((
                Name::SessionExpires,
                format!("{seconds};refresher={refresher}"),
            ));
        }
        headers
    }

    /// Nodes agree that the call is gone from where it was, while attempts before are unanswered: one
    /// of those has it, most likely, and cannot be heard. The next attempt names them.
    fn give_up_others(&mut self, env: &mut Env, now: Time) {
        let unanswered: Vec<u32> = self.others.iter().map(|far| far.epoch).collect();
        for epoch in unanswered {
            if let Some(far) = self.far_leg(epoch) {
                far.leg.abandon(&mut env.layer);
            }
            self.unheard(epoch);
            self.drop_far(env, now, epoch);
        }
    }

    /// A late answer of an attempt that was given up, when none was there yet: it is taken
    /// (spec: X24). The attempt in charge becomes the late one.
    fn adopt(&mut self, env: &mut Env, now: Time, epoch: u32) {
        let Some(index) = self.others.iter().position(|far| far.epoch == epoch) else {
            return;
        };
        let far = self.others.swap_remove(index);
        let (node, group) = (far.node, GroupId(far.node.0));
        let before = self.far.as_ref().map(|far| far.node);
        let (ports, relay) = (&mut env.streams.ports, &mut env.streams.commands);
        self.media.adopt(ports, relay, group, u64::from(epoch));
        env.flush_relay(self.key);
        // In this order no node is forgotten in between.
        if let Some(before) = self.far.replace(far) {
            self.set_aside(env, now, before);
        }
        env.book(self.key, before, Some(node));
        env.attempt_over(node, self.key, epoch);
    }
}
