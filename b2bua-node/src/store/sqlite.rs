//! The store in a SQLite file, shared by the nodes of one machine (spec: X30). Write-ahead
//! logging and one transaction a batch: what was answered survives the death of any process.

use super::rules::{self, Fate, Row, Table};
use super::{Answer, Store, StoreReply, StoreRequest};
use holdline_wire::attempt::AttemptRecord;
use holdline_wire::dialog::DialogId;
use holdline_wire::record::DialogRecord;
use rusqlite::{Connection, ErrorCode, OptionalExtension, TransactionBehavior, params};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The version of the table below, in the file's `user_version`.
const SCHEMA_VERSION: i32 = 2;
const SCHEMA: &str = "
CREATE TABLE dialogs (
  call_id TEXT NOT NULL,
  node_tag TEXT NOT NULL,
  agent_tag TEXT NOT NULL,
  fate INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  claimed_by TEXT,
  record BLOB,
  until_ms INTEGER NOT NULL,
  PRIMARY KEY (call_id, node_tag, agent_tag)
) WITHOUT ROWID;
CREATE INDEX dialogs_ended ON dialogs (until_ms) WHERE fate IN (1, 2);";
/// The first version had all rows in its index: one page more for each write of a live call.
const FROM_1: &str = "
DROP INDEX dialogs_until;
CREATE INDEX dialogs_ended ON dialogs (until_ms) WHERE fate IN (1, 2);";
/// What the store is beside its rows. Not a version of its own: a running node of an older version,
/// which does not know this table, works on.
const META: &str =
    "CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID";
/// The first node that opens the file names it; all others find that name.
/// Written each time: a file that can be read only, or a full disk, shows at once.
const NAME: &str = "INSERT INTO meta (name, value)
 VALUES ('identity', coalesce(?1, lower(hex(randomblob(16)))))
 ON CONFLICT (name) DO UPDATE SET value = value";
/// Whether the table is ours.
const COLUMNS: &str =
    "SELECT call_id, node_tag, agent_tag, fate, generation, claimed_by, record, until_ms
 FROM dialogs LIMIT 1";
/// What became of calls that ended or moved. The condition is that of the index, word for word.
pub(super) const SWEEP_ENDED: &str = "DELETE FROM dialogs WHERE (call_id, node_tag, agent_tag) IN
 (SELECT call_id, node_tag, agent_tag FROM dialogs
  WHERE fate IN (1, 2) AND until_ms <= ?1 LIMIT ?2)";
/// Live rows end only where a node died and nobody came for its call: few, and not indexed.
const SWEEP_ALL: &str = "DELETE FROM dialogs WHERE (call_id, node_tag, agent_tag) IN
 (SELECT call_id, node_tag, agent_tag FROM dialogs WHERE until_ms <= ?1 LIMIT ?2)";
/// How long another process may hold the file before an operation fails.
const BUSY: Duration = Duration::from_millis(250);
/// How often a start tries again where another process may be in the way, and how long it waits.
const OPEN_TRIES: u32 = 20;
const OPEN_STEP: Duration = Duration::from_millis(25);
/// How long it waits before it looks again.
const BUSY_STEP: Duration = Duration::from_micros(500);
/// Rows removed by one sweep: it must not hold up a claim.
const SWEEP: usize = 500;
/// How often all rows are looked at, first with the first operation.
const SWEEP_ALL_EVERY: Duration = Duration::from_secs(3600);

const LIVE: i64 = 0;
const OVER: i64 = 1;
const MOVED: i64 = 2;
const RINGS: i64 = 3;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SqliteError {
    /// The folder is not there, or no folder.
    #[error("there is no folder {}", .0.display())]
    NoFolder(PathBuf),
    /// SQLite's own words.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A newer program wrote the file.
    #[error("its schema version {0} is newer than this program's, {SCHEMA_VERSION}")]
    Newer(i32),
    /// The file that was opened at the start is gone, and another node made a new one.
    #[error("the file is not the one that this node began with: restart the node")]
    Exchanged,
}

