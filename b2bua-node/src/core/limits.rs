//! Calls that this node ends by itself: without media, too long, or with nobody on the calling
//! side. All of them at a pace, and none that the store knows at another node (spec: X27, X28).

use crate::core::NodeCore;
use crate::core::call::{CallKey, Phase};
use crate::core::env::{Asked, Timer};
use crate::store::{Answer, Op};
use holdline_relay::{QUIET_AFTER, Report, Side};
use holdline_wire::Time;
use std::time::Duration;

/// So many calls end at a time, and the time: 50 a second.
const BATCH: usize = 10;
const PACE: Duration = Duration::from_millis(200);
/// A call that is just being set up, taken over or ended is looked at again after so long.
const LATER: Duration = Duration::from_secs(5);

/// Why the node ends a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Its calling side is gone.
    Lost,
    /// Nobody is heard.
    NoMedia,
    /// It has lasted for as long as calls may.
    TooLong,
}

impl Why {
    /// The cause in logs and metrics.
    pub fn cause(self) -> &'static str {
        match self {
            Why::Lost => "agent_lost",
            Why::NoMedia => "no_media",
            Why::TooLong => "too_long",
        }
    }

    /// The text of the Reason (RFC 3326) for both sides.
    fn text(self) -> &'static str {
        match self {
            Why::Lost => "calling side lost",
            Why::NoMedia => "no media",
            Why::TooLong => "call too long",
        }
    }
}

impl NodeCore {
    /// The relay hears a side, or no longer does.
    pub(super) fn sound(&mut self, now: Time, report: &Report) {
        let (stream, side, heard) = match *report {
            Report::Heard { stream, side } => (stream, side, true),
            Report::Quiet { stream, side, .. } => (stream, side, false),
            _ => return,
        };
        let Some(key) = self.env.by_stream.get(&stream).copied() else {
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
            self.env.aging.push(call.placed + longest, key);
            self.watch_aging();
        }
    }

    fn watch_aging(&mut self) {
        match self.env.aging.next() {
            Some(at) => self.env.timers.set_late(Timer::Longest, at),
            None => self.env.timers.cancel(Timer::Longest),
        }
    }

    /// A call is over.
    pub(super) fn sweep_aging(&mut self) {
        let is_alive = |key| self.calls.contains_key(key);
        self.env.aging.sweep(self.calls.len(), is_alive);
        self.watch_aging();
    }

    /// Some calls have lasted for too long.
    pub(super) fn too_long(&mut self, now: Time) {
        while let Some(key) = self.env.aging.pop(now) {
            self.end_soon(now, key, Why::TooLong);
        }
        self.watch_aging();
    }

    /// Ends a call as soon as its turn comes.
    pub(super) fn end_soon(&mut self, now: Time, key: CallKey, why: Why) {
        if self.env.ending.is_empty() {
            self.env.timers.set(Timer::Ending, now);
        }
        self.env.ending.push_back((key, why));
    }

    /// The next ones end: those that are up after the store has said whose they are, since a node
    /// that was cut off may have lost them all.
    pub(super) fn end_next(&mut self, now: Time) {
        let count = self.env.ending.len().min(BATCH);
        let batch: Vec<_> = self.env.ending.drain(..count).collect();
        if !self.env.ending.is_empty() {
            self.env.timers.set(Timer::Ending, now + PACE);
        }
        let (mut keys, mut dialogs) = (Vec::new(), Vec::new());
        for (key, why) in batch {
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
            Why::TooLong => {
                self.env.aging.push(at, key);
                self.watch_aging();
            }
        }
    }
}
