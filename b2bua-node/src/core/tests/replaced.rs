//! The downstream dialog that was replaced, and what the agent hears of the far end.

use super::failover::{take_over, two_nodes};
use super::*;
use holdline_wire::header::InstanceFarEnd;

/// The BYEs that came to the downstream UA in the dialog of `up`.
fn byes_in(node: &mut Bench, up: &Up) -> usize {
    let sent = std::mem::take(&mut node.to_ua);
    let bye = |message: &&Message| {
        *message.method() == Method::Bye
            && message.is_request()
            && message.call_id() == &*up.ua.id.call_id
    };
    sent.iter().filter(bye).count()
}

// spec: X28
#[test]
fn the_replaced_dialog_is_left_alone_for_a_second() {
    let (_dead, mut b, up) = two_nodes();
    take_over(&mut b, &up, "f1");
    b.ua_loses_the_old_dialog(&up);
    b.pass(ms(5000));
    b.quiet();
}

/// The call is over before its second is: the old dialog must not stay up for that.
// spec: X28
#[test]
fn a_call_that_ends_at_once_still_owes_its_bye() {
    let (_dead, mut b, up) = two_nodes();
    let mut moved = take_over(&mut b, &up, "f1");
    b.pass(ms(100));
    b.agent_hangs_up(&mut moved.agent);
    b.pass(ms(2000));
    assert!(byes_in(&mut b, &up) > 0);
    b.no_leaks();
}

/// The call moves on, to another node, before its second is over.
// spec: X28
#[test]
fn a_call_that_moves_on_still_owes_its_bye() {
    let (_dead, mut b, up) = two_nodes();
    let moved = take_over(&mut b, &up, "f1");
    let mut c = Bench::at("127.0.0.13:5060", "cccccccccccccccc", b.store.clone());
    c.now = b.now;
    take_over(&mut c, &moved, "f2");
    b.pass(ms(1500));
    assert!(byes_in(&mut b, &up) > 0);
    c.pass(ms(1500));
    assert!(byes_in(&mut c, &moved) > 0);
}

/// A new process at the old address gets the UA's BYE in a dialog that it never had.
// spec: X28
#[test]
fn the_uas_own_bye_is_answered_and_none_follows_it() {
    for before_the_answer in [true, false] {
        let mut a = Bench::new();
        let mut up = a.establish("c1");
        let mut new = Bench::at("127.0.0.11:5060", "dddddddddddddddd", a.store.clone());
        new.now = a.now;
        if before_the_answer {
            new.agent_sends(invite("f1", &up.replaces(), OFFER));
            new.agent_gets("100");
            new.agent_gets("183");
            let down = new.ua_gets("INVITE");
            new.ua_requests(&mut up.ua, Method::Bye);
            new.ua_gets("200");
            new.ua_responds(&down, 200, Some(ANSWER));
            new.ua_gets("ACK");
        } else {
            take_over(&mut new, &up, "f1");
            new.pass(ms(500));
            let branch = new.branch();
            let bye = in_dialog(&mut up.ua, &Method::Bye, &branch, &[], None);
            new.receive("192.0.2.7:5060", bye);
            // It came from another address than that of the downstream UA.
            new.agent_gets("200");
        }
        new.pass(ms(5000));
        assert_eq!(byes_in(&mut new, &up), 0, "{before_the_answer}");
    }
}

/// A UA that takes the take-over of a call whose caller has left keeps no dialog at all.
// spec: X27, X28
#[test]
fn a_hang_up_during_the_move_ends_the_replaced_dialog_too() {
    let (_dead, mut b, up) = two_nodes();
    let failover = invite("f1", &up.replaces(), OFFER);
    b.agent_sends(failover.clone());
    b.agent_gets("100");
    b.agent_gets("183");
    let down = b.ua_gets("INVITE");
    b.agent_sends(super::hang_ups::cancel_of(&failover));
    b.ua_responds(&down, 200, Some(ANSWER));
    b.ua_gets("ACK");
    let bye = b.ua_gets("BYE");
    assert_eq!(bye.call_id(), down.call_id());
    b.ua_responds(&bye, 200, None);
    b.ua_loses_the_old_dialog(&up);
    b.no_leaks();
}

// spec: X57
#[test]
fn the_agent_is_told_of_the_far_end_when_a_call_comes_up_and_when_it_moves() {
    let config = NodeConfig {
        replaces_in_flight: Some(3),
        ..NodeConfig::new(
            addr("127.0.0.11:5060"),
            addr(UA),
            "aaaaaaaaaaaaaaaa",
            [1; 32],
        )
    };
    let mut a = Bench::with(config, Rc::default());
    let answered = |node: &mut Bench, down: &Message, header: Name<'static>, product: &str| {
        let answer = Builder::response(down, node.address, 200, b"", Some("ua-tag"))
            .header(Name::Contact, format!("<sip:{UA}>"))
            .header(header, product)
            .finish(Some(&sdp_body(ANSWER)));
        node.ua_sends(answer.unwrap());
        node.ua_gets("ACK");
        let ok = node.agent_gets("200");
        let told = ok.header(Name::InstanceFarEnd).expect("who it is");
        (InstanceFarEnd::parse(told).expect("a whole one"), ok)
    };
    let first = invite("c1", "", OFFER);
    a.agent_sends(first.clone());
    a.agent_gets("100");
    let down = a.ua_gets("INVITE");
    let (told, ok) = answered(&mut a, &down, Name::Server, "Asterisk PBX 22.1");
    let expected = InstanceFarEnd::new(addr(UA), Some(b"Asterisk PBX 22.1"), Some(3));
    assert_eq!(told, expected);
    let flow = TransportKey::udp(addr(AGENT), a.address);
    let agent = Dialog::uac(&Message::parse(first).unwrap(), &ok, flow).unwrap();

    let mut b = Bench::at("127.0.0.12:5060", "bbbbbbbbbbbbbbbb", a.store.clone());
    let replaces = agent.id.replaces_for_peer().to_value();
    b.agent_sends(invite("f1", &format!("Replaces: {replaces}\r\n"), OFFER));
    b.agent_gets("100");
    b.agent_gets("183");
    let down = b.ua_gets("INVITE");
    let (told, _) = answered(&mut b, &down, Name::UserAgent, "phone");
    assert_eq!(told, InstanceFarEnd::new(addr(UA), Some(b"phone"), None));
}
