//! What a call does where ports are scarce, or another socket has one.

use crate::call::{Call, media, port_of};
use crate::{ANSWER, AUDIO, up};
use holdline_relay::{Carrier, Command, GroupId, MediaError, Side};

/// A call that is up and has the only two pairs.
fn full() -> Call {
    let mut call = Call::new(4);
    call.offer(Side::Near, AUDIO);
    call.answer(Side::Far, ANSWER);
    call.commands();
    call
}

// spec: X51
#[test]
fn with_all_ports_in_use_a_call_moves_by_its_own() {
    let mut call = full();
    assert_eq!(call.ports.available(), 0);
    let first = call.move_far(GroupId(2), 1).expect("an offer");
    let [Command::Move { far, group, .. }] = call.commands()[..] else {
        panic!("the far side is opened anew");
    };
    assert_eq!((far.local.port(), far.peer), (port_of(&first), None));
    assert_eq!(group, GroupId(2));
    // That one may still be answered: another one at the same time needs a port of its own.
    let held = |call: &mut Call| call.session.keep_parked(&mut call.ports, |_| true);
    held(&mut call);
    assert_eq!(call.try_move(GroupId(3), 2), Err(MediaError::NoPort));
    assert_eq!(call.commands(), []);
    // Once it was refused its port serves the next.
    call.session.keep_parked(&mut call.ports, |_| false);
    let second = call.move_far(GroupId(3), 2).expect("an offer");
    assert_eq!(port_of(&second), port_of(&first));
    call.answer(Side::Far, ANSWER);
    call.commands();
    assert_eq!((call.ports.usage().0, call.ports.available()), (2, 0));
    // Likewise the move after that, and one of a call that rings.
    assert!(call.move_far(GroupId(1), 3).is_some());
    let mut ringing = Call::new(4);
    ringing.offer(Side::Near, AUDIO);
    assert!(ringing.move_far(GroupId(2), 1).is_some());
}

// spec: X51
#[test]
fn too_few_free_ports_are_given_back_when_two_streams_move() {
    let mut call = Call::new(10);
    let two = |port| format!("m=audio {port} RTP/AVP 0\r\nm=video {port} RTP/AVP 31\r\n");
    call.offer(Side::Near, &two(4000));
    call.answer(Side::Far, &two(6000));
    call.commands();
    assert_eq!(call.ports.available(), 1);
    // One fresh, one its own.
    assert!(call.move_far(GroupId(2), 1).is_some());
    assert_eq!(call.commands().len(), 2);
    assert_eq!(call.ports.available(), 1);
    call.session.keep_parked(&mut call.ports, |_| true);
    assert_eq!(call.try_move(GroupId(3), 2), Err(MediaError::NoPort));
    assert_eq!(call.ports.available(), 1);
}

// spec: X51
#[test]
fn a_port_that_another_socket_has_is_not_moved_to() {
    let mut call = full();
    let far = call.move_far(GroupId(2), 1).map(|offer| port_of(&offer));
    call.commands();
    call.ports.taken_by_another(far.unwrap());
    call.session.keep_parked(&mut call.ports, |_| false);
    assert_eq!(call.try_move(GroupId(3), 2), Err(MediaError::NoPort));
}

// spec: X51
#[test]
fn a_stream_whose_port_another_socket_has_gets_another() {
    for side in [Side::Near, Side::Far] {
        let mut call = Call::new(40);
        let before = call.offer(Side::Near, AUDIO);
        let [
            Command::Install {
                stream, near, far, ..
            },
        ] = call.commands()[..]
        else {
            panic!("one stream is opened");
        };
        let bad = match side {
            Side::Near => near.local.port(),
            Side::Far => far.local.port(),
        };
        assert!(call.session.holds(stream, side, bad));
        let untold = |side| call.session.is_untold(stream, side);
        assert!(untold(Side::Near) && !untold(Side::Far));
        call.ports.taken_by_another(bad);
        call.mend_any(side).unwrap();
        assert!(!call.session.holds(stream, side, bad), "a late report");
        let commands = call.commands();
        let peer = Some(media(4000, 4001));
        let told = Command::SetPeer {
            stream,
            side: Side::Near,
            peer,
        };
        assert_eq!((commands.len(), commands[1]), (2, told));
        let Command::Install { near, far, .. } = commands[0] else {
            panic!("{commands:?}");
        };
        let offer = call.session.offer_again().unwrap();
        let offer = String::from_utf8(offer.to_vec()).unwrap();
        assert_eq!(port_of(&offer), far.local.port());
        assert_eq!(port_of(&offer) != port_of(&before), side == Side::Far);
        let answer = call.answer(Side::Far, ANSWER);
        assert_eq!(port_of(&answer), near.local.port());
        assert_eq!(call.ports.usage().0, 2, "the bad one is left out");
        assert!(near.local.port() != bad && far.local.port() != bad);
    }
}

// spec: X51
#[test]
fn a_stream_that_is_only_asked_for_is_not_agreed() {
    let mut call = up();
    let two = format!("{AUDIO}m=video 4100 RTP/AVP 31\r\n");
    call.carry(Side::Near, Carrier::Request, &two).unwrap();
    let agreed: Vec<bool> = call
        .session
        .streams()
        .map(|stream| call.session.is_agreed(stream))
        .collect();
    assert_eq!(agreed, [true, false]);
}
