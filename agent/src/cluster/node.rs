//! One node of the cluster as the agent knows it.

use super::config::HealthConfig;
use super::evidence::{Gone, Suspicion, Verdict};
use super::media::MediaEvidence;
use super::probes::Probes;
use holdline_relay::{GroupId, StreamId};
use holdline_wire::Time;
use holdline_wire::header::InstanceStore;
use holdline_wire::machine::LocalFault;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

/// A node, numbered by the agent when it joins; never reused. The relay knows it as the group
/// of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct NodeId(pub u32);

impl From<NodeId> for GroupId {
    fn from(node: NodeId) -> GroupId {
        GroupId(node.0)
    }
}

impl From<GroupId> for NodeId {
    fn from(group: GroupId) -> NodeId {
        NodeId(group.0)
    }
}

/// A node and the store that it names.
pub type NodeStore = (SocketAddr, Box<str>);

/// What the agent holds of a node's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// Listed, but it has answered no probe yet.
    Joining,
    /// It answers.
    Alive,
    /// It answers, takes no new calls, and is about to leave: it said so (spec: D34).
    Draining,
    /// Something speaks against it and it is being asked: no new calls if others are there.
    Suspect,
    /// Its calls are lost there. It is probed on.
    Dead,
    /// It cannot be reached from this machine, for a reason of ours (spec: X52). It is probed on.
    Unreachable,
    /// It said that it would leave, and did (spec: D34). It is probed on.
    Left,
    /// It answers again, but not for long enough (spec: X22).
    Returning,
}

/// The state with what belongs to it.
#[derive(Clone, Debug)]
pub(super) enum State {
    Joining,
    Alive,
    Suspect(Suspicion),
    Dead(Gone),
    /// With how many probes were answered in a row.
    Returning(u32),
}

/// How an incarnation compares with the one that was known (spec: X39).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Incarnation {
    /// The same, or none is told.
    Same,
    /// The process is a new one: its dialogs are gone.
    New,
    /// The message is of a process that is gone: late, and no sign of life.
    Stale,
}

/// How many former incarnations are remembered, and the longest that is taken.
const FORMER_MAX: usize = 4;
const INCARNATION_MAX: usize = 64;

/// The most refused streams that are excused at a time.
const EXCUSED_MAX: usize = 64;

/// The most traces of loss that are kept.
const LOST_MAX: usize = 32;

/// What a node that tells no incarnation has lost although it answers (spec: X39).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lost {
    /// The far port of a stream is closed.
    Stream(StreamId),
    /// A dialog is not known there: 481.
    Dialog(u64),
}

/// What is sent to a node does not leave this machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoWay {
    /// The newest time, and why.
    pub last: Time,
    pub kind: LocalFault,
}

/// The most deaths that are remembered as flaps.
const DEATHS_MAX: usize = 8;

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub address: SocketAddr,
    /// In the document; a node that is not is kept while it carries calls (spec: X11).
    pub listed: bool,
    pub active: bool,
    pub calls: usize,
    /// Attempts that it may still answer.
    pub attempts: usize,
    pub state: State,
    pub probes: Probes,
    pub media: MediaEvidence,
    /// When the next regular probe goes out.
    pub next_probe: Time,
    /// The node's share of the probing interval (spec: D20).
    pub phase: Duration,
    /// Silence counts from here: the last sign of life, or later where our own lateness or the
    /// silence of everybody is taken off (spec: X21).
    pub origin: Time,
    /// The same for answers to probes alone (spec: D34).
    pub answer_origin: Time,
    /// The last sign of life, for people.
    pub last_heard: Option<Time>,
    pub utilization: Option<(u8, Time)>,
    /// It is about to leave, and said so.
    pub draining: bool,
    /// The store that it works with, as it says.
    pub store: Option<InstanceStore>,
    /// It answered a probe with 503: alive, but it wants no new call.
    pub refuses_calls: bool,
    /// Before this it wants no call at all: it said so (spec: X24).
    pub paused_until: Time,
    /// Since it had no room: it need not be waited for once it says that it has (spec: X51).
    pub no_room: bool,
    pub incarnation: Option<String>,
    former: VecDeque<String>,
    /// Streams whose refusals a probe's answer has explained.
    excused: BTreeSet<StreamId>,
    pub media_refusals_from: Time,
    /// The same for requests in dialogs that went wrong.
    pub troubles_from: Time,
    /// What it lost of late, and when that showed first.
    lost: BTreeMap<Lost, Time>,
    /// Before this nothing is noted as lost: the calls are still on their way elsewhere.
    lost_from: Time,
    pub deaths: VecDeque<Time>,
    pub verdict: Option<Verdict>,
    /// What is sent to it does not leave this machine.
    pub no_way: Option<NoWay>,
    /// When it answered a probe last, and when something other than probes was sent to it.
    pub last_answer: Option<Time>,
    pub signalled: Option<Time>,
}

