//! RFC 3261 figure 5 and RFC 6026 figure 6.

use super::*;

const BRANCH: &str = "z9hG4bKinvite";

fn calling(key: TransportKey) -> (Rig, ClientId) {
    let mut rig = Rig::new(key);
    let client = rig.send(request("INVITE", BRANCH));
    assert_eq!(rig.lines(), ["send INVITE"]);
    (rig, client)
}

fn proceeding(key: TransportKey) -> (Rig, ClientId) {
    let (mut rig, client) = calling(key);
    assert_eq!(rig.take(response(180, "INVITE", BRANCH)), ["told 180"]);
    (rig, client)
}

#[test]
fn calling_repeats_at_timer_a_and_ends_at_timer_b() {
    let (mut rig, _) = calling(udp());
    let mut expected = at(&[500, 1500, 3500, 7500, 15_500, 31_500], "send INVITE");
    expected.push("32000 timeout".into());
    assert_eq!(rig.until(100_000), expected);
    rig.assert_empty();
}

#[test]
fn calling_over_a_reliable_transport_only_waits_for_timer_b() {
    let (mut rig, _) = calling(tcp());
    assert_eq!(rig.until(100_000), ["32000 timeout"]);
    rig.assert_empty();
}

// spec: X24
#[test]
fn calling_follows_timers_of_its_own() {
    let mut rig = Rig::new(udp());
    let timers = Timers {
        t1: Duration::from_millis(20),
        ..Timers::default()
    };
    let bytes = request("INVITE", BRANCH).into();
    rig.layer.request(rig.now, rig.key, bytes, 1, Some(timers));
    assert_eq!(rig.lines(), ["send INVITE"]);
    let mut expected = at(&[20, 60, 140, 300, 620, 1260], "send INVITE");
    expected.push("1280 timeout".into());
    assert_eq!(rig.until(100_000), expected);
}

// spec: X24
#[test]
fn an_invite_that_has_become_rare_is_repeated_when_its_peer_is_heard_again() {
    let (mut rig, client) = calling(udp());
    rig.until(600);
    rig.layer.hasten(rig.now, client);
    assert_eq!(rig.lines(), [] as [&str; 0], "the next is near");
    rig.until(4000);
    rig.layer.hasten(rig.now, client);
    assert_eq!(rig.lines(), ["send INVITE"]);
    let again = [4500, 5500, 7500, 11_500, 19_500];
    let mut expected = at(&again, "send INVITE");
    expected.push("32000 timeout".into());
    assert_eq!(rig.until(100_000), expected);
    let (mut rig, client) = proceeding(udp());
    rig.until(4000);
    rig.layer.hasten(rig.now, client);
    assert_eq!(rig.lines(), [] as [&str; 0], "it was heard");
}

#[test]
fn accepted_and_completed_outlast_a_short_t1_of_our_own() {
    for status in [200, 486] {
        let mut rig = Rig::new(udp());
        let timers = Timers {
            t1: Duration::from_millis(20),
            ..Timers::default()
        };
        let bytes = request("INVITE", BRANCH).into();
        rig.layer.request(rig.now, rig.key, bytes, 1, Some(timers));
        rig.take(response(status, "INVITE", BRANCH));
        assert_eq!(rig.until(31_999), [""; 0]);
        assert_eq!(rig.layer.len(), (1, 0));
        rig.until(32_000);
        rig.assert_empty();
    }
}

#[test]
fn a_t1_of_zero_does_not_spin() {
    let mut rig = Rig::new(udp());
    let timers = Timers {
        t1: Duration::ZERO,
        t2: Duration::ZERO,
        t4: Duration::ZERO,
    };
    rig.layer.request(
        rig.now,
        rig.key,
        request("INVITE", BRANCH).into(),
        1,
        Some(timers),
    );
    rig.layer.request(
        rig.now,
        rig.key,
        request("BYE", BRANCH).into(),
        1,
        Some(timers),
    );
    rig.until(100);
    rig.assert_empty();
}

#[test]
fn proceeding_has_no_timer() {
    let (mut rig, _) = proceeding(udp());
    assert_eq!(rig.until(3_600_000), [""; 0]);
    assert_eq!(rig.layer.poll_deadline(), None);
    assert_eq!(rig.take(response(183, "INVITE", BRANCH)), ["told 183"]);
    assert_eq!(rig.layer.len(), (1, 0));
}

