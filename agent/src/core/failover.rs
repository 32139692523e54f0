//! A node died: its calls are lined up to move, and the story of it is kept.

use crate::cluster::{NodeId, Verdict};
use crate::core::AgentCore;
use crate::core::call::{Call, CallKey, FarLeg, Left, Move, Phase};
use crate::core::env::{Env, Timer};
use crate::core::event::Event;
use holdline_wire::Time;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

/// Failovers that are remembered for `/status`.
const REMEMBERED: usize = 20;

/// One failover's story.
#[derive(Clone, Debug)]
pub struct Failover {
    pub number: u64,
    pub node: Option<SocketAddr>,
    pub verdict: Option<Verdict>,
    pub decided_at: Time,
    pub calls: usize,
    pub moved: usize,
    pub lost: usize,
    /// Hung up before they had moved.
    pub ended: usize,
    /// When the first INVITE left, the first 183 with media, the first and the last 2xx came.
    pub first_invite: Option<Time>,
    pub first_media: Option<Time>,
    pub first_moved: Option<Time>,
    pub last_moved: Option<Time>,
}

/// The last failovers.
#[derive(Debug, Default)]
pub struct Failovers {
    pub told: VecDeque<Failover>,
    next: u64,
    open: BTreeMap<u64, usize>,
}

/// How the move of one call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Moved,
    Lost,
    Ended,
}

impl Failovers {
    fn start(&mut self, now: Time, story: Failover) -> u64 {
        self.next += 1;
        self.open.insert(self.next, story.calls);
        self.told.push_back(Failover {
            number: self.next,
            decided_at: now,
            ..story
        });
        if self.told.len() > REMEMBERED {
            self.told.pop_front();
        }
        self.next
    }

    pub fn story(&mut self, number: u64) -> Option<&mut Failover> {
        self.told.iter_mut().find(|story| story.number == number)
    }

    /// Books a call's outcome; the story where that was the last one.
    fn book(&mut self, now: Time, number: u64, outcome: Outcome) -> Option<Failover> {
        if let Some(story) = self.story(number) {
            match outcome {
                Outcome::Moved => {
                    story.moved += 1;
                    story.first_moved.get_or_insert(now);
                    story.last_moved = Some(now);
                }
                Outcome::Lost => story.lost += 1,
                Outcome::Ended => story.ended += 1,
            }
        }
        let left = self.open.get_mut(&number)?;
        *left = left.saturating_sub(1);
        if *left > 0 {
            return None;
        }
        self.open.remove(&number);
        self.story(number).cloned()
    }
}

impl AgentCore {
    /// Moves the calls of `node` for which `whose` holds (spec: D24, D25, X23).
    pub(super) fn fail_over(
        &mut self,
        now: Time,
        node: NodeId,
        verdict: Option<Verdict>,
        whose: impl Fn(&FarLeg) -> bool,
    ) {
        let booked = self.env.by_node.get(&node).cloned().unwrap_or_default();
        let mut up = Vec::new();
        for key in booked {
            let Some(call) = self.calls.get(key) else {
                continue;
            };
            if !call.far.as_ref().is_some_and(&whose) {
                continue;
            }
            match &call.phase {
                Phase::Up => up.push((!call.kept.emergency, key)),
                Phase::Setup(_) => self.place_again(now, key, node),
                // An attempt that died with its node: the next one at once.
                Phase::Moving(_) => self.attempt_failed(now, key, 0),
                Phase::Over => self.forget_far(now, key),
            }
        }
        if up.is_empty() && verdict.is_none() {
            return;
        }
        up.sort_unstable();
        let address = self.env.cluster.address(node);
        let story = Failover {
            number: 0,
            node: address,
            verdict: verdict.clone(),
            decided_at: now,
            calls: up.len(),
            moved: 0,
            lost: 0,
            ended: 0,
            first_invite: None,
            first_media: None,
            first_moved: None,
            last_moved: None,
        };
        let failover = self.failovers.start(now, story);
        if let Some(node) = address {
            let calls = up.len();
            self.env.event(Event::FailoverStarted {
                failover,
                node,
                calls,
                verdict,
            });
        }
        let moving = self.env.settings.moving;
        let count = u32::try_from(up.len().max(1)).unwrap_or(u32::MAX);
        let spacing = moving.spacing.min(moving.window / count);
        for (place, (_, key)) in up.into_iter().enumerate() {
            let place = u32::try_from(place).unwrap_or(u32::MAX);
            self.line_up(now, key, failover, now + spacing * place);
        }
    }

