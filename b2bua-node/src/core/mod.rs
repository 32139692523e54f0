//! The node's core: a pure state machine that owns every call.
//!
//! Near is the agent's side, far the downstream UA's. A call is placed (`placing`) or, for an
//! INVITE with Replaces, taken over from the node that had it (`claiming`); the two legs of a
//! call tell each other what happened (`pairing`); what a survivor would need is kept in the
//! store (`keeping`; for a call that rings, `noting`).

mod admission;
mod agents;
mod call;
mod claiming;
mod dispatch;
mod ending;
mod env;
mod event;
mod far_end;
mod far_uri;
mod farewell;
mod keeping;
mod keys;
mod limits;
mod lost;
mod marks;
mod noting;
mod owed_bye;
mod ownership;
mod pairing;
mod parting;
mod pause;
mod placing;
mod ports;
mod refusing;
mod replaced;
mod room;
mod settings;
mod transfer;
mod utilization;
mod why;

#[cfg(test)]
mod tests;

pub use event::{CallNumber, Event, In, Operator, Out, Status};
pub use settings::{Far503, Limits, NodeConfig, Waits};

use call::Call;
use env::Env;
use holdline_b2bua::{CallKey, send_failed};
use holdline_wire::Time;
use holdline_wire::header::InstanceRefusal;
use holdline_wire::machine::{Input, Machine, Output};
use keys::{RunId, Timer};
use pause::Ownership;
use slotmap::SlotMap;
use std::collections::BTreeMap;

/// The node.
pub struct NodeCore {
    env: Env,
    /// Boxed, so that the table grows without moving thousands of calls.
    calls: SlotMap<CallKey, Box<Call>>,
    ownership: Ownership,
    draining: bool,
    /// Agents that may not have heard of it yet, though they probe, and how often they were answered: an
    /// answer may be lost.
    untold: BTreeMap<RunId, u8>,
    next_call: CallNumber,
    /// The call whose BYE, being taken just now, says that it lives on elsewhere (spec: X28).
    moved_away: Option<CallKey>,
    /// Until then the run before this one may be remembered by others.
    young_until: Time,
}

impl NodeCore {
    /// A node without calls that starts at `now`.
    pub fn new(config: NodeConfig, now: Time) -> NodeCore {
        let mut core = NodeCore {
            ownership: Ownership::new(now),
            young_until: now + config.waits.young,
            env: Env::new(config),
            calls: SlotMap::with_key(),
            draining: false,
            untold: BTreeMap::new(),
            next_call: 0,
            moved_away: None,
        };
        core.beat(now);
        core
    }

    /// How many calls there are, those being set up or ended included.
    pub fn live_calls(&self) -> usize {
        self.calls.len()
    }

    /// How many media port pairs are in use.
    pub fn ports_in_use(&self) -> usize {
        self.env.streams.ports.usage().0
    }

    /// Live client and server transactions.
    pub fn transactions(&self) -> (usize, usize) {
        self.env.layer.len()
    }

    /// How many tags of ours are known: two for each call that has both legs, and those of
    /// dialogs that moved away; and how many dialogs are just being taken over, or were and may
    /// be up still.
    pub fn dialogs(&self) -> usize {
        self.env.tags.len() + self.env.claimed.len() + self.env.replaced.len()
    }

    /// Operations that wait for the store's reply.
    pub fn store_waiting(&self) -> usize {
        self.env.store_waiting()
    }

    /// The node at this moment.
    pub fn status(&self) -> Status {
        Status {
            calls: self.calls.len(),
            capacity: self.env.config.capacity,
            utilization: self.env.utilization.percent(),
            ports: self.env.streams.ports.usage(),
            transactions: self.env.layer.len(),
            store_up: self.env.store_up,
            store_waiting: self.env.store_waiting(),
            draining: self.draining,
            untold: self.untold.len(),
        }
    }

    /// The configuration it runs with.
    pub fn config(&self) -> &NodeConfig {
        &self.env.config
    }

    fn other(&mut self, now: Time, input: In) {
        match input {
            In::Store(reply) => self.store_replied(now, reply),
            In::Operator(Operator::Drain) => self.drain(now, true),
            In::Operator(Operator::Resume) => self.drain(now, false),
            In::LoopLate(late) => self.loop_was_late(now, late),
            In::Media(report) => self.media(now, report),
        }
    }

    /// Whoever is answered from now on hears of it. Agents that probe learn it so: to one that did
    /// not, a node without calls would be dead where it has left (spec: D34).
    fn drain(&mut self, now: Time, draining: bool) {
        self.draining = draining;
        self.env.tell_draining(draining);
        self.untold.clear();
        if draining {
            let (untold, until) = self.env.agents.expected(now);
            self.untold = untold.into_iter().map(|run| (run, 0)).collect();
            self.env.timers.set(Timer::Untold, until);
        }
    }

    fn deadline(&mut self, now: Time) {
        self.env.layer.handle_deadline(now);
        while let Some(timer) = self.env.timers.pop(now) {
            match timer {
                Timer::Beat => self.beat(now),
                Timer::Untold => self.untold.clear(),
                Timer::Commit(key) => self.commit_late(now, key),
                Timer::Invite(key) => self.noted_too_late(now, key),
                Timer::Claim(key) => self.claim_unanswered(now, key),
                Timer::Retry(key) => self.keep_again(now, key),
                Timer::Ring(key) => {
                    self.fail_for(now, key, 408, InstanceRefusal::Timeout, "no answer");
                }
                Timer::Leaving(key) => self.give_up_leaving(now, key),
                Timer::Parting(key) => self.parted(now, key),
                Timer::Replaced(number) => self.farewell_due(now, number),
                Timer::Asked(id) => self.store_is_silent(now, id),
                Timer::Company => self.env.ask_what_waits(now),
                Timer::Clear => self.clear(now),
                Timer::Agent(run) => self.look_for_agent(now, run),
                Timer::Lost(key) => self.lost(now, key),
                Timer::Silent(key) => self.silent(now, key),
            }
        }
        self.too_long(now);
        self.end_next(now);
        self.env.tags.handle_deadline(now);
    }
}

impl Machine for NodeCore {
    type In = In;
    type Out = Out;

    fn handle(&mut self, now: Time, input: Input<In>) {
        self.notice_pause(now);
        self.env.streams.ports.pass(now);
        self.env.count_calls(now, self.calls.len());
        match input {
            Input::Message { from, bytes } if self.is_checking() => self.park(from, bytes),
            Input::Message { from, bytes } => self.message(now, from, bytes),
            Input::Fault { key, fault, quoted } => {
                send_failed(&mut self.env.layer, key, fault, &quoted);
            }
            Input::Deadline if self.is_checking() => self.check_deadline(now),
            Input::Deadline => self.deadline(now),
            Input::Other(input) => self.other(now, input),
        }
        self.settle(now);
    }

    fn poll_output(&mut self) -> Option<Output<Out>> {
        self.env.outputs.pop_front()
    }

    fn poll_deadline(&self) -> Option<Time> {
        if let Some(until) = self.checking_until() {
            return Some(until);
        }
        let env = &self.env;
        let deadlines = [
            env.timers.next(),
            env.layer.poll_deadline(),
            env.tags.poll_deadline(),
            env.ending.poll_deadline(),
            env.aging.next(),
        ];
        deadlines.into_iter().flatten().min()
    }
}
