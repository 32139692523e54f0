//! The agent distrusts itself (spec: X21).

use super::world::{Host, SimNode, World, ms};
use crate::cluster::{ClusterEvent, NodeState};
use std::time::Duration;

// spec: X21
#[test]
fn a_late_relay_voids_the_silence_of_media() {
    let mut world = World::settled(2, 3);
    world.nodes[0].streams = 0;
    world.run(ms(25));
    // The tick says that it came 60 ms late: what it did not hear proves nothing.
    world.tick_late = ms(60);
    world.run(ms(20));
    assert_eq!(
        world.count(|e| matches!(e, ClusterEvent::Suspect { .. })),
        0
    );
    // Silence that goes on afterwards counts again.
    world.run(ms(60));
    assert_eq!(
        world.count(|e| matches!(e, ClusterEvent::Suspect { .. })),
        1
    );
}

// spec: X21
#[test]
fn a_frozen_agent_blames_nobody() {
    for freeze in [50, 400, 1400, 3000, 20_000] {
        for streams in [0, 3] {
            let mut world = World::settled(3, streams);
            world.run(ms(130));
            world.freeze(ms(freeze));
            world.run(Duration::from_secs(5));
            assert_eq!(world.deaths(), 0, "frozen {freeze} ms, {streams} streams");
            assert!((0..3).all(|n| world.state(n) == NodeState::Alive));
        }
    }
}

// spec: X21
#[test]
fn a_death_during_a_freeze_is_found_afterwards() {
    let mut world = World::settled(3, 3);
    world.nodes[1].host = Host::Cut;
    world.freeze(ms(700));
    let thawed = world.now;
    world.run(ms(300));
    let after = world.died_after(1, thawed).expect("dead");
    assert!(after <= ms(150), "{after:?}");
    assert_eq!(world.deaths(), 1);
}

// spec: D21 X21
#[test]
fn a_witness_that_was_silent_too_counts_by_its_own_path() {
    let path = |delay| SimNode {
        delay: ms(delay),
        jitter: ms(20),
        loss_percent: 8,
        ..SimNode::default()
    };
    for seed in 1..=20 {
        let mut world = World::new(vec![path(100), path(100)], seed);
        world.run(Duration::from_secs(5));
        // All are cut off. When one is back it takes 200 ms to answer, and some answers are lost.
        world
            .nodes
            .iter_mut()
            .for_each(|node| node.host = Host::Cut);
        world.run(Duration::from_secs(2));
        world.nodes[0].host = Host::Up;
        let back = world.now;
        world.run(Duration::from_secs(5));
        let after = world.died_after(1, back);
        assert!(
            after.is_some_and(|after| after <= ms(4000)),
            "seed {seed}: {after:?}"
        );
        assert_eq!(world.deaths(), 1, "seed {seed}");
    }
}

// spec: X20 X21
#[test]
fn lateness_after_a_suspicion_does_not_forgive_the_silence_before_it() {
    let mut world = World::settled(3, 3);
    let cut = world.now;
    world.nodes[1].host = Host::Cut;
    while world.state(1) != NodeState::Suspect {
        world.run(ms(1));
        assert!(world.now.since(cut) < ms(100), "no suspicion");
    }
    // A busy machine: the relay's next tick is late by more than the silence was long.
    world.tick_late = ms(60);
    world.run(ms(300));
    let after = world.died_after(1, cut).expect("dead");
    assert!(after <= ms(150), "{after:?}");
    assert_eq!(world.deaths(), 1);
}

// spec: X21
#[test]
fn an_agent_that_is_late_all_the_time_still_finds_a_death() {
    let mut world = World::settled(3, 0);
    let cut = world.now;
    world.nodes[0].host = Host::Cut;
    for _ in 0..30 {
        world.freeze(ms(20));
        world.run(ms(80));
    }
    assert!(world.died_after(0, cut).expect("dead") <= ms(2700));
    assert_eq!(world.deaths(), 1);
}

