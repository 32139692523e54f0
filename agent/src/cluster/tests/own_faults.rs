//! Our own failures are nobody's death (spec: X52).

use super::world::{Host, World, ms};
use crate::cluster::{ClusterEvent, NodeState};
use holdline_wire::machine::LocalFault;
use std::time::Duration;

fn bar(world: &mut World, nodes: impl IntoIterator<Item = usize>) {
    let kind = LocalFault::NoRoute;
    world.unsent = nodes.into_iter().map(|n| (n, kind)).collect();
}

// spec: X52
#[test]
fn where_nothing_leaves_this_machine_nobody_is_dead() {
    // Their media may be heard all the time, or fall silent too.
    for (hears, streams) in [(true, 5), (true, 0), (false, 5)] {
        for outage in [100, 1000, 1600, 10_000] {
            let mut world = World::settled(3, streams);
            bar(&mut world, 0..3);
            world.network = hears;
            world.run(ms(outage));
            bar(&mut world, []);
            world.network = true;
            world.run(Duration::from_secs(4));
            assert_eq!(world.deaths(), 0, "{outage} ms, {streams} streams");
            assert!((0..3).all(|n| world.state(n) == NodeState::Alive));
        }
    }
}

// spec: X52
#[test]
fn an_outage_of_our_own_is_told_once_and_its_end_too() {
    let mut world = World::settled(3, 5);
    bar(&mut world, 0..3);
    world.run(Duration::from_secs(10));
    bar(&mut world, []);
    world.run(Duration::from_secs(2));
    let blind = world.count(|e| matches!(e, ClusterEvent::Blind { .. }));
    let sighted = world.count(|e| matches!(e, ClusterEvent::Sighted { .. }));
    assert_eq!((blind, sighted), (1, 1));
}

// spec: X52 D21 X22
#[test]
fn one_node_that_cannot_be_reached_from_here_is_left_in_d21s_time_and_is_no_flap() {
    for streams in [5, 0] {
        let mut world = World::settled(3, streams);
        let barred = world.now;
        bar(&mut world, [1]);
        world.run(Duration::from_secs(10));
        let after = world.died_after(1, barred).expect("left");
        assert!((ms(1200)..ms(1800)).contains(&after), "{after:?}");
        assert_eq!(
            (world.deaths(), world.state(1)),
            (1, NodeState::Unreachable)
        );
        let shown = &world.cluster.snapshot(world.now).nodes[1];
        assert_eq!(shown.flaps, 0);
        let verdict = shown.last_verdict.as_ref().expect("a verdict");
        let last = verdict.evidence.last().expect("evidence");
        assert_eq!(last.what, "unreachable from here (no route)");
        bar(&mut world, []);
        world.run(Duration::from_secs(2));
        assert_eq!(world.state(1), NodeState::Alive);
    }
}

// spec: X52
#[test]
fn a_short_fault_towards_one_node_moves_nothing() {
    let mut world = World::settled(3, 5);
    bar(&mut world, [1]);
    world.run(ms(1000));
    assert_eq!(world.state(1), NodeState::Suspect, "no new calls meanwhile");
    bar(&mut world, []);
    world.run(Duration::from_secs(3));
    assert_eq!((world.deaths(), world.state(1)), (0, NodeState::Alive));
}

// spec: X52
#[test]
fn a_node_that_joins_while_nothing_leaves_is_not_dead() {
    let mut world = World::new(vec![Default::default(), Default::default()], 1);
    bar(&mut world, 0..2);
    world.run(Duration::from_secs(5));
    assert_eq!(world.deaths(), 0);
    bar(&mut world, []);
    world.run(Duration::from_secs(1));
    assert!((0..2).all(|n| world.state(n) == NodeState::Alive));
}

// spec: X52 X21
#[test]
fn a_death_in_an_outage_of_our_own_is_found_afterwards() {
    let mut world = World::settled(3, 5);
    bar(&mut world, 0..3);
    world.run(Duration::from_secs(3));
    world.nodes[1].host = Host::Cut;
    world.run(Duration::from_secs(1));
    bar(&mut world, []);
    let over = world.now;
    world.run(Duration::from_secs(3));
    let after = world.died_after(1, over).expect("dead");
    assert!(after <= ms(1800), "{after:?}");
    assert_eq!(world.deaths(), 1);
}

// spec: X52
#[test]
fn what_a_router_says_is_a_reason_to_ask_and_no_proof() {
    let mut world = World::settled(3, 5);
    let id = world.id(1);
    for _ in 0..20 {
        world.cluster.unreachable(world.now, id);
        world.run(ms(5));
    }
    world.run(Duration::from_secs(2));
    assert_eq!((world.deaths(), world.state(1)), (0, NodeState::Alive));
}
