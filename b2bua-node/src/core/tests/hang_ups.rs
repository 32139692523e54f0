//! Somebody hangs up while a call moves: no far leg stays up (spec: X27).

use super::*;
use crate::store::rules::Fate;

fn moving() -> (Bench, Bench, Up, Bytes) {
    let mut a = Bench::new();
    let b = Bench::at("127.0.0.12:5060", "bbbbbbbbbbbbbbbb", a.store.clone());
    let up = a.establish("c1");
    let failover = invite("f1", &up.replaces(), OFFER);
    (a, b, up, failover)
}

pub(super) fn cancel_of(invite: &Bytes) -> Bytes {
    let text = String::from_utf8(invite.to_vec()).unwrap();
    let head = text.split("Contact").next().unwrap();
    let head = head
        .replace("INVITE sip:", "CANCEL sip:")
        .replace("1 INVITE", "1 CANCEL");
    format!("{head}Content-Length: 0\r\n\r\n").into()
}

// spec: X27
#[test]
fn a_cancel_never_cancels_the_downstream_invite() {
    let (_dead, mut b, up, failover) = moving();
    b.agent_sends(failover.clone());
    b.agent_gets("100");
    b.agent_gets("183");
    let down = b.ua_gets("INVITE");
    b.ua_responds(&down, 180, None);
    b.agent_sends(cancel_of(&failover));
    b.agent_gets("200");
    b.agent_gets("487");
    b.quiet();
    b.ua_responds(&down, 200, Some(ANSWER));
    b.ua_gets("ACK");
    let bye = b.ua_gets("BYE");
    assert_eq!(bye.call_id(), down.call_id());
    b.ua_responds(&bye, 200, None);
    b.quiet();
    assert_eq!(b.store.borrow().fate(&up.key()), Some(&Fate::Over));
    b.no_leaks();
}

// spec: X27
#[test]
fn a_refused_takeover_after_a_hang_up_ends_the_old_dialog() {
    let (_dead, mut b, up, failover) = moving();
    b.agent_sends(failover.clone());
    b.agent_gets("100");
    b.agent_gets("183");
    let down = b.ua_gets("INVITE");
    b.agent_sends(cancel_of(&failover));
    b.agent_gets("200");
    b.agent_gets("487");
    b.ua_responds(&down, 420, None);
    b.ua_gets("ACK");
    let bye = b.ua_gets("BYE");
    assert_eq!(bye.call_id(), &*up.ua.id.call_id);
    assert_eq!(bye.to_tag(), Some(&*up.ua.id.local_tag));
    assert_eq!(bye.from_tag(), &*up.ua.id.remote_tag);
    assert_eq!(
        bye.cseq().number,
        1 + (1 << 20),
        "higher than any of the dead node's"
    );
    b.ua_responds(&bye, 200, None);
    b.no_leaks();
}

// spec: X27
#[test]
fn a_takeover_that_nobody_decides_ends() {
    let (_dead, mut b, up, failover) = moving();
    b.agent_sends(failover.clone());
    b.agent_gets("100");
    b.agent_gets("183");
    let down = b.ua_gets("INVITE");
    b.ua_responds(&down, 180, None);
    b.agent_sends(cancel_of(&failover));
    b.agent_gets("200");
    b.agent_gets("487");
    b.pass(Duration::from_secs(33));
    let bye = b.ua_gets("BYE");
    assert_eq!(bye.call_id(), &*up.ua.id.call_id);
    assert!(
        b.to_ua
            .iter()
            .any(|message| *message.method() == Method::Cancel)
    );
    b.no_leaks();
}

// spec: X27
#[test]
fn a_hang_up_before_the_stores_word_ends_the_old_dialog() {
    let (_dead, mut b, up, failover) = moving();
    b.mode = StoreMode::Slow;
    b.agent_sends(failover.clone());
    b.agent_gets("100");
    b.agent_sends(cancel_of(&failover));
    b.agent_gets("200");
    b.agent_gets("487");
    b.quiet();
    assert_eq!(b.core.live_calls(), 0);
    b.mode = StoreMode::Prompt;
    b.serve_store();
    let bye = b.ua_gets("BYE");
    assert_eq!(bye.call_id(), &*up.ua.id.call_id);
    b.ua_responds(&bye, 200, None);
    b.no_leaks();
}

/// RFC 3261 9.2: the CANCEL does nothing, and is told 200 all the same.
#[test]
fn a_cancel_that_crosses_the_answer_gets_200() {
    let mut a = Bench::new();
    let up = a.establish("c1");
    a.agent_sends(cancel_of(&invite("c1", "", OFFER)));
    let late = a.agent_gets("200");
    assert_eq!(*late.method(), Method::Cancel);
    a.quiet();
    drop(up);
    assert_eq!(a.core.live_calls(), 1);
}

/// The ACK of the first 2xx was lost as often as that was sent, that of a later one was not: the agent
/// has had it, and the call ends when it is told to.
// Found by storm 2874.
#[test]
fn a_call_whose_first_2xx_was_never_acknowledged_ends_all_the_same() {
    let mut bench = Bench::new();
    let invite = invite("c1", "", OFFER);
    bench.agent_sends(invite.clone());
    bench.agent_gets("100");
    let downstream = bench.ua_gets("INVITE");
    bench.ua_responds(&downstream, 200, Some(ANSWER));
    bench.ua_gets("ACK");
    let ok = bench.agent_gets("200");
    let invite = Message::parse(invite).unwrap();
    let flow = TransportKey::udp(addr(AGENT), bench.address);
    let mut agent = Dialog::uac(&invite, &ok, flow).unwrap();
    bench.reinvite(&mut agent, "a=sendonly", "a=recvonly");
    bench.pass(Duration::from_secs(40));
    assert_eq!(bench.core.live_calls(), 1, "it is up");
    let flow = TransportKey::udp(addr(UA), bench.address);
    let mut ua = Dialog::uas(&downstream, "ua-tag", flow).unwrap();
    bench.ua_requests(&mut ua, Method::Bye);
    bench.ua_gets("200");
    let bye = bench.agent_gets("BYE");
    bench.agent_sends(response(&bye, 200, "", AGENT, None));
    bench.no_leaks();
}
