//! RTP and RTCP as evidence: what silence means, and what it does not (spec: X20).

use super::world::{Host, SimNode, World, ms};
use crate::cluster::{ClusterEvent, NodeState};
use std::time::Duration;

fn suspicions(world: &World) -> usize {
    world.count(|e| matches!(e, ClusterEvent::Suspect { .. }))
}

fn talking(packet_time: Duration, streams: u64) -> World {
    let node = |_| SimNode {
        streams,
        packet_time,
        ..SimNode::default()
    };
    let mut world = World::new((0..2).map(node).collect(), 6);
    world.run(Duration::from_secs(30));
    world.log.clear();
    world
}

// spec: X20
#[test]
fn the_packet_time_is_learned_and_a_cut_is_found_accordingly() {
    for packet_time in [ms(10), ms(20), ms(30), ms(60)] {
        let mut world = talking(packet_time, 1);
        world.run(Duration::from_secs(60));
        assert_eq!(suspicions(&world), 0, "{packet_time:?}");
        let cut = world.now;
        world.nodes[0].host = Host::Cut;
        world.run(ms(400));
        let after = world.died_after(0, cut).expect("dead");
        let most = (packet_time * 3 / 2 + ms(60)).max(ms(100));
        assert!(after <= most, "{packet_time:?}: {after:?}");
    }
}

// spec: X20
#[test]
fn many_streams_of_long_packets_are_found_silent_sooner_than_one() {
    let found = |streams| {
        let mut world = talking(ms(60), streams);
        let cut = world.now;
        world.nodes[0].host = Host::Cut;
        world.run(ms(400));
        world.died_after(0, cut).expect("dead")
    };
    let (one, many) = (found(1), found(100));
    assert!(many <= ms(90) && many < one, "{many:?} and {one:?}");
}

// spec: X20
#[test]
fn quiet_calls_beside_one_that_speaks_raise_nothing() {
    let mut world = World::settled(2, 5);
    // Four of five calls are held or muted; the last one speaks on.
    world.nodes[0].streams = 1;
    world.run(Duration::from_secs(60));
    assert_eq!((suspicions(&world), world.deaths()), (0, 0));
}

// spec: X20
#[test]
fn the_only_call_of_a_node_is_suspected_by_its_silence_and_decided_by_probes() {
    for (host, dead) in [(Host::Up, 0), (Host::Cut, 1)] {
        let mut world = World::settled(3, 1);
        world.nodes[1].host = host;
        world.nodes[1].streams = 0;
        world.run(ms(150));
        assert_eq!((suspicions(&world), world.deaths()), (1, dead));
    }
}

// spec: X20
#[test]
fn comfort_noise_and_rtcp_are_too_sparse_to_be_missed() {
    // A packet each 300 ms or 5 s: nobody who sends so is ever taken for silent.
    for packet_time in [ms(300), Duration::from_secs(5)] {
        let mut world = talking(packet_time, 1);
        world.run(Duration::from_secs(120));
        world.nodes[0].streams = 0;
        world.run(Duration::from_secs(20));
        assert_eq!(suspicions(&world), 0, "{packet_time:?}");
    }
}

// spec: X20
#[test]
fn rtcp_alone_is_a_sign_of_life_while_rtp_is_silent() {
    // Sound stops; the RTCP of many calls goes on, 100 packets a second in all.
    let mut world = World::settled(2, 100);
    world.nodes[0].streams = 20;
    world.nodes[0].packet_time = ms(200);
    world.run(Duration::from_secs(60));
    assert_eq!((world.deaths(), world.state(0)), (0, NodeState::Alive));
    // The change is asked about; then it is known how sparse the packets are.
    assert!(suspicions(&world) <= 2, "{}", suspicions(&world));
}

// spec: X20, X23
#[test]
fn a_survivor_at_its_busiest_lives_by_any_sip_of_its() {
    let mut world = World::settled(3, 20);
    let id = world.id(0);
    // It answers failover calls, and neither probes nor media get their turn.
    world.cluster.busy(world.now, id);
    world.nodes[0].host = Host::Cut;
    for _ in 0..60 {
        world.run(ms(15));
        world.cluster.heard_sip(world.now, id, Some(60), None);
        world.cluster.busy(world.now, id);
    }
    world.nodes[0].host = Host::Up;
    world.run(Duration::from_secs(1));
    assert_eq!((world.deaths(), world.state(0)), (0, NodeState::Alive));
}

// spec: X20, X23
#[test]
fn a_survivor_that_was_just_sent_many_calls_gets_more_time_to_answer_not_for_ever() {
    let busy = |stall| {
        let mut world = World::settled(3, 20);
        let (id, from) = (world.id(0), world.now);
        world.cluster.busy(from, id);
        world.nodes[0].host = Host::Cut;
        world.run(stall);
        world.nodes[0].host = Host::Up;
        world.run(ms(600));
        (world.died_after(0, from), world)
    };
    assert_eq!(busy(ms(100)).0, None);
    let (after, _) = busy(ms(500));
    assert!(after.expect("dead") <= ms(200), "{after:?}");
}
