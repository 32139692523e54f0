//! Ordinary calls: set up, held, refused, hung up.

use super::*;
use crate::core::Operator;
use crate::store::rules::Fate;

// spec: D30
#[test]
fn a_call_is_set_up_kept_and_hung_up() {
    let mut bench = Bench::new();
    bench.agent_sends(invite("c1", "", OFFER));
    bench.agent_gets("100");
    let down = bench.ua_gets("INVITE");
    assert_eq!(down.request_uri(), "sip:2001@127.0.0.1:5091");
    assert_eq!(down.text(Name::MaxForwards).unwrap(), "68");
    assert_eq!(down.from().uri, "sip:1001@pbx.example");
    assert!(
        down.text(Name::PAssertedIdentity)
            .unwrap()
            .contains("+4930123")
    );
    assert!(down.header(Name::InstanceUtilization).is_none());
    assert_ne!(down.call_id(), "c1");
    assert!(down.from_tag().len() * 4 >= 96, "spec: X40");
    assert!(text(&down.sdp().unwrap()).contains("m=audio 30002 RTP/AVP 8 101"));

    bench.ua_responds(&down, 183, Some(ANSWER));
    let early = bench.agent_gets("183");
    assert!(text(&early.sdp().unwrap()).contains("m=audio 30000 RTP/AVP 8 101"));
    assert_eq!(early.text(Name::InstanceUtilization).unwrap(), "1");
    bench.ua_responds(&down, 200, Some(ANSWER));
    let ok = bench.agent_gets("200");
    bench.ua_gets("ACK");
    assert_eq!(ok.sdp(), early.sdp());
    assert_eq!(ok.to_tag(), early.to_tag());
    assert_eq!(bench.store.borrow().live(), 1);

    let invite = Message::parse(invite("c1", "", OFFER)).unwrap();
    let flow = TransportKey::udp(addr(AGENT), bench.address);
    let mut agent = Dialog::uac(&invite, &ok, flow).unwrap();
    bench.agent_acks(&agent, 1);
    bench.agent_hangs_up(&mut agent);
    bench.quiet();
    bench.no_leaks();
}

// spec: D2
// spec: D30
#[test]
fn the_record_says_how_to_reach_the_downstream_ua() {
    let mut bench = Bench::new();
    let up = bench.establish("c1");
    let store = bench.store.borrow();
    let Some(crate::store::rules::Fate::Live(record)) = store.fate(&up.key()) else {
        panic!("no row");
    };
    assert_eq!(record.generation, 0);
    assert_eq!(&*record.trunk, "127.0.0.1");
    assert_eq!(&*record.remote_target, "sip:127.0.0.1:5091");
    assert_eq!(record.address, addr(UA));
    assert_eq!(record.first_cseq, 1);
    assert_eq!(record.downstream.remote_tag, up.ua.id.local_tag);
    assert_eq!(record.downstream.local_tag, up.ua.id.remote_tag);
    assert_eq!(&*record.local, b"\"Alice\" <sip:1001@pbx.example>");
    let bytes = record.encode();
    let holds = |word: &[u8]| bytes.windows(word.len()).any(|window| window == word);
    assert!(
        !holds(b"m=audio") && !holds(b"25000") && !holds(b"30002"),
        "no media state"
    );
}

#[test]
fn the_downstream_ua_hangs_up() {
    let mut bench = Bench::new();
    let mut up = bench.establish("c1");
    bench.ua_requests(&mut up.ua, Method::Bye);
    bench.ua_gets("200");
    let bye = bench.agent_gets("BYE");
    let ok = response(&bye, 200, "", AGENT, None);
    bench.agent_sends(ok);
    bench.quiet();
    bench.no_leaks();
}

