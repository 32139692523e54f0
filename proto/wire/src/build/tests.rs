use super::*;
use crate::TransportKey;
use crate::message::ParseError;

fn message(text: &str) -> Message {
    Message::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap()
}

fn request(vias: &str, extra: &str) -> Message {
    message(&format!(
        "INVITE sip:b@h SIP/2.0\r\n{vias}f: \"A\"\r\n <sip:a@h>;tag=f\r\nTo: <sip:b@h>\r\n\
         Call-ID: id\r\nCSeq: 7 INVITE\r\nRecord-Route: <sip:p;lr>, <sip:q;lr>\r\n\
         record-route: <sip:r;lr>\r\nTimestamp: 54\r\n{extra}\r\n"
    ))
}

fn text(builder: Builder) -> String {
    String::from_utf8(builder.finish(None).unwrap().to_vec()).unwrap()
}

fn respond(vias: &str, source: &str) -> String {
    let request = request(vias, "");
    let response = text(Builder::response(
        &request,
        source.parse().unwrap(),
        180,
        b"",
        Some("t"),
    ));
    let vias: Vec<&str> = response
        .lines()
        .filter(|line| line.starts_with("Via"))
        .collect();
    vias.join("|")
}

#[test]
fn a_response_echoes_what_it_must_and_nothing_else() {
    let request = request(
        "v: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nVia: SIP/2.0/TCP x\r\n",
        "X: y\r\n",
    );
    let source = "192.0.2.1:5060".parse().unwrap();
    assert_eq!(
        text(Builder::response(&request, source, 486, b"", Some("t"))),
        "SIP/2.0 486 Busy Here\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nVia: SIP/2.0/TCP x\r\n\
         From: \"A\"\r\n <sip:a@h>;tag=f\r\nTo: <sip:b@h>;tag=t\r\nCall-ID: id\r\nCSeq: 7 INVITE\r\n\
         Content-Length: 0\r\n\r\n"
    );
    let trying = text(Builder::response(&request, source, 100, b"On It", None));
    assert!(
        trying.starts_with("SIP/2.0 100 On It\r\n") && trying.contains("\r\nTimestamp: 54\r\n")
    );
    assert!(trying.contains("\r\nTo: <sip:b@h>\r\n"));
}

#[test]
fn a_to_tag_is_never_doubled() {
    let text_of = |to: &str| {
        let request = request("Via: SIP/2.0/UDP h\r\n", "");
        let request = String::from_utf8_lossy(request.bytes()).replace("<sip:b@h>\r\n", to);
        let request = match Message::parse(request.into()) {
            Ok(request) => request,
            Err(ParseError::Refuse { request, .. }) => *request,
            Err(error) => panic!("{error}"),
        };
        text(Builder::response(
            &request,
            "192.0.2.1:9".parse().unwrap(),
            200,
            b"",
            Some("t"),
        ))
    };
    assert!(text_of("<sip:b@h> ;  TAG = x\r\n").contains("\r\nTo: <sip:b@h> ;  TAG = x\r\n"));
    assert!(text_of("sip:b@h\r\n").contains("\r\nTo: sip:b@h;tag=t\r\n"));
    assert!(text_of("<sip:b@h;tag=no>\r\n").contains("\r\nTo: <sip:b@h;tag=no>;tag=t\r\n"));
    // Also where the tag cannot be read.
    for to in [
        "<sip:b@h>;tag=\u{31d}\r\n",
        "<sip:b@h>;tag=\r\n",
        "<sip:b@h>;tag\r\n",
    ] {
        assert!(text_of(to).contains(&format!("\r\nTo: {to}")), "{to}");
    }
}

#[test]
fn the_topmost_via_tells_where_the_request_came_from() {
    let source = "192.0.2.1:4000";
    for (sent, expected) in [
        ("SIP/2.0/UDP 192.0.2.1", "SIP/2.0/UDP 192.0.2.1"),
        (
            "SIP/2.0/UDP 10.0.0.1;branch=x",
            "SIP/2.0/UDP 10.0.0.1;branch=x;received=192.0.2.1",
        ),
        ("SIP/2.0/UDP pbx", "SIP/2.0/UDP pbx;received=192.0.2.1"),
        (
            "SIP/2.0/UDP 192.0.2.1;RPORT;branch=x",
            "SIP/2.0/UDP 192.0.2.1;rport=4000;branch=x;received=192.0.2.1",
        ),
        (
            "SIP/2.0/UDP h;received=198.51.100.1;rport=7 ; branch=x",
            "SIP/2.0/UDP h;rport=4000;branch=x;received=192.0.2.1",
        ),
        (
            "SIP / 2.0/UDP h ;x=\"a,;b\",SIP/2.0/UDP i",
            "SIP / 2.0/UDP h ;x=\"a,;b\";received=192.0.2.1,SIP/2.0/UDP i",
        ),
    ] {
        assert_eq!(
            respond(
                &format!("Via: {sent}\r\nVia: SIP/2.0/UDP j;rport\r\n"),
                source
            ),
            format!("Via: {expected}|Via: SIP/2.0/UDP j;rport")
        );
    }
    assert_eq!(
        respond(
            "Via: SIP/2.0/UDP [2001:db8::1];rport\r\n",
            "[2001:db8::2]:9"
        ),
        "Via: SIP/2.0/UDP [2001:db8::1];rport=9;received=2001:db8::2"
    );
    assert_eq!(
        respond("Via: SIP/2.0/UDP 192.0.2.1\r\n", "[::ffff:192.0.2.1]:9"),
        "Via: SIP/2.0/UDP 192.0.2.1"
    );
}

