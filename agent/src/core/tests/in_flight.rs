//! What was under way when the node died.

use super::world::text;
use super::*;
use holdline_wire::Method;

// spec: X27
#[test]
fn a_re_invite_in_flight_is_asked_of_the_new_node() {
    let mut world = World::with_nodes(2);
    let mut call = world.call_up();
    world.kill(call.node);
    world.pbx_requests(&mut call, Method::Invite, Some(HELD));
    world.pbx_gets("100");
    world.pass(ms(300));
    let moved = world.call_moves(&mut call);
    assert!(
        text(&moved).contains("a=sendrecv"),
        "what was agreed before"
    );
    let hold = world.node_got(call.node, "INVITE");
    assert!(text(&hold).contains("a=sendonly") && hold.to_tag().is_some());
    let answer = ANSWER.replace("a=sendrecv", "a=recvonly");
    world.node_responds(call.node, &hold, 200, Some(&answer));
    world.node_got(call.node, "ACK");
    let ok = world.pbx_gets("200");
    assert!(text(&ok).contains("a=recvonly"));
    let branch = world.branch();
    let ack = call.pbx.ack(2, &branch).finish(None).unwrap();
    world.pbx_sends(ack);
    world.hang_up(&mut call);
}

// spec: X27
#[test]
fn a_digit_in_flight_is_told_the_new_node() {
    let mut world = World::with_nodes(2);
    let mut call = world.call_up();
    world.kill(call.node);
    world.pbx_requests(&mut call, Method::Info, None);
    world.pass(ms(300));
    world.call_moves(&mut call);
    let info = world.node_got(call.node, "INFO");
    world.node_responds(call.node, &info, 200, None);
    world.pbx_gets("200");
    world.hang_up(&mut call);
}

// spec: X27
#[test]
fn a_re_invite_that_is_cancelled_during_the_move_is_answered_and_not_asked() {
    for before_the_verdict in [true, false] {
        let mut world = World::with_nodes(2);
        let mut call = world.call_up();
        world.kill(call.node);
        let hold = world.pbx_requests(&mut call, Method::Invite, Some(HELD));
        world.pbx_gets("100");
        if before_the_verdict {
            world.pbx_cancels(&hold);
            world.pass(ms(300));
        } else {
            world.pass(ms(300));
            world.pbx_cancels(&hold);
        }
        world.pbx_gets("200");
        world.pbx_gets("487");
        world.call_moves(&mut call);
        let inbox = &world.nodes[call.node].inbox;
        assert!(inbox.is_empty(), "{inbox:?}");
        world.hang_up(&mut call);
    }
}

// spec: X27
#[test]
fn the_far_sides_re_invite_in_flight_ends_with_its_node() {
    for offer in [Some(ANSWER), None] {
        let mut world = World::with_nodes(2);
        let mut call = world.call_up();
        world.node_requests(call.node, &mut call.far, Method::Invite, offer);
        world.node_got(call.node, "100");
        let asked = world.pbx_gets("INVITE");
        world.kill_and_judge(call.node);
        world.pbx_responds(&asked, 200, Some(OFFER));
        world.pbx_gets("ACK");
        world.call_moves(&mut call);
        world.pbx_noticed_nothing();
        world.hang_up(&mut call);
    }
}

#[test]
fn a_refused_info_does_not_spoil_the_offer_that_is_under_way() {
    let mut world = World::with_nodes(1);
    let mut call = world.call_up();
    world.node_requests(0, &mut call.far, Method::Info, None);
    let info = world.pbx_gets("INFO");
    world.pbx_requests(&mut call, Method::Invite, Some(HELD));
    world.pbx_gets("100");
    let hold = world.node_got(0, "INVITE");
    world.pbx_responds(&info, 415, None);
    world.node_got(0, "415");
    let answer = ANSWER.replace("25000", "25002");
    world.node_responds(0, &hold, 200, Some(&answer));
    let ok = world.pbx_gets("200");
    assert!(!text(&ok).contains("25002"), "our port stands in it");
    let peers = world.relay.iter().rev().take(2);
    let told = format!("{:?}", peers.collect::<Vec<_>>());
    assert!(
        told.contains("25002"),
        "the relay knows the new peer: {told}"
    );
}

