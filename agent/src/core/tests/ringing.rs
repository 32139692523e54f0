//! Calls that are being set up when their node dies, or refuses.

use super::world::{node_address, text};
use super::*;
use holdline_wire::Message;
use holdline_wire::build::Builder;
use holdline_wire::header::{InstanceRefusal, Name, Replaces};

/// The orphans that an INVITE or OPTIONS names: Call-ID, to-tag and from-tag.
pub(super) fn orphans(message: &Message) -> Vec<[String; 3]> {
    let values = message.values(Name::InstanceOrphan);
    let read = |value| {
        let named = Replaces::parse(value).expect("a whole value");
        [named.call_id, named.to_tag, named.from_tag].map(|part| part.to_string())
    };
    values.map(read).collect()
}

/// How the agent names its attempt `invite`, whoever may have answered it.
pub(super) fn orphan_of(invite: &Message) -> [String; 3] {
    [invite.call_id(), "0", invite.from_tag()].map(str::to_owned)
}

/// The OPTIONS by which a node hears of orphans.
pub(super) fn told_orphans(world: &World) -> Vec<Vec<[String; 3]>> {
    let probes = world.probes.iter().map(|(_, probe)| orphans(probe));
    probes.filter(|named| !named.is_empty()).collect()
}

// spec: X26
#[test]
fn a_ringing_call_is_placed_again_and_the_caller_hears_it_ring_longer() {
    let mut world = World::with_nodes(2);
    let (invite, node, placed) = world.call("");
    world.node_responds(node, &placed, 180, None);
    let ringing = world.pbx_gets("180");
    world.kill_and_judge(node);
    let (other, again) = world.node_invited();
    assert_ne!(node, other);
    assert!(!text(&again).contains("Replaces"));
    assert_eq!(orphans(&again), [orphan_of(&placed)]);
    world.node_responds(other, &again, 180, None);
    // It rings already.
    world.pbx_noticed_nothing();
    world.node_responds(other, &again, 200, Some(ANSWER));
    world.node_got(other, "ACK");
    assert_eq!(ringing.to_tag(), world.to_pbx[0].to_tag());
    let mut call = world.accepted(invite, other, &again);
    assert_eq!(world.core.ports_in_use(), 2);
    world.hang_up(&mut call);
    assert_eq!(world.endings(), [("hangup", 0)]);
}

/// Its port towards the far end turns out to be another socket's when that rings already.
// spec: X26 X51 X53
#[test]
fn a_ringing_call_whose_node_cannot_go_on_rings_on_at_another_one() {
    let mut world = World::with_nodes(2);
    let (invite, node, placed) = world.call("");
    world.node_responds(node, &placed, 180, None);
    world.pbx_gets("180");
    let refusal = Builder::response(&placed, node_address(node), 503, b"", Some("ring"))
        .header(Name::InstanceRefusal, InstanceRefusal::NoPort.as_str());
    world.node_sends(node, refusal.finish(None).unwrap());
    world.node_got(node, "ACK");
    let (other, again) = world.node_invited();
    assert_ne!(node, other);
    world.node_responds(other, &again, 180, None);
    world.pbx_noticed_nothing();
    world.node_responds(other, &again, 200, Some(ANSWER));
    world.node_got(other, "ACK");
    let mut call = world.accepted(invite, other, &again);
    world.hang_up(&mut call);
    assert_eq!(world.endings(), [("hangup", 0)]);
}

// spec: X26, X39
#[test]
fn a_ringing_call_of_the_only_node_is_placed_again_when_it_returns() {
    for judged in [true, false] {
        let mut world = World::with_nodes(1);
        let (invite, node, placed) = world.call("");
        world.node_responds(node, &placed, 180, None);
        world.pbx_gets("180");
        if judged {
            world.kill_and_judge(node);
        }
        world.restart(node);
        let (_, again) = world.node_is_invited_at_last();
        assert_ne!(again.call_id(), placed.call_id());
        world.node_responds(node, &again, 200, Some(ANSWER));
        world.node_got(node, "ACK");
        let mut call = world.accepted(invite, node, &again);
        world.hang_up(&mut call);
    }
}

