//! Who may speak to the node (spec: X40).

use super::*;
use holdline_b2bua::Ignored;

fn ignored(why: Ignored) -> Event {
    let from = addr("192.0.2.66:5060");
    Event::Ignored { from, why }
}

// spec: X40
#[test]
fn strangers_get_no_answer_and_are_counted() {
    let mut bench = Bench::new();
    let up = bench.establish("c1");
    bench.receive("192.0.2.66:5060", invite("x1", "", OFFER));
    bench.receive("192.0.2.66:5060", invite("x2", &up.replaces(), OFFER));
    bench.receive(
        "192.0.2.66:5060",
        Bytes::from_static(b"OPTIONS sip:a SIP/2.0\r\n\r\n"),
    );
    bench.quiet();
    assert_eq!(bench.core.live_calls(), 1);
    let stranger = ignored(Ignored::Source);
    let garbage = ignored(Ignored::Garbage);
    let counted = bench
        .events
        .iter()
        .filter(|e| **e == stranger || **e == garbage);
    assert_eq!(counted.count(), 3);
}

/// What a peer sends wrongly is answered, and counted all the same.
#[test]
fn a_malformed_request_of_a_peer_is_refused_and_counted() {
    let mut bench = Bench::new();
    let wrong = text(&invite("x1", "", OFFER)).replace("1 INVITE", "1 BYE");
    let wrong = Bytes::from(wrong);
    bench.agent_sends(wrong.clone());
    let refusal = bench.agent_gets("400");
    assert!(refusal.header(Name::InstanceRefusal).is_some());
    // It is remembered by nobody, and answered the same (RFC 3261 8.2.7).
    bench.agent_sends(wrong);
    assert_eq!(bench.agent_gets("400").bytes(), refusal.bytes());
    let malformed = |event: &&Event| {
        matches!(
            event,
            Event::Ignored {
                why: Ignored::Malformed,
                ..
            }
        )
    };
    assert_eq!(bench.events.iter().filter(malformed).count(), 2);
    assert_eq!(bench.core.live_calls(), 0);
}

/// An SBC has several addresses: one that its dialog names is the peer's own.
// spec: X40
#[test]
fn a_peer_inside_a_dialog_speaks_from_any_address_that_the_dialog_names() {
    let mut bench = Bench::new();
    bench.agent_sends(invite("c1", "", OFFER));
    bench.agent_gets("100");
    let downstream = bench.ua_gets("INVITE");
    let contact = "192.0.2.66:5062";
    bench.ua_sends(response(&downstream, 200, "ua-tag", contact, Some(ANSWER)));
    // It goes to the Contact, which is not where the bench has its downstream UA.
    bench.agent_gets("ACK");
    bench.agent_gets("200");
    let flow = TransportKey::udp(addr(UA), bench.address);
    let mut ua = Dialog::uas(&downstream, "ua-tag", flow).unwrap();
    let branch = bench.branch();
    let bye = in_dialog(&mut ua, &Method::Bye, &branch, &[], None);
    bench.receive("192.0.2.66:5099", bye);
    let got = bench
        .to_agent
        .iter()
        .any(|message| *message.method() == Method::Bye);
    assert!(got, "the agent hears of it");
}

/// A tag that was overheard ends nobody's call.
// spec: X40
#[test]
fn a_stranger_who_knows_a_dialog_gets_no_answer() {
    let mut bench = Bench::new();
    let mut up = bench.establish("c1");
    let branch = bench.branch();
    let bye = in_dialog(&mut up.ua, &Method::Bye, &branch, &[], None);
    bench.receive("192.0.2.66:5060", bye);
    bench.quiet();
    assert_eq!(bench.core.live_calls(), 1);
    assert!(bench.events.contains(&ignored(Ignored::Source)));
}

#[test]
fn unknown_dialogs_get_481_and_other_methods_405() {
    let mut bench = Bench::new();
    let mut up = bench.establish("c1");
    up.agent.id.remote_tag = "0000".into();
    bench.agent_requests(&mut up.agent, Method::Bye, &[]);
    bench.agent_gets("481");
    let register = format!(
        "REGISTER sip:demo.example SIP/2.0\r\nVia: SIP/2.0/UDP {AGENT};branch=z9hG4bKreg\r\n\
         From: <sip:1@pbx.example>;tag=r\r\nTo: <sip:1@pbx.example>\r\nCall-ID: reg\r\n\
         CSeq: 1 REGISTER\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    );
    bench.agent_sends(register.into());
    assert!(bench.agent_gets("405").has_token(Name::Allow, "BYE"));
    bench.ua_sends(invite("back", "", OFFER));
    bench.ua_gets("403");
    bench.quiet();
}

#[test]
fn a_broken_request_is_told_so() {
    let mut bench = Bench::new();
    let text = String::from_utf8(invite("c1", "", OFFER).to_vec()).unwrap();
    bench.agent_sends(text.replace("CSeq: 1 INVITE", "CSeq: 1 BYE").into());
    bench.agent_gets("400");
    bench.receive(
        "192.0.2.66:5060",
        text.replace("CSeq: 1 INVITE", "CSeq: 1 BYE").into(),
    );
    bench.quiet();
    assert_eq!(bench.core.live_calls(), 0);
}

/// RFC 3261 8.2.2; of RFC 4475 the messages `novelsc` and `bext01`.
#[test]
fn options_that_ask_what_is_not_there_are_refused() {
    let mut bench = Bench::new();
    for (uri, require, status) in [
        ("soap.beep://192.0.2.103:3002", "timer", "416"),
        ("sip:x@h", "timer, nothingSupportsThis", "420"),
        ("SIP:x@h", "timer", "200"),
    ] {
        let branch = bench.branch();
        let options = format!(
            "OPTIONS {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {AGENT};branch={branch}\r\n\
             From: <sip:a@h>;tag=1\r\nTo: <sip:x@h>\r\nCall-ID: {branch}\r\nCSeq: 1 OPTIONS\r\n\
             Max-Forwards: 70\r\nRequire: {require}\r\nContent-Length: 0\r\n\r\n"
        );
        bench.agent_sends(options.into());
        let answer = bench.agent_gets(status);
        if status == "420" {
            let unsupported = answer.text(Name::Unsupported);
            assert_eq!(unsupported.as_deref(), Some("nothingSupportsThis"));
        }
    }
    bench.quiet();
}

/// The number of the fire brigade is not a user of somebody's.
// spec: X23
#[test]
fn an_emergency_number_stays_the_urn_that_it_is() {
    let mut bench = Bench::new();
    for (call, uri, called) in [
        (
            "c1",
            "urn:service:sos.fire",
            "urn:service:sos.fire".to_owned(),
        ),
        (
            "c2",
            "TEL:112;phone-context=x",
            format!("sip:112;phone-context=x@{UA}"),
        ),
    ] {
        let asked = text(&invite(call, "", OFFER));
        let invite = asked.replace("INVITE sip:2001@demo.example", &format!("INVITE {uri}"));
        bench.agent_sends(invite.into());
        bench.agent_gets("100");
        assert_eq!(bench.ua_gets("INVITE").request_uri(), called);
    }
}
