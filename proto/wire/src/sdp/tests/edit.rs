use super::{at, sdp, session, text};
use crate::sdp::{Direction, Sdp};

/// What `anchored` makes of the streams in `before`, as text after the t= line.
fn anchored(before: &str, anchors: &[Option<crate::sdp::Anchor>]) -> String {
    let out = text(&sdp(&session(before)).anchored(anchors));
    let start = "v=0\no=alice 11 12 IN IP4 192.0.2.1\ns=-\n";
    let out = out
        .strip_prefix(start)
        .expect("session lines stay")
        .to_owned();
    out.replace("t=0 0\n", "")
}

#[test]
fn one_relay_address_changes_the_sessions_line_and_ports_only() {
    let before = "m=audio 4000 RTP/AVP 0 8\na=ptime:20\nm=video 4002/2 RTP/AVP 31\nb=AS:256\n";
    assert_eq!(
        anchored(
            before,
            &[at("198.51.100.1:30000"), at("198.51.100.1:30002")]
        ),
        "c=IN IP4 198.51.100.1\nm=audio 30000 RTP/AVP 0 8\na=ptime:20\n\
         m=video 30002 RTP/AVP 31\nb=AS:256\n"
    );
}

#[test]
fn streams_get_their_own_address_where_the_sessions_is_not_theirs() {
    let before = "m=audio 4000 RTP/AVP 0\nc=IN IP4 192.0.2.9\n\
                  m=audio 4002 RTP/AVP 0\ni=second\na=x\nm=audio 4004 RTP/AVP 0\n";
    let anchors = [
        at("198.51.100.1:30000"),
        at("[2001:db8::1]:30002"),
        at("198.51.100.3:30004"),
    ];
    assert_eq!(
        anchored(before, &anchors),
        "c=IN IP6 2001:db8::1\nm=audio 30000 RTP/AVP 0\nc=IN IP4 198.51.100.1\n\
         m=audio 30002 RTP/AVP 0\ni=second\na=x\nm=audio 30004 RTP/AVP 0\nc=IN IP4 198.51.100.3\n"
    );
    // Nobody relies on the session's line: it must not give the old address away.
    let before = "m=audio 4000 RTP/AVP 0\nc=IN IP4 192.0.2.9\n";
    assert_eq!(
        anchored(before, &[at("198.51.100.1:30000")]),
        "c=IN IP4 198.51.100.1\nm=audio 30000 RTP/AVP 0\nc=IN IP4 198.51.100.1\n"
    );
}

#[test]
fn the_family_follows_the_anchor() {
    let before = "m=audio 4000 RTP/AVP 0\na=rtcp:4009 IN IP4 192.0.2.1\n";
    assert_eq!(
        anchored(before, &[at("[2001:db8::1]:30000")]),
        "c=IN IP6 2001:db8::1\nm=audio 30000 RTP/AVP 0\na=rtcp:30001 IN IP6 2001:db8::1\n"
    );
}

#[test]
fn a_stream_without_an_anchor_is_refused_and_a_refused_one_stays_so() {
    let before = "m=audio 4000 RTP/AVP 0\nm=image 4002/3 udptl t38\na=T38FaxVersion:0\n\
                  m=video 0 RTP/AVP 31\nm=message 7654 TCP/MSRP *\n";
    assert_eq!(
        anchored(
            before,
            &[at("198.51.100.1:30000"), None, at("198.51.100.1:30004")]
        ),
        "c=IN IP4 198.51.100.1\nm=audio 30000 RTP/AVP 0\nm=image 0 udptl t38\na=T38FaxVersion:0\n\
         m=video 0 RTP/AVP 31\nm=message 0 TCP/MSRP *\n"
    );
    // Any live stream with an anchor is anchored, RTP or not.
    assert_eq!(
        anchored("m=image 4002 udptl t38\n", &[at("198.51.100.1:30000")]),
        "c=IN IP4 198.51.100.1\nm=image 30000 udptl t38\n"
    );
}

#[test]
fn nothing_that_leads_past_the_relay_stays() {
    let before = "a=ice-lite\na=ice-options:trickle\nm=audio 4000 RTP/AVP 0\na=rtcp:4001\n\
                  a=candidate:1 1 UDP 2130706431 192.0.2.1 4000 typ host\na=ice-ufrag:8hhY\n\
                  a=ice-pwd:asd88fgpdd777uzjYhagZg\na=remote-candidates:1 192.0.2.3 45664\n\
                  a=ssrc:4711 cname:x\na=msid:a b\na=end-of-candidates\n";
    assert_eq!(
        anchored(before, &[at("198.51.100.1:30000")]),
        "c=IN IP4 198.51.100.1\nm=audio 30000 RTP/AVP 0\na=rtcp:30001\na=ssrc:4711 cname:x\n\
         a=msid:a b\n"
    );
}

