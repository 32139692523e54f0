use super::{at, sdp, session, text};
use crate::sdp::{Direction, Sdp};

/// The formats and direction in use of the first stream, for two descriptions of it.
fn in_use(ours: &str, theirs: &str) -> (String, Direction) {
    let used = both(ours, theirs);
    (used.media()[0].formats.join(" "), used.media()[0].direction)
}

fn both(ours: &str, theirs: &str) -> Sdp {
    sdp(&session(ours)).in_use(&sdp(&session(theirs)))
}

// spec: X24a
#[test]
fn the_formats_of_the_answer_are_in_use() {
    let event = |number| format!("a=rtpmap:{number} telephone-event/8000\n");
    for (ours, theirs, used) in [
        ("0 8 18".to_owned(), "8".to_owned(), "8"),
        // Our order, not the answer's.
        ("0 8".to_owned(), "8 0".to_owned(), "0 8"),
        // One side says rtpmap, the other leaves it to the table.
        ("0 8\na=rtpmap:8 PCMA/8000".to_owned(), "8".to_owned(), "8"),
        (
            "18".to_owned(),
            "18\na=rtpmap:18 G729a/8000".to_owned(),
            "18",
        ),
        // Key presses under another number stay under ours.
        (
            format!("0 8 101\n{}", event(101)),
            format!("0 96\n{}", event(96)),
            "0 101",
        ),
        // The same number for another codec is not the same format.
        (
            format!("0 96\n{}", event(96)),
            "0 96\na=rtpmap:96 opus/48000/2".to_owned(),
            "0",
        ),
        // Swapped numbers.
        (
            "96 97\na=rtpmap:96 opus/48000/2\na=rtpmap:97 AMR/8000".to_owned(),
            "96\na=rtpmap:96 amr/8000/1".to_owned(),
            "97",
        ),
        // An answer that forgot its rtpmap, or its channels, means our number.
        (
            "96 0\na=rtpmap:96 opus/48000/2".to_owned(),
            "96".to_owned(),
            "96",
        ),
        (
            "96 0\na=rtpmap:96 opus/48000/2".to_owned(),
            "96\na=rtpmap:96 OPUS/48000".to_owned(),
            "96",
        ),
        // One codec under two numbers: the answer's choice by number counts.
        (
            "97 98\na=rtpmap:97 H264/90000\na=rtpmap:98 H264/90000\na=fmtp:98 packetization-mode=1"
                .to_owned(),
            "98\na=rtpmap:98 H264/90000".to_owned(),
            "98",
        ),
        // No codec in common: what we said stands.
        ("0 8".to_owned(), "3".to_owned(), "0 8"),
        (
            format!("0 101\n{}", event(101)),
            format!("8 101\n{}", event(101)),
            "0 101",
        ),
        // Only key presses were offered at all.
        (
            format!("101 13\n{}", event(101)),
            format!("101\n{}", event(101)),
            "101",
        ),
    ] {
        let stream = |formats: &str| format!("m=audio 4000 RTP/AVP {formats}\n");
        assert_eq!(
            in_use(&stream(&ours), &stream(&theirs)).0,
            used,
            "{ours:?} {theirs:?}"
        );
    }
    let fax = "m=image 4000 udptl t38\n";
    assert_eq!(in_use(fax, "m=image 5000 udptl T38\n").0, "t38");
}

// spec: X27
#[test]
fn a_hold_from_either_side_is_in_use() {
    // RFC 3264 section 8.4 and the answers RFC 6337 section 5.3 allows: (our word, the peer's
    // lines, what we offer when the call moves).
    for (ours, theirs, direction) in [
        ("", "", Direction::SendRecv),
        // The far side holds us: we receive, and offer that.
        ("", "a=sendonly\n", Direction::RecvOnly),
        ("a=recvonly\n", "a=sendonly\n", Direction::RecvOnly),
        // The far side holds the old way.
        ("", "c=IN IP4 0.0.0.0\n", Direction::RecvOnly),
        ("", "c=IN IP4 0.0.0.0\na=inactive\n", Direction::Inactive),
        // We hold the far side.
        ("a=sendonly\n", "a=recvonly\n", Direction::SendOnly),
        ("a=sendonly\n", "", Direction::SendOnly),
        ("a=sendonly\n", "a=inactive\n", Direction::Inactive),
        // Both hold.
        ("a=sendonly\n", "a=sendonly\n", Direction::Inactive),
        ("a=inactive\n", "a=sendonly\n", Direction::Inactive),
    ] {
        let stream = |port, lines: &str| format!("m=audio {port} RTP/AVP 0\n{lines}");
        let used = both(&stream(4000, ours), &stream(5000, theirs));
        assert_eq!(used.media()[0].direction, direction, "{ours:?} {theirs:?}");
        assert_eq!(used.media()[0].port, 4000);
    }
}