#[test]
fn a_call_without_an_offer_gets_its_answer_in_the_ack() {
    let mut world = World::with_nodes(1);
    let invite = world.invite("sip:2001@127.0.0.1:5070", "", "");
    world.pbx_gets("100");
    let (node, placed) = world.node_invited();
    assert!(placed.sdp().is_none());
    world.node_responds(node, &placed, 200, Some(ANSWER));
    let ok = world.pbx_gets("200");
    assert!(
        world.nodes[node].inbox.is_empty(),
        "the ACK waits for the answer"
    );
    let flow = holdline_wire::TransportKey::udp(world::addr(world::PBX), world::addr(world::AGENT));
    let mut pbx = holdline_wire::dialog::Dialog::uac(&invite, &ok, flow).unwrap();
    let sdp = holdline_wire::build::Body::sdp(OFFER.into());
    let branch = world.branch();
    let ack = pbx.ack(1, &branch).finish(Some(&sdp)).unwrap();
    world.pbx_sends(ack);
    assert!(world.node_got(node, "ACK").sdp().is_some());
    let branch = world.branch();
    let bye = world::in_dialog(&mut pbx, &Method::Bye, &branch, None);
    world.pbx_sends(bye);
    let bye = world.node_got(node, "BYE");
    world.node_responds(node, &bye, 200, None);
    world.no_trace();
}

// spec: X27
#[test]
fn an_update_in_flight_is_asked_of_the_new_node() {
    for offer in [Some(HELD), None] {
        let mut world = World::with_nodes(2);
        let mut call = world.call_up();
        world.kill(call.node);
        world.pbx_requests(&mut call, Method::Update, offer);
        world.pass(ms(300));
        world.call_moves(&mut call);
        let update = world.node_got(call.node, "UPDATE");
        assert_eq!(update.sdp().is_some(), offer.is_some());
        let answer = ANSWER.replace("a=sendrecv", "a=recvonly");
        world.node_responds(call.node, &update, 200, offer.map(|_| answer.as_str()));
        let ok = world.pbx_gets("200");
        assert_eq!(text(&ok).contains("a=recvonly"), offer.is_some());
        world.hang_up(&mut call);
    }
}

// spec: X27
#[test]
fn the_far_sides_update_in_flight_ends_with_its_node() {
    for late in [false, true] {
        let mut world = World::with_nodes(2);
        let mut call = world.call_up();
        world.node_requests(call.node, &mut call.far, Method::Update, Some(ANSWER));
        let asked = world.pbx_gets("UPDATE");
        world.kill_and_judge(call.node);
        if !late {
            world.pbx_responds(&asked, 200, Some(OFFER));
        }
        let moved = world.call_moves(&mut call);
        assert!(text(&moved).contains("RTP/AVP 8 101"), "what was agreed");
        if late {
            world.pbx_responds(&asked, 200, Some(OFFER));
        }
        world.pbx_noticed_nothing();
        world.hang_up(&mut call);
    }
}

/// Audio and video, and a second video that the callee refused.
// spec: X27, X24a
#[test]
fn a_call_of_several_streams_moves_with_those_that_live() {
    let lines = |audio: u16, video: u16, slides: u16| {
        format!(
            "v=0\r\no=x 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {audio} RTP/AVP 8\r\nm=video {video} RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n\
             m=video {slides} RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\n"
        )
    };
    let mut world = World::with_nodes(2);
    let invite = world.invite(
        "sip:2001@127.0.0.1:5070",
        "",
        &lines(20_000, 20_002, 20_004),
    );
    world.pbx_gets("100");
    let (node, placed) = world.node_invited();
    let answer = lines(25_000, 25_002, 0);
    world.node_responds(node, &placed, 200, Some(&answer));
    world.node_got(node, "ACK");
    let mut call = world.accepted(invite, node, &placed);
    assert_eq!(world.core.ports_in_use(), 4);
    world.kill_and_judge(node);
    let (node, invite) = world.node_is_invited_at_last();
    let offer = text(&invite);
    let media: Vec<&str> = offer
        .lines()
        .filter(|line| line.starts_with("m="))
        .collect();
    assert_eq!(media.len(), 3);
    assert_eq!(media[2], "m=video 0 RTP/AVP 97");
    assert!(
        !media[0].contains(" 0 RTP") && !media[1].contains(" 0 RTP"),
        "{media:?}"
    );
    world.node_responds(node, &invite, 200, Some(&answer));
    world.node_got(node, "ACK");
    (call.node, call.far) = (node, world.dialog_at(node, &invite));
    assert_eq!(world.core.ports_in_use(), 4);
    world.pbx_noticed_nothing();
    world.hang_up(&mut call);
}
