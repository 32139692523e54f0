//! A thousand lines each that the grammar allows, nasty but legal, one view after the other.
//! None may be refused, with exceptions that are counted here and said why.

use crate::testdata;
use holdline_wire::header::{CSeq, Name, NameAddr, Replaces, Via};
use holdline_wire::message::Message;
use holdline_wire::uri::SipUri;

fn lines(name: &str) -> Option<Vec<String>> {
    let folder = testdata::folder("abnf/corpus")?;
    let text = std::fs::read_to_string(folder.join(format!("{name}.txt"))).unwrap();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 1000, "{name}");
    Some(lines)
}

/// Fails with the first few of the lines for which `bad` holds, unless they are `expected` many.
fn count(name: &str, expected: usize, bad: impl Fn(&str) -> bool) {
    let Some(lines) = lines(name) else { return };
    let found: Vec<&String> = lines.iter().filter(|line| bad(line)).collect();
    assert_eq!(
        found.len(),
        expected,
        "{name}: {:#?}",
        &found[..found.len().min(20)]
    );
}

/// A request with `header`, to read its list members by.
fn with(header: &str, value: &str) -> Message {
    let text = format!(
        "OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:h>\r\n\
         Call-ID: 1\r\nCSeq: 1 OPTIONS\r\n{header}: {value}\r\n\r\n"
    );
    Message::parse(text.into()).unwrap()
}

fn is_address(value: &[u8]) -> bool {
    NameAddr::parse(value).is_some_and(|address| {
        let scheme = address.uri.get(..3).unwrap_or_default();
        !scheme.eq_ignore_ascii_case("sip") || SipUri::parse(address.uri).is_some()
    })
}

#[test]
fn addresses() {
    count("from", 0, |line| !is_address(line.as_bytes()));
    count("refer-to", 0, |line| !is_address(line.as_bytes()));
    count("contact", 0, |line| {
        let message = with("Contact", line);
        line != "*"
            && (message.contact().is_none()
                || !message.list(Name::Contact).into_iter().all(is_address))
    });
    count("pai", 0, |line| {
        let message = with("P-Asserted-Identity", line);
        let list = message.list(Name::PAssertedIdentity);
        list.is_empty() || !list.into_iter().all(is_address)
    });
}

#[test]
fn vias() {
    count("via", 0, |line| {
        let message = with("X-Via", line);
        let list = message.list(Name::Other("X-Via"));
        list.is_empty() || !list.into_iter().all(|via| Via::parse(via).is_some())
    });
}

#[test]
fn sequence_numbers() {
    count("cseq", 0, |line| CSeq::parse(line.as_bytes()).is_none());
}

#[test]
fn replaces() {
    count("replaces", 0, |line| {
        let read = Replaces::parse(line.as_bytes());
        read.as_ref()
            .is_none_or(|r| Replaces::parse(r.to_value().as_bytes()) != read)
    });
}

#[test]
fn uris() {
    count("sip-uri", 0, |line| SipUri::parse(line).is_none());
}

#[test]
fn request_lines() {
    count("request-line", 0, |line| {
        let (method, _) = line.split_once(' ').unwrap();
        let text = format!(
            "{line}\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:h>\r\nCall-ID: 1\r\n\
             CSeq: 1 {method}\r\n\r\n"
        );
        Message::parse(text.into()).is_err()
    });
}
