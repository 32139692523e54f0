//! What became of datagrams: whose fault it is (spec: X52).

use super::world::{AGENT, PBX, addr, node_address, text};
use super::*;
use crate::cluster::NodeState;
use crate::core::Event;
use bytes::Bytes;
use holdline_wire::machine::{Input, LocalFault, TransportFault};
use holdline_wire::{Message, Method, TransportKey};

fn fault(world: &mut World, key: TransportKey, fault: TransportFault, quoted: &[u8]) {
    let quoted = Bytes::copy_from_slice(quoted);
    world.input(Input::Fault { key, fault, quoted });
}

fn suspicions(world: &World) -> usize {
    let suspect = |event: &&Event| matches!(event, Event::NodeSuspect { .. });
    world.events.iter().filter(suspect).count()
}

/// The flow of the probes to a node, and the last probe, which its host got and did not answer.
fn last_probe(world: &mut World, node: usize) -> (TransportKey, Message) {
    world.nodes[node].alive = false;
    world.nodes[node].refuses = false;
    world.probes.clear();
    while world
        .probes
        .iter()
        .all(|(key, _)| key.remote != node_address(node))
    {
        world.pass(ms(10));
    }
    let found = |(key, _): &&(TransportKey, Message)| key.remote == node_address(node);
    world.probes.iter().rev().find(found).cloned().unwrap()
}

// spec: X52
#[test]
fn a_failure_of_our_own_ends_no_call_and_condemns_nobody() {
    for kind in LocalFault::ALL {
        let mut world = World::with_nodes(2);
        let mut call = world.call_up();
        let key = TransportKey::udp(addr(AGENT), node_address(call.node));
        // While a request waits for its answer, and while none does.
        world.pbx_requests(&mut call, Method::Info, None);
        let info = world.node_got(call.node, "INFO");
        for _ in 0..50 {
            fault(&mut world, key, TransportFault::Local(kind), info.bytes());
            let pbx = key.to(addr(PBX));
            fault(&mut world, pbx, TransportFault::Local(kind), b"");
        }
        world.node_responds(call.node, &info, 200, None);
        world.pbx_gets("200");
        world.pass(seconds(2));
        assert_eq!(world.core.status(world.now).failovers.len(), 0);
        world.hang_up(&mut call);
        assert_eq!(world.endings(), [("hangup", 0)]);
    }
}

// spec: X52 X41
#[test]
fn a_refusal_counts_only_for_a_probe_that_was_sent_and_not_answered() {
    let mut world = World::with_nodes(2);
    let (flow, answered) = world.probes[0].clone();
    // Anybody can write an ICMP message: about what was answered, and about what was never sent.
    let forged = String::from_utf8(answered.bytes().to_vec()).unwrap();
    let forged = forged.replace("z9hG4bKp", "z9hG4bKpx");
    world.events.clear();
    for quoted in [&answered.bytes()[..], forged.as_bytes()] {
        for _ in 0..5 {
            fault(&mut world, flow, TransportFault::Refused, quoted);
            world.pass(ms(1));
        }
    }
    assert_eq!(suspicions(&world), 0);
    let (flow, probe) = last_probe(&mut world, 0);
    fault(&mut world, flow, TransportFault::Refused, probe.bytes());
    assert_eq!(suspicions(&world), 1);
}

// spec: X52 X41
#[test]
fn a_refused_message_counts_only_where_something_was_sent_of_late() {
    let mut world = World::with_nodes(2);
    let mut call = world.call_up();
    let key = TransportKey::udp(addr(AGENT), node_address(call.node));
    world.pass(seconds(3));
    world.events.clear();
    fault(&mut world, key, TransportFault::Refused, b"");
    assert_eq!(suspicions(&world), 0, "nothing was sent for 3 s");
    world.pbx_requests(&mut call, Method::Info, None);
    let info = world.node_got(call.node, "INFO");
    let stranger = [
        b"INFO sip:somebody@elsewhere SIP/2.0\r\nVia: ",
        &[b'x'; 64][..],
    ]
    .concat();
    fault(&mut world, key, TransportFault::Refused, &stranger);
    assert_eq!(suspicions(&world), 0, "it quotes nothing of ours");
    fault(&mut world, key, TransportFault::Refused, info.bytes());
    assert_eq!(suspicions(&world), 1);
    world.node_responds(call.node, &info, 200, None);
    world.pass(seconds(1));
    world.hang_up(&mut call);
}

// spec: X52
#[test]
fn what_a_router_says_condemns_nobody_who_answers() {
    let mut world = World::with_nodes(2);
    for _ in 0..20 {
        let (flow, probe) = last_probe(&mut world, 0);
        fault(&mut world, flow, TransportFault::Unreachable, probe.bytes());
        world.nodes[0].alive = true;
        world.pass(ms(300));
    }
    world.pass(seconds(1));
    let status = world.core.status(world.now);
    assert_eq!(status.trunk.nodes[0].state, NodeState::Alive);
    assert_eq!(status.trunk.nodes[0].flaps, 0);
}

// spec: X41
#[test]
fn an_icmp_error_ends_what_it_quotes_and_nothing_else() {
    let mut world = World::with_nodes(1);
    let (mut one, mut other) = (world.call_up(), world.call_up());
    let pbx = TransportKey::udp(addr(AGENT), addr(PBX));
    let mut asked = Vec::new();
    for call in [&mut one, &mut other] {
        world.node_requests(0, &mut call.far, Method::Info, None);
        asked.push(world.pbx_gets("INFO"));
    }
    let forged = text(&asked[0]).replace("z9hG4bK", "z9hG4bKx");
    fault(&mut world, pbx, TransportFault::Refused, forged.as_bytes());
    fault(
        &mut world,
        pbx,
        TransportFault::Unreachable,
        forged.as_bytes(),
    );
    assert!(world.nodes[0].inbox.is_empty(), "it quotes nothing of ours");
    let quoted = asked[0].bytes().clone();
    fault(&mut world, pbx, TransportFault::Refused, &quoted);
    let refused = world.node_got(0, "503");
    assert_eq!(refused.call_id(), &*one.far.id.call_id);
    assert!(world.nodes[0].inbox.is_empty(), "the other is asked still");
    world.pbx_responds(&asked[1], 200, None);
    world.node_got(0, "200");
}
