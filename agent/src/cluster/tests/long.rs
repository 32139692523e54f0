//! Long runs of a bad network: nobody who lives is condemned, nobody who dies is missed.

use super::world::{Host, SimNode, World, ms};
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
    for seed in 0..6 {
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
