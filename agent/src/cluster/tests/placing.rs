//! Where calls go.

use super::world::{Host, World, address, document, ms};
use crate::cluster::{NodeId, NodeState, Refusal};
use holdline_wire::token::Tokens;
use std::collections::BTreeMap;
use std::time::Duration;

fn with_utilization(told: &[Option<u8>]) -> World {
    let mut world = World::settled(told.len(), 0);
    for (node, &told) in world.nodes.iter_mut().zip(told) {
        node.utilization = told;
    }
    world.run(ms(300));
    world
}

fn chosen(world: &World, last_resort: bool) -> BTreeMap<NodeId, u32> {
    let mut tokens = Tokens::new([4; 32]);
    let mut counts = BTreeMap::new();
    for _ in 0..20_000 {
        if let Some(id) = world
            .cluster
            .choose(world.now, &mut tokens, &[], last_resort)
        {
            *counts.entry(id).or_default() += 1;
        }
    }
    counts
}

// spec: D23
#[test]
fn new_calls_follow_free_capacity() {
    let world = with_utilization(&[Some(20), Some(60), Some(100), None]);
    let counts = chosen(&world, false);
    // Weights 80, 40, 0, 50 of 170; 20,000 draws have a standard deviation below 71.
    for (n, weight) in [(0, 80.0), (1, 40.0), (3, 50.0)] {
        let expected = 20_000.0 * weight / 170.0;
        let got = f64::from(counts[&world.id(n)]);
        assert!(
            (got - expected).abs() < 350.0,
            "node {n}: {got} of {expected}"
        );
    }
    assert!(!counts.contains_key(&world.id(2)));
}

// spec: D22
#[test]
fn a_utilization_is_believed_for_five_seconds_and_the_latest_wins() {
    let mut world = with_utilization(&[Some(30), Some(30)]);
    let id = world.id(0);
    world.cluster.heard_sip(world.now, id, Some(90), None);
    assert_eq!(world.cluster.utilization(world.now, id), 90);
    world.nodes[0].utilization = None;
    world.run(Duration::from_secs(4));
    assert!(world.cluster.utilization(world.now, id) != 50);
    world.run(ms(1400));
    assert_eq!(world.cluster.utilization(world.now, id), 50);
    world.cluster.heard_sip(world.now, id, Some(255), None);
    assert_eq!(world.cluster.utilization(world.now, id), 100);
}

// spec: D23
#[test]
fn full_everywhere_places_nothing_new_but_a_last_resort() {
    let world = with_utilization(&[Some(100), Some(100)]);
    assert!(chosen(&world, false).is_empty());
    assert!(world.cluster.any_alive());
    assert_eq!(chosen(&world, true).len(), 2);
}

// spec: D24
#[test]
fn an_inactive_node_is_a_last_resort_only() {
    let mut world = with_utilization(&[Some(10), Some(99)]);
    let (a, b) = (world.id(0), world.id(1));
    world.cluster.apply(
        world.now,
        &document(&[(address(0), false), (address(1), true)]),
    );
    assert_eq!(
        chosen(&world, true).keys().copied().collect::<Vec<_>>(),
        vec![b]
    );
    let mut tokens = Tokens::new([4; 32]);
    assert_eq!(
        world.cluster.choose(world.now, &mut tokens, &[b], false),
        None
    );
    assert_eq!(
        world.cluster.choose(world.now, &mut tokens, &[b], true),
        Some(a)
    );
    assert_eq!(
        world.cluster.choose(world.now, &mut tokens, &[a, b], true),
        None
    );
}

// spec: D5
#[test]
fn dead_nodes_get_nothing_and_none_alive_is_none() {
    let mut world = with_utilization(&[None, None]);
    world.nodes[0].host = Host::Refuses;
    world.run(ms(300));
    let alive = world.id(1);
    assert_eq!(
        chosen(&world, false).keys().copied().collect::<Vec<_>>(),
        vec![alive]
    );
    world.nodes[1].host = Host::Refuses;
    world.run(ms(300));
    assert!(chosen(&world, true).is_empty() && !world.cluster.any_alive());
    assert!(world.cluster.homes(world.now, &[], None).is_empty());
}

// spec: X20
#[test]
fn a_suspect_gets_a_new_call_only_where_nobody_else_is_left() {
    let world = &mut with_utilization(&[None, None]);
    let (a, b) = (world.id(0), world.id(1));
    world.cluster.refused(world.now, a, Refusal::Signalling);
    assert_eq!(world.state(0), NodeState::Suspect);
    assert_eq!(
        chosen(world, false).keys().copied().collect::<Vec<_>>(),
        vec![b]
    );
    world.cluster.refused(world.now, b, Refusal::Signalling);
    assert_eq!(chosen(world, false).len(), 2);
}

// spec: D20
#[test]
fn a_node_that_answers_probes_with_503_lives_and_gets_no_new_call() {
    let mut world = with_utilization(&[Some(5), Some(5)]);
    world.nodes[0].status = 503;
    world.run(Duration::from_secs(3));
    assert_eq!((world.state(0), world.deaths()), (NodeState::Alive, 0));
    assert!(!chosen(&world, false).contains_key(&world.id(0)));
    world.nodes[0].status = 200;
    world.run(ms(300));
    assert!(chosen(&world, false).contains_key(&world.id(0)));
}

// spec: X23
#[test]
fn homes_are_weighted_by_free_capacity_and_full_ones_are_none_while_others_are_left() {
    let world = with_utilization(&[Some(0), Some(50), Some(75), Some(100)]);
    let id = |n| world.id(n);
    let homes = |exclude: &[NodeId]| world.cluster.homes(world.now, exclude, None);
    assert_eq!(homes(&[id(0)]), [(id(1), 50), (id(2), 25)]);
    assert_eq!(homes(&[id(0), id(1), id(2)]), [(id(3), 1)]);
}

// spec: X24
#[test]
fn a_node_that_asked_for_a_pause_gets_nothing_until_it_is_over() {
    let mut world = with_utilization(&[Some(5), Some(5)]);
    let (a, b) = (world.id(0), world.id(1));
    world.cluster.pause(world.now, a, Duration::from_secs(2));
    assert!(!chosen(&world, true).contains_key(&a));
    assert!(world.cluster.homes(world.now, &[b], None).is_empty());
    assert!(world.cluster.any_alive());
    world.run(Duration::from_secs(2));
    assert!(chosen(&world, false).contains_key(&a));
}

// spec: X24
#[test]
fn t1_follows_the_rtt_within_20_and_500_ms() {
    let mut world = World::settled(1, 0);
    assert_eq!(world.cluster.timers(world.id(0)).t1, ms(20));
    for (delay, range) in [(ms(40), 80..=100), (ms(400), 500..=500)] {
        world.nodes[0].delay = delay;
        world.run(Duration::from_secs(60));
        let t1 = world.cluster.timers(world.id(0)).t1.as_millis();
        assert!(range.contains(&t1), "{t1}");
    }
    assert_eq!(world.cluster.timers(NodeId(99)).t1, ms(500));
}
