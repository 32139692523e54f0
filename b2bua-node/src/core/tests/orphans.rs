//! Calls that ring when their node dies: a survivor takes the attempt back before it calls again,
//! and a node that stood still brings no call up twice (spec: X26, X28).

use super::*;
use crate::store::Op;
use crate::store::rules::Fate;

fn two() -> (Bench, Bench) {
    let a = Bench::new();
    let b = Bench::at("127.0.0.12:5060", "bbbbbbbbbbbbbbbb", a.store.clone());
    (a, b)
}

/// How the agent names its attempt `call`, which no node may ever have answered.
fn orphan(call: &str) -> String {
    format!("Instance-Orphan: {call};to-tag=0;from-tag=agent-{call}\r\n")
}

fn attempt(call: &str) -> DialogId {
    DialogId {
        call_id: call.into(),
        local_tag: "".into(),
        remote_tag: format!("agent-{call}").into(),
    }
}

pub(super) fn options(n: u32, extra: &str) -> Bytes {
    let text = format!(
        "OPTIONS sip:127.0.0.12:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {AGENT};branch=z9hG4bKo{n};rport\r\n\
         Max-Forwards: 1\r\nFrom: <sip:{AGENT}>;tag=o\r\nTo: <sip:127.0.0.12:5060>\r\n\
         Call-ID: o{n}\r\nCSeq: 1 OPTIONS\r\n{extra}Content-Length: 0\r\n\r\n"
    );
    text.into()
}

// spec: X26
#[test]
fn a_survivor_cancels_the_orphan_and_then_calls() {
    let (mut a, mut b) = two();
    a.agent_sends(invite("c1", "", OFFER));
    let orphaned = a.ua_gets("INVITE");
    b.agent_sends(invite("c2", &orphan("c1"), OFFER));
    b.agent_gets("100");
    let cancel = b.ua_gets("CANCEL");
    let (ours, theirs) = (cancel.top_via(), orphaned.top_via());
    assert_eq!(
        (ours.host, ours.port, ours.branch),
        (theirs.host, theirs.port, theirs.branch),
        "the dead node's Via: by it the callee matches"
    );
    assert_eq!(cancel.request_uri(), orphaned.request_uri());
    assert_eq!(cancel.call_id(), orphaned.call_id());
    assert_eq!(cancel.from_tag(), orphaned.from_tag());
    assert_eq!(cancel.cseq().number, orphaned.cseq().number);
    let again = b.ua_gets("INVITE");
    assert!(again.header(Name::InstanceOrphan).is_none(), "for this hop");
    assert_ne!(again.call_id(), orphaned.call_id());
    b.quiet();
    b.ua_responds(&cancel, 200, None);
    b.ua_responds(&again, 200, Some(ANSWER));
    b.ua_gets("ACK");
    b.agent_gets("200");
    assert_eq!(b.store.borrow().fate(&attempt("c1")), Some(&Fate::Over));
}

/// It may have answered just when its node died: what was early is up now, and only a BYE ends it.
// spec: X26
#[test]
fn an_orphan_that_rang_gets_a_bye_too() {
    let (mut a, mut b) = two();
    a.agent_sends(invite("c1", "", OFFER));
    let orphaned = a.ua_gets("INVITE");
    a.ua_responds(&orphaned, 180, None);
    a.pass(ms(10));
    b.agent_sends(options(1, &orphan("c1")));
    b.agent_gets("200");
    let cancel = b.ua_gets("CANCEL");
    assert_eq!(cancel.to_tag(), None);
    let bye = b.ua_gets("BYE");
    assert_eq!(bye.to_tag(), Some("ua-tag"));
    assert_eq!(bye.call_id(), orphaned.call_id());
    assert!(bye.cseq().number > 1 << 20);
    b.ua_responds(&cancel, 200, None);
    b.ua_responds(&bye, 481, None);
    b.quiet();
    // A second word about it does nothing.
    b.agent_sends(options(2, &orphan("c1")));
    b.agent_gets("200");
    b.quiet();
    b.pass(Duration::from_secs(40));
    b.quiet();
}

/// The agent has told this node and no other: it does not forget because the store is away.
// spec: X26, X56
#[test]
fn an_orphan_is_taken_back_when_the_store_is_there_again() {
    let (mut a, mut b) = two();
    a.agent_sends(invite("c1", "", OFFER));
    a.ua_gets("INVITE");
    b.mode = StoreMode::Down;
    b.agent_sends(options(1, &orphan("c1")));
    b.agent_gets("200");
    b.pass(Duration::from_secs(10));
    b.quiet();
    b.mode = StoreMode::Prompt;
    b.pass(Duration::from_secs(2));
    b.ua_gets("CANCEL");
    b.pass(Duration::from_secs(40));
    assert_eq!(b.core.store_waiting(), 0);
}