#[test]
fn rtcp_follows_the_anchor() {
    for (before, after, rtcp) in [
        ("", "", 30001),
        ("a=rtcp:5555\n", "a=rtcp:30001\n", 30001),
        (
            "a=rtcp:5555 IN IP4 192.0.2.8\n",
            "a=rtcp:30001 IN IP4 198.51.100.1\n",
            30001,
        ),
        (
            "a=rtcp:9 IN IP4 0.0.0.0\na=rtcp-mux\n",
            "a=rtcp-mux\n",
            30000,
        ),
    ] {
        let before = sdp(&session(&format!("m=audio 4000 RTP/AVP 0\n{before}")));
        let after_all = before.anchored(&[at("198.51.100.1:30000")]);
        assert!(
            text(&after_all).ends_with(&format!("RTP/AVP 0\n{after}")),
            "{after_all:?}"
        );
        assert_eq!(after_all.media()[0].rtcp.unwrap().port(), rtcp);
    }
    let last = sdp(&session("m=audio 4000 RTP/AVP 0\na=rtcp:1\n"));
    let last = last.anchored(&[at("198.51.100.1:65535")]);
    assert!(text(&last).ends_with("m=audio 65535 RTP/AVP 0\n"));
}

// spec: X27
#[test]
fn a_hold_by_zero_address_survives_the_anchor() {
    let before = "v=0\no=- 1 2 IN IP4 192.0.2.1\ns=-\nc=IN IP4 0.0.0.0\nt=0 0\n\
                  m=audio 4000 RTP/AVP 0\na=sendrecv\nm=audio 4002 RTP/AVP 0\n";
    let after = sdp(before).anchored(&[at("198.51.100.1:30000"), at("198.51.100.1:30002")]);
    assert_eq!(
        text(&after),
        "v=0\no=- 1 2 IN IP4 192.0.2.1\ns=-\nc=IN IP4 198.51.100.1\nt=0 0\n\
         m=audio 30000 RTP/AVP 0\na=sendonly\nm=audio 30002 RTP/AVP 0\na=sendonly\n"
    );
}

#[test]
fn layered_multicast_becomes_one_address() {
    let before = "m=audio 4000 RTP/AVP 0\nc=IN IP4 224.2.1.1/127\nc=IN IP4 224.2.1.2/127\n";
    let after = anchored(before, &[at("198.51.100.1:30000")]);
    assert_eq!(
        after.matches("c=").count(),
        2,
        "one at the session, one at the stream: {after}"
    );
    assert!(!after.contains("224."));
}

#[test]
fn bytes_that_no_edit_is_about_survive() {
    let before =
        b"v=0\no=Ren\xe9 99999999999999999999999999 88888888888888888888 IN IP4 192.0.2.1\n\
        s=Caf\xe9 \x80\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 4000 RTP/AVP 0\na=x-\xff:\x01";
    let sdp = Sdp::parse(before[..].into()).unwrap();
    let after = sdp
        .anchored(&[at("192.0.2.2:4000")])
        .with_direction(0, Direction::SendOnly)
        .with_direction(0, Direction::Inactive);
    let expected = b"v=0\no=Ren\xe9 99999999999999999999999999 88888888888888888888 IN IP4 192.0.2.1\n\
        s=Caf\xe9 \x80\nc=IN IP4 192.0.2.2\nt=0 0\nm=audio 4000 RTP/AVP 0\na=x-\xff:\x01\na=inactive";
    assert_eq!(after.bytes()[..], expected[..], "{after:?}");
    let after = sdp.with_origin(u64::MAX, 2, "2001:db8::1".parse().unwrap());
    let origin = b"o=Ren\xe9 18446744073709551615 2 IN IP6 2001:db8::1\ns=Caf\xe9";
    assert!(
        memchr::memmem::find(after.bytes(), origin).is_some(),
        "{after:?}"
    );
}

