//! A calling server that is gone. Its calls fall silent one and all, or one of them does for long:
//! then it is asked, by OPTIONS in some of their dialogs, whether it still knows them. A call that
//! it does not know ends at the far end too, and the others are asked as well; whatever else it
//! answers, it lives. One that answers nothing at all is asked twice, and then all its silent calls
//! end (spec: X27).

use holdline_b2bua::CallKey;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// So many dialogs are asked about at a time.
const ASKED_MAX: usize = 10;

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
pub enum Next {
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
    pub fn speaks(&mut self, address: IpAddr) {
        if let Some(caller) = self.0.get_mut(&address) {
            caller.speaking += 1;
            (caller.alive, caller.rounds) = (true, 0);
        }
    }

    /// It is heard in one call less.
    pub fn falls_silent(&mut self, address: IpAddr) -> Next {
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
    pub fn takes_a_question(&self, address: IpAddr) -> bool {
        self.0.get(&address).is_some_and(|caller| {
            let in_time = caller.unanswered.is_empty() || caller.asked.is_empty();
            in_time && caller.asked.len() < ASKED_MAX
        })
    }

    /// A call is asked about; the first one begins a round.
    pub fn asks(&mut self, address: IpAddr, key: CallKey) {
        if let Some(caller) = self.0.get_mut(&address) {
            if caller.asked.is_empty() {
                caller.alive = false;
                caller.unanswered.clear();
            }
            caller.asked.insert(key);
        }
    }

    /// It said something about a call; whether that had been asked.
    pub fn answers(&mut self, address: IpAddr, key: CallKey) -> bool {
        self.0.get_mut(&address).is_some_and(|caller| {
            (caller.alive, caller.rounds) = (true, 0);
            caller.asked.remove(&key)
        })
    }

    /// Its other calls.
    pub fn others(&self, address: IpAddr, key: CallKey) -> Vec<CallKey> {
        let caller = self.0.get(&address).into_iter();
        let calls = caller.flat_map(|caller| caller.calls.difference(&caller.asked));
        calls.copied().filter(|other| *other != key).collect()
    }

    /// It said nothing about a call. At the end of a round: the calls about which it said nothing,
    /// and how many rounds in a row it has been silent altogether.
    pub fn is_silent(&mut self, address: IpAddr, key: CallKey) -> Option<(Vec<CallKey>, u32)> {
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
