//! RFC 3261 figure 8.

use super::*;

const BRANCH: &str = "z9hG4bKbye";

fn trying(key: TransportKey) -> Rig {
    let mut rig = Rig::new(key);
    assert_eq!(rig.take(request("BYE", BRANCH)), ["request BYE"]);
    rig
}

#[test]
fn trying_absorbs_repeated_requests_and_is_forgotten_unanswered() {
    let mut rig = trying(udp());
    assert_eq!(rig.take(request("BYE", BRANCH)), [""; 0]);
    assert_eq!(rig.until(31_999), [""; 0]);
    assert_eq!(rig.layer.len(), (0, 1));
    assert_eq!(rig.until(32_000), [""; 0]);
    rig.assert_empty();
    assert_eq!(rig.respond(200, "BYE", BRANCH), [""; 0]);
}

#[test]
fn proceeding_answers_again_with_the_provisional() {
    let mut rig = trying(udp());
    assert_eq!(rig.respond(100, "BYE", BRANCH), ["send 100"]);
    assert_eq!(rig.take(request("BYE", BRANCH)), ["send 100"]);
}

#[test]
fn completed_answers_again_until_timer_j() {
    for status in [200, 302, 481, 500, 603] {
        let mut rig = trying(udp());
        rig.until(1_000);
        let send = format!("send {status}");
        assert_eq!(rig.respond(status, "BYE", BRANCH), [send.as_str()]);
        assert_eq!(rig.respond(404, "BYE", BRANCH), [""; 0]);
        rig.until(32_999);
        assert_eq!(rig.take(request("BYE", BRANCH)), [send.as_str()]);
        assert_eq!(rig.until(33_000), [""; 0]);
        rig.assert_empty();
        assert_eq!(rig.take(request("BYE", BRANCH)), ["request BYE"]);
    }
}

#[test]
fn completed_ends_at_once_over_a_reliable_transport() {
    let mut rig = trying(tcp());
    assert_eq!(rig.respond(200, "BYE", BRANCH), ["send 200"]);
    rig.assert_empty();
}