// spec: X26
#[test]
fn a_ringing_call_that_no_node_returns_for_is_refused() {
    let mut world = World::with_nodes(1);
    let (invite, node, placed) = world.call("");
    world.node_responds(node, &placed, 180, None);
    world.pbx_gets("180");
    world.kill_and_judge(node);
    world.pass(seconds(10));
    world.pbx_noticed_nothing();
    world.pass(seconds(11));
    let refusal = world.pbx_gets("503");
    assert!(text(&refusal).contains("Retry-After"));
    drop(invite);
    world.no_trace();
    assert_eq!(world.endings(), [("refused", 0)]);
}

#[test]
fn a_ringing_call_can_be_cancelled_while_no_node_is_there() {
    let mut world = World::with_nodes(1);
    let (invite, node, placed) = world.call("");
    world.node_responds(node, &placed, 180, None);
    world.pbx_gets("180");
    world.kill_and_judge(node);
    world.pbx_cancels(&invite);
    world.pbx_gets("200");
    world.pbx_gets("487");
    assert_eq!(world.core.live_calls(), 0);
    world.no_trace();
}

// spec: X24
#[test]
fn a_node_that_cannot_serve_is_passed_over_before_it_rings_and_not_after() {
    let mut world = World::with_nodes(3);
    let (_, first, placed) = world.call("");
    world.node_responds(first, &placed, 503, None);
    let (second, again) = world.node_invited();
    assert_ne!(first, second);
    world.node_responds(second, &again, 180, None);
    world.pbx_gets("180");
    world.node_responds(second, &again, 503, None);
    world.pbx_gets("503");
    assert!(world.next_invite().is_none());
    world.no_trace();
    assert_eq!(world.endings(), [("refused", 0)]);
}

#[test]
fn what_the_far_end_says_of_the_call_is_not_asked_of_another_node() {
    let mut world = World::with_nodes(2);
    for status in [404, 486, 500, 603] {
        let (_, node, placed) = world.call("");
        world.node_responds(node, &placed, status, None);
        world.pbx_gets(&status.to_string());
        assert!(world.next_invite().is_none(), "{status}");
    }
    world.no_trace();
}

/// The second callee plays the same announcement: to the calling server nothing has happened.
// spec: X26
#[test]
fn early_media_of_a_call_that_is_placed_again_look_the_same() {
    let mut world = World::with_nodes(2);
    let (invite, node, placed) = world.call("");
    world.node_responds(node, &placed, 183, Some(ANSWER));
    let early = world.pbx_gets("183");
    world.kill_and_judge(node);
    let (other, again) = world.node_invited();
    let offer = text(&again);
    assert!(
        offer.contains("RTP/AVP 8 101"),
        "as the first took it: {offer}"
    );
    let second = ANSWER
        .replace("o=node 7 1", "o=node 99 4")
        .replace("25000", "26000");
    world.node_responds(other, &again, 183, Some(&second));
    world.pbx_noticed_nothing();
    // It rings as well: that is new.
    world.node_responds(other, &again, 180, None);
    world.pbx_gets("180");
    world.node_responds(other, &again, 200, Some(&second));
    world.node_got(other, "ACK");
    assert_eq!(world.to_pbx[0].sdp(), early.sdp());
    let mut call = world.accepted(invite, other, &again);
    world.hang_up(&mut call);
}

/// Several branches ring, and are forwarded; of what rings after the death only what is new is
/// told.
// spec: X26
#[test]
fn a_forked_call_that_is_placed_again_tells_only_what_is_new() {
    let mut world = World::with_nodes(3);
    let (invite, node, placed) = world.call("");
    world.node_responds(node, &placed, 180, None);
    world.node_responds(node, &placed, 181, None);
    for status in ["180", "181"] {
        world.pbx_gets(status);
    }
    world.kill_and_judge(node);
    let (second, again) = world.node_invited();
    world.kill_and_judge(second);
    let (third, once_more) = world.node_invited();
    assert_eq!(
        orphans(&once_more),
        [orphan_of(&placed), orphan_of(&again)],
        "the second never said that it had taken the first back"
    );
    for status in [181, 180, 182] {
        world.node_responds(third, &once_more, status, None);
    }
    world.pbx_gets("182");
    world.pbx_noticed_nothing();
    world.node_responds(third, &once_more, 200, Some(ANSWER));
    world.node_got(third, "ACK");
    let mut call = world.accepted(invite, third, &once_more);
    world.hang_up(&mut call);
    assert!(told_orphans(&world).is_empty());
}

