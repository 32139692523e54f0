//! Attempts that are refused, not answered, or answered late.

use super::ringing::{orphan_of, orphans, told_orphans};
use super::world::{replaces, text};
use super::*;
use crate::core::Event;
use holdline_relay::Command;
use holdline_wire::Method;
use holdline_wire::build::Builder;
use holdline_wire::header::Name;

// spec: X24
#[test]
fn a_refused_attempt_goes_to_another_node() {
    let mut world = World::with_nodes(3);
    let mut call = world.call_up();
    world.kill_and_judge(call.node);
    let (first, invite) = world.node_invited();
    world.node_responds(first, &invite, 503, None);
    world.node_got(first, "ACK");
    world.call_moves(&mut call);
    assert_ne!(call.node, first);
    assert_eq!(world.core.ports_in_use(), 2);
    world.hang_up(&mut call);
    assert_eq!(world.endings(), [("hangup", 1)]);
}

// spec: X24
#[test]
fn of_two_attempts_the_late_answer_is_adopted_and_the_other_hung_up() {
    let mut world = World::with_nodes(3);
    let mut call = world.call_up();
    world.kill_and_judge(call.node);
    let (first, invite) = world.node_invited();
    world.pass(ms(310));
    let (second, hedge) = world.node_invited();
    assert_ne!(first, second);
    let cancelled = |m: &holdline_wire::Message| *m.method() == Method::Cancel;
    assert!(
        !world.nodes[first].inbox.iter().any(cancelled),
        "not cancelled"
    );
    world.nodes[first].inbox.clear();
    world.node_responds(first, &invite, 200, Some(ANSWER));
    world.node_got(first, "ACK");
    (call.node, call.far) = (first, world.dialog_at(first, &invite));
    assert_eq!(world.core.ports_in_use(), 2);
    world.node_responds(second, &hedge, 200, Some(ANSWER));
    world.node_got(second, "ACK");
    let bye = world.node_got(second, "BYE");
    world.node_responds(second, &bye, 200, None);
    world.pbx_noticed_nothing();
    world.hang_up(&mut call);
    assert_eq!(world.endings(), [("hangup", 1)]);
}

// spec: X24
#[test]
fn an_attempt_that_is_never_answered_does_not_keep_an_ended_call() {
    let mut world = World::with_nodes(3);
    let mut call = world.call_up();
    world.kill_and_judge(call.node);
    let (first, invite) = world.node_invited();
    world.node_responds(first, &invite, 183, Some(ANSWER));
    world.pass(ms(1510));
    world.call_moves(&mut call);
    assert_ne!(call.node, first);
    world.hang_up(&mut call);
    assert_eq!(world.endings(), [("hangup", 1)]);
}

// spec: X24
#[test]
fn an_attempt_that_was_not_taken_dies_with_its_node() {
    let mut world = World::with_nodes(3);
    let mut call = world.call_up();
    world.kill_and_judge(call.node);
    let (first, invite) = world.node_invited();
    world.node_responds(first, &invite, 183, Some(ANSWER));
    world.pass(ms(1510));
    world.call_moves(&mut call);
    world.kill_and_judge(first);
    world.pbx_requests(&mut call, Method::Bye, None);
    world.pbx_gets("200");
    let bye = world.node_got(call.node, "BYE");
    world.node_responds(call.node, &bye, 200, None);
    assert_eq!(world.core.live_calls(), 0, "nothing is left to wait for");
}

// spec: X11, X24; storm 2014
#[test]
fn an_attempt_that_was_not_taken_dies_with_its_node_whatever_the_document_says() {
    let mut world = World::with_nodes(3);
    let mut call = world.call_up();
    world.kill_and_judge(call.node);
    let (first, invite) = world.node_invited();
    world.node_responds(first, &invite, 183, Some(ANSWER));
    world.pass(ms(1510));
    world.call_moves(&mut call);
    world.document_without(first);
    world.document(&[true; 3]);
    world.kill_and_judge(first);
    world.pbx_requests(&mut call, Method::Bye, None);
    world.pbx_gets("200");
    let bye = world.node_got(call.node, "BYE");
    world.node_responds(call.node, &bye, 200, None);
    assert_eq!(world.core.live_calls(), 0, "nothing is left to wait for");
}

