//! What becomes of a move that is refused: who is asked next, and when it is given up (spec: X33, X53).

use crate::core::AgentCore;
use crate::core::call::{Move, Phase};
use crate::core::keys::Timer;
use crate::core::refusal::{Whose, decides, may_pass};
use holdline_b2bua::CallKey;
use holdline_leg::Signal;
use holdline_wire::Time;
use std::time::Duration;

/// A far end that cannot have its call moved just now is asked again so often.
const AGAIN_MAX: u32 = 2;
/// After so long the first time, twice as long after that, where it does not say when.
const AGAIN: Duration = Duration::from_millis(500);
const AGAIN_LATEST: Duration = Duration::from_secs(4);
/// Refusals that say that the dialog is unknown or over, after which a call is given up: one node
/// may not have seen the store's last commit, two agree.
const UNKNOWN_MAX: u32 = 2;
/// Other final refusals of one call at most, by nodes that say that they are their own
/// (spec: X33), and by nodes that do not say whose they are.
const REFUSED_MAX: u32 = 6;
const UNSURE_MAX: u32 = 2;

impl Move {
    /// Takes note of a refusal that may be a node's own; whether no other node needs to be asked.
    pub fn is_hopeless(&mut self, status: u16, whose: Whose) -> bool {
        match status {
            481 => self.unknown += 1,
            // The node is full, slow or gone: that says nothing about the call.
            0 | 408 | 500..=599 => {}
            _ => self.refused += 1,
        }
        let most = match whose {
            Whose::Unsure => UNSURE_MAX,
            Whose::Node | Whose::FarEnd => REFUSED_MAX,
        };
        decides(status) || self.is_unknown() || self.refused >= most
    }

    /// Whether nodes agree that the dialog is not known.
    pub fn is_unknown(&self) -> bool {
        self.unknown >= UNKNOWN_MAX
    }
}

impl AgentCore {
    /// The attempt in charge of a move was refused.
    pub(super) fn attempt_refused(&mut self, now: Time, key: CallKey, refusal: Signal) {
        let Signal::Refuse {
            status, passage, ..
        } = refusal
        else {
            return;
        };
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let told = call.far.as_mut().and_then(|far| far.refusal.take());
        if let Phase::Moving(moving) = &mut call.phase {
            moving.cause = passage.cause();
        }
        match told.as_deref() {
            Some(told) if told.whose == Whose::FarEnd && status != 481 && !decides(status) => {
                self.far_end_refused(now, key, status, told.retry_after);
            }
            Some(told) => self.try_again(now, key, status, told.whose, None),
            None => self.try_again(now, key, status, Whose::Unsure, None),
        }
    }

    /// The far end does not let its call be moved. Where that may pass, it is asked again after a
    /// while, when it says so if the call can wait for so long; by whichever node. Otherwise the
    /// call is lost.
    fn far_end_refused(
        &mut self,
        now: Time,
        key: CallKey,
        status: u16,
        retry_after: Option<Duration>,
    ) {
        let hold = self.env.settings.moving.hold;
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let Phase::Moving(moving) = &mut call.phase else {
            return;
        };
        moving.status = moving.cause.take().unwrap_or(status);
        moving.again += 1;
        let (again, status_told) = (moving.again, moving.status);
        let until = moving.since + hold;
        if (again > AGAIN_MAX || !may_pass(status)) && call.others.is_empty() {
            return self.lose(now, key, status_told);
        }
        if let Some(far) = call.far.as_mut() {
            let (epoch, node) = (far.epoch, far.node);
            far.leg.abandon(&mut self.env.layer);
            call.drop_far(&mut self.env, now, epoch);
            // It was not this node's refusal.
            if let Phase::Moving(moving) = &mut call.phase {
                moving.tried.retain(|tried| *tried != node);
            }
        }
        let doubled = AGAIN.saturating_mul(1 << (again - 1).min(8));
        let pause = retry_after
            .filter(|pause| now + *pause < until)
            .map_or(doubled.min(AGAIN_LATEST), |pause| pause.max(AGAIN));
        self.env.timers.set(Timer::Launch(key), now + pause);
    }
}
