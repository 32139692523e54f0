//! Calls that are being set up.

use crate::b2bua::Half;
use crate::peers::{ANSWER, OFFER, Scene};
use holdline_wire::{Message, Method};

#[test]
fn a_call_is_set_up_and_hung_up_by_either_side() {
    for callee_hangs_up in [true, false] {
        let mut scene = Scene::up();
        scene.request(callee_hangs_up, Method::Bye, "");
        let (callee, caller) = (scene.told_callee(), scene.told_caller());
        let (mine, other) = if callee_hangs_up {
            (callee, caller)
        } else {
            (caller, callee)
        };
        assert_eq!(
            (mine, other),
            (vec!["200 BYE".to_owned()], vec!["BYE".to_owned()])
        );
        scene.us.assert_ends_clean();
    }
}

// spec: X26
#[test]
fn the_caller_sees_one_to_tag_whoever_of_a_fork_rings() {
    let (mut scene, invite) = Scene::calling("Record-Route: <sip:edge.example;lr>\r\n", OFFER);
    for (status, tag) in [(180, "one"), (183, "two"), (180, "one"), (200, "two")] {
        scene.respond(&invite, status, tag, "", "");
        let got = scene.one_at_caller();
        assert_eq!(got.status(), status);
        assert_eq!(
            got.to_tag(),
            scene.us.near.as_ref().map(|near| near.local_tag())
        );
        assert!(got.contact().is_some());
        assert_eq!(got.list(holdline_wire::header::Name::RecordRoute).len(), 1);
    }
    // A second branch that answers too is acknowledged and hung up, once.
    scene.at_callee();
    scene.respond(&invite, 200, "one", "", ANSWER);
    assert_eq!(scene.told_callee(), ["ACK", "BYE"]);
    scene.respond(&invite, 200, "one", "", ANSWER);
    assert_eq!(scene.told_callee(), ["ACK"]);
    scene.respond(&invite, 200, "two", "", ANSWER);
    assert_eq!(scene.told_callee(), ["ACK"]);
    assert!(scene.at_caller().is_empty());
}

#[test]
fn a_branch_that_speaks_again_sees_higher_numbers() {
    let (mut scene, invite) = Scene::calling("", OFFER);
    scene.respond(&invite, 180, "one", "", "");
    let ringing = scene.one_at_caller();
    scene.learn(&ringing);
    let mut numbers = Vec::new();
    for tag in ["one", "two", "one"] {
        scene.respond(&invite, 180, tag, "", "");
        scene.request(false, Method::Info, "");
        let info = scene.at_callee().remove(0);
        assert_eq!(info.to_tag(), Some(tag));
        scene.respond(&info, 200, tag, "", "");
        numbers.push(info.cseq().number);
        scene.at_caller();
    }
    assert_eq!(numbers, [2, 3, 4]);
}

#[test]
fn refusals_and_redirections_pass_with_what_they_say() {
    let (mut scene, invite) = Scene::calling("", OFFER);
    scene.respond(&invite, 302, "bob", "Contact: <sip:bob@elsewhere>\r\n", "");
    let got = scene.one_at_caller();
    assert_eq!(
        (got.status(), got.contact().unwrap().uri),
        (302, "sip:bob@elsewhere")
    );
    assert_eq!(scene.told_callee(), ["ACK"]);
    scene.us.assert_ends_clean();

    let (mut scene, invite) = Scene::calling("", OFFER);
    let challenge = "Proxy-Authenticate: Digest realm=\"x\", nonce=\"1\"\r\n";
    scene.respond(&invite, 407, "bob", challenge, "");
    let text = String::from_utf8(scene.one_at_caller().bytes().to_vec()).unwrap();
    assert!(text.contains(challenge), "{text}");
    scene.us.assert_ends_clean();
}

#[test]
fn a_cancelled_call_ends_on_both_sides() {
    let (mut scene, invite) = Scene::calling("", OFFER);
    scene.respond(&invite, 180, "bob", "", "");
    scene.at_caller();
    let own = Message::parse(crate::peers::invite("", OFFER).into()).unwrap();
    scene.cancel(&own);
    assert_eq!(scene.told_caller(), ["200 CANCEL", "487 INVITE"]);
    let cancel = scene.one_at_callee();
    assert_eq!(*cancel.method(), Method::Cancel);
    scene.respond(&cancel, 200, "bob", "", "");
    scene.respond(&invite, 487, "bob", "", "");
    assert_eq!(scene.told_callee(), ["ACK"]);
    scene.us.assert_ends_clean();
}

#[test]
fn an_answer_that_crosses_the_cancel_is_acknowledged_and_hung_up_once() {
    let (mut scene, invite) = Scene::calling("", "");
    scene.respond(&invite, 180, "bob", "", "");
    scene.us.end(Half::Near, "SIP;cause=408");
    assert_eq!(scene.told_caller(), ["180 INVITE", "480 INVITE"]);
    scene.us.end(Half::Far, "SIP;cause=408");
    assert_eq!(scene.told_callee(), ["CANCEL"]);
    scene.respond(&invite, 200, "bob", "", OFFER);
    let got = scene.at_callee();
    assert_eq!(
        (got.len(), got[0].method(), got[1].method()),
        (2, &Method::Ack, &Method::Bye)
    );
    // The ACK answers the offer: no stream is taken (RFC 3261 13.2.2.4).
    let answer = String::from_utf8(got[0].sdp().unwrap().to_vec()).unwrap();
    assert!(answer.contains("m=audio 0 RTP/AVP 0"), "{answer}");
    for _ in 0..3 {
        scene.respond(&invite, 200, "bob", "", OFFER);
        assert_eq!(scene.told_callee(), ["ACK"]);
    }
    scene.us.assert_ends_clean();
}

