//! What was seen of each call, and the verdicts on it.

use super::plan::{Act, End};
use crate::ua::{By, CallNumber, Out};
use holdline_agent::core::Event as AgentEvent;
use holdline_wire::Time;
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// When it was noticed.
    pub at: Time,
    /// The call, if it is about one.
    pub call: Option<CallNumber>,
    /// What.
    pub what: String,
}

impl Failure {
    /// What is known before the world begins, or of no moment in it.
    pub fn at_start(what: String) -> Failure {
        Failure {
            at: Time::ZERO,
            call: None,
            what,
        }
    }
}

/// How a call ended at one end.
#[derive(Clone, Debug)]
pub struct Ending {
    /// When.
    pub at: Time,
    /// Who ended it.
    pub by: By,
    /// The Reason header.
    pub reason: Option<String>,
    /// The refusal, or the answer to the BYE.
    pub status: u16,
}

/// One call as seen from outside.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The node in charge, as the agent told.
    pub node: Option<SocketAddr>,
    /// When each end was connected.
    pub answered: BTreeMap<End, Time>,
    /// How it ended at each end.
    pub ended: BTreeMap<End, Ending>,
    /// When it was hung up by plan.
    pub hung_up: Option<(Time, End)>,
    /// Whether each end holds the other.
    pub holds: BTreeMap<End, bool>,
    /// The last re-INVITE of each end: when it was asked for, and its final status.
    pub reinvited: BTreeMap<End, (Time, Option<u16>)>,
    /// The end whose last re-INVITE was refused: what holds then is up to it.
    pub unsure: Option<End>,
    /// Re-INVITEs asked for by each end.
    pub asked: BTreeMap<End, u32>,
    /// How often the agent placed it while it was being set up.
    pub placed: u32,
    /// How often the agent told that it moved.
    pub moved: u32,
    /// That it was lost, with the last refusal.
    pub lost: Option<u16>,
    /// Why it ended, in the agent's word; and how often that was told.
    pub cause: Option<&'static str>,
    /// How often its end was told.
    pub told_ended: u32,
    /// Failover INVITEs of the agent for it, first transmissions.
    pub replaces_sent: u32,
    /// Since when media flow exactly as both ends want.
    pub good_since: Option<Time>,
    /// Whether the agent had it on the node that died.
    pub on_victim: bool,
    /// Whether it was up there.
    pub affected: bool,
    /// When media were good for the first time after the death.
    pub recovered: Option<Time>,
}

/// All calls.
#[derive(Debug, Default)]
pub struct Watch {
    calls: BTreeMap<CallNumber, Seen>,
    by_call_id: HashMap<Box<str>, CallNumber>,
    /// What must not be.
    pub failures: Vec<Failure>,
    /// Nodes that the agent holds for dead, and since when.
    pub condemned: BTreeMap<SocketAddr, Time>,
    /// When nodes were held for dead.
    pub verdicts: Vec<(Time, SocketAddr)>,
    /// When nodes could be used, for the first time or again.
    pub returns: Vec<(Time, SocketAddr)>,
}

impl Watch {
    /// What is known of a call.
    pub fn call(&mut self, call: CallNumber) -> &mut Seen {
        self.calls.entry(call).or_default()
    }

    /// What is known of a call that was placed.
    pub fn seen(&self, call: CallNumber) -> Option<&Seen> {
        self.calls.get(&call)
    }

    /// All calls.
    pub fn calls(&self) -> impl Iterator<Item = (CallNumber, &Seen)> {
        self.calls.iter().map(|(number, seen)| (*number, seen))
    }

    /// Notes a fault.
    pub fn fail(&mut self, at: Time, call: Option<CallNumber>, what: impl Into<String>) {
        if self.failures.len() < 200 {
            self.failures.push(Failure {
                at,
                call,
                what: what.into(),
            });
        }
    }

    /// The call whose INVITE of the calling server has this Call-ID.
    pub fn learn_call_id(&mut self, call: CallNumber, call_id: &str) {
        self.by_call_id.insert(call_id.into(), call);
    }

    /// The call with this Call-ID.
    pub fn call_of(&self, call_id: &str) -> Option<CallNumber> {
        self.by_call_id.get(call_id).copied()
    }

