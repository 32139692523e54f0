//! Media ports: too few of them, and some that another socket has.

use super::failover::two_nodes;
use super::*;
use holdline_relay::{Report, Side};

/// A node with so many port pairs.
fn with_pairs(pairs: u16) -> Bench {
    let config = NodeConfig::new(addr("127.0.0.11:5060"), addr(UA), "a", [1; 32]);
    let ports = (30_000, 30_000 + 2 * pairs - 1);
    Bench::with(NodeConfig { ports, ..config }, Rc::default())
}

/// The port that a message's description names.
fn port_in(message: &Message) -> u16 {
    let text = text(message.bytes());
    let (_, line) = text.split_once("m=audio ").expect("an m-line");
    line.split(' ').next().unwrap().parse().unwrap()
}

impl Bench {
    /// The near and far port of the newest stream, as the relay was told.
    fn newest(&self) -> (holdline_relay::StreamId, u16, u16) {
        let newest = self.relay.iter().rev().find_map(|command| match command {
            Command::Install {
                stream, near, far, ..
            } => Some((*stream, near.local.port(), far.local.port())),
            _ => None,
        });
        newest.expect("a stream")
    }

    /// Another socket has the newest stream's port on `side`, which is told.
    fn refused(&mut self, side: Side) -> u16 {
        let (stream, near, far) = self.newest();
        let port = if side == Side::Near { near } else { far };
        let report = Report::BindFailed {
            stream,
            side,
            local: SocketAddr::new(self.address.ip(), port),
            errno: 98,
        };
        self.input(Input::Other(In::Media(report)));
        port
    }
}

fn refused_for_ports(answer: &Message) {
    assert_eq!(answer.text(Name::InstanceRefusal).unwrap(), "no_port");
    assert!(answer.header(Name::RetryAfter).is_some());
}

// spec: X51
#[test]
fn new_calls_leave_ports_for_those_of_other_nodes_and_the_utilization_says_so() {
    let mut b = with_pairs(8);
    let mut calls: Vec<Up> = (0..3).map(|n| b.establish(&format!("c{n}"))).collect();
    b.agent_sends(invite("c9", "", OFFER));
    refused_for_ports(&b.agent_gets("503"));
    b.pass(ms(1100));
    b.input(Input::Deadline);
    // The refusal is repeated, since nobody acknowledges it.
    b.to_agent.clear();
    assert_eq!((b.core.status().utilization, b.core.live_calls()), (100, 3));
    // A call on the move still fits, and one more does not; the store is not asked for that.
    b.agent_sends(invite("m1", &calls[0].replaces(), OFFER));
    b.agent_gets("100");
    b.agent_gets("183");
    let down = b.ua_gets("INVITE");
    b.mode = StoreMode::Slow;
    b.agent_sends(invite("m2", &calls[1].replaces(), OFFER));
    refused_for_ports(&b.agent_gets("503"));
    assert!(b.waiting.is_empty());
    b.mode = StoreMode::Prompt;
    b.ua_responds(&down, 480, None);
    b.ua_gets("ACK");
    b.agent_gets("480");
    for up in &mut calls {
        b.agent_hangs_up(&mut up.agent);
    }
    b.no_leaks();
}

// spec: X51
#[test]
fn a_port_that_another_socket_has_is_exchanged_while_the_store_is_asked() {
    let mut b = Bench::new();
    b.mode = StoreMode::Slow;
    b.agent_sends(invite("c1", "", OFFER));
    b.agent_gets("100");
    let bad = [b.refused(Side::Near), b.refused(Side::Far)];
    // What comes late says nothing about the new ones.
    let (stream, ..) = b.newest();
    let late = Report::BindFailed {
        stream,
        side: Side::Far,
        local: SocketAddr::new(b.address.ip(), bad[1]),
        errno: 98,
    };
    b.input(Input::Other(In::Media(late)));
    b.mode = StoreMode::Prompt;
    b.serve_store();
    let down = b.ua_gets("INVITE");
    let (_, near, far) = b.newest();
    assert_eq!(port_in(&down), far);
    b.ua_responds(&down, 200, Some(ANSWER));
    b.ua_gets("ACK");
    let ok = b.agent_gets("200");
    assert_eq!(port_in(&ok), near);
    assert!(!bad.contains(&near) && !bad.contains(&far));
}

// spec: X51
#[test]
fn the_near_port_is_exchanged_until_it_is_told() {
    let mut b = Bench::new();
    b.agent_sends(invite("c1", "", OFFER));
    b.agent_gets("100");
    let down = b.ua_gets("INVITE");
    let bad = b.refused(Side::Near);
    b.ua_responds(&down, 200, Some(ANSWER));
    b.ua_gets("ACK");
    assert_ne!(port_in(&b.agent_gets("200")), bad);
    // The INVITE downstream has named the far one: another node, or another attempt, may do.
    b.agent_sends(invite("c2", "", OFFER));
    b.agent_gets("100");
    let down = b.ua_gets("INVITE");
    b.refused(Side::Far);
    b.agent_gets("503");
    b.ua_responds(&down, 100, None);
    b.ua_gets("CANCEL");
}

// spec: X51
#[test]
fn a_call_on_the_move_gets_other_ports_too() {
    let (_dead, mut b, up) = two_nodes();
    b.mode = StoreMode::Slow;
    b.agent_sends(invite("f1", &up.replaces(), OFFER));
    b.agent_gets("100");
    let bad = [b.refused(Side::Near), b.refused(Side::Far)];
    b.mode = StoreMode::Prompt;
    b.serve_store();
    let first = port_in(&b.agent_gets("183"));
    let down = b.ua_gets("INVITE");
    assert!(!bad.contains(&first) && !bad.contains(&port_in(&down)));
    // It had been told when the next one turned out to be another's.
    assert_eq!(b.refused(Side::Near), first);
    let second = port_in(&b.agent_gets("183"));
    assert_ne!(second, first);
    b.ua_responds(&down, 200, Some(ANSWER));
    b.ua_gets("ACK");
    assert_eq!(port_in(&b.agent_gets("200")), second);
}

/// Another node would find the dialog replaced already.
// spec: X51
#[test]
fn a_call_on_the_move_without_a_port_to_the_far_end_is_taken_and_says_so() {
    let (_dead, mut b, up) = two_nodes();
    b.agent_sends(invite("f1", &up.replaces(), OFFER));
    b.agent_gets("100");
    b.agent_gets("183");
    let down = b.ua_gets("INVITE");
    let bad = b.refused(Side::Far);
    assert_eq!(port_in(&down), bad);
    b.quiet();
    b.ua_responds(&down, 200, Some(ANSWER));
    b.ua_gets("ACK");
    let ok = b.agent_gets("200");
    assert_eq!(ok.text(Name::InstanceRefusal).unwrap(), "no_port");
    assert_eq!(b.core.live_calls(), 1);
}

// spec: X51
#[test]
fn a_stream_that_is_added_in_vain_costs_no_call() {
    let mut b = Bench::new();
    let mut up = b.establish("c1");
    let video = format!("{OFFER}m=video 20002 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n");
    let branch = b.branch();
    let again = in_dialog(&mut up.agent, &Method::Invite, &branch, &[], Some(&video));
    b.agent_sends(again);
    b.agent_gets("100");
    let down = b.ua_gets("INVITE");
    b.refused(Side::Far);
    b.ua_responds(&down, 488, None);
    b.ua_gets("ACK");
    b.agent_gets("488");
    b.quiet();
    assert_eq!(b.core.live_calls(), 1);
}