/// The dead node had the answer, and the agent had not.
// spec: X26
#[test]
fn an_orphan_that_was_answered_is_hung_up() {
    let (mut a, mut b) = two();
    let up = a.establish("c1");
    b.agent_sends(invite("c2", &orphan("c1"), OFFER));
    b.agent_gets("100");
    let bye = b.ua_gets("BYE");
    assert_eq!(bye.call_id(), &*up.ua.id.call_id);
    assert_eq!(bye.to_tag(), Some(&*up.ua.id.local_tag));
    b.ua_gets("INVITE");
    assert_eq!(b.store.borrow().fate(&up.key()), Some(&Fate::Over));
}

// spec: X26, D31
#[test]
fn only_the_trunk_that_made_an_attempt_takes_it_back() {
    let (mut a, mut b) = two();
    a.agent_sends(invite("c1", "", OFFER));
    a.ua_gets("INVITE");
    b.receive("127.0.0.66:5070", options(3, &orphan("c1")));
    b.agent_gets("200");
    // What stands in a request of the downstream side means nothing.
    b.ua_sends(options(4, &orphan("c1")));
    b.ua_gets("200");
    b.quiet();
    assert!(matches!(
        b.store.borrow().fate(&attempt("c1")),
        Some(Fate::Rings(_))
    ));
}

// spec: X26, X30
#[test]
fn the_downstream_invite_waits_20_ms_for_the_store_and_no_longer() {
    let (mut a, _) = two();
    a.mode = StoreMode::Slow;
    a.agent_sends(invite("c1", "", OFFER));
    a.agent_gets("100");
    a.pass(ms(19));
    a.quiet();
    a.pass(ms(1));
    a.ua_gets("INVITE");
    a.mode = StoreMode::Down;
    a.agent_sends(invite("c2", "", OFFER));
    a.agent_gets("100");
    a.ua_gets("INVITE");
    a.mode = StoreMode::Prompt;
    a.agent_sends(invite("c3", "", OFFER));
    a.agent_gets("100");
    a.ua_gets("INVITE");
    a.quiet();
}

// spec: X26
#[test]
fn a_call_that_is_over_before_it_was_answered_leaves_no_row() {
    let (mut a, mut b) = two();
    a.agent_sends(invite("c1", "", OFFER));
    let refused = a.ua_gets("INVITE");
    a.ua_responds(&refused, 180, None);
    a.ua_responds(&refused, 486, None);
    a.ua_gets("ACK");
    a.pass(ms(10));
    assert_eq!(a.store.borrow().fate(&attempt("c1")), Some(&Fate::Over));
    // Cancelled while it waited for the store.
    a.mode = StoreMode::Slow;
    let called = invite("c2", "", OFFER);
    a.agent_sends(called.clone());
    a.agent_sends(super::hang_ups::cancel_of(&called));
    a.mode = StoreMode::Prompt;
    a.serve_store();
    a.pass(ms(100));
    a.quiet_downstream();
    assert_eq!(a.store.borrow().fate(&attempt("c2")), Some(&Fate::Over));
    b.agent_sends(options(5, &orphan("c1")));
    b.agent_gets("200");
    b.quiet();
    a.agent_acks_refusals();
    a.no_leaks();
}

/// Each commit wakes two threads: what nobody waits for goes with what somebody does wait for.
#[test]
fn only_what_somebody_waits_for_is_asked_at_once() {
    let mut node = Bench::new();
    node.mode = StoreMode::Slow;
    let asked = |node: &Bench| -> Vec<&str> {
        let name = |request: &StoreRequest| match &request.op {
            Op::Note { attempt } if attempt.early.is_some() => "rings",
            Op::Note { .. } => "note",
            Op::Put { .. } => "put",
            Op::Delete { .. } => "delete",
            _ => "other",
        };
        node.waiting.iter().map(name).collect()
    };
    node.agent_sends(invite("c1", "", OFFER));
    assert_eq!(asked(&node), ["note"]);
    node.serve_store();
    let first = node.ua_gets("INVITE");
    node.ua_responds(&first, 180, None);
    node.pass(ms(9));
    assert!(asked(&node).is_empty(), "it waits for company");
    assert_eq!(node.core.store_waiting(), 1);
    node.agent_sends(invite("c2", "", OFFER));
    assert_eq!(asked(&node), ["rings", "note"]);
    node.serve_store();
    let second = node.ua_gets("INVITE");
    node.ua_responds(&second, 180, None);
    node.pass(ms(10));
    assert_eq!(asked(&node), ["rings"], "nobody came");
    node.serve_store();
    // Neither the note that an answer overtakes nor the one that an end overtakes is written.
    for (call, status, end) in [("c3", 200, "put"), ("c4", 486, "delete")] {
        node.agent_sends(invite(call, "", OFFER));
        node.serve_store();
        let invite = node.ua_gets("INVITE");
        node.ua_responds(&invite, 180, None);
        let sdp = (status == 200).then_some(ANSWER);
        node.ua_responds(&invite, status, sdp);
        node.pass(ms(10));
        assert_eq!(asked(&node), [end], "{call}");
        node.ua_gets("ACK");
        node.serve_store();
    }
}

