//! Many calls leave a node at once, and the survivors get what they bear (spec: D25, X23, X24).

use super::world::{Call, replaces};
use super::*;
use crate::core::{Event, Pace, Settings, Targets};
use holdline_wire::header::Name;
use holdline_wire::{Message, Method};
use std::collections::BTreeSet;

pub(super) fn roomy(settings: &mut Settings) {
    settings.ports = (10_000, 12_999);
    settings.max_calls = 1000;
}

/// Calls until `count` of them are on `node`.
pub(super) fn calls_on(world: &mut World, node: usize, count: usize) -> Vec<Call> {
    let mut calls = Vec::new();
    while calls
        .iter()
        .filter(|call: &&Call| call.node == node)
        .count()
        < count
    {
        calls.push(world.call_up());
    }
    calls.retain(|call| call.node == node);
    calls
}

/// Kills `node`, and time stands at the verdict.
pub(super) fn kill(world: &mut World, node: usize) {
    world.events.clear();
    world.kill(node);
    let verdict = |event: &Event| matches!(event, Event::FailoverStarted { .. });
    while !world.events.iter().any(verdict) {
        world.pass(std::time::Duration::from_micros(100));
    }
}

/// The INVITEs that came to `node` since the last look.
pub(super) fn invites(world: &mut World, node: usize) -> Vec<Message> {
    let new = |m: &Message| *m.method() == Method::Invite && m.is_request();
    let inbox = std::mem::take(&mut world.nodes[node].inbox);
    inbox.into_iter().filter(new).collect()
}

/// Answers what came to `node`; how many INVITEs it was.
pub(super) fn answer(world: &mut World, node: usize, status: u16) -> usize {
    let invites = invites(world, node);
    for invite in &invites {
        let sdp = (status < 300).then_some(ANSWER);
        world.node_responds(node, invite, status, sdp);
    }
    invites.len()
}

// spec: X23
#[test]
fn a_node_gets_no_more_than_it_owes_answers_and_more_with_each_answer() {
    let mut world = World::with(2, roomy);
    calls_on(&mut world, 0, 100);
    world.nodes[1].inbox.clear();
    kill(&mut world, 0);
    let first = invites(&mut world, 1);
    assert_eq!(first.len(), 32);
    world.node_responds(1, &first[0], 100, None);
    assert_eq!(invites(&mut world, 1).len(), 0, "a 100 is no answer");
    for invite in &first {
        world.node_responds(1, invite, 183, Some(ANSWER));
    }
    // Each answer made room for two.
    assert_eq!(answer(&mut world, 1, 183), 64);
    assert_eq!(invites(&mut world, 1).len(), 4);
}

// spec: D25, X23
#[test]
fn all_have_left_within_a_second_though_no_survivor_answers() {
    let mut world = World::with(2, |settings| {
        roomy(settings);
        settings.moving.attempt = seconds(5);
        settings.moving.bounds.first = 16;
    });
    calls_on(&mut world, 0, 50);
    world.nodes[1].inbox.clear();
    kill(&mut world, 0);
    let mut left = invites(&mut world, 1).len();
    assert_eq!(left, 16);
    for tenth in 4..=10 {
        world.pass(ms(100 * if tenth == 4 { 4 } else { 1 }));
        left += invites(&mut world, 1).len();
        let due = 5 * tenth;
        assert!((due..=due + 2).contains(&left), "{left} at {tenth}");
    }
    assert_eq!(left, 50);
}

// spec: D25
#[test]
fn the_drafts_window_spreads_them_evenly() {
    let mut world = World::with(2, |settings| {
        roomy(settings);
        settings.moving.pacing = Pace::Window;
        settings.moving.window = ms(500);
    });
    calls_on(&mut world, 0, 50);
    world.nodes[1].inbox.clear();
    kill(&mut world, 0);
    for _ in 0..5 {
        world.pass(ms(100));
        let left = answer(&mut world, 1, 183);
        assert!((9..=11).contains(&left), "{left}");
    }
    world.pass(seconds(1));
    assert_eq!(answer(&mut world, 1, 183), 0);
}

