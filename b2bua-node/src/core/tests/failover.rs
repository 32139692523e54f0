//! A survivor takes a dead node's call over.

use super::*;
use crate::store::rules::Fate;

/// Node A has a call; node B shares its store.
pub(super) fn two_nodes() -> (Bench, Bench, Up) {
    let mut a = Bench::new();
    let mut b = Bench::at("127.0.0.12:5060", "bbbbbbbbbbbbbbbb", a.store.clone());
    let up = a.establish("c1");
    a.quiet();
    b.now = a.now;
    (a, b, up)
}

// spec: D31
#[test]
fn a_call_without_media_is_taken_over_too() {
    let (_dead, mut b, up) = two_nodes();
    let off = |sdp: &str| {
        sdp.replace("m=audio 20000", "m=audio 0")
            .replace("m=audio 25000", "m=audio 0")
    };
    let (offer, answer) = (off(OFFER), off(ANSWER));
    b.agent_sends(invite(
        "f1",
        &format!("{}Require: replaces\r\n", up.replaces()),
        &offer,
    ));
    b.agent_gets("100");
    b.agent_gets("183");
    let down = b.ua_gets("INVITE");
    b.ua_responds(&down, 200, Some(&answer));
    b.ua_gets("ACK");
    b.agent_gets("200");
    b.ua_loses_the_old_dialog(&up);
}

// spec: D31
// spec: X31a
#[test]
fn a_survivor_takes_a_call_over() {
    let (_dead, mut b, up) = two_nodes();
    let failover = invite(
        "f1",
        &format!("{}Require: replaces\r\n", up.replaces()),
        OFFER,
    );
    b.agent_sends(failover.clone());
    b.agent_gets("100");
    let early = b.agent_gets("183");
    assert!(early.header(Name::RSeq).is_none(), "unreliable");
    assert!(early.sdp().is_some());
    let down = b.ua_gets("INVITE");
    b.quiet();

    // spec: D24
    let replaces = down.text(Name::Replaces).unwrap();
    let replaces = holdline_wire::header::Replaces::parse(replaces.as_bytes()).unwrap();
    assert_eq!(replaces.call_id, up.ua.id.call_id);
    assert_eq!(
        replaces.to_tag, up.ua.id.local_tag,
        "the receiver's own tag"
    );
    assert_eq!(replaces.from_tag, up.ua.id.remote_tag);
    assert!(down.has_token(Name::Require, "replaces"));
    // spec: X24a
    assert_eq!(down.request_uri(), "sip:2001@127.0.0.1:5091");
    assert_eq!(down.from().uri, "sip:1001@pbx.example");
    assert_eq!(down.to().uri, "sip:2001@demo.example");
    assert_ne!(down.call_id(), &*up.ua.id.call_id);
    assert!(down.text(Name::PAssertedIdentity).is_some());
    assert_eq!(
        down.fields()
            .filter(|field| field.name == Name::Require)
            .count(),
        1
    );

    b.ua_responds(&down, 200, Some(ANSWER));
    b.ua_gets("ACK");
    let ok = b.agent_gets("200");
    assert_eq!(
        ok.sdp(),
        early.sdp(),
        "the 200 repeats the 183's description"
    );
    assert_eq!(ok.to_tag(), early.to_tag());
    b.quiet();

    let invite = Message::parse(failover).unwrap();
    let flow = TransportKey::udp(addr(AGENT), b.address);
    let mut agent = Dialog::uac(&invite, &ok, flow).unwrap();
    b.agent_acks(&agent, 1);
    assert_eq!(b.store.borrow().fate(&up.key()), Some(&Fate::Moved(1)));
    assert_eq!(b.store.borrow().live(), 1);
    // spec: X28
    b.ua_loses_the_old_dialog(&up);

    // Later signalling works.
    b.agent_hangs_up(&mut agent);
    b.no_leaks();
}

/// The agent gave the first attempt up, while this node stood still.
// spec: X24; storm 3239
#[test]
fn two_attempts_at_one_call_do_not_meet_at_the_far_end() {
    let (_dead, mut b, up) = two_nodes();
    b.agent_sends(invite("f1", &up.replaces(), OFFER));
    b.agent_gets("100");
    b.agent_gets("183");
    let first = b.ua_gets("INVITE");
    // The far end was away too, and is asked at once now that somebody waits for it.
    b.pass(ms(4000));
    for _ in 0..3 {
        b.ua_gets("INVITE");
    }
    b.quiet();
    b.agent_sends(invite("f2", &up.replaces(), OFFER));
    b.ua_gets("INVITE");
    b.agent_gets("500");
    b.quiet();
    b.ua_responds(&first, 200, Some(ANSWER));
    b.ua_gets("ACK");
    let ok = b.agent_gets("200");
    b.quiet();
    // The next attempt finds the call where the first one brought it.
    let given_up = format!(
        "{}Instance-Orphan: {};to-tag=0;from-tag={}\r\n",
        up.replaces(),
        ok.call_id(),
        ok.from_tag()
    );
    b.agent_sends(invite("f3", &given_up, OFFER));
    b.agent_gets("100");
    b.agent_gets("183");
    let again = b.ua_gets("INVITE");
    let replaces = again.text(Name::Replaces).unwrap();
    assert!(replaces.starts_with(first.call_id()), "{replaces}");
}

