//! How a node is found dead, and how it is not.

use super::world::{Host, SimNode, World, ms};
use crate::cluster::{ClusterEvent, EvidenceKind, NodeState, Refusal};
use holdline_relay::StreamId;
use std::time::Duration;

fn suspicions(world: &World) -> usize {
    world.count(|e| matches!(e, ClusterEvent::Suspect { .. }))
}

// spec: X20
#[test]
fn one_refused_probe_after_a_refused_stream_is_a_verdict() {
    let mut world = World::settled(3, 5);
    let dead = world.now;
    // The host's first two refusals are its last for a second.
    world.nodes[2].host = Host::Cut;
    let (id, stream) = (world.id(2), StreamId(1));
    world.cluster.refused(dead, id, Refusal::Media(stream));
    world.run(ms(1));
    assert_eq!(world.deaths(), 0);
    world.cluster.refused(world.now, id, Refusal::Probe);
    world.run(ms(15));
    // Sooner than any probe is unanswered.
    assert!(world.died_after(2, dead).expect("dead") < ms(20));
}

// spec: X20
#[test]
fn packets_under_way_at_the_first_refusal_do_not_put_the_verdict_off() {
    let node = |jitter| SimNode {
        streams: 5,
        jitter,
        ..SimNode::default()
    };
    let mut world = World::new(vec![node(ms(0)), node(ms(0)), node(ms(40))], 1);
    world.run(Duration::from_secs(30));
    // The host is up, but it limits its ICMP: a stream is refused, and no probe ever is.
    let dead = world.now;
    world.nodes[2].host = Host::Cut;
    let (id, stream) = (world.id(2), StreamId(1));
    world.cluster.refused(dead, id, Refusal::Media(stream));
    world.run(Duration::from_secs(2));
    let after = world.died_after(2, dead).expect("dead");
    assert!(after <= ms(400), "{after:?}");
}

// spec: X20
#[test]
fn a_killed_process_with_calls_is_dead_within_milliseconds() {
    let mut world = World::settled(3, 20);
    let killed = world.now;
    world.nodes[1].host = Host::Refuses;
    world.run(ms(40));
    let after = world.died_after(1, killed).expect("dead");
    assert!(after <= ms(25), "{after:?}");
    assert_eq!(world.deaths(), 1);
    let verdict = world.cluster.snapshot(world.now).nodes[1]
        .last_verdict
        .clone();
    let evidence = verdict.expect("a verdict").evidence;
    assert!(
        evidence.iter().any(|e| e.what == "probe refused"),
        "{evidence:?}"
    );
}

// spec: X20
#[test]
fn a_refused_signalling_message_needs_one_refused_probe() {
    let mut world = World::settled(2, 0);
    let killed = world.now;
    world.nodes[0].host = Host::Refuses;
    let id = world.id(0);
    world.cluster.refused(world.now, id, Refusal::Signalling);
    assert_eq!(world.state(0), NodeState::Suspect);
    world.run(ms(2));
    assert!(world.died_after(0, killed).expect("dead") <= ms(2));
}

// spec: X20
#[test]
fn two_refused_connections_without_a_refused_probe_are_no_verdict() {
    let mut world = World::settled(2, 0);
    let id = world.id(0);
    world.cluster.refused(world.now, id, Refusal::Signalling);
    world.cluster.refused(
        world.now + Duration::from_micros(50),
        id,
        Refusal::Signalling,
    );
    world.run(ms(50));
    assert_eq!((world.deaths(), world.state(0)), (0, NodeState::Alive));
}

// spec: X20
#[test]
fn one_refused_probe_told_twice_is_one() {
    let mut world = World::settled(2, 0);
    let id = world.id(0);
    world.cluster.refused(world.now, id, Refusal::Probe);
    world.cluster.refused(world.now, id, Refusal::Probe);
    world.run(ms(50));
    assert_eq!((world.deaths(), world.state(0)), (0, NodeState::Alive));
}

// spec: X20
#[test]
fn a_silent_cut_with_rtp_is_found_within_100_ms() {
    for streams in [1, 5, 200] {
        let mut world = World::settled(3, streams);
        let cut = world.now;
        world.nodes[2].host = Host::Cut;
        world.run(ms(200));
        let after = world.died_after(2, cut).expect("dead");
        assert!(after <= ms(100), "{streams} streams: {after:?}");
        assert_eq!(world.deaths(), 1);
    }
}

// spec: X20
#[test]
fn a_silent_cut_of_the_only_node_is_found_too() {
    let mut world = World::settled(1, 5);
    let cut = world.now;
    world.nodes[0].host = Host::Cut;
    world.run(ms(200));
    assert!(world.died_after(0, cut).expect("dead") <= ms(100));
}