/// The caller gives up while its node is dead, before or after the verdict: nobody calls again, so
/// somebody else has to take the attempt back.
// spec: X26, X27
#[test]
fn an_attempt_whose_caller_left_is_taken_back_by_another_node() {
    for judged in [true, false] {
        let mut world = World::with_nodes(2);
        let (invite, node, placed) = world.call("");
        world.node_responds(node, &placed, 180, None);
        world.pbx_gets("180");
        let mut named = vec![orphan_of(&placed)];
        if judged {
            world.kill_and_judge(node);
            let (other, again) = world.node_invited();
            world.kill_and_judge(other);
            named.push(orphan_of(&again));
        } else {
            world.kill(node);
        }
        world.pbx_cancels(&invite);
        world.pbx_gets("200");
        world.pbx_gets("487");
        world.pass(seconds(1));
        if judged {
            assert!(told_orphans(&world).is_empty(), "nobody is there");
            world.restart(node);
            world.pass(seconds(9));
        }
        assert_eq!(told_orphans(&world), [named]);
        world.no_trace();
    }
}

/// Of two nodes that die, the second one just when it is told what the first one left ringing.
// spec: X26, X56
#[test]
fn orphans_that_a_dying_node_is_told_of_are_told_to_another_one() {
    let mut world = World::with_nodes(3);
    let calls: Vec<_> = (0..24).map(|_| world.call("")).collect();
    let (first, second, third) = (0, 1, 2);
    for (_, node, placed) in &calls {
        world.node_responds(*node, placed, 180, None);
    }
    // One is found at once, the other only by its silence.
    world.nodes[second].refuses = false;
    world.kill(first);
    world.kill(second);
    for (invite, node, _) in &calls {
        if *node == first {
            world.pbx_cancels(invite);
        }
    }
    world.pass(seconds(8));
    let there = node_address(third);
    let told = world.probes.iter().filter(|(flow, _)| flow.remote == there);
    let told: Vec<_> = told.flat_map(|(_, probe)| orphans(probe)).collect();
    let left: Vec<_> = calls.iter().filter(|(_, node, _)| *node == first).collect();
    assert!(left.len() > 3, "some rang at the first node");
    for (_, _, placed) in left {
        assert!(told.contains(&orphan_of(placed)), "still rings");
    }
    assert!(world.core.env.telling.is_empty());
}

/// The node was only parted from everybody: it has heard of no CANCEL, and rings on.
// spec: X26, X28
#[test]
fn a_node_that_lives_after_all_hears_that_its_attempt_is_off() {
    for answered in [false, true] {
        let mut world = World::with_nodes(2);
        let (invite, node, placed) = world.call("");
        world.node_responds(node, &placed, 180, None);
        world.pbx_gets("180");
        world.kill_and_judge(node);
        let (other, again) = world.node_invited();
        world.node_responds(other, &again, 200, Some(ANSWER));
        world.node_got(other, "ACK");
        let mut call = world.accepted(invite, other, &again);
        world.nodes[node].alive = true;
        world.pass(seconds(1));
        let cancel = world.node_got(node, "CANCEL");
        assert_eq!(cancel.top_via().branch, placed.top_via().branch);
        assert!(text(&cancel).contains("Reason: SIP;cause=200"));
        assert!(
            !text(&cancel).contains("moved"),
            "it shall end it downstream"
        );
        world.node_responds(node, &cancel, 200, None);
        if answered {
            // The far end was faster.
            world.node_responds(node, &placed, 200, Some(ANSWER));
            world.node_got(node, "ACK");
            let bye = world.node_got(node, "BYE");
            assert!(!text(&bye).contains("moved"), "it shall end it downstream");
            world.node_responds(node, &bye, 200, None);
        } else {
            world.node_responds(node, &placed, 487, None);
            world.node_got(node, "ACK");
        }
        world.pbx_noticed_nothing();
        world.hang_up(&mut call);
        assert_eq!(world.core.env.left.len(), (0, 0));
    }
}

