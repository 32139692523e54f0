//! Many refused streams: a host limits its ICMP (some six, then one a second), and media may use
//! all of it up before the first probe is refused.

use super::world::{Host, SimNode, World, ms};
use crate::cluster::Refusal;
use holdline_relay::StreamId;
use std::time::Duration;

/// So many streams of node 1 are refused, half a millisecond apart.
fn refuse(world: &mut World, streams: u64) {
    let id = world.id(1);
    for stream in 0..streams {
        world
            .cluster
            .refused(world.now, id, Refusal::Media(StreamId(1000 + stream)));
        world.run(Duration::from_micros(500));
    }
}

fn what_decided(world: &World) -> &'static str {
    let nodes = world.cluster.snapshot(world.now).nodes;
    let verdict = nodes[1].last_verdict.as_ref().expect("a verdict");
    verdict.evidence.last().expect("evidence").kind
}

// spec: X20
#[test]
fn several_refused_streams_and_no_word_are_death_within_milliseconds() {
    for (streams, packet_time) in [(70, ms(20)), (330, ms(60))] {
        let node = |_| SimNode {
            streams,
            packet_time,
            ..SimNode::default()
        };
        let mut world = World::new((0..3).map(node).collect(), 2);
        world.run(Duration::from_secs(30));
        let killed = world.now;
        world.nodes[1].host = Host::Cut;
        refuse(&mut world, 3);
        world.run(ms(100));
        let after = world.died_after(1, killed).expect("dead");
        // Two ticks of the relay; its early one is not modelled here.
        assert!(after <= ms(21), "{streams} streams: {after:?}");
        assert_eq!((world.deaths(), what_decided(&world)), (1, "media_gone"));
    }
}

// spec: X20
#[test]
fn two_refused_streams_prove_nothing() {
    let mut world = World::settled(3, 70);
    world.nodes[1].host = Host::Cut;
    refuse(&mut world, 2);
    world.run(ms(100));
    assert_eq!(
        (world.deaths(), what_decided(&world)),
        (1, "probes_unanswered")
    );
}

// spec: X20
#[test]
fn refused_streams_of_a_node_that_is_heard_condemn_nobody() {
    // Its other streams are heard, or its answers are: near by, and 50 ms away.
    for (streams, delay) in [(60, 0), (0, 0), (0, 25)] {
        let node = |_| SimNode {
            streams: 70,
            delay: ms(delay),
            ..SimNode::default()
        };
        let mut world = World::new((0..3).map(node).collect(), 4);
        world.run(Duration::from_secs(30));
        world.nodes[1].streams = streams;
        refuse(&mut world, 10);
        world.run(Duration::from_secs(1));
        assert_eq!(world.deaths(), 0, "{streams} streams speak, {delay} ms");
    }
}

// spec: X20, X21
#[test]
fn what_our_own_pause_made_us_miss_is_not_missing() {
    for pause in [ms(11), ms(40), ms(900)] {
        let mut world = World::settled(3, 70);
        refuse(&mut world, 3);
        world.freeze(pause);
        world.run(Duration::from_secs(1));
        assert_eq!(world.deaths(), 0, "{pause:?}");
    }
}

// spec: X20, X21
#[test]
fn a_node_that_came_back_while_we_stood_still_is_asked_again() {
    // It was killed, and its new process has none of the streams; ours stood still meanwhile.
    let node = |delay| SimNode {
        streams: 70,
        delay,
        ..SimNode::default()
    };
    let mut world = World::new([ms(0), ms(8), ms(0)].map(node).into(), 9);
    world.run(Duration::from_secs(30));
    world.nodes[1].host = Host::Cut;
    refuse(&mut world, 5);
    world.run(ms(13));
    world.nodes[1].host = Host::Up;
    world.nodes[1].streams = 0;
    world.freeze(Duration::from_secs(2));
    world.run(Duration::from_secs(1));
    assert_eq!(world.deaths(), 0);
}

// spec: X20, X23
#[test]
fn a_node_that_is_just_sent_calls_is_given_more_time() {
    let mut world = World::settled(3, 70);
    let (id, from) = (world.id(1), world.now);
    world.cluster.busy(from, id);
    world.nodes[1].host = Host::Cut;
    refuse(&mut world, 6);
    world.run(ms(60));
    world.nodes[1].host = Host::Up;
    world.run(Duration::from_secs(1));
    assert_eq!(world.deaths(), 0);
}
