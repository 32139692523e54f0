//! RFC 3261 17.1.3, 17.2.3, 18.1.2 and 18.2.2; and the bounds of the tables.

use super::*;
use crate::transport::Flow;
use holdline_corpus::{others, torture};

const BRANCH: &str = "z9hG4bKmatch";

#[test]
fn a_response_needs_branch_sent_by_and_method() {
    let ok = response(200, "OPTIONS", BRANCH);
    let strays = [
        ok.replace(BRANCH, "z9hG4bKother"),
        ok.replace("192.0.2.1:5060;", "192.0.2.9:5060;"),
        ok.replace("192.0.2.1:5060;", "192.0.2.1:5062;"),
        ok.replace("7 OPTIONS", "7 BYE"),
        ok.replace(
            "From:",
            "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKbehind\r\nFrom:",
        ),
    ];
    for stray in strays {
        let mut rig = Rig::new(udp());
        rig.send(request("OPTIONS", BRANCH));
        rig.lines();
        assert_eq!(rig.take(stray), ["stray 200"]);
        assert_eq!(
            rig.take(ok.replace("192.0.2.1:5060;", "192.0.2.1;")),
            ["told 200"]
        );
    }
}

#[test]
fn a_request_needs_branch_sent_by_and_method() {
    let mut rig = Rig::new(udp());
    let first = request("OPTIONS", BRANCH);
    assert_eq!(rig.take(first.clone()), ["request OPTIONS"]);
    assert_eq!(
        rig.take(first.replace("192.0.2.1:5060", "192.0.2.1")),
        [""; 0]
    );
    assert_eq!(
        rig.take(first.replace("192.0.2.1:5060", "192.0.2.1:5062")),
        ["request OPTIONS"]
    );
    assert_eq!(rig.take(request("INFO", BRANCH)), ["request INFO"]);
    assert_eq!(
        rig.take(first.replace(BRANCH, "z9hG4bKmatcH")),
        ["request OPTIONS"]
    );
    assert_eq!(rig.layer.len(), (0, 4));
    let named = first
        .replace("192.0.2.1:5060", "Host.Example.com")
        .replace(BRANCH, "z9hG4bKn");
    assert_eq!(rig.take(named.clone()), ["request OPTIONS"]);
    assert_eq!(
        rig.take(named.replace("Host.Example", "hOST.example")),
        [""; 0]
    );
}

/// Peers of RFC 2543 make no unique branch; one of RFC 4475 sends the bare cookie.
#[test]
fn an_rfc_2543_peer_is_matched_by_its_headers() {
    for branch in ["1", "z9hG4bK"] {
        let mut rig = Rig::new(udp());
        let invite = request("INVITE", branch);
        assert_eq!(rig.take(invite.clone()), ["request INVITE"]);
        let server = rig.server;
        assert_eq!(rig.take(invite.clone()), [""; 0]);
        for (what, with) in [("call-1", "call-2"), ("fromtag", "other"), (": 7 ", ": 8 ")] {
            assert_eq!(rig.take(invite.replace(what, with)), ["request INVITE"]);
        }
        assert_eq!(rig.take(request("CANCEL", branch)), ["request CANCEL"]);
        assert_eq!(rig.cancels, Some(server));
        rig.server = server;
        assert_eq!(rig.respond(487, "INVITE", branch), ["send 487"]);
        let ack = request("ACK", branch);
        let with_tag = |tag: &str| ack.replace("To: <sip:bob@example.com>", tag);
        assert_eq!(
            rig.take(with_tag("To: <sip:bob@example.com>;tag=foreign")),
            ["ack"]
        );
        assert_eq!(
            rig.take(with_tag("To: <sip:bob@example.com>;tag=totag")),
            [""; 0]
        );
        assert_eq!(rig.until(4_000), [""; 0], "the ACK ended the repetition");
    }
}