// spec: X23
#[test]
fn emergencies_leave_first_also_by_the_configured_numbers() {
    let mut world = World::with(2, |settings| {
        roomy(settings);
        settings.moving.emergency_numbers = vec!["2001".into()];
        settings.moving.pacing = Pace::Window;
    });
    let placed = |world: &mut World, uri: &str, extra: &str| loop {
        let invite = world.invite(uri, extra, OFFER);
        world.pbx_gets("100");
        let (node, placed) = world.node_invited();
        world.node_responds(node, &placed, 200, Some(ANSWER));
        world.node_got(node, "ACK");
        let call = world.accepted(invite, node, &placed);
        if call.node == 0 {
            break call;
        }
    };
    let ordinary = "sip:300@127.0.0.1:5070";
    let mut calls = Vec::new();
    for _ in 0..5 {
        calls.push(placed(&mut world, ordinary, ""));
    }
    let urgent = [
        placed(&mut world, ordinary, "Priority: emergency\r\n"),
        placed(&mut world, "tel:20-01;phone-context=+49", ""),
        placed(&mut world, "urn:service:sos.fire", ""),
    ];
    world.nodes[1].inbox.clear();
    kill(&mut world, 0);
    world.pass(seconds(1));
    let left = invites(&mut world, 1);
    let first: BTreeSet<String> = left[..3]
        .iter()
        .map(|m| replaces(m).call_id.to_string())
        .collect();
    let expected: BTreeSet<String> = urgent
        .iter()
        .map(|c| c.far.id.call_id.to_string())
        .collect();
    assert_eq!((first, left.len()), (expected, 8));
}

// spec: X24
#[test]
fn a_node_that_says_503_with_retry_after_is_left_alone_for_so_long() {
    let mut world = World::with(3, roomy);
    calls_on(&mut world, 0, 60);
    (1..3).for_each(|node| world.nodes[node].inbox.clear());
    kill(&mut world, 0);
    let first = invites(&mut world, 1);
    for invite in &first {
        let bytes = holdline_wire::build::Builder::response(
            invite,
            world::addr(world::AGENT),
            503,
            b"",
            Some("full"),
        );
        let bytes = bytes.header(Name::RetryAfter, "2 (moving house);duration=60");
        let bytes = bytes.header(Name::InstanceRefusal, "full");
        let bytes = bytes.finish(None).unwrap();
        world.node_sends(1, bytes);
    }
    let mut moved = 0;
    for _ in 0..19 {
        moved += answer(&mut world, 2, 200);
        world.pass(ms(100));
        assert_eq!(invites(&mut world, 1).len(), 0, "left alone");
    }
    assert!(moved >= 60, "{moved}");
    assert_eq!(world.failover_done().map(|(moved, ..)| moved), Some(60));
    world.pass(ms(200));
    let again: BTreeSet<usize> = (0..40).map(|_| world.call("").1).collect();
    assert!(again.contains(&1), "it is used again");
}

// spec: X24
#[test]
fn where_all_are_full_calls_wait_and_move_when_one_has_room() {
    let mut world = World::with(2, roomy);
    calls_on(&mut world, 0, 20);
    world.nodes[1].inbox.clear();
    kill(&mut world, 0);
    let end = world.now + seconds(3);
    let mut refused = 0;
    while world.now < end {
        refused += answer(&mut world, 1, 503);
        world.pass(ms(10));
    }
    assert!((40..=400).contains(&refused), "{refused}");
    let end = world.now + seconds(2);
    while world.now < end {
        answer(&mut world, 1, 200);
        world.pass(ms(10));
    }
    assert_eq!(world.failover_done(), Some((20, 0, 0)));
}

