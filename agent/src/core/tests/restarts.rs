//! Nodes that died and answer again before anybody noticed.

use super::*;
use holdline_wire::Method;

// spec: X39
#[test]
fn the_calls_of_a_restarted_node_move_also_back_to_it() {
    let mut world = World::with_nodes(1);
    let mut call = world.call_up();
    world.restart(call.node);
    world.call_moves(&mut call);
    world.pbx_noticed_nothing();
    world.hang_up(&mut call);
    assert_eq!(world.endings(), [("hangup", 1)]);
}

// spec: X39
#[test]
fn a_call_that_the_new_process_took_stays_there() {
    let mut world = World::with_nodes(1);
    let mut old = world.call_up();
    world.restart(0);
    let mut new = world.call_up();
    world.call_moves(&mut old);
    assert!(world.next_invite().is_none());
    world.pbx_requests(&mut old, Method::Bye, None);
    world.pbx_gets("200");
    let bye = world.node_got(0, "BYE");
    world.node_responds(0, &bye, 200, None);
    world.hang_up(&mut new);
}

// spec: X39
#[test]
fn a_request_that_the_new_process_refuses_moves_the_call_and_is_asked_again() {
    for incarnation in [Some("first-0".to_string()), None] {
        let mut world = World::with_nodes(1);
        world.nodes[0].incarnation = incarnation;
        let mut call = world.call_up();
        world.restart(0);
        world.pbx_requests(&mut call, Method::Info, None);
        let info = world.node_got(0, "INFO");
        world.node_responds(0, &info, 481, None);
        world.pass(ms(200));
        world.call_moves(&mut call);
        let info = world.node_got(0, "INFO");
        world.node_responds(0, &info, 200, None);
        world.pbx_gets("200");
        world.hang_up(&mut call);
        assert_eq!(world.endings(), [("hangup", 1)]);
    }
}

// spec: X39
#[test]
fn a_bye_that_the_new_process_refuses_reaches_the_far_end() {
    let mut world = World::with_nodes(2);
    let mut call = world.call_up();
    world.restart(call.node);
    world.pbx_requests(&mut call, Method::Bye, None);
    world.pbx_gets("200");
    let bye = world.node_got(call.node, "BYE");
    world.node_responds(call.node, &bye, 481, None);
    world.pass(ms(100));
    world.call_moves(&mut call);
    let bye = world.node_got(call.node, "BYE");
    world.node_responds(call.node, &bye, 200, None);
    world.no_trace();
}

// spec: X39
#[test]
fn a_481_of_the_same_process_ends_the_call() {
    let mut world = World::with_nodes(2);
    let mut call = world.call_up();
    world.pbx_requests(&mut call, Method::Info, None);
    let info = world.node_got(call.node, "INFO");
    world.node_responds(call.node, &info, 481, None);
    world.pbx_gets("481");
    let bye = world.pbx_gets("BYE");
    world.pbx_responds(&bye, 200, None);
    assert!(world.next_invite().is_none());
    world.no_trace();
}