#[test]
fn completed_answers_each_repeated_final_response_with_ack_until_timer_d() {
    for status in [302, 486, 503, 603] {
        let (mut rig, _) = proceeding(udp());
        let told = format!("told {status}");
        assert_eq!(
            rig.take(response(status, "INVITE", BRANCH)),
            ["send ACK", told.as_str()]
        );
        rig.until(20_000);
        assert_eq!(rig.take(response(status, "INVITE", BRANCH)), ["send ACK"]);
        assert_eq!(rig.take(response(180, "INVITE", BRANCH)), [""; 0]);
        assert_eq!(rig.until(31_999), [""; 0]);
        assert_eq!(rig.layer.len(), (1, 0));
        assert_eq!(rig.until(32_000), [""; 0]);
        rig.assert_empty();
    }
}

#[test]
fn completed_ends_at_once_over_a_reliable_transport() {
    let (mut rig, _) = calling(tcp());
    assert_eq!(
        rig.take(response(486, "INVITE", BRANCH)),
        ["send ACK", "told 486"]
    );
    rig.assert_empty();
}

#[test]
fn completed_reports_a_late_2xx_of_a_fork_as_stray() {
    let (mut rig, _) = calling(udp());
    rig.take(response(486, "INVITE", BRANCH));
    assert_eq!(rig.take(response(200, "INVITE", BRANCH)), ["stray 200"]);
}

#[test]
fn the_ack_is_made_of_the_invite_and_the_to_of_the_response() {
    let mut rig = Rig::new(udp());
    let routes = "Route: <sip:p1.example.com;lr>, <sip:p2.example.com;lr>\r\n\
                  Route: <sip:p3.example.com;lr>\r\nContact: <sip:a@192.0.2.1>\r\n";
    rig.send(request_with("INVITE", BRANCH, routes));
    rig.take(response(486, "INVITE", BRANCH));
    let ack = Message::parse(rig.sent.clone()).expect("an ACK");
    assert_eq!(ack.request_uri(), "sip:bob@192.0.2.2");
    assert_eq!(ack.list(Name::Via).len(), 1);
    assert_eq!(ack.top_via().branch, BRANCH);
    assert_eq!(ack.list(Name::Route).len(), 3);
    assert_eq!(
        ack.header(Name::From),
        Some(&b"\"A\" <sip:alice@example.com>;tag=fromtag"[..])
    );
    assert_eq!(ack.to_tag(), Some("totag"));
    assert_eq!(ack.call_id(), "call-1");
    assert_eq!(ack.header(Name::CSeq), Some(&b"7 ACK"[..]));
    assert!(ack.header(Name::Contact).is_none() && ack.body().is_empty());
}

#[test]
fn accepted_passes_every_2xx_up_and_nothing_else_until_timer_m() {
    for key in [udp(), tcp()] {
        let (mut rig, _) = proceeding(key);
        assert_eq!(rig.take(response(200, "INVITE", BRANCH)), ["told 200"]);
        rig.until(31_999);
        assert_eq!(rig.take(response(200, "INVITE", BRANCH)), ["told 200"]);
        assert_eq!(rig.take(response(180, "INVITE", BRANCH)), [""; 0]);
        assert_eq!(rig.take(response(486, "INVITE", BRANCH)), [""; 0]);
        assert_eq!(rig.until(32_000), [""; 0]);
        rig.assert_empty();
        assert_eq!(rig.take(response(200, "INVITE", BRANCH)), ["stray 200"]);
    }
}

#[test]
fn calling_goes_straight_to_accepted() {
    let (mut rig, _) = calling(udp());
    assert_eq!(rig.take(response(200, "INVITE", BRANCH)), ["told 200"]);
    assert_eq!(rig.until(100_000), [""; 0]);
    rig.assert_empty();
}

