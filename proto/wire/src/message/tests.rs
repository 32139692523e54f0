//! Each trap that legal traffic sets for a parser, and each thing that must be refused.

use super::*;

const TAIL: &str = "From: <sip:a@h>;tag=f\r\nTo: <sip:b@h>\r\nCall-ID: Id@h\r\n";

/// A request with one Via and a CSeq, and `extra` header lines before the empty line.
fn request(extra: &str, body: &str) -> String {
    format!(
        "OPTIONS sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n{TAIL}\
         CSeq: 1 OPTIONS\r\n{extra}\r\n{body}"
    )
}

fn read(text: &str) -> Result<Message, ParseError> {
    Message::parse(Bytes::copy_from_slice(text.as_bytes()))
}

fn good(text: &str) -> Message {
    read(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The status that a request is refused with.
fn refused(text: &str) -> (u16, &'static str, Box<Message>) {
    match read(text) {
        Err(ParseError::Refuse {
            status,
            reason,
            request,
        }) => (status, reason, request),
        other => panic!("{other:?}: {text}"),
    }
}

fn is_garbage(text: &str) -> bool {
    matches!(read(text), Err(ParseError::Garbage(_)))
}

#[test]
fn folded_lines_odd_spacing_compact_names_and_leading_line_breaks_are_understood() {
    let message = good(
        "\r\n\r\nINVITE sip:b@h SIP/2.0\r\nv: SIP / 2.0\r\n /UDP h;branch=z9hG4bK1,SIP/2.0/TCP i\r\n\
         f : \"A\"\r\n\t<sip:a@h>\r\n ; tag = x\r\nT: sip:b@h;tag=y\r\ni:Id@h\r\n\
         cseq:  0007\r\n  INVITE\r\nSubject : x\r\n  y\r\nk: 100rel,\r\n timer\r\nM: <sip:c@h>\r\n\
         L: 2\r\n\r\nhi and more",
    );
    assert!(message.bytes().starts_with(b"INVITE") && message.bytes().ends_with(b"\r\n\r\nhi"));
    assert_eq!((message.method(), message.status()), (&Method::Invite, 0));
    assert_eq!(
        (message.request_uri(), message.call_id()),
        ("sip:b@h", "Id@h")
    );
    assert_eq!((message.from_tag(), message.to_tag()), ("x", Some("y")));
    assert_eq!(message.cseq().number, 7);
    assert_eq!(message.top_via().branch, "z9hG4bK1");
    assert_eq!(message.list(Name::Via).len(), 2);
    assert_eq!(
        message.header(Name::Other("SUBJECT")),
        Some(&b"x\r\n  y"[..])
    );
    assert_eq!(message.text(Name::Other("s")).as_deref(), Some("x y"));
    assert!(message.has_token(Name::Supported, "TIMER"));
    assert_eq!(message.contact().unwrap().uri, "sip:c@h");
    assert_eq!(&message.body()[..], b"hi");
    let names: Vec<&str> = message.fields().map(|field| field.name.as_str()).collect();
    assert_eq!(names[..4], ["Via", "From", "To", "Call-ID"]);
}

#[test]
fn line_feeds_alone_end_lines() {
    let message = good(&request("X: y\r\n", "hi").replace("\r\n", "\n"));
    assert_eq!(
        (message.header(Name::Other("x")), &message.body()[..]),
        (Some(&b"y"[..]), &b"hi"[..])
    );
}

#[test]
fn unknown_methods_schemes_and_parameters_are_no_error() {
    let message = good(
        &request("", "")
            .replace("OPTIONS", "NEWMETHOD")
            .replace("sip:b@h SIP", "tel:+1;x=y SIP"),
    );
    assert_eq!(message.method().as_str(), "NEWMETHOD");
    assert_eq!(message.request_uri(), "tel:+1;x=y");
    let uri = "sip:b@[2001:db8::1];transport=new;method=X?Replaces=a%3Bto-tag%3D1";
    let message = good(&request("", "").replace("sip:b@h SIP", &format!("{uri} SIP")));
    assert_eq!(message.request_uri(), uri);
    assert_eq!(
        good(&request("", "").replace("SIP/2.0\r\nVia", "sip/2.0\r\nVia")).status(),
        0
    );
}

#[test]
fn bytes_are_kept_as_they_came() {
    let mut text = request("X-Odd: \u{fc}\r\n", "").into_bytes();
    text.extend_from_slice(b"\xff\xfe\0");
    let message = Message::parse(Bytes::from(text.clone())).unwrap();
    assert_eq!(message.bytes(), &text);
    assert_eq!(&message.body()[..], b"\xff\xfe\0");
    let status = request("", "").replace("OPTIONS sip:b@h SIP/2.0", "SIP/2.0 200 All  Good ");
    let response = good(&status);
    assert!(!response.is_request());
    assert_eq!(
        (response.status(), response.reason()),
        (200, &b"All  Good "[..])
    );
    assert_eq!(
        (response.method(), response.request_uri()),
        (&Method::Options, "")
    );
}

#[test]
fn lists_are_read_over_all_their_fields_and_call_ids_keep_their_case() {
    let message = good(&request(
        "Route: <sip:a;lr>, \"x, y\" <sip:b,c@h>\r\nRequire: a , b\r\nROUTE: <sip:d>;q=\"1,2\"\r\n\
         X-List: 1\r\nx-list: 2, 3\r\nMax-Forwards: 0069\r\n",
        "",
    ));
    assert_eq!(message.list(Name::Route).len(), 3);
    assert_eq!(message.list(Name::Require), [b"a", b"b"]);
    assert_eq!(message.list(Name::Other("X-LIST")), [b"1", b"2", b"3"]);
    assert_eq!(
        (message.call_id(), message.max_forwards()),
        ("Id@h", Some(69))
    );
    assert!(message.contact().is_none() && message.header(Name::Contact).is_none());
    let star = good(&request("Contact: *\r\n", ""));
    assert!(star.contact().is_none() && star.header(Name::Contact).is_some());
}

#[test]
fn the_sdp_is_found_without_copying() {
    let message = good(&request("C: Application/SDP ;x\r\n", "v=0\r\n"));
    let sdp = message.sdp().unwrap();
    assert_eq!(
        (sdp.as_ptr(), &sdp[..]),
        (message.body().as_ptr(), &b"v=0\r\n"[..])
    );
    assert!(good(&request("", "v=0\r\n")).sdp().is_none());
}

#[test]
fn content_length_is_believed_only_when_it_can_be_true() {
    for (lines, status) in [
        ("Content-Length: 5\r\nl: 6\r\n", 400),
        ("Content-Length: -1\r\n", 400),
        ("Content-Length: x\r\n", 400),
        ("Content-Length:\r\n", 400),
        ("Content-Length: 5, 5\r\n", 400),
        ("Content-Length: 6\r\n", 400),
        ("Content-Length: 99999999999999999999\r\n", 400),
    ] {
        assert_eq!(refused(&request(lines, "12345")).0, status, "{lines}");
    }
    assert_eq!(
        &good(&request("l: 5\r\nContent-Length: 05\r\n", "12345")).body()[..],
        b"12345"
    );
    assert_eq!(&good(&request("", "12345")).body()[..], b"12345");
}

#[test]
fn a_faulty_request_is_refused_with_what_an_answer_needs() {
    let plain = request("", "");
    let cases = [
        (plain.replace("SIP/2.0\r\nVia", "SIP/7.0\r\nVia"), 505),
        (plain.replace("SIP/2.0\r\nVia", "SIP/2.00\r\nVia"), 505),
        (plain.replace("1 OPTIONS", "1 INVITE"), 400),
        (plain.replace("1 OPTIONS", "2147483648 OPTIONS"), 400),
        (plain.replace("1 OPTIONS", "one OPTIONS"), 400),
        (plain.replace("sip:b@h SIP", "<sip:b@h> SIP"), 400),
        (plain.replace("sip:b@h SIP", "sip:b@h; lr SIP"), 400),
        (plain.replace("sip:b@h SIP", "sip:2001:db8::10 SIP"), 400),
        (plain.replace("sip:b@h SIP", "nothing SIP"), 400),
        (plain.replace("To: <sip:b@h>", "To: \"open <sip:b@h>"), 400),
        (plain.replace("From: <sip:a@h>", "From: nobody"), 400),
        (plain.replace("Id@h", "Id @h"), 400),
        (plain.replace("z9hG4bK1", "z9hG4bK1;;"), 400),
        (plain.replace("z9hG4bK1", "z9hG4bK1, SIP/2.0"), 400),
        (request("Call-ID: other\r\n", ""), 400),
        (request("f: <sip:a@h>;tag=f\r\n", ""), 400),
        (request("To: <sip:x@h>\r\n", ""), 400),
        (request("CSeq: 1 OPTIONS\r\n", ""), 400),
        // Our tag would stand inside the quote; found by fuzzing.
        (plain.replace("To: <sip:b@h>", "To: <sip:b@h>;x=\"1"), 400),
        // A tag that is no token could be neither compared nor written; found by fuzzing.
        (
            plain.replace("To: <sip:b@h>", "To: <sip:b@h>;tag=\u{31d}"),
            400,
        ),
        (plain.replace("To: <sip:b@h>", "To: <sip:b@h>;tag=a b"), 400),
        (
            plain.replace("To: <sip:b@h>", "To: <sip:b@h>;tag=\"a;b\""),
            400,
        ),
        (plain.replace("To: <sip:b@h>", "To: <sip:b@h>;tag="), 400),
        (
            plain.replace("To: <sip:b@h>", "To: <sip:b@h>;tag=a;tag=b"),
            400,
        ),
        (plain.replace(";tag=f", ";tag"), 400),
        (request("no colon\r\n", ""), 400),
        (request("two words: x\r\n", ""), 400),
        (request(": x\r\n", ""), 400),
        (plain.strip_suffix("\r\n").unwrap().to_owned(), 400),
        (plain.strip_suffix("\r\n\r\n").unwrap().to_owned(), 400),
    ];
    for (text, status) in &cases {
        // A CSeq line that was cut off cannot be echoed: see `is_garbage` below.
        if text.ends_with("1 OPTIONS") {
            assert!(is_garbage(text));
            continue;
        }
        let (told, reason, request) = refused(text);
        assert_eq!(told, *status, "{text}");
        assert!(reason.bytes().all(|b| (b' '..0x7f).contains(&b)));
        assert_eq!(request.top_via().host, "h");
        assert_eq!(request.method(), &Method::Options);
        for name in [Name::From, Name::To, Name::CallId, Name::CSeq] {
            assert!(request.header(name).is_some(), "{text}");
        }
        let answer = crate::build::Builder::response(
            &request,
            "192.0.2.1:9".parse().unwrap(),
            told,
            reason.as_bytes(),
            Some("t"),
        );
        assert!(answer.finish(None).is_ok(), "{text}");
    }
}

#[test]
fn white_space_around_the_parts_of_a_request_line_is_repaired() {
    let plain = request("", "");
    let double = plain.replace("OPTIONS sip:b@h SIP/2.0", "OPTIONS  sip:b@h  SIP/2.0  ");
    assert_eq!(good(&double).request_uri(), "sip:b@h");
}

#[test]
fn what_cannot_be_answered_is_garbage() {
    let plain = request("", "");
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        assert!(
            is_garbage(&plain.replacen(&format!("{name}: "), "X: ", 1)),
            "{name}"
        );
    }
    let response = plain.replace("OPTIONS sip:b@h SIP/2.0", "SIP/2.0 200 OK");
    assert!(read(&response).is_ok());
    for (from, to) in [
        ("SIP/2.0 200", "SIP/2.0 2000"),
        ("SIP/2.0 200", "SIP/2.0 099"),
        ("SIP/2.0 200", "SIP/2.0 700"),
        ("SIP/2.0 200", "SIP/2.0 20"),
        ("SIP/2.0 200", "SIP/3.0 200"),
        ("SIP/2.0 200", "SIP/2.0200"),
        ("CSeq: 1", "CSeq: 4294967296"),
        ("CSeq: 1", "Call-ID: 2\r\nCSeq: 1"),
        ("CSeq: 1", "l: 1\r\nCSeq: 1"),
        ("To: <", "To: <<"),
    ] {
        assert!(is_garbage(&response.replace(from, to)), "{to}");
    }
    for text in [
        "",
        "hello",
        "GET / HTTP/1.1\r\n\r\n",
        "INVITE sip:h\r\n\r\n",
        "\0\0\0\0",
        " SIP/2.0\r\n\r\n",
    ] {
        assert!(is_garbage(text), "{text}");
    }
    assert!(is_garbage(&request("X: a\rb\r\n", "")));
    assert!(is_garbage(
        &plain.replace("SIP/2.0/UDP h", "SIP/2.0/UDP 2001:db8::1")
    ));
    assert!(matches!(read("\r\n\r\n"), Err(ParseError::KeepAlive)));
}

#[test]
fn size_and_number_of_headers_are_bounded() {
    let with = |headers: usize| request(&"X: y\r\n".repeat(headers - 5), "");
    assert_eq!(good(&with(MAX_HEADERS)).fields().count(), MAX_HEADERS);
    assert!(is_garbage(&with(MAX_HEADERS + 1)));
    let room = MAX_MESSAGE - request("", "").len();
    assert_eq!(good(&request("", &"x".repeat(room))).body().len(), room);
    assert!(is_garbage(&request("", &"x".repeat(room + 1))));
}
