//! Who belongs to the cluster.

use super::world::{Host, SimNode, World, address, document, ms};
use crate::cluster::{Cluster, ClusterEvent, EvidenceKind, HealthConfig, NodeState};
use holdline_wire::Time;
use holdline_wire::token::Tokens;
use std::collections::BTreeMap;
use std::time::Duration;

// spec: D11
#[test]
fn documents_join_and_remove_nodes_and_numbers_are_never_reused() {
    let mut cluster = Cluster::new("trunk", HealthConfig::default());
    let (a, b) = (address(0), address(1));
    let first = cluster.apply(Time::ZERO, &document(&[(a, true), (b, false)]));
    assert_eq!((first.joined.len(), cluster.name()), (2, "trunk.example"));
    let again = cluster.apply(Time::ZERO, &document(&[(a, true), (b, false)]));
    assert!(again.is_empty());
    let old = cluster.node_at(a).unwrap();
    let left = cluster.apply(Time::ZERO, &document(&[(b, true)]));
    assert_eq!(
        (left.left, left.activated),
        (vec![old], vec![cluster.node_at(b).unwrap()])
    );
    assert_eq!(
        cluster.poll_event(),
        Some(ClusterEvent::Gone { node: old, addr: a })
    );
    let back = cluster.apply(Time::ZERO, &document(&[(a, true), (b, true)]));
    assert_eq!(back.joined.len(), 1);
    assert_ne!(back.joined[0], old);
}

// spec: D14
#[test]
fn an_inactive_node_gets_no_new_calls_keeps_its_own_and_is_probed() {
    let mut world = World::settled(2, 0);
    let (a, b) = (world.id(0), world.id(1));
    world.cluster.calls_changed(a, 3);
    let changes = world.cluster.apply(
        world.now,
        &document(&[(address(0), false), (address(1), true)]),
    );
    assert_eq!(changes.deactivated, vec![a]);
    world.run(ms(1000));
    let mut tokens = Tokens::new([1; 32]);
    assert!((0..50).all(|_| world.cluster.choose(world.now, &mut tokens, &[], false) == Some(b)));
    assert_eq!(
        (world.cluster.calls(a), world.state(0)),
        (3, NodeState::Alive)
    );
    assert_eq!(
        world.probes.iter().filter(|(_, node)| *node == a).count(),
        4
    );
}

// spec: X11
#[test]
fn a_node_that_vanishes_is_kept_for_its_calls_and_its_death_is_told() {
    let mut world = World::settled(2, 0);
    let a = world.id(0);
    world.cluster.calls_changed(a, 2);
    let changes = world
        .cluster
        .apply(world.now, &document(&[(address(1), true)]));
    assert_eq!((changes.left, world.cluster.is_active(a)), (vec![a], false));
    assert_eq!(world.log.len(), 0);
    world.nodes[0].host = Host::Cut;
    world.run(ms(1700));
    assert_eq!(world.deaths(), 1);
    world.cluster.calls_changed(a, 0);
    assert_eq!(
        world.cluster.poll_event(),
        Some(ClusterEvent::Gone {
            node: a,
            addr: address(0)
        })
    );
    assert_eq!(
        (world.cluster.state(a), world.cluster.node_at(address(0))),
        (None, None)
    );
    // Late news of it is harmless.
    world.cluster.heard_sip(world.now, a, Some(3), Some("x"));
    world.run(ms(1000));
}

// spec: X11, D13, X21a
#[test]
fn a_dead_node_without_media_is_found_sooner_when_the_document_leaves_it_out() {
    let mut world = World::settled(3, 0);
    let a = world.id(0);
    world.cluster.calls_changed(a, 2);
    world.nodes[0].host = Host::Cut;
    let cut = world.now;
    world.run(ms(40));
    let rest = document(&[(address(1), true), (address(2), true)]);
    world.cluster.apply(world.now, &rest);
    world.run(ms(300));
    let after = world.died_after(0, cut).expect("dead");
    assert!(after <= ms(240), "{after:?}");
    let verdict = world.log.iter().find_map(|(_, e)| match e {
        ClusterEvent::Dead { verdict, .. } => Some(verdict.clone()),
        _ => None,
    });
    let evidence = verdict.expect("a verdict").evidence;
    assert_eq!(evidence[0].kind, EvidenceKind::Unlisted);
    // The document alone is no proof: it takes as many probes as without.
    let last = evidence.last().map(|e| e.kind);
    let enough = |kind| matches!(kind, EvidenceKind::ProbesUnanswered { probes } if probes >= 6);
    assert!(last.is_some_and(enough), "{last:?}");
}