#[test]
fn cancel_waits_for_a_provisional_response() {
    let (mut rig, client) = calling(udp());
    rig.layer
        .cancel(rig.now, client, &[("Reason", "SIP;cause=200")]);
    rig.layer.cancel(rig.now, client, &[]);
    assert_eq!(rig.until(600), ["500 send INVITE"]);
    assert_eq!(
        rig.take(response(100, "INVITE", BRANCH)),
        ["told 100", "send CANCEL"]
    );
    let cancel = Message::parse(rig.sent.clone()).expect("a CANCEL");
    assert_eq!(
        (cancel.request_uri(), cancel.top_via().branch),
        ("sip:bob@192.0.2.2", BRANCH)
    );
    assert_eq!(cancel.header(Name::CSeq), Some(&b"7 CANCEL"[..]));
    assert_eq!(cancel.to_tag(), None);
    assert_eq!(cancel.header(Name::Reason), Some(&b"SIP;cause=200"[..]));
    // Its own transaction repeats it; its answer goes no further.
    assert_eq!(rig.until(1200), ["1100 send CANCEL"]);
    assert_eq!(rig.take(response(200, "CANCEL", BRANCH)), [""; 0]);
    assert_eq!(
        rig.take(response(487, "INVITE", BRANCH)),
        ["send ACK", "told 487"]
    );
    assert_eq!(rig.until(100_000), [""; 0]);
    rig.assert_empty();
}

#[test]
fn cancel_in_proceeding_is_sent_at_once_and_only_once() {
    let (mut rig, client) = proceeding(udp());
    rig.layer.cancel(rig.now, client, &[]);
    rig.layer.cancel(rig.now, client, &[]);
    assert_eq!(rig.lines(), ["send CANCEL"]);
}

#[test]
fn the_ack_of_a_2xx_is_kept_for_as_long_as_that_may_come_again() {
    let (mut rig, client) = proceeding(udp());
    assert_eq!(rig.take(response(200, "INVITE", BRANCH)), ["told 200"]);
    assert!(
        !rig.layer.acknowledge_again(client, "totag"),
        "not sent yet"
    );
    let ack = request("ACK", "z9hG4bKack");
    let (to, bytes) = (rig.key, Bytes::from(ack));
    rig.layer.acknowledge(client, "totag", to, bytes.clone());
    assert_eq!(rig.lines(), ["send ACK"]);
    assert_eq!(rig.until(31_900), [""; 0]);
    assert!(!rig.layer.acknowledge_again(client, "another branch's"));
    assert!(rig.layer.acknowledge_again(client, "totag"));
    assert_eq!(rig.lines(), ["send ACK"]);
    assert_eq!(rig.sent, bytes);
    rig.until(32_000);
    assert!(!rig.layer.acknowledge_again(client, "totag"));
    rig.assert_empty();
    // One that comes later than that is sent all the same.
    rig.layer.acknowledge(client, "totag", to, bytes);
    assert_eq!(rig.lines(), ["send ACK"]);
    rig.assert_empty();
}

#[test]
fn cancel_without_a_final_response_ends_after_64_t1() {
    let (mut rig, client) = proceeding(tcp());
    rig.until(10_000);
    rig.layer.cancel(rig.now, client, &[]);
    rig.lines();
    rig.take(response(200, "CANCEL", BRANCH));
    assert_eq!(rig.take(response(180, "INVITE", BRANCH)), ["told 180"]);
    assert_eq!(rig.until(100_000), ["42000 timeout"]);
    rig.assert_empty();
}

#[test]
fn cancel_that_nobody_answers_is_not_told() {
    let (mut rig, client) = proceeding(tcp());
    rig.layer.cancel(rig.now, client, &[]);
    assert_eq!(rig.lines(), ["send CANCEL"]);
    assert_eq!(
        rig.take(response(487, "INVITE", BRANCH)),
        ["send ACK", "told 487"]
    );
    assert_eq!(rig.until(100_000), [""; 0]);
    rig.assert_empty();
}

#[test]
fn cancel_crossing_a_final_response_does_nothing() {
    for status in [200, 486] {
        let (mut rig, client) = calling(udp());
        rig.layer.cancel(rig.now, client, &[]);
        rig.take(response(status, "INVITE", BRANCH));
        rig.layer.cancel(rig.now, client, &[]);
        assert_eq!(rig.until(100_000), [""; 0]);
        rig.assert_empty();
    }
}

