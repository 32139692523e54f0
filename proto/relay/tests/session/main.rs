//! The media session of one call: what each side is told, and what the relay is.

mod call;
mod comfort;
mod ports;
mod walk;

use call::{Call, FAR, NEAR, media, origin_of, port_of, sdp};
use holdline_relay::{Carrier, Command, GroupId, MediaError, Side};

const AUDIO: &str = "m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";
const ANSWER: &str = "m=audio 6000 RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";

/// A call with one stream that is up.
fn up() -> Call {
    let mut call = Call::new(40);
    call.offer(Side::Near, AUDIO);
    call.answer(Side::Far, ANSWER);
    call.commands();
    call
}

#[test]
fn an_offer_and_its_answer_get_ports_and_the_relay_both_peers() {
    for offerer in [Side::Near, Side::Far] {
        let mut call = Call::new(40);
        let there = call.offer(offerer, AUDIO);
        let [
            Command::Install {
                stream,
                near,
                far,
                clock_rate: 8000,
                steady: true,
                ..
            },
        ] = call.commands()[..]
        else {
            panic!("one stream is opened");
        };
        let (ours, other) = match offerer {
            Side::Near => (near, far),
            Side::Far => (far, near),
        };
        assert_eq!(ours.peer, Some(media(4000, 4001)));
        assert_eq!(other.peer, None);
        assert_eq!((near.local.ip(), far.local.ip()), (NEAR, FAR));
        assert_eq!(port_of(&there), other.local.port());
        assert_eq!(call.ports.usage().0, 2);

        let back = call.answer(offerer.other(), ANSWER);
        assert_eq!(port_of(&back), ours.local.port());
        assert!(back.contains(" 0 101\r\n"), "formats pass: {back}");
        let peer = |side| {
            let port = if side == offerer { 4000 } else { 6000 };
            let peer = Some(media(port, port + 1));
            Command::SetPeer { stream, side, peer }
        };
        assert_eq!(call.commands(), [peer(Side::Near), peer(Side::Far)]);
    }
}

#[test]
fn the_origin_is_ours_and_its_version_grows_only_on_change() {
    let mut call = up();
    let first = call.offer(Side::Near, AUDIO);
    assert!(first.contains("o=- 77 1 IN IP4 "), "{first}");
    call.answer(Side::Far, ANSWER);
    assert_eq!(call.offer(Side::Near, AUDIO), first);
    call.answer(Side::Far, ANSWER);
    let held = call.offer(Side::Near, &format!("{AUDIO}a=sendonly\r\n"));
    assert!(held.contains("o=- 77 2 IN IP4 "), "{held}");
    // Another o= line alone is no change.
    let again = call.carry_text(
        Side::Near,
        Carrier::Request,
        sdp(&format!("{AUDIO}a=sendonly\r\n")).replace("o=- 5 5", "o=- 5 6"),
    );
    assert_eq!(again.unwrap(), held);
}

#[test]
fn a_stream_comes_and_goes_by_re_invite() {
    let mut call = up();
    let video = "m=video 4100 RTP/AVP 31\r\n";
    call.offer(Side::Near, &format!("{AUDIO}{video}"));
    let [
        Command::Install {
            stream,
            clock_rate: 90_000,
            ..
        },
    ] = call.commands()[..]
    else {
        panic!("only the video stream is new");
    };
    call.answer(Side::Far, &format!("{ANSWER}m=video 6100 RTP/AVP 31\r\n"));
    assert_eq!(call.ports.usage().0, 4);
    call.commands();
    call.offer(Side::Far, &format!("{ANSWER}m=video 0 RTP/AVP 31\r\n"));
    assert_eq!(call.commands(), [], "nothing closes before the answer");
    call.answer(Side::Near, &format!("{AUDIO}m=video 0 RTP/AVP 31\r\n"));
    assert!(call.commands().contains(&Command::Remove { stream }));
    assert_eq!(call.ports.usage().0, 2);
}

#[test]
fn a_refused_re_invite_leaves_everything_as_it_was() {
    let mut call = up();
    call.offer(Side::Near, &format!("{AUDIO}m=video 4100 RTP/AVP 31\r\n"));
    let [Command::Install { stream, .. }] = call.commands()[..] else {
        panic!("the video stream is opened");
    };
    call.refused();
    assert_eq!(call.commands(), [Command::Remove { stream }]);
    assert_eq!(call.ports.usage().0, 2);
    // What is in use is the audio alone.
    let moved = call.move_far(GroupId(2), 1).unwrap();
    assert!(!moved.contains("m=video"), "{moved}");
}

