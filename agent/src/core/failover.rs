//! A node died: its calls are lined up to move.

use crate::cluster::{NodeId, Verdict};
use crate::core::AgentCore;
use crate::core::call::{Call, FarLeg, Move, Phase};
use crate::core::env::Env;
use crate::core::event::Event;
use crate::core::keys::Timer;
use crate::core::left::Left;
use crate::core::pacing::Rank;
use crate::core::refusal::Whose;
use crate::core::story::{Failover, Outcome};
use holdline_b2bua::{CallKey, Cause, Refusal};
use holdline_leg::Signal;
use holdline_wire::Time;
use holdline_wire::dialog::DialogId;
use slotmap::Key;
use std::net::SocketAddr;

impl AgentCore {
    /// Moves the calls of `node` for which `whose` holds (spec: D24, D25, X23).
    pub(super) fn fail_over(
        &mut self,
        now: Time,
        node: NodeId,
        verdict: Option<Verdict>,
        whose: impl Fn(&FarLeg) -> bool,
    ) {
        let address = self.env.cluster.address(node);
        if self.env.settings.moving.dry_run {
            return self.withhold(now, node, verdict, whose);
        }
        self.env.far_ends_forsaken(node);
        self.end_attempts(now, node, &whose);
        self.env.tell_others(now, node);
        let line = self.line_of(now, node, &whose);
        let is_up = |(_, key): &&(Rank, CallKey)| {
            let call = self.calls.get(*key);
            call.is_some_and(|call| matches!(call.phase, Phase::Up | Phase::Over))
        };
        let calls = line.iter().filter(is_up).count();
        let failover =
            (calls > 0).then(|| self.start_failover(now, address, verdict.clone(), calls));
        let count = u32::try_from(line.len().max(1)).unwrap_or(u32::MAX);
        let spacing = self.env.settings.moving.window / count;
        for (place, (_, key)) in line.into_iter().enumerate() {
            let by = now + spacing * u32::try_from(place).unwrap_or(u32::MAX);
            match self.calls.get(key).map(|call| &call.phase) {
                Some(Phase::Moving(_)) => {
                    self.note_orphan(key);
                    self.try_again(now, key, 0, Whose::Node, Some(by));
                }
                Some(Phase::Setup(_)) => self.place_again(now, key, verdict.is_some(), by),
                Some(Phase::Up | Phase::Over) => {
                    if let Some(failover) = failover {
                        self.line_up(now, key, failover, by);
                    }
                }
                None => {}
            }
        }
    }

    /// A dry run: what would move is told, and stays (spec: X21).
    fn withhold(
        &mut self,
        now: Time,
        node: NodeId,
        verdict: Option<Verdict>,
        whose: impl Fn(&FarLeg) -> bool,
    ) {
        let keys = self.env.by_node.get(&node).into_iter().flatten();
        let legs = keys.filter_map(|key| self.calls.get(*key)?.far.as_ref());
        let calls = legs.filter(|far| whose(far)).count();
        if calls == 0 {
            return;
        }
        let address = self.env.cluster.address(node);
        let failover = self.failovers.start(Failover {
            dry_run: true,
            ..Failover::new(now, address, verdict.clone(), calls)
        });
        if let Some(node) = address {
            self.env.event(Event::FailoverWithheld {
                failover,
                node,
                calls,
                verdict,
            });
        }
    }

    /// The attempt in charge died with its node, which may have succeeded before.
    fn note_orphan(&mut self, key: CallKey) {
        if let Some(call) = self.calls.get_mut(key)
            && let Some(epoch) = call.far.as_ref().map(|far| far.epoch)
        {
            call.unheard(epoch);
        }
    }

    /// The calls of `node` that have to leave it, in the order in which they do.
    fn line_of(
        &mut self,
        now: Time,
        node: NodeId,
        whose: &impl Fn(&FarLeg) -> bool,
    ) -> Vec<(Rank, CallKey)> {
        let mut line = Vec::new();
        for key in self.env.by_node.get(&node).cloned().unwrap_or_default() {
            let Some(call) = self.calls.get(key) else {
                continue;
            };
            if !call.far.as_ref().is_some_and(whose) {
                continue;
            }
            if matches!(call.phase, Phase::Over) && call.farewell.is_none() {
                self.forget_far(now, key);
            } else {
                line.push((call.rank(), key));
            }
        }
        line.sort_unstable();
        line
    }