impl SqliteError {
    /// What whoever starts the node can do about it.
    pub fn what_to_do(&self) -> &'static str {
        let code = match self {
            SqliteError::NoFolder(_) => {
                return "Create the folder, writable for the user that runs the node, or correct store.url.";
            }
            SqliteError::Newer(_) => {
                return "Start the version of the node that wrote the file, or name another file in store.url.";
            }
            SqliteError::Exchanged => return "Restart the node.",
            SqliteError::Sqlite(error) => error.sqlite_error_code(),
        };
        match code {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                "Move the file away, or name another one in store.url: the node makes a new store."
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                "Find the process that holds the file locked (fuser shows it), and start the node again."
            }
            Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure) => {
                "See that the disk has room and is sound, and start the node again."
            }
            // An error in our own words to it: the tables are others.
            Some(ErrorCode::Unknown) | None => {
                "The file belongs to another program: name another one in store.url."
            }
            _ => {
                "Let the user that runs the node read and write the file and its folder, or correct store.url."
            }
        }
    }

    /// Whether it may be over in a moment: another process holds the file, makes it or closes it.
    fn may_pass(&self) -> bool {
        let SqliteError::Sqlite(error) = self else {
            return false;
        };
        let lasting = [
            ErrorCode::NotADatabase,
            ErrorCode::ReadOnly,
            ErrorCode::Unknown,
        ];
        error
            .sqlite_error_code()
            .is_some_and(|code| !lasting.contains(&code))
    }
}

/// An open file; opened again after an error.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    identity: Box<str>,
    connection: Option<Connection>,
    swept: Duration,
    swept_all: Option<Duration>,
}

impl SqliteStore {
    /// Opens the file at `path` and writes to it; makes it where it is missing, but not its folder: a
    /// disk that is not mounted must not become a store of its own. Waits a little for a process that
    /// holds the file.
    pub fn open(path: &Path) -> Result<SqliteStore, SqliteError> {
        let mut tries = 1..OPEN_TRIES;
        let (connection, identity) = loop {
            match connect(path, None) {
                Err(error) if error.may_pass() && tries.next().is_some() => {
                    std::thread::sleep(OPEN_STEP);
                }
                opened => break opened?,
            }
        };
        Ok(SqliteStore {
            path: path.into(),
            identity,
            connection: Some(connection),
            swept: Duration::ZERO,
            swept_all: None,
        })
    }

    fn try_perform(
        &mut self,
        now: Duration,
        batch: &[StoreRequest],
    ) -> Result<Vec<StoreReply>, SqliteError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect_again()?,
        };
        // Prepared once, unlike a `rusqlite::Transaction`. After an error the connection is
        // dropped, and what was done with it.
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut table = Rows(&connection);
        let mut replies = Vec::with_capacity(batch.len());
        for request in batch {
            let answer = rules::perform(&mut table, now, &request.op)?;
            replies.push(StoreReply {
                id: request.id,
                answer,
            });
        }
        self.sweep(&connection, now)?;
        connection.prepare_cached("COMMIT")?.execute([])?;
        self.connection = Some(connection);
        Ok(replies)
    }

    /// A file that was lost is made again under its old name, so that the nodes that share it still
    /// agree; one of another name does not hold the calls that the others know of.
    fn connect_again(&self) -> Result<Connection, SqliteError> {
        let (connection, identity) = connect(&self.path, Some(&self.identity))?;
        if identity == self.identity {
            Ok(connection)
        } else {
            Err(SqliteError::Exchanged)
        }
    }

    fn sweep(&mut self, connection: &Connection, now: Duration) -> Result<(), SqliteError> {
        let since = |swept: Duration| now.saturating_sub(swept);
        if since(self.swept) < Duration::from_secs(1) {
            return Ok(());
        }
        self.swept = now;
        let all = self.swept_all.is_none_or(|at| since(at) >= SWEEP_ALL_EVERY);
        let sql = if all { SWEEP_ALL } else { SWEEP_ENDED };
        let swept = connection
            .prepare_cached(sql)?
            .execute(params![millis(now), SWEEP as i64])?;
        if all && swept < SWEEP {
            self.swept_all = Some(now);
        }
        Ok(())
    }
}

impl Store for SqliteStore {
    fn identity(&self) -> &str {
        &self.identity
    }

    fn perform(&mut self, now: Duration, batch: &[StoreRequest]) -> Vec<StoreReply> {
        self.try_perform(now, batch).unwrap_or_else(|error| {
            tracing::warn!(%error, operations = batch.len(), "the store failed");
            self.connection = None;
            let down = |request: &StoreRequest| StoreReply {
                id: request.id,
                answer: Answer::Down,
            };
            batch.iter().map(down).collect()
        })
    }
}

/// Another process holds the file, as it does for some 100 us at a time. SQLite's own handler sleeps
/// longer and longer, up to 100 ms: the claims of a dead node's calls would wait while nobody writes.
fn wait_for_others(tried: i32) -> bool {
    std::thread::sleep(BUSY_STEP);
    BUSY_STEP * tried.unsigned_abs() < BUSY
}