/// Packets find their way once both descriptions are known.
// spec: X31a
#[test]
fn media_turn_with_the_183_and_flow_with_the_downstream_answer() {
    let (_dead, mut b, up) = two_nodes();
    b.agent_sends(invite("f1", &up.replaces(), OFFER));
    let near = Some(holdline_relay::Peer {
        rtp: addr("127.0.0.1:20000"),
        rtcp: Some(addr("127.0.0.1:20001")),
    });
    let installed = b.relay.iter().any(|command| {
        matches!(command, Command::Install { near: side, far, .. }
            if side.peer == near && far.peer.is_none())
    });
    assert!(installed, "{:?}", b.relay);
    let down = b.ua_gets("INVITE");
    b.ua_responds(&down, 200, Some(ANSWER));
    let turned = b.relay.iter().any(|command| {
        matches!(command, Command::SetPeer { side: holdline_relay::Side::Far, peer: Some(peer), .. }
            if peer.rtp == addr("127.0.0.1:25000"))
    });
    assert!(turned, "{:?}", b.relay);
}

// spec: X27
#[test]
fn a_held_call_stays_held() {
    let (_dead, mut b, up) = two_nodes();
    let held = OFFER.replace("sendrecv", "recvonly");
    b.agent_sends(invite("f1", &up.replaces(), &held));
    b.agent_gets("100");
    let early = b.agent_gets("183");
    assert!(text(&early.sdp().unwrap()).contains("a=sendonly"));
    let down = b.ua_gets("INVITE");
    assert!(text(&down.sdp().unwrap()).contains("a=recvonly"));
    b.ua_responds(&down, 200, Some(&ANSWER.replace("sendrecv", "sendonly")));
    assert_eq!(b.agent_gets("200").sdp(), early.sdp());
}

/// The survivor goes the way that the dead node went.
// spec: D30
#[test]
fn the_route_set_is_kept_in_order() {
    let mut a = Bench::new();
    a.agent_sends(invite("c1", "", OFFER));
    let down = a.ua_gets("INVITE");
    let answer = Builder::response(&down, a.address, 200, b"", Some("ua-tag"))
        .header(
            Name::RecordRoute,
            "<sip:127.0.0.32;lr>, <sip:127.0.0.31;lr>",
        )
        .header(Name::Contact, "<sip:ua@127.0.0.1:5099>")
        .finish(Some(&sdp_body(ANSWER)));
    a.ua_sends(answer.unwrap());
    let ok = a
        .to_agent
        .iter()
        .find(|message| message.status() == 200)
        .unwrap();
    let first = Message::parse(invite("c1", "", OFFER)).unwrap();
    let flow = TransportKey::udp(addr(AGENT), a.address);
    let agent = Dialog::uac(&first, ok, flow).unwrap();
    let replaces = agent.id.replaces_for_peer().to_value();

    let mut b = Bench::at("127.0.0.12:5060", "bbbbbbbbbbbbbbbb", a.store.clone());
    b.agent_sends(invite("f1", &format!("Replaces: {replaces}\r\n"), OFFER));
    b.agent_gets("100");
    b.agent_gets("183");
    // It leaves for the first route, not for the downstream UA.
    let down = b.agent_gets("INVITE");
    assert_eq!(down.request_uri(), "sip:ua@127.0.0.1:5099");
    let routes = down.list(Name::Route);
    assert_eq!(
        routes,
        [&b"<sip:127.0.0.31;lr>"[..], b"<sip:127.0.0.32;lr>"]
    );
}

/// The call moves twice: the second survivor finds what the first one kept.
// spec: D31
#[test]
fn a_call_moves_twice() {
    let (_dead, mut b, up) = two_nodes();
    let moved = take_over(&mut b, &up, "f1");
    let mut c = Bench::at("127.0.0.13:5060", "cccccccccccccccc", b.store.clone());
    let again = take_over(&mut c, &moved, "f2");
    let Some(Fate::Live(record)) = c.store.borrow().fate(&again.key()).cloned() else {
        panic!("no row");
    };
    assert_eq!(record.generation, 2);
}

