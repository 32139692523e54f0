//! What nodes say of themselves: that they are about to leave, and which store they have.

use super::*;
use crate::cluster::{Gone, NodeState};
use crate::core::Event;
use holdline_wire::Method;

fn state(world: &World, node: usize) -> NodeState {
    let status = world.core.status(world.now);
    status.trunk.nodes[node].state
}

fn failovers(world: &World) -> usize {
    let started = |event: &&Event| matches!(event, Event::FailoverStarted { .. });
    world.events.iter().filter(started).count()
}

fn gone(world: &World) -> Vec<Gone> {
    let told = world.events.iter().filter_map(|event| match event {
        Event::NodeGone { verdict, .. } => Some(verdict.gone),
        _ => None,
    });
    told.collect()
}

// spec: D34 X22
#[test]
fn a_node_that_says_it_drains_gets_no_call_and_has_left_when_it_ends() {
    let mut world = World::with_nodes(2);
    world.nodes[0].draining = true;
    world.pass(ms(300));
    assert_eq!(state(&world, 0), NodeState::Draining);
    for _ in 0..5 {
        let mut call = world.call_up();
        assert_eq!(call.node, 1);
        world.hang_up(&mut call);
    }
    world.nodes[0].alive = false;
    world.pass(ms(300));
    // No verdict on it, no flap, and nothing that would be called a failover.
    assert_eq!(state(&world, 0), NodeState::Left);
    assert_eq!((gone(&world), failovers(&world)), (vec![Gone::Left], 0));
    let status = world.core.status(world.now);
    assert_eq!(
        (status.trunk.nodes[0].flaps, status.failovers.len()),
        (0, 0)
    );
    // It lives again and drains still: that is no return.
    world.nodes[0].alive = true;
    world.pass(seconds(5));
    assert_eq!(state(&world, 0), NodeState::Left);
    world.nodes[0].draining = false;
    world.pass(seconds(2));
    assert_eq!(state(&world, 0), NodeState::Alive);
}

// spec: D34 D24
#[test]
fn the_calls_that_a_draining_node_has_when_it_ends_move_at_once() {
    let mut world = World::with_nodes(2);
    let mut call = world.call_up();
    world.nodes[call.node].draining = true;
    world.pass(ms(300));
    world.pbx_requests(&mut call, Method::Info, None);
    let info = world.node_got(call.node, "INFO");
    world.node_responds(call.node, &info, 200, None);
    world.pbx_gets("200");
    assert_eq!(failovers(&world), 0);
    world.kill(call.node);
    world.pass(ms(300));
    assert_eq!((gone(&world), failovers(&world)), (vec![Gone::Left], 1));
    world.call_moves(&mut call);
    world.hang_up(&mut call);
}

// spec: D34
#[test]
fn a_node_that_drains_no_more_takes_calls_again() {
    let mut world = World::with_nodes(1);
    world.nodes[0].draining = true;
    world.pass(ms(300));
    assert_eq!(state(&world, 0), NodeState::Draining);
    world.nodes[0].draining = false;
    world.pass(ms(300));
    assert_eq!(state(&world, 0), NodeState::Alive);
    let mut call = world.call_up();
    world.hang_up(&mut call);
}

// spec: D24 D34
#[test]
fn a_draining_node_is_a_last_resort_for_calls_that_need_a_home() {
    let mut world = World::with_nodes(2);
    let mut call = world.call_up();
    let other = 1 - call.node;
    world.nodes[other].draining = true;
    world.pass(ms(300));
    world.kill(call.node);
    world.pass(ms(300));
    world.call_moves(&mut call);
    assert_eq!(call.node, other);
    world.hang_up(&mut call);
}

// spec: X56
#[test]
fn a_death_without_calls_is_a_verdict_and_no_failover() {
    let mut world = World::with_nodes(2);
    world.kill(0);
    world.pass(seconds(2));
    assert_eq!((gone(&world), failovers(&world)), (vec![Gone::Dead], 0));
    let status = world.core.status(world.now);
    assert!(status.failovers.is_empty());
    assert_eq!(status.trunk.nodes[0].flaps, 1);
}

// spec: X59
#[test]
fn nodes_that_do_not_share_a_store_are_told_once_and_calls_stay_within_theirs() {
    let mut world = World::with_nodes(4);
    for (node, store) in [(0, "a"), (1, "a"), (2, "b"), (3, "b")] {
        world.nodes[node].store = Some((store, true));
    }
    world.pass(seconds(2));
    let differ = |event: &&Event| matches!(event, Event::StoresDiffer { .. });
    assert_eq!(world.events.iter().filter(differ).count(), 1);
    let status = world.core.status(world.now);
    assert_eq!(status.trunk.stores, 2);
    assert_eq!(&*status.trunk.nodes[3].store.as_ref().unwrap().id, "b");
    for _ in 0..6 {
        let mut call = world.call_up();
        let (node, mate) = (call.node, call.node ^ 1);
        world.kill(node);
        world.pass(ms(300));
        world.call_moves(&mut call);
        assert_eq!(call.node, mate, "left {node}");
        world.hang_up(&mut call);
        world.nodes[node].alive = true;
        world.pass(seconds(30));
        // It was told that the call had moved.
        world.nodes[node].inbox.clear();
    }
}

// spec: X59
#[test]
fn a_node_whose_store_fails_is_asked_where_no_other_is() {
    let mut world = World::with_nodes(2);
    world.nodes[0].store = Some(("a", false));
    world.nodes[1].store = Some(("a", true));
    world.pass(ms(600));
    for _ in 0..5 {
        let mut call = world.call_up();
        assert_eq!(call.node, 1);
        world.hang_up(&mut call);
    }
    world.nodes[1].store = Some(("a", false));
    world.pass(ms(600));
    for _ in 0..5 {
        let mut call = world.call_up();
        world.hang_up(&mut call);
    }
}
