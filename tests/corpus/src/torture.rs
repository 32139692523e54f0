//! Our own torture messages (`torture/*.sip`, byte for byte) and their table (`torture.toml`).

use crate::from_root;
use crate::others::{files_under, stem};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A message and its row of the table.
pub struct Torture {
    /// The file's name without its end.
    pub name: String,
    /// The message as it is on the wire, damage and all.
    pub bytes: Vec<u8>,
    /// The document and section that it is about, for instance `RFC 4475 3.1.1.1`.
    pub of: String,
    /// What is odd about it, in our words.
    pub rule: String,
    /// What that document asks of an element that gets it.
    pub asks: Asks,
    /// What our parser makes of it.
    pub parser: Fate,
    /// What the agent answers somebody who may call.
    pub agent: Answer,
    /// What a node answers somebody who may call.
    pub node: Answer,
    /// Why the answers are others than what is asked; empty where they are not.
    pub differs: String,
}

/// What a document asks of an element that gets a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asks {
    /// To understand it: any answer but that the message is bad.
    Accept,
    /// To refuse it as bad, or to understand it all the same.
    Either,
    /// One of these answers.
    One(Vec<Answer>),
}

/// What the parser makes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is read.
    Taken,
    /// It is answered with this status.
    Refused(u16),
    /// There is nothing to answer.
    Dropped,
    /// It is two line ends that keep a flow open (RFC 5626 section 3.5.1).
    KeepAlive,
}

/// What is heard back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200 to an INVITE: a call.
    Call,
    /// This final status.
    Status(u16),
    /// Nothing.
    Silence,
}

impl Asks {
    /// Whether an answer is what is asked.
    pub fn allow(&self, answer: Answer) -> bool {
        match self {
            Asks::Accept => !matches!(answer, Answer::Silence | Answer::Status(400)),
            Asks::Either => answer != Answer::Silence,
            Asks::One(answers) => answers.contains(&answer),
        }
    }

    fn of(text: &str) -> Option<Asks> {
        match text {
            "accept" => Some(Asks::Accept),
            "either" => Some(Asks::Either),
            answers => {
                let answers = answers.split(' ').map(Answer::of);
                answers.collect::<Option<_>>().map(Asks::One)
            }
        }
    }
}

impl Fate {
    fn of(text: &str) -> Option<Fate> {
        match text {
            "taken" => Some(Fate::Taken),
            "dropped" => Some(Fate::Dropped),
            "keep-alive" => Some(Fate::KeepAlive),
            status => status.parse().ok().map(Fate::Refused),
        }
    }
}

impl Answer {
    /// That of a final `status` to a message, none where nothing came.
    pub fn to(message: &[u8], status: Option<u16>) -> Answer {
        match status {
            None => Answer::Silence,
            Some(200) if message.starts_with(b"INVITE ") => Answer::Call,
            Some(status) => Answer::Status(status),
        }
    }

    fn of(text: &str) -> Option<Answer> {
        match text {
            "call" => Some(Answer::Call),
            "silence" => Some(Answer::Silence),
            status => status.parse().ok().map(Answer::Status),
        }
    }
}

/// A row as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    of: String,
    rule: String,
    asks: String,
    parser: String,
    /// What both programs answer, or what each does.
    both: Option<String>,
    agent: Option<String>,
    node: Option<String>,
    #[serde(default)]
    differs: String,
}

/// Our own torture messages, sorted by name.
///
/// # Panics
///
/// If the table cannot be read, or a message has no row or a row no message.
pub fn torture() -> Vec<Torture> {
    let path = from_root("tests/corpus/torture.toml");
    let table = std::fs::read_to_string(&path).expect("tests/corpus/torture.toml can be read");
    let mut table: BTreeMap<String, Row> =
        toml::from_str(&table).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut all = Vec::new();
    for (path, bytes) in files_under(&from_root("tests/corpus/torture"), ".sip") {
        let name = stem(&path).to_owned();
        let row = table.remove(&name);
        let row = row.unwrap_or_else(|| panic!("{name}.sip has no row in torture.toml"));
        all.push(read(name, bytes, row));
    }
    let names: Vec<_> = table.into_keys().collect();
    assert!(names.is_empty(), "rows without a message: {names:?}");
    all
}

fn read(name: String, bytes: Vec<u8>, row: Row) -> Torture {
    let answer = |own: Option<String>| {
        let text = own.or_else(|| row.both.clone());
        let answer = text.as_deref().and_then(Answer::of);
        answer.unwrap_or_else(|| panic!("{name}: expected call, silence or a status: {text:?}"))
    };
    Torture {
        agent: answer(row.agent),
        node: answer(row.node),
        asks: Asks::of(&row.asks).unwrap_or_else(|| panic!("{name}: asks {}", row.asks)),
        parser: Fate::of(&row.parser).unwrap_or_else(|| panic!("{name}: parser {}", row.parser)),
        of: row.of,
        rule: row.rule,
        differs: row.differs,
        bytes,
        name,
    }
}
