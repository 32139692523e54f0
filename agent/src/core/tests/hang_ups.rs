//! Who hangs up when: no side is left behind, whatever the call was going through.

use super::world::text;
use super::*;
use holdline_wire::header::Name;
use holdline_wire::{Message, Method};

#[test]
fn each_side_can_hang_up_and_the_other_hears() {
    let mut world = World::with_nodes(1);
    let mut call = world.call_up();
    world.hang_up(&mut call);
    let mut call = world.call_up();
    world.node_requests(0, &mut call.far, Method::Bye, None);
    world.node_got(0, "200");
    let bye = world.pbx_gets("BYE");
    world.pbx_responds(&bye, 200, None);
    world.no_trace();
    assert_eq!(world.endings(), [("hangup", 0), ("hangup", 0)]);
}

// spec: X27
#[test]
fn a_hang_up_during_the_move_waits_for_the_answer_and_cancels_nothing() {
    let mut world = World::with_nodes(2);
    let mut call = world.call_up();
    world.kill_and_judge(call.node);
    let (node, invite) = world.node_invited();
    world.pbx_requests(&mut call, Method::Bye, None);
    world.pbx_gets("200");
    assert!(world.nodes[node].inbox.is_empty(), "no CANCEL");
    world.node_responds(node, &invite, 200, Some(ANSWER));
    world.node_got(node, "ACK");
    let bye = world.node_got(node, "BYE");
    world.node_responds(node, &bye, 200, None);
    world.no_trace();
    assert_eq!(world.failover_done(), Some((0, 0, 1)));
    assert_eq!(world.endings(), [("hangup", 1)]);
}

// spec: X27
#[test]
fn a_hang_up_that_the_dying_node_never_heard_reaches_the_far_end() {
    let mut world = World::with_nodes(2);
    let mut call = world.call_up();
    world.kill(call.node);
    world.pbx_requests(&mut call, Method::Bye, None);
    world.pbx_gets("200");
    world.pass(ms(300));
    world.call_moves(&mut call);
    let bye = world.node_got(call.node, "BYE");
    world.node_responds(call.node, &bye, 200, None);
    world.no_trace();
    assert_eq!(world.endings(), [("hangup", 1)]);
}

// spec: X27
#[test]
fn a_second_death_after_the_hang_up_does_not_lose_it_either() {
    let mut world = World::with_nodes(3);
    let mut call = world.call_up();
    world.kill_and_judge(call.node);
    world.pbx_requests(&mut call, Method::Bye, None);
    world.pbx_gets("200");
    world.call_moves(&mut call);
    world.node_got(call.node, "BYE");
    world.kill_and_judge(call.node);
    world.call_moves(&mut call);
    let bye = world.node_got(call.node, "BYE");
    world.node_responds(call.node, &bye, 200, None);
    world.no_trace();
    assert_eq!(world.endings(), [("hangup", 2)]);
}

// spec: X28
#[test]
fn the_old_nodes_bye_is_answered_and_means_nothing() {
    let mut world = World::with_nodes(2);
    let mut call = world.call_up();
    let (old, mut left) = (call.node, call.far.clone());
    world.kill_and_judge(old);
    world.nodes[old].alive = true;
    world.node_requests(old, &mut left, Method::Bye, None);
    world.node_got(old, "200");
    world.call_moves(&mut call);
    world.node_requests(old, &mut left, Method::Bye, None);
    world.node_got(old, "200");
    world.pbx_noticed_nothing();
    world.hang_up(&mut call);
}

// spec: X28
#[test]
fn an_old_node_that_lives_after_all_is_told_that_the_call_moved() {
    let mut world = World::with_nodes(2);
    let mut call = world.call_up();
    let (old, left) = (call.node, call.far.id.clone());
    world.kill_and_judge(old);
    world.call_moves(&mut call);
    world.nodes[old].alive = true;
    world.pass(seconds(2));
    let bye = world.node_got(old, "BYE");
    assert_eq!(bye.text(Name::InstanceBye).as_deref(), Some("moved"));
    assert!(bye.header(Name::Reason).is_some(), "for people");
    assert_eq!(
        (bye.call_id(), bye.to_tag()),
        (&*left.call_id, Some(&*left.local_tag))
    );
    world.node_responds(old, &bye, 200, None);
    world.hang_up(&mut call);
}

