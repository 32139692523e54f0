//! Calls that this node ends by itself: without media, too long, or with nobody on the calling
//! side. All of them at a pace, and none that the store knows at another node (spec: X27, X28).

use crate::core::NodeCore;
use crate::core::call::Phase;
use crate::core::env::Asked;
use crate::core::keys::Timer;
use crate::core::why::Why;
use crate::store::{Answer, Op};
use holdline_b2bua::CallKey;
use holdline_relay::{QUIET_AFTER, Report, Side};
use holdline_wire::Time;
use holdline_wire::deadline::late;
use std::time::Duration;

/// A call that is just being set up, taken over or ended is looked at again after so long.
const LATER: Duration = Duration::from_secs(5);

impl NodeCore {
    /// The relay hears a side, or no longer does.
    pub(super) fn sound(&mut self, now: Time, report: &Report) {
        let (stream, side, heard) = match *report {
            Report::Heard { stream, side } => (stream, side, true),
            Report::Quiet { stream, side, .. } => (stream, side, false),
            _ => return,
        };
        let Some(key) = self.env.streams.call_of(stream) else {
            return;
        };
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        call.session.note(report);
        if heard {
            self.env.timers.cancel(Timer::Silent(key));
            if side == Side::Near {
                self.env.timers.cancel(Timer::Lost(key));
            }
            return;
        }
        let nobody = !call.session.hears(Side::Near) && !call.session.hears(Side::Far);
        if let Some(timeout) = self.env.config.limits.media.filter(|_| nobody) {
            call.session.take_agreed();
            let left = timeout.saturating_sub(QUIET_AFTER);
            self.env.timers.set_late(Timer::Silent(key), now + left);
        }
        if side == Side::Near {
            self.miss(now, key);
        }
    }

    /// Nobody was heard in this call for the longest time that is allowed.
    pub(super) fn silent(&mut self, now: Time, key: CallKey) {
        let Some(timeout) = self.env.config.limits.media else {
            return;
        };
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        // On hold, or just back from there, nobody need be heard; nor could anybody while the
        // node itself stood still.
        let stood_still = self.env.late_at > Time::ZERO && now.since(self.env.late_at) < timeout;
        let busy = call.session.take_agreed() || call.phase != Phase::Up;
        if stood_still || busy || !call.session.is_dead_silent() {
            return self.env.timers.set_late(Timer::Silent(key), now + timeout);
        }
        self.end_soon(now, key, Why::NoMedia);
    }

    /// The call is up: its longest time counts from its INVITE.
    pub(super) fn limit(&mut self, key: CallKey) {
        if let (Some(longest), Some(call)) = (self.env.config.limits.longest, self.calls.get(key)) {
            self.env.aging.push(late(call.placed + longest), key);
        }
    }

    /// A call is over.
    pub(super) fn sweep_aging(&mut self) {
        let is_alive = |key| self.calls.contains_key(key);
        self.env.aging.sweep(self.calls.len(), is_alive);
    }

    /// Some calls have lasted for too long.
    pub(super) fn too_long(&mut self, now: Time) {
        while let Some(key) = self.env.aging.pop(now) {
            self.end_soon(now, key, Why::TooLong);
        }
    }

    /// Ends a call as soon as its turn comes.
    pub(super) fn end_soon(&mut self, now: Time, key: CallKey, why: Why) {
        self.env.ending.push(now, (key, why));
    }

    /// The next ones end: those that are up after the store has said whose they are, since a node
    /// that was cut off may have lost them all.
    pub(super) fn end_next(&mut self, now: Time) {
        let (mut keys, mut dialogs) = (Vec::new(), Vec::new());
        for (key, why) in self.env.ending.take(now) {
            if !self.is_to_end(key, why) {
                continue;
            }
            let row = self.calls.get(key).and_then(|call| call.row());
            match (self.phase(key), row) {
                (Some(Phase::Up), Some(row)) => {
                    keys.push((key, why));
                    dialogs.push(row);
                }
                (Some(Phase::Up | Phase::Setup), _) => self.end_for(now, key, why),
                (Some(_), _) => self.look_later(now, key, why),
                (None, _) => {}
            }
        }
        if keys.is_empty() {
            return;
        }
        let by = self.env.config.incarnation.clone();
        let op = Op::Check { dialogs, by };
        if self.env.ask(now, op, Asked::Ending(keys.clone())).is_none() {
            self.ending_replied(now, &keys, &Answer::Down);
        }
    }

    /// The store says whose the calls are that are to end. Where it says nothing they do end.
    pub(super) fn ending_replied(&mut self, now: Time, keys: &[(CallKey, Why)], answer: &Answer) {
        let taken: &[bool] = match answer {
            Answer::Checked(taken) => taken,
            _ => &[],
        };
        for (index, (key, why)) in keys.iter().enumerate() {
            if !self.is_to_end(*key, *why) {
                continue;
            }
            match self.phase(*key) {
                Some(Phase::Up) if taken.get(index) == Some(&true) => self.vanish(now, *key),
                Some(Phase::Up | Phase::Setup) => self.end_for(now, *key, *why),
                _ => self.look_later(now, *key, *why),
            }
        }
    }

    fn end_for(&mut self, now: Time, key: CallKey, why: Why) {
        if let Some(call) = self.calls.get_mut(key) {
            call.cause = why.cause();
        }
        self.fail(now, key, 408, why.text());
    }

    fn look_later(&mut self, now: Time, key: CallKey, why: Why) {
        let at = now + LATER;
        match why {
            Why::Lost => self.env.timers.set_late(Timer::Lost(key), at),
            Why::NoMedia => self.env.timers.set_late(Timer::Silent(key), at),
            Why::TooLong => self.env.aging.push(late(at), key),
        }
    }
}
