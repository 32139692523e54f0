//! Calls that the agent ends by itself: nobody is heard, they last too long, or their calling
//! server is gone. All of them at a pace, as are the questions to calling servers.

use crate::core::AgentCore;
use crate::core::call::{Call, Phase};
use crate::core::env::Env;
use crate::core::keys::Timer;
use crate::core::turn::{Turn, Why};
use holdline_b2bua::CallKey;
use holdline_relay::{QUIET_AFTER, Report, Side};
use holdline_wire::Time;
use holdline_wire::deadline::late;
use std::time::Duration;

/// A call that is just moving is looked at again after so long.
const LATER: Duration = Duration::from_secs(5);
/// A loop that was late by this much may have heard nobody.
const STOOD_STILL: Duration = Duration::from_secs(1);

impl AgentCore {
    /// The relay hears a side, or no longer does.
    pub(super) fn sound(&mut self, now: Time, report: &Report) {
        let (stream, heard) = match *report {
            Report::Heard { stream, .. } => (stream, true),
            Report::Quiet { stream, .. } => (stream, false),
            _ => return,
        };
        let Some(key) = self.env.streams.call_of(stream) else {
            return;
        };
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        call.media.note(report);
        let speaks = call.media.hears(Side::Near);
        let spoke = std::mem::replace(&mut call.speaks, speaks);
        if heard {
            self.env.timers.cancel(Timer::Silent(key));
        } else if !speaks && !call.media.hears(Side::Far) {
            call.await_media(&mut self.env, now);
        }
        if spoke != speaks {
            self.near_sound(now, key, speaks);
        }
    }

    /// Nobody was heard in this call for the longest time that is allowed.
    pub(super) fn silent(&mut self, now: Time, key: CallKey) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let Some(timeout) = self.env.settings.limits.media else {
            return;
        };
        // On hold or on the move nobody need be heard, nor may a call end for that when it has
        // just come back; nor could anybody be while the agent itself stood still.
        let late = self.env.late_at;
        let stood_still = late > Time::ZERO && now.since(late) < timeout;
        let busy = call.media.take_agreed() || !matches!(call.phase, Phase::Up);
        if stood_still || busy || !call.media.is_dead_silent() {
            return self.env.timers.set_late(Timer::Silent(key), now + timeout);
        }
        self.turn(now, key, Turn::End(Why::NoMedia));
    }

    /// Some calls have lasted for too long.
    pub(super) fn too_long(&mut self, now: Time) {
        while let Some(key) = self.env.aging.pop(now) {
            self.turn(now, key, Turn::End(Why::TooLong));
        }
    }

    /// A call is over.
    pub(super) fn sweep_aging(&mut self) {
        let is_alive = |key| self.calls.contains_key(key);
        self.env.aging.sweep(self.calls.len(), is_alive);
    }

    /// The loop that runs this core was late.
    pub(super) fn was_late(&mut self, now: Time, late: Duration) {
        if late >= STOOD_STILL {
            self.env.late_at = now;
        }
    }

    /// The call has its turn as soon as may be.
    pub(super) fn turn(&mut self, now: Time, key: CallKey, turn: Turn) {
        self.env.turns.push(now, (key, turn));
    }

    /// The next ones have their turn.
    pub(super) fn next_turns(&mut self, now: Time) {
        for (key, turn) in self.env.turns.take(now) {
            match turn {
                Turn::Ask => self.ask_caller(now, key),
                Turn::End(why) => self.end_for(now, key, why),
            }
        }
    }

    fn end_for(&mut self, now: Time, key: CallKey, why: Why) {
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let still = match why {
            Why::NoMedia => call.media.is_dead_silent(),
            Why::CallerLost => call.media.has_fallen_silent(Side::Near),
            Why::TooLong => true,
        };
        match call.phase {
            Phase::Up if still => {
                let reason = why.reason();
                call.phase = Phase::Over;
                call.cause = why.cause();
                call.near.end(&mut self.env.ctx(now), &reason);
                call.end_far(&mut self.env, now, &reason);
                self.env.touched.insert(key);
            }
            Phase::Moving(_) => self.env.look_later(now + LATER, key, why),
            _ => {}
        }
    }
}

impl Call {
    /// Nobody is heard since [`QUIET_AFTER`] before `now`.
    fn await_media(&mut self, env: &mut Env, now: Time) {
        if let Some(timeout) = env.settings.limits.media {
            self.media.take_agreed();
            let left = timeout.saturating_sub(QUIET_AFTER);
            env.timers.set_late(Timer::Silent(self.key), now + left);
        }
    }

    /// The call was answered: its longest time begins.
    pub fn limit(&self, env: &mut Env, now: Time) {
        if let Some(longest) = env.settings.limits.longest {
            env.aging.push(late(now + longest), self.key);
        }
    }
}

impl Env {
    /// The call is looked at again then, whether it is to end.
    fn look_later(&mut self, at: Time, key: CallKey, why: Why) {
        match why {
            Why::NoMedia => self.timers.set_late(Timer::Silent(key), at),
            Why::CallerLost => self.timers.set_late(Timer::Ask(key), at),
            Why::TooLong => self.aging.push(late(at), key),
        }
    }
}