/// Plays a whole takeover of `up` at `node`.
pub(super) fn take_over(node: &mut Bench, up: &Up, call: &str) -> Up {
    let bytes = invite(call, &up.replaces(), OFFER);
    node.agent_sends(bytes.clone());
    node.agent_gets("100");
    node.agent_gets("183");
    let down = node.ua_gets("INVITE");
    node.ua_responds(&down, 200, Some(ANSWER));
    node.ua_gets("ACK");
    let ok = node.agent_gets("200");
    let invite = Message::parse(bytes).unwrap();
    let flow = TransportKey::udp(addr(AGENT), node.address);
    let agent = Dialog::uac(&invite, &ok, flow).unwrap();
    node.agent_acks(&agent, 1);
    let ua_flow = TransportKey::udp(addr(UA), node.address);
    let ua = Dialog::uas(&down, "ua-tag", ua_flow).unwrap();
    Up { agent, ua, ok }
}

#[test]
fn a_silent_downstream_ua_gives_408() {
    let (_dead, mut b, up) = two_nodes();
    b.agent_sends(invite("f1", &up.replaces(), OFFER));
    b.agent_gets("100");
    b.agent_gets("183");
    b.pass(Duration::from_secs(33));
    assert!(b.agent_gets("408").text(Name::Reason).is_some());
    b.pass(Duration::from_secs(130));
    assert_eq!((b.core.live_calls(), b.core.ports_in_use()), (0, 0));
}

#[test]
fn a_downstream_answer_with_another_payload_is_no_takeover() {
    let (_dead, mut b, up) = two_nodes();
    b.agent_sends(invite("f1", &up.replaces(), OFFER));
    b.agent_gets("100");
    b.agent_gets("183");
    let down = b.ua_gets("INVITE");
    b.ua_responds(
        &down,
        200,
        Some(&ANSWER.replace("RTP/AVP 8 101", "RTP/AVP 0")),
    );
    b.ua_gets("ACK");
    b.ua_gets("BYE");
    b.agent_gets("488");
    b.no_leaks();
}

// spec: D32
#[test]
fn replaces_that_fits_nothing_is_refused_as_rfc_3891_says() {
    let (mut a, mut b, mut up) = two_nodes();
    let twice = format!("{0}{0}", up.replaces());
    b.agent_sends(invite("two", &twice, OFFER));
    b.agent_gets("400");

    b.agent_sends(invite("bad", "Replaces: no-tags\r\n", OFFER));
    b.agent_gets("400");

    b.agent_sends(invite(
        "none",
        "Replaces: nobody;to-tag=a;from-tag=b\r\n",
        OFFER,
    ));
    b.agent_gets("100");
    b.agent_gets("481");

    let swapped = up.agent.id.replaces_for_peer();
    let swapped = format!(
        "Replaces: {};to-tag={};from-tag={}\r\n",
        swapped.call_id, swapped.from_tag, swapped.to_tag
    );
    b.agent_sends(invite("swapped", &swapped, OFFER));
    b.agent_gets("100");
    b.agent_gets("481");

    let early = up.replaces().replace("\r\n", ";early-only\r\n");
    b.agent_sends(invite("early", &early, OFFER));
    b.agent_gets("100");
    b.agent_gets("486");

    a.agent_hangs_up(&mut up.agent);
    // The row is node B's to end: it claimed it. So node B is asked once more.
    assert!(matches!(
        b.store.borrow().fate(&up.key()),
        Some(Fate::Live(_))
    ));
    b.quiet();
    b.pass(Duration::from_secs(130));
    assert_eq!((b.core.live_calls(), b.core.ports_in_use()), (0, 0));
}

// spec: D32
#[test]
fn a_dialog_that_is_over_gets_603() {
    let (mut a, mut b, mut up) = two_nodes();
    a.agent_hangs_up(&mut up.agent);
    a.pass(ms(10));
    b.agent_sends(invite("late", &up.replaces(), OFFER));
    b.agent_gets("100");
    b.agent_gets("603");
    b.now = b.now + Duration::from_secs(61);
    b.agent_sends(invite("later", &up.replaces(), OFFER));
    b.agent_gets("100");
    b.agent_gets("481");
    b.quiet();
}

// spec: D31
#[test]
fn only_the_trunk_that_made_the_dialog_may_move_it() {
    let (_dead, mut b, up) = two_nodes();
    b.receive("127.0.0.99:5070", invite("f1", &up.replaces(), OFFER));
    b.agent_gets("100");
    b.agent_gets("403");
    assert!(b.to_ua.is_empty());
}

// spec: D31
#[test]
fn a_node_takes_over_its_own_call() {
    let mut bench = Bench::new();
    let mut up = bench.establish("c1");
    take_over(&mut bench, &up, "f1");
    assert_eq!(bench.core.live_calls(), 1);
    assert_eq!(bench.core.ports_in_use(), 2);
    // spec: X28
    bench.ua_requests(&mut up.ua, Method::Bye);
    bench.ua_gets("200");
    bench.agent_requests(&mut up.agent, Method::Bye, &[]);
    bench.agent_gets("200");
    bench.quiet();
}