#[test]
fn lines_are_added_with_the_break_that_the_description_uses() {
    for (before, after) in [
        (
            "v=0\nc=IN IP4 192.0.2.1\nm=audio 1 RTP/AVP 0\n",
            "RTP/AVP 0\na=sendonly\n",
        ),
        (
            "v=0\nc=IN IP4 192.0.2.1\nm=audio 1 RTP/AVP 0",
            "RTP/AVP 0\na=sendonly",
        ),
        (
            "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 1 RTP/AVP 0",
            "RTP/AVP 0\r\na=sendonly",
        ),
        (
            "v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 1 RTP/AVP 0\r",
            "RTP/AVP 0\r\na=sendonly",
        ),
        (
            "v=0\nc=IN IP4 192.0.2.1\nm=audio 1 RTP/AVP 0\n\n",
            "RTP/AVP 0\na=sendonly\n\n",
        ),
    ] {
        let sdp = Sdp::parse(before.as_bytes().to_vec().into()).unwrap();
        let sdp = sdp.with_direction(0, Direction::SendOnly);
        assert!(sdp.bytes().ends_with(after.as_bytes()), "{sdp:?}");
        assert_eq!(sdp.media()[0].direction, Direction::SendOnly);
    }
    // A line is added behind one that goes.
    let before = "v=0\nc=IN IP4 0.0.0.0\nm=audio 1 RTP/AVP 0\na=ice-ufrag:x";
    let sdp = Sdp::parse(before.as_bytes().to_vec().into()).unwrap();
    let sdp = sdp.anchored(&[at("192.0.2.2:4000")]);
    assert_eq!(
        sdp.bytes()[..],
        b"v=0\nc=IN IP4 192.0.2.2\nm=audio 4000 RTP/AVP 0\na=sendonly"[..]
    );
}

#[test]
fn a_direction_is_said_once() {
    let before = sdp(&session(
        "a=sendonly\nm=audio 4000 RTP/AVP 0\na=x\nm=audio 4002 RTP/AVP 0\na=inactive\na=RecvOnly\n",
    ));
    assert_eq!(
        before.media()[1].direction,
        Direction::RecvOnly,
        "the last word counts"
    );
    let same = before.with_direction(0, Direction::SendOnly);
    assert_eq!(same.bytes(), before.bytes());
    let after = before
        .with_direction(0, Direction::SendRecv)
        .with_direction(1, Direction::SendOnly);
    assert!(text(&after).ends_with(
        "a=sendonly\nm=audio 4000 RTP/AVP 0\na=x\na=sendrecv\nm=audio 4002 RTP/AVP 0\na=sendonly\n"
    ));
    assert_eq!(
        before.with_direction(2, Direction::Inactive).bytes(),
        before.bytes()
    );
}

// spec: X24a
#[test]
fn formats_go_with_their_attributes() {
    let before = sdp(&session(
        "m=audio 4000 RTP/AVPF 96 0 8 101\na=rtpmap:96 opus/48000/2\na=fmtp:96 useinbandfec=1\n\
         a=rtcp-fb:96 nack\na=rtcp-fb:* ccm tmmbr\na=fmtp:* x\na=rtpmap:0 PCMU/8000\n\
         a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=ptime:20\n",
    ));
    let keep = ["101".into(), "0".into(), "7".into()];
    assert!(text(&before.with_formats(0, &keep)).ends_with(
        "m=audio 4000 RTP/AVPF 0 101\na=rtcp-fb:* ccm tmmbr\na=fmtp:* x\na=rtpmap:0 PCMU/8000\n\
         a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=ptime:20\n"
    ));
    let all = before.media()[0].formats.clone();
    assert_eq!(before.with_formats(0, &all).bytes(), before.bytes());
    assert_eq!(before.with_formats(1, &keep).bytes(), before.bytes());
    let none = before.with_formats(0, &[]);
    assert_eq!(
        (none.media()[0].port, none.media()[0].formats.len()),
        (0, 4),
        "refused"
    );
}

#[test]
fn an_origin_is_replaced_or_added() {
    let origin = |text_before: &str| {
        let after = sdp(text_before).with_origin(5, 6, "198.51.100.7".parse().unwrap());
        text(&after)
    };
    assert_eq!(
        origin("v=0\no=bob 1 2 IN IP6 ::1\ns=-\n"),
        "v=0\no=bob 5 6 IN IP4 198.51.100.7\ns=-\n"
    );
    assert_eq!(
        origin("v=0\ns=-\n"),
        "v=0\no=- 5 6 IN IP4 198.51.100.7\ns=-\n"
    );
    assert_eq!(origin("v=0\no=\n"), "v=0\no=- 5 6 IN IP4 198.51.100.7\n");
}
