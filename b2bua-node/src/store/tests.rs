//! One suite for every engine: they must mean the same.

mod orphans;

use super::*;
use holdline_wire::transport::Protocol;
use std::path::PathBuf;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(1_000_000 + seconds)
}

fn dialog(call: &str) -> DialogId {
    DialogId {
        call_id: call.into(),
        local_tag: "node".into(),
        remote_tag: "agent".into(),
    }
}

fn record(call: &str, generation: u32) -> Arc<DialogRecord> {
    Arc::new(DialogRecord {
        generation,
        trunk: "127.0.0.1".into(),
        upstream: dialog(call),
        downstream: dialog(&format!("{call}-down")),
        local: b"<sip:1001@pbx.example>"[..].into(),
        remote: b"<sip:2001@demo.example>"[..].into(),
        remote_target: "sip:127.0.0.1:5091".into(),
        route_set: vec!["<sip:127.0.0.1:5092;lr>".into()],
        protocol: Protocol::Udp,
        address: "127.0.0.1:5091".parse().unwrap(),
        first_cseq: 1,
    })
}

/// A store under test, with request numbers of its own.
struct Bench(Box<dyn Store>, u64);

impl Bench {
    fn ask(&mut self, seconds: u64, op: Op) -> Answer {
        self.1 += 1;
        let replies = self
            .0
            .perform(secs(seconds), &[StoreRequest { id: self.1, op }]);
        assert_eq!(replies.len(), 1);
        assert_eq!(replies[0].id, self.1);
        replies.into_iter().next().unwrap().answer
    }

    fn put(&mut self, seconds: u64, call: &str, generation: u32) -> Answer {
        self.ask(
            seconds,
            Op::Put {
                record: record(call, generation),
            },
        )
    }

    fn claim(&mut self, seconds: u64, call: &str, by: &str) -> Answer {
        self.ask(
            seconds,
            Op::Claim {
                replaced: dialog(call),
                abandoned: Vec::new(),
                by: by.into(),
            },
        )
    }

    fn replace(&mut self, seconds: u64, old: &str, new: &str, generation: u32) -> Answer {
        let record = record(new, generation);
        self.ask(
            seconds,
            Op::Replace {
                replaced: dialog(old),
                record,
            },
        )
    }

    fn delete(&mut self, seconds: u64, call: &str, by: &str) -> Answer {
        self.ask(
            seconds,
            Op::Delete {
                upstream: dialog(call),
                by: by.into(),
            },
        )
    }

    fn check(&mut self, calls: &[&str], by: &str) -> Vec<bool> {
        let dialogs = calls.iter().map(|call| dialog(call)).collect();
        match self.ask(
            0,
            Op::Check {
                dialogs,
                by: by.into(),
            },
        ) {
            Answer::Checked(taken) => taken,
            other => panic!("{other:?}"),
        }
    }
}

