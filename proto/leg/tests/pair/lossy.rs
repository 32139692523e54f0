//! Both halves of a call talk over a wire that loses, doubles and reorders: whatever both users
//! do, at the end every leg is over and no transaction is left.

use crate::b2bua::{B2bua, CALLEE, CALLER, addr};
use crate::peers::{ANSWER, OFFER};
use crate::ua::Ua;
use bytes::Bytes;
use holdline_leg::Leg;
use holdline_wire::token::Tokens;
use holdline_wire::{Method, Time};
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
enum Who {
    Us,
    Caller,
    Callee,
}

enum Action {
    /// To, from, what.
    Arrive(Who, Who, Bytes),
    /// The callee answers its call.
    Answer(u16),
    Ask(Who, Method, bool),
    HangUp(Who),
}

struct World {
    now: Time,
    random: Tokens,
    loss: u64,
    us: B2bua,
    caller: Ua,
    callee: Ua,
    queue: BTreeMap<(Time, u64), Action>,
    serial: u64,
    transcript: Vec<String>,
    was_up: bool,
}

impl World {
    fn new(seed: u8, loss: u64) -> World {
        World {
            now: Time::ZERO,
            random: Tokens::new([seed ^ 0x55; 32]),
            loss,
            us: B2bua::new(seed),
            caller: Ua::new(seed.wrapping_add(100), CALLER),
            callee: Ua::new(seed.wrapping_add(200), CALLEE),
            queue: BTreeMap::new(),
            serial: 0,
            transcript: Vec::new(),
            was_up: false,
        }
    }

    fn after(&mut self, millis: u64, action: Action) {
        self.serial += 1;
        let at = self.now + Duration::from_millis(millis);
        self.queue.insert((at, self.serial), action);
    }

    fn plan(&mut self) {
        let end = 500 + self.random.below(90_000);
        let status = [200, 200, 200, 200, 486, 302][self.random.below(6) as usize];
        let rings = self.random.below(9_000);
        let answers = rings + self.random.below(9_000);
        self.after(rings, Action::Answer(180));
        self.after(answers, Action::Answer(status));
        for _ in 0..self.random.below(12) {
            let at = self.random.below(40_000);
            let who = self.somebody();
            let methods = [Method::Invite, Method::Invite, Method::Update, Method::Info];
            let method = methods[self.random.below(4) as usize].clone();
            let sdp = self.random.below(3) > 0 && method != Method::Info;
            self.after(at, Action::Ask(who, method, sdp));
        }
        let who = self.somebody();
        self.after(end, Action::HangUp(who));
        // Both in the end, for a call whose one side never heard of the other.
        self.after(200_000, Action::HangUp(Who::Caller));
        self.after(200_000, Action::HangUp(Who::Callee));
    }

    fn somebody(&mut self) -> Who {
        if self.random.below(2) == 0 {
            Who::Caller
        } else {
            Who::Callee
        }
    }

    fn run(mut self) -> World {
        self.plan();
        let sdp = if self.random.below(3) == 0 { "" } else { OFFER };
        self.caller.call(sdp);
        self.carry();
        while let Some(next) = self.next() {
            (self.now, self.us.now) = (next, next);
            (self.caller.now, self.callee.now) = (next, next);
            while let Some(due) = self
                .queue
                .first_entry()
                .filter(|entry| entry.key().0 <= next)
            {
                let action = due.remove();
                self.act(action);
                self.carry();
            }
            self.us.deadline(next);
            self.caller.deadline();
            self.callee.deadline();
            self.carry();
            let up = |leg: &Option<Leg<_>>| leg.as_ref().is_some_and(Leg::is_up);
            self.was_up |= up(&self.us.near) && up(&self.us.far);
        }
        self
    }