    /// The call leaves its node: from here on the old dialog and its media mean nothing.
    fn line_up(&mut self, now: Time, key: CallKey, failover: u64, at: Time) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let Some(old) = call.far.as_mut() else { return };
        let moving = Move {
            failover,
            replaces: old.leg.id().replaces_for_peer(),
            old: old.node,
            left: old.leg.dialog().map(|dialog| Left {
                dialog: dialog.clone(),
                incarnation: old.incarnation.clone(),
            }),
            since: now,
            tried: vec![old.node],
            rounds: 0,
            unknown: 0,
            refused: 0,
            status: 0,
            hangup: None,
        };
        let epoch = old.epoch;
        old.leg.abandon(&mut self.env.layer);
        call.drop_far(&mut self.env, now, epoch);
        call.far_asked.clear();
        // What the calling server had asked of the old node is asked of the new one.
        call.queue = std::mem::take(&mut call.asked).into_values().collect();
        call.phase = Phase::Moving(Box::new(moving));
        self.env.timers.set(Timer::Launch(key), at);
        self.env
            .timers
            .set(Timer::HoldOver(key), now + self.env.settings.moving.hold);
    }

    /// The node of a call that is being set up died: it is placed again (spec: X26).
    fn place_again(&mut self, now: Time, key: CallKey, node: NodeId) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let Phase::Setup(tried) = &mut call.phase else {
            return;
        };
        tried.push(node);
        if let Some(far) = call.far.as_mut() {
            let epoch = far.epoch;
            far.leg.abandon(&mut self.env.layer);
            call.drop_far(&mut self.env, now, epoch);
        }
        self.place(now, key);
    }

    /// The call is over and only the dead node's answer was missing.
    fn forget_far(&mut self, now: Time, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        if let Some(far) = call.far.as_mut() {
            let epoch = far.epoch;
            far.leg.abandon(&mut self.env.layer);
            call.drop_far(&mut self.env, now, epoch);
        }
        self.env.touched.insert(key);
    }

    /// Books how a call's move ended, and tells the story when it was the last.
    pub(super) fn settle_move(&mut self, now: Time, failover: u64, outcome: Outcome) {
        let Some(story) = self.failovers.book(now, failover, outcome) else {
            return;
        };
        let last = story.last_moved.unwrap_or(now);
        self.env.event(Event::FailoverDone {
            failover,
            moved: story.moved,
            lost: story.lost,
            ended: story.ended,
            took: last.since(story.decided_at),
        });
    }

    /// No node came back in time: the call is lost (spec: X24).
    pub(super) fn hold_over(&mut self, now: Time, key: CallKey) {
        let Some(call) = self.calls.get(key) else {
            return;
        };
        if let Phase::Moving(moving) = &call.phase {
            let status = moving.status;
            self.lose(now, key, status);
        }
    }

    /// Gives a call up on both sides.
    pub(super) fn lose(&mut self, now: Time, key: CallKey, status: u16) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let env: &mut Env = &mut self.env;
        let Phase::Moving(moving) = &call.phase else {
            return;
        };
        let (failover, hung_up) = (moving.failover, moving.hangup.is_some());
        env.timers.cancel(Timer::Launch(key));
        env.timers.cancel(Timer::HoldOver(key));
        for far in call.far.iter_mut().chain(call.others.iter_mut()) {
            env.timers.cancel(Timer::Attempt(key, far.epoch));
            let reason = holdline_leg::Passage::reason("SIP;cause=503;text=\"failover failed\"");
            far.leg.end(&mut env.ctx(now), &reason);
        }
        call.lost(env, now, status);
        env.touched.insert(key);
        let call = call.near.call_id().into();
        if !hung_up {
            env.event(Event::CallLost {
                failover,
                call,
                status,
            });
        }
        self.settle_move(
            now,
            failover,
            if hung_up {
                Outcome::Ended
            } else {
                Outcome::Lost
            },
        );
    }
}

impl Call {
    fn lost(&mut self, env: &mut Env, now: Time, status: u16) {
        let text = if status == 0 { 503 } else { status };
        let reason = format!("SIP;cause={text};text=\"failover failed\"");
        self.phase = Phase::Over;
        self.near
            .end(&mut env.ctx(now), &holdline_leg::Passage::reason(&reason));
    }
}