#[test]
fn a_cancelled_call_is_cancelled_downstream() {
    let mut bench = Bench::new();
    let bytes = invite("c1", "", OFFER);
    bench.agent_sends(bytes.clone());
    bench.agent_gets("100");
    let down = bench.ua_gets("INVITE");
    bench.ua_responds(&down, 180, None);
    bench.agent_gets("180");
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let head = text.split("Contact").next().unwrap();
    let cancel = head
        .replace("INVITE sip:", "CANCEL sip:")
        .replace("1 INVITE", "1 CANCEL");
    bench.agent_sends(format!("{cancel}Content-Length: 0\r\n\r\n").into());
    bench.agent_gets("200");
    bench.agent_gets("487");
    let cancel = bench.ua_gets("CANCEL");
    bench.ua_responds(&cancel, 200, None);
    bench.ua_responds(&down, 487, None);
    bench.ua_gets("ACK");
    bench.quiet();
    bench.no_leaks();
}

#[test]
fn a_refusal_goes_upstream() {
    let mut bench = Bench::new();
    bench.agent_sends(invite("c1", "", OFFER));
    bench.agent_gets("100");
    let down = bench.ua_gets("INVITE");
    bench.ua_responds(&down, 486, None);
    bench.ua_gets("ACK");
    bench.agent_gets("486");
    bench.no_leaks();
}

// spec: X27
#[test]
fn a_hold_goes_through() {
    let mut bench = Bench::new();
    let mut up = bench.establish("c1");
    let branch = bench.branch();
    let held = OFFER
        .replace("sendrecv", "sendonly")
        .replace("1 1 IN", "1 2 IN");
    bench.agent_sends(in_dialog(
        &mut up.agent,
        &Method::Invite,
        &branch,
        &[],
        Some(&held),
    ));
    bench.agent_gets("100");
    let down = bench.ua_gets("INVITE");
    assert!(text(&down.sdp().unwrap()).contains("a=sendonly"));
    let answer = ANSWER.replace("sendrecv", "recvonly");
    bench.ua_responds(&down, 200, Some(&answer));
    bench.ua_gets("ACK");
    let ok = bench.agent_gets("200");
    assert!(text(&ok.sdp().unwrap()).contains("a=recvonly"));
    bench.agent_acks(&up.agent, 2);
    bench.agent_hangs_up(&mut up.agent);
    bench.no_leaks();
}

/// The offer comes with the answer, and its answer with the ACK (RFC 3261 13.2.1).
#[test]
fn a_call_without_an_offer_is_set_up() {
    let mut bench = Bench::new();
    bench.agent_sends(invite("c1", "", ""));
    bench.agent_gets("100");
    let down = bench.ua_gets("INVITE");
    assert!(down.sdp().is_none());
    bench.ua_responds(&down, 200, Some(ANSWER));
    let ok = bench.agent_gets("200");
    assert!(text(&ok.sdp().unwrap()).contains("c=IN IP4 127.0.0.11"));
    assert!(bench.to_ua.is_empty(), "the ACK waits for the answer");
    let first = Message::parse(invite("c1", "", "")).unwrap();
    let flow = TransportKey::udp(addr(AGENT), bench.address);
    let agent = Dialog::uac(&first, &ok, flow).unwrap();
    let branch = bench.branch();
    let ack = agent
        .ack(1, &branch)
        .finish(Some(&sdp_body(OFFER)))
        .unwrap();
    bench.agent_sends(ack);
    let ack = bench.ua_gets("ACK");
    assert!(text(&ack.sdp().unwrap()).contains("c=IN IP4 127.0.0.11"));
    bench.quiet();
}

#[test]
fn a_call_without_an_ack_ends() {
    let mut bench = Bench::new();
    bench.agent_sends(invite("c1", "", OFFER));
    let down = bench.ua_gets("INVITE");
    bench.ua_responds(&down, 200, Some(ANSWER));
    bench.ua_gets("ACK");
    bench.pass(Duration::from_secs(33));
    bench.ua_gets("BYE");
    assert_eq!(
        *bench
            .to_agent
            .iter()
            .find(|m| m.is_request())
            .unwrap()
            .method(),
        Method::Bye
    );
    bench.no_leaks();
}

