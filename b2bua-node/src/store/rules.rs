//! What the operations mean, on any table of rows.

use super::{Answer, LONGEST_CALL, Op, REMEMBERED};
use holdline_wire::dialog::DialogId;
use holdline_wire::record::DialogRecord;
use std::time::Duration;

/// What became of a dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It lives, as far as the store knows.
    Live(Box<DialogRecord>),
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
        Op::Claim { replaced, by } => claim(table, now, replaced, by),
        Op::Replace { replaced, record } => replace(table, now, replaced, record),
        Op::Delete { upstream, by } => delete(table, now, upstream, by),
        Op::Find { upstream } => Ok(match read(table, now, upstream)?.map(|row| row.fate) {
            Some(Fate::Live(record)) => Answer::Found(record),
            Some(Fate::Moved(generation)) => Answer::Moved(generation),
            Some(Fate::Over) => Answer::Over,
            None => Answer::Unknown,
        }),
        Op::Check { dialogs, by } => {
            let taken = dialogs
                .iter()
                .map(|dialog| is_taken(table, now, dialog, by));
            Ok(Answer::Checked(taken.collect::<Result<_, _>>()?))
        }
    }
}

/// The row, unless its time is over: a row that lingers is as good as none.
fn read<T: Table>(table: &mut T, now: Duration, key: &DialogId) -> Result<Option<Row>, T::Error> {
    Ok(table.get(key)?.filter(|row| row.until > now))
}

fn put<T: Table>(table: &mut T, now: Duration, record: &DialogRecord) -> Result<Answer, T::Error> {
    let key = &record.upstream;
    let claimed_by = match read(table, now, key)? {
        // A late update of a call that somebody else carries on must not bring it back.
        Some(Row {
            fate: Fate::Moved(generation),
            ..
        }) => return Ok(Answer::Moved(generation)),
        Some(row) => row.claimed_by,
        None => None,
    };
    let fate = Fate::Live(Box::new(record.clone()));
    table.set(
        key,
        Row {
            fate,
            claimed_by,
            until: now + LONGEST_CALL,
        },
    )?;
    Ok(Answer::Done)
}

fn claim<T: Table>(
    table: &mut T,
    now: Duration,
    key: &DialogId,
    by: &str,
) -> Result<Answer, T::Error> {
    let Some(mut row) = read(table, now, key)? else {
        return Ok(Answer::Unknown);
    };
    let record = match &row.fate {
        Fate::Over => return Ok(Answer::Over),
        Fate::Moved(generation) => return Ok(Answer::Moved(*generation)),
        Fate::Live(record) => record.clone(),
    };
    row.claimed_by = Some(by.into());
    table.set(key, row)?;
    Ok(Answer::Claimed(record))
}

fn replace<T: Table>(
    table: &mut T,
    now: Duration,
    replaced: &DialogId,
    record: &DialogRecord,
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
        Some(Fate::Live(_) | Fate::Over) | None => {}
    }
    let moved = Row {
        fate: Fate::Moved(record.generation),
        claimed_by: None,
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
        Fate::Live(_) | Fate::Over => {}
    }
    let over = Row {
        fate: Fate::Over,
        claimed_by: None,
        until: now + REMEMBERED,
    };
    table.set(key, over)?;
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
            fate: Fate::Live(_),
            claimed_by,
            ..
        }) => claimed_by.is_some_and(|claimer| *claimer != *by),
        Some(_) => true,
    })
}