    /// Attempts that were not taken die with their node too.
    fn end_attempts(&mut self, now: Time, node: NodeId, whose: &impl Fn(&FarLeg) -> bool) {
        for (key, epoch) in self.env.attempts.get(&node).cloned().unwrap_or_default() {
            let Some(call) = self.calls.get_mut(key) else {
                continue;
            };
            let far = call.far_leg(epoch).filter(|far| whose(far));
            if let Some(far) = far {
                far.leg.abandon(&mut self.env.layer);
                call.unheard(epoch);
                call.drop_far(&mut self.env, now, epoch);
                self.env.touched.insert(key);
            }
        }
    }

    /// The node in charge of one call does not know it: it is moved by itself (spec: X39).
    pub(super) fn leave_disowned(&mut self, now: Time, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let Some(node) = call.far.as_ref().map(|far| far.node) else {
            return;
        };
        call.disowned_at = Some(now);
        self.env
            .cluster
            .dialog_unknown(now, node, key.data().as_ffi());
        self.move_alone(now, key);
    }

    /// One call leaves its node, which may live, for a reason of its own.
    pub(super) fn move_alone(&mut self, now: Time, key: CallKey) {
        let far = self.calls.get(key).and_then(|call| call.far.as_ref());
        let Some(node) = far.map(|far| far.node) else {
            return;
        };
        let address = self.env.cluster.address(node);
        let failover = self.start_failover(now, address, None, 1);
        self.line_up(now, key, failover, now);
    }

    fn start_failover(
        &mut self,
        now: Time,
        address: Option<SocketAddr>,
        verdict: Option<Verdict>,
        calls: usize,
    ) -> u64 {
        let story = Failover::new(now, address, verdict.clone(), calls);
        let failover = self.failovers.start(story);
        if let Some(node) = address {
            self.env.event(Event::FailoverStarted {
                failover,
                node,
                calls,
                verdict,
            });
        }
        failover
    }