// spec: X26, X28
#[test]
fn a_node_that_stood_still_places_no_call_that_was_placed_elsewhere() {
    for store in [StoreMode::Prompt, StoreMode::Slow, StoreMode::Down] {
        let (mut a, mut b) = two();
        a.pass(ms(400));
        b.now = a.now;
        // The INVITE waits in the socket of a node that stands still; the agent gives up.
        b.agent_sends(invite("c2", &orphan("c1"), OFFER));
        b.ua_gets("INVITE");
        a.now = a.now + ms(1500);
        a.mode = store;
        a.agent_sends(invite("c1", "", OFFER));
        a.pass(ms(301));
        a.agent_gets("100");
        a.agent_gets("503");
        a.quiet();
    }
}

// spec: X28
#[test]
fn a_node_that_stood_still_places_what_is_still_its_own() {
    let (mut a, _) = two();
    a.now = a.now + ms(1500);
    a.agent_sends(invite("c1", "", OFFER));
    a.agent_gets("100");
    a.ua_gets("INVITE");
}

// spec: X26, X28
#[test]
fn a_node_that_stood_still_while_a_call_rang_takes_it_back() {
    let (mut a, mut b) = two();
    a.agent_sends(invite("c1", "", OFFER));
    a.agent_gets("100");
    let orphaned = a.ua_gets("INVITE");
    b.agent_sends(invite("c2", &orphan("c1"), OFFER));
    a.now = a.now + ms(1500);
    // The callee's answer to the first attempt waited in the socket.
    a.ua_responds(&orphaned, 200, Some(ANSWER));
    a.agent_gets("503");
    a.ua_gets("ACK");
    a.ua_gets("BYE");
    assert!(
        !a.to_ua
            .iter()
            .any(|message| *message.method() == Method::Invite)
    );
}

/// Its commit comes after a survivor has taken the attempt back: the callee must not stay up.
// spec: X26
#[test]
fn an_answer_to_an_attempt_that_was_taken_back_is_hung_up() {
    for late in [false, true] {
        let (mut a, mut b) = two();
        a.agent_sends(invite("c1", "", OFFER));
        a.agent_gets("100");
        let orphaned = a.ua_gets("INVITE");
        b.agent_sends(invite("c2", &orphan("c1"), OFFER));
        a.mode = StoreMode::Slow;
        a.ua_responds(&orphaned, 200, Some(ANSWER));
        a.ua_gets("ACK");
        if late {
            a.pass(ms(20));
            a.agent_gets("200");
        }
        a.mode = StoreMode::Prompt;
        a.serve_store();
        if !late {
            a.agent_gets("481");
        }
        let bye = a.ua_gets("BYE");
        assert_eq!(bye.call_id(), orphaned.call_id());
    }
}

impl Bench {
    fn quiet_downstream(&self) {
        assert!(self.to_ua.is_empty(), "downstream: {:?}", self.to_ua);
    }

    /// Every refusal of an INVITE so far is acknowledged.
    fn agent_acks_refusals(&mut self) {
        let got: Vec<Message> = self.to_agent.drain(..).collect();
        let refused = |m: &&Message| m.status() >= 300 && *m.method() == Method::Invite;
        for refusal in got.iter().filter(refused) {
            let ack = format!(
                "ACK sip:2001@demo.example SIP/2.0\r\nVia: {}\r\nMax-Forwards: 70\r\nFrom: {}\r\n\
                 To: {}\r\nCall-ID: {}\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n",
                refusal.text(Name::Via).unwrap(),
                refusal.text(Name::From).unwrap(),
                refusal.text(Name::To).unwrap(),
                refusal.call_id()
            );
            self.agent_sends(ack.into());
        }
    }
}