// spec: D21
#[test]
fn without_rtp_silence_for_the_rtt_and_1500_ms_is_death() {
    for count in [1, 2, 5] {
        for offset in [0, 70, 140, 210] {
            let mut world = World::settled(count, 0);
            world.run(ms(offset));
            let cut = world.now;
            world.nodes[0].host = Host::Cut;
            world.run(ms(1700));
            let after = world.died_after(0, cut).expect("dead");
            // The last answer came up to an interval before the cut.
            assert!(
                (ms(1250)..=ms(1502)).contains(&after),
                "{count} nodes: {after:?}"
            );
            assert_eq!(world.deaths(), 1);
        }
    }
}

// spec: D21
#[test]
fn a_long_rtt_is_added() {
    let far = |_| SimNode {
        delay: ms(300),
        ..SimNode::default()
    };
    let mut world = World::new((0..3).map(far).collect(), 3);
    world.run(Duration::from_secs(20));
    assert_eq!(suspicions(&world), 0);
    let cut = world.now;
    world.nodes[0].host = Host::Cut;
    world.run(ms(2500));
    let after = world.died_after(0, cut).expect("dead");
    // Answers under way at the cut come for another 300 ms.
    assert!((ms(1500)..=ms(2402)).contains(&after), "{after:?}");
}

// spec: D21
#[test]
fn a_node_that_answers_no_probe_while_rtp_flows_is_leaving() {
    let mut world = World::settled(3, 10);
    let from = world.now;
    world.nodes[0].host = Host::Leaving;
    world.run(ms(1700));
    assert!(world.died_after(0, from).expect("dead") <= ms(1510));
    let leaving =
        |e: &ClusterEvent| matches!(e, ClusterEvent::Dead { verdict, .. } if verdict.leaving);
    assert_eq!(world.count(leaving), 1);
}

// spec: D20
#[test]
fn any_sip_message_is_a_sign_of_life_but_not_for_ever() {
    let mut world = World::settled(3, 0);
    let from = world.now;
    world.nodes[0].host = Host::Leaving;
    let id = world.id(0);
    for _ in 0..60 {
        world.run(ms(100));
        world.cluster.heard_sip(world.now, id, None, None);
    }
    let after = world.died_after(0, from).expect("dead");
    assert!((ms(3000)..=ms(4700)).contains(&after), "{after:?}");
}

// spec: X20
#[test]
fn a_refused_stream_followed_by_an_answer_condemns_nobody() {
    let mut world = World::settled(2, 3);
    world
        .cluster
        .refused(world.now, world.id(0), Refusal::Media(StreamId(7)));
    assert_eq!(world.state(0), NodeState::Suspect);
    world.run(ms(5));
    assert_eq!(world.state(0), NodeState::Alive);
    assert_eq!(
        world.count(|e| matches!(e, ClusterEvent::Cleared { .. })),
        1
    );
    assert_eq!(world.deaths(), 0);
}

// spec: X20
#[test]
fn a_stream_that_goes_on_being_refused_is_asked_about_once() {
    let far = |_| SimNode {
        delay: ms(30),
        streams: 2,
        ..SimNode::default()
    };
    let mut world = World::new((0..2).map(far).collect(), 5);
    world.run(Duration::from_secs(5));
    world.log.clear();
    world.nodes[0].stale_streams = 1;
    world.run(Duration::from_secs(60));
    assert_eq!((suspicions(&world), world.deaths()), (1, 0));
    assert_eq!(world.state(0), NodeState::Alive);
    // Its process dies after all: the excuse covers only that stream.
    world.nodes[0].host = Host::Refuses;
    let killed = world.now;
    world.run(ms(400));
    assert!(world.died_after(0, killed).expect("dead") <= ms(250));
}

// spec: X20
#[test]
fn a_call_on_hold_raises_one_suspicion_not_a_stream_of_them() {
    let mut world = World::settled(2, 1);
    world.nodes[0].streams = 0;
    world.run(Duration::from_secs(60));
    assert_eq!((suspicions(&world), world.deaths()), (1, 0));
    let probes = world
        .probes
        .iter()
        .filter(|(_, n)| *n == world.id(0))
        .count();
    assert!(probes <= 245, "{probes}");
}

// spec: X20
#[test]
fn talk_spurts_raise_fewer_and_fewer_suspicions() {
    let mut world = World::settled(2, 1);
    for _ in 0..60 {
        world.nodes[0].streams = 0;
        world.run(ms(1000));
        world.nodes[0].streams = 1;
        world.talk(0, 0);
        world.run(ms(1000));
    }
    assert!(
        (1..=9).contains(&suspicions(&world)),
        "{}",
        suspicions(&world)
    );
    assert_eq!(world.deaths(), 0);
}

