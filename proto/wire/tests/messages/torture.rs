//! RFC 4475 and RFC 5118: what the parser takes, what it refuses, and who refuses the rest.

use crate::testdata;
use holdline_wire::build::Builder;
use holdline_wire::header::{Name, NameAddr, Via};
use holdline_wire::message::{Message, ParseError};
use holdline_wire::uri::SipUri;
use std::collections::BTreeMap;

/// What becomes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Taken; the note says what a UA or registrar above would still refuse, if anything.
    Taken(&'static str),
    /// Answered with this status.
    Refused(u16),
    /// Dropped.
    Dropped,
}
use Fate::{Dropped, Refused, Taken};

const VALID: &str = "";

/// Every file of RFC 4475, in the order of its sections.
const RFC4475: &[(&str, Fate)] = &[
    // 3.1.1: valid.
    ("wsinv", Taken(VALID)),
    ("intmeth", Taken(VALID)),
    ("esc01", Taken(VALID)),
    ("escnull", Taken(VALID)),
    ("esc02", Taken(VALID)),
    ("lwsdisp", Taken(VALID)),
    ("longreq", Taken(VALID)),
    ("dblreq", Taken(VALID)),
    ("semiuri", Taken(VALID)),
    ("transports", Taken(VALID)),
    ("mpart01", Taken(VALID)),
    ("unreason", Taken(VALID)),
    ("noreason", Taken(VALID)),
    // 3.1.2: invalid. Where the RFC lets an element repair, we repair what can mean one thing.
    ("badinv01", Refused(400)),
    ("clerr", Refused(400)),
    ("ncl", Refused(400)),
    ("scalar02", Refused(400)),
    ("scalarlg", Dropped),
    ("quotbal", Refused(400)),
    ("ltgtruri", Refused(400)),
    ("lwsruri", Refused(400)),
    (
        "lwsstart",
        Taken("repaired: spaces between the parts of the request line"),
    ),
    ("trws", Taken("repaired: spaces after the request line")),
    ("escruri", Taken("headers in a Request-URI are ignored")),
    ("baddate", Taken("Date is nobody's concern here")),
    (
        "regbadct",
        Taken("the Contact reads as none: no brackets around its '?'"),
    ),
    ("badaspec", Taken("repaired: spaces inside angle brackets")),
    // The display name with a comma could be repaired; the empty line that is missing too, not.
    ("baddn", Refused(400)),
    ("badvers", Refused(505)),
    ("mismatch01", Refused(400)),
    ("mismatch02", Refused(400)),
    ("bigcode", Dropped),
    // 3.2: transaction layer.
    (
        "badbranch",
        Taken("the branch is no more than the cookie: matched by headers"),
    ),
    // 3.3: application layer.
    ("insuf", Dropped),
    ("unkscm", Taken("416 by the UA")),
    ("novelsc", Taken("416 by the UA")),
    ("unksm2", Taken("416 by the registrar")),
    ("bext01", Taken("420 by the UA")),
    ("invut", Taken("415 by the UA")),
    ("regaut01", Taken("the scheme is unknown to the registrar")),
    ("multi01", Refused(400)),
    ("mcl01", Refused(400)),
    (
        "bcast",
        Taken("dropped by the transaction layer: a sent-by that is not ours"),
    ),
    ("zeromf", Taken("483 by a proxy; a UA answers")),
    ("cparam01", Taken(VALID)),
    ("cparam02", Taken(VALID)),
    ("regescrt", Taken("the registrar must not follow the Route")),
    ("sdp01", Taken("406 or an answer, by the UA")),
    // 3.4: RFC 2543.
    ("inv2543", Taken(VALID)),
    // In no section.
    ("test", Dropped),
];

fn fate(path: &str, parsed: &Result<Message, ParseError>, note: Fate) -> Fate {
    match parsed {
        Ok(message) => {
            inspect(path, message);
            // The parser cannot tell the note; it is the table's.
            if matches!(note, Taken(_)) {
                note
            } else {
                Taken(VALID)
            }
        }
        Err(ParseError::Refuse {
            status, request, ..
        }) => {
            answer(path, request);
            Refused(*status)
        }
        Err(_) => Dropped,
    }
}

