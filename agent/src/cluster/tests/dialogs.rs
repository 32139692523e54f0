//! Requests in dialogs that go wrong, and refusals that take no time (spec: X20).

use super::world::{Host, World, ms};
use crate::cluster::{ClusterEvent, EvidenceKind, NodeState, Refusal, Trouble};
use std::time::Duration;

fn suspicions(world: &World) -> usize {
    world.count(|e| matches!(e, ClusterEvent::Suspect { .. }))
}

// spec: X20
#[test]
fn a_request_that_timed_out_asks_and_the_answer_clears() {
    for trouble in [Trouble::Timeout, Trouble::Unavailable] {
        let mut world = World::settled(3, 0);
        let id = world.id(0);
        world.cluster.troubled(world.now, id, trouble);
        assert_eq!(world.state(0), NodeState::Suspect);
        world.run(ms(5));
        assert_eq!((world.state(0), world.deaths()), (NodeState::Alive, 0));
        // A node that is troubled by much is not asked about each.
        for _ in 0..10 {
            world.run(ms(10));
            world.cluster.troubled(world.now, id, trouble);
        }
        assert_eq!(suspicions(&world), 1);
        let what = |e: &ClusterEvent| match e {
            ClusterEvent::Cleared { evidence, .. } => Some(*evidence),
            _ => None,
        };
        let told = world.log.iter().find_map(|(_, e)| what(e));
        let expected = match trouble {
            Trouble::Timeout => EvidenceKind::RequestUnanswered,
            Trouble::Unavailable => EvidenceKind::ServiceUnavailable,
        };
        assert_eq!(told, Some(expected));
    }
}

// spec: X20, X21a
#[test]
fn a_dead_node_without_media_is_found_sooner_by_a_request_that_timed_out() {
    let mut world = World::settled(3, 0);
    world.nodes[0].host = Host::Cut;
    let cut = world.now;
    let id = world.id(0);
    world.cluster.troubled(cut, id, Trouble::Timeout);
    world.run(ms(300));
    let after = world.died_after(0, cut).expect("dead");
    assert!(after <= ms(200), "{after:?}");
    // It takes as many probes as without any other evidence.
    let probes = world.log.iter().find_map(|(_, e)| match e {
        ClusterEvent::Dead { verdict, .. } => verdict.evidence.last().copied(),
        _ => None,
    });
    let enough = |kind| matches!(kind, EvidenceKind::ProbesUnanswered { probes } if probes >= 6);
    assert!(probes.is_some_and(|e| enough(e.kind)), "{probes:?}");
}

// spec: X20
#[test]
fn a_refusal_that_takes_no_time_leads_to_no_second_probe_at_the_same_moment() {
    let mut world = World::settled(2, 0);
    let id = world.id(0);
    let sent = |world: &mut World| {
        let mut sent = 0;
        while let Some(event) = world.cluster.poll_event() {
            sent += usize::from(matches!(event, ClusterEvent::Probe { node, .. } if node == id));
        }
        sent
    };
    world.cluster.refused(world.now, id, Refusal::Signalling);
    assert_eq!(sent(&mut world), 1);
    for _ in 0..100 {
        world.cluster.refused(world.now, id, Refusal::Probe);
        assert_eq!(sent(&mut world), 0, "none at the same moment");
    }
    let next = world.cluster.poll_deadline().expect("one is due");
    assert!(next > world.now && next <= world.now + ms(6), "soon");
    world.cluster.handle_deadline(next);
    assert_eq!(sent(&mut world), 1);
    world.cluster.refused(next, id, Refusal::Probe);
    assert_eq!(world.state(0), NodeState::Dead);
}

// spec: X20
#[test]
fn a_verdict_says_how_long_each_step_took() {
    let mut world = World::settled(3, 5);
    world.nodes[2].host = Host::Cut;
    let cut = world.now;
    world.run(ms(200));
    let status = world.cluster.snapshot(world.now).nodes[2].clone();
    let verdict = status.last_verdict.expect("a verdict");
    let last = verdict.last_sign.expect("a sign of life");
    assert!(
        (last - cut.as_secs_f64()).abs() < 0.006,
        "{last} and {cut:?}"
    );
    let detection = verdict.detection_ms.expect("known");
    assert!((40.0..=60.0).contains(&detection), "{detection}");
    assert!(
        (20.0..=60.0).contains(&verdict.decision_ms),
        "{}",
        verdict.decision_ms
    );
    assert_eq!(verdict.evidence[0].kind, "media_silent");
    assert_eq!(verdict.evidence[1].kind, "probes_unanswered");
    let sum = last + (detection + verdict.decision_ms) / 1e3;
    assert!((sum - verdict.decided_at).abs() < 1e-6);
}

// spec: X22
#[test]
fn what_a_node_still_needs_to_return_is_shown() {
    let mut world = World::settled(2, 0);
    let needed = |world: &World| world.cluster.snapshot(world.now).nodes[0].answers_needed;
    assert_eq!(needed(&world), None);
    for expected in [3, 6, 12] {
        world.nodes[0].host = Host::Refuses;
        world.run(ms(1000));
        assert_eq!(needed(&world), Some(expected));
        world.nodes[0].host = Host::Up;
        world.run(ms(300));
        let left = needed(&world).expect("not yet");
        assert!(left < expected && left > 0, "{left}");
        world.run(Duration::from_secs(4));
        assert_eq!(needed(&world), None);
    }
}
