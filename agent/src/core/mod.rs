//! The agent's core: one pure state machine that owns every call.

mod asking;
mod attempt;
mod call;
mod call_signals;
mod callers;
mod cluster_events;
mod departure;
mod dispatch;
mod env;
mod event;
mod failover;
mod faults;
mod keys;
mod leaving;
mod left;
mod limits;
mod new_call;
mod pacing;
mod ports;
mod refusal;
mod refused;
mod settings;
mod status;
mod story;
mod telling;
#[cfg(test)]
mod tests;
mod transfer;
mod turn;
mod untold;

pub use event::{Event, In, Operator, Out, Steps};
pub use holdline_b2bua::CallKey;
pub use pacing::{Bounds, FarEndTold};
pub use settings::{Limits, Moving, Pace, Settings, Targets};
pub use status::{FailoverStatus, Status};

use crate::cluster::Cluster;
use call::Call;
use env::Env;
use holdline_leg::Signal;
use holdline_wire::machine::{Input, Machine, Output};
use holdline_wire::{Message, Time};
use keys::Timer;
use slotmap::SlotMap;
use story::Failovers;
use turn::Turn;

/// The agent as a state machine: see [`Machine`].
pub struct AgentCore {
    env: Env,
    /// Boxed, so that the table grows without moving thousands of calls.
    calls: SlotMap<CallKey, Box<Call>>,
    failovers: Failovers,
    draining: bool,
    /// REFERs of the calling server that name a call on the move.
    refers: Vec<(CallKey, Signal)>,
}

impl AgentCore {
    /// A core without nodes and calls. The same `seed` and inputs give the same outputs.
    pub fn new(settings: Settings, seed: [u8; 32]) -> AgentCore {
        AgentCore {
            env: Env::new(settings, seed),
            calls: SlotMap::with_key(),
            failovers: Failovers::default(),
            draining: false,
            refers: Vec::new(),
        }
    }

    /// The cluster as the core sees it.
    pub fn cluster(&self) -> &Cluster {
        &self.env.cluster
    }

    /// Live calls.
    pub fn live_calls(&self) -> usize {
        self.calls.len()
    }

    /// Media port pairs in use.
    pub fn ports_in_use(&self) -> usize {
        self.env.streams.ports.usage().0
    }

    /// Live client and server transactions.
    pub fn transactions(&self) -> (usize, usize) {
        self.env.layer.len()
    }

    /// Legs that can be found by their tag, those of moved calls included until they expire.
    pub fn dialogs(&self) -> usize {
        self.env.tags.len()
    }

    /// Only now, never beside another input: what is about to be heard may be just the answer that
    /// is overdue, and is heard first (spec: X21).
    fn on_deadline(&mut self, now: Time) {
        self.env.layer.handle_deadline(now);
        self.env.cluster.handle_deadline(now);
        while let Some(timer) = self.env.timers.pop(now) {
            self.on_timer(now, timer);
        }
        self.too_long(now);
        self.next_turns(now);
        self.env.tags.handle_deadline(now);
    }

    fn on_timer(&mut self, now: Time, timer: Timer) {
        match timer {
            Timer::Launch(key) => self.departure_due(now, key),
            Timer::Attempt(key, epoch) => self.attempt_unanswered(now, key, epoch),
            Timer::HoldOver(key) => self.hold_over(now, key),
            Timer::Comfort(key) => self.comfort(key),
            Timer::SetupOver(key) => self.setup_over(now, key),
            Timer::FarEnds => self.env.far_ends_due(now),
            Timer::Silent(key) => self.silent(now, key),
            Timer::Ask(key) => self.turn(now, key, Turn::Ask),
        }
    }

    fn on_other(&mut self, now: Time, input: In) {
        match input {
            In::Media(report) => self.on_report(now, report),
            In::Trunk(document) => self.on_trunk(now, document),
            In::LoopLate(late) => {
                self.was_late(now, late);
                self.env.cluster.loop_late(now, late);
            }
            In::Operator(Operator::Drain) => self.draining = true,
        }
    }

    /// Runs everything that follows from an input until nothing is left to do.
    fn settle(&mut self, now: Time) {
        loop {
            if let Some(output) = self.env.layer.poll_output() {
                self.on_layer(now, output);
            } else if let Some(key) = self.env.touched.pop_first() {
                self.pump(now, key);
            } else if let Some(event) = self.env.cluster.poll_event() {
                self.on_cluster(now, event);
            } else if self.env.pacing.take_stirred() {
                self.let_leave(now);
            } else {
                return;
            }
        }
    }
}

impl Machine for AgentCore {
    type In = In;
    type Out = Out;

    fn handle(&mut self, now: Time, input: Input<In>) {
        self.env.streams.ports.pass(now);
        match input {
            Input::Message { from, bytes } => match Message::parse(bytes) {
                Ok(message) => self.on_message(now, from, message),
                Err(error) => self.on_garbage(from, error),
            },
            Input::Fault { key, fault, quoted } => self.on_fault(now, key, fault, &quoted),
            Input::Deadline => self.on_deadline(now),
            Input::Other(other) => self.on_other(now, other),
        }
        self.settle(now);
    }

    fn poll_output(&mut self) -> Option<Output<Out>> {
        self.env.outputs.pop_front()
    }

    fn poll_deadline(&self) -> Option<Time> {
        let env = &self.env;
        let deadlines = [
            env.timers.next(),
            env.layer.poll_deadline(),
            env.cluster.poll_deadline(),
            env.tags.poll_deadline(),
            env.turns.poll_deadline(),
            env.aging.next(),
        ];
        deadlines.into_iter().flatten().min()
    }
}