/// A file of its own for each test, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let folder = std::env::temp_dir().join(format!("holdline-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("deep")).unwrap();
        Scratch(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.join("deep").join("dialogs.db")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs `test` against every engine.
fn on_each(name: &str, test: impl Fn(&mut Bench)) {
    test(&mut Bench(Box::new(MemoryStore::default()), 0));
    let scratch = Scratch::new(name);
    test(&mut Bench(
        Box::new(SqliteStore::open(&scratch.file()).unwrap()),
        0,
    ));
}

// spec: X30
#[test]
fn a_kept_call_is_claimed_with_its_record() {
    on_each("claim", |store| {
        assert_eq!(store.claim(0, "a", "n2"), Answer::Unknown);
        assert_eq!(store.put(0, "a", 0), Answer::Done);
        assert_eq!(store.claim(1, "a", "n2"), Answer::Claimed(record("a", 0)));
        assert_eq!(
            store.claim(1, "a", "n3"),
            Answer::Claimed(record("a", 0)),
            "may steal"
        );
    });
}

#[test]
fn only_the_first_replacement_counts() {
    on_each("replace", |store| {
        store.put(0, "a", 0);
        store.claim(1, "a", "n2");
        store.claim(1, "a", "n3");
        assert_eq!(store.replace(2, "a", "c", 1), Answer::Done);
        assert_eq!(store.replace(2, "a", "b", 1), Answer::Moved(1));
        assert_eq!(
            store.replace(2, "a", "c", 1),
            Answer::Done,
            "the same once more"
        );
        assert_eq!(store.claim(3, "a", "n4"), Answer::Moved(1));
        assert_eq!(store.claim(3, "b", "n4"), Answer::Unknown);
        assert_eq!(store.claim(3, "c", "n4"), Answer::Claimed(record("c", 1)));
        assert_eq!(
            store.replace(4, "c", "d", 5),
            Answer::Moved(1),
            "not the next generation"
        );
        assert_eq!(
            store.put(5, "a", 0),
            Answer::Moved(1),
            "a late update brings nothing back"
        );
    });
}

#[test]
fn an_ended_call_is_remembered_for_a_minute() {
    on_each("over", |store| {
        store.put(0, "a", 0);
        assert_eq!(store.delete(1, "a", "n1"), Answer::Done);
        assert_eq!(store.claim(2, "a", "n2"), Answer::Over);
        assert_eq!(store.claim(60, "a", "n2"), Answer::Over);
        assert_eq!(store.claim(61, "a", "n2"), Answer::Unknown);
        assert_eq!(store.delete(61, "a", "n2"), Answer::Unknown);
    });
}

/// The downstream UA's BYE to the old node must not end the row that is being moved.
// spec: X28
#[test]
fn a_claimed_call_is_ended_only_by_its_claimer() {
    on_each("fence", |store| {
        store.put(0, "a", 0);
        store.claim(1, "a", "n2");
        assert_eq!(store.delete(2, "a", "n1"), Answer::Moved(0));
        assert_eq!(store.replace(3, "a", "b", 1), Answer::Done);
        assert_eq!(store.delete(4, "a", "n1"), Answer::Moved(1));
        assert_eq!(store.delete(4, "b", "n2"), Answer::Done);
    });
}

// spec: X28
#[test]
fn a_check_tells_whose_calls_are_gone() {
    on_each("check", |store| {
        for call in ["kept", "claimed", "moved", "over", "own"] {
            store.put(0, call, 0);
        }
        store.claim(0, "claimed", "n2");
        store.claim(0, "own", "n1");
        store.claim(0, "moved", "n2");
        store.replace(0, "moved", "new", 1);
        store.delete(0, "over", "n1");
        let calls = ["kept", "claimed", "moved", "over", "own", "never heard of"];
        assert_eq!(
            store.check(&calls, "n1"),
            [false, true, true, true, false, false]
        );
    });
}

#[test]
fn a_call_that_the_store_missed_can_still_be_replaced() {
    on_each("missed", |store| {
        assert_eq!(store.replace(0, "a", "b", 1), Answer::Done);
        assert_eq!(store.claim(1, "a", "n3"), Answer::Moved(1));
        assert_eq!(store.claim(1, "b", "n3"), Answer::Claimed(record("b", 1)));
    });
}

// spec: X30
#[test]
fn two_processes_share_a_file() {
    let scratch = Scratch::new("shared");
    let mut a = Bench(Box::new(SqliteStore::open(&scratch.file()).unwrap()), 0);
    let mut b = Bench(Box::new(SqliteStore::open(&scratch.file()).unwrap()), 0);
    assert_eq!(a.put(0, "a", 0), Answer::Done);
    assert_eq!(b.claim(0, "a", "n2"), Answer::Claimed(record("a", 0)));
    assert_eq!(b.replace(0, "a", "b", 1), Answer::Done);
    assert_eq!(a.check(&["a"], "n1"), [true]);
}

// spec: X30
#[test]
fn what_was_answered_is_there_after_the_writer_died() {
    let scratch = Scratch::new("killed");
    let mut a = Bench(Box::new(SqliteStore::open(&scratch.file()).unwrap()), 0);
    a.put(0, "a", 0);
    // As kill -9 leaves it: nothing is closed, no checkpoint is made.
    std::mem::forget(a);
    let mut b = Bench(Box::new(SqliteStore::open(&scratch.file()).unwrap()), 0);
    assert_eq!(b.claim(0, "a", "n2"), Answer::Claimed(record("a", 0)));
}

// spec: X30
#[test]
fn a_store_that_fails_says_so_and_comes_back() {
    let scratch = Scratch::new("down");
    let file = scratch.file();
    let mut store = Bench(Box::new(SqliteStore::open(&file).unwrap()), 0);
    assert_eq!(store.put(0, "a", 0), Answer::Done);
    let other = rusqlite::Connection::open(&file).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert_eq!(store.put(1, "b", 0), Answer::Down);
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(store.put(2, "b", 0), Answer::Done);
    assert_eq!(store.claim(2, "a", "n2"), Answer::Claimed(record("a", 0)));
}

/// Nodes of one file agree on its name, however many make it at a time; a file that was lost gets its
/// old name back, and one that another node has made meanwhile is not taken for it.
// spec: X59
#[test]
fn a_store_has_one_identity() {
    let scratch = Scratch::new("identity");
    let file = scratch.file();
    let open = || SqliteStore::open(&file).unwrap();
    let mut stores: Vec<SqliteStore> = std::thread::scope(|scope| {
        let openers: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
        let opened = openers.into_iter().map(|opener| opener.join().unwrap());
        opened.collect()
    });
    let identity = stores[0].identity().to_owned();
    assert_eq!(identity.len() * 4, 128, "{identity}");
    assert!(stores.iter().all(|store| store.identity() == identity));
    assert_ne!(
        MemoryStore::new("a").identity(),
        MemoryStore::default().identity()
    );

    let mut store = Bench(Box::new(stores.remove(0)), 0);
    drop(stores);
    let lose = |store: &mut Bench| {
        let other = rusqlite::Connection::open(&file).unwrap();
        other.execute_batch("BEGIN EXCLUSIVE").unwrap();
        assert_eq!(store.put(1, "a", 0), Answer::Down);
        drop(other);
        std::fs::remove_dir_all(file.parent().unwrap()).unwrap();
        assert_eq!(store.put(1, "a", 0), Answer::Down);
        std::fs::create_dir(file.parent().unwrap()).unwrap();
    };
    lose(&mut store);
    assert_eq!(store.put(2, "a", 0), Answer::Done);
    assert_eq!(open().identity(), identity);
    lose(&mut store);
    let stranger = open();
    assert_eq!(store.put(3, "a", 0), Answer::Down);
    assert_ne!(stranger.identity(), identity);
}

/// What cannot be a store is told as it is opened, with what to do; nothing of it is changed.
// spec: X59
#[test]
fn what_cannot_be_a_store_is_refused_with_advice() {
    let scratch = Scratch::new("refused");
    let refused = |path: &std::path::Path, cause: &str, advice: &str| {
        let error = SqliteStore::open(path).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(cause), "{text}");
        assert!(
            error.what_to_do().contains(advice),
            "{text}: {}",
            error.what_to_do()
        );
    };
    let missing = scratch.0.join("missing").join("dialogs.db");
    refused(&missing, "there is no folder", "Create the folder");
    assert!(!missing.parent().unwrap().exists());
    refused(&scratch.0.join("deep"), "unable to open", "read and write");
    let garbage = scratch.file();
    std::fs::write(&garbage, "this is no database\n".repeat(100)).unwrap();
    refused(&garbage, "not a database", "Move the file away");
    refused(
        &garbage.join("dialogs.db"),
        "there is no folder",
        "Create the folder",
    );

    let foreign = scratch.0.join("foreign.db");
    let connection = rusqlite::Connection::open(&foreign).unwrap();
    let other = "CREATE TABLE dialogs (windows INTEGER); PRAGMA user_version = 2";
    connection.execute_batch(other).unwrap();
    refused(&foreign, "no such column", "another program");
    connection.pragma_update(None, "user_version", 0).unwrap();
    refused(&foreign, "already exists", "another program");
    connection.pragma_update(None, "user_version", 99).unwrap();
    refused(&foreign, "schema version 99 is newer", "Start the version");
}

