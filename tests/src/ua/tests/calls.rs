//! Ordinary calls.

use super::super::{By, Counts, In, Out, Profile, Stream, Ua};
use super::{Net, address};
use holdline_wire::method::Method;
use holdline_wire::sdp::Direction;
use std::time::Duration;

fn stream(net: &Net, agent: usize) -> &Stream {
    net.agents[agent].stream(17).expect("a live call")
}

fn ended(net: &Net, agent: usize) -> Option<(By, u16)> {
    net.events[agent].iter().find_map(|event| match event {
        Out::Ended {
            call: 17,
            by,
            status,
            ..
        } => Some((*by, *status)),
        _ => None,
    })
}

fn assert_over(net: &mut Net) {
    assert_eq!(net.live(17), vec![0; net.agents.len()]);
    net.seconds(40);
    assert!(
        net.agents.iter().all(Ua::is_idle),
        "a transaction or dialog is left"
    );
}

#[test]
fn a_call_rings_is_answered_and_ends_from_either_side() {
    for (hangs_up, other) in [(0, 1), (1, 0)] {
        let mut callee = Profile::new(address(1));
        callee.ring = Duration::from_millis(300);
        let mut net = Net::new(vec![Profile::new(address(0)), callee]);
        net.call(0, 1, 17);
        net.run(Duration::from_millis(290));
        assert_eq!(net.answers(1), [100, 180]);
        assert!(matches!(
            net.events[0][1],
            Out::Ringing {
                call: 17,
                status: 180,
                early: None
            }
        ));
        net.seconds(1);
        assert_eq!(net.answers(1), [100, 180, 200]);
        assert_eq!(net.live(17), [1, 1]);
        assert_eq!(stream(&net, 0).remote, Some(stream(&net, 1).local));
        assert_eq!(stream(&net, 1).remote, Some(stream(&net, 0).local));
        assert_eq!(
            stream(&net, 1)
                .formats
                .iter()
                .map(|f| &**f)
                .collect::<Vec<_>>(),
            ["8", "0", "101"]
        );
        net.tell(hangs_up, In::Hangup(17));
        net.seconds(1);
        assert_eq!(ended(&net, hangs_up), Some((By::Local, 200)));
        assert_eq!(ended(&net, other), Some((By::Peer, 0)));
        assert_over(&mut net);
        assert_eq!(
            net.agents[other].totals(),
            Counts {
                invites_received: u32::from(other == 1),
                byes_received: 1,
                ..Counts::default()
            }
        );
    }
}

#[test]
fn hold_and_unhold_mirror_the_direction_on_the_other_side() {
    for (holder, other) in [(0, 1), (1, 0)] {
        let mut net = Net::of(2);
        net.call(0, 1, 17);
        net.seconds(1);
        net.tell(holder, In::Hold(17));
        net.seconds(1);
        assert_eq!(stream(&net, holder).direction, Direction::SendOnly);
        assert_eq!(stream(&net, other).direction, Direction::RecvOnly);
        net.tell(other, In::Hold(17));
        net.seconds(1);
        assert_eq!(stream(&net, holder).direction, Direction::Inactive);
        net.tell(holder, In::Unhold(17));
        net.seconds(1);
        assert_eq!(stream(&net, holder).direction, Direction::RecvOnly);
        assert_eq!(stream(&net, other).direction, Direction::SendOnly);
        net.tell(other, In::Unhold(17));
        net.seconds(1);
        assert_eq!(stream(&net, holder).direction, Direction::SendRecv);
        assert_eq!(stream(&net, other).direction, Direction::SendRecv);
        let done = Out::Reinvited {
            call: 17,
            held: false,
            status: 200,
        };
        assert_eq!(
            net.events[other]
                .iter()
                .filter(|event| **event == done)
                .count(),
            1
        );
        assert_eq!(net.agents[other].counts(17).reinvites_received, 2);
        net.tell(0, In::Hangup(17));
        net.seconds(1);
        assert_over(&mut net);
    }
}

// Storm 436.
#[test]
fn a_repeated_answer_to_one_re_invite_is_none_to_the_next() {
    let mut net = Net::of(2);
    net.call(0, 1, 17);
    net.seconds(1);
    net.tell(1, In::Hold(17));
    net.run(Duration::from_millis(7));
    // The 200 is on its way; its ACK is lost, and so is the re-INVITE after it.
    net.cut = Some(address(0));
    net.run(Duration::from_millis(5));
    net.tell(1, In::Unhold(17));
    net.run(Duration::from_millis(400));
    net.cut = None;
    net.run(Duration::from_millis(98));
    let done = |net: &Net, held| {
        let done = |e: &&Out| matches!(e, Out::Reinvited { held: h, .. } if *h == held);
        net.events[1].iter().filter(done).count()
    };
    assert_eq!(net.answers(0), [200, 200], "repeated");
    assert_eq!((done(&net, true), done(&net, false)), (1, 0));
    net.seconds(1);
    assert_eq!((done(&net, true), done(&net, false)), (1, 1));
    assert_eq!(stream(&net, 0).direction, Direction::SendRecv);
}

