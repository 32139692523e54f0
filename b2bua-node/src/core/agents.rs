//! The agents that this node hears, each process by itself, and the calls of each: who is gone is
//! told here, what becomes of the calls in [`super::lost`].
//!
//! An agent says in its OPTIONS and INVITEs who it is (`Instance-Agent`). Who does not belongs to
//! its address, and is missed only if it was heard to probe: others are silent for hours and well.

use crate::core::keys::RunId;
use holdline_b2bua::CallKey;
use holdline_wire::Time;
use holdline_wire::header::InstanceAgent;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

/// The least silence that is one: a few probes at the longest usual interval.
const SILENCE_MIN: Duration = Duration::from_secs(5);
/// So many times its interval an agent that probes may be silent.
const SILENCE_INTERVALS: u32 = 5;
/// The longest interval that is believed.
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// The usual interval, of which nothing is known after one probe.
const INTERVAL_MIN: Duration = Duration::from_millis(250);
/// How much later than its interval a probe may come, for who is to be told something with its answer.
const SLACK: Duration = Duration::from_millis(100);
/// Processes that are known at most; beyond, who was not heard for the longest time and has no
/// call gives way.
const KNOWN_MAX: usize = 1024;

/// A process of an agent.
#[derive(Debug)]
struct Run {
    name: InstanceAgent,
    /// When it was heard last.
    heard: Time,
    /// How many probes were heard, and the interval between them, of late.
    probes: u32,
    probed: Time,
    interval: Duration,
    gone: bool,
    calls: BTreeSet<CallKey>,
}

/// What a message changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    /// Whose it is.
    pub run: Option<RunId>,
    /// It had been held for gone.
    pub back: bool,
    /// The process that it takes the place of.
    pub replaces: Option<RunId>,
}

/// All that are known.
#[derive(Debug, Default)]
pub(super) struct Agents {
    runs: BTreeMap<RunId, Run>,
    by_name: BTreeMap<InstanceAgent, RunId>,
    next: u32,
}

impl Run {
    /// Whether its silence says anything: it is known to probe.
    fn can_be_missed(&self) -> bool {
        !self.name.incarnation.is_empty() || self.probes > 1
    }

    fn patience(&self) -> Duration {
        let few = self.interval.saturating_mul(SILENCE_INTERVALS);
        few.max(SILENCE_MIN)
    }

    fn note_probe(&mut self, now: Time) {
        if self.probes > 0 {
            // It follows a slower pace at once and a faster one slowly.
            let gap = now.since(self.probed).min(INTERVAL_MAX);
            self.interval = gap.max(self.interval * 7 / 8);
        }
        self.probes = self.probes.saturating_add(1);
        self.probed = now;
    }
}

/// The name of who does not say one.
fn address_name(address: IpAddr) -> InstanceAgent {
    InstanceAgent {
        id: address.to_string().into(),
        incarnation: "".into(),
    }
}

impl Agents {
    /// A request came that belongs to no dialog, from `address`, and says that it is from `who`.
    pub fn heard(
        &mut self,
        now: Time,
        who: Option<InstanceAgent>,
        address: IpAddr,
        probe: bool,
    ) -> Heard {
        let name = who.unwrap_or_else(|| address_name(address));
        let mut heard = Heard::default();
        let id = match self.by_name.get(&name) {
            Some(id) => *id,
            None => {
                heard.replaces = self.newest_of(&name);
                let Some(id) = self.enter(now, name) else {
                    return heard;
                };
                id
            }
        };
        heard.run = Some(id);
        heard.back = self.heard_run(now, id);
        if let Some(run) = self.runs.get_mut(&id).filter(|_| probe) {
            run.note_probe(now);
        }
        heard
    }

    /// The process says something; whether it had been held for gone.
    pub fn heard_run(&mut self, now: Time, id: RunId) -> bool {
        self.runs.get_mut(&id).is_some_and(|run| {
            run.heard = now;
            std::mem::take(&mut run.gone)
        })
    }

