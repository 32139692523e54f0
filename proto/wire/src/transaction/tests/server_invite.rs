//! RFC 3261 figure 7 and RFC 6026 figure 5.

use super::*;
use crate::message::Message;

const BRANCH: &str = "z9hG4bKinvite";

fn proceeding(key: TransportKey) -> Rig {
    let mut rig = Rig::new(key);
    assert_eq!(rig.take(request("INVITE", BRANCH)), ["request INVITE"]);
    rig
}

#[test]
fn proceeding_answers_a_repeated_invite_with_the_last_provisional() {
    let mut rig = proceeding(udp());
    assert_eq!(rig.take(request("INVITE", BRANCH)), [""; 0]);
    assert_eq!(rig.respond(100, "INVITE", BRANCH), ["send 100"]);
    assert_eq!(rig.respond(180, "INVITE", BRANCH), ["send 180"]);
    assert_eq!(rig.take(request("INVITE", BRANCH)), ["send 180"]);
    assert_eq!(rig.until(3_600_000), [""; 0]);
    let (request, from) = rig.layer.request_of(rig.server).expect("the INVITE");
    assert_eq!((request.top_via().branch, from), (BRANCH, udp()));
}

#[test]
fn completed_repeats_at_timer_g_and_ends_at_timer_h() {
    let mut rig = proceeding(udp());
    assert_eq!(rig.respond(486, "INVITE", BRANCH), ["send 486"]);
    assert_eq!(rig.take(request("INVITE", BRANCH)), ["send 486"]);
    let times = [
        500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
    ];
    assert_eq!(rig.until(100_000), at(&times, "send 486"));
    rig.assert_empty();
    assert!(rig.layer.request_of(rig.server).is_none());
}

#[test]
fn completed_over_a_reliable_transport_repeats_nothing_and_ends_at_timer_h() {
    let mut rig = proceeding(tcp());
    rig.respond(486, "INVITE", BRANCH);
    assert_eq!(rig.until(31_999), [""; 0]);
    assert_eq!(rig.layer.len(), (0, 1));
    rig.until(32_000);
    rig.assert_empty();
}

#[test]
fn confirmed_absorbs_until_timer_i() {
    let mut rig = proceeding(udp());
    rig.respond(486, "INVITE", BRANCH);
    assert_eq!(rig.take(request("ACK", BRANCH)), [""; 0]);
    assert_eq!(rig.until(4_999), [""; 0]);
    assert_eq!(rig.take(request("ACK", BRANCH)), [""; 0]);
    assert_eq!(rig.take(request("INVITE", BRANCH)), [""; 0]);
    assert_eq!(rig.layer.len(), (0, 1));
    assert_eq!(rig.until(5_000), [""; 0]);
    rig.assert_empty();
}

#[test]
fn confirmed_ends_at_once_over_a_reliable_transport() {
    let mut rig = proceeding(tcp());
    rig.respond(486, "INVITE", BRANCH);
    assert_eq!(rig.take(request("ACK", BRANCH)), [""; 0]);
    rig.assert_empty();
}

#[test]
fn accepted_repeats_the_2xx_over_any_transport_and_tells_when_no_ack_comes() {
    for key in [udp(), tcp()] {
        let mut rig = proceeding(key);
        assert_eq!(rig.respond(200, "INVITE", BRANCH), ["send 200"]);
        let times = [
            500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
        ];
        let mut expected = at(&times, "send 200");
        expected.push("32000 no ack".into());
        assert_eq!(rig.until(100_000), expected);
        rig.assert_empty();
    }
}

#[test]
fn accepted_and_acked_is_silent_and_absorbs_until_timer_l() {
    let mut rig = proceeding(udp());
    rig.respond(200, "INVITE", BRANCH);
    assert_eq!(rig.until(600), ["500 send 200"]);
    assert_eq!(rig.take(request("INVITE", BRANCH)), ["send 200"]);
    assert_eq!(rig.take(request("ACK", "z9hG4bKack")), ["ack"]);
    rig.layer.acked(rig.server);
    let timer_l = Time::ZERO + Duration::from_secs(32);
    assert_eq!(
        rig.layer.poll_deadline(),
        Some(timer_l),
        "nothing is due before"
    );
    assert_eq!(rig.take(request("INVITE", BRANCH)), [""; 0]);
    assert_eq!(rig.until(31_999), [""; 0]);
    assert_eq!(rig.layer.len(), (0, 1));
    assert_eq!(rig.until(32_000), [""; 0]);
    rig.assert_empty();
}

#[test]
fn accepted_passes_up_an_ack_that_reuses_the_branch() {
    let mut rig = proceeding(udp());
    rig.respond(200, "INVITE", BRANCH);
    assert_eq!(rig.take(request("ACK", BRANCH)), ["ack"]);
}

#[test]
fn only_the_first_final_answer_counts() {
    for (first, second) in [(200, 486), (486, 200), (200, 200), (486, 180)] {
        let mut rig = proceeding(udp());
        assert_eq!(
            rig.respond(first, "INVITE", BRANCH),
            [format!("send {first}")]
        );
        assert_eq!(rig.respond(second, "INVITE", BRANCH), [""; 0]);
        assert_eq!(
            rig.take(request("INVITE", BRANCH)),
            [format!("send {first}")]
        );
    }
}

#[test]
fn cancel_names_the_invite_that_lacks_an_answer() {
    let mut rig = proceeding(udp());
    let invite = rig.server;
    assert_eq!(rig.take(request("CANCEL", BRANCH)), ["request CANCEL"]);
    assert_eq!(rig.cancels, Some(invite));
    assert_eq!(rig.take(request("CANCEL", BRANCH)), [""; 0]);
    assert_eq!(rig.respond(200, "CANCEL", BRANCH), ["send 200"]);
    rig.server = invite;
    assert_eq!(rig.respond(487, "INVITE", BRANCH), ["send 487"]);
    assert_eq!(rig.take(request("ACK", BRANCH)), [""; 0]);
    assert_eq!(rig.until(100_000), [""; 0]);
    rig.assert_empty();
}

fn parsed(text: &str) -> Message {
    Message::parse(text.to_owned().into()).unwrap()
}

#[test]
fn cancel_of_an_answered_or_unknown_invite_names_none() {
    let mut rig = proceeding(udp());
    rig.respond(200, "INVITE", BRANCH);
    let cancel = request("CANCEL", BRANCH);
    assert_eq!(rig.take(cancel.clone()), ["request CANCEL"]);
    assert_eq!(rig.cancels, None);
    assert!(
        rig.layer.knows_invite_of(&parsed(&cancel)),
        "it comes too late"
    );
    let cancel = request("CANCEL", "z9hG4bKelse");
    assert_eq!(rig.take(cancel.clone()), ["request CANCEL"]);
    assert_eq!(rig.cancels, None);
    assert!(!rig.layer.knows_invite_of(&parsed(&cancel)));
}