impl Node {
    pub fn new(now: Time, address: SocketAddr, active: bool, phase: Duration) -> Node {
        Node {
            address,
            listed: true,
            active,
            calls: 0,
            attempts: 0,
            state: State::Joining,
            probes: Probes::default(),
            media: MediaEvidence::default(),
            next_probe: now,
            phase,
            origin: now,
            answer_origin: now,
            last_heard: None,
            utilization: None,
            draining: false,
            store: None,
            refuses_calls: false,
            paused_until: Time::ZERO,
            no_room: false,
            incarnation: None,
            former: VecDeque::new(),
            excused: BTreeSet::new(),
            media_refusals_from: Time::ZERO,
            troubles_from: Time::ZERO,
            lost: BTreeMap::new(),
            lost_from: Time::ZERO,
            deaths: VecDeque::new(),
            verdict: None,
            no_way: None,
            last_answer: None,
            signalled: None,
        }
    }

    pub fn node_state(&self) -> NodeState {
        match self.state {
            State::Joining => NodeState::Joining,
            State::Alive if self.draining => NodeState::Draining,
            State::Alive => NodeState::Alive,
            State::Suspect(_) => NodeState::Suspect,
            State::Dead(Gone::Unreachable) => NodeState::Unreachable,
            State::Dead(Gone::Left) => NodeState::Left,
            State::Dead(Gone::Dead) => NodeState::Dead,
            State::Returning(_) => NodeState::Returning,
        }
    }

    /// The suspicion under way.
    pub fn suspicion(&self) -> Option<&Suspicion> {
        match &self.state {
            State::Suspect(suspicion) => Some(suspicion),
            _ => None,
        }
    }

    /// The same, to change it.
    pub fn suspicion_mut(&mut self) -> Option<&mut Suspicion> {
        match &mut self.state {
            State::Suspect(suspicion) => Some(suspicion),
            _ => None,
        }
    }