// spec: X23
#[test]
fn a_survivor_that_answers_quickly_gets_more_than_a_slow_one() {
    let mut world = World::with(3, roomy);
    calls_on(&mut world, 0, 200);
    (1..3).for_each(|node| world.nodes[node].inbox.clear());
    kill(&mut world, 0);
    let (mut quick, mut slow) = (0, 0);
    for round in 0..40 {
        quick += answer(&mut world, 1, 183);
        if round % 20 == 19 {
            slow += answer(&mut world, 2, 183);
        }
        world.pass(ms(5));
    }
    assert!(quick + slow >= 190 && quick > 3 * slow, "{quick}, {slow}");
}

// spec: D24
#[test]
fn uniform_targets_ignore_the_load() {
    for (targets, expected) in [(Targets::Uniform, 9..=11), (Targets::Weighted, 17..=19)] {
        let mut world = World::with(3, |settings| {
            roomy(settings);
            settings.moving.targets = targets;
            settings.moving.bounds.first = 100;
        });
        (world.nodes[1].utilization, world.nodes[2].utilization) = (Some(10), Some(90));
        world.pass(seconds(1));
        calls_on(&mut world, 0, 20);
        (1..3).for_each(|node| world.nodes[node].inbox.clear());
        kill(&mut world, 0);
        let got = invites(&mut world, 1).len();
        assert!(expected.contains(&got), "{targets:?}: {got}");
    }
}

// spec: X24
#[test]
fn a_second_death_during_the_move_sends_nothing_twice_and_forgets_nothing() {
    let mut world = World::with(3, roomy);
    let calls = calls_on(&mut world, 0, 80);
    (1..3).for_each(|node| world.nodes[node].inbox.clear());
    kill(&mut world, 0);
    let first = answer(&mut world, 1, 200);
    let lost = invites(&mut world, 1).len();
    assert!(first > 0 && lost > 0, "{first}, {lost}");
    kill(&mut world, 1);
    let mut named = BTreeSet::new();
    for _ in 0..200 {
        for invite in invites(&mut world, 2) {
            let replaced = replaces(&invite).call_id.to_string();
            assert!(named.insert(replaced.clone()), "{replaced} twice");
            world.node_responds(2, &invite, 200, Some(ANSWER));
        }
        world.pass(ms(5));
    }
    // Those that had moved to the second node name their dialogs there.
    let known = |call: &&Call| named.contains(&*call.far.id.call_id);
    assert_eq!(calls.iter().filter(known).count(), 80 - first);
    assert!(world.core.calls.values().all(|call| call.far.is_some()));
    world.pbx_noticed_nothing();
}

// spec: X24
#[test]
fn when_all_nodes_died_the_first_that_returns_is_not_flooded() {
    let mut world = World::with(2, roomy);
    calls_on(&mut world, 0, 60);
    world.kill(1);
    kill(&mut world, 0);
    world.pass(seconds(5));
    world.restart(1);
    let back = |world: &World| {
        world
            .events
            .iter()
            .any(|e| matches!(e, Event::NodeAlive { .. }))
    };
    world.events.clear();
    while !back(&world) {
        world.pass(std::time::Duration::from_micros(500));
    }
    let first = invites(&mut world, 1).len();
    assert!((1..=33).contains(&first), "{first}");
}

// spec: X24
#[test]
fn a_slow_survivor_is_not_sent_everything_twice() {
    let mut world = World::with(2, roomy);
    let calls = calls_on(&mut world, 0, 34);
    world.nodes[1].inbox.clear();
    kill(&mut world, 0);
    let first = invites(&mut world, 1);
    world.pass(ms(80));
    for invite in &first {
        world.node_responds(1, invite, 183, Some(ANSWER));
    }
    let second = invites(&mut world, 1);
    assert_eq!(first.len() + second.len(), calls.len());
    // T1 towards this node was 20 ms; its answers take 80 ms.
    let t1 = |world: &World| {
        let id = world
            .core
            .cluster()
            .node_at(world::node_address(1))
            .unwrap();
        let timers = world.core.cluster().timers(id);
        world.core.env.pacing.timers(id, timers).t1
    };
    assert!(t1(&world) >= ms(150), "{:?}", t1(&world));
}