/// What holds for every message that is taken: its parts are there, and copied they are the same.
pub fn inspect(path: &str, message: &Message) {
    assert!(
        !message.call_id().is_empty() && !message.top_via().host.is_empty(),
        "{path}"
    );
    assert!(
        !message.from().uri.is_empty() && !message.to().uri.is_empty(),
        "{path}"
    );
    assert!(
        message
            .list(Name::Via)
            .into_iter()
            .all(|via| Via::parse(via).is_some()),
        "{path}"
    );
    assert_eq!(message.is_request(), message.status() == 0, "{path}");
    if message.is_request() {
        answer(path, message);
    }
    let copy = message.fields().fold(
        Builder::request(message.method(), "sip:copy.example.com"),
        |builder, field| builder.raw(field.raw_name, field.value),
    );
    let copy = Message::parse(copy.finish(None).unwrap()).unwrap();
    let fields = |message: &Message| -> Vec<Vec<u8>> {
        let own = |name: &Name| !matches!(name, Name::ContentLength | Name::ContentType);
        message
            .fields()
            .filter(|f| own(&f.name))
            .map(|f| f.value.to_vec())
            .collect()
    };
    assert_eq!(fields(&copy), fields(message), "{path}");
}

/// A response can be made, and is one that the sender can match.
pub fn answer(path: &str, request: &Message) {
    let source = "192.0.2.77:4321".parse().unwrap();
    let response = Builder::response(request, source, 400, b"", Some("tag")).finish(None);
    let response = response.unwrap_or_else(|error| panic!("{path}: {error}"));
    let Ok(response) = Message::parse(response) else {
        return;
    };
    assert_eq!(
        response.top_via().branch,
        request.top_via().branch,
        "{path}"
    );
    assert_eq!(response.top_via().received, Some(source.ip()), "{path}");
    assert_eq!(
        response.list(Name::Via).len(),
        request.list(Name::Via).len(),
        "{path}"
    );
    assert!(response.to_tag().is_some(), "{path}");
}

#[test]
fn every_message_of_rfc_4475_meets_its_fate() {
    let Some(folder) = testdata::folder("rfc4475") else {
        return;
    };
    let table: BTreeMap<&str, Fate> = RFC4475.iter().copied().collect();
    let mut seen = 0;
    for (path, bytes) in testdata::files(&folder, ".dat") {
        let expected = table.get(testdata::stem(&path)).copied();
        let expected = expected.unwrap_or_else(|| panic!("{path} is in no table"));
        let parsed = Message::parse(bytes);
        assert_eq!(
            fate(&path, &parsed, expected),
            expected,
            "{path}: {:?}",
            parsed.err()
        );
        seen += 1;
    }
    assert_eq!(seen, RFC4475.len());
}

/// One message of RFC 4475 that the parser takes.
fn torture(name: &str) -> Option<Message> {
    let path = testdata::folder("rfc4475")?.join(format!("{name}.dat"));
    Some(Message::parse(std::fs::read(path).unwrap().into()).unwrap())
}

#[test]
fn the_tortuous_invite_reads_as_the_rfc_says() {
    let Some(message) = torture("wsinv") else {
        return;
    };
    assert_eq!(
        (message.to_tag(), message.from_tag()),
        (Some("1918181833n"), "98asjd8")
    );
    assert_eq!(
        (message.cseq().number, message.max_forwards()),
        (9, Some(68))
    );
    let vias: Vec<Via> = message
        .list(Name::Via)
        .into_iter()
        .filter_map(Via::parse)
        .collect();
    let parts: Vec<_> = vias
        .iter()
        .map(|via| (via.transport, via.host, via.branch))
        .collect();
    let expected = [
        ("UDP", "192.0.2.2", "390skdjuw"),
        ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
        ("UDP", "192.168.255.111", "z9hG4bK30239"),
    ];
    assert_eq!(parts, expected);
    let contact = message.contact().unwrap();
    assert_eq!(
        (contact.param("newparam"), contact.param("q")),
        (Some("newvalue"), Some("0.33"))
    );
    assert_eq!(
        message.text(Name::Other("NewFangledHeader")).as_deref(),
        Some("newfangled value continued newfangled value")
    );
    assert_eq!(message.sdp().unwrap().len(), 150);
}

