//! Requests inside a call that is up.

use crate::peers::{ANSWER, OFFER, Scene};
use holdline_wire::{Method, Time};
use std::time::Duration;

#[test]
fn hold_and_unhold_pass_from_both_sides() {
    let mut scene = Scene::up();
    for (number, direction) in [(2, "a=sendonly\r\n"), (3, "")] {
        let offer = format!("{OFFER}{direction}");
        scene.request(false, Method::Invite, &offer);
        let got = scene.one_at_callee();
        assert_eq!(got.sdp().unwrap(), offer.as_bytes());
        assert!(got.contact().is_some());
        scene.respond(&got, 200, "bob", "", ANSWER);
        assert_eq!(scene.told_caller(), ["100 INVITE", "200 INVITE"]);
        scene.ack(number, "");
        assert_eq!(scene.told_callee(), ["ACK"]);
    }
    scene.request(true, Method::Invite, ANSWER);
    let got = scene.one_at_caller();
    scene.caller_responds(&got, 200, OFFER);
    assert_eq!(scene.told_callee(), ["100 INVITE", "200 INVITE"]);
    // The answer comes again, for our ACK was lost.
    scene.at_caller();
    scene.caller_responds(&got, 200, OFFER);
    assert_eq!(scene.told_caller(), ["ACK"]);
}

#[test]
fn a_2xx_that_comes_again_gets_the_same_ack_for_64_t1() {
    let (mut scene, invite) = Scene::calling("", OFFER);
    scene.respond(&invite, 200, "bob", "", ANSWER);
    let ack = scene.one_at_callee();
    let answer = scene.one_at_caller();
    scene.learn(&answer);
    scene.ack(1, "");
    let at = |millis| Time::ZERO + Duration::from_millis(millis);
    for millis in [500, 31_500] {
        scene.us.deadline(at(millis));
        scene.respond(&invite, 200, "bob", "", ANSWER);
        assert_eq!(scene.one_at_callee().bytes(), ack.bytes());
    }
    scene.us.deadline(at(32_500));
    scene.respond(&invite, 200, "bob", "", ANSWER);
    assert!(scene.at_callee().is_empty());
    assert!(scene.us.layer.is_empty(), "nothing of it is left");
}

#[test]
fn offers_that_cross_are_refused_on_both_sides() {
    let mut scene = Scene::up();
    scene.request(false, Method::Invite, OFFER);
    let ours = scene.one_at_callee();
    scene.request(true, Method::Invite, ANSWER);
    assert_eq!(scene.told_callee(), ["491 INVITE"]);
    scene.request(true, Method::Update, ANSWER);
    assert_eq!(scene.told_callee(), ["491 UPDATE"]);
    // An UPDATE that only refreshes crosses nothing.
    scene.at_caller();
    scene.request(true, Method::Update, "");
    assert_eq!(scene.told_caller(), ["UPDATE"]);
    // A second offer before the first is answered (RFC 3261 14.2).
    scene.request(false, Method::Invite, OFFER);
    assert_eq!(scene.told_caller(), ["500 INVITE"]);
    scene.respond(&ours, 491, "bob", "", "");
    assert_eq!(scene.told_caller(), ["491 INVITE"]);
    assert!(scene.us.near.as_ref().unwrap().is_up());
}

#[test]
fn a_delayed_offer_inside_the_call_is_answered_by_the_ack() {
    let mut scene = Scene::up();
    scene.request(false, Method::Invite, "");
    let got = scene.one_at_callee();
    scene.respond(&got, 200, "bob", "", OFFER);
    assert_eq!(scene.told_callee(), [""; 0]);
    // The callee has an offer out: neither it nor the caller may make another.
    scene.request(true, Method::Invite, OFFER);
    assert_eq!(scene.told_callee(), ["491 INVITE"]);
    scene.at_caller();
    scene.request(false, Method::Invite, OFFER);
    assert_eq!(scene.told_caller(), ["491 INVITE"]);
    scene.ack(2, ANSWER);
    assert_eq!(scene.one_at_callee().sdp().unwrap(), ANSWER.as_bytes());
}