    fn next(&self) -> Option<Time> {
        let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
        let layers = [
            self.us.layer.poll_deadline(),
            self.caller.layer.poll_deadline(),
            self.callee.layer.poll_deadline(),
        ];
        let next = layers.into_iter().flatten().chain(queued).min()?;
        Some(next.max(self.now))
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Arrive(Who::Us, from, bytes) => {
                let from = if matches!(from, Who::Caller) {
                    CALLER
                } else {
                    CALLEE
                };
                self.us.receive(addr(from), bytes);
            }
            Action::Arrive(to, _, bytes) => self.ua(to).receive(bytes),
            Action::Answer(status) => {
                let sdp = if status == 200 { ANSWER } else { "" };
                self.callee.answer(status, sdp);
            }
            Action::Ask(who, method, sdp) => {
                self.ua(who).ask(method, if sdp { OFFER } else { "" });
            }
            Action::HangUp(who) => self.ua(who).hang_up(),
        }
    }

    fn ua(&mut self, who: Who) -> &mut Ua {
        match who {
            Who::Callee => &mut self.callee,
            _ => &mut self.caller,
        }
    }

    /// Puts on the wire what was sent.
    fn carry(&mut self) {
        let mut sent = Vec::new();
        for (to, message) in std::mem::take(&mut self.us.sent) {
            let to = if to == addr(CALLER) {
                Who::Caller
            } else {
                Who::Callee
            };
            sent.push((to, Who::Us, message.bytes().clone()));
        }
        for bytes in std::mem::take(&mut self.caller.sent) {
            sent.push((Who::Us, Who::Caller, bytes));
        }
        for bytes in std::mem::take(&mut self.callee.sent) {
            sent.push((Who::Us, Who::Callee, bytes));
        }
        for (to, from, bytes) in sent {
            let line = bytes.split(|b| *b == b'\r').next().unwrap_or_default();
            let line = String::from_utf8_lossy(line).into_owned();
            self.transcript.push(format!(
                "{:.3} {from:?} {to:?} {line}",
                self.now.as_secs_f64()
            ));
            let copies = if self.random.below(20) == 0 { 2 } else { 1 };
            for _ in 0..copies {
                if self.random.below(100) >= self.loss {
                    let delay = 5 + self.random.below(60);
                    self.after(delay, Action::Arrive(to, from, bytes.clone()));
                }
            }
        }
    }

    fn assert_clean(&self, seed: u8) {
        let told = || self.transcript.join("\n");
        for leg in [&self.us.near, &self.us.far] {
            assert!(
                leg.as_ref().is_none_or(Leg::is_over),
                "seed {seed}: ours\n{}",
                told()
            );
        }
        for leg in [&self.caller.leg, &self.callee.leg] {
            assert!(
                leg.as_ref().is_none_or(Leg::is_over),
                "seed {seed}: theirs\n{}",
                told()
            );
        }
        let empty = self.us.layer.is_empty()
            && self.caller.layer.is_empty()
            && self.callee.layer.is_empty();
        assert!(empty, "seed {seed}: transactions are left\n{}", told());
    }
}

#[test]
fn every_call_ends_clean_over_a_lossy_wire() {
    let (mut up, mut calls, mut told) = (0, 0, String::new());
    for seed in 0..200 {
        let world = World::new(seed, u64::from(seed % 4) * 12).run();
        world.assert_clean(seed);
        calls += 1;
        up += u32::from(world.was_up);
        told += &world.transcript.join("\n");
    }
    // The walk goes where it is meant to go.
    for seen in [
        "CANCEL sip",
        "UPDATE sip",
        "INFO sip",
        " 491 ",
        " 487 ",
        " 486 ",
        " 500 ",
    ] {
        assert!(told.contains(seen), "{seen} was never seen");
    }
    assert!(
        up > calls / 4 && up < calls,
        "{up} of {calls} calls were answered"
    );
    let again = || World::new(7, 30).run().transcript;
    assert_eq!(again(), again(), "the same seed gives the same transcript");
}
