//! Who is not the calling server, and what is no call.

use super::world::{AGENT, addr, node_address};
use super::*;
use crate::core::Event;
use holdline_wire::header::Name;
use holdline_wire::machine::{Input, Machine, Output};
use holdline_wire::{Method, TransportKey};

// spec: X40
#[test]
fn a_stranger_gets_no_answer_and_is_counted() {
    let mut world = World::with_nodes(1);
    let (invite, _, _) = world.call("");
    let from = TransportKey::udp(addr(AGENT), addr("192.0.2.9:5060"));
    for bytes in [
        invite.bytes().clone(),
        "OPTIONS sip:x SIP/2.0\r\n\r\n".into(),
        "?".into(),
    ] {
        world.input(Input::Message { from, bytes });
    }
    assert_eq!(world.strangers_got, 0);
    let ignored = |event: &&Event| matches!(event, Event::Ignored { .. });
    assert_eq!(world.events.iter().filter(ignored).count(), 3);
    assert_eq!(world.core.live_calls(), 1);
}

/// An INVITE that becomes no call is answered and counted by what it was told.
#[test]
fn a_call_too_many_is_refused_and_counted() {
    let mut world = World::with(1, |settings| settings.max_calls = 1);
    let mut call = world.call_up();
    world.invite("sip:2001@127.0.0.1:5070", "", world::OFFER);
    let refusal = world.pbx_gets("503");
    let after = refusal.text(Name::RetryAfter);
    assert!(after.is_some());
    assert!(world.events.contains(&Event::CallRefused { status: 503 }));
    world.hang_up(&mut call);
}

// spec: X40
#[test]
fn each_leg_has_tags_and_a_call_id_of_its_own() {
    let mut world = World::with_nodes(1);
    let (invite, _, first) = world.call("");
    let (_, _, second) = world.call("");
    assert_ne!(first.call_id(), invite.call_id());
    assert_ne!(first.call_id(), second.call_id());
    assert_ne!(first.from_tag(), second.from_tag());
    // 96 bits take 16 characters in base 64.
    assert!(first.from_tag().len() >= 16 && first.call_id().len() >= 16);
}

#[test]
fn a_node_places_no_calls_here() {
    let mut world = World::with_nodes(1);
    let (invite, _, _) = world.call("");
    let text = world::text(&invite).replace("z9hG4bK", "z9hG4bKnode");
    let text = text.replace(world::PBX, &node_address(0).to_string());
    world.node_sends(0, text.into());
    world.node_got(0, "403");
}

#[test]
fn a_request_with_one_wrong_identifier_belongs_to_no_call() {
    let mut world = World::with_nodes(1);
    let mut call = world.call_up();
    let mut wrong = call.pbx.clone();
    wrong.id.local_tag = "other".into();
    let branch = world.branch();
    let bye = world::in_dialog(&mut wrong, &Method::Bye, &branch, None);
    world.pbx_sends(bye);
    world.pbx_gets("481");
    world.hang_up(&mut call);
}

#[test]
fn requests_out_of_order_are_refused() {
    let mut world = World::with_nodes(1);
    let mut call = world.call_up();
    call.pbx.local_seq = 10;
    world.pbx_requests(&mut call, Method::Info, None);
    let info = world.node_got(0, "INFO");
    world.node_responds(0, &info, 200, None);
    world.pbx_gets("200");
    call.pbx.local_seq = 5;
    world.pbx_requests(&mut call, Method::Info, None);
    world.pbx_gets("500");
    call.pbx.local_seq = 11;
    world.hang_up(&mut call);
}

/// RFC 3261 8.2.2; of RFC 4475 the messages `novelsc` and `bext01`.
#[test]
fn options_that_ask_what_is_not_there_are_refused() {
    let mut world = World::with_nodes(1);
    for (uri, require, status) in [
        ("soap.beep://192.0.2.103:3002", "timer", "416"),
        ("sip:x@h", "timer, nothingSupportsThis", "420"),
        ("SIP:x@h", "timer", "200"),
    ] {
        let (pbx, branch) = (world::PBX, world.branch());
        let options = format!(
            "OPTIONS {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {pbx};branch={branch}\r\n\
             From: <sip:a@h>;tag=1\r\nTo: <sip:x@h>\r\nCall-ID: {branch}\r\nCSeq: 1 OPTIONS\r\n\
             Max-Forwards: 70\r\nRequire: {require}\r\nContent-Length: 0\r\n\r\n"
        );
        world.pbx_sends(options.into());
        let answer = world.pbx_gets(status);
        if status == "420" {
            let unsupported = answer.text(Name::Unsupported);
            assert_eq!(unsupported.as_deref(), Some("nothingSupportsThis"));
        }
    }
}

/// An SBC says BYE from another interface than those that may call: its dialog names it.
// spec: X40
#[test]
fn a_request_from_an_address_that_its_dialog_names_is_taken_and_from_no_other() {
    let mut world = World::with_nodes(1);
    let route = "Record-Route: <sip:192.0.2.7;lr>\r\n";
    let mut call = world.call_up_with(route);
    let branch = world.branch();
    let bye = world::in_dialog(&mut call.pbx, &Method::Bye, &branch, None);
    for stranger in ["192.0.2.9:5060", "192.0.2.70:5060"] {
        let from = TransportKey::udp(addr(AGENT), addr(stranger));
        let bytes = bye.clone();
        world.input(Input::Message { from, bytes });
    }
    assert_eq!((world.core.live_calls(), world.strangers_got), (1, 0));
    let from = TransportKey::udp(addr(AGENT), addr("192.0.2.7:5062"));
    world.input(Input::Message { from, bytes: bye });
    let bye = world.node_got(0, "BYE");
    world.node_responds(0, &bye, 200, None);
    world.no_trace();
}

#[test]
fn options_say_what_calls_may_be() {
    let mut world = World::with_nodes(1);
    world.pbx_asks();
    let answer = world.pbx_gets("200");
    assert!(answer.has_token(Name::Allow, "REFER"));
    assert!(answer.has_token(Name::Supported, "replaces"));
    assert!(answer.has_token(Name::Other("Accept"), "application/sdp"));
}

/// The far end asks something of the node whose dialog another one has just taken over: a 481 would
/// end the call there.
// spec: X28
#[test]
fn a_request_in_a_dialog_that_moved_away_is_asked_for_again_and_its_bye_is_heard() {
    let mut world = World::with_nodes(2);
    let mut call = world.call_up();
    let (old, mut dialog) = (call.node, call.far.clone());
    world.kill_and_judge(old);
    world.call_moves(&mut call);
    world.restart(old);
    world.node_requests(old, &mut dialog, Method::Info, None);
    let answer = world.node_got(old, "500");
    assert_eq!(answer.text(Name::RetryAfter).as_deref(), Some("1"));
    world.node_requests(old, &mut dialog, Method::Bye, None);
    world.node_got(old, "200");
    world.hang_up(&mut call);
}

/// What comes in late may be just the answer that a deadline waits for.
// spec: X21
#[test]
fn nothing_is_done_for_a_deadline_before_what_has_come_is_heard() {
    let mut world = World::with_nodes(2);
    world.probes.clear();
    world.now = world.now + seconds(1);
    let garbage = Input::Message {
        from: TransportKey::udp(addr(AGENT), addr(world::PBX)),
        bytes: "?".into(),
    };
    world.core.handle(world.now, garbage);
    let mut outputs = std::iter::from_fn(|| world.core.poll_output());
    assert!(outputs.all(|output| !matches!(output, Output::Send { .. })));
    world.pass(ms(1));
    assert_eq!(world.probes.len(), 2, "now the nodes are probed");
}
