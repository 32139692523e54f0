//! What the far end refuses, passed on by a node: it is about the call, not about the node.

use super::ringing::told_orphans;
use super::world::text;
use super::*;
use crate::core::Event;
use holdline_wire::Method;
use holdline_wire::header::Name;
use std::collections::BTreeSet;

const LATER: (Name<'static>, &str) = (Name::RetryAfter, "30");

/// Of so many calls each node has some, unless one is left alone.
fn all_nodes_are_asked(world: &mut World) {
    let count = world.nodes.len();
    let asked: BTreeSet<usize> = (0..20 * count).map(|_| world.call("").1).collect();
    assert_eq!(asked.len(), count, "a node is left alone");
}

// spec: X53
#[test]
fn what_the_far_end_refuses_is_asked_of_no_other_node_and_spares_none() {
    for status in [408, 480, 486, 500, 503, 603] {
        let mut world = World::with_nodes(3);
        let (_, node, placed) = world.call("");
        world.far_end_refuses(node, &placed, status, &[LATER]);
        world.pbx_gets(&status.to_string());
        assert!(world.next_invite().is_none(), "{status}");
        assert!(told_orphans(&world).is_empty());
        all_nodes_are_asked(&mut world);
    }
}

/// Nobody says whose its 503 is: one other node is asked, and the calling server does not hear of
/// it in a way that would make it leave us alone.
// spec: X53
#[test]
fn a_503_of_a_node_of_another_make_is_tried_once_elsewhere() {
    let mut world = World::with_nodes(3);
    for node in &mut world.nodes {
        node.incarnation = None;
    }
    let (_, first, placed) = world.call("");
    world.far_end_refuses(first, &placed, 503, &[LATER]);
    let (second, again) = world.node_invited();
    assert_ne!(first, second);
    world.far_end_refuses(second, &again, 503, &[LATER]);
    let refused = world.pbx_gets("500");
    assert!(text(&refused).contains("SIP;cause=503"));
    assert!(refused.header(Name::RetryAfter).is_none());
    assert!(world.next_invite().is_none());
    all_nodes_are_asked(&mut world);

    let (_, node, placed) = world.call("");
    world.far_end_refuses(node, &placed, 408, &[]);
    world.pbx_gets("408");
}

// spec: X53, X20
#[test]
fn a_503_of_the_far_end_in_a_dialog_makes_nobody_suspect() {
    let mut world = World::with_nodes(2);
    let mut call = world.call_up();
    world.events.clear();
    world.pbx_requests(&mut call, Method::Invite, Some(HELD));
    let hold = world.node_got(call.node, "INVITE");
    world.far_end_refuses(call.node, &hold, 503, &[]);
    world.pbx_gets("100");
    world.pbx_gets("503");
    let suspected = |event: &Event| matches!(event, Event::NodeSuspect { .. });
    assert!(!world.events.iter().any(suspected), "{:?}", world.events);
}

// spec: X53, X24
#[test]
fn a_far_end_that_has_no_room_for_a_move_is_asked_again_when_it_says() {
    for (later, from, until) in [
        (Some("3"), 2900, 4000),
        (None, 450, 1000),
        (Some("60"), 450, 1000),
    ] {
        let mut world = World::with_nodes(3);
        let mut call = world.call_up();
        world.kill_and_judge(call.node);
        let (node, invite) = world.node_invited();
        let reason = (Name::Reason, "SIP;cause=503");
        let later = later.map(|seconds| (Name::RetryAfter, seconds));
        let headers: Vec<_> = later.into_iter().chain([reason]).collect();
        world.far_end_refuses(node, &invite, 500, &headers);
        world.node_got(node, "ACK");
        world.pass(ms(from));
        assert!(world.next_invite().is_none(), "{later:?}");
        let asked = world.now;
        world.call_moves(&mut call);
        let waited = world.now.since(asked) + ms(from);
        assert!(waited <= ms(until), "{later:?}: {waited:?}");
        world.pbx_noticed_nothing();
        world.hang_up(&mut call);
        assert_eq!(world.endings(), [("hangup", 1)]);
    }
}

/// It is asked three times in all, and the calling server hears what it said.
// spec: X53, X33
#[test]
fn a_far_end_that_never_has_room_ends_the_call_with_its_reason() {
    let mut world = World::with_nodes(3);
    let call = world.call_up();
    world.kill_and_judge(call.node);
    let mut asked = 0;
    let start = world.now;
    while asked < 3 && world.now.since(start) < seconds(10) {
        if let Some((node, invite)) = world.next_invite() {
            asked += 1;
            world.far_end_refuses(node, &invite, 500, &[(Name::Reason, "SIP;cause=503")]);
            world.node_got(node, "ACK");
        }
        world.pass(ms(50));
    }
    assert_eq!(asked, 3);
    assert!(world.now.since(start) >= ms(1400), "with pauses");
    let bye = world.pbx_gets("BYE");
    assert!(text(&bye).contains("cause=503;"), "{}", text(&bye));
    world.pbx_responds(&bye, 200, None);
    world.pass(seconds(2));
    assert!(world.next_invite().is_none());
    assert_eq!(told_orphans(&world).len(), 1, "it ends at the far end too");
    world.no_trace();
    assert_eq!(world.endings(), [("lost", 0)]);
}

// spec: X33
#[test]
fn what_the_far_end_will_say_to_every_node_is_asked_of_one() {
    for status in [400, 401, 403, 404, 410, 416, 484, 488, 604] {
        let mut world = World::with_nodes(3);
        let call = world.call_up();
        world.kill_and_judge(call.node);
        let (node, invite) = world.node_invited();
        world.far_end_refuses(node, &invite, status, &[]);
        let bye = world.pbx_gets("BYE");
        let cause = format!("cause={status};");
        assert!(text(&bye).contains(&cause), "{}", text(&bye));
        world.pbx_responds(&bye, 200, None);
        assert!(world.next_invite().is_none(), "{status}");
        world.no_trace();
    }
}
