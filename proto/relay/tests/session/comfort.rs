//! Which silence a near side may be sent while its far side is absent.

use crate::call::Call;
use holdline_relay::{Carrier, Command, GroupId, Side};

/// A call whose answer has these lines.
fn up(offer: &str, answer: &str) -> Call {
    let mut call = Call::new(40);
    call.offer(Side::Near, offer);
    call.answer(Side::Far, answer);
    call
}

/// The payload numbers of the silences, comfort noise in brackets.
fn silences(call: &mut Call) -> String {
    let said = |streams: Vec<(_, Vec<holdline_wire::rtp::Silence>)>| -> Vec<String> {
        let silences = streams.into_iter().flat_map(|(_, silences)| silences);
        let shown = silences.map(|silence| match silence.is_noise() {
            true => format!("({})", silence.payload_type()),
            false => silence.payload_type().to_string(),
        });
        shown.collect()
    };
    said(call.comfort()).join(" ")
}

// spec: X24
#[test]
fn silence_is_of_what_both_sides_agreed_under_the_near_sides_number() {
    let opus = "a=rtpmap:96 opus/48000/2\r\n";
    let other = "a=rtpmap:111 opus/48000/2\r\n";
    for (offer, answer, expected) in [
        ("RTP/AVP 0 8 101\r\n", "RTP/AVP 8\r\n", "8"),
        ("RTP/AVP 0 8 9\r\n", "RTP/AVP 9 8\r\n", "9 8"),
        ("RTP/AVP 13 0\r\n", "RTP/AVP 13 0\r\n", "0 (13)"),
        ("RTP/AVP 18 13\r\n", "RTP/AVP 18 13\r\n", "(13)"),
        ("RTP/AVP 18 0\r\n", "RTP/AVP 18\r\n", ""),
        ("RTP/AVPF 0\r\n", "RTP/AVPF 0\r\n", "0"),
        // Its keys are not ours.
        ("RTP/SAVP 0\r\n", "RTP/SAVP 0\r\n", ""),
        (
            &format!("RTP/AVP 96 0\r\n{opus}"),
            &format!("RTP/AVP 111\r\n{other}"),
            "96",
        ),
        // The clock of this noise is not that of what is spoken.
        (
            &format!("RTP/AVP 96 13\r\n{opus}"),
            &format!("RTP/AVP 96 13\r\n{opus}"),
            "96",
        ),
    ] {
        let line = |text: &str| format!("m=audio 4000 {text}");
        let mut call = up(&line(offer), &line(answer));
        assert_eq!(silences(&mut call), expected, "{offer} {answer}");
    }
    let mut call = up("m=video 4000 RTP/AVP 31\r\n", "m=video 4000 RTP/AVP 31\r\n");
    assert_eq!(silences(&mut call), "");
}

// spec: X24 X27
#[test]
fn who_expects_no_packets_gets_none() {
    for (near, far, expected) in [
        ("sendrecv", "sendrecv", "8"),
        // The far side holds the call and goes on sending.
        ("recvonly", "sendonly", "8"),
        ("sendonly", "recvonly", ""),
        ("sendrecv", "recvonly", ""),
        ("sendrecv", "inactive", ""),
        ("inactive", "inactive", ""),
    ] {
        let line = |direction| format!("m=audio 4000 RTP/AVP 8\r\na={direction}\r\n");
        let mut call = up(&line(near), &line(far));
        assert_eq!(silences(&mut call), expected, "{near} {far}");
    }
}

// spec: X24
#[test]
fn a_call_on_the_move_has_the_silence_of_before_and_loses_it_when_told() {
    let line = "m=audio 4000 RTP/AVP 8\r\n";
    let mut call = Call::new(40);
    call.offer(Side::Near, line);
    call.carry(Side::Far, Carrier::Provisional, line).unwrap();
    assert_eq!(silences(&mut call), "", "it rings");
    call.answer(Side::Far, line);
    call.move_far(GroupId(2), 1);
    call.carry(Side::Far, Carrier::Provisional, line).unwrap();
    let [(stream, _)] = call.comfort()[..] else {
        panic!("one stream");
    };
    call.uncomfort();
    let comfort = None;
    assert_eq!(call.commands(), [Command::Comfort { stream, comfort }]);
}