/// The caller has left before the verdict, so that the attempt is no call's any more.
// spec: X26, X28
#[test]
fn a_node_that_missed_the_cancel_hears_it_when_it_is_back() {
    let mut world = World::with_nodes(2);
    let (invite, node, placed) = world.call("");
    world.node_responds(node, &placed, 180, None);
    world.pbx_gets("180");
    world.kill(node);
    world.pbx_cancels(&invite);
    world.pbx_gets("200");
    world.pbx_gets("487");
    world.pass(seconds(1));
    world.nodes[node].alive = true;
    world.pass(seconds(1));
    let cancel = world.node_got(node, "CANCEL");
    assert_eq!(cancel.top_via().branch, placed.top_via().branch);
    world.node_responds(node, &cancel, 481, None);
    world.no_trace();
    assert_eq!(world.core.env.left.len(), (0, 0));
}

/// Answered or refused, the first attempt was taken back by the node that answered: nobody needs to
/// be told again.
// spec: X26
#[test]
fn a_node_that_has_taken_an_attempt_back_is_not_told_again() {
    let mut world = World::with_nodes(2);
    let (_, node, placed) = world.call("");
    world.kill_and_judge(node);
    let (other, again) = world.node_invited();
    assert_eq!(orphans(&again), [orphan_of(&placed)]);
    world.node_responds(other, &again, 180, None);
    world.node_responds(other, &again, 486, None);
    world.pbx_gets("180");
    world.pbx_gets("486");
    world.no_trace();
    assert!(told_orphans(&world).is_empty());
}

/// The node that was told of the first attempt may fall away before it has ended it.
// spec: X26; storm 18236
#[test]
fn what_an_attempt_called_is_named_until_the_call_is_answered() {
    let mut world = World::with_nodes(3);
    let (_, node, placed) = world.call("");
    world.kill_and_judge(node);
    let (second, again) = world.node_invited();
    world.node_responds(second, &again, 180, None);
    world.pbx_gets("180");
    world.kill_and_judge(second);
    let (_, third) = world.node_is_invited_at_last();
    assert_eq!(orphans(&third), [orphan_of(&placed), orphan_of(&again)]);
}

/// It does not know the call that it was to end: another node ends it at the far end.
// spec: X26; storms 9738, 14819
#[test]
fn a_call_that_a_restarted_node_cannot_end_is_ended_by_another() {
    let mut world = World::with_nodes(2);
    let (invite, node, placed) = world.call("");
    world.node_responds(node, &placed, 180, None);
    world.pbx_gets("180");
    world.pbx_cancels(&invite);
    world.pbx_gets("200");
    world.pbx_gets("487");
    let cancel = world.node_got(node, "CANCEL");
    world.node_responds(node, &placed, 200, Some(ANSWER));
    world.node_got(node, "ACK");
    let bye = world.node_got(node, "BYE");
    world.node_responds(node, &cancel, 481, None);
    world.node_responds(node, &bye, 481, None);
    assert_eq!(told_orphans(&world), [[orphan_of(&placed)]]);
}

/// RFC 3261 9.2: the CANCEL does nothing, and is told 200 all the same.
#[test]
fn a_cancel_that_crosses_the_answer_gets_200() {
    let mut world = World::with_nodes(1);
    let (invite, node, placed) = world.call("");
    world.node_responds(node, &placed, 200, Some(ANSWER));
    world.node_got(node, "ACK");
    let ok = world.to_pbx.pop_front().expect("the 200");
    world.pbx_cancels(&invite);
    let late = world.pbx_gets("200");
    assert_eq!(*late.method(), holdline_wire::Method::Cancel);
    world.to_pbx.push_front(ok);
    let mut call = world.accepted(invite, node, &placed);
    world.hang_up(&mut call);
}