#[test]
fn both_hold_at_once_and_glare_is_resolved() {
    let mut net = Net::of(2);
    net.call(0, 1, 17);
    net.seconds(1);
    net.tell(0, In::Hold(17));
    net.tell(1, In::Hold(17));
    net.seconds(10);
    assert_eq!(
        net.agents[0].totals().out_of_order + net.agents[1].totals().out_of_order,
        2
    );
    assert_eq!(stream(&net, 0).direction, Direction::Inactive);
    assert_eq!(stream(&net, 1).direction, Direction::Inactive);
    assert_eq!(net.live(17), [1, 1]);
}

#[test]
fn a_call_that_rings_is_cancelled_or_refused() {
    let mut callee = Profile::new(address(1));
    callee.ring = Duration::from_secs(60);
    let mut net = Net::new(vec![Profile::new(address(0)), callee]);
    net.call(0, 1, 17);
    net.seconds(1);
    net.tell(0, In::Hangup(17));
    net.seconds(1);
    assert_eq!(net.requests(0, &Method::Cancel), 1);
    assert_eq!(ended(&net, 0), Some((By::Local, 487)));
    assert_eq!(ended(&net, 1), Some((By::Peer, 487)));
    assert_over(&mut net);

    net.clear();
    net.call(0, 1, 17);
    net.seconds(1);
    net.tell(1, In::Hangup(17));
    net.seconds(1);
    assert_eq!(ended(&net, 0), Some((By::Peer, 486)));
    assert_eq!(ended(&net, 1), Some((By::Local, 486)));
    assert_over(&mut net);
}

#[test]
fn an_answer_that_crosses_the_cancel_is_acknowledged_and_ended() {
    let mut callee = Profile::new(address(1));
    callee.ring = Duration::from_millis(12);
    let mut net = Net::new(vec![Profile::new(address(0)), callee]);
    net.call(0, 1, 17);
    net.run(Duration::from_millis(14));
    net.tell(0, In::Hangup(17));
    net.seconds(2);
    assert_eq!(net.answers(1), [100, 180, 200]);
    assert_eq!(net.requests(0, &Method::Bye), 1);
    assert_over(&mut net);
}

#[test]
fn a_peer_that_vanishes_ends_the_call_by_timeout() {
    let mut net = Net::of(2);
    net.call(0, 1, 17);
    net.seconds(1);
    net.cut = Some(address(1));
    net.tell(0, In::Hold(17));
    net.seconds(80);
    assert_eq!(ended(&net, 0), Some((By::Timeout, 0)));
    assert_eq!(net.live(17), [0, 1]);
}

#[test]
fn other_requests_are_answered_and_told() {
    let mut net = Net::of(2);
    net.call(0, 1, 17);
    net.seconds(1);
    for method in [Method::Info, Method::Options, Method::Update, Method::Refer] {
        net.tell(
            0,
            In::Send {
                call: 17,
                method: method.clone(),
                headers: Vec::new(),
            },
        );
        net.seconds(1);
        let status = if method == Method::Refer { 202 } else { 200 };
        let done = Out::Response {
            call: 17,
            method,
            status,
        };
        assert_eq!(net.events[0].last(), Some(&done));
    }
    assert!(net.events[1].contains(&Out::Request {
        call: 17,
        method: Method::Info
    }));
    assert_eq!(net.agents[1].counts(17).updates_received, 1);
}

#[test]
fn a_number_that_is_called_twice_is_counted() {
    let mut net = Net::of(3);
    net.call(0, 1, 17);
    net.seconds(1);
    net.call(2, 1, 17);
    net.seconds(1);
    assert_eq!(net.live(17), [1, 2, 1]);
    assert_eq!(net.agents[1].counts(17).duplicate_calls, 1);
}

#[test]
fn early_media_and_the_answer_agree() {
    let mut callee = Profile::new(address(1));
    callee.early_media = true;
    callee.ring = Duration::from_secs(1);
    let mut net = Net::new(vec![Profile::new(address(0)), callee]);
    net.call(0, 1, 17);
    net.seconds(3);
    assert_eq!(net.answers(1), [100, 183, 200]);
    assert!(matches!(
        &net.events[0][1],
        Out::Ringing {
            status: 183,
            early: Some(_),
            ..
        }
    ));
    assert_eq!(net.agents[0].totals(), Counts::default());
}
