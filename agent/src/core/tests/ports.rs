//! Media ports: none free, one that another socket has, a word about one that comes late.

use super::world::{addr, body, node_address, text};
use super::*;
use crate::core::{Event, In};
use holdline_relay::{Command, Report, Side, StreamId};
use holdline_wire::build::Builder;
use holdline_wire::header::{InstanceRefusal, Name};
use holdline_wire::machine::Input;
use holdline_wire::{Message, Method};

/// A world whose agent has so many pairs.
fn with_pairs(nodes: usize, pairs: u16) -> World {
    World::with(nodes, |settings| {
        settings.ports = (10_000, 10_000 + 2 * pairs - 1);
    })
}

/// The port that a message's description names.
fn port_in(message: &Message) -> u16 {
    let text = text(message);
    let (_, line) = text.split_once("m=audio ").expect("an m-line");
    line.split(' ').next().unwrap().parse().unwrap()
}

/// The relay could not open that port of the newest stream.
fn refused(world: &mut World, side: Side, port: u16) {
    let newest = world
        .relay
        .iter()
        .rev()
        .find_map(|command| match command {
            Command::Install { stream, .. } => Some(*stream),
            _ => None,
        })
        .expect("a stream");
    refused_of(world, newest, side, port);
}

fn refused_of(world: &mut World, stream: StreamId, side: Side, port: u16) {
    let report = Report::BindFailed {
        stream,
        side,
        local: addr(&format!("127.0.0.1:{port}")),
        errno: 98,
    };
    world.input(Input::Other(In::Media(report)));
    world.pass(ms(1));
}

fn lost(world: &World) -> usize {
    let is_lost = |event: &&Event| matches!(event, Event::CallLost { .. });
    world.events.iter().filter(is_lost).count()
}

// spec: X51
#[test]
fn with_every_port_in_use_a_call_moves_and_a_new_one_is_refused() {
    let mut world = with_pairs(3, 4);
    let mut calls = [world.call_up(), world.call_up()];
    world.invite("sip:2001@127.0.0.1:5070", "", OFFER);
    assert!(text(&world.pbx_gets("503")).contains("\r\nRetry-After: "));
    assert!(world.events.contains(&Event::CallRefused { status: 503 }));
    let victim = calls[0].node;
    world.kill_and_judge(victim);
    for call in calls.iter_mut().filter(|call| call.node == victim) {
        world.call_moves(call);
    }
    assert_eq!(lost(&world), 0);
    world.pbx_noticed_nothing();
    for call in &mut calls {
        world.pbx_requests(call, Method::Bye, None);
        world.pbx_gets("200");
        let bye = world.node_got(call.node, "BYE");
        world.node_responds(call.node, &bye, 200, None);
    }
    world.no_trace();
}

// spec: X51
#[test]
fn an_attempt_that_finds_no_port_leaves_the_one_before_in_charge() {
    let mut world = with_pairs(3, 2);
    let mut call = world.call_up();
    world.kill_and_judge(call.node);
    let (first, invite) = world.node_invited();
    world.pass(ms(600));
    assert!(world.next_invite().is_none(), "there is no port for it");
    world.node_responds(first, &invite, 200, Some(ANSWER));
    world.node_got(first, "ACK");
    (call.node, call.far) = (first, world.dialog_at(first, &invite));
    assert_eq!((lost(&world), world.core.ports_in_use()), (0, 2));
    world.pbx_noticed_nothing();
    world.hang_up(&mut call);
    assert_eq!(world.endings(), [("hangup", 1)]);
}

// spec: X51
#[test]
fn once_it_is_refused_the_port_serves_the_next_attempt() {
    let mut world = with_pairs(3, 2);
    let mut call = world.call_up();
    world.kill_and_judge(call.node);
    let (first, invite) = world.node_invited();
    world.pass(ms(400));
    world.node_responds(first, &invite, 500, None);
    world.node_got(first, "ACK");
    world.call_moves(&mut call);
    assert_ne!(call.node, first);
    world.hang_up(&mut call);
}

// spec: X51
#[test]
fn a_late_word_about_the_port_of_one_attempt_fails_no_other() {
    let mut world = World::with_nodes(4);
    let mut call = world.call_up();
    world.kill_and_judge(call.node);
    let (_, first) = world.node_invited();
    world.pass(ms(310));
    let (second, invite) = world.node_invited();
    refused(&mut world, Side::Far, port_in(&first));
    world.pass(ms(100));
    assert!(world.next_invite().is_none(), "nobody else need be asked");
    world.node_responds(second, &invite, 200, Some(ANSWER));
    world.node_got(second, "ACK");
    (call.node, call.far) = (second, world.dialog_at(second, &invite));
    world.pass(seconds(40));
    world.pbx_noticed_nothing();
    world.hang_up(&mut call);
    assert_eq!(world.endings(), [("hangup", 1)]);
}