// spec: X21
#[test]
fn all_nodes_silent_at_once_is_our_own_network() {
    for streams in [0, 1, 10] {
        for outage in [30, 60, 100, 150, 300, 800, 1600, 2000, 10_000] {
            let mut world = World::settled(4, streams);
            world.run(ms(77));
            world.network = false;
            world.run(ms(outage));
            world.network = true;
            world.run(Duration::from_secs(4));
            assert_eq!(world.deaths(), 0, "{streams} streams, {outage} ms");
            assert!((0..4).all(|n| world.state(n) == NodeState::Alive));
        }
    }
}

// spec: X21
#[test]
fn a_node_that_died_in_the_outage_is_found_when_the_others_are_back() {
    for streams in [0, 5] {
        let mut world = World::settled(3, streams);
        world.network = false;
        world.run(ms(3000));
        world.nodes[0].host = Host::Cut;
        world.network = true;
        let back = world.now;
        world.run(ms(2200));
        assert!(world.died_after(0, back).expect("dead") <= ms(1800));
        assert_eq!(world.deaths(), 1);
    }
}

// spec: X21
#[test]
fn refusals_are_no_silence_and_need_no_witness() {
    let mut world = World::settled(2, 5);
    world.nodes[0].host = Host::Refuses;
    world.nodes[1].host = Host::Refuses;
    world.run(ms(300));
    assert_eq!(world.deaths(), 2);
}

// spec: X21
#[test]
fn two_nodes_that_die_together_are_both_found() {
    for streams in [0, 5] {
        let mut world = World::settled(4, streams);
        let cut = world.now;
        world.nodes[0].host = Host::Cut;
        world.nodes[3].host = Host::Cut;
        world.run(ms(1700));
        let bound = if streams > 0 { ms(100) } else { ms(1505) };
        for n in [0, 3] {
            let after = world.died_after(n, cut).expect("dead");
            assert!(after <= bound, "{streams} streams: {after:?}");
        }
    }
}

// spec: X21
#[test]
fn a_calling_server_is_a_witness() {
    let mut world = World::settled(2, 0);
    world.nodes[0].host = Host::Cut;
    world.nodes[1].host = Host::Cut;
    world.run(ms(1800));
    assert_eq!(world.deaths(), 0);
    for _ in 0..200 {
        world.cluster.heard_calling_server(world.now);
        world.run(ms(10));
    }
    assert_eq!(world.deaths(), 2);
}

// spec: X21
#[test]
fn a_freeze_does_not_use_up_what_is_left_of_the_silence() {
    let mut world = World::settled(1, 0);
    world.nodes[0].host = Host::Leaving;
    world.run(ms(1240));
    assert_eq!(world.state(0), NodeState::Suspect);
    // The node is back, but for 400 ms we neither ask nor listen.
    world.nodes[0].host = Host::Up;
    world.freeze(ms(400));
    world.run(ms(100));
    assert_eq!((world.state(0), world.deaths()), (NodeState::Alive, 0));
}

// spec: X21
#[test]
fn a_suspended_machine_blames_nobody_though_its_clock_stood_still() {
    for streams in [0, 3] {
        let mut world = World::settled(3, streams);
        // Before: a node is suspected, its probes are out. Then an hour that our clock does not
        // know of; the network takes a moment to come back.
        world.nodes[1].host = Host::Cut;
        world.run(ms(if streams == 0 { 900 } else { 55 }));
        assert_eq!(world.state(1), NodeState::Suspect);
        world.nodes[1].host = Host::Up;
        world.network = false;
        world
            .cluster
            .loop_late(world.now, Duration::from_secs(3600));
        world.run(ms(300));
        world.network = true;
        world.run(Duration::from_secs(5));
        assert_eq!(world.deaths(), 0, "{streams} streams");
        assert!((0..3).all(|n| world.state(n) == NodeState::Alive));
    }
}
