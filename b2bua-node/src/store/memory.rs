//! A store in memory, for simulated worlds and tests: the same rules, no disk, no thread.

use super::rules::{self, Fate, Row, Table};
use super::{Answer, Store, StoreReply, StoreRequest};
use holdline_wire::dialog::DialogId;
use holdline_wire::record::DialogRecord;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

/// The rows of one cluster.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    identity: Box<str>,
    rows: BTreeMap<DialogId, Row>,
    /// When rows were last looked through for those whose time is over.
    swept: Duration,
}

impl Default for MemoryStore {
    fn default() -> MemoryStore {
        MemoryStore::new("memory")
    }
}

impl MemoryStore {
    /// An empty store of that name, a token.
    pub fn new(identity: &str) -> MemoryStore {
        MemoryStore {
            identity: identity.into(),
            rows: BTreeMap::new(),
            swept: Duration::ZERO,
        }
    }

    /// The calls that it holds: rows that are neither over nor moved.
    pub fn records(&self) -> impl Iterator<Item = &DialogRecord> {
        self.rows.values().filter_map(|row| match &row.fate {
            Fate::Live(record) => Some(&**record),
            Fate::Rings(_) | Fate::Over | Fate::Moved(_) => None,
        })
    }

    /// How many rows there are, whatever their fate.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// How many calls it holds: rows that are neither over nor moved.
    pub fn live(&self) -> usize {
        self.rows
            .values()
            .filter(|row| matches!(row.fate, Fate::Live(_)))
            .count()
    }

    /// What it knows of a dialog.
    pub fn fate(&self, key: &DialogId) -> Option<&Fate> {
        self.rows.get(key).map(|row| &row.fate)
    }

    /// Forgets everything, as after a crash before anything was synced.
    pub fn lose_all(&mut self) {
        self.rows.clear();
    }
}

impl Table for MemoryStore {
    type Error = Infallible;

    fn get(&mut self, key: &DialogId) -> Result<Option<Row>, Infallible> {
        Ok(self.rows.get(key).cloned())
    }

    fn set(&mut self, key: &DialogId, row: Row) -> Result<(), Infallible> {
        self.rows.insert(key.clone(), row);
        Ok(())
    }
}

impl Store for MemoryStore {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn perform(&mut self, now: Duration, batch: &[StoreRequest]) -> Vec<StoreReply> {
        if now.saturating_sub(self.swept) >= super::REMEMBERED {
            self.swept = now;
            self.rows.retain(|_, row| row.until > now);
        }
        let mut replies = Vec::with_capacity(batch.len());
        for request in batch {
            let answer: Result<Answer, Infallible> = rules::perform(self, now, &request.op);
            let Ok(answer) = answer;
            replies.push(StoreReply {
                id: request.id,
                answer,
            });
        }
        replies
    }
}