    /// The call leaves its node: from here on the old dialog and its media mean nothing.
    fn line_up(&mut self, now: Time, key: CallKey, failover: u64, by: Time) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let Some(old) = call.far.as_mut() else { return };
        let address = self.env.cluster.address(old.node);
        let moving = Move {
            failover,
            replaces: old.leg.id().replaces_for_peer(),
            left: old.left(address),
            store: self.env.cluster.store(old.node).map(Into::into),
            since: now,
            tried: vec![old.node],
            rounds: 0,
            unknown: 0,
            refused: 0,
            doubts: 0,
            again: 0,
            status: 0,
            cause: None,
            hangup: call.farewell.take(),
            comforted: false,
            late: false,
        };
        let epoch = old.epoch;
        old.leg.abandon(&mut self.env.layer);
        call.drop_far(&mut self.env, now, epoch);
        call.far_asked.clear();
        call.phase = Phase::Moving(Box::new(moving));
        call.ask_again(&mut self.env, now);
        let (hold, comfort) = (
            self.env.settings.moving.hold,
            self.env.settings.moving.comfort,
        );
        self.env.timers.set(Timer::HoldOver(key), now + hold);
        self.env.timers.set(Timer::Comfort(key), now + comfort);
        self.depart(key, by);
    }

    /// The call still waits for its node: its calling server is sent silence, lest it take the
    /// call for dead (spec: X24).
    pub(super) fn comfort(&mut self, key: CallKey) {
        if let Some(call) = self.calls.get_mut(key)
            && let Phase::Moving(moving) = &mut call.phase
            && moving.hangup.is_none()
        {
            moving.comforted = true;
            let env = &mut self.env;
            let after = env.settings.moving.comfort;
            let ssrc = env.tokens.number();
            call.media.comfort(&mut env.streams.commands, after, ssrc);
            env.flush_relay(key);
        }
    }

    /// The node of a call that is being set up died, or restarted: it is placed again
    /// (spec: X26).
    fn place_again(&mut self, now: Time, key: CallKey, dead: bool, by: Time) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let Phase::Setup(tried) = &mut call.phase else {
            return;
        };
        let Some(far) = call.far.as_mut() else {
            return;
        };
        if dead {
            tried.push(far.node);
        }
        let (epoch, dialog) = (far.epoch, far.leg.id().unheard());
        let address = self.env.cluster.address(far.node);
        let left = far.unanswered(address, &self.env.layer);
        far.leg.abandon(&mut self.env.layer);
        call.drop_far(&mut self.env, now, epoch);
        left.into_iter().for_each(|left| self.env.leave(now, left));
        call.orphan(dialog);
        if let Some(placing) = &mut call.kept.setup {
            placing.told.before += 1;
        }
        let patience = self.env.settings.moving.hold;
        self.env.timers.set(Timer::HoldOver(key), now + patience);
        self.depart(key, by);
    }

    /// The call is over and only the dead node's answer was missing.
    fn forget_far(&mut self, now: Time, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        if let Some(far) = call.far.as_mut() {
            let epoch = far.epoch;
            // It was cancelled, and nobody knows whether the node had heard that.
            let dialog = (!far.leg.is_over()).then(|| far.leg.id().unheard());
            let address = self.env.cluster.address(far.node);
            let left = far.unanswered(address, &self.env.layer);
            far.leg.abandon(&mut self.env.layer);
            call.drop_far(&mut self.env, now, epoch);
            left.into_iter().for_each(|left| self.env.leave(now, left));
            dialog.into_iter().for_each(|dialog| call.orphan(dialog));
        }
        self.env.touched.insert(key);
    }

    /// Books how a call's move ended, and tells the story when it was the last.
    pub(super) fn settle_move(&mut self, now: Time, failover: u64, outcome: Outcome) {
        self.ask_waiting_refers(now);
        let Some(story) = self.failovers.book(now, failover, outcome) else {
            return;
        };
        let last = story.last_moved.unwrap_or(now);
        self.env.event(Event::FailoverDone {
            failover,
            moved: story.moved,
            lost: story.lost,
            ended: story.ended,
            steps: story.steps(),
            took: last.since(story.decided_at),
        });
    }

    /// No node came back in time: the call is lost (spec: X24).
    pub(super) fn hold_over(&mut self, now: Time, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        match &call.phase {
            Phase::Moving(moving) => {
                let status = moving.status;
                self.lose(now, key, status);
            }
            Phase::Setup(_) if call.far.is_none() => {
                let passage = Refusal::later().passage();
                call.refuse_near(&mut self.env, now, 503, passage);
                self.env.touched.insert(key);
            }
            _ => {}
        }
    }

    /// Gives a call up on both sides. Where the cluster says that the dialog is over (603; spec:
    /// D32), the far end had hung up and only the dying node's BYE was missing: nothing is lost.
    pub(super) fn lose(&mut self, now: Time, key: CallKey, status: u16) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let env: &mut Env = &mut self.env;
        let Phase::Moving(moving) = &call.phase else {
            return;
        };
        let (failover, over) = (moving.failover, moving.hangup.is_some() || status == 603);
        // A node that lived all the time has the call still, and ends it at the far end too.
        let left = moving.left.clone().map(Left::given_up);
        if status != 603 || !call.orphans.is_empty() {
            // It may be up at the far end, and no attempt of ours ends it there; or in the dialog to which
            // it leads, where one that was not heard has replaced it.
            let dialog = DialogId {
                call_id: moving.replaces.call_id.clone(),
                local_tag: moving.replaces.from_tag.clone(),
                remote_tag: moving.replaces.to_tag.clone(),
            };
            call.orphan(dialog);
        }
        env.stay(key);
        env.timers.cancel(Timer::HoldOver(key));
        call.uncomfort(env);
        // Attempts are not cancelled: the far end may be up already, and then gets a BYE.
        if let Some(far) = call.far.take() {
            let node = far.node;
            call.set_aside(env, now, far);
            env.book(key, Some(node), None);
        }
        call.outlive_others(env, now);
        call.lost(env, now, status);
        if let Some(left) = left {
            env.leave(now, left);
        }
        env.touched.insert(key);
        let call = call.near.call_id().into();
        if over {
            return self.settle_move(now, failover, Outcome::Ended);
        }
        env.event(Event::CallLost {
            failover,
            call,
            status,
        });
        self.settle_move(now, failover, Outcome::Lost);
    }
}

impl Call {
    /// What the calling server had asked of the old node is asked of the new one; what it had
    /// cancelled is not.
    fn ask_again(&mut self, env: &mut Env, now: Time) {
        for (id, asked) in std::mem::take(&mut self.asked) {
            match asked {
                Signal::CancelRequest { .. } => self.reply_near(env, now, id, 487),
                request => self.queue.push_back(request),
            }
        }
    }

    fn lost(&mut self, env: &mut Env, now: Time, status: u16) {
        let reason = match status {
            603 => "SIP;cause=200;text=\"far end hung up\"".to_owned(),
            0 => "SIP;cause=503;text=\"failover failed\"".to_owned(),
            _ => format!("SIP;cause={status};text=\"failover failed\""),
        };
        self.phase = Phase::Over;
        if self.near.is_up() && status != 603 {
            self.cause = Cause::Lost;
        }
        self.near
            .end(&mut env.ctx(now), &holdline_leg::Passage::reason(&reason));
    }
}
