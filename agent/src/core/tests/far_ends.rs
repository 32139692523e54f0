//! How many INVITEs with Replaces one far end owes a final answer, over all nodes (spec: X57).

use super::pacing::{answer, calls_on, invites, kill, roomy};
use super::*;
use crate::core::{Event, Pace, Settings};
use holdline_wire::header::InstanceFarEnd;
use holdline_wire::{Message, Method};

fn far_end(port: u16, product: &str) -> InstanceFarEnd {
    let address = std::net::SocketAddr::from(([10, 0, 0, 3], port));
    InstanceFarEnd::new(address, Some(product.as_bytes()), None)
}

/// Three nodes, `count` calls of a far end on the first, which is just held for dead.
fn moving(count: usize, product: &str, change: impl FnOnce(&mut Settings)) -> World {
    let mut world = World::with(3, |settings| {
        roomy(settings);
        change(settings);
    });
    world.far_end = Some(far_end(5060, product));
    calls_on(&mut world, 0, count);
    (1..3).for_each(|node| world.nodes[node].inbox.clear());
    kill(&mut world, 0);
    world
}

/// The INVITEs that the survivors got since the last look, and which of them each came to.
fn asked(world: &mut World) -> Vec<(usize, Message)> {
    let both = [1, 2].map(|node| invites(world, node).into_iter().map(move |m| (node, m)));
    both.into_iter().flatten().collect()
}

/// The calls of which it was told that they wait too long; and how often that was new.
fn late(world: &World) -> (usize, usize) {
    let first = world.events.iter().filter_map(|event| match event {
        Event::MoveLate { first, .. } => Some(*first),
        _ => None,
    });
    let first: Vec<bool> = first.collect();
    (first.len(), first.iter().filter(|first| **first).count())
}

// spec: X57
#[test]
fn an_asterisk_owes_one_final_answer_at_a_time_over_all_nodes() {
    for pacing in [Pace::Adaptive, Pace::Window] {
        let mut world = moving(60, "Asterisk PBX 22.1.0", |settings| {
            settings.moving.pacing = pacing;
            settings.moving.window = ms(500);
        });
        let mut moved = 0;
        while moved < 60 {
            let mut open = asked(&mut world);
            if open.is_empty() {
                // The draft's window: the next call is not due yet.
                assert_eq!(pacing, Pace::Window);
                world.pass(ms(1));
                continue;
            }
            assert_eq!(open.len(), 1, "{pacing:?}, {moved} moved");
            let (node, invite) = open.remove(0);
            world.node_responds(node, &invite, 183, Some(ANSWER));
            world.pass(ms(4));
            assert!(asked(&mut world).is_empty(), "a 183 is not final");
            world.node_responds(node, &invite, 200, Some(ANSWER));
            moved += 1;
        }
        assert_eq!(world.failover_done(), Some((60, 0, 0)));
        assert_eq!(late(&world), (0, 0));
        world.pbx_noticed_nothing();
    }
}

/// All calls are due after a second, and another node is asked for the first one after 300 ms.
// spec: X57, D25, X24
#[test]
fn neither_the_end_of_the_window_nor_another_attempt_passes_the_bound() {
    let mut world = moving(40, "Asterisk", |_| {});
    let open = asked(&mut world);
    assert_eq!(open.len(), 1);
    world.node_responds(open[0].0, &open[0].1, 183, Some(ANSWER));
    world.pass(ms(1990));
    assert!(asked(&mut world).is_empty());
    // It may have it still, but the others cannot wait for ever.
    world.pass(ms(20));
    assert_eq!(asked(&mut world).len(), 1);
    // They are told of once, and counted.
    world.pass(ms(500));
    assert_eq!(late(&world), (39, 1));
    let told = world.events.iter().find_map(|event| match event {
        Event::MoveLate { far_end, .. } => Some(far_end.clone()),
        _ => None,
    });
    let told = told.unwrap();
    assert_eq!(
        (told.at_a_time, told.product.as_deref()),
        (1, Some("Asterisk"))
    );
    assert!((30..=40).contains(&told.waiting), "{}", told.waiting);
}

/// The far end never answers for one call, whichever node asks.
// spec: X57, X24
#[test]
fn a_call_that_gets_no_answer_goes_behind_the_others() {
    let mut world = moving(10, "Asterisk", |_| {});
    let stuck = super::world::replaces(&asked(&mut world)[0].1).call_id;
    let mut order = Vec::new();
    for _ in 0..900 {
        for (node, invite) in asked(&mut world) {
            let named = super::world::replaces(&invite).call_id;
            if named != stuck {
                world.node_responds(node, &invite, 200, Some(ANSWER));
            }
            order.push(named == stuck);
        }
        world.pass(ms(5));
    }
    // Nine others, and then that one again, every two seconds.
    assert_eq!(order[..10], [&[false; 9][..], &[true]].concat());
    assert!(order[10..].iter().all(|again| *again) && order.len() < 13);
}

// spec: X57
#[test]
fn what_a_dead_node_may_have_asked_is_waited_for_a_second_and_no_longer() {
    let mut world = moving(10, "Asterisk", |_| {});
    let open = asked(&mut world);
    let survivor = open[0].0;
    world.node_responds(survivor, &open[0].1, 183, Some(ANSWER));
    world.kill_and_judge(survivor);
    world.pass(ms(650));
    assert!(asked(&mut world).is_empty());
    world.pass(ms(60));
    let other = 3 - survivor;
    // Those of the survivor move too.
    for _ in 0..200 {
        assert!(answer(&mut world, other, 200) <= 1);
        world.pass(ms(5));
    }
    assert!(world.core.calls.values().all(|call| call.far.is_some()));
    assert_eq!(
        world.failover_done().map(|(_, lost, ended)| (lost, ended)),
        Some((0, 0))
    );
}