    /// What a user agent told; `twice` where its end may come twice.
    pub fn heard_ua(&mut self, at: Time, end: End, out: &Out, twice: bool) {
        match out {
            Out::Answered { call, .. } => {
                self.call(*call).answered.insert(end, at);
            }
            Out::Reinvited { call, status, .. } => {
                let seen = self.call(*call);
                if let Some(last) = seen.reinvited.get_mut(&end) {
                    last.1 = Some(*status);
                }
                if *status >= 300 {
                    seen.unsure = Some(end);
                } else if seen.unsure == Some(end) {
                    seen.unsure = None;
                }
            }
            Out::Ended {
                call,
                by,
                reason,
                status,
            } => {
                let ending = Ending {
                    at,
                    by: *by,
                    reason: reason.clone(),
                    status: *status,
                };
                let seen = self.call(*call);
                if seen.ended.insert(end, ending).is_some() && !twice {
                    self.fail(at, Some(*call), format!("ended twice at the {end:?}"));
                }
            }
            _ => {}
        }
    }

    /// What the agent told.
    pub fn heard_agent(&mut self, at: Time, event: &AgentEvent, broken_document: bool) {
        match event {
            AgentEvent::CallPlaced { call, node } => {
                if let Some(number) = self.call_of(call) {
                    self.call(number).placed += 1;
                }
                self.placed(at, call, *node);
            }
            AgentEvent::CallMoved { call, node, .. } => {
                if let Some(number) = self.call_of(call) {
                    self.call(number).moved += 1;
                }
                self.placed(at, call, *node);
            }
            AgentEvent::CallEnded { call, cause, .. } => {
                if let Some(number) = self.call_of(call) {
                    let seen = self.call(number);
                    seen.cause = Some(cause.as_str());
                    seen.told_ended += 1;
                }
            }
            AgentEvent::CallLost { call, status, .. } => {
                if let Some(number) = self.call_of(call) {
                    self.call(number).lost = Some(*status);
                }
            }
            // Without a verdict it was restarted: it lives and takes calls (spec: X39).
            AgentEvent::NodeGone { node, .. } => {
                self.verdicts.push((at, *node));
                self.condemned.insert(*node, at);
            }
            AgentEvent::NodeAlive { node } => {
                self.returns.push((at, *node));
                self.condemned.remove(node);
            }
            AgentEvent::TrunkRefused { reason } if !broken_document => {
                self.fail(at, None, format!("good trunk document refused: {reason}"));
            }
            _ => {}
        }
    }

    fn placed(&mut self, at: Time, call_id: &str, node: SocketAddr) {
        let Some(number) = self.call_of(call_id) else {
            return;
        };
        self.call(number).node = Some(node);
        if self.condemned.contains_key(&node) {
            // spec: D5
            self.fail(at, Some(number), format!("placed on {node}, which is dead"));
        }
    }

    /// The re-INVITE of a plan's step was asked for.
    pub fn asked(&mut self, at: Time, call: CallNumber, end: End, act: Act) {
        let seen = self.call(call);
        match act {
            Act::Hangup => seen.hung_up = Some((at, end)),
            Act::Hold | Act::Unhold => {
                seen.holds.insert(end, act == Act::Hold);
                // Before that it is the answer that says so.
                if seen.answered.contains_key(&end) {
                    seen.reinvited.insert(end, (at, None));
                    *seen.asked.entry(end).or_default() += 1;
                }
            }
        }
    }

    /// Whether media of `call` are as they should be: `(to callee, to caller)` flow now.
    pub fn judge_media(&mut self, at: Time, call: CallNumber, flows: (bool, bool), death: Time) {
        let seen = self.call(call);
        let holds = |end: End| seen.holds.get(&end).copied().unwrap_or(false);
        // Who holds goes on sending; who is held does not.
        let wanted = (!holds(End::Callee), !holds(End::Caller));
        let good = match seen.unsure {
            None => flows == wanted,
            Some(End::Caller) => flows.0 == wanted.0,
            Some(End::Callee) => flows.1 == wanted.1,
        };
        if !good {
            seen.good_since = None;
        } else {
            seen.good_since.get_or_insert(at);
            if at > death {
                seen.recovered.get_or_insert(at);
            }
        }
    }
}
