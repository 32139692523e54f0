//! Our own torture messages: what the parser makes of each, and what it must find in some.

use crate::torture::{answer, inspect};
use holdline_corpus::{Fate, Torture, torture};
use holdline_wire::message::{Message, ParseError};

/// What becomes of a message; what is taken or answered is looked through.
fn fate(message: &Torture) -> (Fate, String) {
    match Message::parse(message.bytes.clone().into()) {
        Ok(read) => {
            inspect(&message.name, &read);
            (Fate::Taken, String::new())
        }
        Err(ParseError::Refuse {
            status,
            reason,
            request,
        }) => {
            answer(&message.name, &request);
            (Fate::Refused(status), reason.to_owned())
        }
        Err(ParseError::KeepAlive) => (Fate::KeepAlive, String::new()),
        Err(error) => (Fate::Dropped, error.to_string()),
    }
}

#[test]
fn every_torture_message_of_ours_meets_its_fate() {
    let wrong: Vec<String> = torture()
        .iter()
        .map(|message| (message, fate(message)))
        .filter(|(message, (fate, _))| *fate != message.parser)
        .map(|(message, (fate, why))| format!("{}: parser {fate:?} ({why})", message.name))
        .collect();
    assert!(wrong.is_empty(), "other than torture.toml says: {wrong:#?}");
}