#[test]
fn a_refused_re_invite_leaves_the_call_as_it_was() {
    let mut bench = Bench::new();
    let mut up = bench.establish("c1");
    let branch = bench.branch();
    let more = format!("{OFFER}m=video 20002 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n");
    bench.agent_sends(in_dialog(
        &mut up.agent,
        &Method::Invite,
        &branch,
        &[],
        Some(&more),
    ));
    bench.agent_gets("100");
    let down = bench.ua_gets("INVITE");
    assert_eq!(bench.core.ports_in_use(), 4);
    bench.ua_responds(&down, 488, None);
    bench.ua_gets("ACK");
    bench.agent_gets("488");
    assert_eq!(bench.core.ports_in_use(), 2);
    assert_eq!(bench.core.live_calls(), 1);
    bench.agent_hangs_up(&mut up.agent);
    bench.no_leaks();
}

#[test]
fn an_offer_that_cannot_be_relayed_gets_488() {
    let mut bench = Bench::new();
    bench.agent_sends(invite("c1", "", "v=0\r\nm=audio nonsense\r\n"));
    bench.agent_gets("100");
    let refused = bench.agent_gets("488");
    assert!(refused.text(Name::Reason).unwrap().contains("488"));
    bench.quiet();
    bench.no_leaks();
}

#[test]
fn an_answer_that_cannot_be_relayed_ends_the_call_with_a_reason() {
    let mut bench = Bench::new();
    bench.agent_sends(invite("c1", "", OFFER));
    bench.agent_gets("100");
    let down = bench.ua_gets("INVITE");
    bench.ua_responds(&down, 200, Some("v=0\r\nm=audio nonsense\r\n"));
    bench.ua_gets("ACK");
    let bye = bench.ua_gets("BYE");
    assert!(bye.text(Name::Reason).unwrap().contains("cause=502"));
    bench.agent_gets("502");
    bench.no_leaks();
}

// spec: D33
#[test]
fn options_tell_utilization_and_incarnation() {
    let mut bench = Bench::with(
        NodeConfig {
            capacity: 2,
            ..NodeConfig::new(
                addr("127.0.0.11:5060"),
                addr(UA),
                "cafe0123cafe0123",
                [1; 32],
            )
        },
        Rc::default(),
    );
    let options = |branch: &str| -> Bytes {
        format!(
            "OPTIONS sip:127.0.0.11 SIP/2.0\r\nVia: SIP/2.0/UDP {AGENT};branch=z9hG4bK{branch};rport\r\n\
             From: <sip:probe@pbx.example>;tag=p\r\nTo: <sip:127.0.0.11>\r\nCall-ID: {branch}\r\n\
             CSeq: 1 OPTIONS\r\nMax-Forwards: 0\r\nContent-Length: 0\r\n\r\n"
        )
        .into()
    };
    bench.agent_sends(options("o1"));
    let ok = bench.agent_gets("200");
    assert_eq!(ok.text(Name::InstanceUtilization).unwrap(), "0");
    assert_eq!(
        ok.text(Name::InstanceIncarnation).unwrap(),
        "cafe0123cafe0123"
    );
    assert!(ok.has_token(Name::Supported, "replaces"));
    assert!(ok.has_token(Name::Allow, "INVITE"));

    let first = bench.establish("c1");
    assert_eq!(first.ok.text(Name::InstanceUtilization).unwrap(), "50");
    let second = bench.establish("c2");
    assert_eq!(second.ok.text(Name::InstanceUtilization).unwrap(), "50");
    bench.pass(ms(1000));
    bench.agent_sends(options("o2"));
    assert_eq!(
        bench
            .agent_gets("200")
            .text(Name::InstanceUtilization)
            .unwrap(),
        "100"
    );

    bench.agent_sends(invite("c3", "", OFFER));
    let full = bench.agent_gets("503");
    assert!(full.header(Name::RetryAfter).is_some());
    bench.ua_sends(options("o3"));
    let ok = bench.ua_gets("200");
    assert!(ok.header(Name::InstanceUtilization).is_none());
    assert!(ok.header(Name::InstanceIncarnation).is_none());
    bench.quiet();
}

