//! Two layers over a wire that loses, doubles and reorders: every request has exactly one
//! outcome, and afterwards nothing of it is left.

use super::*;
use crate::token::Tokens;
use std::collections::{BTreeMap, BTreeSet};

const CALLS: u32 = 12;

/// Who an action is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Caller,
    Callee,
}

/// What happens next.
#[derive(Debug)]
enum Action {
    Arrive(Side, Bytes),
    Cancel(ClientId),
    Answer(ServerId, u16),
}

/// What the caller heard of one call.
#[derive(Debug, Default)]
struct Outcome {
    accepted: bool,
    refusals: u32,
    timeouts: u32,
    strays: u32,
}

struct World {
    now: Time,
    random: Tokens,
    /// Lost messages, percent.
    loss: u64,
    caller: Layer<u32>,
    callee: Layer<u32>,
    queue: BTreeMap<(Time, u64), Action>,
    serial: u64,
    outcomes: BTreeMap<u32, Outcome>,
    /// Unacknowledged answers of the callee, by Call-ID.
    unacked: BTreeMap<String, ServerId>,
    /// Requests that the callee has answered finally.
    answered: BTreeSet<ServerId>,
    /// INVITEs told to the callee: each once.
    rung: BTreeSet<String>,
    transcript: Vec<String>,
}

impl World {
    fn new(seed: u8, loss: u64) -> World {
        World {
            now: Time::ZERO,
            random: Tokens::new([seed; 32]),
            loss,
            caller: Layer::new(Timers::default()),
            callee: Layer::new(Timers::default()),
            queue: BTreeMap::new(),
            serial: 0,
            outcomes: BTreeMap::new(),
            unacked: BTreeMap::new(),
            answered: BTreeSet::new(),
            rung: BTreeSet::new(),
            transcript: Vec::new(),
        }
    }

    fn run(mut self) -> World {
        for call in 0..CALLS {
            self.place(call);
        }
        self.drain();
        while let Some(next) = self.next_time() {
            self.now = next;
            let due = self
                .queue
                .first_key_value()
                .filter(|((at, _), _)| *at <= next);
            match due.map(|(key, _)| *key) {
                Some(key) => {
                    let action = self.queue.remove(&key).expect("an action");
                    self.act(action);
                }
                None => {
                    self.caller.handle_deadline(next);
                    self.callee.handle_deadline(next);
                }
            }
            self.drain();
        }
        self
    }

    fn next_time(&self) -> Option<Time> {
        let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
        let timers = [self.caller.poll_deadline(), self.callee.poll_deadline()];
        timers.into_iter().chain([queued]).flatten().min()
    }

    fn place(&mut self, call: u32) {
        let branch = self.random.branch();
        let text = request("INVITE", &branch).replace("call-1", &format!("call-{call}"));
        self.outcomes.insert(call, Outcome::default());
        let client = self
            .caller
            .request(self.now, udp(), text.into(), call, None);
        if self.random.below(3) == 0 {
            let after = self.random.below(2_000);
            self.later(after, Action::Cancel(client));
        }
    }

