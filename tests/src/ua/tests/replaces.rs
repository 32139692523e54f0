//! INVITE with Replaces: agent 0 calls 1, agent 2 takes 0's place. RFC 3891 section 3.

use super::super::{In, Out, Placement, Profile, ReplacesPolicy, Ua};
use super::{Net, address};
use holdline_wire::header::Replaces;
use holdline_wire::method::Method;
use holdline_wire::sdp::Direction;
use std::time::Duration;

/// A call from 0 to 1 that is up.
fn up(net: &mut Net) {
    net.call(0, 1, 17);
    net.seconds(1);
    assert_eq!(net.live(17)[..2], [1, 1]);
    net.clear();
}

/// The Replaces that names the dialog between 0 and 1 to agent `to`, as its peer knows it.
fn replaces(net: &Net, to: usize) -> Replaces {
    net.agents[1 - to]
        .dialog(17)
        .unwrap()
        .id
        .replaces_for_peer()
}

/// Agent 2 sends 1 an INVITE with these Replaces values.
fn take_over(net: &mut Net, to: usize, values: &[Replaces], require: bool) {
    let mut placement = Placement::new(17, "caller.example", address(to));
    for value in values {
        placement = placement.with_header("Replaces", value.to_value());
    }
    if require {
        placement = placement.with_header("Require", "replaces");
    }
    net.tell(2, In::Call(placement));
    net.seconds(2);
}

/// The status that a Replaces INVITE gets; the old dialog must survive a refusal.
fn refused_with(net: &mut Net, values: &[Replaces], require: bool) -> u16 {
    net.clear();
    take_over(net, 1, values, require);
    assert_eq!(net.live(17), [1, 1, 0], "the dialog outlives a refusal");
    assert_eq!(net.requests(1, &Method::Bye), 0);
    *net.answers(1).last().unwrap()
}

// spec: D24
#[test]
fn the_new_dialog_is_answered_at_once_and_the_old_peer_gets_bye() {
    for to in [1, 0] {
        let mut net = Net::of(3);
        up(&mut net);
        let value = replaces(&net, to);
        take_over(&mut net, to, &[value], true);
        assert_eq!(net.answers(to), [200], "no ringing");
        let live = if to == 1 { [0, 1, 1] } else { [1, 0, 1] };
        assert_eq!(net.live(17), live);
        assert_eq!(net.requests(to, &Method::Bye), 1);
        let moved = |event: &&Out| matches!(event, Out::Replaced { call: 17, .. });
        assert_eq!(net.events[to].iter().filter(moved).count(), 1);
        assert!(
            !net.events[to]
                .iter()
                .any(|e| matches!(e, Out::Ended { .. }))
        );
        let (at, peer) = (
            net.agents[to].stream(17).unwrap(),
            net.agents[2].stream(17).unwrap(),
        );
        assert_eq!((at.remote, peer.remote), (Some(peer.local), Some(at.local)));
        net.tell(2, In::Hangup(17));
        net.seconds(40);
        assert_eq!(net.live(17), [0, 0, 0]);
        assert!(net.agents.iter().all(Ua::is_idle));
    }
}

#[test]
fn a_dead_peer_of_the_old_dialog_is_given_up_quietly() {
    let mut net = Net::of(3);
    up(&mut net);
    let value = replaces(&net, 1);
    net.cut = Some(address(0));
    take_over(&mut net, 1, &[value], true);
    assert_eq!(net.live(17), [1, 1, 1]);
    net.seconds(40);
    assert_eq!(net.live(17)[1..], [1, 1]);
    assert!(!net.events[1].iter().any(|e| matches!(e, Out::Ended { .. })));
    let released = net.events[1]
        .iter()
        .filter(|e| matches!(e, Out::Release { .. }))
        .count();
    assert_eq!(released, 1);
}

