//! What leads to a verdict, what is told of it, and what follows where nothing shall move.

use super::*;
use crate::core::Event;
use holdline_wire::Method;

fn suspicions(world: &World) -> Vec<&'static str> {
    let kind = |event: &Event| match event {
        Event::NodeSuspect { kind, .. } => Some(*kind),
        _ => None,
    };
    world.events.iter().filter_map(kind).collect()
}

// spec: X20
#[test]
fn a_503_in_a_dialog_makes_its_node_suspect_and_probes_clear_it() {
    let mut world = World::with_nodes(2);
    let mut call = world.call_up();
    world.events.clear();
    world.pbx_requests(&mut call, Method::Invite, Some(HELD));
    let hold = world.node_got(call.node, "INVITE");
    world.node_responds(call.node, &hold, 503, None);
    assert_eq!(suspicions(&world), ["service_unavailable"]);
    world.pass(ms(50));
    let cleared = |event: &Event| matches!(event, Event::NodeCleared { kind, .. } if *kind == "service_unavailable");
    assert!(world.events.iter().any(cleared), "{:?}", world.events);
    assert_eq!(world.failover_done(), None);
}

// spec: X20
#[test]
fn a_request_that_times_out_condemns_a_node_that_answers_no_probe() {
    let mut world = World::with(2, |settings| {
        // Only the request is to show it.
        settings.health.silence = seconds(60);
        settings.health.silence_suspect = seconds(60);
        settings.health.unanswered_suspect = 1000;
    });
    let mut call = world.call_up();
    world.nodes[call.node].refuses = false;
    world.kill(call.node);
    world.events.clear();
    world.pbx_requests(&mut call, Method::Info, None);
    world.pass(seconds(33));
    assert_eq!(
        suspicions(&world),
        ["request_unanswered"],
        "{:?}",
        world.events
    );
    let (_, invite) = world.node_invited();
    assert_eq!(world::replaces(&invite).call_id, call.far.id.call_id);
}

// spec: X21
#[test]
fn a_dry_run_tells_and_shows_the_verdict_and_moves_nothing() {
    let mut world = World::with(2, |settings| settings.moving.dry_run = true);
    let call = world.call_up();
    world.kill_and_judge(call.node);
    let withheld = |event: &Event| matches!(event, Event::FailoverWithheld { calls: 1, .. });
    assert!(world.events.iter().any(withheld), "{:?}", world.events);
    assert!(world.next_invite().is_none());
    let status = world.core.status(world.now);
    assert!(status.dry_run && status.failovers[0].dry_run);
    assert_eq!((status.moving, status.failovers[0].calls), (0, 1));
    assert!(status.failovers[0].verdict.is_some());
    // The call is where it was; new ones go elsewhere.
    world.pass(seconds(30));
    assert_eq!(
        (world.core.live_calls(), world.next_invite().is_none()),
        (1, true)
    );
    assert_eq!(world.call_up().node, 1 - call.node);
    // A restart moves nothing either.
    world.restart(call.node);
    world.pass(seconds(5));
    assert!(world.next_invite().is_none());
}

// spec: X20
#[test]
fn a_failover_says_how_long_each_of_its_steps_took() {
    let mut world = World::with_nodes(3);
    let mut calls = [world.call_up(), world.call_up()];
    while calls[1].node != calls[0].node {
        calls[1] = world.call_up();
    }
    let dead = calls[0].node;
    let moving = world
        .core
        .env
        .by_node
        .values()
        .map(|calls| calls.len())
        .max();
    world.kill(dead);
    let started = |event: &Event| matches!(event, Event::FailoverStarted { .. });
    while !world.events.iter().any(started) {
        world.pass(std::time::Duration::from_micros(100));
    }
    let mut waiting = Vec::new();
    while let Some(invited) = world.next_invite() {
        waiting.push(invited);
    }
    assert!(moving.is_some_and(|calls| calls >= waiting.len()) && waiting.len() >= 2);
    for (node, invite) in &waiting {
        world.node_responds(*node, invite, 183, Some(ANSWER));
        world.pass(ms(10));
    }
    for (node, invite) in &waiting {
        world.node_responds(*node, invite, 200, Some(ANSWER));
        world.pass(ms(10));
    }
    let steps = world.events.iter().find_map(|event| match event {
        Event::FailoverDone { steps, .. } => Some(*steps),
        _ => None,
    });
    let steps = steps.expect("done");
    let count = waiting.len() as u64;
    assert!(steps.first_invite.expect("sent") < ms(1), "{steps:?}");
    assert!(steps.first_media.expect("told") < ms(10), "{steps:?}");
    let first = steps.first_moved.expect("moved");
    assert!(
        first >= ms(10 * count) && first < ms(10 * count + 10),
        "{steps:?}"
    );
    let between = steps.last_moved.expect("moved") - first;
    assert!(
        between >= ms(10 * (count - 1)) && between < ms(10 * count),
        "{steps:?}"
    );
    let shown = world.core.status(world.now).failovers[0].clone();
    assert_eq!(shown.steps_ms.first_moved, Some(first.as_secs_f64() * 1e3));
}