#[test]
fn what_cannot_be_done_is_refused() {
    let mut bench = Bench::new();
    bench.agent_sends(invite("c1", "Require: 100rel\r\n", OFFER));
    assert_eq!(
        bench.agent_gets("420").text(Name::Unsupported).unwrap(),
        "100rel"
    );
    let far = String::from_utf8(invite("c2", "", OFFER).to_vec()).unwrap();
    bench.agent_sends(far.replace("Max-Forwards: 69", "Max-Forwards: 0").into());
    bench.agent_gets("483");
    bench.input(Input::Other(In::Operator(Operator::Drain)));
    bench.agent_sends(invite("c3", "", OFFER));
    assert!(bench.agent_gets("503").header(Name::RetryAfter).is_some());
    bench.input(Input::Other(In::Operator(Operator::Resume)));
    bench.establish("c4");
    bench.quiet();
}

#[test]
fn a_call_that_nobody_answers_ends() {
    let mut bench = Bench::new();
    bench.agent_sends(invite("c1", "", OFFER));
    bench.agent_gets("100");
    let down = bench.ua_gets("INVITE");
    bench.ua_responds(&down, 180, None);
    bench.agent_gets("180");
    bench.pass(Duration::from_secs(186));
    bench.agent_gets("408");
    bench.ua_gets("CANCEL");
    bench.no_leaks();
}

#[test]
fn an_unreachable_downstream_ua_gives_408() {
    let mut bench = Bench::new();
    bench.agent_sends(invite("c1", "", OFFER));
    bench.agent_gets("100");
    bench.pass(Duration::from_secs(33));
    bench.agent_gets("408");
    bench.no_leaks();
}

// spec: X30
#[test]
fn a_changed_downstream_target_is_kept() {
    let mut bench = Bench::new();
    let mut up = bench.establish("c1");
    let branch = bench.branch();
    up.ua.flow.local = addr("127.0.0.1:5099");
    let update = in_dialog(&mut up.ua, &Method::Update, &branch, &[], None);
    bench.ua_sends(update);
    bench.agent_gets("UPDATE");
    let store = bench.store.borrow();
    let Some(crate::store::rules::Fate::Live(record)) = store.fate(&up.key()) else {
        panic!("no row");
    };
    assert_eq!(&*record.remote_target, "sip:127.0.0.1:5099");
}

/// A node that is killed before the downstream UA knows must not have told the agent that all is
/// done: the agent then has another node end the call.
// spec: X27
#[test]
fn the_agents_bye_is_answered_when_the_downstream_ua_has_heard_of_it() {
    for answers in [true, false] {
        let mut bench = Bench::new();
        let mut up = bench.establish("c1");
        bench.agent_requests(&mut up.agent, Method::Bye, &[]);
        let bye = bench.ua_gets("BYE");
        bench.quiet();
        assert!(matches!(
            bench.store.borrow().fate(&up.key()),
            Some(Fate::Live(_))
        ));
        if answers {
            bench.ua_responds(&bye, 200, None);
        } else {
            bench.pass(ms(1000));
        }
        bench.agent_gets("200");
        bench.pass(ms(10));
        assert_eq!(bench.store.borrow().fate(&up.key()), Some(&Fate::Over));
        bench.to_ua.clear();
        bench.no_leaks();
    }
}

/// Both hang up at once: each hears that it is done.
#[test]
fn byes_that_cross_are_both_answered() {
    let mut bench = Bench::new();
    let mut up = bench.establish("c1");
    bench.agent_requests(&mut up.agent, Method::Bye, &[]);
    let bye = bench.ua_gets("BYE");
    bench.ua_requests(&mut up.ua, Method::Bye);
    bench.ua_gets("200");
    bench.ua_responds(&bye, 481, None);
    bench.agent_gets("200");
    bench.no_leaks();
}