/// It may have succeeded, and the nodes that were asked meanwhile say so: the call has moved. Only
/// the next one hears which attempt is meant.
// spec: X24, X27
#[test]
fn a_call_is_not_lost_for_what_was_said_before_an_attempt_died() {
    let mut world = World::with_nodes(4);
    let mut call = world.call_up();
    world.kill_and_judge(call.node);
    let (first, invite) = world.node_invited();
    world.pass(ms(310));
    let (second, hedge) = world.node_invited();
    world.node_responds(second, &hedge, 481, None);
    let (third, again) = world.node_invited();
    assert_eq!(orphans(&again), [] as [[String; 3]; 0]);
    world.kill_and_judge(first);
    world.node_responds(third, &again, 481, None);
    world.pbx_noticed_nothing();
    let moved = world.call_moves(&mut call);
    assert_eq!(orphans(&moved), [orphan_of(&invite)]);
    world.nodes[call.node].inbox.clear();
    world.hang_up(&mut call);
    assert_eq!(world.endings(), [("hangup", 1)]);
}

/// The same of an attempt that is only unanswered, once two nodes agree.
// spec: X24, X27; storm 5333
#[test]
fn an_attempt_that_seems_to_have_the_call_but_is_not_heard_is_named_at_once() {
    let mut world = World::with_nodes(4);
    let mut call = world.call_up();
    world.kill_and_judge(call.node);
    let (_, invite) = world.node_invited();
    world.pass(ms(310));
    let asked = world.now;
    for _ in 0..2 {
        let (node, hedge) = world.node_invited();
        assert_eq!(orphans(&hedge), [] as [[String; 3]; 0]);
        world.node_responds(node, &hedge, 481, None);
    }
    let moved = world.call_moves(&mut call);
    assert_eq!(orphans(&moved), [orphan_of(&invite)]);
    assert!(world.now.since(asked) <= ms(200), "{:?}", world.now);
    world.nodes[call.node].inbox.clear();
    world.hang_up(&mut call);
    assert_eq!(world.endings(), [("hangup", 1)]);
}

/// The same of an attempt that nobody answered in its time: the far end may have accepted it.
// spec: X24, X27; storm 1740
#[test]
fn a_call_is_not_lost_for_what_was_said_before_an_attempt_timed_out() {
    let mut world = World::with_nodes(4);
    let mut call = world.call_up();
    world.kill_and_judge(call.node);
    let (_, invite) = world.node_invited();
    world.pass(ms(310));
    let (second, hedge) = world.node_invited();
    world.node_responds(second, &hedge, 481, None);
    let (third, again) = world.node_invited();
    world.pass(ms(1200));
    world.node_responds(third, &again, 481, None);
    world.pbx_noticed_nothing();
    let moved = world.call_moves(&mut call);
    assert_eq!(orphans(&moved), [orphan_of(&invite)]);
    world.nodes[call.node].inbox.clear();
    world.hang_up(&mut call);
    assert_eq!(world.endings(), [("hangup", 1)]);
}

// spec: X24
#[test]
fn a_node_that_has_not_answered_yet_is_not_asked_a_second_time() {
    let mut world = World::with_nodes(2);
    let mut call = world.call_up();
    world.kill_and_judge(call.node);
    let (node, invite) = world.node_invited();
    world.node_responds(node, &invite, 183, Some(ANSWER));
    world.pass(seconds(5));
    assert!(world.next_invite().is_none());
    world.node_responds(node, &invite, 200, Some(ANSWER));
    world.node_got(node, "ACK");
    (call.node, call.far) = (node, world.dialog_at(node, &invite));
    world.hang_up(&mut call);
}

// spec: X24
#[test]
fn a_second_death_during_the_move_leads_to_the_third_node() {
    let mut world = World::with_nodes(3);
    let mut call = world.call_up();
    world.kill_and_judge(call.node);
    let (second, invite) = world.node_invited();
    world.node_responds(second, &invite, 183, Some(ANSWER));
    world.kill_and_judge(second);
    world.call_moves(&mut call);
    world.pbx_noticed_nothing();
    world.hang_up(&mut call);
}

// spec: X24
#[test]
fn with_no_node_alive_the_call_is_held_until_one_returns() {
    let mut world = World::with_nodes(2);
    let mut call = world.call_up();
    world.kill(1 - call.node);
    world.kill_and_judge(call.node);
    world.pass(seconds(10));
    world.pbx_noticed_nothing();
    assert_eq!(world.core.ports_in_use(), 2);
    world.restart(0);
    world.call_moves(&mut call);
    world.hang_up(&mut call);
    assert_eq!(world.endings(), [("hangup", 1)]);
}

/// The silences asked for and withdrawn so far, by payload number.
fn comforts(world: &World) -> Vec<Option<u8>> {
    let told = |command: &Command| match command {
        Command::Comfort { comfort, .. } => Some(comfort.map(|comfort| {
            let silence = comfort.silence(None).expect("one is known");
            silence.payload_type()
        })),
        _ => None,
    };
    world.relay.iter().filter_map(told).collect()
}