/// Opens the file, and names it where it has no name: `name`, or else a random one.
fn connect(path: &Path, name: Option<&str>) -> Result<(Connection, Box<str>), SqliteError> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return Err(SqliteError::NoFolder(folder.into()));
    }
    let mut connection = Connection::open(path)?;
    connection.busy_handler(Some(wait_for_others))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match version {
        0 => {
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        }
        1 => {
            transaction.execute_batch(FROM_1)?;
            transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        }
        SCHEMA_VERSION => {}
        newer => return Err(SqliteError::Newer(newer)),
    }
    transaction.query_row(COLUMNS, [], |_| Ok(())).optional()?;
    transaction.execute_batch(META)?;
    transaction.execute(NAME, params![name])?;
    let read = "SELECT value FROM meta WHERE name = 'identity'";
    let identity: String = transaction.query_row(read, [], |row| row.get(0))?;
    transaction.commit()?;
    Ok((connection, identity.into()))
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// The table within a transaction.
struct Rows<'a>(&'a Connection);

impl Table for Rows<'_> {
    type Error = SqliteError;

    fn get(&mut self, key: &DialogId) -> Result<Option<Row>, SqliteError> {
        let mut select = self.0.prepare_cached(
            "SELECT fate, generation, claimed_by, record, until_ms FROM dialogs
             WHERE call_id = ?1 AND node_tag = ?2 AND agent_tag = ?3",
        )?;
        let key = params![&*key.call_id, &*key.local_tag, &*key.remote_tag];
        let found = select
            .query_row(key, |row| {
                let fate: (i64, u32, Option<Vec<u8>>) = (row.get(0)?, row.get(1)?, row.get(3)?);
                Ok((
                    fate,
                    row.get::<_, Option<String>>(2)?,
                    row.get::<_, i64>(4)?,
                ))
            })
            .optional()?;
        let Some(((fate, generation, record), claimed_by, until)) = found else {
            return Ok(None);
        };
        let fate = match fate {
            LIVE => DialogRecord::decode(&record.unwrap_or_default())
                .map(|record| (Fate::Live(Arc::new(record)), None)),
            RINGS => AttemptRecord::decode(&record.unwrap_or_default())
                .map(|attempt| (Fate::Rings(Arc::new(attempt)), None)),
            MOVED => Ok((
                Fate::Moved(generation),
                record.and_then(|key| read_key(&key)),
            )),
            _ => Ok((Fate::Over, None)),
        };
        let (fate, next) = match fate {
            Ok(fate) => fate,
            Err(error) => {
                // One damaged row must not take the whole store away.
                tracing::error!(%error, "a row of the store cannot be read");
                return Ok(None);
            }
        };
        let until = Duration::from_millis(u64::try_from(until).unwrap_or(0));
        Ok(Some(Row {
            fate,
            claimed_by: claimed_by.map(Into::into),
            next,
            until,
        }))
    }

    fn set(&mut self, key: &DialogId, row: Row) -> Result<(), SqliteError> {
        let mut write = self.0.prepare_cached(
            "INSERT OR REPLACE INTO dialogs
             (call_id, node_tag, agent_tag, fate, generation, claimed_by, record, until_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        let (fate, generation, record) = match &row.fate {
            Fate::Live(record) => (LIVE, record.generation, Some(record.encode())),
            Fate::Over => (OVER, 0, None),
            Fate::Moved(generation) => (MOVED, *generation, row.next.as_ref().map(write_key)),
            Fate::Rings(attempt) => (RINGS, 0, Some(attempt.encode())),
        };
        write.execute(params![
            &*key.call_id,
            &*key.local_tag,
            &*key.remote_tag,
            fate,
            generation,
            row.claimed_by.as_deref(),
            record,
            millis(row.until),
        ])?;
        Ok(())
    }
}

/// A dialog in a row's record: three texts, none of which can hold a NUL.
fn write_key(key: &DialogId) -> Vec<u8> {
    let DialogId {
        call_id,
        local_tag,
        remote_tag,
    } = key;
    format!("{call_id}\0{local_tag}\0{remote_tag}").into_bytes()
}

fn read_key(bytes: &[u8]) -> Option<DialogId> {
    let mut parts = std::str::from_utf8(bytes).ok()?.split('\0');
    Some(DialogId {
        call_id: parts.next()?.into(),
        local_tag: parts.next()?.into(),
        remote_tag: parts.next()?.into(),
    })
}