// spec: D32
#[test]
fn what_rfc_3891_refuses_is_refused() {
    let mut net = Net::of(3);
    up(&mut net);
    let right = replaces(&net, 1);
    let unknown = Replaces {
        call_id: "nobody".into(),
        ..right.clone()
    };
    assert_eq!(refused_with(&mut net, &[unknown], true), 481);
    let (to_tag, from_tag) = (right.from_tag.clone(), right.to_tag.clone());
    let swapped = Replaces {
        to_tag,
        from_tag,
        ..right.clone()
    };
    assert_eq!(refused_with(&mut net, &[swapped], true), 481);
    let early = Replaces {
        early_only: true,
        ..right.clone()
    };
    assert_eq!(refused_with(&mut net, &[early], true), 486);
    assert_eq!(
        refused_with(&mut net, &[right.clone(), right.clone()], true),
        400
    );
    assert_eq!(net.agents[1].totals().replaces_refused, 4);

    net.tell(0, In::Hangup(17));
    net.seconds(1);
    net.clear();
    take_over(&mut net, 1, std::slice::from_ref(&right), true);
    assert_eq!(net.answers(1), [603], "ended a second ago");
    net.seconds(40);
    net.clear();
    take_over(&mut net, 1, &[right], true);
    assert_eq!(net.answers(1), [481], "ended long ago");
}

#[test]
fn a_dialog_that_was_replaced_is_over() {
    let mut net = Net::of(3);
    up(&mut net);
    let value = replaces(&net, 1);
    take_over(&mut net, 1, std::slice::from_ref(&value), true);
    net.clear();
    take_over(&mut net, 1, &[value], true);
    assert_eq!(net.answers(1), [603]);
}

#[test]
fn a_call_that_rings_cannot_be_replaced() {
    let mut callee = Profile::new(address(1));
    callee.ring = Duration::from_secs(60);
    let mut net = Net::new(vec![
        Profile::new(address(0)),
        callee,
        Profile::new(address(2)),
    ]);
    net.call(0, 1, 17);
    net.seconds(1);
    let value = replaces(&net, 1);
    assert_eq!(refused_with(&mut net, &[value], true), 481);
}

// Storm 1949.
#[test]
fn a_call_whose_user_hung_up_cannot_be_replaced_though_its_bye_has_to_wait() {
    let mut net = Net::of(3);
    net.call(0, 1, 17);
    net.run(Duration::from_millis(7));
    // Its 200 is on the way; the ACK is lost.
    net.cut = Some(address(0));
    net.seconds(1);
    let value = replaces(&net, 1);
    net.tell(1, In::Hangup(17));
    net.clear();
    take_over(&mut net, 1, &[value], true);
    assert_eq!(net.requests(1, &Method::Bye), 0, "it waits for the ACK");
    // Beside the 200 of before, repeated.
    assert!(net.answers(1).contains(&603), "{:?}", net.answers(1));
}

// spec: X27
#[test]
fn a_held_call_stays_held_in_the_new_dialog() {
    let mut net = Net::of(3);
    up(&mut net);
    net.tell(1, In::Hold(17));
    net.seconds(1);
    let value = replaces(&net, 1);
    take_over(&mut net, 1, &[value], true);
    assert_eq!(
        net.agents[1].stream(17).unwrap().direction,
        Direction::SendOnly
    );
    assert_eq!(
        net.agents[2].stream(17).unwrap().direction,
        Direction::RecvOnly
    );
}

#[test]
fn a_hold_under_way_is_done_in_the_new_dialog() {
    let mut net = Net::of(3);
    up(&mut net);
    let value = replaces(&net, 1);
    net.cut = Some(address(0));
    net.tell(1, In::Hold(17));
    net.seconds(1);
    take_over(&mut net, 1, &[value], true);
    let done = Out::Reinvited {
        call: 17,
        held: true,
        status: 200,
    };
    assert!(net.events[1].contains(&done));
}