#[test]
fn odd_characters_stay_what_they_are() {
    let Some(message) = torture("intmeth") else {
        return;
    };
    assert_eq!(
        message.method().as_str(),
        "!interesting-Method0123456789_*+`.%indeed'~"
    );
    let uri = SipUri::parse(message.request_uri()).unwrap();
    assert_eq!(uri.host, "example.com");
    assert!(uri.user.unwrap().ends_with("(doesn't-it)"));
    assert_eq!(
        message.call_id(),
        "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"
    );
    assert_eq!(message.from().tag(), Some("_token~1'+`*%!-."));
    assert!(message.to().display.contains(&0));
    let escaped = torture("esc02").unwrap();
    assert_eq!(escaped.method().as_str(), "RE%47IST%45R");
    assert_eq!(escaped.list(Name::Contact).len(), 2);
    let double = torture("dblreq").unwrap();
    assert!(double.bytes().ends_with(b"Content-Length: 0\r\n\r\n"));
    let unbracketed = torture("regbadct").unwrap();
    assert!(unbracketed.contact().is_none());
    let params = torture("cparam01").unwrap();
    assert_eq!(params.contact().unwrap().param("unknownparam"), Some(""));
    let params = torture("cparam02").unwrap();
    assert_eq!(params.contact().unwrap().param("unknownparam"), None);
}

/// Every file of RFC 5118.
const RFC5118: &[(&str, Fate)] = &[
    ("ipv6-good", Taken(VALID)),
    ("ipv6-bad", Refused(400)),
    ("port-ambiguous", Taken(VALID)),
    ("port-unambiguous", Taken(VALID)),
    ("via-received-param-with-delim", Taken(VALID)),
    ("via-received-param-no-delim", Taken(VALID)),
    ("ipv6-in-sdp", Taken(VALID)),
    ("mult-ip-in-header", Taken(VALID)),
    ("mult-ip-in-sdp", Taken(VALID)),
    ("ipv4-mapped-ipv6", Taken(VALID)),
    ("ipv6-bug-abnf-3-colons", Taken(VALID)),
    ("ipv6-correct-abnf-2-colons", Taken(VALID)),
];

#[test]
fn every_message_of_rfc_5118_meets_its_fate() {
    let Some(folder) = testdata::folder("rfc5118/wire") else {
        return;
    };
    for (name, expected) in RFC5118 {
        let bytes = std::fs::read(folder.join(name)).unwrap();
        let parsed = Message::parse(bytes.into());
        assert_eq!(
            fate(name, &parsed, *expected),
            *expected,
            "{name}: {:?}",
            parsed.err()
        );
        let Ok(message) = parsed else { continue };
        let host = |uri: &str| SipUri::parse(uri).map(|uri| (uri.ip(), uri.port));
        let ip = |text: &str| Some(text.parse().unwrap());
        let uri = host(message.request_uri()).unwrap();
        match *name {
            "port-ambiguous" => assert_eq!(uri, (ip("2001:db8::10:5070"), None)),
            "port-unambiguous" => assert_eq!(uri, (ip("2001:db8::10"), Some(5070))),
            "ipv6-bug-abnf-3-colons" | "ipv6-correct-abnf-2-colons" => {
                assert_eq!(uri.0, ip("2001:db8::192.0.2.1"));
            }
            "via-received-param-with-delim" | "via-received-param-no-delim" => {
                assert_eq!(message.top_via().received, ip("2001:db8::9:255"));
            }
            "ipv4-mapped-ipv6" => {
                let contact = message.contact().map(|contact| contact.uri).unwrap();
                assert_eq!(host(contact).unwrap().0, ip("::ffff:192.0.2.2"));
            }
            _ => {}
        }
        let addresses = message.list(Name::Contact).into_iter();
        assert!(
            addresses
                .into_iter()
                .all(|contact| NameAddr::parse(contact).is_some())
        );
    }
    assert_eq!(testdata::files(&folder, "").len(), RFC5118.len());
}