    /// Whether the node has been heard and is not given up: its silence means something.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Alive | State::Suspect(_))
    }

    /// The first moment after `now` of this node's own share of the interval: however many
    /// nodes there are and whenever they joined, their probes are spread (spec: D20).
    pub fn schedule_probe(&mut self, now: Time, config: &HealthConfig) {
        let interval = config.probe_interval.as_nanos().max(1) as u64;
        let phase = self.phase.as_nanos() as u64 % interval;
        let round = now.as_nanos().saturating_sub(phase) / interval;
        let mut next = round * interval + phase;
        if next <= now.as_nanos() {
            next += interval;
        }
        self.next_probe = Time::from_nanos(next);
    }

    /// Remembers what a message told of the process.
    pub fn take_incarnation(&mut self, told: Option<&str>) -> Incarnation {
        let Some(told) = told.filter(|t| !t.is_empty() && t.len() <= INCARNATION_MAX) else {
            return Incarnation::Same;
        };
        match &self.incarnation {
            Some(known) if known == told => Incarnation::Same,
            _ if self.former.iter().any(|f| f == told) => Incarnation::Stale,
            known => {
                let first = known.is_none();
                if self.former.len() == FORMER_MAX {
                    self.former.pop_front();
                }
                self.former
                    .extend(self.incarnation.replace(told.to_owned()));
                if first {
                    Incarnation::Same
                } else {
                    Incarnation::New
                }
            }
        }
    }

    /// Whether a refused packet of this stream says anything new.
    pub fn takes_media_refusal(&self, now: Time, stream: StreamId) -> bool {
        now >= self.media_refusals_from && !self.excused.contains(&stream)
    }

    /// The node answers: what these streams met is their own affair (spec: X20).
    pub fn excuse(&mut self, now: Time, streams: &[StreamId], config: &HealthConfig) {
        for &stream in streams {
            if self.excused.len() == EXCUSED_MAX {
                self.excused.pop_first();
            }
            self.excused.insert(stream);
        }
        if !streams.is_empty() {
            self.media_refusals_from = now + config.refusal_pause;
        }
    }

    /// Notes what the node lost, once each.
    pub fn note_lost(&mut self, now: Time, lost: Lost, config: &HealthConfig) {
        self.lost
            .retain(|_, at| now.since(*at) < config.lost_window);
        if self.lost.len() < LOST_MAX && now >= self.lost_from {
            self.lost.entry(lost).or_insert(now);
        }
    }

    /// Whether a node that tells no incarnation has lost so much, and nothing was heard of its
    /// media since, that its process must be a new one (spec: X39).
    pub fn lost_its_memory(&self, now: Time, config: &HealthConfig) -> bool {
        let fresh = |at: &&Time| now.since(**at) < config.lost_window;
        let fresh = || self.lost.values().filter(fresh);
        let enough = config.lost_traces.min(self.calls).max(2);
        let first = fresh().min().copied().unwrap_or(now);
        self.incarnation.is_none() && fresh().count() >= enough && !self.media.heard_after(first)
    }

    /// Takes off time in which nothing of the node could be heard (spec: X21).
    pub fn shift_silence(&mut self, now: Time, by: Duration) {
        self.origin = (self.origin + by).min(now).max(self.origin);
        self.answer_origin = (self.answer_origin + by).min(now).max(self.answer_origin);
    }

    /// What was known of a process that is gone is forgotten; the path's RTT and loss stay.
    pub fn forget_process(&mut self, now: Time, config: &HealthConfig) {
        self.lost_from = now + config.lost_window;
        self.probes.forget();
        self.media.forget();
        self.excused.clear();
        self.lost.clear();
        self.utilization = None;
        self.refuses_calls = false;
        if std::mem::take(&mut self.no_room) {
            self.paused_until = Time::ZERO;
        }
    }

    /// It tells its utilization; whether that ends a pause for want of room.
    pub fn take_utilization(&mut self, now: Time, percent: u8) -> bool {
        let told = percent.min(100);
        let before = self.utilization.replace((told, now));
        let fell = told < 100 && before.is_some_and(|(before, _)| before == 100);
        let ends = fell && std::mem::take(&mut self.no_room);
        if ends {
            self.paused_until = Time::ZERO;
        }
        ends
    }

    /// Notes a death, for flap damping (spec: X22).
    pub fn note_death(&mut self, now: Time) {
        if self.deaths.len() == DEATHS_MAX {
            self.deaths.pop_front();
        }
        self.deaths.push_back(now);
    }

    /// Deaths within the flap memory.
    pub fn flaps(&self, now: Time, config: &HealthConfig) -> u32 {
        let recent = |at: &&Time| now.since(**at) < config.flap_memory;
        self.deaths.iter().filter(recent).count() as u32
    }

    /// Answered probes in a row that bring it back: doubled with each flap (spec: X22).
    pub fn return_run(&self, now: Time, config: &HealthConfig) -> u32 {
        let doublings = self.flaps(now, config).saturating_sub(1).min(16);
        config
            .return_run
            .saturating_mul(1 << doublings)
            .min(config.return_run_max)
            .max(1)
    }

    /// Answers that are still missing before a node that was dead is used again (spec: X22).
    pub fn answers_needed(&self, now: Time, config: &HealthConfig) -> Option<u32> {
        let run = match self.state {
            State::Dead(_) => 0,
            State::Returning(run) => run,
            _ => return None,
        };
        Some(self.return_run(now, config).saturating_sub(run))
    }

    /// Whether it wants new calls at all (spec: D14, D34).
    pub fn takes_calls(&self) -> bool {
        self.active && !self.draining
    }

    /// Free capacity in percent, 0..=100 (spec: D22, D23).
    pub fn free(&self, now: Time, config: &HealthConfig) -> u8 {
        if self.refuses_calls {
            return 0;
        }
        100 - self.believed_utilization(now, config).min(100)
    }

    /// The utilization that counts now (spec: D22).
    pub fn believed_utilization(&self, now: Time, config: &HealthConfig) -> u8 {
        match self.utilization {
            Some((told, at)) if now.since(at) <= config.utilization_fresh => told,
            _ => config.utilization_unknown,
        }
    }
}
