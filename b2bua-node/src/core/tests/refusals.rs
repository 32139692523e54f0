//! The downstream UA refuses to have its call taken over: who is told what, and that nothing stays
//! up (spec: X27, X31a, X33).

use super::failover::two_nodes;
use super::*;
use crate::store::rules::Fate;

/// A takeover that the downstream UA refuses with `status`.
fn refused(status: u16) -> (Bench, Up) {
    let (_dead, mut b, up) = two_nodes();
    b.agent_sends(invite("f1", &up.replaces(), OFFER));
    b.agent_gets("100");
    b.agent_gets("183");
    let down = b.ua_gets("INVITE");
    b.ua_responds(&down, status, None);
    b.ua_gets("ACK");
    (b, up)
}

impl Bench {
    /// The BYE in the downstream dialog that was not replaced.
    fn ua_gets_the_farewell(&mut self, up: &Up) -> Message {
        let bye = self.ua_gets("BYE");
        assert_eq!(bye.call_id(), &*up.ua.id.call_id);
        assert_eq!(bye.to_tag(), Some(&*up.ua.id.local_tag));
        assert_eq!(
            bye.cseq().number,
            1 + (1 << 20),
            "higher than the old node's"
        );
        bye
    }

    fn agent_hears(&mut self, status: &str, cause: u16) {
        let refused = self.agent_gets(status);
        let reason = refused.text(Name::Reason).unwrap();
        assert!(reason.contains(&format!("cause={cause};")), "{reason}");
        self.quiet();
    }
}

// spec: X31a
#[test]
fn a_refusal_of_the_moment_is_told_upstream_and_another_node_may_try() {
    for (status, told) in [
        (408, "408"),
        (480, "480"),
        (491, "491"),
        (500, "500"),
        (503, "500"),
        (504, "504"),
    ] {
        let (mut b, up) = refused(status);
        b.agent_hears(told, status);
        let known = b.store.borrow().fate(&up.key()).cloned();
        assert!(matches!(known, Some(Fate::Live(_))), "{status}");
    }
}

/// It does the same to every node: the call ends once and for all, at the far end as well.
// spec: X33, X27
#[test]
fn a_ua_that_cannot_replace_is_told_goodbye() {
    for status in [
        302, 400, 401, 403, 405, 407, 410, 415, 416, 420, 485, 486, 488, 501, 505, 600, 604,
    ] {
        let (mut b, up) = refused(status);
        let bye = b.ua_gets_the_farewell(&up);
        b.ua_responds(&bye, 200, None);
        b.agent_hears("606", status);
        assert_eq!(b.store.borrow().fate(&up.key()), Some(&Fate::Over));
        b.no_leaks_after_refusal();
    }
}

/// 481 to a Replaces says that the call is over, or that the UA knows none of it: its answer to a
/// BYE in the old dialog tells which, and either way nothing stays up.
// spec: X33, X27
#[test]
fn an_unknown_dialog_is_one_that_was_hung_up_or_one_that_cannot_be_replaced() {
    for (status, said, told, cause) in [(481, 481, "603", 481), (481, 200, "606", 481)] {
        let (mut b, up) = refused(status);
        let bye = b.ua_gets_the_farewell(&up);
        b.quiet();
        b.ua_responds(&bye, said, None);
        b.agent_hears(told, cause);
        assert_eq!(b.store.borrow().fate(&up.key()), Some(&Fate::Over));
        b.no_leaks_after_refusal();
    }
}

/// RFC 3891 section 3: 603 says that the dialog is over, whatever its UA says to a BYE that crosses
/// its own.
// spec: X33
#[test]
fn a_dialog_that_the_far_end_has_ended_is_over() {
    let (mut b, up) = refused(603);
    b.agent_hears("603", 603);
    b.ua_loses_the_old_dialog(&up);
    assert_eq!(b.store.borrow().fate(&up.key()), Some(&Fate::Over));
    b.no_leaks_after_refusal();
}