/// PJSIP says BYE to the old dialog before its 200 has been heard.
// spec: X28
#[test]
fn the_old_dialogs_bye_before_the_answer_is_not_relayed() {
    let mut bench = Bench::new();
    let mut up = bench.establish("c1");
    bench.agent_sends(invite("f1", &up.replaces(), OFFER));
    bench.agent_gets("100");
    bench.agent_gets("183");
    let down = bench.ua_gets("INVITE");
    bench.ua_requests(&mut up.ua, Method::Bye);
    bench.ua_gets("200");
    bench.quiet();
    bench.ua_responds(&down, 200, Some(ANSWER));
    bench.ua_gets("ACK");
    let ok = bench.agent_gets("200");
    let invite = Message::parse(invite("f1", &up.replaces(), OFFER)).unwrap();
    let flow = TransportKey::udp(addr(AGENT), bench.address);
    bench.agent_acks(&Dialog::uac(&invite, &ok, flow).unwrap(), 1);
    // It needs no BYE of ours.
    bench.pass(ms(3000));
    bench.quiet();
    assert_eq!(bench.store.borrow().live(), 1);
}

// spec: X31a
#[test]
fn the_slower_of_two_claims_steps_back() {
    let (_dead, mut b, up) = two_nodes();
    let mut c = Bench::at("127.0.0.13:5060", "cccccccccccccccc", b.store.clone());
    for (node, call) in [(&mut b, "f1"), (&mut c, "f2")] {
        node.agent_sends(invite(call, &up.replaces(), OFFER));
        node.agent_gets("100");
        node.agent_gets("183");
    }
    // The later claim wins; a peer that accepts both (as some do) gets the first one's BYE.
    let down = c.ua_gets("INVITE");
    c.ua_responds(&down, 200, Some(ANSWER));
    c.agent_gets("200");
    let down = b.ua_gets("INVITE");
    b.ua_responds(&down, 200, Some(ANSWER));
    b.ua_gets("ACK");
    b.ua_gets("BYE");
    assert!(
        b.agent_gets("481")
            .text(Name::Reason)
            .unwrap()
            .contains("moved")
    );
    assert_eq!(b.store.borrow().live(), 1);
    // And whoever comes later is told.
    b.agent_sends(invite("f3", &up.replaces(), OFFER));
    b.agent_gets("100");
    b.agent_gets("481");
}

/// A full node has room for a call that replaces one of its own.
#[test]
fn a_full_node_still_moves_its_own_calls() {
    let config = NodeConfig {
        capacity: 1,
        ..NodeConfig::new(
            addr("127.0.0.11:5060"),
            addr(UA),
            "aaaaaaaaaaaaaaaa",
            [1; 32],
        )
    };
    let mut bench = Bench::with(config, Rc::default());
    let up = bench.establish("c1");
    bench.agent_sends(invite("c2", "", OFFER));
    bench.agent_gets("503");
    bench.agent_sends(invite("c3", "Replaces: x;to-tag=a;from-tag=b\r\n", OFFER));
    bench.agent_gets("503");
    take_over(&mut bench, &up, "f1");
    assert_eq!(bench.core.live_calls(), 1);
}

/// Two streams that live and one that was refused; and a call that has none left.
// spec: X27
#[test]
fn calls_of_several_streams_and_of_none_are_taken_over() {
    let streams = |ports: [u16; 3]| {
        let head = OFFER.split("m=").next().unwrap();
        let [audio, video, slides] = ports;
        format!(
            "{head}m=audio {audio} RTP/AVP 8\r\nm=video {video} RTP/AVP 96\r\n\
             a=rtpmap:96 VP8/90000\r\nm=video {slides} RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\n"
        )
    };
    for (offer, answer, ports) in [
        ([20_000, 20_002, 0], [25_000, 25_002, 0], 4),
        ([20_000, 20_002, 0], [25_000, 0, 0], 2),
        ([0, 0, 0], [0, 0, 0], 0),
    ] {
        let (_dead, mut b, up) = two_nodes();
        b.agent_sends(invite("f1", &up.replaces(), &streams(offer)));
        b.agent_gets("100");
        let early = b.agent_gets("183");
        let down = b.ua_gets("INVITE");
        b.ua_responds(&down, 200, Some(&streams(answer)));
        b.ua_gets("ACK");
        assert_eq!(b.agent_gets("200").sdp(), early.sdp());
        assert_eq!(b.core.ports_in_use(), ports);
        b.ua_loses_the_old_dialog(&up);
    }
}