#[test]
fn an_rfc_2543_reinvite_is_acked_by_the_tag_it_carried() {
    let mut rig = Rig::new(udp());
    let in_dialog =
        |method| request(method, "1").replace("bob@example.com>", "bob@example.com>;tag=totag");
    assert_eq!(rig.take(in_dialog("INVITE")), ["request INVITE"]);
    assert_eq!(rig.respond(488, "INVITE", "1"), ["send 488"]);
    assert_eq!(rig.take(in_dialog("ACK")), [""; 0]);
    assert_eq!(rig.until(100_000), [""; 0]);
    rig.assert_empty();
}

#[test]
fn an_ack_for_nothing_we_know_is_passed_up() {
    let mut rig = Rig::new(udp());
    assert_eq!(rig.take(request("ACK", BRANCH)), ["ack"]);
    rig.assert_empty();
}

#[test]
fn a_response_goes_back_by_rport_or_to_the_port_of_the_sent_by() {
    let source = udp().to("198.51.100.7:40000".parse().expect("an address"));
    let plain = request("OPTIONS", BRANCH).replace(";rport", "");
    let cases = [
        (source, request("OPTIONS", BRANCH), 40_000),
        (source, plain.replace(":5060;", ":5070;"), 5070),
        (source, plain.replace(":5060;", ";"), 5060),
        (
            TransportKey {
                flow: Flow::Probe(3),
                ..source
            },
            plain.clone(),
            40_000,
        ),
        (
            TransportKey {
                protocol: Protocol::Tcp,
                ..source
            },
            plain,
            40_000,
        ),
    ];
    for (from, text, port) in cases {
        let mut layer: Layer<u32> = Layer::new(Timers::default());
        layer.receive(Time::ZERO, from, parse(text));
        let Some(Output::Event(Event::Request { server, .. })) = layer.poll_output() else {
            panic!("no request");
        };
        let bytes = Bytes::from(response(200, "OPTIONS", BRANCH));
        layer.respond(Time::ZERO, server, 200, bytes);
        let Some(Output::Send(to, _)) = layer.poll_output() else {
            panic!("no answer")
        };
        assert_eq!(
            (to.remote.ip(), to.remote.port()),
            (source.remote.ip(), port)
        );
    }
}

#[test]
fn new_requests_over_the_limits_are_dropped_and_counted() {
    let size = request("OPTIONS", "z9hG4bK0").len();
    let by_count = Limits {
        servers: 2,
        ..Limits::default()
    };
    let by_bytes = Limits {
        // Seven eighths of it hold two.
        bytes: 16 * size / 7 + 2,
        ..Limits::default()
    };
    for limits in [by_count, by_bytes] {
        let mut rig = Rig::new(udp());
        rig.layer = Layer::with_limits(Timers::default(), limits);
        assert_eq!(
            rig.take(request("OPTIONS", "z9hG4bK0")),
            ["request OPTIONS"]
        );
        assert_eq!(
            rig.take(request("OPTIONS", "z9hG4bK1")),
            ["request OPTIONS"]
        );
        assert_eq!(rig.take(request("OPTIONS", "z9hG4bK2")), [""; 0]);
        assert_eq!(rig.take(request("OPTIONS", "z9hG4bK1")), [""; 0]);
        assert_eq!((rig.layer.refused(), rig.layer.len()), (1, (0, 2)));
        rig.until(32_000);
        rig.assert_empty();
        assert_eq!(
            rig.take(request("OPTIONS", "z9hG4bK2")),
            ["request OPTIONS"]
        );
    }
}

/// Whoever floods us with requests outside dialogs leaves room to hang up.
#[test]
fn an_eighth_of_the_limits_is_for_requests_inside_dialogs() {
    let to = "To: <sip:bob@example.com>";
    let inside = |branch| request("BYE", branch).replace(to, &format!("{to};tag=t"));
    let mut rig = Rig::new(udp());
    let limits = Limits {
        servers: 8,
        ..Limits::default()
    };
    rig.layer = Layer::with_limits(Timers::default(), limits);
    for n in 0..9 {
        rig.take(request("OPTIONS", &format!("z9hG4bK{n}")));
    }
    assert_eq!((rig.layer.refused(), rig.layer.len()), (2, (0, 7)));
    assert_eq!(rig.take(inside("z9hG4bKa")), ["request BYE"]);
    assert_eq!(rig.take(inside("z9hG4bKb")), [""; 0]);
    assert_eq!((rig.layer.refused(), rig.layer.len()), (3, (0, 8)));
}