// spec: X20
#[test]
fn the_last_call_hangs_up_and_nobody_is_suspected() {
    let mut world = World::settled(2, 1);
    world.cluster.calls_changed(world.id(0), 1);
    world.nodes[0].streams = 0;
    world.cluster.calls_changed(world.id(0), 0);
    world.run(Duration::from_secs(2));
    assert_eq!(suspicions(&world), 0);
}

// spec: D21
#[test]
fn rtp_does_not_clear_what_unanswered_probes_raised() {
    let mut world = World::settled(2, 4);
    world.nodes[0].host = Host::Leaving;
    world.run(ms(1000));
    assert_eq!(world.state(0), NodeState::Suspect);
    let kinds = world.cluster.snapshot(world.now).nodes[0].suspicion.clone();
    assert!(!kinds.is_empty());
    world.nodes[0].host = Host::Up;
    world.run(ms(200));
    assert_eq!(world.state(0), NodeState::Alive);
    assert_eq!(world.deaths(), 0);
}

// spec: X21a
#[test]
fn a_lossy_path_asks_for_more_unanswered_probes() {
    let lossy = |_| SimNode {
        loss_percent: 15,
        ..SimNode::default()
    };
    let mut world = World::new((0..4).map(lossy).collect(), 9);
    world.run(Duration::from_secs(60));
    assert_eq!(world.deaths(), 0);
    world.nodes[0].host = Host::Cut;
    world.run(ms(1800));
    let asked = world.log.iter().find_map(|(_, e)| match e {
        ClusterEvent::Dead { verdict, .. } => verdict.evidence.last().copied(),
        _ => None,
    });
    let Some(EvidenceKind::ProbesUnanswered { probes }) = asked.map(|e| e.kind) else {
        panic!("no verdict from probes: {asked:?}");
    };
    assert!(probes >= 14, "{probes}");
}

/// Where answers are awaited for half a second, and many unanswered probes are needed, those of a burst
/// are not forgotten before they count.
// spec: D21 X21a; storm 4649
#[test]
fn a_path_with_loss_and_uneven_delay_puts_no_verdict_off_for_ever() {
    let uneven = |loss_percent, jitter| SimNode {
        loss_percent,
        jitter,
        ..SimNode::default()
    };
    let nodes = vec![uneven(40, ms(600)), uneven(0, ms(0)), uneven(0, ms(0))];
    let mut world = World::new(nodes, 9);
    world.run(Duration::from_secs(60));
    let cut = world.now;
    world.nodes[0].host = Host::Cut;
    world.run(Duration::from_secs(5));
    let after = world.died_after(0, cut).expect("dead");
    // RTT and 1.5 s, and what is under way at the cut comes for another while.
    assert!(after <= ms(2800), "{after:?}");
}

// spec: D21
#[test]
fn rtp_that_returns_clears_its_own_silence_only() {
    for (refused, between) in [(true, NodeState::Suspect), (false, NodeState::Alive)] {
        let far = |_| SimNode {
            delay: ms(100),
            streams: 4,
            ..SimNode::default()
        };
        let mut world = World::new((0..2).map(far).collect(), 5);
        world.run(Duration::from_secs(30));
        // A pause of 60 ms, heard 100 ms later; answers to probes take 200 ms.
        world.nodes[0].streams = 0;
        world.run(ms(60));
        world.nodes[0].streams = 4;
        (0..4).for_each(|stream| world.talk(0, stream));
        world.run(ms(40));
        if refused {
            let id = world.id(0);
            world.cluster.refused(world.now, id, Refusal::Signalling);
        }
        world.run(ms(55));
        assert_eq!(world.state(0), NodeState::Suspect);
        world.run(ms(45));
        assert_eq!(world.state(0), between, "refused: {refused}");
        world.run(ms(400));
        assert_eq!((world.state(0), world.deaths()), (NodeState::Alive, 0));
    }
}

// spec: X20
#[test]
fn a_verdict_tells_its_evidence_once_each_and_in_order() {
    let mut world = World::settled(3, 5);
    world.nodes[2].host = Host::Cut;
    world.run(ms(200));
    let verdict = world.log.iter().find_map(|(_, e)| match e {
        ClusterEvent::Dead { verdict, .. } => Some(verdict),
        _ => None,
    });
    let verdict = verdict.expect("dead");
    let kinds: Vec<_> = verdict.evidence.iter().map(|e| e.kind).collect();
    assert!(
        matches!(
            kinds[..],
            [
                EvidenceKind::MediaSilent { .. },
                EvidenceKind::ProbesUnanswered { .. }
            ]
        ),
        "{kinds:?}"
    );
    assert_eq!(verdict.evidence[0].at, verdict.suspected_at);
    assert_eq!(verdict.evidence[1].at, verdict.decided_at);
}
