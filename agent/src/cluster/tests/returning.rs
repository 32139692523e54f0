//! Nodes that come back (spec: X22) or come back as others (spec: X39).

use super::world::{Host, World, address, document, ms};
use crate::cluster::{ClusterEvent, NodeState};
use std::time::Duration;

fn alive_after(world: &mut World, n: usize, most: Duration) -> Duration {
    let from = world.now;
    while world.state(n) != NodeState::Alive {
        world.run(ms(10));
        assert!(world.now.since(from) <= most, "not back after {most:?}");
    }
    world.now.since(from)
}

fn restarts(world: &World) -> usize {
    world.count(|e| matches!(e, ClusterEvent::Restarted { .. }))
}

// spec: X22
#[test]
fn a_node_returns_after_a_run_of_answers_and_flapping_makes_it_longer() {
    let mut world = World::settled(2, 0);
    let mut waits = Vec::new();
    for _ in 0..7 {
        world.nodes[0].host = Host::Refuses;
        world.run(ms(1000));
        assert_eq!(world.state(0), NodeState::Dead);
        world.nodes[0].host = Host::Up;
        waits.push(alive_after(&mut world, 0, Duration::from_secs(20)).as_millis());
    }
    assert!((500..=760).contains(&waits[0]), "{waits:?}");
    assert!((1250..=1510).contains(&waits[1]), "{waits:?}");
    assert!((2750..=3010).contains(&waits[2]), "{waits:?}");
    // Capped at 48 answers.
    assert!((11_750..=12_010).contains(&waits[6]), "{waits:?}");
    world.run(Duration::from_secs(301));
    world.nodes[0].host = Host::Refuses;
    world.run(ms(1000));
    world.nodes[0].host = Host::Up;
    assert!(alive_after(&mut world, 0, Duration::from_secs(20)) < ms(800));
}

// spec: X22
#[test]
fn a_refusal_breaks_the_run() {
    let mut world = World::settled(2, 0);
    world.nodes[0].host = Host::Refuses;
    world.run(ms(1000));
    world.nodes[0].host = Host::Up;
    world.run(ms(400));
    assert_eq!(world.state(0), NodeState::Returning);
    world.nodes[0].host = Host::Refuses;
    world.run(ms(400));
    assert_eq!((world.state(0), world.deaths()), (NodeState::Dead, 1));
}

// spec: X39
#[test]
fn a_restart_within_100_ms_is_told_exactly_once() {
    for offset in (0..250).step_by(10) {
        let mut world = World::settled(2, 0);
        world.nodes[0].incarnation = Some("first".into());
        world.run(ms(1000 + offset));
        assert_eq!(restarts(&world), 0);
        world.nodes[0].host = Host::Refuses;
        world.run(ms(100));
        world.nodes[0].host = Host::Up;
        world.nodes[0].incarnation = Some("second".into());
        world.run(Duration::from_secs(3));
        // Either a probe met the closed port, or an answer told of the new process.
        assert_eq!(restarts(&world) + world.deaths(), 1, "offset {offset}");
        assert_eq!(world.state(0), NodeState::Alive);
        assert_eq!(world.cluster.incarnation(world.id(0)), Some("second"));
    }
}

// spec: X39
#[test]
fn a_late_message_of_the_old_process_is_neither_life_nor_restart() {
    let mut world = World::settled(2, 0);
    let id = world.id(0);
    world.cluster.heard_sip(world.now, id, None, Some("old"));
    world.cluster.heard_sip(world.now, id, None, Some("new"));
    world
        .cluster
        .heard_sip(world.now, id, Some(99), Some("old"));
    world.cluster.heard_sip(world.now, id, None, Some("new"));
    world.run(ms(1));
    assert_eq!(restarts(&world), 1);
    assert_eq!(world.cluster.utilization(world.now, id), 50);
}

// spec: X39
#[test]
fn a_suspect_that_answers_as_another_process_is_cleared_and_restarted() {
    let mut world = World::settled(2, 0);
    let id = world.id(0);
    world.cluster.heard_sip(world.now, id, None, Some("old"));
    world
        .cluster
        .refused(world.now, id, crate::cluster::Refusal::Probe);
    world.nodes[0].incarnation = Some("new".into());
    world.run(ms(10));
    let told: Vec<_> = world.log.iter().map(|(_, e)| e).collect();
    assert!(
        matches!(
            told[..],
            [
                ClusterEvent::Suspect { .. },
                ClusterEvent::Cleared { .. },
                ClusterEvent::Restarted { .. }
            ]
        ),
        "{told:?}"
    );
}

// spec: X22
#[test]
fn a_listed_node_that_never_answers_is_dead_and_used_once_it_answers() {
    let mut world = World::new(vec![super::world::SimNode::default()], 2);
    world.nodes[0].host = Host::Cut;
    world.run(ms(2100));
    assert_eq!(world.state(0), NodeState::Dead);
    world.nodes[0].host = Host::Up;
    alive_after(&mut world, 0, ms(1000));
    world
        .cluster
        .apply(world.now, &document(&[(address(0), true)]));
    assert_eq!(world.cluster.snapshot(world.now).nodes[0].flaps, 0);
}

// spec: X39
#[test]
fn a_restart_without_incarnations_shows_in_what_was_lost() {
    let mut world = World::settled(2, 6);
    world.cluster.calls_changed(world.id(0), 6);
    world.nodes[0].streams = 0;
    world.nodes[0].stale_streams = 6;
    let from = world.now;
    world.run(ms(500));
    world.nodes[0].stale_streams = 0;
    world.run(Duration::from_secs(5));
    assert_eq!((restarts(&world), world.deaths()), (1, 0));
    let restarted = |e: &ClusterEvent| matches!(e, ClusterEvent::Restarted { .. });
    let (at, _) = world.log.iter().find(|(_, e)| restarted(e)).unwrap();
    assert!(at.since(from) <= ms(300), "{:?}", at.since(from));
}

// spec: X39
#[test]
fn unknown_dialogs_are_a_restart_only_where_no_media_are_heard() {
    for (streams, expected) in [(0, 1), (6, 0)] {
        let mut world = World::settled(2, streams);
        let id = world.id(0);
        world.cluster.calls_changed(id, 6);
        // The same dialog thrice is one.
        for dialog in [1, 1, 1, 2] {
            world.cluster.dialog_unknown(world.now, id, dialog);
        }
        world.run(ms(600));
        assert_eq!(restarts(&world), 0);
        world.cluster.dialog_unknown(world.now, id, 3);
        world.run(ms(600));
        assert_eq!(restarts(&world), expected, "{streams} streams");
    }
}

// spec: X22
#[test]
fn unanswered_probes_break_the_run() {
    let mut world = World::settled(2, 0);
    world.nodes[0].host = Host::Refuses;
    world.run(ms(1000));
    world.nodes[0].host = Host::Up;
    world.run(ms(400));
    assert_eq!(world.state(0), NodeState::Returning);
    world.nodes[0].host = Host::Cut;
    world.run(ms(1000));
    assert_eq!((world.state(0), world.deaths()), (NodeState::Dead, 1));
}