#[test]
fn a_branch_used_twice_belongs_to_the_later_transaction() {
    let mut rig = Rig::new(udp());
    let first = rig.send(request("OPTIONS", BRANCH));
    rig.send(request("OPTIONS", BRANCH));
    rig.lines();
    rig.layer.abandon(first);
    assert_eq!(rig.take(response(200, "OPTIONS", BRANCH)), ["told 200"]);
    rig.until(5_000);
    rig.assert_empty();
}

/// Torture messages through the layer: what parses is matched by its own headers.
#[test]
fn torture_requests_match_themselves_and_only_themselves() {
    let own = torture().into_iter();
    let mut all: Vec<_> = own.map(|own| (own.name, own.bytes)).collect();
    all.extend(others::files("rfc4475", ".dat"));
    let mut seen = 0;
    for (name, bytes) in all {
        let Ok(message) = Message::parse(bytes.into()) else {
            continue;
        };
        if !message.is_request() || message.method().as_str() == "ACK" {
            continue;
        }
        seen += 1;
        let mut layer: Layer<u32> = Layer::new(Timers::default());
        for _ in 0..2 {
            layer.receive(Time::ZERO, udp(), message.clone());
        }
        let first = layer.poll_output();
        assert!(
            matches!(first, Some(Output::Event(Event::Request { .. }))),
            "{name}"
        );
        assert!(
            layer.poll_output().is_none(),
            "{name} was taken for two requests"
        );
    }
    assert!(seen >= 60, "only {seen} torture requests were readable");
}

/// Broken messages neither panic nor leave anything behind, whatever state they meet.
#[test]
fn no_mutation_panics_or_stays() {
    let mut random = crate::token::Tokens::new([5; 32]);
    let mut rig = Rig::new(udp());
    for _ in 0..5_000 {
        for method in ["INVITE", "OPTIONS"] {
            if rig.layer.len().0 < 4 {
                rig.send(request(method, BRANCH));
            }
        }
        let method = ["INVITE", "ACK", "CANCEL", "OPTIONS"][random.below(4) as usize];
        let branch = [BRANCH, "1"][random.below(2) as usize];
        let status = [100, 180, 200, 302, 487, 699][random.below(6) as usize];
        let mut bytes = match random.below(2) {
            0 => request(method, branch).into_bytes(),
            _ => response(status, method, branch).into_bytes(),
        };
        let at = random.below(bytes.len() as u64) as usize;
        bytes[at] = b"\r\n \t;,<>\"@=:\xff9Z"[random.below(15) as usize];
        if let Ok(message) = Message::parse(bytes.into()) {
            rig.layer.receive(rig.now, rig.key, message);
            while rig.layer.poll_output().is_some() {}
        }
        rig.server = ServerId(random.below(20_000));
        let status = [100, 180, 200, 302, 487, 699][random.below(6) as usize];
        let answer = response(status, "INVITE", branch).into();
        rig.layer.respond(rig.now, rig.server, status, answer);
        rig.layer
            .cancel(rig.now, ClientId(random.below(20_000)), &[]);
        rig.layer.acked(ServerId(random.below(20_000)));
        rig.now = rig.now + Duration::from_millis(random.below(400));
        rig.layer.handle_deadline(rig.now);
        while rig.layer.poll_output().is_some() {}
    }
    // What is left waits for its user: INVITEs to answer, and INVITEs that were told to wait.
    for id in 0..40_000 {
        rig.layer.abandon(ClientId(id));
        let answer = response(500, "INVITE", BRANCH).into();
        rig.layer.respond(rig.now, ServerId(id), 500, answer);
    }
    while let Some(due) = rig.layer.poll_deadline() {
        rig.layer.handle_deadline(due);
        while rig.layer.poll_output().is_some() {}
    }
    rig.assert_empty();
}
