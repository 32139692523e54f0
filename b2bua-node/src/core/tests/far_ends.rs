//! Whose refusal the agent hears of (spec: X53), and by which Request-URI a far end is found
//! (spec: X24a).

use super::failover::two_nodes;
use super::*;
use crate::core::{Far503, Operator};
use crate::store::rules::Fate;
use holdline_relay::Report;
use holdline_wire::machine::TransportFault;

impl Bench {
    /// The downstream UA refuses with more headers.
    fn ua_refuses(&mut self, request: &Message, status: u16, headers: &[(Name, &str)]) {
        let mut builder = Builder::response(request, self.address, status, b"", Some("ua-tag"));
        for (name, value) in headers {
            builder = builder.header(*name, value);
        }
        self.ua_sends(builder.finish(None).unwrap());
    }
}

/// What a response says of whose refusal it is.
fn mark(response: &Message) -> Option<String> {
    response
        .text(Name::InstanceRefusal)
        .map(|mark| mark.to_string())
}

const CIRCUITS: (Name<'static>, &str) = (Name::Reason, "Q.850;cause=34;text=\"no circuit\"");
const LATER: (Name<'static>, &str) = (Name::RetryAfter, "30");

fn with_far_503(far_503: Far503) -> Bench {
    let config = NodeConfig::new(
        addr("127.0.0.11:5060"),
        addr(UA),
        "aaaaaaaaaaaaaaaa",
        [1; 32],
    );
    Bench::with(NodeConfig { far_503, ..config }, Rc::default())
}

// spec: X53
#[test]
fn a_carriers_503_is_a_500_with_its_reasons() {
    let mut bench = with_far_503(Far503::Convert);
    bench.agent_sends(invite("c1", "", OFFER));
    bench.agent_gets("100");
    let down = bench.ua_gets("INVITE");
    bench.ua_refuses(&down, 503, &[LATER, CIRCUITS, (Name::Server, "carrier")]);
    bench.ua_gets("ACK");
    let told = bench.agent_gets("500");
    let reasons: Vec<&[u8]> = told.values(Name::Reason).collect();
    assert_eq!(reasons.len(), 2, "{}", text(told.bytes()));
    assert!(reasons[0].starts_with(b"SIP;cause=503"));
    assert_eq!(reasons[1], CIRCUITS.1.as_bytes());
    assert!(told.header(Name::RetryAfter).is_none());
    assert_eq!(told.text(Name::Server).as_deref(), Some("carrier"));
    assert_eq!(told.reason(), b"Server Internal Error");
    assert_eq!(mark(&told), None);

    // Inside a call as well.
    let mut up = bench.establish("c2");
    bench.agent_requests(&mut up.agent, Method::Info, &[]);
    let info = bench.ua_gets("INFO");
    bench.ua_refuses(&info, 503, &[LATER]);
    let told = bench.agent_gets("500");
    assert!(told.header(Name::RetryAfter).is_none());
    assert!(told.text(Name::Reason).unwrap().contains("cause=503"));
}

// spec: X53
#[test]
fn a_carriers_503_passes_as_it_is_where_the_operator_says_so() {
    let mut bench = with_far_503(Far503::Pass);
    bench.agent_sends(invite("c1", "", OFFER));
    bench.agent_gets("100");
    let down = bench.ua_gets("INVITE");
    bench.ua_refuses(&down, 503, &[LATER]);
    bench.ua_gets("ACK");
    let told = bench.agent_gets("503");
    assert_eq!(told.text(Name::RetryAfter).as_deref(), Some("30"));
    assert_eq!(mark(&told), None);
}

// spec: X53
#[test]
fn what_else_the_far_end_refuses_passes_without_a_mark() {
    for status in [302, 404, 408, 480, 486, 500, 603] {
        let mut bench = Bench::new();
        bench.agent_sends(invite("c1", "", OFFER));
        bench.agent_gets("100");
        let down = bench.ua_gets("INVITE");
        bench.ua_refuses(&down, status, &[LATER]);
        bench.ua_gets("ACK");
        let told = bench.agent_gets(&status.to_string());
        assert_eq!(mark(&told), None);
        assert_eq!(told.text(Name::RetryAfter).as_deref(), Some("30"));
    }
}

// spec: X53
#[test]
fn what_the_node_refuses_by_itself_is_marked() {
    let full = |bench: &mut Bench| {
        bench.establish("c1");
        bench.agent_sends(invite("c2", "", OFFER));
        bench.agent_gets("503")
    };
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
    assert_eq!(mark(&full(&mut bench)).as_deref(), Some("full"));

    let refused = |what: &str, bench: &mut Bench, status: &str| {
        let told = bench
            .to_agent
            .pop_front()
            .unwrap_or_else(|| panic!("{what}"));
        assert_eq!(told.status().to_string(), status, "{what}");
        mark(&told)
    };
    let mut bench = Bench::new();
    bench.input(Input::Other(In::Operator(Operator::Drain)));
    bench.agent_sends(invite("c1", "", OFFER));
    assert_eq!(
        refused("draining", &mut bench, "503").as_deref(),
        Some("draining")
    );
    bench.input(Input::Other(In::Operator(Operator::Resume)));
    bench.agent_sends(invite("c2", "Require: 100rel\r\n", OFFER));
    assert_eq!(refused("420", &mut bench, "420").as_deref(), Some("other"));

    // Nothing comes from the far end, or it cannot be reached.
    let placed = |bench: &mut Bench, call: &str| {
        bench.agent_sends(invite(call, "", OFFER));
        bench.agent_gets("100");
        bench.ua_gets("INVITE")
    };
    let mut bench = Bench::new();
    placed(&mut bench, "c3");
    bench.pass(Duration::from_secs(33));
    bench.to_ua.clear();
    assert_eq!(
        refused("silence", &mut bench, "408").as_deref(),
        Some("timeout")
    );
    let mut bench = Bench::new();
    placed(&mut bench, "c4");
    let key = TransportKey::udp(bench.address, addr(UA));
    bench.input(Input::Fault {
        key,
        fault: TransportFault::Refused,
        quoted: Bytes::new(),
    });
    assert_eq!(
        refused("fault", &mut bench, "503").as_deref(),
        Some("unreachable")
    );

    // A port that cannot be opened.
    placed(&mut bench, "c5");
    let mut installed = bench.relay.iter().rev();
    let installed = installed.find_map(|command| match command {
        Command::Install { stream, far, .. } => Some((*stream, far.local)),
        _ => None,
    });
    let (stream, local) = installed.expect("a stream");
    // The far end was told of it, so it cannot be exchanged any more.
    bench.input(Input::Other(In::Media(Report::BindFailed {
        stream,
        side: holdline_relay::Side::Far,
        local,
        errno: 98,
    })));
    assert_eq!(
        refused("port", &mut bench, "503").as_deref(),
        Some("no_port")
    );

    // A claim that the store does not answer, and one of a dialog that nobody knows.
    let (_dead, mut b, up) = two_nodes();
    b.mode = StoreMode::Down;
    b.agent_sends(invite("f1", &up.replaces(), OFFER));
    b.agent_gets("100");
    assert_eq!(refused("store", &mut b, "503").as_deref(), Some("store"));
    b.mode = StoreMode::Prompt;
    b.agent_sends(invite(
        "f2",
        "Replaces: none;to-tag=a;from-tag=b\r\n",
        OFFER,
    ));
    b.agent_gets("100");
    assert_eq!(refused("unknown", &mut b, "481").as_deref(), Some("other"));
}

/// Only there: what goes downstream says nothing of the hop above.
// spec: X53
#[test]
fn the_mark_goes_to_the_agent_alone() {
    let mut bench = Bench::new();
    let mut up = bench.establish("c1");
    bench.ua_requests(&mut up.ua, Method::Publish);
    for sent in &bench.to_ua {
        assert_eq!(mark(sent), None, "{}", text(sent.bytes()));
    }
    bench.ua_sends(invite("c2", "", OFFER));
    let refused = bench.ua_gets("403");
    assert_eq!(mark(&refused), None);
}

// spec: X53
#[test]
fn a_far_end_without_room_for_a_move_is_told_with_the_time_when_it_has() {
    let (_dead, mut b, up) = two_nodes();
    b.agent_sends(invite("f1", &up.replaces(), OFFER));
    b.agent_gets("100");
    b.agent_gets("183");
    let down = b.ua_gets("INVITE");
    b.ua_refuses(&down, 503, &[(Name::RetryAfter, "2")]);
    b.ua_gets("ACK");
    let told = b.agent_gets("500");
    assert_eq!(told.text(Name::RetryAfter).as_deref(), Some("2"));
    assert!(told.text(Name::Reason).unwrap().contains("SIP;cause=503;"));
    assert_eq!(mark(&told), None);
    assert!(matches!(
        b.store.borrow().fate(&up.key()),
        Some(Fate::Live(_))
    ));
    b.quiet();
}

/// The far end's Contact has no user: it is asked by the one that was called first, then as its
/// Contact says, under the same claim. After that it is told goodbye.
// spec: X24a, X33
#[test]
fn a_far_end_that_does_not_know_the_user_is_asked_once_more_in_the_other_form() {
    for status in [404, 484] {
        for found in [true, false] {
            let (_dead, mut b, up) = two_nodes();
            b.agent_sends(invite("f1", &up.replaces(), OFFER));
            b.agent_gets("100");
            let early = b.agent_gets("183");
            let first = b.ua_gets("INVITE");
            assert_eq!(first.request_uri(), "sip:2001@127.0.0.1:5091");
            b.ua_responds(&first, status, None);
            b.ua_gets("ACK");
            let again = b.ua_gets("INVITE");
            assert_eq!(again.request_uri(), "sip:127.0.0.1:5091");
            let replaces = |invite: &Message| invite.text(Name::Replaces).unwrap().to_string();
            assert_eq!(replaces(&again), replaces(&first));
            assert_eq!(again.sdp(), first.sdp());
            assert_ne!(again.call_id(), first.call_id());
            assert_ne!(again.top_via().branch, first.top_via().branch);
            b.quiet();
            if found {
                b.ua_responds(&again, 200, Some(ANSWER));
                b.ua_gets("ACK");
                b.ua_loses_the_old_dialog(&up);
                assert_eq!(b.agent_gets("200").sdp(), early.sdp());
                assert_eq!(b.store.borrow().fate(&up.key()), Some(&Fate::Moved(1)));
            } else {
                b.ua_responds(&again, status, None);
                b.ua_gets("ACK");
                let bye = b.ua_gets("BYE");
                assert_eq!(bye.call_id(), &*up.ua.id.call_id);
                b.ua_responds(&bye, 200, None);
                let told = b.agent_gets("606");
                assert!(
                    told.text(Name::Reason)
                        .unwrap()
                        .contains(&format!("cause={status};"))
                );
                assert_eq!(b.store.borrow().fate(&up.key()), Some(&Fate::Over));
                b.quiet();
            }
        }
    }
}