#[test]
fn a_delayed_offer_is_answered_by_the_callers_ack() {
    let (mut scene, invite) = Scene::calling("", "");
    scene.respond(&invite, 200, "bob", "", OFFER);
    assert_eq!(scene.told_callee(), [""; 0], "no ACK before the caller's");
    let answer = scene.one_at_caller();
    assert_eq!(answer.sdp().unwrap(), OFFER.as_bytes());
    // Another branch answers as well: that does not cost the first one its ACK.
    scene.respond(&invite, 200, "other", "", OFFER);
    assert_eq!(scene.told_callee(), ["ACK", "BYE"]);
    scene.learn(&answer);
    scene.ack(1, ANSWER);
    let ack = scene.one_at_callee();
    assert_eq!(
        (ack.to_tag(), ack.sdp().unwrap()),
        (Some("bob"), ANSWER.into())
    );
    scene.respond(&invite, 200, "bob", "", OFFER);
    assert_eq!(scene.one_at_callee().bytes(), ack.bytes());
}

#[test]
fn an_answer_without_any_offer_needs_no_ack_of_the_caller() {
    let (mut scene, invite) = Scene::calling("", "");
    scene.respond(&invite, 200, "bob", "", "");
    assert_eq!(scene.told_callee(), ["ACK"]);
}

#[test]
fn a_bye_waits_for_the_callers_ack() {
    let (mut scene, invite) = Scene::calling("", OFFER);
    scene.respond(&invite, 200, "bob", "", ANSWER);
    let answer = scene.one_at_caller();
    scene.learn(&answer);
    scene.request(true, Method::Bye, "");
    assert_eq!(scene.told_caller(), [""; 0], "RFC 3261 15");
    assert!(!scene.us.near.as_ref().unwrap().is_over());
    scene.ack(1, "");
    assert_eq!(scene.told_caller(), ["BYE"]);
    scene.us.assert_ends_clean();
}

#[test]
fn a_caller_that_never_acknowledges_gets_a_bye() {
    for hung_up in [true, false] {
        let (mut scene, invite) = Scene::calling("", OFFER);
        scene.respond(&invite, 200, "bob", "", ANSWER);
        if hung_up {
            scene.request(true, Method::Bye, "");
        }
        scene.us.assert_ends_clean();
        let told = scene.told_caller();
        assert_eq!(told.iter().filter(|what| *what == "200 INVITE").count(), 11);
        assert!(told.contains(&"BYE".to_owned()), "{told:?}");
    }
}

#[test]
fn a_caller_that_hangs_up_before_its_ack_leaves_no_answer_without_one() {
    let (mut scene, invite) = Scene::calling("", "");
    scene.respond(&invite, 200, "bob", "", OFFER);
    let answer = scene.one_at_caller();
    scene.learn(&answer);
    scene.request(false, Method::Bye, "");
    assert_eq!(scene.told_callee(), ["ACK", "BYE"]);
    scene.us.assert_ends_clean();
}

#[test]
fn an_update_in_an_early_dialog_refreshes_but_offers_nothing() {
    let (mut scene, invite) = Scene::calling("", OFFER);
    scene.respond(&invite, 180, "bob", "", "");
    let ringing = scene.one_at_caller();
    scene.learn(&ringing);
    scene.request(false, Method::Update, OFFER);
    let refused = scene.one_at_caller();
    assert_eq!(refused.status(), 500);
    assert!(
        refused
            .header(holdline_wire::header::Name::RetryAfter)
            .is_some()
    );
    scene.request(true, Method::Update, OFFER);
    assert_eq!(scene.told_callee(), ["491 UPDATE"]);
    scene.request(true, Method::Update, "");
    assert_eq!(*scene.one_at_caller().method(), Method::Update);
    // The call is refused while the UPDATE waits: neither transaction stays open.
    scene.respond(&invite, 486, "bob", "", "");
    assert_eq!(scene.told_callee(), ["ACK", "481 UPDATE"]);
    scene.us.assert_ends_clean();
}

#[test]
fn what_an_abandoned_peer_asked_does_not_stay_open() {
    let mut scene = Scene::up();
    scene.request(true, Method::Invite, OFFER);
    let us = &mut scene.us;
    us.far.as_mut().unwrap().abandon(&mut us.layer);
    us.end(Half::Near, "SIP;cause=503");
    us.assert_ends_clean();

    let (mut scene, _) = Scene::calling("", OFFER);
    let us = &mut scene.us;
    us.near.as_mut().unwrap().abandon(&mut us.layer);
    us.far.as_mut().unwrap().abandon(&mut us.layer);
    us.assert_ends_clean();
}