#[test]
fn a_newer_schema_is_left_alone() {
    let scratch = Scratch::new("newer");
    drop(SqliteStore::open(&scratch.file()).unwrap());
    let connection = rusqlite::Connection::open(scratch.file()).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    assert!(matches!(
        SqliteStore::open(&scratch.file()),
        Err(SqliteError::Newer(99))
    ));
}

/// What ended calls left is found by the index, which knows of no other row; the rest is looked
/// at once in a while.
#[test]
fn old_rows_go() {
    let scratch = Scratch::new("sweep");
    let mut store = Bench(Box::new(SqliteStore::open(&scratch.file()).unwrap()), 0);
    let connection = rusqlite::Connection::open(scratch.file()).unwrap();
    let count = |query: &str| -> i64 { connection.query_row(query, [], |r| r.get(0)).unwrap() };
    let rows = || count("SELECT count(*) FROM dialogs");
    store.put(0, "lost", 0);
    for call in ["a", "b", "c"] {
        store.put(0, call, 0);
        store.delete(1, call, "n1");
    }
    // Each with a row by the name that it had before it was answered.
    assert_eq!(rows(), 8);
    assert_eq!(store.put(61, "d", 0), Answer::Done);
    assert_eq!(rows(), 3, "one that was left and one that is new");
    store.put(LONGEST_CALL.as_secs(), "e", 0);
    store.delete(LONGEST_CALL.as_secs() + 1, "e", "n1");
    assert_eq!(rows(), 3, "nobody came for the first in two days");
    let plan = format!("EXPLAIN QUERY PLAN {}", super::sqlite::SWEEP_ENDED);
    let mut plan = connection.prepare(&plan).unwrap();
    let steps = plan
        .query_map([1, 1], |row| row.get::<_, String>(3))
        .unwrap();
    let steps: Vec<String> = steps.map(Result::unwrap).collect();
    assert!(
        steps.iter().any(|step| step.contains("dialogs_ended")),
        "{steps:?}"
    );
}

