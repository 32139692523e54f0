//! A calling server that is gone. Its calls fall silent one and all, or one of them does for long:
//! then it is asked, by OPTIONS in some of their dialogs, whether it still knows them. A call that
//! it does not know ends at the far end too, and the others are asked as well; whatever else it
//! answers, it lives. One that answers nothing at all is asked twice, and then all its silent calls
//! end (spec: X27).

use crate::core::AgentCore;
use crate::core::call::Phase;
use crate::core::keys::{Owner, Timer};
use crate::core::turn::{Turn, Why};
use holdline_b2bua::CallKey;
use holdline_relay::Side;
use holdline_wire::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
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
/// So many dialogs are asked about at a time.
const ASKED_MAX: usize = 10;
/// So many rounds without any answer are needed: each lasts for 64*T1 (RFC 3261 17.1.2.2).
const ROUNDS: u32 = 2;

/// A calling server.
#[derive(Debug, Default)]
struct Caller {
    calls: BTreeSet<CallKey>,
    /// Calls in which it is heard.
    speaking: usize,
    /// Calls that it is being asked about.
    asked: BTreeSet<CallKey>,
    /// Calls about which it answered nothing in this round.
    unanswered: BTreeSet<CallKey>,
    /// Whether anything came from it in this round.
    alive: bool,
    /// Rounds in a row in which nothing did.
    rounds: u32,
}

/// All that have calls, by their addresses.
#[derive(Debug, Default)]
pub struct Callers(BTreeMap<IpAddr, Caller>);

/// What a call's silence asks for.
enum Next {
    /// These are asked about at once.
    Ask(Vec<CallKey>),
    /// Nothing for now.
    Wait,
}

impl Callers {
    /// A call of the calling server at `address` begins.
    pub fn join(&mut self, address: IpAddr, key: CallKey) {
        self.0.entry(address).or_default().calls.insert(key);
    }

    /// It is over; `spoke` while the calling server was heard in it.
    pub fn leave(&mut self, address: IpAddr, key: CallKey, spoke: bool) {
        let Some(caller) = self.0.get_mut(&address) else {
            return;
        };
        caller.calls.remove(&key);
        caller.asked.remove(&key);
        caller.unanswered.remove(&key);
        caller.speaking -= usize::from(spoke && caller.speaking > 0);
        if caller.calls.is_empty() {
            self.0.remove(&address);
        }
    }

    /// Something came from there, whatever it was about.
    pub fn heard(&mut self, address: IpAddr) {
        if let Some(caller) = self.0.get_mut(&address) {
            (caller.alive, caller.rounds) = (true, 0);
        }
    }

    /// The calling server is heard in one more of its calls.
    fn speaks(&mut self, address: IpAddr) {
        if let Some(caller) = self.0.get_mut(&address) {
            caller.speaking += 1;
            (caller.alive, caller.rounds) = (true, 0);
        }
    }

    /// It is heard in one call less.
    fn falls_silent(&mut self, address: IpAddr) -> Next {
        let Some(caller) = self.0.get_mut(&address) else {
            return Next::Wait;
        };
        caller.speaking = caller.speaking.saturating_sub(1);
        if caller.speaking > 0 || !caller.asked.is_empty() {
            return Next::Wait;
        }
        Next::Ask(caller.calls.iter().copied().collect())
    }

    /// Whether one more call may be asked about now: not at the end of a round, which would never
    /// come otherwise.
    fn takes_a_question(&self, address: IpAddr) -> bool {
        self.0.get(&address).is_some_and(|caller| {
            let in_time = caller.unanswered.is_empty() || caller.asked.is_empty();
            in_time && caller.asked.len() < ASKED_MAX
        })
    }

    /// A call is asked about; the first one begins a round.
    fn asks(&mut self, address: IpAddr, key: CallKey) {
        if let Some(caller) = self.0.get_mut(&address) {
            if caller.asked.is_empty() {
                caller.alive = false;
                caller.unanswered.clear();
            }
            caller.asked.insert(key);
        }
    }

    /// It said something about a call; whether that had been asked.
    fn answers(&mut self, address: IpAddr, key: CallKey) -> bool {
        self.0.get_mut(&address).is_some_and(|caller| {
            (caller.alive, caller.rounds) = (true, 0);
            caller.asked.remove(&key)
        })
    }

    /// Its other calls.
    fn others(&self, address: IpAddr, key: CallKey) -> Vec<CallKey> {
        let caller = self.0.get(&address).into_iter();
        let calls = caller.flat_map(|caller| caller.calls.difference(&caller.asked));
        calls.copied().filter(|other| *other != key).collect()
    }

    /// It said nothing about a call. At the end of a round: the calls about which it said nothing,
    /// and how many rounds in a row it has been silent altogether.
    fn is_silent(&mut self, address: IpAddr, key: CallKey) -> Option<(Vec<CallKey>, u32)> {
        let caller = self.0.get_mut(&address)?;
        if !caller.asked.remove(&key) {
            return None;
        }
        caller.unanswered.insert(key);
        if !caller.asked.is_empty() {
            return None;
        }
        caller.rounds = if caller.alive { 0 } else { caller.rounds + 1 };
        let unanswered = std::mem::take(&mut caller.unanswered);
        Some((unanswered.into_iter().collect(), caller.rounds))
    }
}

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