// spec: X32
#[test]
fn a_peer_that_cannot_refuses_or_makes_a_second_call() {
    let with = |policy| {
        let mut callee = Profile::new(address(1));
        callee.replaces = policy;
        let mut net = Net::new(vec![
            Profile::new(address(0)),
            callee,
            Profile::new(address(2)),
        ]);
        up(&mut net);
        net
    };
    let mut net = with(ReplacesPolicy::Unsupported);
    let value = replaces(&net, 1);
    assert_eq!(
        refused_with(&mut net, std::slice::from_ref(&value), true),
        420
    );
    take_over(&mut net, 1, &[value], false);
    assert_eq!(net.live(17), [1, 2, 1]);
    assert_eq!(net.agents[1].counts(17).duplicate_calls, 1);

    let mut net = with(ReplacesPolicy::Refuse(403));
    let value = replaces(&net, 1);
    assert_eq!(refused_with(&mut net, &[value], true), 403);

    let mut net = with(ReplacesPolicy::Silent);
    let value = replaces(&net, 1);
    take_over(&mut net, 1, &[value], true);
    assert!(net.answers(1).is_empty());
    assert_eq!(net.live(17), [1, 1, 1]);
}

#[test]
fn a_replaces_for_another_call_is_counted() {
    let mut net = Net::of(3);
    up(&mut net);
    let value = replaces(&net, 1);
    let placement = Placement::new(18, "caller.example", address(1));
    net.tell(
        2,
        In::Call(placement.with_header("Replaces", value.to_value())),
    );
    net.seconds(1);
    assert_eq!(net.agents[1].counts(17).replaces_of_other_call, 1);
}

/// Agent 1 answers an INVITE with Replaces after 20 ms, and is in the old dialog for 100 ms more.
fn slow(change: impl FnOnce(&mut Profile)) -> Net {
    let mut profiles: Vec<Profile> = (0..3).map(|n| Profile::new(address(n))).collect();
    profiles[1].server = Some("Asterisk".to_owned());
    profiles[1].replaces_delay = Duration::from_millis(20);
    profiles[1].moving = Duration::from_millis(100);
    change(&mut profiles[1]);
    let mut net = Net::new(profiles);
    up(&mut net);
    net
}

// spec: X28
#[test]
fn a_bye_in_the_old_dialog_ends_both_while_the_call_is_in_it() {
    for (wait, live) in [(60, [0, 0, 0]), (200, [0, 1, 1])] {
        let mut net = slow(|_| {});
        let value = replaces(&net, 1);
        let placement = Placement::new(17, "caller.example", address(1));
        let placement = placement.with_header("Replaces", value.to_value());
        net.tell(2, In::Call(placement));
        net.run(Duration::from_millis(wait));
        assert_eq!(net.requests(1, &Method::Bye), usize::from(wait > 100));
        net.tell(0, In::Hangup(17));
        net.seconds(40);
        assert_eq!(net.live(17), live);
        let early = net.agents[1].counts(17).byes_too_early;
        assert_eq!(early, u32::from(wait < 100));
        let server = net.agents[2].counts(17).replaces_refused;
        assert_eq!(server, 0);
    }
}

// spec: X57
#[test]
fn too_many_replaces_at_a_time_freeze_it_for_good() {
    for (most, frozen) in [(1, true), (2, false)] {
        let mut net = slow(|profile| profile.freezes_beyond = Some(most));
        let value = replaces(&net, 1).to_value();
        for from in [2, 0] {
            let placement = Placement::new(17, "caller.example", address(1));
            let placement = placement.with_header("Replaces", value.clone());
            net.tell(from, In::Call(placement));
        }
        net.seconds(2);
        assert_eq!(net.agents[1].is_frozen(), frozen);
        assert_eq!(net.agents[1].most_replacing(), 2);
        let answers = net.answers(1);
        assert_eq!(answers.contains(&200), !frozen, "{answers:?}");
    }
}