    /// The last process of this agent that is not held for gone.
    fn newest_of(&self, name: &InstanceAgent) -> Option<RunId> {
        let named = |run: &Run| !run.name.incarnation.is_empty();
        let same = |run: &&Run| run.name.id == name.id && named(run) && !run.gone;
        let mut runs = self.runs.iter().rev();
        runs.find(|(_, run)| same(run)).map(|(id, _)| *id)
    }

    fn enter(&mut self, now: Time, name: InstanceAgent) -> Option<RunId> {
        if self.runs.len() >= KNOWN_MAX {
            let idle = self.runs.iter().filter(|(_, run)| run.calls.is_empty());
            let oldest = idle.min_by_key(|(_, run)| run.heard).map(|(id, _)| *id)?;
            self.forget(oldest);
        }
        let id = RunId(self.next);
        self.next = self.next.wrapping_add(1);
        self.by_name.insert(name.clone(), id);
        let run = Run {
            name,
            heard: now,
            probes: 0,
            probed: now,
            interval: Duration::ZERO,
            gone: false,
            calls: BTreeSet::new(),
        };
        self.runs.insert(id, run);
        Some(id)
    }

    fn forget(&mut self, id: RunId) {
        if let Some(run) = self.runs.remove(&id) {
            self.by_name.remove(&run.name);
        }
    }

    /// A call of this process begins; when to look whether it is missed.
    pub fn join(&mut self, id: RunId, key: CallKey) -> Option<Time> {
        let run = self.runs.get_mut(&id)?;
        run.calls.insert(key);
        Some(run.heard + run.patience())
    }

    /// It is over.
    pub fn leave(&mut self, id: RunId, key: CallKey) {
        if let Some(run) = self.runs.get_mut(&id) {
            run.calls.remove(&key);
        }
    }

    /// Whether the process is held for gone.
    pub fn is_gone(&self, id: RunId) -> bool {
        self.runs.get(&id).is_some_and(|run| run.gone)
    }

    /// Its calls.
    pub fn calls(&self, id: RunId) -> Vec<CallKey> {
        let run = self.runs.get(&id);
        run.into_iter()
            .flat_map(|run| run.calls.iter().copied())
            .collect()
    }

    /// Its agent's name.
    pub fn name(&self, id: RunId) -> &str {
        self.runs.get(&id).map_or("", |run| &run.name.id)
    }

    /// Those whose next two probes are still to come, and when the last of these is surely overdue. Who
    /// pings without saying that it is an agent does not read what we answer.
    pub fn expected(&self, now: Time) -> (BTreeSet<RunId>, Time) {
        let interval = |run: &Run| run.interval.clamp(INTERVAL_MIN, SILENCE_MIN);
        let due = |run: &Run| run.probed + interval(run) * 3 + SLACK;
        let reads = |run: &Run| run.probes > 0 && !run.gone && !run.name.incarnation.is_empty();
        let runs = self.runs.iter();
        let expected = runs.filter(|(_, run)| reads(run) && due(run) > now);
        let last = expected.clone().map(|(_, run)| due(run)).max();
        (expected.map(|(id, _)| *id).collect(), last.unwrap_or(now))
    }

    /// Holds the process for gone; false where it is already.
    pub fn lose(&mut self, id: RunId) -> bool {
        let run = self.runs.get_mut(&id);
        run.is_some_and(|run| !std::mem::replace(&mut run.gone, true))
    }

    /// Whether the process has been silent for too long; nobody could hear it before `since`. One
    /// that has no call is not missed.
    pub fn look(&mut self, now: Time, id: RunId, since: Time) -> Look {
        let Some(run) = self.runs.get(&id).filter(|run| !run.calls.is_empty()) else {
            return Look::Never;
        };
        let due = run.heard.max(since) + run.patience();
        if run.gone {
            Look::Never
        } else if !run.can_be_missed() {
            Look::Again(now + SILENCE_MIN)
        } else if due <= now {
            Look::Gone
        } else {
            Look::Again(due)
        }
    }
}

/// What a look at a process shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// It is gone.
    Gone,
    /// Look again then.
    Again(Time),
    /// There is nothing to look for.
    Never,
}