// spec: X51
#[test]
fn a_port_that_another_socket_has_refuses_no_new_call() {
    let mut world = World::with_nodes(1);
    let (invite, node, first) = world.call("");
    let near = match world.relay[..] {
        [Command::Install { near, .. }] => near.local.port(),
        ref other => panic!("{other:?}"),
    };
    // The far side's port is in the INVITE already, the near side's nobody knows.
    refused(&mut world, Side::Near, near);
    refused(&mut world, Side::Far, port_in(&first));
    world.node_responds(node, &first, 100, None);
    let (_, second) = world.node_invited();
    assert_ne!(port_in(&second), port_in(&first));
    let cancel = world.node_got(node, "CANCEL");
    world.node_responds(node, &cancel, 200, None);
    world.node_responds(node, &first, 487, None);
    world.node_got(node, "ACK");
    world.node_responds(node, &second, 200, Some(ANSWER));
    world.node_got(node, "ACK");
    let ports: Vec<u16> = world.to_pbx.iter().map(port_in).collect();
    assert!(!ports.is_empty() && !ports.contains(&near), "{ports:?}");
    let mut call = world.accepted(invite, node, &second);
    // Both are left alone for a while.
    let mut other = world.call_up();
    let used = |world: &World, port: u16| {
        let last = world.relay.iter().rev().find_map(|command| match command {
            Command::Install { near, far, .. } => Some([near.local.port(), far.local.port()]),
            _ => None,
        });
        last.is_some_and(|ports| ports.contains(&port))
    };
    assert!(!used(&world, near) && !used(&world, port_in(&first)));
    world.pbx_requests(&mut other, Method::Bye, None);
    world.pbx_gets("200");
    let bye = world.node_got(other.node, "BYE");
    world.node_responds(other.node, &bye, 200, None);
    world.hang_up(&mut call);
}

// spec: X51
#[test]
fn a_stream_whose_port_cannot_be_opened_costs_no_call_that_is_up() {
    let mut world = World::with_nodes(1);
    let mut call = world.call_up();
    let video = format!("{OFFER}m=video 20002 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n");
    world.pbx_requests(&mut call, Method::Invite, Some(&video));
    world.pbx_gets("100");
    let (node, offered) = world.node_invited();
    let text = text(&offered);
    let (_, line) = text.split_once("m=video ").expect("the video");
    let far: u16 = line.split(' ').next().unwrap().parse().unwrap();
    refused(&mut world, Side::Far, far);
    let answer = format!("{ANSWER}m=video 25002 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n");
    world.node_responds(node, &offered, 200, Some(&answer));
    world.node_got(node, "ACK");
    world.pbx_gets("200");
    assert_eq!(world.core.live_calls(), 1);
    assert_eq!(world.endings(), []);
    // A word about ports that nobody has is nothing.
    refused_of(&mut world, StreamId(77), Side::Near, 10_000);
    refused(&mut world, Side::Near, 9);
    assert_eq!(world.core.live_calls(), 1);
}

/// Its only port cannot be opened after the call was answered: it moves by itself.
// spec: X51
#[test]
fn a_call_that_is_up_leaves_a_port_that_another_socket_has() {
    let mut world = World::with_nodes(2);
    let (invite, node, placed) = world.call("");
    world.node_responds(node, &placed, 200, Some(ANSWER));
    world.node_got(node, "ACK");
    let mut call = world.accepted(invite, node, &placed);
    let before = call.node;
    refused(&mut world, Side::Far, port_in(&placed));
    let moved = world.call_moves(&mut call);
    assert_ne!(port_in(&moved), port_in(&placed));
    world.pbx_noticed_nothing();
    if let Some(bye) = world.nodes[before].inbox.pop_front() {
        world.node_responds(before, &bye, 200, None);
    }
    world.hang_up(&mut call);
}

/// It has replaced the far leg with an INVITE that names another socket's port.
// spec: X51
#[test]
fn a_call_whose_new_node_has_no_port_to_the_far_end_moves_once_more() {
    let mut world = World::with_nodes(3);
    let mut call = world.call_up();
    world.kill_and_judge(call.node);
    let (first, invite) = world.node_invited();
    let tag = format!("node{first}");
    let answer = Builder::response(&invite, addr(world::AGENT), 200, b"", Some(&tag))
        .header(Name::Contact, format!("<sip:{}>", node_address(first)))
        .header(Name::InstanceRefusal, InstanceRefusal::NoPort.as_str());
    world.node_sends(first, answer.finish(Some(&body(ANSWER))).unwrap());
    world.node_got(first, "ACK");
    (call.node, call.far) = (first, world.dialog_at(first, &invite));
    // It names the dialog of the answer.
    world.call_moves(&mut call);
    assert_eq!(lost(&world), 0);
    world.pbx_noticed_nothing();
}

/// All calls of a dead node come to one that has no room.
// spec: X51
#[test]
fn a_node_without_room_says_so_and_is_asked_again_when_it_has_some() {
    let mut world = World::with_nodes(2);
    let mut call = world.call_up();
    let (victim, other) = (call.node, 1 - call.node);
    world.kill_and_judge(victim);
    let (node, invite) = world.node_invited();
    assert_eq!(node, other);
    world.nodes[other].utilization = Some(100);
    world.pass(ms(250));
    let refusal = Builder::response(&invite, addr(world::AGENT), 503, b"", Some("full"))
        .header(Name::RetryAfter, "5")
        .header(Name::InstanceUtilization, 100)
        .header(Name::InstanceRefusal, InstanceRefusal::NoPort.as_str());
    world.node_sends(other, refusal.finish(None).unwrap());
    world.node_got(other, "ACK");
    world.pass(seconds(3));
    assert!(world.next_invite().is_none(), "it said no once");
    world.nodes[other].utilization = Some(90);
    world.pass(ms(400));
    world.call_moves(&mut call);
    assert_eq!(call.node, other);
    world.hang_up(&mut call);
}