#[test]
fn record_routes_are_copied_only_on_demand() {
    let request = request("Via: SIP/2.0/UDP 192.0.2.1\r\n", "");
    let response = Builder::response(
        &request,
        "192.0.2.1:9".parse().unwrap(),
        200,
        b"",
        Some("t"),
    );
    assert!(!text(response.clone()).contains("Record-Route"));
    assert!(text(response.record_routes(&request)).contains(
        "\r\nRecord-Route: <sip:p;lr>, <sip:q;lr>\r\nRecord-Route: <sip:r;lr>\r\nContent-Length: 0\r\n"
    ));
}

#[test]
fn a_request_that_was_built_reads_the_same() {
    let key = TransportKey::udp("[::1]:5060".parse().unwrap(), "[::1]:5070".parse().unwrap());
    let bytes = Builder::request(&Method::Refer, "sip:b@h")
        .via(&key, "z9hG4bKx")
        .raw(b"From", b"\"A\"\r\n <sip:a@h>;tag=f")
        .header(Name::To, "<sip:b@h>")
        .header(Name::CallId, 5)
        .header(Name::CSeq, format_args!("{} {}", 9, Method::Refer))
        .header(Name::Other("X-Own"), "")
        .raw(b"l", b"99")
        .header(Name::ContentType, "text/plain")
        .finish(Some(&Body::sdp(Bytes::from_static(b"v=0\r\n"))))
        .unwrap();
    let read = Message::parse(bytes.clone()).unwrap();
    assert_eq!(read.bytes(), &bytes);
    let via = read.top_via();
    assert_eq!(
        (via.transport, via.host, via.port, via.branch),
        ("UDP", "[::1]", Some(5060), "z9hG4bKx")
    );
    assert_eq!(via.rport, Some(None));
    assert_eq!(
        (read.from_tag(), read.call_id(), read.cseq().number),
        ("f", "5", 9)
    );
    assert_eq!(read.header(Name::Other("x-own")), Some(&b""[..]));
    assert_eq!(read.list(Name::ContentLength), [b"5"]);
    assert_eq!(read.sdp().as_deref(), Some(&b"v=0\r\n"[..]));
}

#[test]
fn nothing_can_break_out_of_its_line() {
    let start = || Builder::request(&Method::Bye, "sip:b@h");
    let broken = [
        Builder::request(&Method::Bye, "sip:b@h\r\nX: y"),
        Builder::request(&Method::Bye, "sip:b@h SIP/2.0"),
        Builder::request(&Method::Bye, ""),
        Builder::request(&Method::Other("A B".into()), "sip:b@h"),
        start().header(Name::Reason, "a\r\nX: y"),
        start().header(Name::Reason, "a\nb"),
        start().header(Name::Reason, "a\rb"),
        start().header(Name::Reason, "a\0b"),
        start().header(Name::Reason, "a\r\n folded"),
        start().header(Name::Other("X: y\r\nZ"), "a"),
        start().raw(b"X y", b"a"),
        start().raw(b"X", b"a\r\nb"),
        start().raw(b"X", b"a\r b"),
        start().raw(b"X", b"a\n"),
        start().raw(b"X", b"a\r\r\n b"),
        start()
            .header(Name::Reason, "a\nb")
            .header(Name::Reason, "fine"),
    ];
    for (nth, builder) in broken.into_iter().enumerate() {
        assert_eq!(builder.finish(None), Err(BuildError::LineBreak), "{nth}");
    }
    let request = request("Via: SIP/2.0/UDP h\r\n", "");
    let source = "192.0.2.1:9".parse().unwrap();
    for (reason, tag) in [(&b"a\r\nb"[..], "t"), (b"", "t\r\nX: y")] {
        let response = Builder::response(&request, source, 200, reason, Some(tag));
        assert_eq!(response.finish(None), Err(BuildError::LineBreak));
    }
    let body = Body {
        content_type: Bytes::from_static(b"a/b\r\nX: y"),
        bytes: Bytes::new(),
    };
    assert_eq!(start().finish(Some(&body)), Err(BuildError::LineBreak));
    let long = start().raw(b"X", &vec![b'x'; MAX_MESSAGE]);
    assert_eq!(long.finish(None), Err(BuildError::TooLong));
    assert!(start().raw(b"X", b"a\r\n b\n\tc\0").finish(None).is_ok());
}