    fn later(&mut self, millis: u64, action: Action) {
        self.serial += 1;
        self.queue.insert(
            (self.now + Duration::from_millis(millis), self.serial),
            action,
        );
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Arrive(Side::Caller, bytes) => {
                let message = Message::parse(bytes).expect("a message");
                self.caller.receive(self.now, udp(), message);
            }
            Action::Arrive(Side::Callee, bytes) => {
                let message = Message::parse(bytes).expect("a message");
                self.callee.receive(self.now, udp(), message);
            }
            Action::Cancel(client) => self.caller.cancel(self.now, client, &[]),
            Action::Answer(server, status) => self.answer(server, status),
        }
    }

    fn answer(&mut self, server: ServerId, status: u16) {
        let Some((request, _)) = self.callee.request_of(server) else {
            return;
        };
        let (branch, method) = (
            request.top_via().branch.to_owned(),
            request.method().to_string(),
        );
        let call_id = request.call_id().to_owned();
        if status >= 200 && !self.answered.insert(server) {
            return;
        }
        let text = response(status, &method, &branch).replace("call-1", &call_id);
        if method == "INVITE" && (200..300).contains(&status) {
            self.unacked.insert(call_id, server);
        }
        self.callee.respond(self.now, server, status, text.into());
    }

    fn drain(&mut self) {
        loop {
            if let Some(output) = self.caller.poll_output() {
                self.caller_does(output);
            } else if let Some(output) = self.callee.poll_output() {
                self.callee_does(output);
            } else {
                return;
            }
        }
    }

    /// Sends over the wire: lost, or once or twice after a delay of its own.
    fn send(&mut self, to: Side, bytes: Bytes) {
        let copies = match self.random.below(100) {
            roll if roll < self.loss => 0,
            roll if roll >= 95 => 2,
            _ => 1,
        };
        let start = String::from_utf8_lossy(&bytes[..10]).into_owned();
        self.transcript
            .push(format!("{} {to:?} {copies} {start}", self.now.as_nanos()));
        for _ in 0..copies {
            let delay = 1 + self.random.below(60);
            self.later(delay, Action::Arrive(to, bytes.clone()));
        }
    }

    fn caller_does(&mut self, output: Output<u32>) {
        let event = match output {
            Output::Send(_, bytes) => return self.send(Side::Callee, bytes),
            Output::Event(event) => event,
        };
        match event {
            Event::Response { owner, message, .. } => {
                let outcome = self.outcomes.get_mut(&owner).expect("a call");
                match message.status() {
                    ..200 => {}
                    200..300 => {
                        outcome.accepted = true;
                        self.ack(&message);
                    }
                    _ => outcome.refusals += 1,
                }
            }
            Event::Timeout {
                owner, transport, ..
            } => {
                assert!(!transport);
                self.outcomes.get_mut(&owner).expect("a call").timeouts += 1;
            }
            Event::Stray { message, .. } => {
                let call = message
                    .call_id()
                    .trim_start_matches("call-")
                    .parse()
                    .expect("a call");
                self.outcomes.get_mut(&call).expect("a call").strays += 1;
                if message.status() == 200 && message.method().as_str() == "INVITE" {
                    self.ack(&message);
                }
            }
            other => panic!("the caller is told {other:?}"),
        }
    }

    fn ack(&mut self, answer: &Message) {
        let branch = self.random.branch();
        let text = request("ACK", &branch).replace("call-1", answer.call_id());
        self.send(Side::Callee, text.into());
    }

    fn callee_does(&mut self, output: Output<u32>) {
        let event = match output {
            Output::Send(_, bytes) => return self.send(Side::Caller, bytes),
            Output::Event(event) => event,
        };
        match event {
            Event::Request {
                server,
                message,
                cancels,
                ..
            } if message.method().as_str() == "CANCEL" => {
                self.answer(server, if cancels.is_some() { 200 } else { 481 });
                cancels
                    .into_iter()
                    .for_each(|invite| self.answer(invite, 487));
            }
            Event::Request {
                server, message, ..
            } => {
                assert!(
                    self.rung.insert(message.call_id().into()),
                    "an INVITE was told twice"
                );
                self.answer(server, 180);
                let status = if self.random.below(2) == 0 { 200 } else { 486 };
                let after = self.random.below(3_000);
                self.later(after, Action::Answer(server, status));
            }
            Event::Ack { message, .. } => {
                if let Some(server) = self.unacked.remove(message.call_id()) {
                    self.callee.acked(server);
                }
            }
            Event::NoAck { server, .. } => {
                let open = self.unacked.values().any(|waiting| *waiting == server);
                assert!(open, "an acknowledged answer was told as unacknowledged");
                self.unacked.retain(|_, waiting| *waiting != server);
            }
            other => panic!("the callee is told {other:?}"),
        }
    }

    fn assert_settled(&mut self, name: &str) {
        for (call, outcome) in &self.outcomes {
            let finals = u32::from(outcome.accepted) + outcome.refusals + outcome.timeouts;
            assert_eq!(finals, 1, "{name}, call {call}: {outcome:?}");
        }
        assert!(
            self.unacked.is_empty(),
            "{name}: an answer is neither acknowledged nor told"
        );
        for layer in [&self.caller, &self.callee] {
            assert_eq!(layer.len(), (0, 0), "{name}");
            layer.assert_no_trace();
        }
    }
}

#[test]
fn every_invite_has_exactly_one_outcome_whatever_the_wire_loses() {
    let (mut accepted, mut refused) = (0, 0);
    for loss in [0, 10, 20, 30] {
        for seed in 0..25 {
            let mut world = World::new(seed, loss).run();
            world.assert_settled(&format!("seed {seed}, {loss} % lost"));
            accepted += world
                .outcomes
                .values()
                .filter(|outcome| outcome.accepted)
                .count();
            refused += world
                .outcomes
                .values()
                .filter(|outcome| outcome.refusals == 1)
                .count();
        }
    }
    let all = accepted + refused;
    assert!(
        accepted > 300 && refused > 300,
        "{accepted} accepted, {refused} refused"
    );
    assert!(all >= 1190, "only {all} of 1200 calls had an answer");
}

#[test]
fn a_wire_that_loses_everything_ends_in_timeouts() {
    let mut world = World::new(1, 100).run();
    world.assert_settled("all lost");
    assert!(world.outcomes.values().all(|outcome| outcome.timeouts == 1));
}

#[test]
fn the_same_seed_gives_the_same_transcript() {
    let (first, again) = (World::new(9, 20).run(), World::new(9, 20).run());
    assert_eq!(first.transcript, again.transcript);
    assert_ne!(first.transcript, World::new(10, 20).run().transcript);
}
