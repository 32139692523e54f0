//! Attended transfers by the calling server.

use super::world::{self, ANSWER, OFFER, ms, replaces};
use super::*;
use crate::core::Event;
use holdline_wire::header::{Name, NameAddr, Replaces};
use holdline_wire::uri::SipUri;
use holdline_wire::{Message, Method};

/// What an INVITE says to replace `call` at the agent.
fn header(call: &world::Call) -> String {
    format!(
        "Replaces: {}\r\n",
        call.pbx.id.replaces_for_peer().to_value()
    )
}

/// The same, in a Refer-To.
fn refer_to(value: &str) -> String {
    let escaped = value
        .replace('@', "%40")
        .replace(';', "%3B")
        .replace('=', "%3D");
    format!("<sip:2002@pbx.example?Replaces={escaped}>")
}

/// The target and the dialog of a Refer-To.
fn referred(refer: &Message) -> (String, Replaces) {
    let address = NameAddr::parse(refer.header(Name::ReferTo).unwrap()).unwrap();
    let uri = SipUri::parse(address.uri).unwrap();
    let replaces = Replaces::parse(&uri.header("Replaces").unwrap()).unwrap();
    let target = address.uri.split('?').next().unwrap();
    (target.to_owned(), replaces)
}

fn transfer(world: &mut World, extra: &str) -> Message {
    world.invite("sip:2001@127.0.0.1:5070", extra, OFFER)
}

// spec: D32
#[test]
fn a_transfer_goes_on_with_the_dialog_of_the_far_side() {
    let mut world = World::with_nodes(3);
    let mut old = world.call_up();
    let invite = transfer(&mut world, &header(&old));
    world.pbx_gets("100");
    let (node, placed) = world.node_invited();
    assert_eq!(node, old.node, "the node that has the call");
    let named = replaces(&placed);
    let far = &old.far.id;
    assert_eq!(
        (&named.call_id, &named.to_tag, &named.from_tag),
        (&far.call_id, &far.local_tag, &far.remote_tag)
    );
    assert!(named.transfer, "told from the move of a call");
    assert_eq!(placed.list(Name::Require), [b"replaces"]);
    world.node_responds(node, &placed, 200, Some(ANSWER));
    world.node_got(node, "ACK");
    let mut new = world.accepted(invite, node, &placed);
    // The one who was replaced says BYE in the old dialog, as RFC 3891 has it.
    world.node_requests(node, &mut old.far, Method::Bye, None);
    let bye = world.pbx_gets("BYE");
    assert_eq!(bye.call_id(), &*old.pbx.id.call_id);
    world.pbx_responds(&bye, 200, None);
    world.node_got(node, "200");
    world.hang_up(&mut new);
}

// spec: D32
#[test]
fn what_rfc_3891_refuses_is_refused() {
    let mut world = World::with_nodes(1);
    let mut call = world.call_up();
    let (_, _, ringing) = world.call("");
    let right = header(&call);
    let early = Message::parse(ringing.bytes().clone()).unwrap();
    let id = call.pbx.id.clone();
    let wrong = |tag: &str| {
        let (call_id, from) = (&id.call_id, &id.local_tag);
        format!("Replaces: {call_id};to-tag={tag};from-tag={from}\r\n")
    };
    let swapped = format!(
        "Replaces: {};to-tag={};from-tag={}\r\n",
        id.call_id, id.local_tag, id.remote_tag
    );
    let cases = [
        (wrong("nobody"), "481"),
        (swapped, "481"),
        // A far leg's tag is not the calling server's to name.
        (wrong(early.from_tag()), "481"),
        (right.replace("\r\n", ";early-only\r\n"), "486"),
        ([&right[..], &right].concat(), "400"),
        ("Replaces: nothing\r\n".to_owned(), "400"),
    ];
    for (extra, status) in cases {
        transfer(&mut world, &extra);
        world.pbx_gets(status);
        assert!(world.next_invite().is_none(), "{extra}");
        let refused = Event::CallRefused {
            status: status.parse().unwrap(),
        };
        assert_eq!(world.events.pop(), Some(refused), "{extra}");
    }
    // The call that was named lives on.
    world.pbx_requests(&mut call, Method::Info, None);
    world.node_got(0, "INFO");
}

