//! Storms, and what they leave behind: nothing.

use super::*;
use crate::core::{In, Operator};
use holdline_relay::{Command, Report, Side};
use holdline_wire::Message;
use holdline_wire::header::Name;
use holdline_wire::machine::Input;

#[test]
fn nodes_that_die_one_after_the_other_leave_nothing_behind() {
    let mut world = World::with_nodes(4);
    let mut calls: Vec<_> = (0..12).map(|_| world.call_up()).collect();
    for dead in 0..3 {
        world.kill_and_judge(dead);
        while let Some((node, invite)) = world.next_invite() {
            let named = world::replaces(&invite).call_id;
            let moved = calls.iter_mut().find(|call| *call.far.id.call_id == *named);
            let call = moved.expect("a call of ours");
            world.node_responds(node, &invite, 200, Some(ANSWER));
            (call.node, call.far) = (node, world.dialog_at(node, &invite));
            world.nodes[node]
                .inbox
                .retain(|m| *m.method() == holdline_wire::Method::Invite);
        }
    }
    assert!(calls.iter().all(|call| call.node == 3));
    world.pbx_noticed_nothing();
    assert_eq!(world.core.ports_in_use(), 24);
    for call in &mut calls {
        world.nodes[3].inbox.clear();
        world.pbx_requests(call, holdline_wire::Method::Bye, None);
        world.pbx_gets("200");
        let bye = world.node_got(3, "BYE");
        world.node_responds(3, &bye, 200, None);
    }
    world.no_trace();
    assert_eq!(world.endings().len(), 12);
}

#[test]
fn a_port_that_cannot_be_opened_costs_the_attempt_and_not_the_call() {
    let mut world = World::with_nodes(3);
    let mut call = world.call_up();
    world.kill_and_judge(call.node);
    let (first, invite) = world.node_invited();
    let moved = world.relay.iter().rev().find_map(|command| match command {
        Command::Move { stream, far, .. } => Some((*stream, far.local)),
        _ => None,
    });
    let (stream, local) = moved.unwrap();
    let report = Report::BindFailed {
        stream,
        side: Side::Far,
        local,
        errno: 98,
    };
    world.input(Input::Other(In::Media(report)));
    world.pass(ms(1));
    assert!(
        world.next_invite().is_none(),
        "two would meet at the far end"
    );
    world.node_responds(first, &invite, 200, Some(ANSWER));
    world.node_got(first, "ACK");
    (call.node, call.far) = (first, world.dialog_at(first, &invite));
    world.call_moves(&mut call);
    world.pass(seconds(1));
    let bye = world.node_got(first, "BYE");
    world.node_responds(first, &bye, 200, None);
    world.pbx_noticed_nothing();
    world.hang_up(&mut call);
}

#[test]
fn a_draining_agent_takes_no_new_calls_and_keeps_its_own() {
    let mut world = World::with_nodes(1);
    let mut call = world.call_up();
    world.input(Input::Other(In::Operator(Operator::Drain)));
    world.invite("sip:2001@127.0.0.1:5070", "", OFFER);
    let refusal = world.pbx_gets("503");
    // OPTIONS hears what an INVITE hears (RFC 3261 11.2).
    world.pbx_asks();
    let answer = world.pbx_gets("503");
    let later = |answer: &Message| answer.text(Name::RetryAfter);
    assert_eq!(
        (later(&refusal), later(&answer)),
        (Some("5".into()), Some("5".into()))
    );
    let status = world.core.status(world.now);
    assert!(status.draining && !status.ready && status.calls == 1);
    world.hang_up(&mut call);
}

#[test]
fn the_status_counts_the_calls_on_the_move() {
    let mut world = World::with_nodes(2);
    let mut call = world.call_up();
    world.kill_and_judge(call.node);
    assert_eq!(world.core.status(world.now).moving, 1);
    world.call_moves(&mut call);
    let status = world.core.status(world.now);
    assert_eq!((status.moving, status.failovers.len()), (0, 1));
    assert_eq!(status.failovers[0].moved, 1);
    world.hang_up(&mut call);
}
