//! What happened to each call, as both ends tell it.

use super::act::Step;
use super::mark::Side;
use crate::ua::{By, CallNumber, Out};
use holdline_wire::Time;
use serde::Serialize;

/// How the callee noticed that its call moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MoveKind {
    /// INVITE with Replaces.
    Replaces,
    /// A request in the old dialog with a new Contact.
    Takeover,
}

/// One move of a call.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Move {
    /// When the callee (or the caller) saw it, since the tool's start.
    pub at_ns: u64,
    /// Who saw it.
    pub seen_by: Side,
    /// How.
    pub kind: MoveKind,
}

/// How a call ended at one side.
#[derive(Clone, Debug, Serialize)]
pub struct Ending {
    /// When, since the tool's start.
    pub at_ns: u64,
    /// local, peer or timeout.
    pub by: &'static str,
    /// The refusal, or the answer to our BYE.
    pub status: u16,
    /// The Reason header.
    pub reason: Option<String>,
}

/// The answers to a step's re-INVITE.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Reinvite {
    /// The final status; `None` while none came.
    pub status: Option<u16>,
}

/// Something that the command line asked of a call during the observation.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Done {
    /// What.
    pub step: Step,
    /// By whom.
    pub by: Side,
    /// When, since the tool's start.
    pub at_ns: u64,
    /// The answer to its re-INVITE.
    pub status: Option<u16>,
}

/// One call's story.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Entry {
    /// When its INVITE left.
    pub placed_ns: u64,
    /// When both ends were up.
    pub up_ns: Option<u64>,
    /// Whether each end was answered, the caller first.
    pub answered: [bool; 2],
    /// Its moves.
    pub moves: Vec<Move>,
    /// How it ended, the caller first.
    pub ended: [Option<Ending>; 2],
    /// What was asked of it during the observation, the BYE left out.
    pub acts: Vec<Done>,
    /// Who was to hang up during the observation, if anyone.
    pub hung_up: Option<Side>,
    /// The last re-INVITE that we asked for, by who asked.
    #[serde(skip)]
    pub reinvite: Reinvite,
}

impl Entry {
    /// Whether it ended without ever having been up, for the one who placed it.
    fn has_failed(&self, placer: Side) -> bool {
        self.up_ns.is_none() && self.ended[placer.index()].is_some()
    }

    /// Whether it was up and both ends have seen its end.
    fn is_over(&self) -> bool {
        self.up_ns.is_some() && self.ended.iter().all(Option::is_some)
    }
}

/// All calls; number 1 is the first.
#[derive(Debug)]
pub struct Ledger {
    entries: Vec<Entry>,
    placer: Side,
    up: usize,
    failed: usize,
    over: usize,
}

impl Ledger {
    /// No call yet; `placer` will place them.
    pub fn new(placer: Side) -> Ledger {
        Ledger {
            entries: Vec::new(),
            placer,
            up: 0,
            failed: 0,
            over: 0,
        }
    }

    /// A call was placed.
    pub fn place(&mut self, now: Time) -> CallNumber {
        self.entries.push(Entry {
            placed_ns: now.as_nanos(),
            ..Entry::default()
        });
        self.entries.len() as CallNumber
    }

    /// All calls with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (CallNumber, &Entry)> {
        (1..).zip(&self.entries)
    }

    /// A call, if it is one of ours.
    pub fn get_mut(&mut self, call: CallNumber) -> Option<&mut Entry> {
        self.entries.get_mut((call as usize).checked_sub(1)?)
    }

    /// A call, if it is one of ours.
    pub fn get(&self, call: CallNumber) -> Option<&Entry> {
        self.entries.get((call as usize).checked_sub(1)?)
    }

    /// How many calls are up at both ends, ended ones included.
    pub fn up(&self) -> usize {
        self.up
    }

    /// How many calls are over without ever having been up.
    pub fn failed(&self) -> usize {
        self.failed
    }

    /// How many calls were up and are over at both ends.
    pub fn over(&self) -> usize {
        self.over
    }

    /// Takes an event of one end and gives its name in the progress lines.
    pub fn note(
        &mut self,
        now: Time,
        side: Side,
        event: &Out,
    ) -> Option<(CallNumber, &'static str)> {
        let call = match event {
            Out::Answered { call, .. } | Out::Ended { call, .. } => Some(*call),
            _ => None,
        };
        let count = |ledger: &Ledger| {
            let entry = call.and_then(|call| ledger.get(call))?;
            let failed = entry.has_failed(ledger.placer);
            Some([entry.up_ns.is_some(), failed, entry.is_over()].map(usize::from))
        };
        let before = count(self);
        let told = self.take(now, side, event);
        if let (Some(before), Some(after)) = (before, count(self)) {
            self.up += after[0] - before[0];
            self.failed = self.failed + after[1] - before[1];
            self.over += after[2] - before[2];
        }
        told
    }

    fn take(&mut self, now: Time, side: Side, event: &Out) -> Option<(CallNumber, &'static str)> {
        let at_ns = now.as_nanos();
        match event {
            Out::Answered { call, .. } => {
                let entry = self.get_mut(*call)?;
                entry.answered[side.index()] = true;
                if entry.answered == [true, true] {
                    entry.up_ns.get_or_insert(at_ns);
                }
                Some((*call, "answered"))
            }
            Out::Replaced { call, .. } => {
                let seen = Move {
                    at_ns,
                    seen_by: side,
                    kind: MoveKind::Replaces,
                };
                self.get_mut(*call)?.moves.push(seen);
                Some((*call, "replaced"))
            }
            Out::TargetMoved { call, .. } => {
                let seen = Move {
                    at_ns,
                    seen_by: side,
                    kind: MoveKind::Takeover,
                };
                self.get_mut(*call)?.moves.push(seen);
                Some((*call, "target_moved"))
            }
            Out::Reinvited { call, status, .. } => {
                let entry = self.get_mut(*call)?;
                entry.reinvite.status = Some(*status);
                let waits = |act: &&mut Done| act.by == side && act.status.is_none();
                if let Some(act) = entry.acts.iter_mut().find(waits) {
                    act.status = Some(*status);
                }
                Some((*call, "reinvited"))
            }
            Out::Ended {
                call,
                by,
                reason,
                status,
            } => {
                let by = match by {
                    By::Local => "local",
                    By::Peer => "peer",
                    By::Timeout => "timeout",
                };
                let ending = Ending {
                    at_ns,
                    by,
                    status: *status,
                    reason: reason.clone(),
                };
                self.get_mut(*call)?.ended[side.index()] = Some(ending);
                Some((*call, "ended"))
            }
            Out::MediaChanged { call, .. } => Some((*call, "media_changed")),
            _ => None,
        }
    }
}
