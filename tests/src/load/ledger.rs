//! What happened to each call, as both ends tell it.

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
    /// The last re-INVITE that we asked for, by who asked.
    #[serde(skip)]
    pub reinvite: Reinvite,
}

/// All calls; number 1 is the first.
#[derive(Debug, Default)]
pub struct Ledger {
    entries: Vec<Entry>,
}

impl Ledger {
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

    /// How many calls are up at both ends, ended ones included.
    pub fn up(&self) -> usize {
        self.entries
            .iter()
            .filter(|entry| entry.up_ns.is_some())
            .count()
    }

    /// How many calls are over without ever having been up.
    pub fn failed(&self) -> usize {
        let failed = |e: &&Entry| e.up_ns.is_none() && e.ended[Side::Caller.index()].is_some();
        self.entries.iter().filter(failed).count()
    }

    /// Takes an event of one end and gives its name in the progress lines.
    pub fn note(
        &mut self,
        now: Time,
        side: Side,
        event: &Out,
    ) -> Option<(CallNumber, &'static str)> {
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
                self.get_mut(*call)?.reinvite.status = Some(*status);
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