// spec: X11, X20
#[test]
fn a_living_node_that_the_document_leaves_out_is_asked_once_and_keeps_its_calls() {
    let mut world = World::settled(2, 0);
    let a = world.id(0);
    let both = document(&[(address(0), true), (address(1), true)]);
    let rest = document(&[(address(1), true)]);
    world.cluster.calls_changed(a, 2);
    world.cluster.apply(world.now, &rest);
    assert_eq!(world.state(0), NodeState::Suspect);
    world.run(ms(5));
    assert_eq!((world.state(0), world.deaths()), (NodeState::Alive, 0));
    let asked = |world: &World| world.count(|e| matches!(e, ClusterEvent::Suspect { .. }));
    world.cluster.apply(world.now, &rest);
    world.run(ms(1000));
    assert_eq!(asked(&world), 1);
    // Out and in and out again is asked again: it may have died meanwhile.
    world.cluster.apply(world.now, &both);
    world.cluster.apply(world.now, &rest);
    world.run(ms(1000));
    assert_eq!((asked(&world), world.deaths()), (2, 0));
}

// spec: X11
#[test]
fn a_node_that_is_listed_again_keeps_its_number() {
    let mut world = World::settled(2, 0);
    let a = world.id(0);
    world.cluster.calls_changed(a, 1);
    world
        .cluster
        .apply(world.now, &document(&[(address(1), true)]));
    let changes = world.cluster.apply(
        world.now,
        &document(&[(address(0), true), (address(1), true)]),
    );
    assert_eq!((changes.joined.len(), changes.activated), (0, vec![a]));
    world.cluster.calls_changed(a, 0);
    assert_eq!(world.cluster.node_at(address(0)), Some(a));
}

// spec: D20
#[test]
fn five_hundred_nodes_are_not_probed_at_once() {
    let mut cluster = Cluster::new("trunk", HealthConfig::default());
    let all: Vec<_> = (0..500).map(|n| (address(n), true)).collect();
    cluster.apply(Time::ZERO, &document(&all));
    let mut per_slot = BTreeMap::<u64, usize>::new();
    let mut per_node = BTreeMap::new();
    let end = Time::ZERO + Duration::from_secs(1);
    while let Some(at) = cluster.poll_deadline().filter(|&at| at < end) {
        cluster.handle_deadline(at);
        while let Some(event) = cluster.poll_event() {
            let ClusterEvent::Probe { node, .. } = event else {
                continue;
            };
            *per_slot.entry(at.as_nanos() / 10_000_000).or_default() += 1;
            per_node.entry(node).or_insert_with(Vec::new).push(at);
        }
    }
    // 500 nodes each 250 ms are 20 in 10 ms, and the first ones another 10.
    let steady = per_slot.range(50..).all(|(_, &n)| (15..=25).contains(&n));
    assert!(
        steady && per_slot.values().all(|&n| n <= 35),
        "{per_slot:?}"
    );
    assert_eq!(per_node.len(), 500);
    for times in per_node.values() {
        // The first one goes out on joining, the others in the node's own share.
        assert!(
            times[1..].windows(2).all(|w| w[1].since(w[0]) == ms(250)),
            "{times:?}"
        );
    }
}

// spec: D4
#[test]
fn a_new_node_is_usable_after_one_answer() {
    let mut world = World::settled(1, 0);
    world.nodes.push(super::world::SimNode::default());
    world.cluster.apply(
        world.now,
        &document(&[(address(0), true), (address(1), true)]),
    );
    assert_eq!(world.state(1), NodeState::Joining);
    world.run(ms(2));
    assert_eq!(world.state(1), NodeState::Alive);
    let alive = ClusterEvent::Alive { node: world.id(1) };
    assert_eq!(world.log.iter().filter(|(_, e)| *e == alive).count(), 1);
}

// spec: D20
#[test]
fn the_probes_of_500_nodes_share_wake_ups_and_are_spread_all_the_same() {
    let mut world = World::settled(1, 0);
    let many: Vec<_> = (0..500).map(|n| (address(n), true)).collect();
    world.nodes = vec![SimNode::default(); 500];
    world.cluster.apply(world.now, &document(&many));
    world.run(Duration::from_secs(5));
    world.probes.clear();
    world.run(ms(250));
    assert_eq!(world.probes.len(), 500);
    let mut moments = BTreeMap::new();
    for (at, _) in &world.probes {
        *moments.entry(*at).or_insert(0) += 1;
    }
    assert_eq!(moments.len(), 50);
    assert!(
        moments.values().all(|probes| (8..=12).contains(probes)),
        "{moments:?}"
    );
}
