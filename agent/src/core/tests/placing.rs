//! New calls: where they go, and what says no.

use super::world::text;
use super::*;
use holdline_wire::header::Name;

// spec: D14
#[test]
fn an_inactive_node_gets_no_new_calls_and_keeps_its_own() {
    let mut world = World::with_nodes(2);
    let mut call = world.call_up();
    let mut active = [true; 2];
    active[call.node] = false;
    world.document(&active);
    world.pass(seconds(1));
    for _ in 0..20 {
        let (_, node, placed) = world.call("");
        assert_ne!(node, call.node);
        world.node_responds(node, &placed, 486, None);
        world.pbx_gets("486");
        world.nodes[node].inbox.clear();
    }
    assert!(world.next_invite().is_none(), "its call does not move");
    world.hang_up(&mut call);
}

// spec: D23
#[test]
fn with_all_nodes_full_a_new_call_gets_503_with_retry_after() {
    let mut world = World::with_nodes(2);
    world
        .nodes
        .iter_mut()
        .for_each(|node| node.utilization = Some(100));
    world.pass(seconds(1));
    world.invite("sip:2001@127.0.0.1:5070", "", OFFER);
    world.pbx_gets("100");
    let refusal = world.pbx_gets("503");
    assert!(refusal.header(Name::RetryAfter).is_some());
    world.no_trace();
    assert_eq!(world.endings(), [("refused", 0)]);
}

// spec: D24
#[test]
fn a_full_node_is_a_last_resort_for_calls_that_need_a_home() {
    let mut world = World::with_nodes(2);
    let mut call = world.call_up();
    world.nodes[1 - call.node].utilization = Some(100);
    world.pass(seconds(1));
    world.kill_and_judge(call.node);
    world.call_moves(&mut call);
    world.hang_up(&mut call);
}

// spec: D22
#[test]
fn utilization_and_incarnation_never_travel_on() {
    let own = "Instance-Utilization: 3\r\nInstance-Incarnation: x\r\n";
    let mut world = World::with_nodes(1);
    let (_, node, placed) = world.call(own);
    let told = text(&placed);
    assert!(!told.contains("Instance-Utilization") && !told.contains("Instance-Incarnation"));
    world.node_responds(node, &placed, 180, None);
    assert!(!text(&world.pbx_gets("180")).contains("Instance-"));
    world.node_responds(node, &placed, 200, Some(ANSWER));
    assert!(!text(&world.pbx_gets("200")).contains("Instance-"));
}

// spec: D22
#[test]
fn what_any_response_tells_counts_for_the_node_that_was_asked() {
    let mut world = World::with_nodes(2);
    let (_, node, placed) = world.call("");
    world.nodes[node].utilization = Some(77);
    world.node_responds(node, &placed, 180, None);
    let cluster = world.core.cluster();
    let id = cluster.node_at(world::node_address(node)).unwrap();
    assert_eq!(cluster.utilization(world.now, id), 77);
}

// spec: D20
#[test]
fn each_probe_is_a_transaction_of_its_own_by_a_flow_of_its_own() {
    let mut world = World::with_nodes(2);
    world.probes.clear();
    world.pass(seconds(1));
    assert_eq!(world.probes.len(), 8, "every 250 ms to each");
    world.kill(0);
    world.nodes[0].refuses = false;
    world.pass(seconds(1));
    let branch = |(_, probe): &(_, holdline_wire::Message)| probe.top_via().branch.to_string();
    let branches: std::collections::BTreeSet<_> = world.probes.iter().map(branch).collect();
    assert_eq!(branches.len(), world.probes.len(), "none is repeated");
    assert!(world.probes.iter().all(|(flow, _)| !flow.is_listening()));
}

// spec: X23
#[test]
fn an_emergency_number_stays_the_urn_that_it_is() {
    let mut world = World::with_nodes(1);
    for (uri, called) in [
        ("urn:service:sos.police", "urn:service:sos.police"),
        (
            "tel:+4930123;phone-context=x",
            "sip:+4930123;phone-context=x@127.0.0.11:5060",
        ),
        ("SIP:bob;x=1@pbx.example;y=2", "sip:bob;x=1@127.0.0.11:5060"),
        ("sip:pbx.example", "sip:127.0.0.11:5060"),
    ] {
        world.invite(uri, "", OFFER);
        world.pbx_gets("100");
        let (_, placed) = world.node_invited();
        assert_eq!(placed.request_uri(), called);
        world.node_responds(0, &placed, 486, None);
        world.pbx_gets("486");
        world.nodes[0].inbox.clear();
    }
}

#[test]
fn a_repeated_invite_is_one_call() {
    let mut world = World::with_nodes(1);
    let (invite, _, _) = world.call("");
    world.pbx_sends(invite.bytes().clone());
    world.pbx_gets("100");
    assert!(world.next_invite().is_none());
    assert_eq!(world.core.live_calls(), 1);
}

#[test]
fn what_cannot_be_done_is_refused_with_its_reason() {
    let mut world = World::with_nodes(1);
    for (extra, sdp, status) in [
        ("Require: 100rel\r\n", OFFER, "420"),
        ("Replaces: a;to-tag=b;from-tag=c\r\n", OFFER, "481"),
        ("", "nonsense", "488"),
    ] {
        world.invite("sip:2001@127.0.0.1:5070", extra, sdp);
        let answer = world.to_pbx.pop_back().unwrap();
        assert_eq!(answer.status().to_string(), status);
        assert!(answer.header(Name::RetryAfter).is_none());
        world.to_pbx.clear();
    }
    world.no_trace();
}

#[test]
fn max_forwards_counts_down_and_nothing_passes_at_zero() {
    let mut world = World::with_nodes(1);
    let (invite, _, placed) = world.call("");
    assert_eq!(placed.max_forwards(), Some(68));
    let again = text(&invite)
        .replace("Forwards: 69", "Forwards: 0")
        .replace("z9hG4bK", "z9hG4bKx");
    world.pbx_sends(again.into());
    world.pbx_gets("483");
}