// spec: X33
#[test]
fn a_ua_that_says_nothing_to_the_bye_either_ends_the_call() {
    let (mut b, up) = refused(481);
    b.ua_gets_the_farewell(&up);
    b.pass(ms(499));
    b.quiet();
    b.pass(ms(1));
    b.to_ua.clear();
    b.agent_hears("606", 481);
    b.no_leaks_after_refusal();
}

// spec: X27
#[test]
fn a_hang_up_while_the_old_dialog_is_asked_needs_no_more() {
    let (mut b, up) = refused(481);
    let bye = b.ua_gets_the_farewell(&up);
    b.agent_sends(super::hang_ups::cancel_of(&invite(
        "f1",
        &up.replaces(),
        OFFER,
    )));
    b.agent_gets("200");
    b.agent_gets("487");
    b.ua_responds(&bye, 200, None);
    b.quiet();
    assert_eq!(b.store.borrow().fate(&up.key()), Some(&Fate::Over));
    b.no_leaks_after_refusal();
}

/// Whatever it was refused with, the agent says at last that the call has no caller any more.
// spec: X27, X33
#[test]
fn a_call_that_the_agent_gave_up_ends_at_the_far_end() {
    let (mut b, up) = refused(500);
    b.agent_hears("500", 500);
    let named = up.agent.id.replaces_for_peer().to_value();
    b.agent_sends(super::orphans::options(
        9,
        &format!("Instance-Orphan: {named}\r\n"),
    ));
    b.agent_gets("200");
    let bye = b.ua_gets_the_farewell(&up);
    b.ua_responds(&bye, 200, None);
    assert_eq!(b.store.borrow().fate(&up.key()), Some(&Fate::Over));
    b.no_leaks_after_refusal();
}

/// A survivor that died between its commit and its 200: the agent names its attempt, and so the
/// dialog that it made is the one that is replaced.
// spec: X24, D31
#[test]
fn the_success_of_a_node_that_died_before_it_could_say_so_is_moved_on() {
    let (_dead, mut b, up) = two_nodes();
    let mut c = Bench::at("127.0.0.13:5060", "cccccccccccccccc", b.store.clone());
    b.agent_sends(invite("f1", &up.replaces(), OFFER));
    let second = b.ua_gets("INVITE");
    b.ua_responds(&second, 200, Some(ANSWER));
    b.agent_gets("100");
    b.agent_gets("183");
    b.agent_gets("200");
    // Nobody has heard that 200. One who does not name the attempt is too late, as ever.
    c.agent_sends(invite("f2", &up.replaces(), OFFER));
    c.agent_gets("100");
    c.agent_gets("481");
    let orphan = "Instance-Orphan: f1;to-tag=0;from-tag=agent-f1\r\n";
    let extra = format!("{}{orphan}", up.replaces());
    c.agent_sends(invite("f3", &extra, OFFER));
    let third = c.ua_gets("INVITE");
    let named = holdline_wire::header::Replaces::parse(third.header(Name::Replaces).unwrap());
    assert_eq!(&*named.unwrap().call_id, second.call_id());
    assert!(third.header(Name::InstanceOrphan).is_none());
    c.ua_responds(&third, 200, Some(ANSWER));
    c.ua_gets("ACK");
    c.agent_gets("100");
    c.agent_gets("183");
    c.agent_gets("200");
    c.pass(ms(1000));
    let bye = c.ua_gets("BYE");
    assert_eq!(bye.call_id(), second.call_id());
    assert!(bye.cseq().number > 2 << 20);
    assert_eq!(c.store.borrow().live(), 1);
    assert_eq!(c.store.borrow().fate(&up.key()), Some(&Fate::Moved(1)));
}

impl Bench {
    /// The transactions of the refused attempt get no ACK here, and end by themselves.
    fn no_leaks_after_refusal(&mut self) {
        self.to_agent.clear();
        self.no_leaks();
    }
}