/// A refusal is final too, and the place is free for another node's attempt.
// spec: X57, X24
#[test]
fn a_node_that_is_full_holds_no_place() {
    let mut world = moving(10, "Asterisk", |_| {});
    let (mut refused, mut moved) = (0, 0);
    for _ in 0..400 {
        let open = asked(&mut world);
        assert!(open.len() <= 1);
        for (node, invite) in open {
            let status = if node == 1 { 503 } else { 200 };
            world.node_responds(node, &invite, status, (status == 200).then_some(ANSWER));
            refused += usize::from(status == 503);
            moved += usize::from(status == 200);
        }
        world.pass(ms(5));
    }
    assert!(refused > 0 && moved == 10, "{refused}, {moved}");
}

/// Many calls of a far end that takes one at a time stand before those of one that takes eight,
/// and before one that is placed again while it rings.
// spec: X57
#[test]
fn calls_of_other_far_ends_do_not_wait_for_one_that_is_full() {
    let mut world = World::with(2, roomy);
    world.far_end = Some(far_end(5060, "Asterisk"));
    calls_on(&mut world, 0, 100);
    world.far_end = Some(far_end(5070, "phone"));
    calls_on(&mut world, 0, 5);
    let rings = loop {
        let (_, node, placed) = world.call("");
        world.node_responds(node, &placed, 180, None);
        world.to_pbx.clear();
        if node == 0 {
            break placed;
        }
    };
    world.nodes[1].inbox.clear();
    kill(&mut world, 0);
    let open = invites(&mut world, 1);
    let anew = |m: &&Message| m.header(holdline_wire::header::Name::Replaces).is_none();
    assert_eq!(open.len(), 1 + 5 + 1, "{rings:?}");
    assert_eq!(open.iter().filter(anew).count(), 1);
}

/// A node of another make tells nothing of the far end.
// spec: X57
#[test]
fn an_unknown_far_end_gets_eight_and_more_with_each_quick_answer() {
    let mut world = World::with(2, roomy);
    world.far_end = None;
    calls_on(&mut world, 0, 60);
    world.nodes[1].inbox.clear();
    kill(&mut world, 0);
    let first = invites(&mut world, 1);
    assert_eq!(first.len(), 8);
    for invite in &first {
        world.node_responds(1, invite, 183, Some(ANSWER));
    }
    assert!(invites(&mut world, 1).is_empty());
    for invite in &first {
        world.node_responds(1, invite, 200, Some(ANSWER));
    }
    assert_eq!(invites(&mut world, 1).len(), 16);
}

/// The far end answers before it has moved the call, and ends it with what comes too early.
// spec: X28
#[test]
fn a_hang_up_just_after_the_move_is_counted_by_itself() {
    for (wait, cause) in [(ms(400), "hangup_after_move"), (ms(1100), "hangup")] {
        let mut world = World::with_nodes(2);
        let mut call = world.call_up();
        world.kill_and_judge(call.node);
        world.call_moves(&mut call);
        world.pass(wait);
        world.node_requests(call.node, &mut call.far, Method::Bye, None);
        world.node_got(call.node, "200");
        let bye = world.pbx_gets("BYE");
        world.pbx_responds(&bye, 200, None);
        let soon = |event: &&Event| matches!(event, Event::HangupAfterMove { .. });
        let counted = world.events.iter().filter(soon).count();
        assert_eq!(counted, usize::from(cause == "hangup_after_move"));
        world.no_trace();
        assert_eq!(world.endings(), [(cause, 1)]);
    }
    // One that never moved.
    let mut world = World::with_nodes(1);
    let mut call = world.call_up();
    world.node_requests(call.node, &mut call.far, Method::Bye, None);
    world.node_got(call.node, "200");
    let bye = world.pbx_gets("BYE");
    world.pbx_responds(&bye, 200, None);
    world.no_trace();
    assert_eq!(world.endings(), [("hangup", 0)]);
}

/// An attended transfer asks the far end for the same.
// spec: X57, D32
#[test]
fn a_transfer_waits_while_a_move_asks_the_far_end() {
    let mut world = moving(3, "Asterisk", |_| {});
    let (node, invite) = asked(&mut world).remove(0);
    // One of them has moved; it is to be replaced while the next one moves.
    world.node_responds(node, &invite, 200, Some(ANSWER));
    let key = world
        .core
        .calls
        .iter()
        .find(|(_, call)| call.generation == 1);
    let near = key.map(|(_, call)| call.near.id()).unwrap();
    let replaces = near.replaces_for_peer();
    let (next, second) = asked(&mut world).remove(0);
    let named = format!(
        "Replaces: {};to-tag={};from-tag={}\r\nRequire: replaces\r\n",
        near.call_id, near.local_tag, near.remote_tag
    );
    assert_eq!(replaces.call_id, near.call_id);
    world.invite("sip:2001@127.0.0.1:5070", &named, OFFER);
    world.pass(ms(50));
    assert!(asked(&mut world).is_empty(), "one at a time");
    world.node_responds(next, &second, 200, Some(ANSWER));
    let (last, third) = asked(&mut world).remove(0);
    world.node_responds(last, &third, 200, Some(ANSWER));
    world.pass(ms(150));
    let open = asked(&mut world);
    assert_eq!(open.len(), 1);
    let value = open[0].1.header(holdline_wire::header::Name::Replaces);
    assert!(String::from_utf8_lossy(value.unwrap()).contains("transfer"));
}