#[test]
fn an_answer_that_nobody_waits_for_is_not_waited_for_long() {
    let (mut rig, client) = proceeding(udp());
    assert_eq!(rig.until(100_000), [""; 0], "timer C is the user's");
    rig.layer.let_expire(rig.now, client);
    assert_eq!(rig.until(200_000), ["132000 timeout"]);
    rig.assert_empty();
    // A final response that comes in time ends it as ever.
    let (mut rig, client) = proceeding(udp());
    rig.layer.let_expire(rig.now, client);
    assert_eq!(
        rig.take(response(487, "INVITE", BRANCH)),
        ["send ACK", "told 487"]
    );
    assert_eq!(rig.until(100_000), [""; 0]);
    rig.assert_empty();
}

#[test]
fn cancel_of_another_request_does_nothing() {
    let mut rig = Rig::new(udp());
    let client = rig.send(request("BYE", BRANCH));
    rig.layer.cancel(rig.now, client, &[]);
    assert_eq!(rig.lines(), ["send BYE"]);
}

#[test]
fn cancel_keeps_a_line_break_off_the_wire() {
    let (mut rig, client) = proceeding(udp());
    rig.layer
        .cancel(rig.now, client, &[("Reason", "x\r\nEvil: 1")]);
    assert_eq!(rig.lines(), ["send CANCEL"]);
    let cancel = Message::parse(rig.sent.clone()).expect("a CANCEL");
    assert!(cancel.header(Name::Other("Evil")).is_none() && cancel.header(Name::Reason).is_none());
}

#[test]
fn abandon_leaves_nothing() {
    let (mut rig, client) = calling(udp());
    rig.layer.abandon(client);
    rig.assert_empty();
    let (mut rig, client) = proceeding(udp());
    rig.layer.cancel(rig.now, client, &[]);
    rig.lines();
    assert_eq!(rig.layer.len(), (2, 0));
    rig.layer.abandon(client);
    rig.assert_empty();
    assert_eq!(rig.take(response(200, "INVITE", BRANCH)), ["stray 200"]);
}

/// The INVITE is not repeated: to a peer that does not know it any more it would be a new call.
#[test]
fn an_abandoned_invite_can_be_recalled() {
    for (said, lines) in [
        (Some(487), ["send ACK", "told 487"].as_slice()),
        (Some(200), &["told 200"]),
        (None, &["32000 timeout"]),
    ] {
        let (mut rig, client) = proceeding(udp());
        let invite = rig.layer.request_by(client).expect("an INVITE").clone();
        rig.layer.abandon(client);
        rig.layer.recall(rig.now, udp(), invite, 1, &[]);
        assert_eq!(rig.lines(), ["send CANCEL"]);
        rig.take(response(200, "CANCEL", BRANCH));
        let got = match said {
            Some(status) => rig.take(response(status, "INVITE", BRANCH)),
            None => rig.until(32_500),
        };
        assert_eq!(got, lines);
        rig.until(100_000);
        rig.assert_empty();
    }
    let mut rig = Rig::new(udp());
    let bye = parse(request("BYE", BRANCH));
    rig.layer.recall(rig.now, udp(), bye, 1, &[]);
    rig.assert_empty();
}

#[test]
fn a_failed_transport_ends_what_has_heard_nothing_from_that_peer() {
    let (mut rig, _) = proceeding(udp());
    rig.send(request("INVITE", "z9hG4bKother"));
    rig.send(request("BYE", "z9hG4bKbye"));
    rig.lines();
    let elsewhere = udp().to("192.0.2.3:5060".parse().expect("an address"));
    rig.layer.transport_failed(elsewhere, b"");
    assert_eq!(rig.lines(), [""; 0]);
    rig.layer.transport_failed(udp(), b"");
    assert_eq!(rig.lines(), ["transport failed", "transport failed"]);
    assert_eq!(rig.layer.len(), (1, 0));
    assert_eq!(rig.until(100_000), [""; 0]);
}

#[test]
fn bytes_that_are_no_request_end_at_once() {
    for text in ["garbage".to_owned(), response(200, "INVITE", BRANCH)] {
        let mut rig = Rig::new(udp());
        rig.send(text);
        assert_eq!(rig.lines(), ["transport failed"]);
        rig.assert_empty();
    }
}