// spec: X24
#[test]
fn while_no_node_is_alive_the_calling_server_hears_silence() {
    let mut world = World::with_nodes(2);
    let mut call = world.call_up();
    world.kill(1 - call.node);
    world.kill_and_judge(call.node);
    world.pass(seconds(10));
    assert_eq!(comforts(&world), [Some(8)]);
    world.restart(0);
    world.call_moves(&mut call);
    assert_eq!(comforts(&world), [Some(8), None]);
    // The next death is another wait.
    world.kill_and_judge(call.node);
    world.pass(seconds(1));
    assert_eq!(comforts(&world), [Some(8), None, Some(8)]);
    world.pbx_requests(&mut call, Method::Bye, None);
    assert_eq!(comforts(&world), [Some(8), None, Some(8), None]);
    world.pbx_gets("200");
    world.pass(seconds(30));
    assert_eq!(comforts(&world).len(), 4);
}

// spec: X24
#[test]
fn a_call_that_is_given_up_is_silent_no_more() {
    let mut world = World::with_nodes(1);
    let call = world.call_up();
    world.kill_and_judge(call.node);
    world.pass(seconds(21));
    let bye = world.pbx_gets("BYE");
    assert_eq!(comforts(&world), [Some(8), None]);
    world.pbx_responds(&bye, 200, None);
    world.no_trace();
}

// spec: X24
#[test]
fn a_move_that_is_over_soon_needs_no_silence() {
    let mut world = World::with_nodes(3);
    let mut call = world.call_up();
    world.kill(call.node);
    let started = |event: &Event| matches!(event, Event::FailoverStarted { .. });
    while !world.events.iter().any(started) {
        world.pass(ms(1));
    }
    world.call_moves(&mut call);
    world.pass(seconds(10));
    assert_eq!(comforts(&world), []);
    world.hang_up(&mut call);
}

// spec: X24 X27
#[test]
fn a_calling_server_that_holds_the_call_expects_no_packets() {
    let mut world = World::with_nodes(1);
    let mut call = world.call_up();
    world.pbx_requests(&mut call, Method::Invite, Some(HELD));
    let invite = world.node_got(call.node, "INVITE");
    let held = ANSWER.replace("sendrecv", "recvonly");
    world.node_responds(call.node, &invite, 200, Some(&held));
    world.kill_and_judge(call.node);
    world.pass(seconds(10));
    assert_eq!(comforts(&world), []);
}

// spec: X24
#[test]
fn a_call_that_no_node_returns_for_is_ended_after_the_hold_time() {
    let mut world = World::with_nodes(1);
    let call = world.call_up();
    world.kill_and_judge(call.node);
    world.pass(seconds(21));
    let bye = world.pbx_gets("BYE");
    world.pbx_responds(&bye, 200, None);
    world.no_trace();
    assert_eq!(world.endings(), [("lost", 0)]);
    assert_eq!(world.failover_done(), Some((0, 1, 0)));
}

// spec: X24
#[test]
fn a_call_that_two_nodes_do_not_know_is_given_up() {
    let mut world = World::with_nodes(3);
    let call = world.call_up();
    world.kill_and_judge(call.node);
    for _ in 0..2 {
        let (node, invite) = world.node_invited();
        assert_eq!(replaces(&invite).call_id, call.far.id.call_id);
        world.node_responds(node, &invite, 481, None);
    }
    let bye = world.pbx_gets("BYE");
    world.pbx_responds(&bye, 200, None);
    world.no_trace();
    assert_eq!(world.endings(), [("lost", 0)]);
}

// Found by seed 2211 of the simulated world: the far end hung up, and the node died before its BYE
// reached us.
// spec: X24 D32
#[test]
fn a_call_that_the_cluster_knows_to_be_over_is_not_lost() {
    let mut world = World::with_nodes(3);
    let call = world.call_up();
    world.kill_and_judge(call.node);
    let (node, invite) = world.node_invited();
    world.node_responds(node, &invite, 603, None);
    let bye = world.pbx_gets("BYE");
    assert!(text(&bye).contains("far end hung up"));
    world.pbx_responds(&bye, 200, None);
    world.no_trace();
    assert_eq!(world.endings(), [("hangup", 0)]);
    assert_eq!(world.failover_done(), Some((0, 0, 1)));
    assert!(told_orphans(&world).is_empty());
}