#[test]
fn the_first_schema_is_brought_up_to_date() {
    let scratch = Scratch::new("older");
    let mut store = Bench(Box::new(SqliteStore::open(&scratch.file()).unwrap()), 0);
    store.put(0, "a", 0);
    drop(store);
    let connection = rusqlite::Connection::open(scratch.file()).unwrap();
    let back = "DROP INDEX dialogs_ended; CREATE INDEX dialogs_until ON dialogs (until_ms);
                PRAGMA user_version = 1;";
    connection.execute_batch(back).unwrap();
    let mut store = Bench(Box::new(SqliteStore::open(&scratch.file()).unwrap()), 0);
    assert_eq!(store.claim(1, "a", "n2"), Answer::Claimed(record("a", 0)));
    let names = "SELECT group_concat(name) FROM sqlite_schema WHERE type = 'index'";
    let names: String = connection.query_row(names, [], |row| row.get(0)).unwrap();
    assert!(
        names.contains("dialogs_ended") && !names.contains("dialogs_until"),
        "{names}"
    );
}

/// A batch is one commit, and its replies come in its order.
#[test]
fn a_batch_is_done_in_order() {
    on_each("batch", |store| {
        let claim = Op::Claim {
            replaced: dialog("a"),
            abandoned: Vec::new(),
            by: "n2".into(),
        };
        let batch = [
            StoreRequest {
                id: 7,
                op: Op::Put {
                    record: record("a", 0),
                },
            },
            StoreRequest { id: 9, op: claim },
        ];
        let replies = store.0.perform(secs(0), &batch);
        assert_eq!(
            replies[0],
            StoreReply {
                id: 7,
                answer: Answer::Done
            }
        );
        assert_eq!(
            replies[1],
            StoreReply {
                id: 9,
                answer: Answer::Claimed(record("a", 0))
            }
        );
    });
}
