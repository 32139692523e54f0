//! Whether our own torture messages are worth the name.

use crate::torture;
use std::collections::BTreeSet;

/// The sections of RFC 4475 and RFC 5118 that describe a message.
fn sections() -> Vec<String> {
    let groups = [
        ("RFC 4475 3.1.1", 13),
        ("RFC 4475 3.1.2", 19),
        ("RFC 4475 3.2", 1),
        ("RFC 4475 3.3", 15),
        ("RFC 4475 3.4", 1),
        ("RFC 5118 4", 10),
    ];
    let sections = |(group, count)| (1..=count).map(move |n| format!("{group}.{n}"));
    groups.into_iter().flat_map(sections).collect()
}

#[test]
fn every_section_of_both_rfcs_has_a_message() {
    let all = torture();
    let named: BTreeSet<&str> = all.iter().map(|message| message.of.as_str()).collect();
    let missing: Vec<_> = sections()
        .into_iter()
        .filter(|section| !named.contains(section.as_str()))
        .collect();
    assert!(missing.is_empty(), "no message for {missing:?}");
    assert!(all.len() >= 60, "{} messages", all.len());
}

#[test]
fn every_row_tells_its_rule_and_why_it_differs() {
    let mut seen = BTreeSet::new();
    for message in torture() {
        let name = &message.name;
        assert!(!message.rule.is_empty(), "{name}");
        assert!(seen.insert(message.bytes.clone()), "{name} is there twice");
        let allowed = [message.agent, message.node].map(|answer| message.asks.allow(answer));
        let as_asked = allowed == [true, true];
        assert_eq!(as_asked, message.differs.is_empty(), "{name}");
    }
}

/// A version control that changes line ends would change the messages.
#[test]
fn line_ends_are_those_on_the_wire() {
    for message in torture() {
        let lone = has_lone_line_feed(&message.bytes);
        match message.name.as_str() {
            "keep-alive" => assert_eq!(message.bytes, b"\r\n\r\n"),
            "bare-line-feeds" => assert!(lone && !message.bytes.contains(&b'\r')),
            // Its bytes are no text.
            "rtp-packet" => {}
            name => assert!(!lone, "{name}"),
        }
    }
}

/// Whether a line feed stands without its carriage return.
fn has_lone_line_feed(bytes: &[u8]) -> bool {
    let mut before = 0;
    bytes.iter().any(|byte| {
        let lone = *byte == b'\n' && before != b'\r';
        before = *byte;
        lone
    })
}
