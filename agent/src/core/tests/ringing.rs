//! Calls that are being set up when their node dies, or refuses.

use super::world::text;
use super::*;

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
    world.node_responds(other, &again, 180, None);
    let longer = world.pbx_gets("180");
    assert_eq!(ringing.to_tag(), longer.to_tag());
    world.node_responds(other, &again, 200, Some(ANSWER));
    world.node_got(other, "ACK");
    let mut call = world.accepted(invite, other, &again);
    assert_eq!(world.core.ports_in_use(), 2);
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
