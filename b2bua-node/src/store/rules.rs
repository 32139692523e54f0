//! What the operations mean, on any table of rows.

use super::{Answer, LONGEST_CALL, Op, REMEMBERED, RINGING};
use holdline_wire::attempt::AttemptRecord;
use holdline_wire::dialog::DialogId;
use holdline_wire::record::DialogRecord;
use std::sync::Arc;
use std::time::Duration;

/// Moves of one call that are followed at most.
const CHAIN: usize = 16;

/// What became of a dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its call is being placed and has not been answered.
    Rings(Arc<AttemptRecord>),
    /// It lives, as far as the store knows.
    Live(Arc<DialogRecord>),
    /// It was ended.
    Over,
    /// Its call lives on in another dialog, at this generation.
    Moved(u32),
}

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What became of the dialog.
    pub fate: Fate,
    /// The incarnation that claimed it last.
    pub claimed_by: Option<Box<str>>,
    /// For one that moved: the dialog in which its call lives on.
    pub next: Option<DialogId>,
    /// When the row may be forgotten, since 1970.
    pub until: Duration,
}

/// Rows by dialog.
pub trait Table {
    /// Why the table cannot be used.
    type Error;
    /// The row of `key`.
    fn get(&mut self, key: &DialogId) -> Result<Option<Row>, Self::Error>;
    /// Writes the row of `key`.
    fn set(&mut self, key: &DialogId, row: Row) -> Result<(), Self::Error>;
}

/// Does one operation.
pub fn perform<T: Table>(table: &mut T, now: Duration, op: &Op) -> Result<Answer, T::Error> {
    match op {
        Op::Put { record } => put(table, now, record),
        Op::Note { attempt } => note(table, now, attempt),
        Op::Orphan { upstream, trunk } => orphan(table, now, upstream, trunk),
        Op::Claim {
            replaced,
            abandoned,
            by,
        } => claim(table, now, replaced, abandoned, by),
        Op::Replace { replaced, record } => replace(table, now, replaced, record),
        Op::Delete { upstream, by } => delete(table, now, upstream, by),
        Op::Find { upstream } => Ok(match latest(table, now, upstream)?.1.map(|row| row.fate) {
            Some(Fate::Live(record)) => Answer::Found(record),
            Some(Fate::Moved(generation)) => Answer::Moved(generation),
            Some(Fate::Over) => Answer::Over,
            Some(Fate::Rings(_)) | None => Answer::Unknown,
        }),
        Op::Check { dialogs, by } => {
            let taken = dialogs
                .iter()
                .map(|dialog| is_taken(table, now, dialog, by));
            Ok(Answer::Checked(taken.collect::<Result<_, _>>()?))
        }
    }
}

/// A row that says that its dialog is over.
fn over(until: Duration) -> Row {
    Row {
        fate: Fate::Over,
        claimed_by: None,
        next: None,
        until,
    }
}

/// The row, unless its time is over: a row that lingers is as good as none.
fn read<T: Table>(table: &mut T, now: Duration, key: &DialogId) -> Result<Option<Row>, T::Error> {
    Ok(table.get(key)?.filter(|row| row.until > now))
}

/// The dialog in which the call of `key` lives now, however often it has moved.
fn latest<T: Table>(
    table: &mut T,
    now: Duration,
    key: &DialogId,
) -> Result<(DialogId, Option<Row>), T::Error> {
    let mut key = key.clone();
    let mut row = read(table, now, &key)?;
    for _ in 0..CHAIN {
        let Some(next) = row.as_ref().and_then(|row| row.next.clone()) else {
            break;
        };
        row = read(table, now, &next)?;
        key = next;
    }
    Ok((key, row))
}

fn note<T: Table>(
    table: &mut T,
    now: Duration,
    attempt: &Arc<AttemptRecord>,
) -> Result<Answer, T::Error> {
    let key = attempt.key();
    match read(table, now, &key)?.map(|row| row.fate) {
        // Its caller has gone elsewhere, or it was answered and this comes late.
        Some(Fate::Over | Fate::Moved(_) | Fate::Live(_)) => return Ok(Answer::Over),
        Some(Fate::Rings(_)) | None => {}
    }
    let row = Row {
        fate: Fate::Rings(Arc::clone(attempt)),
        claimed_by: None,
        next: None,
        until: now + RINGING,
    };
    table.set(&key, row)?;
    Ok(Answer::Done)
}

fn orphan<T: Table>(
    table: &mut T,
    now: Duration,
    key: &DialogId,
    trunk: &str,
) -> Result<Answer, T::Error> {
    let (key, row) = latest(table, now, key)?;
    let (answer, owner) = match row.map(|row| row.fate) {
        None => (Answer::Unknown, None),
        Some(Fate::Over) => return Ok(Answer::Over),
        Some(Fate::Moved(generation)) => return Ok(Answer::Moved(generation)),
        Some(Fate::Rings(attempt)) => {
            let owner = attempt.invited.trunk.clone();
            (Answer::Rings(attempt), Some(owner))
        }
        Some(Fate::Live(record)) => {
            let owner = record.trunk.clone();
            (Answer::Found(record), Some(owner))
        }
    };
    if owner.is_some_and(|owner| *owner != *trunk) {
        return Ok(Answer::Unknown);
    }
    table.set(&key, over(now + RINGING))?;
    Ok(answer)
}

