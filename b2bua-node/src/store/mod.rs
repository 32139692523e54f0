//! The shared memory of a cluster: which dialogs live, and how to reach the downstream UA of each
//! (spec: D2, D30, X30). Operations are data, so that a core can ask without waiting, and what
//! they mean is written once ([`rules`]) for every engine.

pub mod memory;
pub mod rules;
pub mod service;
pub mod sqlite;

#[cfg(test)]
mod tests;

pub use memory::MemoryStore;
pub use sqlite::{SqliteError, SqliteStore};

use holdline_wire::attempt::AttemptRecord;
use holdline_wire::dialog::DialogId;
use holdline_wire::record::DialogRecord;
use std::sync::Arc;
use std::time::Duration;

/// How long it is remembered that a dialog is over or has moved, so that 603 and 481 can be told
/// apart.
pub const REMEMBERED: Duration = Duration::from_secs(60);
/// How long an attempt that nobody answered is remembered: no call rings longer (timer C, RFC
/// 3261 16.6).
pub const RINGING: Duration = Duration::from_secs(185);
/// How long a row lives whose call was never taken off: its node and its agent both died.
pub const LONGEST_CALL: Duration = Duration::from_secs(48 * 3600);

/// One thing asked of the store. Each names the dialog towards the agent as its node sees it: the
/// local tag is the node's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A call is up, or its downstream target changed.
    Put {
        /// What to keep.
        record: Arc<DialogRecord>,
    },
    /// A call is about to be placed, or rings now (spec: X26).
    Note {
        /// What others need to take it back.
        attempt: Arc<AttemptRecord>,
    },
    /// A call has no caller any more: whoever asks ends it downstream (spec: X26, X27). A dialog
    /// that is not known is marked as over, lest a node that stood still bring it up.
    Orphan {
        /// The dialog; without the node's tag where the call was not answered.
        upstream: DialogId,
        /// The trunk that says so.
        trunk: Box<str>,
    },
    /// A failover call asks for the dialog that it replaces. A later claim wins over an earlier
    /// one that was not followed by a [`Op::Replace`].
    Claim {
        /// The dialog in its Replaces header.
        replaced: DialogId,
        /// Attempts to replace it that died with their nodes before the agent heard of their
        /// success, each without the node's tag: where one did succeed, its dialog is claimed.
        abandoned: Vec<DialogId>,
        /// The incarnation that asks.
        by: Box<str>,
    },
    /// A failover call is up: its row takes the old one's place, if the old one is still at the
    /// generation before it.
    Replace {
        /// The dialog that was replaced.
        replaced: DialogId,
        /// The new call's record, one generation later.
        record: Arc<DialogRecord>,
    },
    /// A call is over. Leaves rows alone that moved, or that another incarnation has claimed.
    Delete {
        /// The call's dialog.
        upstream: DialogId,
        /// The incarnation that carried it.
        by: Box<str>,
    },
    /// Reads a call's record, for a transfer that names its dialog (spec: D32).
    Find {
        /// The dialog.
        upstream: DialogId,
    },
    /// Which of these calls belong to somebody else by now (spec: X28).
    Check {
        /// The dialogs.
        dialogs: Vec<DialogId>,
        /// The incarnation that asks.
        by: Box<str>,
    },
}

/// What the store says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Done and committed.
    Done,
    /// The claimed dialog's record.
    Claimed(Arc<DialogRecord>),
    /// The record that [`Op::Find`] asked for, or that of an orphan which was answered.
    Found(Arc<DialogRecord>),
    /// The orphan may still ring.
    Rings(Arc<AttemptRecord>),
    /// No such dialog is known.
    Unknown,
    /// The dialog was ended.
    Over,
    /// The dialog has moved; its generation now.
    Moved(u32),
    /// For [`Op::Check`]: true where somebody else has the call.
    Checked(Vec<bool>),
    /// The store cannot be reached, or has too much to do.
    Down,
}

/// An operation with the number that its reply will carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreRequest {
    /// Drawn by the core, never reused.
    pub id: u64,
    /// What to do.
    pub op: Op,
}

/// The reply to a [`StoreRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreReply {
    /// The request's number.
    pub id: u64,
    /// The answer.
    pub answer: Answer,
}

/// An engine. Batches are committed as a whole: a reply is given only for what will be there
/// after a crash of the process.
pub trait Store {
    /// The store's name, a token drawn once when it was made: nodes with the same one share their
    /// calls.
    fn identity(&self) -> &str;

    /// Does `batch` in order at `now`, since 1970.
    fn perform(&mut self, now: Duration, batch: &[StoreRequest]) -> Vec<StoreReply>;
}
