//! Long runs of a bad network: nobody who lives is condemned, nobody who dies is missed.

use super::world::{Host, SimNode, World, ms};
use crate::cluster::{ClusterEvent, HealthConfig};
use holdline_wire::token::Tokens;
use std::time::Duration;

fn bad(streams: u64) -> SimNode {
    SimNode {
        delay: ms(5),
        jitter: ms(20),
        loss_percent: 5,
        streams,
        ..SimNode::default()
    }
}

// spec: X21a, D21, X20
#[test]
fn five_percent_loss_and_jitter_condemn_nobody_in_ten_minutes() {
    for seed in 0..3 {
        let nodes = vec![bad(0), bad(1), bad(2), bad(8)];
        let mut world = World::new(nodes, seed);
        world.run(Duration::from_secs(600));
        assert_eq!(world.deaths(), 0, "seed {seed}: {:?}", world.log.last());
    }
}

// spec: D21
#[test]
fn a_death_on_a_bad_network_is_always_found_in_time() {
    for seed in 0..40 {
        let mut chance = Tokens::new([seed; 32]);
        let count = 2 + chance.below(4) as usize;
        let streams = [0, 1, 6][chance.below(3) as usize];
        let mut world = World::new((0..count).map(|_| bad(streams)).collect(), seed);
        world.run(Duration::from_secs(10) + ms(chance.below(5000)));
        let died = world.now;
        world.nodes[0].host = Host::Cut;
        world.run(ms(2500));
        let after = world.died_after(0, died);
        let context = format!("seed {seed}, {count} nodes, {streams} streams");
        // RTT with its jitter, and what was in flight.
        assert!(
            after.is_some_and(|a| a <= ms(1500 + 120)),
            "{context}: {after:?}"
        );
        assert_eq!(world.deaths(), 1, "{context}");
    }
}

// spec: X20
#[test]
fn the_same_seed_gives_the_same_story() {
    let story = || {
        let mut world = World::new(vec![bad(1), bad(3)], 11);
        world.run(Duration::from_secs(20));
        world.nodes[0].host = Host::Cut;
        world.run(Duration::from_secs(3));
        format!("{:?}", world.log)
    };
    assert_eq!(story(), story());
}

/// Something that is not a node's death.
fn disturb(world: &mut World, chance: &mut Tokens) {
    let n = chance.below(world.nodes.len() as u64) as usize;
    let most = [50, 500, 3000][chance.below(3) as usize];
    let long = ms(5 + chance.below(most));
    match chance.below(4) {
        0 => {
            world.network = false;
            world.run(long);
            world.network = true;
        }
        1 => world.freeze(long),
        2 => {
            let streams = std::mem::take(&mut world.nodes[n].streams);
            world.run(long.max(ms(20)));
            world.nodes[n].streams = streams;
            (0..streams).for_each(|stream| world.talk(n, stream));
        }
        _ => {
            world.nodes[n].stale_streams = 1;
            world.run(long);
            world.nodes[n].stale_streams = 0;
        }
    }
}

// spec: X21, X20
#[test]
fn outages_freezes_mutes_and_stale_streams_condemn_nobody_and_hide_no_death() {
    for seed in 0..40 {
        let mut chance = Tokens::new([seed; 32]);
        let mut draw = |bound| chance.below(bound);
        let node = SimNode {
            delay: ms(draw(30)),
            jitter: ms(draw(10)),
            loss_percent: draw(4),
            streams: draw(6),
            ..SimNode::default()
        };
        let (rtt, streams) = (node.delay * 2 + node.jitter * 2, node.streams);
        let count = 2 + draw(4) as usize;
        let mut world = World::new(vec![node; count], seed);
        world.run(Duration::from_secs(5));
        for _ in 0..25 {
            disturb(&mut world, &mut chance);
            world.run(ms(200 + chance.below(2500)));
            assert_eq!(
                world.deaths(),
                0,
                "seed {seed}, {count} nodes: {:?}",
                world.log.last()
            );
        }
        world.nodes[0].host = Host::Cut;
        let died = world.now;
        world.run(ms(2500));
        let after = world.died_after(0, died);
        let context = format!("seed {seed}, {count} nodes, {streams} streams");
        assert!(
            after.is_some_and(|a| a <= ms(1510) + rtt * 2),
            "{context}: {after:?}"
        );
        assert_eq!(world.deaths(), 1, "{context}");
    }
}

/// A network at its worst: a tenth of all packets lost, 50 ms of jitter, each way.
fn awful(streams: u64) -> SimNode {
    SimNode {
        delay: ms(10),
        jitter: ms(50),
        loss_percent: 10,
        streams,
        ..SimNode::default()
    }
}

fn suspicions(world: &World) -> usize {
    let suspect = |event: &ClusterEvent| matches!(event, ClusterEvent::Suspect { .. });
    world.log.iter().filter(|(_, event)| suspect(event)).count()
}

/// A thousand suspicions an hour, and none of them becomes a verdict. Weaker thresholds alone do
/// not change that: quick probes go on while the first ones wait for their answers, so that not
/// the few that are counted but all that leave within that wait must have been lost.
// spec: X21a
#[test]
fn a_day_of_ten_percent_loss_and_50_ms_of_jitter_condemns_nobody() {
    let mut world = World::new(vec![awful(0), awful(1), awful(4)], 8);
    for hour in 1..=24 {
        world.run(Duration::from_secs(3600));
        assert_eq!(world.deaths(), 0, "hour {hour}: {:?}", world.log.last());
        let suspicions = suspicions(&world);
        assert!(suspicions > 500, "hour {hour}: only {suspicions}");
        world.log.clear();
        world.probes.clear();
    }
}

/// The day before could have failed: an agent that sends its quick probes slowly and takes one or
/// two that are lost for proof condemns the living in the same world within an hour.
// spec: X21a
#[test]
fn the_same_network_deceives_an_agent_that_is_too_hasty() {
    let hasty = HealthConfig {
        silence: ms(300),
        false_alone: 0.5,
        false_corroborated: 0.5,
        unanswered_min: 1,
        quick_min: ms(100),
        ..HealthConfig::default()
    };
    let mut world = World::with(vec![awful(0), awful(1), awful(4)], 8, hasty);
    world.run(Duration::from_secs(3600));
    assert!(world.deaths() > 0, "{} suspicions", suspicions(&world));
}