fn put<T: Table>(
    table: &mut T,
    now: Duration,
    record: &Arc<DialogRecord>,
) -> Result<Answer, T::Error> {
    let key = &record.upstream;
    if record.generation == 0 {
        let attempt = key.unanswered();
        match read(table, now, &attempt)?.map(|row| row.fate) {
            // The agent has placed the call elsewhere meanwhile (spec: X26).
            Some(Fate::Over) => return Ok(Answer::Over),
            // Of a call whose note never came here the agent knows no other name than this one.
            Some(Fate::Rings(_)) | None => {
                let answered = Row {
                    fate: Fate::Moved(0),
                    claimed_by: None,
                    next: Some(key.clone()),
                    until: now + REMEMBERED,
                };
                table.set(&attempt, answered)?;
            }
            Some(Fate::Live(_) | Fate::Moved(_)) => {}
        }
    }
    let claimed_by = match read(table, now, key)? {
        // A late update of a call that somebody else carries on must not bring it back.
        Some(Row {
            fate: Fate::Moved(generation),
            ..
        }) => return Ok(Answer::Moved(generation)),
        Some(row) => row.claimed_by,
        None => None,
    };
    let fate = Fate::Live(Arc::clone(record));
    table.set(
        key,
        Row {
            fate,
            claimed_by,
            next: None,
            until: now + LONGEST_CALL,
        },
    )?;
    Ok(Answer::Done)
}

fn claim<T: Table>(
    table: &mut T,
    now: Duration,
    key: &DialogId,
    abandoned: &[DialogId],
    by: &str,
) -> Result<Answer, T::Error> {
    let mut key = key.clone();
    let mut found = read(table, now, &key)?;
    // Where an attempt succeeded and its node died before it could say so, its dialog is meant:
    // each of them at most once, so that this ends.
    for _ in 0..abandoned.len() {
        let next = found.as_ref().and_then(|row| row.next.clone());
        let Some(next) = next.filter(|next| abandoned.contains(&next.unanswered())) else {
            break;
        };
        found = read(table, now, &next)?;
        key = next;
    }
    let Some(mut row) = found else {
        return Ok(Answer::Unknown);
    };
    let record = match &row.fate {
        Fate::Over => return Ok(Answer::Over),
        Fate::Moved(generation) => return Ok(Answer::Moved(*generation)),
        Fate::Rings(_) => return Ok(Answer::Unknown),
        Fate::Live(record) => record.clone(),
    };
    row.claimed_by = Some(by.into());
    table.set(&key, row)?;
    Ok(Answer::Claimed(record))
}

fn replace<T: Table>(
    table: &mut T,
    now: Duration,
    replaced: &DialogId,
    record: &Arc<DialogRecord>,
) -> Result<Answer, T::Error> {
    match read(table, now, replaced)?.map(|row| row.fate) {
        Some(Fate::Moved(generation)) => {
            // The same request once more, because its reply was lost.
            let own = read(table, now, &record.upstream)?;
            if !own.is_some_and(|row| matches!(row.fate, Fate::Live(_))) {
                return Ok(Answer::Moved(generation));
            }
        }
        Some(Fate::Live(old)) if old.generation + 1 != record.generation => {
            return Ok(Answer::Moved(old.generation));
        }
        // A dialog that the store never heard of (it was down when the call came up): the new
        // call is written all the same, and the old one marked.
        // One that is over: a later attempt was refused because this one had succeeded. The
        // downstream UA's answer is the better proof.
        Some(Fate::Live(_) | Fate::Over | Fate::Rings(_)) | None => {}
    }
    let moved = Row {
        fate: Fate::Moved(record.generation),
        claimed_by: None,
        next: Some(record.upstream.clone()),
        until: now + REMEMBERED,
    };
    table.set(replaced, moved)?;
    put(table, now, record)
}

fn delete<T: Table>(
    table: &mut T,
    now: Duration,
    key: &DialogId,
    by: &str,
) -> Result<Answer, T::Error> {
    let Some(row) = read(table, now, key)? else {
        return Ok(Answer::Unknown);
    };
    match &row.fate {
        Fate::Moved(generation) => return Ok(Answer::Moved(*generation)),
        Fate::Live(record)
            if row
                .claimed_by
                .as_deref()
                .is_some_and(|claimer| claimer != by) =>
        {
            return Ok(Answer::Moved(record.generation));
        }
        // It is remembered for as long as it was to be.
        Fate::Over => return Ok(Answer::Done),
        Fate::Live(_) | Fate::Rings(_) => {}
    }
    table.set(key, over(now + REMEMBERED))?;
    Ok(Answer::Done)
}

fn is_taken<T: Table>(
    table: &mut T,
    now: Duration,
    key: &DialogId,
    by: &str,
) -> Result<bool, T::Error> {
    Ok(match read(table, now, key)? {
        None => false,
        Some(Row {
            fate: Fate::Live(_) | Fate::Rings(_),
            claimed_by,
            ..
        }) => claimed_by.is_some_and(|claimer| *claimer != *by),
        Some(_) => true,
    })
}
