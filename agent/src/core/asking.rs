//! Questions to calling servers whose calls fall silent: see [`super::callers`].

use crate::core::AgentCore;
use crate::core::call::Phase;
use crate::core::callers::Next;
use crate::core::keys::{Owner, Timer};
use crate::core::turn::{Turn, Why};
use holdline_b2bua::CallKey;
use holdline_relay::Side;
use holdline_wire::Time;
use std::time::Duration;

/// How many dialogs are asked about at first where all have fallen silent.
const SAMPLE: usize = 3;
/// A call that is silent while others speak is asked about after so long.
const ASK_AFTER: Duration = Duration::from_secs(25);
/// A calling server that lives is asked about the same call again after so long.
const ASK_AGAIN: Duration = Duration::from_secs(60);
/// One that said nothing, or whose host refused, is asked once more after so long: it may be just
/// starting again, or our own network is at fault (spec: X52).
const ASK_SURELY: Duration = Duration::from_secs(10);
/// So many rounds without any answer are needed: each lasts for 64*T1 (RFC 3261 17.1.2.2).
const ROUNDS: u32 = 2;

impl AgentCore {
    /// The calling server is heard in this call, or no longer is.
    pub(super) fn near_sound(&mut self, now: Time, key: CallKey, heard: bool) {
        let Some(address) = self.calls.get(key).map(|call| call.caller) else {
            return;
        };
        if heard {
            self.env.callers.speaks(address);
            return self.env.timers.cancel(Timer::Ask(key));
        }
        self.env.timers.set_late(Timer::Ask(key), now + ASK_AFTER);
        if let Next::Ask(calls) = self.env.callers.falls_silent(address) {
            let silent = calls.into_iter().filter(|key| self.can_be_asked(*key));
            for key in silent.take(SAMPLE).collect::<Vec<_>>() {
                self.turn(now, key, Turn::Ask);
            }
        }
    }

    /// Whether the calling server has fallen silent in this call, and can be asked about it.
    fn can_be_asked(&self, key: CallKey) -> bool {
        self.calls.get(key).is_some_and(|call| {
            let silent = call.media.has_fallen_silent(Side::Near);
            silent && matches!(call.phase, Phase::Up) && call.near.is_up()
        })
    }

    /// The calling server is asked whether it knows the call.
    pub(super) fn ask_caller(&mut self, now: Time, key: CallKey) {
        let asked = self.can_be_asked(key);
        let Some(call) = self.calls.get_mut(key) else {
            return;
        };
        let address = call.caller;
        if !asked || !self.env.callers.takes_a_question(address) {
            // It is silent still, but on the move; or others are asked about.
            if call.media.has_fallen_silent(Side::Near) {
                self.env.timers.set_late(Timer::Ask(key), now + ASK_SURELY);
            }
            return;
        }
        self.env.timers.cancel(Timer::Ask(key));
        let mut ctx = self.env.ctx(now);
        if call.near.ask(&mut ctx, Owner::Asked(key)) {
            self.env.callers.asks(address, key);
        }
    }

    /// It answered.
    pub(super) fn caller_answered(&mut self, now: Time, key: CallKey, status: u16) {
        let Some(address) = self.calls.get(key).map(|call| call.caller) else {
            return;
        };
        if status < 200 || !self.env.callers.answers(address, key) {
            return;
        }
        if status != 481 {
            return self.env.timers.set_late(Timer::Ask(key), now + ASK_AGAIN);
        }
        for other in self.env.callers.others(address, key) {
            if self.can_be_asked(other) {
                self.turn(now, other, Turn::Ask);
            }
        }
        self.turn(now, key, Turn::End(Why::CallerLost));
    }

    /// It did not answer in its time, or its host refused.
    pub(super) fn caller_is_silent(&mut self, now: Time, key: CallKey) {
        let Some(address) = self.calls.get(key).map(|call| call.caller) else {
            return;
        };
        // Where another call's answer decides, this one is asked about again all the same.
        self.env.timers.set_late(Timer::Ask(key), now + ASK_AGAIN);
        let Some((calls, rounds)) = self.env.callers.is_silent(address, key) else {
            return;
        };
        if rounds < ROUNDS {
            let pause = if rounds == 0 { ASK_AGAIN } else { ASK_SURELY };
            for key in calls {
                self.env.timers.set_late(Timer::Ask(key), now + pause);
            }
            return;
        }
        self.turn(now, key, Turn::End(Why::CallerLost));
        for other in self.env.callers.others(address, key) {
            if self.can_be_asked(other) {
                self.turn(now, other, Turn::End(Why::CallerLost));
            }
        }
    }
}