#[test]
fn a_re_invite_refused_after_an_early_answer_gets_its_old_peers_back() {
    let mut call = up();
    call.offer(Side::Near, &AUDIO.replace("4000", "4400"));
    call.carry(
        Side::Far,
        Carrier::Provisional,
        &ANSWER.replace("6000", "0"),
    )
    .unwrap();
    call.carry(
        Side::Far,
        Carrier::Provisional,
        &ANSWER.replace("6000", "6600"),
    )
    .unwrap();
    call.commands();
    call.refused();
    let peers: Vec<_> = call
        .commands()
        .into_iter()
        .map(|command| match command {
            Command::SetPeer { side, peer, .. } => (side, peer),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        (Side::Near, Some(media(4000, 4001))),
        (Side::Far, Some(media(6000, 6001))),
    ];
    assert_eq!(peers, expected);
    assert_eq!(call.session.streams().count(), 1);
}

#[test]
fn an_early_answer_may_be_replaced_by_a_different_final_one() {
    let mut call = Call::new(40);
    let two = format!("{AUDIO}m=video 4100 RTP/AVP 31\r\n");
    call.offer(Side::Near, &two);
    // The announcement has no video and comes from elsewhere.
    let early = format!("{}m=video 0 RTP/AVP 31\r\n", ANSWER.replace("6000", "7000"));
    let first = call.carry(Side::Far, Carrier::Provisional, &early).unwrap();
    assert_eq!(call.session.streams().count(), 2);
    call.commands();
    let last = call.answer(Side::Far, &format!("{ANSWER}m=video 6100 RTP/AVP 31\r\n"));
    assert_eq!(port_of(&first), port_of(&last));
    assert!(!last.contains("m=video 0"), "{last}");
    let far: Vec<_> = call
        .commands()
        .into_iter()
        .filter_map(|command| match command {
            Command::SetPeer {
                side: Side::Far,
                peer,
                ..
            } => peer,
            _ => None,
        })
        .collect();
    assert_eq!(far, [media(6000, 6001), media(6100, 6101)]);
}

#[test]
fn a_delayed_offer_is_answered_in_the_ack() {
    let mut call = Call::new(40);
    let offer = call.carry(Side::Far, Carrier::Final, AUDIO).unwrap();
    call.commands();
    let answer = call.carry(Side::Near, Carrier::Ack, ANSWER).unwrap();
    assert_ne!(port_of(&offer), port_of(&answer));
    let peers = call.commands();
    assert_eq!(peers.len(), 2, "{peers:?}");
    // It was agreed: a move offers what is in use.
    assert!(call.move_far(GroupId(2), 1).unwrap().contains(" 0 101\r\n"));
}

#[test]
fn a_hold_by_zero_address_takes_the_peer_away() {
    let mut call = up();
    let held = sdp(AUDIO).replace("c=IN IP4 192.0.2.1", "c=IN IP4 0.0.0.0");
    let told = call.carry_text(Side::Near, Carrier::Request, held).unwrap();
    assert!(
        told.contains("a=sendonly") && !told.contains("0.0.0.0"),
        "{told}"
    );
    call.answer(Side::Far, &format!("{ANSWER}a=recvonly\r\n"));
    assert!(call.commands().iter().any(|command| matches!(
        command,
        Command::SetPeer {
            side: Side::Near,
            peer: None,
            ..
        }
    )));
}

#[test]
fn rtcp_comes_with_rtp_only_where_both_sides_say_so() {
    for (answer_mux, near_rtcp, far_rtcp) in [(true, 4000, 6000), (false, 4001, 6001)] {
        let mut call = Call::new(40);
        call.offer(Side::Near, &format!("{AUDIO}a=rtcp-mux\r\n"));
        call.commands();
        let mux = if answer_mux { "a=rtcp-mux\r\n" } else { "" };
        call.answer(Side::Far, &format!("{ANSWER}{mux}"));
        let peers: Vec<_> = call
            .commands()
            .into_iter()
            .filter_map(|command| match command {
                Command::SetPeer { peer, .. } => peer,
                _ => None,
            })
            .collect();
        assert_eq!(peers, [media(4000, near_rtcp), media(6000, far_rtcp)]);
    }
}

// spec: X24a X27
#[test]
fn a_move_offers_exactly_what_is_in_use_from_fresh_ports() {
    let mut call = up();
    // The far side holds.
    call.offer(Side::Far, &format!("{ANSWER}a=sendonly\r\n"));
    let before = port_of(&call.answer(Side::Near, &format!("{AUDIO}a=recvonly\r\n")));
    call.commands();
    let offer = call.move_far(GroupId(2), 9).unwrap();
    assert!(offer.contains(" RTP/AVP 0 101\r\n"), "{offer}");
    assert!(offer.contains("a=recvonly"), "the far side's hold: {offer}");
    assert!(offer.contains("o=- 9 1 "), "{offer}");
    assert_ne!(port_of(&offer), before);
    let [
        Command::Move {
            far,
            group: GroupId(2),
            ..
        },
    ] = call.commands()[..]
    else {
        panic!("the far side moves");
    };
    assert_eq!((far.local.port(), far.peer), (port_of(&offer), None));
    assert_eq!(call.ports.usage().0, 2, "the old pair is free");
}

// spec: X29
#[test]
fn the_calling_server_sees_one_session_over_a_move() {
    let mut call = Call::new(40);
    call.offer(Side::Near, AUDIO);
    let before = origin_of(&call.answer(Side::Far, ANSWER)).to_owned();
    call.move_far(GroupId(2), 9).unwrap();
    call.answer(Side::Far, ANSWER);
    call.offer(Side::Near, AUDIO);
    let after = call.answer(Side::Far, ANSWER);
    assert_eq!(origin_of(&after), before);
    assert!(before.starts_with("o=- 77 1 "), "{before}");
}

// spec: X26
#[test]
fn a_call_that_rings_is_offered_again_as_it_was() {
    let mut call = Call::new(40);
    call.offer(Side::Near, AUDIO);
    for session in 1..=3 {
        let offer = call.move_far(GroupId(2), session).unwrap();
        assert!(offer.contains(" RTP/AVP 0 8 101\r\n"), "{offer}");
    }
    assert_eq!(call.ports.usage().0, 2 + 2);
    call.answer(Side::Far, ANSWER);
    assert_eq!(call.ports.usage().0, 2, "the answer settles it");
}

/// The calling server has heard an answer of the first callee (early media): the second one is
/// asked for no more than that took, and what it answers looks the same.
// spec: X26
#[test]
fn a_call_with_early_media_that_is_placed_again_hears_one_answer() {
    let two = format!("{AUDIO}m=video 4002 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n");
    let first = format!("{ANSWER}m=video 0 RTP/AVP 96\r\n");
    let mut call = Call::new(40);
    call.offer(Side::Near, &two);
    let told = call.carry(Side::Far, Carrier::Provisional, &first).unwrap();
    let offer = call.move_far(GroupId(2), 1).unwrap();
    assert!(offer.contains(" RTP/AVP 0 101\r\n"), "{offer}");
    assert!(offer.contains("m=video 0 "), "{offer}");
    // Without the key presses, at another port, with other attributes.
    let second = "m=audio 7000 RTP/AVP 0\r\na=ptime:20\r\nm=video 0 RTP/AVP 96\r\n";
    let again = call.carry(Side::Far, Carrier::Provisional, second).unwrap();
    assert_eq!(again, told);
    assert_eq!(call.answer(Side::Far, second), told);
    assert_eq!(call.ports.usage().0, 2, "no port for the video");
    let moved = call.move_far(GroupId(3), 2).unwrap();
    assert!(moved.contains(" RTP/AVP 0\r\n"), "what is in use: {moved}");
}

/// Another codec, or a stream that flows another way, cannot be hidden.
// spec: X26
#[test]
fn an_answer_that_cannot_pass_for_the_first_is_told() {
    for differs in [
        "m=audio 7000 RTP/AVP 8\r\n",
        "m=audio 7000 RTP/AVP 0\r\na=sendonly\r\n",
        "m=audio 0 RTP/AVP 0\r\n",
    ] {
        let mut call = Call::new(40);
        call.offer(Side::Near, AUDIO);
        let told = call.carry(Side::Far, Carrier::Provisional, ANSWER).unwrap();
        call.move_far(GroupId(2), 1).unwrap();
        assert_ne!(call.answer(Side::Far, differs), told, "{differs}");
    }
}

/// An announcement before the answer does not make the call itself one-way.
// spec: X26
#[test]
fn early_media_that_flow_one_way_do_not_narrow_the_call() {
    let mut call = Call::new(40);
    call.offer(Side::Near, AUDIO);
    let announced = format!("{ANSWER}a=sendonly\r\n");
    call.carry(Side::Far, Carrier::Provisional, &announced)
        .unwrap();
    let offer = call.move_far(GroupId(2), 1).unwrap();
    assert!(!offer.contains("recvonly"), "{offer}");
}

/// Some answer in a 183 and then say nothing in the 200: the call is agreed all the same, so a
/// move offers what is in use and not what was first offered.
// spec: X24a
#[test]
fn an_answer_that_only_a_provisional_response_had_counts() {
    let mut call = Call::new(40);
    call.offer(Side::Near, AUDIO);
    call.complete();
    let unanswered = call.move_far(GroupId(2), 1).unwrap();
    assert!(unanswered.contains(" RTP/AVP 0 8 101\r\n"), "{unanswered}");
    call.carry(Side::Far, Carrier::Provisional, ANSWER).unwrap();
    call.complete();
    assert_eq!(call.ports.usage().0, 2);
    let moved = call.move_far(GroupId(3), 2).unwrap();
    assert!(moved.contains(" RTP/AVP 0 101\r\n"), "{moved}");
}

/// The offer's first format runs at 48 kHz, the answer takes one at 8: timestamps go on at 8.
// spec: X29
#[test]
fn the_clock_is_that_of_the_format_which_was_taken() {
    let mut call = Call::new(40);
    let opus = "m=audio 4000 RTP/AVP 96 8\r\na=rtpmap:96 opus/48000/2\r\n";
    call.offer(Side::Near, opus);
    let [
        Command::Install {
            stream,
            clock_rate: 48_000,
            ..
        },
    ] = call.commands()[..]
    else {
        panic!("one stream is opened");
    };
    let clock = Command::Clock {
        stream,
        clock_rate: 8000,
    };
    let pcma = "m=audio 6000 RTP/AVP 8\r\n";
    call.answer(Side::Far, pcma);
    assert_eq!(call.commands().last(), Some(&clock));
    // It is told once.
    call.offer(Side::Near, opus);
    call.answer(Side::Far, pcma);
    assert!(!call.commands().contains(&clock));
}

// spec: X24
#[test]
fn attempts_are_parked_until_one_is_answered_late() {
    let mut call = up();
    let first = port_of(&call.move_far(GroupId(2), 1).unwrap());
    let second = port_of(&call.move_far(GroupId(3), 2).unwrap());
    let third = port_of(&call.move_far(GroupId(4), 3).unwrap());
    assert_eq!(call.ports.usage().0, 2 + 2);
    call.commands();
    assert!(!call.adopt(GroupId(9), 9), "no such attempt");
    assert!(call.adopt(GroupId(2), 1));
    let [
        Command::Move {
            far,
            group: GroupId(2),
            ..
        },
    ] = call.commands()[..]
    else {
        panic!("the first attempt's ports are taken again");
    };
    assert_eq!(far.local.port(), first);
    call.answer(Side::Far, ANSWER);
    assert_eq!(call.ports.usage().0, 2);
    call.settle();
    call.commands();
    assert_eq!(call.ports.usage().0, 2);
    let free: Vec<u16> = std::iter::from_fn(|| call.ports.take()).collect();
    assert!(free.contains(&second) && free.contains(&third) && !free.contains(&first));
}

#[test]
fn a_move_without_media_offers_nothing() {
    let mut call = Call::new(40);
    assert_eq!(call.move_far(GroupId(2), 1), None);
    call.offer(Side::Near, AUDIO);
    let group = GroupId(2);
    let commands = call.commands();
    assert!(matches!(commands[..], [Command::Install { group: of, .. }] if of == group));
}

// spec: X31a
#[test]
fn a_failover_offer_is_mirrored_at_once_and_its_answer_completes_it() {
    let mut call = Call::new(40);
    let (answer, offer) = call.mirror(AUDIO).unwrap();
    assert!(answer.contains(" RTP/AVP 0 8 101\r\n"), "{answer}");
    let [Command::Install { near, far, .. }] = call.commands()[..] else {
        panic!("one stream is opened");
    };
    assert_eq!(near.peer, Some(media(4000, 4001)));
    assert_eq!(port_of(&answer), near.local.port());
    assert_eq!(port_of(&offer), far.local.port());
    call.answer(Side::Far, ANSWER);
    assert!(call.commands().contains(&Command::SetPeer {
        stream: call.session.streams().next().unwrap(),
        side: Side::Far,
        peer: Some(media(6000, 6001)),
    }));
    let garbage = call.carry_text(Side::Near, Carrier::Request, "hello".to_owned());
    assert!(matches!(garbage, Err(MediaError::Sdp(_))));
}

#[test]
fn too_few_ports_open_no_stream_at_all() {
    let mut call = Call::new(6);
    let two = format!("{AUDIO}m=video 4100 RTP/AVP 31\r\n");
    let refused = call.carry(Side::Near, Carrier::Request, &two);
    assert_eq!(refused, Err(MediaError::NoPort));
    assert_eq!((call.commands(), call.ports.usage().0), (vec![], 0));
    call.offer(Side::Near, AUDIO);
    call.answer(Side::Far, ANSWER);
    assert!(call.move_far(GroupId(2), 1).is_some());
    call.commands();
    call.ports.take().unwrap();
    assert_eq!(call.try_move(GroupId(3), 2), Err(MediaError::NoPort));
    call.release();
    assert_eq!(call.ports.usage().0, 1);
}

#[test]
fn release_gives_everything_back() {
    let mut call = up();
    call.move_far(GroupId(2), 1).unwrap();
    call.move_far(GroupId(3), 2).unwrap();
    call.offer(Side::Near, &format!("{AUDIO}m=video 4100 RTP/AVP 31\r\n"));
    call.commands();
    call.release();
    assert_eq!(call.commands().len(), 2);
    assert_eq!(call.ports.usage().0, 0);
}