// spec: X28
#[test]
fn a_new_process_at_the_old_address_gets_no_bye_for_dialogs_it_never_had() {
    let mut world = World::with_nodes(2);
    let mut call = world.call_up();
    let old = call.node;
    world.kill_and_judge(old);
    world.call_moves(&mut call);
    world.restart(old);
    world.pass(seconds(3));
    assert!(
        world.nodes[old].inbox.is_empty(),
        "{:?}",
        world.nodes[old].inbox
    );
    world.hang_up(&mut call);
}

/// Its address is the same when it is listed again, and so is its process.
// spec: X28, X11
#[test]
fn a_node_that_left_the_document_meanwhile_is_told_too() {
    let mut world = World::with_nodes(2);
    world.document(&[false, true]);
    let mut call = world.call_up();
    let (old, left) = (call.node, call.far.id.clone());
    world.document(&[true, true]);
    world.kill_and_judge(old);
    world.call_moves(&mut call);
    world.document(&[true]);
    world.pass(seconds(5));
    assert_eq!(world.core.cluster().nodes().count(), 1);
    world.nodes[old].alive = true;
    world.document(&[true, true]);
    world.pass(seconds(1));
    let bye = world.node_got(old, "BYE");
    assert_eq!(bye.call_id(), &*left.call_id);
    world.node_responds(old, &bye, 200, None);
    world.hang_up(&mut call);
    assert_eq!(world.core.env.left.len(), (0, 0));
}

// spec: X28
#[test]
fn a_node_that_falls_silent_again_before_it_has_answered_is_told_once_more() {
    let mut world = World::with_nodes(2);
    let mut call = world.call_up();
    let old = call.node;
    world.kill_and_judge(old);
    world.call_moves(&mut call);
    for told in 1..=2 {
        world.nodes[old].alive = true;
        world.pass(seconds(4));
        let bye = world.node_got(old, "BYE");
        if told == 2 {
            world.node_responds(old, &bye, 200, None);
        }
        world.nodes[old].alive = false;
        world.pass(seconds(40));
    }
    world.nodes[old].alive = true;
    world.pass(seconds(10));
    assert!(world.nodes[old].inbox.is_empty());
    world.hang_up(&mut call);
    assert_eq!(world.core.env.left.len(), (0, 0));
}

#[test]
fn a_call_that_nobody_acknowledges_is_ended_on_both_sides() {
    let mut world = World::with_nodes(1);
    let (_, node, placed) = world.call("");
    world.node_responds(node, &placed, 200, Some(ANSWER));
    world.node_got(node, "ACK");
    world.pbx_gets("200");
    world.pass(seconds(33));
    let bye = world
        .to_pbx
        .iter()
        .find(|m| *m.method() == Method::Bye && m.is_request());
    let bye: Message = bye.expect("a BYE").clone();
    world.pbx_responds(&bye, 200, None);
    let bye = world.node_got(node, "BYE");
    world.node_responds(node, &bye, 200, None);
    world.no_trace();
    assert_eq!(world.endings().len(), 1);
}

#[test]
fn a_cancelled_setup_that_is_answered_all_the_same_is_hung_up() {
    let mut world = World::with_nodes(1);
    let (invite, node, placed) = world.call("");
    world.node_responds(node, &placed, 180, None);
    world.pbx_gets("180");
    world.pbx_cancels(&invite);
    world.pbx_gets("200");
    world.pbx_gets("487");
    let cancel = world.node_got(node, "CANCEL");
    world.node_responds(node, &cancel, 200, None);
    world.node_responds(node, &placed, 200, Some(ANSWER));
    world.node_got(node, "ACK");
    let bye = world.node_got(node, "BYE");
    assert!(text(&bye).contains("BYE"));
    world.node_responds(node, &bye, 200, None);
    world.no_trace();
    assert_eq!(world.endings(), [("cancelled", 0)]);
}