/// The node refuses; no other node knows the dialog, so none is asked.
// spec: D32
#[test]
fn a_refused_transfer_leaves_the_call_as_it_is() {
    let mut world = World::with_nodes(3);
    let mut old = world.call_up();
    transfer(&mut world, &header(&old));
    world.pbx_gets("100");
    let (node, placed) = world.node_invited();
    world.node_responds(node, &placed, 503, None);
    world.node_got(node, "ACK");
    world.pbx_gets("503");
    assert!(world.next_invite().is_none());
    world.hang_up(&mut old);
}

/// The node of both dies before the transfer is answered: it follows the call that it replaces.
// spec: D32, X26
#[test]
fn a_transfer_waits_for_a_call_that_moves() {
    let mut world = World::with_nodes(2);
    let mut old = world.call_up();
    let invite = transfer(&mut world, &header(&old));
    world.pbx_gets("100");
    let (dead, _) = world.node_invited();
    assert_eq!(dead, old.node);
    world.kill_and_judge(dead);
    world.call_moves(&mut old);
    assert_ne!(old.node, dead);
    let (node, placed) = world.node_is_invited_at_last();
    assert_eq!(node, old.node);
    assert_eq!(replaces(&placed).to_tag, old.far.id.local_tag);
    world.node_responds(node, &placed, 200, Some(ANSWER));
    world.node_got(node, "ACK");
    let mut new = world.accepted(invite, node, &placed);
    world.node_requests(node, &mut old.far, Method::Bye, None);
    let bye = world.pbx_gets("BYE");
    world.pbx_responds(&bye, 200, None);
    world.node_got(node, "200");
    world.hang_up(&mut new);
}

/// The call that is to be replaced ends while the transfer waits for it.
// spec: D32
#[test]
fn a_transfer_to_a_call_that_is_over_is_declined() {
    let mut world = World::with_nodes(1);
    let mut old = world.call_up();
    world.kill_and_judge(0);
    transfer(&mut world, &header(&old));
    world.pbx_gets("100");
    world.pass(ms(500));
    world.pbx_noticed_nothing();
    // Its node is gone, so nothing but the hang-up is left of it.
    world.pbx_requests(&mut old, Method::Bye, None);
    world.pbx_gets("200");
    world.pass(world::seconds(120));
    world.pbx_gets("603");
    world.pbx_noticed_nothing();
}

// spec: D32
#[test]
fn a_refer_names_the_dialog_of_the_other_side() {
    let mut world = World::with_nodes(2);
    let mut first = world.call_up();
    let second = world.call_up();
    let named = second.pbx.id.replaces_for_peer();
    let branch = world.branch();
    let refer = first
        .pbx
        .request(&Method::Refer, &branch)
        .header(Name::Contact, format!("<sip:{}>", world::PBX))
        .header(Name::ReferTo, refer_to(&named.to_value()));
    world.pbx_sends(refer.finish(None).unwrap());
    let got = world.node_got(first.node, "REFER");
    let (target, there) = referred(&got);
    assert_eq!(target, format!("sip:{}", world::node_address(second.node)));
    let far = &second.far.id;
    assert_eq!(
        (there.call_id, there.to_tag, there.from_tag),
        (
            far.call_id.clone(),
            far.local_tag.clone(),
            far.remote_tag.clone()
        )
    );
    world.node_responds(first.node, &got, 202, None);
    world.pbx_gets("202");

    // The far side refers the calling server to its other call.
    let named = second.far.id.replaces_for_peer();
    let branch = world.branch();
    let refer = first
        .far
        .request(&Method::Refer, &branch)
        .header(Name::Contact, "<sip:node>")
        .header(Name::ReferTo, refer_to(&named.to_value()));
    world.node_sends(first.node, refer.finish(None).unwrap());
    let (target, there) = referred(&world.pbx_gets("REFER"));
    assert_eq!(target, format!("sip:{}", world::PBX));
    let near = &second.pbx.id;
    assert_eq!(
        (there.call_id, there.to_tag, there.from_tag),
        (
            near.call_id.clone(),
            near.local_tag.clone(),
            near.remote_tag.clone()
        )
    );
}