// spec: X24a
#[test]
fn streams_that_either_side_refused_have_port_0() {
    let used = both(
        "m=audio 4000 RTP/AVP 0\nm=video 4002 RTP/AVP 31\nm=audio 0 RTP/AVP 0\nm=text 4006 RTP/AVP 98\n\
         m=audio 4008 RTP/AVP 0\n",
        "m=audio 5000 RTP/AVP 0\nm=video 0 RTP/AVP 31\nm=audio 5004 RTP/AVP 0\nm=audio 5006 RTP/AVP 98\n",
    );
    let ports: Vec<u16> = used.media().iter().map(|media| media.port).collect();
    assert_eq!(ports, [4000, 0, 0, 0, 0]);
}

// spec: X24a
#[test]
fn what_is_in_use_of_a_whole_offer_is_our_offer_with_less() {
    let used = both(
        "a=x\nm=audio 4000 RTP/AVP 0 9 101\na=rtpmap:9 G722/8000\na=rtpmap:101 telephone-event/8000\n\
         a=fmtp:101 0-16\na=ptime:20\na=rtcp-mux\na=rtcp:4001\n",
        "m=audio 5000 RTP/AVP 9 110\na=rtpmap:110 telephone-event/8000\na=ptime:30\na=sendonly\n",
    );
    assert_eq!(
        text(&used),
        session(
            "a=x\nm=audio 4000 RTP/AVP 9 101\na=rtpmap:9 G722/8000\n\
             a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-16\na=ptime:20\na=rtcp:4001\n\
             a=recvonly\n"
        )
    );
    let muxed = "m=audio 4000 RTP/AVP 0\na=rtcp-mux\n";
    assert_eq!(
        text(&both(muxed, muxed)),
        session(muxed),
        "mux stays where both have it"
    );
}

// spec: X31a
#[test]
fn a_mirrored_offer_is_its_own_answer() {
    let offer = "a=group:BUNDLE 0 1\na=recvonly\n\
        m=audio 4000 RTP/AVP 96 0 101\na=rtpmap:96 opus/48000/2\na=fmtp:96 useinbandfec=1\n\
        a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=mid:0\na=rtcp-fb:* nack\n\
        a=ssrc:1 cname:x\na=candidate:1 1 UDP 1 192.0.2.1 4000 typ host\na=sendonly\n\
        m=video 4002 RTP/SAVP 31\nk=prompt\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\na=mid:1\n\
        m=audio 4004 UDP/TLS/RTP/SAVPF 0\na=setup:actpass\na=fingerprint:sha-256 AA\n\
        m=audio 4006 RTP/AVP 0\n";
    let anchors = [
        at("198.51.100.1:30000"),
        None,
        None,
        at("198.51.100.1:30002"),
    ];
    let answer = sdp(&session(offer)).mirrored(&anchors, 77);
    assert_eq!(
        text(&answer),
        "v=0\no=- 77 1 IN IP4 198.51.100.1\ns=-\nc=IN IP4 198.51.100.1\nt=0 0\na=sendonly\n\
         m=audio 30000 RTP/AVP 96 0 101\na=rtpmap:96 opus/48000/2\na=fmtp:96 useinbandfec=1\n\
         a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-15\na=mid:0\na=rtcp-fb:* nack\n\
         a=recvonly\nm=video 0 RTP/SAVP 31\na=mid:1\n\
         m=audio 0 UDP/TLS/RTP/SAVPF 0\nm=audio 30002 RTP/AVP 0\n"
    );
}

// spec: X31a
#[test]
fn each_direction_is_answered_by_its_reverse() {
    for (lines, answered) in [
        ("", Direction::SendRecv),
        ("a=sendonly\n", Direction::RecvOnly),
        ("a=recvonly\n", Direction::SendOnly),
        ("a=inactive\n", Direction::Inactive),
        ("c=IN IP4 0.0.0.0\n", Direction::RecvOnly),
        ("c=IN IP4 0.0.0.0\na=recvonly\n", Direction::Inactive),
    ] {
        for session_word in ["", "a=sendonly\n", "a=inactive\n"] {
            let offer = session(&format!("{session_word}m=audio 4000 RTP/AVP 0\n{lines}"));
            let offer = sdp(&offer);
            let answer = offer.mirrored(&[at("198.51.100.1:30000")], 1);
            let expected = offer.media()[0].direction.reversed();
            assert_eq!(answer.media()[0].direction, expected, "{offer:?}");
            if session_word.is_empty() {
                assert_eq!(expected, answered, "{lines}");
            }
        }
    }
}

#[test]
fn an_answer_without_any_anchor_gives_no_address_away() {
    let answer = sdp(&session("m=audio 4000 RTP/AVP 0\n")).mirrored(&[], 1);
    assert!(text(&answer).contains("o=- 1 1 IN IP4 0.0.0.0\n"));
    assert_eq!(answer.media()[0].port, 0);
}