#[test]
fn a_re_invite_waits_for_the_ack_of_the_one_before() {
    let (mut scene, invite) = Scene::calling("", OFFER);
    scene.respond(&invite, 200, "bob", "", ANSWER);
    let answer = scene.one_at_caller();
    scene.learn(&answer);
    scene.request(true, Method::Invite, ANSWER);
    assert_eq!(scene.told_caller(), [""; 0], "RFC 3261 14.1");
    scene.ack(1, "");
    assert_eq!(scene.told_caller(), ["INVITE"]);
}

#[test]
fn a_re_invite_that_waits_can_be_cancelled() {
    let (mut scene, invite) = Scene::calling("", OFFER);
    scene.respond(&invite, 200, "bob", "", ANSWER);
    let answer = scene.one_at_caller();
    scene.learn(&answer);
    let own = scene.request(true, Method::Invite, ANSWER);
    scene.at_callee();
    scene.cancel_from_callee(&own);
    assert_eq!(scene.told_callee(), ["200 CANCEL", "487 INVITE"]);
    scene.ack(1, "");
    assert_eq!(scene.told_caller(), [""; 0]);
}

#[test]
fn a_cancelled_re_invite_leaves_the_call_up() {
    let mut scene = Scene::up();
    let own = scene.request(false, Method::Invite, OFFER);
    let got = scene.one_at_callee();
    scene.respond(&got, 180, "bob", "", "");
    scene.cancel(&own);
    assert_eq!(scene.told_caller(), ["100 INVITE", "200 CANCEL"]);
    assert_eq!(scene.told_callee(), ["CANCEL"]);
    scene.respond(&got, 487, "bob", "", "");
    assert_eq!(scene.told_caller(), ["487 INVITE"]);
    assert!(scene.us.near.as_ref().unwrap().is_up());
}

#[test]
fn a_bye_ends_a_re_invite_that_waits() {
    let mut scene = Scene::up();
    scene.request(false, Method::Invite, "");
    let got = scene.one_at_callee();
    scene.request(true, Method::Bye, "");
    assert_eq!(scene.told_caller(), ["100 INVITE", "487 INVITE", "BYE"]);
    // The callee answers all the same: its 2xx still gets an ACK.
    scene.at_callee();
    scene.respond(&got, 200, "bob", "", OFFER);
    assert_eq!(scene.told_callee(), ["ACK"]);
    scene.us.assert_ends_clean();
}

/// Only what says that the call is gone ends it (RFC 5057).
#[test]
fn a_lost_dialog_ends_the_call_and_a_lost_subscription_does_not() {
    for (method, status, ends) in [
        (Method::Notify, 481, false),
        (Method::Info, 481, true),
        (Method::Info, 408, false),
        (Method::Update, 408, true),
        (Method::Invite, 481, true),
        (Method::Invite, 488, false),
    ] {
        let mut scene = Scene::up();
        scene.request(false, method.clone(), "");
        let got = scene.one_at_callee();
        scene.respond(&got, status, "bob", "", "");
        let up = scene.us.near.as_ref().unwrap().is_up();
        assert_eq!(up, !ends, "{method} {status}");
        assert_eq!(scene.told_caller().contains(&"BYE".to_owned()), ends);
    }
}

#[test]
fn a_re_invite_without_any_reply_ends_the_call() {
    let mut scene = Scene::up();
    scene.request(false, Method::Invite, OFFER);
    scene.us.assert_ends_clean();
    let told = scene.told_caller();
    assert!(told.contains(&"408 INVITE".to_owned()) && told.contains(&"BYE".to_owned()));
    assert!(scene.told_callee().contains(&"BYE".to_owned()));
}

#[test]
fn reliable_provisional_responses_are_not_ours() {
    let mut scene = Scene::up();
    scene.request(false, Method::Prack, "");
    assert_eq!(scene.told_caller(), ["481 PRACK"]);
    let before = scene.request_with(Method::Invite, "Require: timer, 100rel\r\n");
    assert_eq!(before.status(), 420);
    let unsupported = before.header(holdline_wire::header::Name::Unsupported);
    assert_eq!(unsupported, Some(&b"100rel"[..]));
}