/// What names no dialog of ours, or one of the other side, passes as it is.
// spec: D26
#[test]
fn another_refer_passes_untouched() {
    let mut world = World::with_nodes(1);
    let mut call = world.call_up();
    let far = call.far.id.replaces_for_peer().to_value();
    for value in [
        "<sip:2002@pbx.example>".to_owned(),
        refer_to("1@2;to-tag=3;from-tag=4"),
        refer_to(&far),
    ] {
        let branch = world.branch();
        let refer = call
            .pbx
            .request(&Method::Refer, &branch)
            .header(Name::Contact, format!("<sip:{}>", world::PBX))
            .header(Name::ReferTo, &value);
        world.pbx_sends(refer.finish(None).unwrap());
        let got = world.node_got(0, "REFER");
        assert_eq!(got.text(Name::ReferTo).as_deref(), Some(&*value));
        world.node_responds(0, &got, 202, None);
        world.pbx_gets("202");
    }
}

/// A REFER of the calling server in `first` that names `second`.
fn refer(world: &mut World, first: &mut world::Call, second: &world::Call) {
    let named = second.pbx.id.replaces_for_peer();
    let branch = world.branch();
    let refer = first
        .pbx
        .request(&Method::Refer, &branch)
        .header(Name::Contact, format!("<sip:{}>", world::PBX))
        .header(Name::ReferTo, refer_to(&named.to_value()));
    world.pbx_sends(refer.finish(None).unwrap());
}

/// Both calls leave the dead node; the REFER is asked when both have another, by the new names.
// spec: D32, X27
#[test]
fn a_refer_during_a_move_names_the_dialogs_of_after_it() {
    for swapped in [true, false] {
        let mut world = World::with_nodes(1);
        let (mut first, mut second) = (world.call_up(), world.call_up());
        if swapped {
            std::mem::swap(&mut first, &mut second);
        }
        world.kill_and_judge(0);
        refer(&mut world, &mut first, &second);
        world.restart(0);
        for _ in 0..2 {
            let early = world.nodes[0].inbox.iter();
            assert_eq!(early.filter(|m| *m.method() == Method::Refer).count(), 0);
            let (_, invite) = world.node_is_invited_at_last();
            world.node_responds(0, &invite, 200, Some(ANSWER));
            world.nodes[0].inbox.retain(|m| *m.method() != Method::Ack);
            let moved = world.dialog_at(0, &invite);
            let named = world::replaces(&invite).call_id;
            let calls = [&mut first, &mut second].into_iter();
            for call in calls.filter(|call| call.far.id.call_id == named) {
                call.far = moved.clone();
            }
        }
        let got = world.node_got(0, "REFER");
        assert_eq!(got.call_id(), &*first.far.id.call_id);
        assert_eq!(referred(&got).1.call_id, second.far.id.call_id);
        world.node_responds(0, &got, 202, None);
        world.pbx_gets("202");
    }
}

/// The other call moves, this one does not.
// spec: D32
#[test]
fn a_refer_waits_for_the_call_that_it_names() {
    let mut world = World::with_nodes(3);
    let mut first = world.call_up();
    let mut second = world.call_up();
    while second.node == first.node {
        second = world.call_up();
    }
    world.kill_and_judge(second.node);
    refer(&mut world, &mut first, &second);
    assert!(
        world.nodes[first.node]
            .inbox
            .iter()
            .all(|m| *m.method() != Method::Refer)
    );
    let (node, invite) = loop {
        let (node, invite) = world.node_is_invited_at_last();
        if world::replaces(&invite).to_tag == second.far.id.local_tag {
            break (node, invite);
        }
    };
    world.node_responds(node, &invite, 200, Some(ANSWER));
    world.node_got(node, "ACK");
    let got = world.node_got(first.node, "REFER");
    assert_eq!(referred(&got).1.call_id, invite.call_id().into());
}