/// An attempt that was not heard any more, its node being held for dead, may have replaced the dialog: then
/// the far end refuses the next one as if it had hung up. Whoever is asked after that finds out.
// spec: X24, X27; storms 4594, 4656, 4846
#[test]
fn a_call_is_not_taken_for_hung_up_while_an_unheard_attempt_may_have_it() {
    for over in [None, Some(603), Some(481)] {
        let mut world = World::with_nodes(4);
        let mut call = world.call_up();
        world.kill_and_judge(call.node);
        let (first, invite) = world.node_invited();
        world.kill_and_judge(first);
        let (second, again) = world.node_is_invited_at_last();
        assert_eq!(orphans(&again), [orphan_of(&invite)]);
        world.node_responds(second, &again, 603, None);
        world.node_got(second, "ACK");
        world.pbx_noticed_nothing();
        let refused = world.now;
        let Some(status) = over else {
            let moved = world.call_moves(&mut call);
            assert_eq!(orphans(&moved), [orphan_of(&invite)]);
            assert!(world.now.since(refused) <= ms(300));
            world.hang_up(&mut call);
            assert_eq!(world.endings(), [("hangup", 1)]);
            continue;
        };
        // Nobody has it: the far end did hang up.
        while world.endings().is_empty() && world.now.since(refused) < ms(5000) {
            let (node, invite) = world.node_is_invited_at_last();
            world.node_responds(node, &invite, status, None);
        }
        let bye = world.pbx_gets("BYE");
        assert!(text(&bye).contains("far end hung up"), "{status}");
        world.pbx_responds(&bye, 200, None);
        assert_eq!(world.endings(), [("hangup", 0)]);
        assert!(world.now.since(refused) <= ms(3100), "{status}");
    }
}

/// The node has found out that no node can move it, and why: nobody else is asked.
// spec: X33
#[test]
fn a_call_that_no_node_can_move_ends_with_the_reason_that_its_far_end_gave() {
    let mut world = World::with_nodes(3);
    let call = world.call_up();
    world.kill_and_judge(call.node);
    let (node, invite) = world.node_invited();
    let refusal = Builder::response(&invite, world::addr(world::AGENT), 606, b"", Some("n"))
        .header(
            Name::Reason,
            "SIP;cause=420;text=\"downstream refused with 420\"",
        );
    world.node_sends(node, refusal.finish(None).unwrap());
    let bye = world.pbx_gets("BYE");
    assert!(text(&bye).contains("cause=420;"), "{}", text(&bye));
    world.pbx_responds(&bye, 200, None);
    assert!(world.next_invite().is_none());
    world.no_trace();
    assert_eq!(world.endings(), [("lost", 0)]);
}

/// It is not up with nobody at the far end, whatever the refusals were.
// spec: X27, X33
#[test]
fn a_call_that_is_lost_is_ended_at_the_far_end() {
    let mut world = World::with_nodes(2);
    let call = world.call_up();
    world.kill_and_judge(call.node);
    for _ in 0..6 {
        let (node, invite) = world.node_is_invited_at_last();
        world.node_responds(node, &invite, 488, None);
        world.node_got(node, "ACK");
    }
    let bye = world.pbx_gets("BYE");
    world.pbx_responds(&bye, 200, None);
    let named = call.far.id.replaces_for_peer();
    let named = [named.call_id, named.from_tag, named.to_tag];
    assert_eq!(told_orphans(&world), [[named.map(String::from)]]);
    world.no_trace();
}

/// A node dies on which an attempt was under way: it may have succeeded, so that the next one has
/// to name it.
// spec: X24
#[test]
fn an_attempt_that_died_with_its_node_is_named_in_the_next() {
    for hedged in [false, true] {
        let mut world = World::with_nodes(4);
        let mut call = world.call_up();
        world.kill_and_judge(call.node);
        let (second, invite) = world.node_invited();
        assert!(orphans(&invite).is_empty());
        let dead = [orphan_of(&invite)];
        if hedged {
            world.pass(ms(310));
            let (third, hedge) = world.node_invited();
            assert!(orphans(&hedge).is_empty(), "the second lives");
            world.kill_and_judge(second);
            world.node_responds(third, &hedge, 503, None);
            world.node_got(third, "ACK");
        } else {
            world.kill_and_judge(second);
        }
        let (last, again) = world.node_is_invited_at_last();
        assert_eq!(orphans(&again), dead);
        world.node_responds(last, &again, 200, Some(ANSWER));
        world.node_got(last, "ACK");
        (call.node, call.far) = (last, world.dialog_at(last, &again));
        world.hang_up(&mut call);
        assert_eq!(world.endings(), [("hangup", 1)]);
    }
}

// spec: X24
#[test]
fn refusals_for_a_long_time_use_no_more_ports_than_one() {
    let mut world = World::with_nodes(3);
    let mut call = world.call_up();
    world.kill_and_judge(call.node);
    for _ in 0..20 {
        while let Some((node, invite)) = world.next_invite() {
            world.node_responds(node, &invite, 503, None);
            world.nodes[node].inbox.clear();
        }
        assert!(
            world.core.ports_in_use() <= 3,
            "{}",
            world.core.ports_in_use()
        );
        world.pass(ms(500));
    }
    world.pass(seconds(1));
    world.call_moves(&mut call);
    world.hang_up(&mut call);
}
