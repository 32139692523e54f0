//! A node dies, and its calls live on elsewhere.

use super::world::{replaces, text};
use super::*;
use holdline_relay::Command;
use holdline_wire::Method;
use holdline_wire::header::Name;

// spec: D24, X29
#[test]
fn a_call_moves_and_the_calling_server_notices_nothing() {
    let mut world = World::with_nodes(3);
    let mut call = world.call_up();
    let dead = call.node;
    world.kill_and_judge(dead);
    let old = call.far.id.clone();
    let invite = world.call_moves(&mut call);
    assert_ne!(call.node, dead);
    let named = replaces(&invite);
    assert_eq!(named.call_id, old.call_id);
    assert_eq!(
        (named.to_tag, named.from_tag),
        (old.local_tag, old.remote_tag)
    );
    assert!(invite.to_tag().is_none(), "a new INVITE, not a re-INVITE");
    world.pbx_noticed_nothing();
    assert_eq!(world.failover_done(), Some((1, 0, 0)));
    world.hang_up(&mut call);
    assert_eq!(world.endings(), [("hangup", 1)]);
}

// spec: X24a, X40
#[test]
fn the_failover_invite_says_who_is_talking_and_nothing_stale() {
    let said = "P-Asserted-Identity: <sip:+4930123@pbx.example>\r\nPrivacy: id\r\n\
        Diversion: <sip:5@pbx.example>\r\nHistory-Info: <sip:5@pbx.example>;index=1\r\n\
        Session-ID: ab30317f1a784dc48ff824d0d3715d86;remote=00000000000000000000000000000000\r\n\
        P-Charging-Vector: icid-value=1\r\nGeolocation: <cid:a@b>\r\n";
    let stale = "Identity: abc;info=<https://c>;alg=ES256\r\nProxy-Authorization: Digest a=\"b\"\r\n\
        Instance-Utilization: 3\r\nInstance-Incarnation: x\r\nX-Own: 1\r\n";
    let mut world = World::with_nodes(2);
    let mut call = world.call_up_with(&format!("{said}{stale}"));
    let placed = call.far.id.clone();
    world.kill_and_judge(call.node);
    let invite = world.call_moves(&mut call);
    let told = text(&invite);
    for line in said.lines() {
        assert!(told.contains(&format!("{line}\r\n")), "{line} in {told}");
    }
    for line in stale.lines() {
        let name = line.split(':').next().unwrap();
        assert!(!told.contains(&format!("\n{name}:")), "{name} in {told}");
    }
    assert!(told.contains("From: \"Alice\" <sip:1001@pbx.example>;tag="));
    assert!(told.contains("To: <sip:2001@pbx.example>\r\n"));
    assert!(invite.request_uri().starts_with("sip:2001@127.0.0.1"));
    assert_eq!(invite.max_forwards(), Some(70));
    assert_ne!(*placed.call_id, *invite.call_id());
    assert!(invite.from_tag().len() >= 16 && invite.from_tag() != &*placed.remote_tag);
    let sdp = String::from_utf8_lossy(&invite.sdp().unwrap()).into_owned();
    assert!(
        sdp.contains("RTP/AVP 8 101\r\n"),
        "what is in use only: {sdp}"
    );
    assert!(sdp.contains("a=sendrecv"));
}

// spec: X29
#[test]
fn the_calling_servers_port_stays_and_the_far_one_is_fresh() {
    let mut world = World::with_nodes(2);
    let mut call = world.call_up();
    world.relay.clear();
    world.kill_and_judge(call.node);
    world.call_moves(&mut call);
    let moved = |command: &&Command| matches!(command, Command::Move { .. });
    assert_eq!(
        world.relay.iter().filter(moved).count(),
        1,
        "{:?}",
        world.relay
    );
    let closed =
        |command: &Command| matches!(command, Command::Remove { .. } | Command::Install { .. });
    assert!(!world.relay.iter().any(closed), "{:?}", world.relay);
    assert_eq!(world.core.ports_in_use(), 2);
}

// spec: D5
#[test]
fn the_dead_nodes_calls_are_spread_over_all_others() {
    let mut world = World::with_nodes(4);
    let calls: Vec<_> = (0..60).map(|_| world.call_up()).collect();
    let dead = calls[0].node;
    world.kill_and_judge(dead);
    let mut homes = [0; 4];
    while let Some((node, _)) = world.next_invite() {
        homes[node] += 1;
    }
    let lost = calls.iter().filter(|call| call.node == dead).count();
    assert_eq!(homes.iter().sum::<usize>(), lost);
    let used = homes.iter().filter(|home| **home > 0).count();
    assert_eq!((homes[dead], used), (0, 3), "{homes:?}");
}

// spec: X27
#[test]
fn a_held_call_stays_held() {
    let mut world = World::with_nodes(2);
    let mut call = world.call_up();
    world.pbx_requests(&mut call, Method::Invite, Some(HELD));
    world.pbx_gets("100");
    let hold = world.node_got(call.node, "INVITE");
    let answer = ANSWER.replace("a=sendrecv", "a=recvonly");
    world.node_responds(call.node, &hold, 200, Some(&answer));
    world.pbx_gets("200");
    world.kill_and_judge(call.node);
    let (_, invite) = world.node_invited();
    assert!(text(&invite).contains("a=sendonly"), "{}", text(&invite));
}

// spec: X27
#[test]
fn the_session_timer_is_asked_for_again_and_stays_off_once_it_was_turned_off() {
    for (refreshed, expected) in [(true, Some("1800;refresher=uac")), (false, None)] {
        let mut world = World::with_nodes(2);
        let (invite, node, placed) = world.call("");
        let bytes = {
            use holdline_wire::build::Builder;
            Builder::response(&placed, world::addr(world::AGENT), 200, b"", Some("node0"))
                .header(
                    Name::Contact,
                    format!("<sip:{}>", world::node_address(node)),
                )
                .header(Name::SessionExpires, "1800;refresher=uac")
                .finish(None)
                .unwrap()
        };
        world.node_sends(node, bytes);
        let _ = world.accepted(invite, node, &placed);
        world.nodes[node].inbox.clear();
        if !refreshed {
            let call = world.core.calls.values_mut().next().unwrap();
            call.note_session_timer(&Default::default(), true);
        }
        world.kill_and_judge(node);
        let (_, again) = world.node_invited();
        assert_eq!(again.text(Name::SessionExpires).as_deref(), expected);
    }
}
